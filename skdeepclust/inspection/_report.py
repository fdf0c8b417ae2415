"""A run on one page that needs no network."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.utils import check_random_state

from .._version import __version__
from .._whole_file import write_whole
from ..metrics import balanced_clustering_accuracy, clustering_accuracy
from ._confusion import ConfusionDisplay
from ._embedding import VIEWS, into_plane, opacity_of
from ._gallery import ClusterProfilesDisplay, ends, rank
from ._images import as_images, holds_images
from ._plotting import (
    COLORS,
    LABEL_SIZE,
    color_of,
    import_pyplot,
    places_of,
    require_fitted,
    spread,
)
from ._sprite import make_sprite
from ._training import ClusterSizesDisplay, TrainingCurvesDisplay

# More points are too slow to be moved about in a browser.
MAX_POINTS = 20_000
# Most and least typical samples of a cluster, and uncertain ones of all.
N_TYPICAL, N_UNCERTAIN = 10, 48
# Of classes in a table, and of features in what a point tells of itself.
MAX_CLASSES, MAX_FEATURES = 50, 6
PLOT = (960, 620)
# As in the other drawings: the next one where the colours are used up.
MARKERS = ("circle", "triangle", "square", "diamond", "plus", "hex")


def report(estimator, X, path, labels=None, *, view="pca", random_state=0):
    """Write a page about a run: how it went, what the clusters are, and what to look at again.

    The page is one HTML file that needs no network. It has the class, its parameters and the
    versions; how the training ended, and its curves; the clusters' sizes; the embedding, to zoom,
    with each sample's picture or features under the pointer; typical images or feature profiles of
    each cluster; and the samples whose cluster is least certain. Clusters can be named there, and
    the labels downloaded as CSV with columns row, cluster, name and confidence.

    Parameters
    ----------
    estimator : clusterer of this package
        Fitted.
    X : array-like of shape (n, n_features) or (n, C, H, W)
        Samples to show; those of the training or others.
    path : str or path-like
        Of the page. What is there is replaced, once the new page is complete.
    labels : array-like of shape (n,) or None, default=None
        Known classes, shown with each sample and compared with the clusters.
    view : {"pca", "tsne", "umap"}, default="pca"
        How the embedding comes into the plane; see :class:`EmbeddingDisplay`.
    random_state : int, RandomState instance or None, default=0
        Of "tsne" and "umap", and of the 20,000 samples that are shown where X has more; the CSV
        has all of them.

    Raises
    ------
    ImportError
        When bokeh, matplotlib or pillow is missing: ``pip install skdeepclust[report]``.
    ValueError
        When ``view`` is unknown, X has a single sample, or ``labels`` are of another number than
        the samples, or missing for some.
    TypeError
        When the estimator is a Pipeline, or none of this package's.
    OSError
        When the page cannot be written.
    """
    require_fitted(estimator)
    if not hasattr(estimator, "restart_scores_"):
        raise TypeError(
            f"expected one of this package's estimators, not {type(estimator).__name__}, which "
            "has no training to show"
        )
    require_packages()
    if view not in VIEWS:
        raise ValueError(f"view={view!r}; expected one of {list(VIEWS)}")
    proba = estimator.predict_proba(X)
    if labels is not None and np.shape(labels) != (len(proba),):
        raise ValueError(
            f"labels has shape {np.shape(labels)}; expected ({len(proba)},), a class for each "
            "sample of X"
        )
    page = _Page(estimator, X, proba, labels, view, check_random_state(random_state))
    write_whole(path, page.render().encode())


class _Page:
    """What the template needs; samples go by their row in X."""

    def __init__(self, estimator, X, proba, classes, view, rng):
        self.estimator, self.proba = estimator, proba
        self.clusters, self.confidence = proba.argmax(1), proba.max(1)
        self.classes = None if classes is None else np.asarray(classes)
        self.scores = self._scores(classes)  # which refuses what are no classes
        self.feature_names = getattr(estimator, "feature_names_in_", None)
        self.X = np.asarray(X)
        self.embedding = np.asarray(estimator.transform(X))
        n, n_clusters = proba.shape
        ranked = rank(proba, self.embedding, estimator.cluster_centers_)
        self.typical = [ends(members, N_TYPICAL) for members in ranked]
        self.uncertain = np.argsort(self.confidence, kind="stable")[: min(N_UNCERTAIN, n)]
        self.sizes = np.bincount(self.clusters, minlength=n_clusters)
        points = np.arange(n) if n <= MAX_POINTS else rng.choice(n, MAX_POINTS, replace=False)
        self.points = np.sort(points)
        self.plane, _, self.view = into_plane(
            self.embedding[self.points], estimator.cluster_centers_, view, rng
        )
        self.sprite = None
        if holds_images(estimator):
            featured = [rows for pair in self.typical for rows in pair]
            self.pictured = np.unique(np.concatenate([self.points, self.uncertain, *featured]))
            self.sprite = make_sprite(as_images(estimator, self.X)[self.pictured])

    def render(self) -> str:
        from bokeh.embed import components
        from bokeh.resources import Resources
        from jinja2 import Environment

        # Everything that a user may have written is escaped, unless the template says otherwise.
        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(
            Path(__file__).with_name("_report.html").read_text(encoding="utf-8")
        )
        script, plot = components(self._plot())
        return template.render(
            page=self,
            facts=self._facts(),
            parameters=self._parameters(),
            pictures=self._pictures(),
            scores=self.scores,
            bokeh=Resources("inline", components=["bokeh"]).render(),
            script=script,
            plot=plot,
            data=self._data(),
            color_of=color_of,
            n_colors=len(COLORS),
        )

    # ------------------------------------------------------------------ how it went

    def _facts(self) -> dict[str, str]:
        estimator, n = self.estimator, len(self.proba)
        scores = ", ".join(f"{score:.6g}" for score in estimator.restart_scores_)
        return {
            "Samples": f"{n:,}",
            "Shape of a sample": str(tuple(estimator._sample_shape)),
            "Shape that the network sees": str(tuple(estimator.input_shape_)),
            "Ended": f"{estimator.stop_reason_} after n_iter_={estimator.n_iter_}",
            "Unsupervised score of each restart": scores,
            "Versions": f"skdeepclust {__version__}, torch {torch.__version__}, "
            f"scikit-learn {sklearn.__version__}",
        }

    def _parameters(self) -> dict[str, str]:
        return {name: repr(value) for name, value in self.estimator.get_params(deep=False).items()}

    def _scores(self, classes) -> dict[str, str]:
        if classes is None:
            return {}
        return {
            "Clustering accuracy": f"{clustering_accuracy(classes, self.clusters):.4f}",
            "Mean recall of the classes": (
                f"{balanced_clustering_accuracy(classes, self.clusters):.4f}"
            ),
        }

    def _pictures(self) -> dict[str, str]:
        displays = {
            "curves": TrainingCurvesDisplay.from_estimator(self.estimator),
            "sizes": ClusterSizesDisplay(self.sizes),
        }
        if self.sprite is None:
            displays["profiles"] = ClusterProfilesDisplay.from_predictions(
                self.X, self.clusters, len(self.sizes), feature_names=self.feature_names
            )
        if self.classes is not None and len(np.unique(self.classes)) <= MAX_CLASSES:
            displays["confusion"] = ConfusionDisplay.from_predictions(self.classes, self.clusters)
        return {name: _svg(display.plot().figure_) for name, display in displays.items()}

    # ------------------------------------------------------------------ the embedding

    def _plot(self):
        from bokeh.models import ColumnDataSource, HoverTool, LabelSet
        from bokeh.plotting import figure

        clusters = self.clusters[self.points]
        columns, tooltips = self._described()
        source = ColumnDataSource(
            {
                "x": self.plane[:, 0],
                "y": self.plane[:, 1],
                "color": [color_of(cluster) for cluster in clusters],
                "marker": [MARKERS[cluster // len(COLORS) % len(MARKERS)] for cluster in clusters],
                "opacity": opacity_of(self.confidence[self.points]),
                **columns,
            },
            name="samples",
        )
        plot = figure(
            name="embedding",
            width=PLOT[0],
            height=PLOT[1],
            tools="pan,wheel_zoom,box_zoom,reset",
            active_scroll="wheel_zoom",
            sizing_mode="scale_width",
            toolbar_location="above",
            output_backend="canvas",
        )
        plot.toolbar.logo = None
        plot.grid.visible = False
        plot.axis.major_label_text_font_size = "0pt"
        plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = None
        plot.xaxis.axis_label, plot.yaxis.axis_label = (f"{self.view} {i}" for i in (1, 2))
        style = {"size": 7 if len(clusters) < 3000 else 5, "line_color": None}
        dots = plot.scatter(
            "x",
            "y",
            source=source,
            marker="marker",
            fill_color="color",
            fill_alpha="opacity",
            **style,
        )
        # Of several samples under the pointer, one: a heap of them hides the plot.
        plot.add_tools(HoverTool(renderers=[dots], tooltips=tooltips, limit=1))
        plot.add_layout(LabelSet(source=ColumnDataSource(self._numbers(clusters)), **NUMBER))
        return plot

    def _described(self) -> tuple[dict, str | list]:
        """What the pointer tells of a sample, and the columns that it takes."""
        rows, clusters = self.points, self.clusters[self.points]
        columns = {
            "row": rows,
            "cluster": clusters,
            "name": np.full(len(rows), "", dtype=object).tolist(),
            "confidence": np.round(self.confidence[rows], 4),
        }
        told = [
            ("row", "@row"),
            ("cluster", "@cluster @name"),
            ("confidence", "@confidence{0.000}"),
        ]
        if self.classes is not None:
            columns["class"] = [str(name) for name in self.classes[rows]]
            told.append(("class", "@class"))
        if self.sprite is None:
            profiles = ClusterProfilesDisplay.from_predictions(
                self.X, self.clusters, len(self.sizes), feature_names=self.feature_names
            )
            for i, feature in enumerate(profiles.telling(MAX_FEATURES)):
                columns[f"feature_{i}"] = self.X[rows, feature].astype(np.float64)
                told.append((profiles.feature_names[feature], f"@feature_{i}{{0.000}}"))
            return columns, told
        left, top = zip(*map(self.place, rows), strict=True)
        columns["left"], columns["top"] = np.array(left), np.array(top)
        lines = "".join(f"<div>{escape(name)}: {value}</div>" for name, value in told)
        place = "background-position: -@left{0}px -@top{0}px"
        return columns, f'<div style="{self.thumbnail_style(HOVER)}; {place}"></div>{lines}'

    def _numbers(self, clusters: np.ndarray) -> dict:
        """Where the clusters' numbers stand, moved apart as in the whole plot."""
        present = np.unique(clusters)
        places = places_of(self.plane, clusters, present)
        low, extent = self.plane.min(0), np.ptp(self.plane, axis=0)
        room = np.array(PLOT) * 0.85
        pixels = (places - low) / np.where(extent > 0, extent, 1) * room
        offset = spread(pixels + np.array([0, 10]), LABEL_SIZE, np.zeros(2), room) - pixels
        return {
            "x": places[:, 0],
            "y": places[:, 1],
            "text": [str(cluster) for cluster in present],
            "x_offset": offset[:, 0],
            "y_offset": offset[:, 1],
        }

    # ------------------------------------------------------------------ thumbnails

    def place(self, row: int, side: int | None = None) -> tuple[float, float]:
        """Left and upper edge of a sample's thumbnail, thumbnails being ``side`` pixels high."""
        sprite, scale = self.sprite, (side or HOVER) / self.sprite.height
        down, right = divmod(int(np.searchsorted(self.pictured, row)), sprite.columns)
        return right * sprite.width * scale, down * sprite.height * scale

    def thumbnail_style(self, side: int) -> str:
        """Style of a box that one thumbnail fills; where that is, is added."""
        sprite = self.sprite
        scale = side / sprite.height
        width = sprite.width * scale
        pixelated = "; image-rendering: pixelated" if scale > 1.5 else ""
        return (
            f"width: {width:g}px; height: {side}px; background-image: var(--sprite); "
            f"background-size: {sprite.columns * width:g}px {sprite.rows * side:g}px{pixelated}"
        )

    def second(self, row: int) -> int:
        """The next best cluster of a sample."""
        return int(np.argsort(-self.proba[row], kind="stable")[:2][-1])

    # ------------------------------------------------------------------ the CSV

    def _data(self) -> dict:
        return {
            "clusters": self.clusters.tolist(),
            # Ten thousandths: shorter than fractions, and as much as the CSV says.
            "confidence": np.round(1e4 * self.confidence).astype(int).tolist(),
        }


HOVER = 96
NUMBER = {
    "x_offset": "x_offset",
    "y_offset": "y_offset",
    "text_align": "center",
    "text_baseline": "middle",
    "text_font_style": "bold",
    "text_font_size": "14px",
    "background_fill_color": "white",
    "background_fill_alpha": 0.75,
}


def _svg(figure) -> str:
    """A figure as the address of a picture, the same for the same figure."""
    import matplotlib

    stream = io.BytesIO()
    try:
        with matplotlib.rc_context({"svg.hashsalt": "skdeepclust"}):
            figure.savefig(stream, format="svg", metadata={"Date": None})
    finally:
        import_pyplot().close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"


def require_packages() -> None:
    """An error that says what to install, where something is missing."""
    try:
        import bokeh  # noqa: F401
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the report needs bokeh, matplotlib and pillow ({error}); install them with: "
            "pip install 'skdeepclust[report]'"
        ) from error
