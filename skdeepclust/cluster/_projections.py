"""Clusters that lie apart in the data as they are: in all directions, or along a single one."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._sklearn_compat import warning_filters
from ..training import Rows
from ._neighbors import LEAST_SHARE, NeighborInformation, affordable, by_batches
from ._start_in_data import SMALLEST, lie_apart, pca_mixture

# Samples to find the direction with, most components, and samples for each of them at least: in as
# many dimensions as samples, there is a direction with gaps for any partition.
SUBSET, MOST_COMPONENTS, SAMPLES_PER_COMPONENT = 5_000, 100, 10
# Groups of given shares lie apart where their variance is at most this share of what cuts of a
# uniform density into as many parts have, 1 / K², ...
SPREAD = 0.5
# ... and each mean is as many of their standard deviations from the next as there, √12: where some
# lie far from others, cuts that leave two together and part a third have little variance too.
STEP = 12**0.5
# How far the share of a group may be from the given one, in units of 1 / K.
TOLERANCE = 0.25
# Groups of any shares lie apart where each mean is so many of their standard deviations from the
# next. In trials cuts of digits and MNIST had up to 4.4, of noise 5.8 and once, where it had heavy
# tails, 7.6, and those of a column of three values, with noise of a tenth of the steps between
# them, 9.8 and more.
SEPARATION = 8.0
# Parts of an axis, for each group, that such groups are joined from.
PARTS = 4
# Fewer samples are outliers.
LEAST_SAMPLES = 10


def separated_clusters(
    rows: Rows,
    shares: Tensor,
    information: NeighborInformation,
    rng: np.random.RandomState,
    *,
    of_any_shares: bool = False,
) -> Tensor | None:
    """Clusters that lie apart, if a Gaussian mixture on principal components finds such ones.

    Parameters and result are those of :func:`separated_groups`; ``information`` is of the rows.
    """
    if min(len(shares), len(rows)) < 2:
        return None
    posterior = pca_mixture(rows.X, len(shares), rng)
    labels = posterior.argmax(1)
    order, far = _names(labels, shares.numpy())
    if (far > TOLERANCE and not of_any_shares) or not lie_apart(posterior, information):
        return None
    return torch.from_numpy(order[labels])


def separated_groups(
    rows: Rows, shares: Tensor, rng: np.random.RandomState, *, of_any_shares: bool = False
) -> Tensor | None:
    """Groups of samples that lie apart along one independent component of the data.

    The components are FastICA's (Hyvärinen and Oja, "Independent component analysis: algorithms
    and applications", 2000); each of them is cut, and of those whose groups lie apart the most
    separated one is taken.

    Parameters
    ----------
    rows : Rows
    shares : Tensor of shape (n_clusters,)
        Of the groups; group k is one of about ``shares[k]``.
    rng : RandomState
    of_any_shares : bool
        Whether groups of other shares will do where no component has such ones.

    Returns
    -------
    Tensor of shape (n,), int64, or None
        None where no component has such groups.
    """
    size = affordable(SUBSET, rows.X.shape[1], SAMPLES_PER_COMPONENT)
    part = rows.X[np.sort(rng.permutation(len(rows))[:size])].astype(np.float64)
    unit = max(np.abs(part).max(), np.finfo(float).tiny)  # squares neither over nor under
    n_components = min(MOST_COMPONENTS, len(part) // SAMPLES_PER_COMPONENT, part.shape[1])
    if n_components == 0:
        return None
    with warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # what share of no variance at all
        pca = PCA(n_components, random_state=rng.randint(2**31 - 1)).fit(part / unit)
        variance = pca.explained_variance_
        kept = variance > SMALLEST * max(variance[0], np.finfo(float).tiny)
        if not kept.any():
            return None
        whitening = pca.components_[kept] / np.sqrt(variance[kept, None])  # (components, d)
        z = (part / unit - pca.mean_) @ whitening.T
        found = None
        for contrast, cut, tolerance in (
            ("logcosh", _variance_cut, TOLERANCE),
            (_skewness, _gap_cut, np.inf if of_any_shares else TOLERANCE),
        ):
            ica = FastICA(
                whiten=False,
                fun=contrast,
                max_iter=500,
                tol=1e-3,
                random_state=rng.randint(2**31 - 1),
            )
            try:
                components = ica.fit_transform(z)  # uncorrelated still, and of unit variance
            except ValueError:  # rows of a few points: no step from there that is finite
                continue
            found = _sharpest(cut, components, shares.numpy(), tolerance, rng)
            if found is not None:
                break
    if found is None:
        return None
    direction = found.axis @ ica.components_ @ whitening / unit
    values = by_batches(lambda some: some @ direction, rows.X)
    places = np.searchsorted(found.cuts, values - unit * pca.mean_ @ direction)
    return torch.from_numpy(found.order[places])


def _names(labels: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, float]:
    """What to call each cluster, so that cluster k is one of about ``shares[k]``, and how far the
    furthest is from its share, in units of 1 / K."""
    sizes = np.bincount(labels, minlength=len(shares)) / len(labels)
    order = np.empty(len(shares), dtype=np.int64)
    order[np.argsort(sizes, kind="stable")] = np.argsort(shares, kind="stable")
    return order, np.abs(sizes - shares[order]).max() * len(shares)


def _skewness(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A contrast for FastICA, value and slope: groups of unequal shares may have the kurtosis of a
    Gaussian, and be skewed."""
    return values**2, 2 * values.mean(-1)


