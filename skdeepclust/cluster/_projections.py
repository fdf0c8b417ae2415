"""One direction of the data along which its clusters lie apart."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from torch import Tensor

from .._sklearn_compat import warning_filters
from ..training import INFERENCE_BATCH, Rows
from ._neighbors import affordable

# Samples to find the direction with, most components, and samples for each of them at least: in as
# many dimensions as samples, there is a direction with gaps for any partition.
SUBSET, MOST_COMPONENTS, SAMPLES_PER_COMPONENT = 5_000, 100, 10
# Principal components of less variance, as a share of the largest, are rounding.
SMALLEST = 1e-6
# Groups lie apart where their variance is at most this share of what cuts of a uniform density
# into as many parts have, 1 / K²: about five standard deviations from one to the next.
APART = 0.5
# How far the share of a group may be from the given one, in units of 1 / K.
TOLERANCE = 0.25


def separated_groups(rows: Rows, shares: Tensor, rng: np.random.RandomState) -> Tensor | None:
    """Groups of samples that lie apart along one independent component of the data.

    The components are FastICA's (Hyvärinen and Oja, "Independent component analysis: algorithms
    and applications", 2000); k-means cuts each of them, and of those whose groups lie apart and
    have the given shares the most separated one is taken.

    Parameters
    ----------
    rows : Rows
    shares : Tensor of shape (n_clusters,)
        Of the groups; group k is one of about ``shares[k]``.
    rng : RandomState

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
        ica = FastICA(whiten=False, max_iter=500, tol=1e-3, random_state=rng.randint(2**31 - 1))
        z = ica.fit_transform(z)  # uncorrelated still, and of unit variance
        cuts = [_Cut(axis, z, shares.numpy(), rng) for axis in np.eye(z.shape[1])]
        best = min(cuts, key=lambda cut: cut.spread)
        # Groups show their direction more sharply than independence does.
        while (sharper := _Cut(best.direction(z), z, shares.numpy(), rng)).spread < best.spread:
            best = sharper
    if best.spread > APART / len(shares) ** 2:
        return None
    direction = best.axis @ ica.components_ @ whitening / unit
    values = [rows.X[some] @ direction for some in gen_batches(len(rows), INFERENCE_BATCH)]
    places = np.searchsorted(best.cuts, np.concatenate(values) - unit * pca.mean_ @ direction)
    return torch.from_numpy(best.order[places])


class _Cut:
    """Groups along an axis of whitened samples z, by k-means."""

    def __init__(self, axis: np.ndarray, z: np.ndarray, shares: np.ndarray, rng):
        n_groups, values = len(shares), z @ axis
        kmeans = KMeans(n_groups, n_init=3, random_state=rng.randint(2**31 - 1))
        self.axis, self.labels = axis, kmeans.fit_predict(values[:, None])
        centers = kmeans.cluster_centers_[:, 0]
        left_to_right = np.argsort(centers)
        sizes = np.bincount(self.labels, minlength=n_groups)[left_to_right] / len(values)
        self.cuts = (centers[left_to_right][1:] + centers[left_to_right][:-1]) / 2
        # Group k is one of about shares[k].
        self.order = np.empty(n_groups, dtype=np.int64)
        self.order[np.argsort(sizes, kind="stable")] = np.argsort(shares, kind="stable")
        # Variance within groups as a share of all.
        self.spread = kmeans.inertia_ / (len(values) * values.var())
        if np.abs(sizes - shares[self.order]).max() > TOLERANCE / n_groups:
            self.spread = np.inf

    def direction(self, z: np.ndarray) -> np.ndarray:
        """The axis along which the means of the groups spread most (Fisher's)."""
        means = np.stack([z[self.labels == k].sum(0) for k in np.unique(self.labels)])
        counts = np.bincount(self.labels)
        return np.linalg.svd(means / np.sqrt(counts[counts > 0, None]), full_matrices=False)[2][0]
