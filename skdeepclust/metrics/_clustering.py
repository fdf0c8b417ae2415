"""Agreement of clusters with known classes, each cluster standing for at most one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from sklearn.metrics.cluster import contingency_matrix


def _encode(labels: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct labels and each sample's position among them."""
    if isinstance(labels, (list, tuple)) and any(isinstance(label, str) for label in labels):
        labels = np.array(labels, dtype=object)  # or a missing one becomes the word "nan"
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(
            f"{name} has shape {labels.shape}; expected (n_samples,), one label per sample. "
            "Use .ravel() on a single column, .argmax(axis=1) on probabilities or one-hot rows."
        )
    if not len(labels):
        raise ValueError(f"{name} is empty (n_samples=0); pass the label of at least one sample.")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"{name} holds values that cannot be ordered ({error}); expected labels of one type, "
            "none missing. Drop samples without a label, or convert every label to str."
        ) from error
    if (classes != classes).any():  # only NaN and NaT differ from themselves
        raise ValueError(
            f"{name} holds missing values ({classes[-1]}); expected a label for every sample. "
            "Drop the samples without one, or give them a label of their own."
        )
    return classes, codes


def _match(
    labels_true: ArrayLike, labels_pred: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the classes, their sizes, and how many samples of each are in its matched cluster."""
    classes, codes_true = _encode(labels_true, "labels_true")
    _, codes_pred = _encode(labels_pred, "labels_pred")
    if len(codes_true) != len(codes_pred):
        raise ValueError(
            f"labels_true has {len(codes_true)} labels but labels_pred has {len(codes_pred)}; "
            "expected the same samples in the same order. Pass the labels that were predicted "
            "for exactly the samples of labels_true."
        )
    contingency = contingency_matrix(codes_true, codes_pred)  # (n_classes, n_clusters)
    matched, clusters = match_clusters(contingency)
    sizes = contingency.sum(axis=1)
    hits = np.zeros_like(sizes)
    hits[matched] = contingency[matched, clusters]
    return classes, sizes, hits


def match_clusters(contingency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes and clusters that belong together, by the counts (n_classes, n_clusters) of both."""
    # Several matchings can be equally accurate. The recalls add up to n_classes at most, so this
    # term stays below one sample: it decides ties, whatever the clusters are called, and no more.
    tie_break = contingency / contingency.sum(axis=1, keepdims=True) / (len(contingency) + 1)
    return linear_sum_assignment(contingency + tie_break, maximize=True)


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Share of samples whose cluster is matched to their class.

    Clusters are matched one to one with classes (Hungarian algorithm) so that as many samples as
    possible agree:

    .. math:: \max_m \frac{1}{n} \sum_{i=1}^{n} \mathbb{1}[y_i = m(c_i)]

    where :math:`m` runs over the one-to-one maps from clusters to classes. With more clusters
    than classes the surplus clusters are errors, and with fewer the surplus classes are. Unlike
    purity, the score cannot be raised by splitting clusters.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Known classes: numbers, strings, booleans, or any objects of one orderable type.
    labels_pred : array-like of shape (n_samples,)
        Cluster labels, of any type likewise. A noise label such as -1 counts as one more cluster.

    Returns
    -------
    accuracy : float
        In (0, 1]; 1 when clusters and classes are the same up to their names.

    Raises
    ------
    ValueError
        If the labels are empty, not 1-D, missing or not orderable, or differ in number.

    See Also
    --------
    balanced_clustering_accuracy : The same with every class counted equally.
    per_class_recall : The same class by class.

    Examples
    --------
    >>> from skdeepclust.metrics import clustering_accuracy
    >>> clustering_accuracy(["cat", "cat", "dog", "dog"], [1, 1, 0, 0])
    1.0
    >>> clustering_accuracy([0, 0, 0, 1], [0, 0, 1, 2])
    0.75
    """
    _, sizes, hits = _match(labels_true, labels_pred)
    return float(hits.sum() / sizes.sum())


def balanced_clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Mean of the per-class recalls, so that rare classes count as much as frequent ones.

    The matching is the one of :func:`clustering_accuracy`: it maximises the number of samples
    that agree, not this score, so that the two scores and :func:`per_class_recall` speak of the
    same clusters. Among equally accurate matchings, the one with the highest mean recall is
    taken, which makes the score independent of how clusters are named. With classes of equal
    size it equals the accuracy.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Known classes, of any orderable type.
    labels_pred : array-like of shape (n_samples,)
        Cluster labels, of any orderable type.

    Returns
    -------
    balanced_accuracy : float
        In (0, 1]; classes left without a cluster contribute 0.

    Raises
    ------
    ValueError
        If the labels are empty, not 1-D, missing or not orderable, or differ in number.

    Examples
    --------
    One cluster for everything finds the frequent class only:

    >>> from skdeepclust.metrics import balanced_clustering_accuracy, clustering_accuracy
    >>> labels_true, labels_pred = [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]
    >>> clustering_accuracy(labels_true, labels_pred)
    0.8
    >>> balanced_clustering_accuracy(labels_true, labels_pred)
    0.5
    """
    _, recall = per_class_recall(labels_true, labels_pred)
    return float(recall.mean())


def per_class_recall(
    labels_true: ArrayLike, labels_pred: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each class found in its matched cluster.

    The matching is the one of :func:`balanced_clustering_accuracy`, whose value is the mean of
    these recalls; weighted by class size they average to :func:`clustering_accuracy`. If matchings
    tie in both scores, which of the tied classes has the higher recall depends on the names of
    the clusters.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Known classes, of any orderable type.
    labels_pred : array-like of shape (n_samples,)
        Cluster labels, of any orderable type.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct values of `labels_true`, sorted.
    recall : ndarray of shape (n_classes,)
        Recall of each, in [0, 1]; 0 for a class left without a cluster.

    Raises
    ------
    ValueError
        If the labels are empty, not 1-D, missing or not orderable, or differ in number.

    Examples
    --------
    >>> from skdeepclust.metrics import per_class_recall
    >>> classes, recall = per_class_recall([0, 0, 0, 0, 1, 1], [5, 5, 5, 7, 7, 7])
    >>> classes
    array([0, 1])
    >>> recall
    array([0.75, 1.  ])
    """
    classes, sizes, hits = _match(labels_true, labels_pred)
    return classes, hits / sizes


def uniformity_index(labels: ArrayLike) -> float:
    r"""Entropy of the class sizes, relative to that of equal sizes.

    .. math:: -\frac{1}{\log K} \sum_{k=1}^{K} \frac{n_k}{n} \log \frac{n_k}{n}

    over the :math:`K` distinct labels present; labels that never occur cannot be counted.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Classes or clusters, of any orderable type.

    Returns
    -------
    uniformity : float
        In [0, 1]: 1 when two or more classes all have the same size, falling towards 0 as one
        class swallows the rest. A single class is that limit and gives 0, so that a collapsed
        clustering never passes for a balanced one.

    Raises
    ------
    ValueError
        If `labels` is empty, not 1-D, missing or not orderable.

    Examples
    --------
    >>> from skdeepclust.metrics import uniformity_index
    >>> uniformity_index(["a", "b", "a", "b"])
    1.0
    >>> round(uniformity_index([0, 0, 0, 1]), 3)
    0.811
    >>> uniformity_index([3, 3, 3])
    0.0
    """
    classes, codes = _encode(labels, "labels")
    if len(classes) == 1:
        return 0.0
    # Rounding can carry the entropy of equal sizes just above log K.
    return min(1.0, float(entropy(np.bincount(codes), base=len(classes))))