class _Cut(NamedTuple):
    """Groups along an axis, numbered from left to right."""

    axis: np.ndarray
    cuts: np.ndarray  # between a group and the next
    labels: np.ndarray
    order: np.ndarray  # the name of each
    looseness: float  # at most 1 where they lie apart


def _sharpest(cut, z: np.ndarray, shares: np.ndarray, tolerance: float, rng) -> _Cut | None:
    """Of the cuts of whitened samples z whose groups lie apart, the one where they do most."""

    def along(axis: np.ndarray) -> _Cut:
        values = z @ axis
        cuts, looseness = cut(values, len(shares), rng)
        labels = np.searchsorted(cuts, values)
        order, far = _names(labels, shares)
        return _Cut(axis, cuts, labels, order, np.inf if far > tolerance else looseness)

    def direction(labels: np.ndarray) -> np.ndarray:
        """The axis along which the means of the groups spread most (Fisher's)."""
        counts = np.bincount(labels)
        sums = np.stack([z[labels == k].sum(0) for k in np.flatnonzero(counts)])
        scaled = sums / np.sqrt(counts[counts > 0, None])
        return np.linalg.svd(scaled, full_matrices=False)[2][0]

    best = min(map(along, np.eye(z.shape[1])), key=lambda found: found.looseness)
    # Groups show their direction more sharply than independence does.
    while (sharper := along(direction(best.labels))).looseness < best.looseness:
        best = sharper
    if best.looseness > 1:
        return None
    _, means, variances = _moments(z @ best.axis, best.labels, range(len(shares)))
    return best if (_separations(means, variances) >= STEP).all() else None


def _variance_cut(values: np.ndarray, n_groups: int, rng) -> tuple[np.ndarray, float]:
    """Cuts by k-means, where groups vary least."""
    kmeans = KMeans(n_groups, n_init=3, random_state=rng.randint(2**31 - 1)).fit(values[:, None])
    centers = np.sort(kmeans.cluster_centers_[:, 0])
    cuts = (centers[1:] + centers[:-1]) / 2
    share = kmeans.inertia_ / (len(values) * values.var())
    return cuts, share * n_groups**2 / SPREAD


def _gap_cut(values: np.ndarray, n_groups: int, rng) -> tuple[np.ndarray, float]:
    """Cuts where neighbouring groups are furthest apart in their own standard deviations."""
    n_parts = min(PARTS * n_groups, len(np.unique(values)))
    kmeans = KMeans(n_parts, n_init=1, random_state=rng.randint(2**31 - 1)).fit(values[:, None])
    from_the_left = np.argsort(kmeans.cluster_centers_[:, 0])
    found = from_the_left[np.isin(from_the_left, kmeans.labels_)]
    sizes, means, variances = _moments(values, kmeans.labels_, found)
    while len(sizes) > n_groups:
        k = _separations(means, variances).argmin()
        two, share = slice(k, k + 2), sizes[k : k + 2] / sizes[k : k + 2].sum()
        mean = share @ means[two]
        variances[k] = share @ (variances[two] + (means[two] - mean) ** 2)
        means[k], sizes[k] = mean, sizes[two].sum()
        sizes, means, variances = (np.delete(each, k + 1) for each in (sizes, means, variances))
    ordered, ends = np.sort(values), np.cumsum(sizes)[:-1]
    cuts = (ordered[ends - 1] + ordered[ends]) / 2
    fewest = max(LEAST_SAMPLES, LEAST_SHARE * len(values) / n_groups)
    if len(sizes) < max(2, n_groups) or sizes.min() < fewest:  # or outliers
        return cuts, np.inf
    return cuts, SEPARATION / _separations(means, variances).min()


def _moments(values: np.ndarray, labels: np.ndarray, groups) -> tuple[np.ndarray, ...]:
    """Size, mean and variance of each of the groups."""
    parts = [values[labels == k] for k in groups]
    return tuple(np.array([f(part) for part in parts]) for f in (len, np.mean, np.var))


def _separations(means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """From the mean of each group to the next, in standard deviations of the two."""
    spread = np.sqrt((variances[1:] + variances[:-1]) / 2)
    return np.diff(means) / np.maximum(spread, np.finfo(float).tiny)
