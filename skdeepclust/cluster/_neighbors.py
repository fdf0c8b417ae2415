"""Nearest neighbours: copies of vectors, and what starts and restarts are compared by."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from torch import Tensor

from .._sklearn_compat import warning_filters
from ..objectives import (
    closest_clusters,
    comparable_information,
    entropy,
    joint_information,
    pair_shares,
)
from ..training import Rows, inference_batch

# Neighbours that copies are drawn from, and samples that they come from: among more of them they
# lie nearer, and copies ask less of the classifier.
N_NEIGHBORS, NEIGHBOR_POOL = 10, 5_000
# Where there are more than twice as many features, the search is along so many principal
# components, which takes a part of the time.
SEARCHED = 50
# Starts and restarts are compared on so many samples, and on so many neighbours of each among them.
COMPARED, COMPARED_NEIGHBORS = 5_000, 5
# Of any such part there are fewer samples where they have more numbers than that in all.
MOST_NUMBERS = 2**25
# Weight of disagreement beyond what it costs of the information. In trials the rank correlation
# with accuracy was higher at 0 on digits (StatDEC .87, DVC .91; at 1 .72, .77) and lower on
# long-tailed ones (DVC .58; .78): without it, clusters of equal size are preferred.
DISAGREEMENT = 1.0
# The same among starts in one embedding, which are clusters of neighbours all of them: at 1, two
# classes in one cluster and a third in two passed for better than the three (MNIST). For tables and
# digits either chose nearly the same starts.
START_DISAGREEMENT = 0.5
# From this uncertainty coefficient of the best start on, the weight is so many times the odds that
# a neighbour predicts a cluster of it: where clusters lie apart few neighbours cross the cut of a
# large one, which has more information where others are small. In trials, 316 draws of round blobs
# four to eight standard deviations apart and 88 of long and of rectangular ones with a gap between
# them, most of unequal sizes, some other start had a point of accuracy more than the one kept in
# 18, at half the weight in 22, at twice in 15 and at none in 161. Without the bound in 12, but one
# start in 32 of digits was another, and a worse one.
NEARLY_APART, WEIGHT_OF_ODDS = 0.96, 0.1
# Clusters with this uncertainty coefficient lie apart. In trials blobs of 80 and 20 beside 800 had
# .99 and 1, with the large one cut and these united .92 and less; classes and what else was found
# had .94 to .98 on radiology images, .82 to .94 on digits and 5,000 of MNIST, and .97 and less on
# tables.
APART = 0.98
# Clusters with less of an equal share than this are outliers.
LEAST_SHARE = 0.03


def affordable(n: int, n_features: int, at_least: int) -> int:
    """So many samples, or fewer where they have more features than there is memory for."""
    return min(n, max(at_least, MOST_NUMBERS // n_features))


def by_batches(function: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> np.ndarray:
    """What the function, which may be scikit-learn's, makes of all rows, of a batch at a time."""
    batches = gen_batches(len(X), inference_batch(X.shape[1]))
    with warning_filters:
        return np.concatenate([function(X[rows]) for rows in batches])


def find_neighbors(rows: Rows, rng: np.random.RandomState, pool_size: int | None = None) -> Tensor:
    """Nearest neighbours of every row among (at most) so many rows, NEIGHBOR_POOL unless given,
    (n, N_NEIGHBORS)."""
    size = affordable(pool_size or NEIGHBOR_POOL, rows.X.shape[1], N_NEIGHBORS)
    pool = np.sort(rng.permutation(len(rows))[:size])
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(pool)))
    with warning_filters:
        # In parts and as float32: of uint8 it would hold every distance of a gigabyte at a time.
        part = rows.X[pool].astype(np.float32)
        reduced = _principal(part)
        search.fit(reduced(part))
        found = by_batches(
            lambda asked: search.kneighbors(
                reduced(asked.astype(np.float32)), return_distance=False
            ),
            rows.X,
        )
    return torch.from_numpy(pool[found])


def _unit(part: np.ndarray) -> np.float32:
    """The largest size of a number, in which squares go neither over nor under."""
    return max(np.abs(part).max(), np.finfo(np.float32).tiny)


