"""How many clusters: what can be said without labels, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from ..inspection._stability import agreement, final_step, fit_whole
from ..metrics import silhouette_scorer

# Below the best by no more than this share of the range, a score is as good as the best.
TIE = 0.02


@dataclass
class NClustersSweep:
    """What :func:`sweep_n_clusters` found, and its display.

    Attributes
    ----------
    n_clusters : ndarray of shape (n_candidates,), int64
    stability : ndarray of shape (n_candidates,)
        Mean adjusted Rand index between runs.
    silhouette : ndarray of shape (n_candidates, n_runs)
        Mean silhouette in the embedding of each run.
    objective : ndarray of shape (n_candidates, n_runs)
        The best ``restart_scores_`` of each run; NaN for an estimator that has none.
    found : ndarray of shape (n_candidates,)
        Median number of clusters that have samples.
    recommended : int
        See :func:`sweep_n_clusters`.
    doubt : float
        The merit of the best other candidate as a share of the recommended one's, a merit being the
        mean of stability and silhouette, each from 0 for the least of the candidates to 1 for the
        largest; but at least 1 less the ``stability`` of the recommended one. From 0, nothing else
        comes near it, to 1, another candidate is as good. Poor candidates beside a good pair raise
        it: compare doubts of the same candidates alone.
    runner_up : int
        That candidate. One whose surplus clusters stay empty, so that it finds as many as the
        recommended one, says the same and is no rival.
    """

    n_clusters: np.ndarray
    stability: np.ndarray
    silhouette: np.ndarray
    objective: np.ndarray
    found: np.ndarray

    def __post_init__(self):
        merit = (_scaled(self.stability) + _scaled(self.silhouette.mean(1))) / 2
        # The first of equals: clusters beyond those that the data has stay empty and cost nothing.
        best = int(np.flatnonzero(merit >= merit.max() - TIE)[0])
        rivals = np.flatnonzero(self.found != self.found[best])
        if len(rivals) == 0:
            rivals = np.delete(np.arange(len(merit)), best)
        second = int(rivals[merit[rivals].argmax()])
        self.recommended = int(self.n_clusters[best])
        self.runner_up = int(self.n_clusters[second])
        near = merit[second] / merit[best] if merit[best] > 0 else 1.0
        # Merits say which is best of the candidates, which may all of them be none.
        self.doubt = float(np.clip(max(near, 1 - self.stability[best]), 0, 1))

    def plot(self, axes=None):
        """Draw every score against the number of clusters.

        Parameters
        ----------
        axes : sequence of 3 matplotlib Axes or None, default=None
            Makes a figure of its own when None.

        Returns
        -------
        self : NClustersSweep
            With ``axes_`` and ``figure_``.
        """
        from ..inspection._plotting import import_pyplot

        plt = import_pyplot()
        if axes is None:
            _, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
        values = {
            "stability": self.stability[:, None],
            "silhouette": self.silhouette,
            "objective": self.objective,
        }
        for ax, (name, scores) in zip(axes, values.items(), strict=True):
            ax.plot(self.n_clusters, scores, ".", color="#999999")
            ax.plot(self.n_clusters, scores.mean(1), color="#0072b2")
            ax.axvline(self.recommended, color="#d55e00", linestyle="--")
            ax.set(title=name, xlabel="n_clusters")
            ax.xaxis.get_major_locator().set_params(integer=True)
        self.axes_, self.figure_ = np.asarray(axes), axes[0].figure
        return self


def _scaled(scores: np.ndarray) -> np.ndarray:
    """From 0, the worst, to 1, the best."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def sweep_n_clusters(
    estimator, X, n_clusters=range(2, 11), *, n_runs=3, random_state=None, n_jobs=None
):
    """Fit an estimator with several numbers of clusters, and recommend one.

    Each is fitted with ``n_runs`` seeds. Two scores are comparable between numbers of clusters: how
    far the runs agree, and how well separated the clusters are in the embedding. Each is scaled to
    its range over the candidates; the recommendation has the highest mean of both, the smallest
    number among equals. The estimator's own objective is shown beside them, but not used: for most
    it means something else for every number of clusters. Runs that always begin alike agree for
    every number too: of vectors ``NeuralMixtureEM(init="random")`` tells more than the default.

    Parameters
    ----------
    estimator : clusterer with ``n_clusters``, ``random_state``, ``predict`` and ``transform``
        Or a Pipeline that ends in one. Cloned for each run.
    X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)
    n_clusters : iterable of int >= 2, default=range(2, 11)
        The candidates, at least two.
    n_runs : int >= 2, default=3
    random_state : int, RandomState instance or None, default=None
        Of the seeds, which are the same for all candidates.
    n_jobs : int or None, default=None
        Processes to fit in, as joblib counts them.

    Returns
    -------
    NClustersSweep

    Raises
    ------
    ValueError
        When there are fewer than two candidates or runs, or a candidate is below 2.
    KeyboardInterrupt
        When Ctrl-C has cut a run short.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust import NeuralMixtureEM
    >>> from skdeepclust.model_selection import sweep_n_clusters
    >>> X, _ = make_blobs(300, centers=4, n_features=6, random_state=0)
    >>> sweep = sweep_n_clusters(NeuralMixtureEM(), X, range(3, 6), n_runs=2, random_state=0)
    >>> sweep.recommended
    4
    """
    candidates = _candidates(n_clusters)
    if not isinstance(n_runs, Integral) or n_runs < 2:
        raise ValueError(f"n_runs={n_runs!r}; expected an int >= 2")
    rng = check_random_state(random_state)
    seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=n_runs)]
    runs = Parallel(n_jobs)(
        delayed(_scores_of)(estimator, X, k, seed) for k in candidates for seed in seeds
    )
    labels, silhouette, objective = (
        np.array(found).reshape(len(candidates), n_runs, -1) for found in zip(*runs, strict=True)
    )
    stability = np.array([agreement(of_one, rng).score for of_one in labels])
    found = np.array([np.median([len(np.unique(run)) for run in of_one]) for of_one in labels])
    return NClustersSweep(candidates, stability, silhouette[..., 0], objective[..., 0], found)


def _candidates(n_clusters: Iterable[int]) -> np.ndarray:
    candidates = list(n_clusters) if isinstance(n_clusters, Iterable) else []
    if len(set(candidates)) < 2 or not all(isinstance(k, Integral) and k >= 2 for k in candidates):
        raise ValueError(
            f"n_clusters={n_clusters!r}; expected at least two different integers, none below 2"
        )
    return np.array(sorted(set(candidates)))


def _scores_of(estimator, X, n_clusters: int, seed: int):
    fitted = fit_whole(estimator, X, n_clusters=int(n_clusters), random_state=seed)
    clusterer = final_step(fitted)
    objective = np.max(getattr(clusterer, "restart_scores_", np.nan))
    return np.asarray(clusterer.labels_), silhouette_scorer(fitted, X), objective
