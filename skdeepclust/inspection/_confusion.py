"""Which known classes the clusters hold."""

from __future__ import annotations

import numpy as np
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils.validation import check_is_fitted

from ..metrics import clustering_accuracy
from ..metrics._clustering import match_clusters
from ._gallery import shorten
from ._plotting import axes_to_draw_on


class ConfusionDisplay:
    """How many samples of each class are in each cluster.

    Clusters are matched one to one with classes so that as many samples as possible agree (the
    Hungarian algorithm), and stand in their classes' order; surplus ones come last. There may be
    more clusters than classes, or fewer.

    Parameters
    ----------
    counts : ndarray of shape (n_classes, n_clusters)
        Columns in the order of ``clusters``.
    classes : ndarray of shape (n_classes,)
    clusters : ndarray of shape (n_clusters,)
        Names of the columns.
    matched : ndarray of shape (n_classes,), int
        Column that each class is matched to, -1 for none.
    accuracy : float
        Share of the samples that agree.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from skdeepclust.inspection import ConfusionDisplay
    >>> display = ConfusionDisplay.from_predictions(["cat", "cat", "dog"], [1, 1, 0])
    >>> display.counts
    array([[2, 0],
           [0, 1]])
    >>> display.clusters
    array([1, 0])
    """

    def __init__(self, counts, classes, clusters, matched, accuracy):
        self.counts, self.classes, self.clusters = counts, classes, clusters
        self.matched, self.accuracy = matched, accuracy

    @classmethod
    def from_estimator(cls, estimator, X, y):
        """Compare predictions with known classes; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer with ``predict``
            Fitted.
        X : array-like of shape (n, n_features) or (n, C, H, W)
        y : array-like of shape (n,)
            Known classes, of any orderable type.

        Returns
        -------
        ConfusionDisplay
        """
        check_is_fitted(estimator)
        return cls.from_predictions(y, estimator.predict(X))

    @classmethod
    def from_predictions(cls, y_true, labels):
        """Compare labels with known classes; call :meth:`plot` to draw them.

        Parameters
        ----------
        y_true : array-like of shape (n,)
            Known classes, of any orderable type.
        labels : array-like of shape (n,)
            Clusters, of any orderable type.

        Returns
        -------
        ConfusionDisplay
        """
        accuracy = clustering_accuracy(y_true, labels)  # checks both
        classes, codes = np.unique(np.asarray(y_true), return_inverse=True)
        clusters, numbers = np.unique(np.asarray(labels), return_inverse=True)
        counts = contingency_matrix(codes, numbers)
        rows, columns = match_clusters(counts)
        surplus = np.setdiff1d(np.arange(len(clusters)), columns)
        matched = np.full(len(classes), -1)
        matched[rows] = np.arange(len(rows))  # rows come sorted
        order = np.concatenate([columns, surplus])
        return cls(counts[:, order], classes, clusters[order], matched, accuracy)

    def plot(self, ax=None):
        """Draw the counts, coloured by their share of the class; matches have a frame.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : ConfusionDisplay
        """
        n_classes, n_clusters = self.counts.shape
        names = [shorten(str(name), 20) for name in self.classes]
        # A count has to fit into its cell.
        cell = max(0.42, 0.09 * len(str(self.counts.max())) + 0.12)
        width = 1.9 + 0.08 * max(map(len, names)) + cell * n_clusters
        ax = axes_to_draw_on(ax, figsize=(max(4.5, width), max(3.2, 1.2 + 0.42 * n_classes)))
        shares = self.counts / self.counts.sum(1, keepdims=True)
        picture = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), count in np.ndenumerate(self.counts):
            if count:
                ink = "white" if shares[row, column] > 0.5 else "black"
                ax.text(column, row, count, ha="center", va="center", color=ink, fontsize=8)
        for row, column in enumerate(self.matched):
            if column >= 0:
                corner = column - 0.5, row - 0.5
                ax.add_patch(_frame(corner))
        ax.set(xticks=range(n_clusters), yticks=range(n_classes), xlabel="cluster", ylabel="class")
        numbers = [shorten(str(cluster), 8) for cluster in self.clusters]
        ax.set_xticklabels(numbers, parse_math=False)  # $ is what a user wrote
        ax.set_yticklabels(names, parse_math=False)
        ax.set_title(f"{self.accuracy:.1%} in their class's cluster")
        ax.figure.colorbar(picture, ax=ax, label="share of the class", fraction=0.06, pad=0.02)
        self.figure_, self.ax_ = ax.figure, ax
        return self


def _frame(corner):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.5)
