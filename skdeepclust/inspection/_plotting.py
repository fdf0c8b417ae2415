"""matplotlib, where it is there, and what drawings of clusters have in common."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

# Okabe and Ito's colours, which people with any colour vision tell apart, without the yellow that
# is lost on white. Where they are used up, they come again with the next marker.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#595959")
MARKERS = ("o", "^", "s", "D", "P", "X")
# Room for the number of a cluster, in points.
LABEL_SIZE = 17


def import_pyplot():
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib; install it with: pip install 'skdeepclust[plot]'"
        ) from error
    return plt


def require_fitted(estimator) -> None:
    """Refuse what is not fitted, and a pipeline: its clusterer has the attributes."""
    if isinstance(estimator, Pipeline):
        raise TypeError(
            "expected a clusterer, not a Pipeline; give its last step, and what the steps before "
            "it make of X: pipeline[-1], pipeline[:-1].transform(X); columns keep their names "
            "there after pipeline.set_output(transform='pandas').fit(X)"
        )
    check_is_fitted(estimator)


def require_count(name: str, value) -> None:
    """An error unless a parameter that counts things is an integer of at least 1."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r}; expected an int >= 1")


def count_clusters(labels, n_clusters=0) -> np.ndarray:
    """Samples of each cluster, at least so many."""
    labels = np.asarray(labels)
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"labels has {labels.min()}; expected 0 and more: leave out noise, as "
            "labels[labels >= 0]"
        )
    return np.bincount(labels, minlength=n_clusters)


def axes_to_draw_on(ax, **figure):
    """The given Axes, or those of a new figure."""
    if ax is None:
        _, ax = import_pyplot().subplots(layout="constrained", **figure)
    return ax


def spread_of(X: np.ndarray) -> np.ndarray:
    """Standard deviation of each column (n_features,); 1 where it is constant, whose computed one
    is its rounding."""
    return np.where(np.ptp(X, axis=0) > 0, X.std(0), 1)


def color_of(cluster: int) -> str:
    return COLORS[cluster % len(COLORS)]


def marker_of(cluster: int) -> str:
    return MARKERS[cluster // len(COLORS) % len(MARKERS)]


def scatter_clusters(ax, points: np.ndarray, labels: np.ndarray, opacity=None) -> None:
    """Points of a plane by cluster, each cluster's number among its members."""
    size = np.clip(10_000 / len(points), 5, 30)
    opacity = np.ones(len(points)) if opacity is None else opacity
    clusters = np.unique(labels)
    for cluster in clusters:
        own = labels == cluster
        style = {"color": color_of(cluster), "marker": marker_of(cluster), "linewidths": 0}
        ax.scatter(*points[own].T, s=size, alpha=opacity[own], rasterized=True, **style)
    label_places(ax, places_of(points, labels, clusters), clusters)


def places_of(points: np.ndarray, labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Where each cluster's number goes: at the member nearest to the median, so that the number of
    a cluster in two pieces is not between them."""
    places = []
    for cluster in clusters:
        own = points[labels == cluster]
        places.append(own[np.linalg.norm(own - np.median(own, 0), axis=1).argmin()])
    return np.array(places)


def label_places(ax, places: np.ndarray, names) -> None:
    """Names at places, moved aside where they would cover each other."""
    from matplotlib.patheffects import withStroke

    ax.figure.draw_without_rendering()  # settles where the Axes are
    to_points = 72 / ax.figure.dpi
    anchors = ax.transData.transform(places) * to_points
    box = ax.get_window_extent()
    low, high = np.array(box.min) * to_points, np.array(box.max) * to_points
    # Above the place, where a centre may be marked.
    moved = spread(
        anchors + np.array([0, 10]), LABEL_SIZE, low + LABEL_SIZE / 2, high - LABEL_SIZE / 2
    )
    for name, place, offset in zip(names, places, moved - anchors, strict=True):
        ax.annotate(
            str(name),
            place,
            xytext=offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=11,
            fontweight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": "0.3", "lw": 0.8, "shrinkA": 6, "shrinkB": 0},
            zorder=5,
        )


def spread(places: np.ndarray, distance: float, low, high, n_steps: int = 200) -> np.ndarray:
    """Places moved apart to a distance from each other, (n, 2), within a box that has the room."""
    # What lies on one place has no direction to move in: each gets its own.
    angle = 2.4 * np.arange(len(places))
    moved = places + 1e-3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    for _ in range(n_steps):
        gap = moved[:, None] - moved[None]  # (n, n, 2)
        length = np.linalg.norm(gap, axis=2) + np.eye(len(places)) * distance
        lack = np.clip(distance * 1.05 - length, 0, None) * (1 - np.eye(len(places)))
        if not lack.any():
            break
        push = (gap * (lack / np.maximum(length, 1e-9) / 2)[..., None]).sum(1)
        moved = np.clip(moved + push, low, high)
    return moved
