"""Where in the plane each cluster is dense."""

from __future__ import annotations

import numpy as np

from ._plotting import axes_to_draw_on, import_pyplot, require_fitted


class ClusterDensityDisplay:
    """Contours of the clusters' posterior over a plane, and the samples in it.

    Tissera et al., "Neural Mixture Models with Expectation-Maximization for End-to-end Deep
    Clustering", fig. 5.

    Parameters
    ----------
    x, y : ndarray of shape (resolution,)
        The grid.
    proba : ndarray of shape (resolution, resolution, n_clusters)
        Posterior at ``(y[i], x[j])``.
    X : ndarray of shape (n, 2)
    labels : ndarray of shape (n,)

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, x, y, proba, X, labels):
        self.x, self.y, self.proba, self.X, self.labels = x, y, proba, X, labels

    @classmethod
    def from_estimator(cls, estimator, X, *, resolution=150, margin=0.1):
        """Evaluate the posterior on a grid round the samples; call :meth:`plot` to draw it.

        Parameters
        ----------
        estimator : clusterer with ``predict_proba``
            Fitted on two features.
        X : array-like of shape (n, 2)
        resolution : int >= 2, default=150
            Points of the grid along each side.
        margin : float >= 0, default=0.1
            What the grid exceeds the samples by, as a share of their range.

        Returns
        -------
        ClusterDensityDisplay
        """
        require_fitted(estimator)
        points = np.asarray(X)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(
                f"X has shape {points.shape}; expected (n_samples, 2): densities are drawn over a "
                "plane"
            )
        low, high = points.min(0), points.max(0)
        room = margin * (high - low)
        x, y = np.linspace(low - room, high + room, resolution).T
        grid = np.stack(np.meshgrid(x, y), -1)  # (resolution, resolution, 2)
        places = grid.reshape(-1, 2)
        if hasattr(X, "columns"):  # a data frame, whose names the estimator knows
            places = type(X)(dict(zip(X.columns, places.T, strict=True)))
        proba = estimator.predict_proba(places)
        return cls(x, y, proba.reshape(resolution, resolution, -1), points, estimator.predict(X))

    def plot(self, ax=None, *, cmap="tab10"):
        """Draw contours and samples, one colour a cluster.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
        cmap : str or Colormap, default='tab10'

        Returns
        -------
        self : ClusterDensityDisplay
        """
        ax = axes_to_draw_on(ax)
        colors = import_pyplot().get_cmap(cmap)
        for cluster in range(self.proba.shape[2]):
            color = colors(cluster % colors.N)
            density = self.proba[:, :, cluster]
            if density.max() > density.min():
                levels = np.linspace(0.5, 1, 4)[:-1] * density.max()
                ax.contour(self.x, self.y, density, levels, colors=[color], linewidths=0.8)
            members = self.X[self.labels == cluster]
            ax.scatter(*members.T, color=color, s=4, alpha=0.5)
        self.figure_, self.ax_ = ax.figure, ax
        return self
