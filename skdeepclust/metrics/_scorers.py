"""Scorers for ``scoring=`` in scikit-learn's model selection; greater is better in all."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import make_scorer, silhouette_score

from ._clustering import balanced_clustering_accuracy, clustering_accuracy

#: `clustering_accuracy` of ``estimator.predict(X)``; called as ``scorer(estimator, X, y)``.
clustering_accuracy_scorer = make_scorer(clustering_accuracy)

#: `balanced_clustering_accuracy` of ``estimator.predict(X)``, called likewise.
balanced_clustering_accuracy_scorer = make_scorer(balanced_clustering_accuracy)

# The silhouette costs a distance for every pair: a few seconds at this size.
_SILHOUETTE_MAX_SAMPLES = 10_000


def silhouette_scorer(estimator: Any, X: Any, y: Any = None) -> float:
    """Mean silhouette of the predicted clusters in the estimator's own embedding.

    Needs no known classes, so it can steer a search on unlabelled data. The embedding differs
    between candidates: the score says how well separated each one's clusters look to itself.

    Parameters
    ----------
    estimator : fitted estimator
        Has ``predict`` (labels) and ``transform`` (embedding).
    X : array-like of shape (n_samples, ...)
        Samples, in whatever form the estimator takes.
    y : None
        Ignored; present because scikit-learn passes it.

    Returns
    -------
    silhouette : float
        In [-1, 1]. Above 10,000 samples, the mean over 10,000 drawn with a fixed seed, so equal
        inputs give equal scores. The silhouette is undefined with a single cluster or with a
        cluster for every sample: the score is then -1.0, the worst, rather than NaN, so that a
        search ranks a collapsed candidate last and one collapsed fold does not void the others.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skdeepclust.metrics import silhouette_scorer
    >>> X, _ = make_blobs(n_samples=150, centers=3, cluster_std=0.3, random_state=0)
    >>> search = GridSearchCV(
    ...     KMeans(random_state=0), {"n_clusters": [1, 3, 6]}, scoring=silhouette_scorer
    ... )
    >>> search.fit(X).best_params_
    {'n_clusters': 3}
    """
    labels = np.asarray(estimator.predict(X))
    embedding = np.asarray(estimator.transform(X))
    if len(labels) > _SILHOUETTE_MAX_SAMPLES:
        rng = np.random.default_rng(0)
        rows = rng.choice(len(labels), _SILHOUETTE_MAX_SAMPLES, replace=False)
        labels, embedding = labels[rows], embedding[rows]
    if not 1 < len(np.unique(labels)) < len(labels):
        return -1.0
    return float(silhouette_score(embedding, labels))
