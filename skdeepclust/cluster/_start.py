"""Where clusters start: responsibilities for embeddings that no objective has shaped yet."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

# A mixture's local optima differ more than anything that follows can mend, and its likelihood tells
# them apart without labels: many short runs on a part of the data, the best few to the end.
N_STARTS, SHORT, KEPT, LONG = 40, 15, 3, 200
SUBSET = 10_000
# In units of the standardised embedding: keeps a component from closing in on a few samples.
REGULARIZATION = 1e-3


def start_responsibilities(init, Z: np.ndarray, n_clusters: int, rng: np.random.RandomState):
    """Cluster the embeddings Z with the method that ``init`` names.

    Parameters
    ----------
    init : {"kmeans", "gmm"} or clusterer
        A clusterer is cloned, and given a seed where it has ``random_state=None``.
    Z : ndarray of shape (n, latent_dim)
    n_clusters : int
    rng : RandomState

    Returns
    -------
    ndarray of shape (n, n_clusters), float32
        Rows sum to 1.

    Raises
    ------
    ValueError
        When a user's clusterer does not return labels 0 to n_clusters - 1.
    """
    if isinstance(init, str):
        if init == "gmm":
            return _likeliest_mixture(Z, n_clusters, rng)
        init = KMeans(n_clusters, n_init=20)
    clusterer = clone(init)
    if "random_state" in clusterer.get_params() and clusterer.random_state is None:
        clusterer.set_params(random_state=rng.randint(2**31 - 1))
    with warnings.catch_warnings():
        # Fewer distinct embeddings than clusters: dead clusters get a warning of their own later.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = np.asarray(clusterer.fit_predict(Z))
    found = np.unique(labels)
    if len(found) > n_clusters or found[0] < 0 or found[-1] >= n_clusters:
        raise ValueError(
            f"init={init!r} returned labels {found[:5].tolist()}…, {len(found)} in all; expected "
            f"labels from 0 to {n_clusters - 1}: give it n_clusters={n_clusters}, or choose a "
            "clusterer without a noise label"
        )
    if hasattr(clusterer, "predict_proba"):
        return clusterer.predict_proba(Z).astype(np.float32)
    return np.eye(n_clusters, dtype=np.float32)[labels]


def _likeliest_mixture(Z: np.ndarray, n_clusters: int, rng: np.random.RandomState):
    """Responsibilities of the likeliest of many mixtures on the standardised embeddings."""
    spread = Z.std(0)
    S = (Z - Z.mean(0)) / np.where(spread > 0, spread, 1)
    part = S[rng.permutation(len(S))[:SUBSET]].astype(np.float64)
    covariance_type = _affordable_covariance(len(part) / n_clusters, Z.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # short runs are meant to be short
        mixtures = [
            GaussianMixture(
                n_clusters,
                covariance_type=covariance_type,
                reg_covar=REGULARIZATION,
                init_params="k-means++",
                max_iter=SHORT,
                warm_start=True,
                random_state=rng.randint(2**31 - 1),
            ).fit(part)
            for _ in range(N_STARTS)
        ]
        mixtures.sort(key=_log_likelihood, reverse=True)
        for mixture in mixtures[:KEPT]:
            mixture.set_params(max_iter=LONG).fit(part)
    best = max(mixtures[:KEPT], key=_log_likelihood)
    return best.predict_proba(S).astype(np.float32)


def _log_likelihood(mixture: GaussianMixture) -> float:
    return mixture.lower_bound_


def _affordable_covariance(samples_per_cluster: float, dim: int) -> str:
    """The richest covariance with no more parameters per cluster than a cluster has samples."""
    if samples_per_cluster >= dim * (dim + 3) / 2 + 1:
        return "full"
    return "diag" if samples_per_cluster >= 2 * dim + 1 else "spherical"
