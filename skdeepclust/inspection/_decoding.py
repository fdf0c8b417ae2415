"""What a network gives back of samples, and what it makes by itself."""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state, resample

from ._images import as_images, holds_images, mosaic_size, show_mosaic, to_pixels
from ._plotting import (
    axes_to_draw_on,
    color_of,
    require_count,
    require_fitted,
    scatter_clusters,
    spread_of,
)


class ReconstructionDisplay:
    """Samples, and below each what the decoder gives back.

    Of a table, every number that is given back against the one that it stands for, in standard
    deviations of its feature.

    Parameters
    ----------
    originals, reconstructions : ndarray of shape (n, C, H, W) or (n, n_features)
        Of floats on the same scale.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, originals, reconstructions):
        self.originals, self.reconstructions = originals, reconstructions

    @classmethod
    def from_estimator(cls, estimator, X, *, n_samples=12, random_state=None):
        """Reconstruct samples; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer with ``reconstruct``
            Fitted.
        X : array-like of shape (n, n_features) or (n, C, H, W)
        n_samples : int >= 1, default=12
            Samples drawn at random from X, which are all where it has no more. They are ordered by
            cluster.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        ReconstructionDisplay
        """
        require_fitted(estimator)
        _require(estimator, "reconstruct", "no decoder", "StatDEC or DVC")
        require_count("n_samples", n_samples)
        count = min(n_samples, len(X))
        chosen = resample(X, replace=False, n_samples=count, random_state=random_state)
        order = np.argsort(estimator.predict(chosen), kind="stable")
        back, chosen = estimator.reconstruct(chosen)[order], np.asarray(chosen)[order]
        if not holds_images(estimator):
            return cls(chosen.astype(np.float64), back)  # of a table of several types: objects
        originals = as_images(estimator, chosen)
        if originals.dtype == np.uint8:  # reconstructions are within [0, 1]
            originals = originals / np.float32(255)
        return cls(originals, as_images(estimator, back))

    def plot(self, ax=None):
        """Draw samples and reconstructions.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : ReconstructionDisplay
        """
        if self.originals.ndim == 4:
            pixels = to_pixels(np.stack([self.originals, self.reconstructions]))
            size = mosaic_size(*pixels.shape[:4], inches=0.8)
            ax = axes_to_draw_on(ax, figsize=size)
            show_mosaic(ax, pixels, ["sample", "given back"])
        else:
            ax = self._plot_numbers(axes_to_draw_on(ax, figsize=(5, 5)))
        self.figure_, self.ax_ = ax.figure, ax
        return self

    def _plot_numbers(self, ax):
        mean, scale = self.originals.mean(0), spread_of(self.originals)
        x, y = (
            ((values - mean) / scale).ravel() for values in (self.originals, self.reconstructions)
        )
        ends = min(x.min(), y.min()), max(x.max(), y.max())
        ax.plot(ends, ends, color="0.5", linestyle="--", linewidth=1)
        ax.scatter(x, y, s=8, alpha=0.5, color=color_of(0), linewidths=0)
        ax.set(xlabel="sample (standard deviations)", ylabel="given back (standard deviations)")
        ax.set_aspect("equal")
        return ax


class GeneratedSamplesDisplay:
    """Samples that the model makes for each cluster.

    Images are drawn one row a cluster; those of a table in the plane of their two principal
    components, or of their two features.

    Parameters
    ----------
    samples : ndarray of shape (n_clusters, n_samples, C, H, W) or (n_clusters, n_samples, \
            n_features)

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, samples):
        self.samples = samples

    @classmethod
    def from_estimator(cls, estimator, *, n_samples=10, random_state=None):
        """Generate samples; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer with ``sample``
            Fitted.
        n_samples : int >= 1, default=10
            For each cluster.
        random_state : int, RandomState instance or None, default=None
            None is the estimator's own.

        Returns
        -------
        GeneratedSamplesDisplay
        """
        require_fitted(estimator)
        _require(estimator, "sample", "no generator", "DVC or PreciseFeatureGAN")
        require_count("n_samples", n_samples)
        own = estimator.random_state if random_state is None else random_state
        rng = check_random_state(own)
        made = [
            estimator.sample(n_samples, cluster=cluster, random_state=rng)[0]
            for cluster in range(len(estimator.cluster_centers_))
        ]
        if holds_images(estimator):
            made = [as_images(estimator, part) for part in made]
        return cls(np.stack(made))

    def plot(self, ax=None):
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : GeneratedSamplesDisplay
        """
        if self.samples.ndim == 5:
            pixels = to_pixels(self.samples)
            ax = axes_to_draw_on(ax, figsize=mosaic_size(*pixels.shape[:4]))
            show_mosaic(ax, pixels, range(len(pixels)))
            ax.set_ylabel("cluster")
        else:
            ax = self._plot_plane(axes_to_draw_on(ax, figsize=(6, 5)))
        self.figure_, self.ax_ = ax.figure, ax
        return self

    @config_context(transform_output="default")
    def _plot_plane(self, ax):
        n_clusters, n_samples, n_features = self.samples.shape
        points = self.samples.reshape(-1, n_features)
        names = "feature"
        if n_features > 2 and len(points) > 1:
            points, names = PCA(2, random_state=0).fit_transform(points), "pca"
        elif n_features == 1:
            points = np.pad(points, ((0, 0), (0, 1)))
        else:
            points = points[:, :2]
        ax.set(xlabel=f"{names} 1", ylabel=f"{names} 2")
        scatter_clusters(ax, points, np.repeat(np.arange(n_clusters), n_samples))
        return ax


def _require(estimator, method: str, lack: str, others: str) -> None:
    if not hasattr(estimator, method):
        raise TypeError(
            f"{type(estimator).__name__} has {lack}; expected an estimator with {method}(), like "
            f"{others}"
        )
