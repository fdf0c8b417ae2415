"""The embedding seen from one side."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state, resample

from ._plotting import axes_to_draw_on, require_fitted, scatter_clusters

VIEWS = ("pca", "tsne", "umap")


class EmbeddingDisplay:
    """Samples and centres in a plane that shows the embedding, one colour and number a cluster.

    Samples are the fainter the less certain their cluster is. Where there are more clusters than
    colours, these come again with another marker.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
    labels : ndarray of shape (n,), int
    confidence : ndarray of shape (n,)
        Greatest soft assignment of each, in [0, 1].
    centers : ndarray of shape (n_clusters, 2)
    view : str, default="pca"
        What the axes are called after.
    indices : ndarray of shape (n,) or None, default=None
        Which rows of X the samples are; None means all.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, points, labels, confidence, centers, *, view="pca", indices=None):
        self.points, self.labels, self.confidence = points, labels, confidence
        self.centers, self.view = centers, view
        self.indices = np.arange(len(points)) if indices is None else indices

    @classmethod
    def from_estimator(cls, estimator, X, *, view="pca", max_samples=5000, random_state=None):
        """Embed samples and find the plane; call :meth:`plot` to draw it.

        Parameters
        ----------
        estimator : clusterer with ``transform`` and ``predict_proba``
            Fitted.
        X : array-like of shape (n, n_features) or (n, C, H, W)
        view : {"pca", "tsne", "umap"}, default="pca"
            How the embedding comes into the plane. "pca" keeps distances as well as two dimensions
            can; "tsne" and "umap" keep neighbours, and distances between groups mean little there.
            "umap" needs umap-learn: ``pip install skdeepclust[umap]``. An embedding of one or two
            dimensions is drawn as it is.
        max_samples : int >= 2 or None, default=5000
            Where X has more, so many are drawn at random; None shows all.
        random_state : int, RandomState instance or None, default=None
            Of that draw, and of "tsne" and "umap".

        Returns
        -------
        EmbeddingDisplay
        """
        require_fitted(estimator)
        if view not in VIEWS:
            raise ValueError(f"view={view!r}; expected one of {list(VIEWS)}")
        if max_samples is not None and (not isinstance(max_samples, Integral) or max_samples < 2):
            raise ValueError(f"max_samples={max_samples!r}; expected None or an int >= 2")
        rng = check_random_state(random_state)
        indices = np.arange(len(X))
        if max_samples is not None and len(X) > max_samples:
            drawn = {"replace": False, "n_samples": max_samples, "random_state": rng}
            X, indices = resample(X, indices, **drawn)
        proba = estimator.predict_proba(X)
        Z = np.asarray(estimator.transform(X))
        points, centers, view = into_plane(Z, estimator.cluster_centers_, view, rng)
        return cls(points, proba.argmax(1), proba.max(1), centers, view=view, indices=indices)

    def plot(self, ax=None):
        """Draw the samples, a cross for each centre, and each cluster's number.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : EmbeddingDisplay
        """
        ax = axes_to_draw_on(ax, figsize=(7, 6))
        ax.set(xticks=[], yticks=[], xlabel=f"{self.view} 1", ylabel=f"{self.view} 2")
        ax.scatter(*self.centers.T, marker="x", s=45, color="black", linewidths=1.2, zorder=4)
        scatter_clusters(ax, self.points, self.labels, opacity_of(self.confidence))
        self.figure_, self.ax_ = ax.figure, ax
        return self


def opacity_of(confidence: np.ndarray) -> np.ndarray:
    """From faint, but to be seen, to opaque."""
    return 0.15 + 0.75 * np.clip(confidence, 0, 1) ** 2


@config_context(transform_output="default")
def into_plane(
    Z: np.ndarray, centers: np.ndarray, view: str, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, str]:
    """Embeddings (n, latent_dim) and centres (K, latent_dim) in the plane, (n, 2) and (K, 2), and
    what its axes are called after."""
    if len(Z) < 2:
        raise ValueError(f"X holds {len(Z)} sample; expected at least 2, to lie in a plane")
    together = np.concatenate([Z, centers])
    if Z.shape[1] <= 2:
        plane, view = np.pad(together, ((0, 0), (0, 2 - Z.shape[1]))), "embedding"
    elif view == "pca":
        plane = PCA(2, random_state=rng).fit(Z).transform(together)
    elif view == "tsne":
        perplexity = min(30.0, (len(together) - 1) / 3)
        plane = TSNE(2, perplexity=perplexity, random_state=rng).fit_transform(together)
    else:
        # A seed makes UMAP run in one thread, and warn of it.
        seed = rng.randint(np.iinfo(np.int32).max)
        neighbors = min(15, len(together) - 1)
        umap = import_umap().UMAP(n_neighbors=neighbors, n_jobs=1, random_state=seed)
        plane = umap.fit_transform(together)
    return plane[: len(Z)], plane[len(Z) :], view


def import_umap():
    """umap, or an error that says how to get it."""
    try:
        import umap
    except ImportError as error:
        raise ImportError(
            "view='umap' needs umap-learn; install it with: pip install 'skdeepclust[umap]', or "
            "use view='tsne'"
        ) from error
    return umap