def _principal(part: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What takes rows like these (n, n_features) to what is searched."""
    if part.shape[1] <= 2 * SEARCHED or len(part) <= SEARCHED:
        return lambda X: X
    unit = _unit(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what share of no variance at all
        pca = PCA(SEARCHED, random_state=0).fit(part / unit)
    return lambda X: pca.transform(X / unit)


def neighbor_copies(
    rows: Rows,
    rng: np.random.RandomState,
    generator: torch.Generator,
    pool_size: int | None = None,
) -> Callable[[Tensor], Tensor]:
    """What gives, for places in the data, one of the nearest neighbours of each."""
    neighbors = find_neighbors(rows, rng, pool_size)

    def copies(index: Tensor) -> Tensor:
        chosen = torch.randint(neighbors.shape[1], index.shape, generator=generator)
        return rows[neighbors[index, chosen]]

    return copies


class NeighborInformation:
    """How well the cluster of a sample and that of a neighbour predict each other, in nats.

    ``I(c; c') - β H(c | c')`` of :func:`~skdeepclust.objectives.comparable_information`, the copy
    of a sample being one of its nearest others. β, the weight of disagreement, is the question's:
    restarts and starts ask for different ones. As many samples given are the same ones taken.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Samples, or their embeddings; searched for neighbours once, at the first question.
    beside : NeighborInformation, optional
        Of the same samples, seen otherwise: its neighbours count as much as those in X.
    chosen : Tensor of shape (n_chosen,), int64, optional
        Places of the samples that are compared; by default those that ``beside`` has, or at most
        COMPARED of them.
    """

    def __init__(
        self,
        X: np.ndarray,
        beside: NeighborInformation | None = None,
        chosen: Tensor | None = None,
    ):
        self.X, self.beside = X, beside
        self._neighbors: Tensor | None = None
        # What takes their place where those in X would speak against clusters seen by others.
        self.replacement: Tensor | None = None
        if chosen is not None:
            self.chosen = chosen
        elif beside is not None:
            self.chosen = beside.chosen
        else:
            size = affordable(COMPARED, X.shape[1], 2)
            self.chosen = torch.from_numpy(np.random.RandomState(0).permutation(len(X))[:size])

    @property
    def neighbors(self) -> Tensor:
        """Of each of the chosen samples, places among them, (n_chosen, n_neighbors)."""
        if self.replacement is not None:
            return self.replacement
        # Not a cached_property: in Python 3.11 that has a lock for all instances, which fits in
        # other threads hold while they wait for the one of the warning filters.
        if self._neighbors is None:
            found = self._search()
            beside = [] if self.beside is None else [self.beside.neighbors]
            self._neighbors = torch.cat([*beside, found], 1)
        return self._neighbors

    def _search(self) -> Tensor:
        part = self.X[self.chosen.numpy()].astype(np.float32)
        part /= _unit(part)
        part -= part.mean(0, dtype=np.float64)
        search = NearestNeighbors(n_neighbors=min(COMPARED_NEIGHBORS, len(part) - 1))
        with warning_filters:
            found = search.fit(part).kneighbors(return_distance=False)  # without the sample itself
        return torch.from_numpy(found)

    @property
    def repeated(self) -> float:
        """Share of the chosen samples that are copies of others."""
        part = self.X[self.chosen.numpy()]
        return 1 - len(np.unique(part, axis=0)) / len(part)

    def joint(self, labels: Tensor, n_clusters: int) -> Tensor:
        """Shares of the pairs of a sample's cluster and a neighbour's, (n_clusters, n_clusters)."""
        cluster = labels.cpu()[self.chosen]
        theirs = cluster[self.neighbors]
        return pair_shares(cluster.repeat_interleave(theirs.shape[1]), theirs.flatten(), n_clusters)

    def __call__(
        self, labels: Tensor, n_clusters: int, disagreement: float = DISAGREEMENT
    ) -> float:
        """Of labels (n,), int64: at most ``log(n_clusters)``; 0 for one sample, which has no
        neighbours."""
        if len(self.chosen) < 2:
            return 0.0
        return comparable_information(self.joint(labels, n_clusters), disagreement).item()

    def uncertainty_coefficient(self, labels: Tensor, n_clusters: int) -> float:
        """Theil's U, ``I(c; c') / H(c)``: the share of the uncertainty about a sample's cluster
        that a neighbour's takes away, from 0 to 1; 0 with clusters that are empty or outliers."""
        if len(self.chosen) < 2:
            return 0.0
        joint = self.joint(labels, n_clusters)
        share = joint.sum(1)
        if n_clusters > 1 and share.min() < LEAST_SHARE / n_clusters:
            return 0.0
        information = joint_information(joint)
        return (information / entropy(share)).item() if information > 0 else float(n_clusters == 1)

    def closest(
        self, labels: Tensor, n_clusters: int, disagreement: float = DISAGREEMENT
    ) -> tuple[int, int]:
        """The two of the clusters whose union leaves most information."""
        return closest_clusters(self.joint(labels, n_clusters), disagreement)
