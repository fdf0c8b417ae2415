"""Where clusters start in an embedding: responsibilities that no objective has shaped yet."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._sklearn_compat import warning_filters
from ..objectives import unite
from ..training import INFERENCE_BATCH
from ._mixtures import GaussianMixtureEM, posteriors, seed_centers
from ._neighbors import (
    NEARLY_APART,
    START_DISAGREEMENT,
    WEIGHT_OF_ODDS,
    NeighborInformation,
)

# So many mixtures, each on its own part of the data.
N_MIXTURES, SUBSET = 32, 5_000
# Responsibilities that mixtures side by side may have: more no longer fit in a cache.
AT_ONCE = 2**19
# Components per cluster, at least and at most: as many as there are samples for.
COMPONENTS_PER_CLUSTER, SAMPLES_PER_PARAMETER = (2, 5), 1.25
# Products of coordinates of the samples of a mixture, in float64: at most 1 GB.
MOST_TERMS = 2**27
# Least variance of a component, in units of the embedding's mean variance, which keeps it from
# closing in on a few samples; and one for classes that are thin, as pictures much alike are.
REGULARIZATION, FINE_REGULARIZATION = 3e-2, 3e-4


def start_responsibilities(
    init,
    z: Tensor,
    n_clusters: int,
    rng: np.random.RandomState,
    information: NeighborInformation,
) -> Tensor:
    """Cluster the embeddings z with the method that ``init`` names.

    Parameters
    ----------
    init : {"auto", "gmm", "kmeans"} or clusterer
        A clusterer is cloned, and given a seed wherever it has ``random_state=None``.
    z : Tensor of shape (n, latent_dim)
    n_clusters : int
    rng : RandomState
    information : NeighborInformation
        How good clusters of z are. "auto" is the best of k-means and of the mixtures with either
        least variance, the finer one where there are samples enough; mixtures give two starts, the
        clusters they agree on, and one more of them of which two are united.

    Returns
    -------
    Tensor of shape (n, n_clusters), float32
        On the device of z; rows sum to 1.

    Raises
    ------
    ValueError
        When a user's clusterer does not return labels 0 to n_clusters - 1.
    """
    with warning_filters, warnings.catch_warnings():
        # Where there are fewer distinct embeddings than clusters, dead clusters get a warning of
        # their own later.
        warnings.simplefilter("ignore", ConvergenceWarning)

        def mixtures(regularization: float = REGULARIZATION) -> list[Tensor]:
            # The parts of a class whose samples vary may lie further apart than two others: a cut
            # into K then separates the former and not the latter, and one into K + 1 both.
            first, *finer = agreed_mixtures(z, n_clusters, rng, regularization)

            def closest(r: Tensor) -> tuple[int, int]:
                return information.closest(r.argmax(1), n_clusters + 1, START_DISAGREEMENT)

            return [first, *(unite(r, *closest(r)) for r in finer)]

        def clusterer(init) -> Tensor:
            found = _responsibilities_of(init, z.cpu().numpy(), n_clusters, rng)
            return torch.from_numpy(found).to(z.device)

        if not isinstance(init, str) or init == "kmeans":
            return clusterer(init)
        starts = mixtures()
        if init == "auto":
            starts.append(clusterer("kmeans"))
            if supports_most(len(z), z.shape[1], n_clusters):
                starts += mixtures(FINE_REGULARIZATION)
    return best_start(starts, n_clusters, information)


def best_start(starts: list[Tensor], n_clusters: int, information: NeighborInformation) -> Tensor:
    """Of responsibilities (n, n_clusters) those whose clusters have most information; of equals the
    first."""
    known = [information.uncertainty_coefficient(r.argmax(1), n_clusters) for r in starts]
    disagreement = START_DISAGREEMENT
    if max(known) >= NEARLY_APART:
        # The less is untold where it is least, the more does a neighbour elsewhere speak for a cut.
        odds = max(known) / max(1 - max(known), 1 / len(information.chosen))
        disagreement = WEIGHT_OF_ODDS * odds
    # Outliers as clusters, whose coefficient is 0, may have most information.
    sound = [r for r, share in zip(starts, known, strict=True) if share > 0]
    return max(sound or starts, key=lambda r: information(r.argmax(1), n_clusters, disagreement))


def _responsibilities_of(init, Z: np.ndarray, n_clusters: int, rng: np.random.RandomState):
    asked = KMeans(n_clusters, n_init=20) if isinstance(init, str) else init
    clusterer = clone(asked)
    for name, value in sorted(clusterer.get_params().items()):  # those of a pipeline's steps too
        if name.split("__")[-1] == "random_state" and value is None:
            clusterer.set_params(**{name: rng.randint(2**31 - 1)})
    labels = np.asarray(clusterer.fit_predict(Z))
    found = np.unique(labels)
    if len(found) > n_clusters or found[0] < 0 or found[-1] >= n_clusters:
        raise ValueError(
            f"init={init!r} returned labels {found[:5].tolist()}…, {len(found)} in all; expected "
            f"labels from 0 to {n_clusters - 1}: give it n_clusters={n_clusters}, or choose a "
            "clusterer without a noise label"
        )
    if hasattr(clusterer, "predict_proba"):
        posterior = clusterer.predict_proba(Z)
        if posterior.shape[1] != n_clusters:
            raise _fewer(init, posterior.shape[1], n_clusters)
        return posterior.astype(np.float32)
    if asked is init and len(found) < n_clusters <= len(np.unique(Z, axis=0)):
        raise _fewer(init, len(found), n_clusters)
    return np.eye(n_clusters, dtype=np.float32)[labels]


def _fewer(init, found: int, n_clusters: int) -> ValueError:
    return ValueError(
        f"init={init!r} found {found} clusters; expected n_clusters={n_clusters}: give it as many"
    )


def agreed_mixtures(
    z: Tensor, n_clusters: int, rng: np.random.RandomState, regularization: float = REGULARIZATION
) -> list[Tensor]:
    """Responsibilities agreed on by many Gaussian mixtures, with more components than clusters.

    A class is seldom one Gaussian, and a mixture of ``n_clusters`` ends in a local optimum where
    one component covers two classes and another half a class. So each mixture is as rich as the
    data support, and the graph between samples and the components of all mixtures that claim them
    is cut into ``n_clusters`` parts by its leading singular vectors (Fern and Brodley, "Solving
    cluster ensemble problems by bipartite graph partitioning", 2004).

    Parameters
    ----------
    z : Tensor of shape (n, latent_dim)
    n_clusters : int
    rng : RandomState

    Returns
    -------
    list of Tensor of shape (n, n_clusters) and (n, n_clusters + 1), float32
        Rows sum to 1. The second one where there are so many samples.
    """
    z = z.double()
    s = principal_coordinates(z)
    kind, n_components = choose_mixture(min(SUBSET, len(s)), s.shape[1], n_clusters)
    em = GaussianMixtureEM(kind, s.shape[1], regularization)
    # Those of all the samples go side by side, as many as there is room for.
    at_once = max(1, AT_ONCE // (len(s) * n_components)) if len(s) <= SUBSET else 1
    weights = []
    while len(weights) < N_MIXTURES:
        centers = []
        for _ in range(min(at_once, N_MIXTURES - len(weights))):
            chosen = torch.from_numpy(rng.permutation(len(s))[:SUBSET])
            part = s[chosen.to(s.device)]
            centers.append(seed_centers(part, n_components, rng.randint(2**31 - 1)))
        weights += em.fit(part, torch.stack(centers))
    claims = posteriors(em.terms(part), weights)
    numbers = range(n_clusters, min(n_clusters + 1, len(part)) + 1)
    cuts, shares = cut_bipartite_graph(claims.cpu().numpy(), numbers, rng.randint(2**31 - 1)), []
    for number, labels in zip(numbers, cuts, strict=True):
        # What share of a component lies in each cluster; a sample has it from its components.
        one_hot = F.one_hot(torch.from_numpy(labels).long(), number).to(claims)
        share = claims.T @ one_hot + torch.finfo(claims.dtype).tiny
        shares.append(share / share.sum(1, keepdim=True))
    share = torch.cat(shares, 1)
    found = [
        (posteriors(em.terms(rows), weights) @ share / N_MIXTURES).float()
        for rows in s.split(INFERENCE_BATCH)
    ]
    return list(torch.cat(found).split(list(numbers), 1))


def principal_coordinates(z: Tensor) -> Tensor:
    """z rotated to its principal axes, in units of their mean spread.

    A direction that the training has shrunk stays small: blown up to the spread of the others, its
    noise would count for as much as they do.
    """
    z = z - z.mean(0)
    # numpy's: torch's has spun for ever in a forked process
    _, axes = np.linalg.eigh((z.T @ z).cpu().numpy())
    z = z @ torch.from_numpy(axes.copy()).to(z)
    spread = z.square().mean().sqrt()
    return z / torch.where(spread > 0, spread, 1)


def choose_mixture(n: int, dim: int, n_clusters: int) -> tuple[str, int]:
    """Kind of covariances and number of components for n samples."""
    least, most = (each * n_clusters for each in COMPONENTS_PER_CLUSTER)
    parameters = dim * (dim + 3) / 2 + 1
    n_components = min(max(least, int(n / (SAMPLES_PER_PARAMETER * parameters))), most, n)
    # A covariance matrix of fewer samples than coordinates is the regularisation's, not theirs.
    full = n > dim * n_clusters and n * parameters <= MOST_TERMS
    return "full" if full else "spherical", n_components


def supports_most(n: int, dim: int, n_clusters: int) -> bool:
    """Whether mixtures on n samples have as many components as they ever do, of any shape."""
    chosen = choose_mixture(min(SUBSET, n), dim, n_clusters)
    return chosen == ("full", COMPONENTS_PER_CLUSTER[1] * n_clusters)


def cut_bipartite_graph(
    claims: np.ndarray, numbers: Iterable[int], seed: int
) -> Iterator[np.ndarray]:
    """Cut the graph between samples and components into so many clusters of samples, and so many.

    Parameters
    ----------
    claims : ndarray of shape (n, n_components)
        Weight of the edge between a sample and a component; rows have equal sums.
    numbers : iterable of int
    seed : int

    Yields
    ------
    ndarray of shape (n,), int
        For each of the numbers.
    """
    scaled = claims / np.sqrt(np.maximum(claims.sum(0), np.finfo(float).tiny))
    # The left singular vectors, by way of the smaller Gram matrix.
    of_samples = len(scaled) < scaled.shape[1]
    _, vectors = np.linalg.eigh(scaled @ scaled.T if of_samples else scaled.T @ scaled)
    for n_clusters in numbers:
        left = vectors[:, -n_clusters:]
        if not of_samples:
            left = scaled @ left
            left /= np.maximum(np.linalg.norm(left, axis=0), np.finfo(float).tiny)
        norm = np.linalg.norm(left, axis=1, keepdims=True)
        left = left / np.maximum(norm, np.finfo(float).tiny)
        yield KMeans(n_clusters, n_init=20, random_state=seed).fit_predict(left)
