"""Where clusters start: responsibilities for embeddings that no objective has shaped yet."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from .._sklearn_compat import warning_filters
from ..objectives import unite
from ..training import INFERENCE_BATCH
from ._mixtures import GaussianMixtureEM, posteriors, seed_centers
from ._neighbors import (
    APART,
    LEAST_SHARE,
    NEARLY_APART,
    START_DISAGREEMENT,
    WEIGHT_OF_ODDS,
    NeighborInformation,
    affordable,
    by_batches,
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
# Principal components for a single mixture, and for a start without a network: in trials 10 left
# classes of digits and MNIST together (.89 and .69; .94 and .73), and with 30 or 50 it took longer.
PRINCIPAL_COMPONENTS, START_COMPONENTS = 10, 20
# Principal components of less variance, as a share of the largest, are rounding.
SMALLEST = 1e-6
# Clusters along components of equal variance replace others where neighbours tell so many times as
# much of them, beyond what they tell of a cloud without clusters. In trials it was 2.9 times and
# more, or nothing was told of those before, where these were worse by a tenth in accuracy and more
# (spectra, pictures in uneven light or of many colours), 1.7 to 2.1 times for embeddings of MNIST,
# where they were as good or better, and 1.1 to 1.6 for pictures on which they were good or fair.
TIMES_AS_MUCH = 2.5
# The same for samples of no more columns than components, where nothing is left out. In trials it
# was 2.2 times and more for crabs, whose size hides what they are, and 1.5 and less for tables that
# became better or worse by it.
TIMES_OF_FEW_COLUMNS = 1.6
# Where less than that share of what chance leaves is told, as in clouds without clusters (.18 and
# less in trials), others are no better; of those worth taking it was .26 and more.
LEAST_TOLD = 0.2
# Clouds that chance is the mean of, where they are small.
CLOUDS = 5
# Mean of its largest posterior where its clusters lie apart. Neighbours alone do not tell: few of
# them cross a cut of a thin cluster. In trials blobs apart had .999 and more, cuts of lines, curves
# and bands .989 and less.
SURE = 0.995
# Share of rows that may be copies of others, for neighbours to tell anything.
MOST_REPEATED = 0.5


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
            # into K then tells the former and not the latter, and one into K + 1 tells both.
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
    """Of responsibilities (n, n_clusters) those whose clusters tell most; of equals the first."""
    told = [information.told(r.argmax(1), n_clusters) for r in starts]
    disagreement = START_DISAGREEMENT
    if max(told) >= NEARLY_APART:
        # The less is untold where it is least, the more does a neighbour elsewhere speak for a cut.
        odds = max(told) / max(1 - max(told), 1 / len(information.chosen))
        disagreement = WEIGHT_OF_ODDS * odds
    # Outliers as clusters, of which nothing is told, may have most information.
    sound = [r for r, share in zip(starts, told, strict=True) if share > 0]
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


def components_start(
    X: np.ndarray,
    n_clusters: int,
    rng: np.random.RandomState,
    information: NeighborInformation,
    device: torch.device,
) -> tuple[Tensor, NeighborInformation]:
    """What :func:`start_responsibilities` finds for rows along their leading principal components,
    without a network; and the neighbours that it was compared by, along them and in X.

    Parameters are those of :func:`principal_start`.
    """
    _, along = principal_components(X, START_COMPONENTS, n_clusters, rng)
    z = by_batches(lambda rows: along(rows).astype(np.float32), X)
    along_too = NeighborInformation(z, information)
    z = torch.from_numpy(z).to(device)
    return start_responsibilities("auto", z, n_clusters, rng, along_too), along_too


def principal_start(
    X: np.ndarray,
    n_clusters: int,
    rng: np.random.RandomState,
    information: NeighborInformation,
    device: torch.device,
) -> Tensor | None:
    """The clusters of :func:`components_start`, or others of the rows that tell more.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        In any units; those of the columns count.
    n_clusters : int
    rng : RandomState
    information : NeighborInformation
        Of X; neighbours along the components count as much. Clusters along components of equal
        variance replace its neighbours.
    device : torch.device

    Returns
    -------
    Tensor of shape (n,), int64, or None
        On the device. None where clusters are empty or outliers: columns with heavy tails have
        little else along these components.
    """
    r, along_too = components_start(X, n_clusters, rng, information, device)
    if X.shape[1] > START_COMPONENTS:
        r = compare_with_kmeans(r, X, rng, information)
    found = whitened_start(r.argmax(1), X, n_clusters, rng, along_too)
    if found is not None:
        r, information.replacement = found
    labels = r.argmax(1)
    sizes = torch.bincount(labels, minlength=n_clusters)
    return labels if sizes.min() >= max(1, LEAST_SHARE / n_clusters * len(X)) else None


def compare_with_components(
    r: Tensor, X: np.ndarray, rng: np.random.RandomState, information: NeighborInformation
) -> Tensor:
    """What was found in an embedding of X, or where a cluster of that is empty or a few outliers,
    as an autoencoder of few samples may leave them, what :func:`components_start` finds in X.

    Parameters
    ----------
    r : Tensor of shape (n, n_clusters)
        Responsibilities.
    X : ndarray of shape (n, n_features)
        In any units.
    rng : RandomState
    information : NeighborInformation
        Of the embedding beside that of X.

    Returns
    -------
    Tensor of shape (n, n_clusters), float32
        On the device of r.
    """
    n_clusters = r.shape[1]
    if information.told(r.argmax(1), n_clusters) > 0:
        return r
    beside, _ = components_start(X, n_clusters, rng, information.beside, r.device)
    return best_start([r, beside], n_clusters, information)


def compare_with_kmeans(
    r: Tensor, X: np.ndarray, rng: np.random.RandomState, information: NeighborInformation
) -> Tensor:
    """What was found in fewer numbers than X has, or k-means in X where that tells more.

    Parameters
    ----------
    r : Tensor of shape (n, n_clusters)
        Responsibilities.
    X : ndarray of shape (n, n_features)
        In any units; k-means is fitted to a part of it.
    rng : RandomState
        Stays where it is: a fit that keeps r goes on as it would without the comparison.
    information : NeighborInformation
        Of X alone: neighbours elsewhere would speak for what was found there.

    Returns
    -------
    Tensor of shape (n, n_clusters), float32
        On the device of r.
    """
    rng, n_clusters = deepcopy(rng), r.shape[1]
    part, scaled = _drawn(X, n_clusters, rng)
    kmeans = _kmeans(part, n_clusters, rng)
    labels = by_batches(lambda rows: kmeans.predict(scaled(rows)), X)
    beside = F.one_hot(torch.from_numpy(labels).long(), n_clusters).to(r)
    return best_start([r, beside], n_clusters, information)


def whitened_start(
    found: Tensor,
    X: np.ndarray,
    n_clusters: int,
    rng: np.random.RandomState,
    information: NeighborInformation,
) -> tuple[Tensor, Tensor] | None:
    """Clusters along principal components of equal variance, where neighbours there tell them far
    better than others tell those that were found; and these neighbours.

    What varies most need not be what tells classes: the baseline of a spectrum, the light on a
    picture. Neighbours as the data are, and k-means, see little else then.

    Parameters
    ----------
    found : Tensor of shape (n,), int64
        The clusters that were found; those of the samples that ``information`` compares count.
    X : ndarray of shape (n, n_features)
        In any units.
    n_clusters : int
    rng : RandomState
        Stays where it is, as in :func:`compare_with_kmeans`.
    information : NeighborInformation
        Of X.

    Returns
    -------
    (Tensor of shape (n, n_clusters), Tensor of shape (n_chosen, n_neighbors)) or None
        Responsibilities, float32, on the device of ``found``; places, int64, among the samples that
        ``information`` has chosen.
    """
    rng = deepcopy(rng)
    part, along = principal_components(X, START_COMPONENTS, n_clusters, rng)
    variance = part.var(0)
    kept = variance > SMALLEST * variance.max()
    if not kept.any():
        return None
    scale = np.sqrt(variance[kept])
    coordinates = by_batches(lambda rows: along(rows)[:, kept], X)
    z = coordinates / scale
    whitened, along_them = (
        NeighborInformation(each, chosen=information.chosen) for each in (z, coordinates)
    )

    def told_before(labels: Tensor) -> float:
        # In fewer dimensions neighbours may tell anything better: along the same ones too.
        return max(each.told(labels, n_clusters) for each in (information, along_them))

    def told_better(labels: Tensor) -> bool:
        return whitened.told(labels, n_clusters) > told_before(labels)

    def best_told(rows: np.ndarray, by: NeighborInformation) -> Tensor:
        rows = torch.from_numpy(rows.astype(np.float32)).to(found.device)
        return start_responsibilities("auto", rows, n_clusters, rng, by)

    # All starts take as long as those before; k-means tells soon whether it is worth it.
    kmeans = _kmeans(part[:, kept] / scale, n_clusters, rng)
    if not told_better(torch.from_numpy(by_batches(kmeans.predict, z)).long()):
        return None
    start = best_told(z, whitened)
    labels = start.argmax(1)
    if not told_better(labels):
        return None
    size = len(information.chosen)
    told, chance = (
        whitened.told(labels, n_clusters),
        told_of_gaussian(np.ones_like(scale), size, n_clusters, rng),
    )
    if told - chance <= LEAST_TOLD * (1 - chance):
        return None
    few = X.shape[1] <= START_COMPONENTS
    times = TIMES_OF_FEW_COLUMNS if few else TIMES_AS_MUCH
    chance_before = told_of_gaussian(scale, size, n_clusters, rng)

    def told_far_better_than(others: Tensor) -> bool:
        # Each as a share of what chance leaves, which of few samples may be nothing.
        more = (told - chance) * (1 - chance_before)
        return more > times * (told_before(others) - chance_before) * (1 - chance)

    if not told_far_better_than(found):
        return None
    # An embedding may know of clusters that neighbours in the data tell badly beside others.
    if few and not told_far_better_than(best_told(coordinates, along_them).argmax(1)):
        return None
    return start, whitened.neighbors


def told_of_gaussian(
    scale: np.ndarray, n: int, n_clusters: int, rng: np.random.RandomState
) -> float:
    """What neighbours tell of k-means' clusters of n samples of a Gaussian, which has none, with
    standard deviations ``scale``: the more, the fewer of them are large. Few samples differ in it,
    and are drawn more often."""
    told = []
    for _ in range(min(CLOUDS, max(1, SUBSET // n))):
        Z = scale * rng.normal(size=(n, len(scale)))
        labels = torch.from_numpy(_kmeans(Z, n_clusters, rng).labels_).long()
        told.append(NeighborInformation(Z).told(labels, n_clusters))
    return float(np.mean(told))


def pca_mixture(X: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> np.ndarray:
    """Posterior of a Gaussian mixture on principal components, as one would use without a network.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        In any units; fitted to a part of it.
    n_clusters : int
    rng : RandomState

    Returns
    -------
    ndarray of shape (n, n_clusters), float32
        Rows sum to 1.
    """
    part, along = principal_components(X, PRINCIPAL_COMPONENTS, n_clusters, rng)
    mixture = GaussianMixture(n_clusters, n_init=5, random_state=rng.randint(2**31 - 1))
    with warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(part)
    return by_batches(lambda rows: mixture.predict_proba(along(rows)).astype(np.float32), X)


def principal_components(
    X: np.ndarray, n_components: int, at_least: int, rng: np.random.RandomState
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Rows of X drawn at random, ``at_least`` so many, along their leading principal components,
    and what takes other rows there; in units of their spread, so that no floor of a variance is
    X's."""
    part, scaled = _drawn(X, at_least, rng)
    pca = PCA(min(n_components, *part.shape), random_state=rng.randint(2**31 - 1))
    with warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what share of no variance at all
        part = pca.fit_transform(part)
    return part, lambda rows: pca.transform(scaled(rows))


