"""Where clusters start: responsibilities for embeddings that no objective has shaped yet."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

# Several mixtures with more components than clusters, each on its own part of the data.
N_MIXTURES, SUBSET = 8, 10_000
# At most so many components per cluster, and so many samples per parameter of a component.
MOST_COMPONENTS, SAMPLES_PER_PARAMETER = 5, 2
# In units of the standardised embedding: keeps a component from closing in on a few samples.
REGULARIZATION = 3e-2


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
            return merged_mixtures(Z, n_clusters, rng)
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


def merged_mixtures(Z: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> np.ndarray:
    """Responsibilities agreed on by several Gaussian mixtures with more components than clusters.

    A class is seldom one Gaussian, and a mixture of ``n_clusters`` ends in a local optimum where
    one component covers two classes and another half a class. So each mixture gets too many, and
    components of all mixtures that claim the same samples are merged, as accumulated evidence (Fred
    and Jain, "Combining multiple clusterings using evidence accumulation", 2005; Hennig, "Methods
    for merging Gaussian mixture components", 2010), until ``n_clusters`` groups are left.

    Parameters
    ----------
    Z : ndarray of shape (n, latent_dim)
    n_clusters : int
    rng : RandomState

    Returns
    -------
    ndarray of shape (n, n_clusters), float32
        Rows sum to 1.
    """
    spread = Z.std(0)
    S = ((Z - Z.mean(0)) / np.where(spread > 0, spread, 1)).astype(np.float64)
    mixtures = []
    for _ in range(N_MIXTURES):
        part = S[rng.permutation(len(S))[:SUBSET]]
        mixtures.append(_mixture(part, n_clusters, rng).fit(part))
    claims = np.concatenate([mixture.predict_proba(part) for mixture in mixtures], axis=1)
    group = merge_components(claims, part, n_clusters)
    responsibilities = np.zeros((len(S), n_clusters))
    first = 0
    for mixture in mixtures:
        member = np.eye(n_clusters)[group[first : first + mixture.n_components]]
        responsibilities += mixture.predict_proba(S) @ member / N_MIXTURES
        first += mixture.n_components
    return responsibilities.astype(np.float32)


def _mixture(part: np.ndarray, n_clusters: int, rng: np.random.RandomState) -> GaussianMixture:
    """A mixture as rich as the samples can pay for, in covariance first and then in components."""
    n, dim = part.shape
    parameters = {"full": dim * (dim + 3) / 2 + 1, "diag": 2 * dim + 1, "spherical": dim + 2}
    affordable = [kind for kind, number in parameters.items() if n / n_clusters >= number]
    kind = affordable[0] if affordable else "spherical"
    components = int(n / (SAMPLES_PER_PARAMETER * parameters[kind]))
    return GaussianMixture(
        max(n_clusters, min(components, MOST_COMPONENTS * n_clusters)),
        covariance_type=kind,
        reg_covar=REGULARIZATION,
        init_params="k-means++",
        random_state=rng.randint(2**31 - 1),
    )


def merge_components(claims: np.ndarray, S: np.ndarray, n_groups: int) -> np.ndarray:
    """Merge components that claim the same samples.

    The pair to merge next is that with the largest lift, the probability that both claim a sample
    over what it would be by chance: unlike the overlap itself it does not favour large components.
    Where no pair overlaps, it is the pair with the nearest means.

    Parameters
    ----------
    claims : ndarray of shape (n, n_components)
        What part of each sample a component claims.
    S : ndarray of shape (n, dim)
        The samples.
    n_groups : int

    Returns
    -------
    ndarray of shape (n_components,), int
        Group of each component, from 0 to n_groups - 1.
    """
    overlap, size, total = claims.T @ claims, claims.sum(0), claims.T @ S
    group = np.arange(len(size))
    alive = list(group)
    while len(alive) > n_groups:
        weight = np.maximum(size[alive], np.finfo(float).tiny)
        lift = overlap[np.ix_(alive, alive)] / np.outer(weight, weight)
        np.fill_diagonal(lift, 0)
        if lift.max() == 0:
            means = total[alive] / weight[:, None]
            lift = -np.linalg.norm(means[:, None] - means, axis=2)
            np.fill_diagonal(lift, -np.inf)
        a, b = (alive[i] for i in np.unravel_index(lift.argmax(), lift.shape))
        overlap[a] += overlap[b]
        overlap[:, a] += overlap[:, b]
        size[a] += size[b]
        total[a] += total[b]
        group[group == b] = a
        alive.remove(b)
    return np.unique(group, return_inverse=True)[1]
