"""Whether other seeds, or other samples of the same kind, give the same clusters."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, resample

# Resamples of the runs, for the interval.
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Stability:
    """How far several runs agree.

    Attributes
    ----------
    score : float
        Mean adjusted Rand index of all pairs of runs, at most 1.
    interval : tuple of float
        Where 95 % of the means lie when runs are drawn with replacement.
    pairwise : ndarray of shape (n_runs, n_runs)
        Adjusted Rand index of each pair; the diagonal is 1.
    labels : ndarray of shape (n_runs, n_samples), int64
        The clusters of X in each run.
    """

    score: float
    interval: tuple[float, float]
    pairwise: np.ndarray
    labels: np.ndarray


def stability(estimator, X, *, n_runs=5, bootstrap=False, random_state=None, n_jobs=None):
    """Fit an estimator anew with other seeds, and compare the clusterings.

    Clusters that come out of every run are in the data; those that do not are one of several ways
    to cut it. The reverse does not hold: a coarse clustering can be stable too.

    Parameters
    ----------
    estimator : clusterer with ``random_state``, or Pipeline that ends in one
        Cloned for each run. With ``predict`` for ``bootstrap``, or where it has no ``labels_``.
    X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)
    n_runs : int >= 2, default=5
    bootstrap : bool, default=False
        Fit each run on samples drawn from X with replacement; all of X is then predicted.
    random_state : int, RandomState instance or None, default=None
        Of the seeds and draws.
    n_jobs : int or None, default=None
        Processes to fit in, as joblib counts them.

    Returns
    -------
    Stability

    Raises
    ------
    ValueError
        When ``n_runs`` is no integer of at least 2.
    KeyboardInterrupt
        When Ctrl-C has cut a run short, which says nothing of the others.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.cluster import KMeans
    >>> from skdeepclust.inspection import stability
    >>> X, _ = make_blobs(200, centers=3, random_state=0)
    >>> float(stability(KMeans(3), X, random_state=0).score)
    1.0
    """
    if not isinstance(n_runs, Integral) or n_runs < 2:
        raise ValueError(f"n_runs={n_runs!r}; expected an int >= 2")
    rng = check_random_state(random_state)
    seeds = rng.randint(np.iinfo(np.int32).max, size=n_runs)
    labels = np.array(
        Parallel(n_jobs)(delayed(_labels_of)(estimator, X, int(seed), bootstrap) for seed in seeds)
    )
    return agreement(labels, rng)


def _labels_of(estimator, X, seed: int, bootstrap: bool) -> np.ndarray:
    fitted = fit_whole(
        estimator, resample(X, random_state=seed) if bootstrap else X, random_state=seed
    )
    if not bootstrap and hasattr(final_step(fitted), "labels_"):  # not every clusterer has predict
        return np.asarray(final_step(fitted).labels_)
    return np.asarray(fitted.predict(X))


def final_step(estimator):
    """The clusterer, which may be the end of a pipeline."""
    return final_step(estimator.steps[-1][1]) if isinstance(estimator, Pipeline) else estimator


def prefix_of_final_step(estimator) -> str:
    """What names of its parameters begin with."""
    if not isinstance(estimator, Pipeline):
        return ""
    name, last = estimator.steps[-1]
    return f"{name}__{prefix_of_final_step(last)}"


def fit_whole(estimator, X, **params):
    """A clone with these parameters of its clusterer, fitted and not cut short by Ctrl-C."""
    prefix = prefix_of_final_step(estimator)
    fitted = clone(estimator).set_params(**{prefix + name: v for name, v in params.items()}).fit(X)
    if getattr(final_step(fitted), "stop_reason_", None) == "interrupted":
        raise KeyboardInterrupt
    return fitted


def agreement(labels: np.ndarray, rng: np.random.RandomState) -> Stability:
    """The :class:`Stability` of clusterings (n_runs, n_samples)."""
    n_runs = len(labels)
    pairwise = np.eye(n_runs)
    for a in range(n_runs):
        for b in range(a):
            pairwise[a, b] = pairwise[b, a] = adjusted_rand_score(labels[a], labels[b])
    means = []
    for drawn in rng.randint(n_runs, size=(N_RESAMPLES, n_runs)):
        # A run drawn twice agrees with itself, which says nothing.
        distinct = drawn[:, None] != drawn
        if distinct.any():
            means.append(pairwise[drawn[:, None], drawn][distinct].mean())
    low, high = np.percentile(means, [2.5, 97.5])
    score = pairwise[~np.eye(n_runs, dtype=bool)].mean()
    return Stability(float(score), (float(low), float(high)), pairwise, labels)