def _kmeans(part: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> KMeans:
    kmeans = KMeans(n_clusters, n_init=20, random_state=rng.randint(2**31 - 1))
    with warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans.fit(part)


def _drawn(
    X: np.ndarray, at_least: int, rng: np.random.RandomState
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Rows of X drawn at random, ``at_least`` so many, centred and in units of their spread, and
    what makes other rows so, float64."""
    size = affordable(SUBSET, X.shape[1], at_least)
    part = X[np.sort(rng.permutation(len(X))[:size])].astype(np.float64)
    center, spread = part.mean(0), np.sqrt(part.var(0).sum())

    def scaled(rows: np.ndarray) -> np.ndarray:
        return (rows - center) / (spread if spread > 0 else 1)

    return scaled(part), scaled


def lie_apart(posterior: np.ndarray, information: NeighborInformation) -> bool:
    """Whether clusters of a mixture lie apart, by its posterior (n, n_clusters): it is sure of
    them, and neighbours hardly ever differ in them."""
    # Copies of a row are neighbours that never differ, whatever the clusters are.
    if posterior.max(1).mean() < SURE or information.repeated > MOST_REPEATED:
        return False
    labels = torch.from_numpy(posterior.argmax(1))
    return information.told(labels, posterior.shape[1]) >= APART


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
