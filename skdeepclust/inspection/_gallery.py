"""What clusters look like: their most and least typical pictures, or a table's feature profiles."""

from __future__ import annotations

import numpy as np

from ._images import as_images, holds_images, mosaic_size, show_mosaic, to_pixels
from ._plotting import axes_to_draw_on, count_clusters, require_count, require_fitted, spread_of


def rank_by_typicality(estimator, X):
    """The samples of each cluster, the most typical first.

    Typical is what the soft assignment is highest for and, among equals, what lies nearest to the
    cluster's centre in the embedding.

    Parameters
    ----------
    estimator : clusterer with ``transform`` and ``predict_proba``
        Fitted.
    X : array-like of shape (n, n_features) or (n, C, H, W)

    Returns
    -------
    list of n_clusters ndarrays of int
        Indices into X; empty for a cluster without samples.
    """
    require_fitted(estimator)
    Z = np.asarray(estimator.transform(X))  # a table, after set_output
    return rank(estimator.predict_proba(X), Z, estimator.cluster_centers_)


def rank(proba: np.ndarray, Z: np.ndarray, centers: np.ndarray) -> list[np.ndarray]:
    labels, confidence = proba.argmax(1), proba.max(1)
    distance = np.linalg.norm(Z - centers[labels], axis=1)
    # Soft assignments of float32 that differ by their rounding are equal.
    order = np.lexsort((distance, -np.round(confidence, 5)))
    return [order[labels[order] == cluster] for cluster in range(len(centers))]


class ClusterGalleryDisplay:
    """The most and the least typical images of each cluster.

    Parameters
    ----------
    most, least : list of n_clusters ndarrays of shape (n_shown, C, H, W)
        uint8, or floats; fewer than others where a cluster is small.
    sizes : array-like of shape (n_clusters,)
        Samples in each cluster.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, most, least, sizes):
        self.most, self.least, self.sizes = most, least, sizes

    @classmethod
    def from_estimator(cls, estimator, X, *, n_samples=8):
        """Choose the images; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer with ``transform`` and ``predict_proba``
            Fitted on images; for tables there is :class:`ClusterProfilesDisplay`.
        X : array-like of shape (n, n_features) or (n, C, H, W)
        n_samples : int >= 1, default=8
            How many of either kind. No image is among both: a cluster with fewer than twice as many
            shows each image once.

        Returns
        -------
        ClusterGalleryDisplay
        """
        require_fitted(estimator)
        require_count("n_samples", n_samples)
        images = as_images(estimator, X)
        ranked = rank_by_typicality(estimator, X)
        chosen = [ends(members, n_samples) for members in ranked]
        return cls(
            [images[most] for most, _ in chosen],
            [images[least] for _, least in chosen],
            np.array([len(members) for members in ranked]),
        )

    def plot(self, ax=None):
        """Draw one row for each cluster: the most typical on the left, the least on the right.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : ClusterGalleryDisplay
        """
        n_most, n_least = (max(map(len, side)) for side in (self.most, self.least))
        # An empty column parts the two.
        columns, shift = n_most + (1 + n_least if n_least else 0), n_most + 1
        shape = self.most[0].shape[1:]
        images = np.zeros((len(self.most), columns, *shape), self.most[0].dtype)
        shown = np.zeros(images.shape[:2], bool)
        for cluster, (most, least) in enumerate(zip(self.most, self.least, strict=True)):
            for start, pictures in ((0, most), (shift, least)):
                images[cluster, start : start + len(pictures)] = pictures
                shown[cluster, start : start + len(pictures)] = True
        ax = axes_to_draw_on(ax, figsize=mosaic_size(len(images), columns, *shape[1:]))
        names = [f"{cluster}  ({size:,})" for cluster, size in enumerate(self.sizes)]
        show_mosaic(ax, to_pixels(images), names, shown)
        for start, count, name in ((0, n_most, "most typical"), (shift, n_least, "least typical")):
            if count:
                ax.text(start + count / 2, -0.12, name, ha="center", va="bottom")
        ax.set_ylabel("cluster (samples)")
        self.figure_, self.ax_ = ax.figure, ax
        return self


def ends(ranked: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n and, the last one first, the last n of what is not among these."""
    return ranked[:n], ranked[n:][::-1][:n]


