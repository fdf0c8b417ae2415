"""Where clusters start in the data themselves: along their principal components, in units as they
are or of equal variance, by k-means, or where a mixture is sure of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from .._sklearn_compat import warning_filters
from ._neighbors import APART, LEAST_SHARE, NeighborInformation, affordable, by_batches
from ._start import SUBSET, best_start, start_responsibilities

# Principal components for a single mixture, and for a start without a network: in trials 10 left
# classes of digits and MNIST together (.89 and .69; .94 and .73), and with 30 or 50 it took longer.
PRINCIPAL_COMPONENTS, START_COMPONENTS = 10, 20
# Principal components of less variance, as a share of the largest, are rounding.
SMALLEST = 1e-6
# Clusters along components of equal variance replace others where their uncertainty coefficient is
# so many times that of the others, beyond that of a cloud without clusters. In trials it was 2.9
# times and more, or the others' was 0, where these were worse by a tenth in accuracy and more
# (spectra, pictures in uneven light or of many colours), 1.7 to 2.1 times for embeddings of MNIST,
# where they were as good or better, and 1.1 to 1.6 for pictures on which they were good or fair.
TIMES_AS_MUCH = 2.5
# The same for samples of no more columns than components, where nothing is left out. In trials it
# was 2.2 times and more for crabs, whose size hides what they are, and 1.5 and less for tables that
# became better or worse by it.
TIMES_OF_FEW_COLUMNS = 1.6
# Least coefficient of those worth taking, as a share of what chance leaves: in trials .26 and more,
# in clouds without clusters .18 and less.
LEAST_COEFFICIENT = 0.2
# Clouds that chance is the mean of, where they are small.
CLOUDS = 5
# Mean of its largest posterior where its clusters lie apart. Neighbours alone are not enough: few
# of them cross a cut of a thin cluster. In trials blobs apart had .999 and more, cuts of lines,
# curves and bands .989 and less.
SURE = 0.995
# Share of rows that may be copies of others, for neighbours to say anything.
MOST_REPEATED = 0.5


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
    """The clusters of :func:`components_start`, or others of the rows with more information.

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
    if information.uncertainty_coefficient(r.argmax(1), n_clusters) > 0:
        return r
    beside, _ = components_start(X, n_clusters, rng, information.beside, r.device)
    return best_start([r, beside], n_clusters, information)


def compare_with_kmeans(
    r: Tensor, X: np.ndarray, rng: np.random.RandomState, information: NeighborInformation
) -> Tensor:
    """What was found in fewer numbers than X has, or k-means in X where that has more information.

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
    """Clusters along principal components of equal variance, where neighbours there predict them
    far better than others predict those that were found; and these neighbours.

    What varies most may have nothing to do with classes: the baseline of a spectrum, the light on a
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

    def coefficient(labels: Tensor) -> float:
        return whitened.uncertainty_coefficient(labels, n_clusters)

    def coefficient_before(labels: Tensor) -> float:
        # In fewer dimensions neighbours may predict anything better: along the same ones too.
        views = information, along_them
        return max(each.uncertainty_coefficient(labels, n_clusters) for each in views)

    def best_along(rows: np.ndarray, by: NeighborInformation) -> Tensor:
        rows = torch.from_numpy(rows.astype(np.float32)).to(found.device)
        return start_responsibilities("auto", rows, n_clusters, rng, by)

    # All starts take as long as those before; k-means shows soon whether it is worth it.
    kmeans = _kmeans(part[:, kept] / scale, n_clusters, rng)
    by_kmeans = torch.from_numpy(by_batches(kmeans.predict, z)).long()
    if coefficient(by_kmeans) <= coefficient_before(by_kmeans):
        return None
    start = best_along(z, whitened)
    labels = start.argmax(1)
    known = coefficient(labels)
    if known <= coefficient_before(labels):
        return None
    size = len(information.chosen)
    chance = chance_coefficient(np.ones_like(scale), size, n_clusters, rng)
    if known - chance <= LEAST_COEFFICIENT * (1 - chance):
        return None
    few = X.shape[1] <= START_COMPONENTS
    times = TIMES_OF_FEW_COLUMNS if few else TIMES_AS_MUCH
    chance_before = chance_coefficient(scale, size, n_clusters, rng)

    def far_better_than(others: Tensor) -> bool:
        # Each as a share of what chance leaves, which of few samples may be nothing.
        more = (known - chance) * (1 - chance_before)
        return more > times * (coefficient_before(others) - chance_before) * (1 - chance)

    if not far_better_than(found):
        return None
    # An embedding may know of clusters that neighbours in the data predict badly beside others.
    if few and not far_better_than(best_along(coordinates, along_them).argmax(1)):
        return None
    return start, whitened.neighbors


def chance_coefficient(
    scale: np.ndarray, n: int, n_clusters: int, rng: np.random.RandomState
) -> float:
    """The uncertainty coefficient of k-means' clusters of n samples of a Gaussian, which has none,
    with standard deviations ``scale``: the higher, the fewer of them are large. Small samples vary
    in it, and are drawn more often."""
    found = []
    for _ in range(min(CLOUDS, max(1, SUBSET // n))):
        Z = scale * rng.normal(size=(n, len(scale)))
        labels = torch.from_numpy(_kmeans(Z, n_clusters, rng).labels_).long()
        found.append(NeighborInformation(Z).uncertainty_coefficient(labels, n_clusters))
    return float(np.mean(found))


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
    return information.uncertainty_coefficient(labels, posterior.shape[1]) >= APART