class ClusterProfilesDisplay:
    """The mean of each feature in each cluster, in standard deviations from that of all samples.

    Parameters
    ----------
    profiles : ndarray of shape (n_clusters, n_features)
        NaN in the row of an empty cluster.
    feature_names : sequence of str, of length n_features
    sizes : array-like of shape (n_clusters,)

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, profiles, feature_names, sizes):
        self.profiles, self.feature_names, self.sizes = profiles, feature_names, sizes

    @classmethod
    def from_estimator(cls, estimator, X, *, feature_names=None):
        """Compute the profiles; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer
            Fitted on a table.
        X : array-like of shape (n, n_features)
        feature_names : sequence of str or None, default=None
            None takes the names that ``fit`` saw, or "x0", "x1" and so on.

        Returns
        -------
        ClusterProfilesDisplay
        """
        require_fitted(estimator)
        if holds_images(estimator):
            raise ValueError(
                f"{type(estimator).__name__} was fitted on images of shape "
                f"{estimator.input_shape_}; expected a table. ClusterGalleryDisplay shows images"
            )
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        return cls.from_predictions(
            X,
            estimator.predict(X),
            len(estimator.cluster_centers_),
            feature_names=feature_names,
        )

    @classmethod
    def from_predictions(cls, X, labels, n_clusters=None, *, feature_names=None):
        """Compute the profiles of given clusters; call :meth:`plot` to draw them.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        labels : array-like of shape (n,), int
            At least 0.
        n_clusters : int or None, default=None
            None takes one more than the greatest label.
        feature_names : sequence of str or None, default=None
            None is "x0", "x1" and so on.

        Returns
        -------
        ClusterProfilesDisplay
        """
        X, labels = np.asarray(X, dtype=np.float64), np.asarray(labels)
        if feature_names is None:
            feature_names = [f"x{i}" for i in range(X.shape[1])]
        if len(feature_names) != X.shape[1]:
            raise ValueError(
                f"feature_names has {len(feature_names)} names; expected {X.shape[1]}, one for "
                "each feature of X"
            )
        Z = (X - X.mean(0)) / spread_of(X)
        sizes = count_clusters(labels, n_clusters or 0)
        means = np.full((len(sizes), X.shape[1]), np.nan)
        for cluster in np.flatnonzero(sizes):
            means[cluster] = Z[labels == cluster].mean(0)
        return cls(means, [str(name) for name in feature_names], sizes)

    def telling(self, n_features):
        """The features that the clusters differ most in, in their order.

        Parameters
        ----------
        n_features : int >= 1
            How many; all where there are no more.

        Returns
        -------
        ndarray of int
        """
        variance = np.nanvar(self.profiles, axis=0)
        return np.sort(np.argsort(-variance, kind="stable")[:n_features])

    def plot(self, ax=None, *, max_features=25):
        """Draw a row for each feature and a column for each cluster.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
        max_features : int >= 1, default=25
            Where there are more features, those are drawn that the clusters differ most in.

        Returns
        -------
        self : ClusterProfilesDisplay
        """
        require_count("max_features", max_features)
        telling = self.telling(max_features)
        values = self.profiles[:, telling].T  # (n_features, K)
        n_features, n_clusters = values.shape
        names = [shorten(self.feature_names[i]) for i in telling]
        widest = max(map(len, names))
        size = (1.6 + 0.085 * widest + 0.45 * n_clusters, 1.3 + 0.25 * n_features)
        ax = axes_to_draw_on(ax, figsize=(max(size[0], 4.5), size[1]))
        limit = max(1e-12, np.nanmax(np.abs(values)))
        picture = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                ink = "white" if abs(value) > 0.6 * limit else "black"
                text = f"{value:.1f}".replace("-0.0", "0.0")
                ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
        ax.set(xticks=range(n_clusters), yticks=range(n_features), xlabel="cluster (samples below)")
        ax.set_xticklabels([f"{k}\n{size:,}" for k, size in enumerate(self.sizes)], fontsize=8)
        ax.set_yticklabels(names, parse_math=False)  # $ is what a user wrote
        ax.tick_params(length=0)
        left_out = len(self.feature_names) - n_features
        title = "mean of each feature"
        ax.set_title(f"{title}, {left_out} left out" if left_out else title)
        ax.figure.colorbar(picture, ax=ax, label="standard deviations", fraction=0.06, pad=0.02)
        self.figure_, self.ax_ = ax.figure, ax
        return self


def shorten(name: str, length: int = 30) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
