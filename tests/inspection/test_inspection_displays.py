"""Displays: what they hold is right, and what they draw can be read."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from skdeepclust import StatDEC, inspection
from skdeepclust.inspection import (
    ClusterGalleryDisplay,
    ClusterSizesDisplay,
    ConfusionDisplay,
    EmbeddingDisplay,
    GeneratedSamplesDisplay,
    ReconstructionDisplay,
    TrainingCurvesDisplay,
)
from skdeepclust.inspection._plotting import spread
from skdeepclust.metrics import clustering_accuracy


def texts(ax):
    return [text.get_text() for text in ax.texts]


# ---------------------------------------------------------------------- training

HISTORY = [
    *({"epoch": e, "dur": 1.0, "phase": "pretrain", "train_loss": 5.0 - e} for e in range(4)),
    *(
        {
            "epoch": e,
            "dur": 1.0,
            "phase": "cluster",
            "train_loss": 2.0,
            "kl": 1 / e,
            "label_change": 0.1 / e,
            "cluster_sizes": [30, 10 * e, 60 - 10 * e],
        }
        for e in range(1, 5)
    ),
]


def test_curves_hold_every_number_of_the_history():
    curves = TrainingCurvesDisplay(HISTORY).curves
    assert list(curves) == ["train_loss", "kl", "label_change"]
    np.testing.assert_array_equal(curves["train_loss"], [5, 4, 3, 2, 2, 2, 2, 2])
    assert np.isnan(curves["kl"][:4]).all()


def test_curves_show_phases_label_change_and_sizes(assert_readable):
    display = TrainingCurvesDisplay(HISTORY).plot()
    titles = [ax.get_title() for ax in display.axes_]
    expected = ["loss", "kl", "labels changed (%)", "cluster sizes (% of the samples seen)"]
    assert titles == expected
    loss = display.axes_[0]
    assert {"pretrain", "cluster"} <= set(texts(loss))
    *parts, edge = loss.lines
    assert [len(part.get_xdata()) for part in parts] == [4, 4]
    np.testing.assert_array_equal(edge.get_xdata(), [4.5, 4.5])
    changed = display.axes_[2].lines[1].get_ydata()
    np.testing.assert_allclose(changed, [10, 5, 10 / 3, 2.5])
    assert_readable(display.figure_)


def test_sizes_of_one_phase_do_not_run_into_those_of_another():
    """Another network's clusters are others, and in between there are none."""
    sizes = TrainingCurvesDisplay(HISTORY + HISTORY).plot().axes_[-1]
    spans = {tuple(area.get_paths()[0].get_extents().intervalx) for area in sizes.collections}
    assert spans == {(5, 8), (13, 16)}
    assert len(sizes.collections) == 2 * 3


def test_quantities_that_never_differ_share_a_panel():
    history = [{"train_loss": x, "em": x, "objective": -x} for x in (1.0, 2.0)]
    display = TrainingCurvesDisplay(history).plot()
    assert [ax.get_title() for ax in display.axes_] == ["loss = em", "objective"]


def test_curves_of_estimators(table, decoded):
    for model in (table[2], decoded[1]):
        display = TrainingCurvesDisplay.from_estimator(model).plot()
        assert len(display.axes_) == len(display.figure_.axes)
    with pytest.raises(ValueError, match="history is empty"):
        TrainingCurvesDisplay([])


def test_sizes(table):
    model = table[2]
    display = ClusterSizesDisplay.from_estimator(model).plot()
    np.testing.assert_array_equal([bar.get_width() for bar in display.ax_.patches], display.sizes)
    np.testing.assert_array_equal(display.sizes, model.cluster_sizes_)
    few = ClusterSizesDisplay.from_estimator(model, table[0][:10])
    assert few.sizes.sum() == 10
    assert len(few.sizes) == 3


def test_sizes_of_many_clusters_are_readable(assert_readable):
    sizes = np.arange(20) * 12345
    display = ClusterSizesDisplay(sizes).plot()
    assert_readable(display.figure_)
    assert texts(display.ax_)[2] == "24,690 (1.1 %)"


# ---------------------------------------------------------------------- embedding


def test_embedding_is_that_of_the_estimator(table):
    X, _, model = table
    display = EmbeddingDisplay.from_estimator(model, X).plot()
    np.testing.assert_array_equal(display.labels, model.labels_)
    np.testing.assert_allclose(display.confidence, model.predict_proba(X).max(1))
    Z = model.transform(X)
    # A rotation: the variance in the plane is that of the two largest components.
    largest = np.sort(np.linalg.eigvalsh(np.cov(Z.T)))[-2:]
    np.testing.assert_allclose(np.sort(display.points.var(0, ddof=1)), largest, rtol=1e-3)
    means = [display.points[display.labels == k].mean(0) for k in range(3)]
    tolerance = 0.05 * np.ptp(display.points)
    np.testing.assert_allclose(display.centers, means, atol=tolerance)
    assert texts(display.ax_) == ["0", "1", "2"]


def test_a_plane_is_drawn_as_it_is(blocks):
    model = blocks(np.eye(2)[np.arange(20) % 2])
    display = EmbeddingDisplay.from_estimator(model, np.zeros((20, 3)), view="tsne").plot()
    np.testing.assert_array_equal(display.points, model.embedding)
    assert display.ax_.get_xlabel() == "embedding 1"


def test_uncertain_samples_are_fainter(blocks):
    proba = np.array([[0.95, 0.05], [0.6, 0.4], [0.1, 0.9]])
    X = np.zeros((3, 1, 4, 4))
    display = EmbeddingDisplay.from_estimator(blocks(proba), X).plot()
    first = display.ax_.collections[1]  # after the centres
    sure, unsure = first.get_alpha()
    assert sure > unsure + 0.2


@pytest.mark.parametrize("view", ["pca", "tsne"])
def test_twenty_clusters_are_readable(blocks, view, assert_readable):
    rng = np.random.RandomState(0)
    labels = np.repeat(np.arange(20), 10)
    pairs = np.repeat(rng.standard_normal((10, 5)), 2, 0)  # clusters on top of each other
    Z = pairs[labels] + 0.05 * rng.standard_normal((200, 5))
    model = blocks(np.eye(20)[labels], Z)
    display = EmbeddingDisplay.from_estimator(model, np.zeros(200), view=view, random_state=0)
    display.plot()
    styles = {
        (tuple(c.get_facecolor()[0][:3]), c.get_paths()[0].vertices.tobytes())
        for c in display.ax_.collections[1:]
    }
    assert len(styles) == 20
    assert_readable(display.figure_)


def test_umap_view(table, monkeypatch):
    X, _, model = table

    class UMAP:  # compiling the real one takes longer than all of these tests
        def __init__(self, **params):
            assert params["n_neighbors"] == 15
            assert isinstance(params["random_state"], int)

        def fit_transform(self, Z):
            return Z[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    display = EmbeddingDisplay.from_estimator(model, X, view="umap", random_state=0).plot()
    np.testing.assert_array_equal(display.points, model.transform(X)[:, :2])
    np.testing.assert_array_equal(display.centers, model.cluster_centers_[:, :2])
    assert display.ax_.get_xlabel() == "umap 1"


def test_missing_umap_names_the_extra(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"skdeepclust\[umap\]"):
        EmbeddingDisplay.from_estimator(table[2], table[0], view="umap")


def test_embedding_of_few_among_many(table):
    X, _, model = table
    first, second = (
        EmbeddingDisplay.from_estimator(model, X, max_samples=20, random_state=1) for _ in range(2)
    )
    assert len(first.points) == 20
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.labels, model.labels_[first.indices])
    with pytest.raises(ValueError, match="view='lda'; expected one of"):
        EmbeddingDisplay.from_estimator(model, X, view="lda")
    with pytest.raises(ValueError, match="max_samples=1"):
        EmbeddingDisplay.from_estimator(model, X, max_samples=1)
    with pytest.raises(ValueError, match="X holds 1 sample; expected at least 2"):
        EmbeddingDisplay.from_estimator(model, X[:1])


def test_spread_keeps_names_apart_and_inside():
    places = np.array([[50.0, 50.0]] * 5 + [[0.0, 0.0], [90.0, 90.0]])
    moved = spread(places, 10, np.zeros(2), np.full(2, 100))
    distance = np.linalg.norm(moved[:, None] - moved, axis=2)[np.triu_indices(7, 1)]
    assert distance.min() >= 9.9
    assert moved.min() >= 0
    assert moved.max() <= 100
    np.testing.assert_allclose(moved[-1], places[-1], atol=0.01)


# ---------------------------------------------------------------------- confusion


def test_confusion_brings_matches_to_the_diagonal(assert_readable):
    y = np.repeat([0, 1, 2], 10)
    labels = np.array([2, 0, 1])[y]
    labels[:2] = 0
    display = ConfusionDisplay.from_predictions(y, labels).plot()
    assert display.clusters.tolist() == [2, 0, 1]
    renamed = np.array([1, 2, 0])[labels]
    np.testing.assert_array_equal(display.counts, confusion_matrix(y, renamed))
    assert display.accuracy == clustering_accuracy(y, labels) == 28 / 30
    assert_readable(display.figure_)


def test_confusion_of_names_that_are_no_formulas(assert_readable):
    display = ConfusionDisplay.from_predictions(["$_$", "$_$", "b"], [0, 0, 1]).plot()
    assert_readable(display.figure_)


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(3, 20), (20, 3)])
def test_confusion_may_be_rectangular(n_classes, n_clusters, assert_readable):
    rng = np.random.RandomState(0)
    y, labels = rng.randint(n_classes, size=9000), rng.randint(n_clusters, size=9000)
    names = np.array([f"class of the name {k}" for k in range(n_classes)])
    display = ConfusionDisplay.from_predictions(names[y], labels).plot()
    assert display.counts.shape == (n_classes, n_clusters)
    assert (display.matched >= 0).sum() == 3
    rows = np.flatnonzero(display.matched >= 0)
    hits = display.counts[rows, display.matched[rows]].sum()
    assert hits / 9000 == pytest.approx(display.accuracy)
    assert_readable(display.figure_)


def test_confusion_of_an_estimator(table):
    X, y, model = table
    display = ConfusionDisplay.from_estimator(model, X, y)
    assert display.accuracy == clustering_accuracy(y, model.predict(X))


# ---------------------------------------------------------------------- all of them


def test_displays_draw_on_given_axes(table, decoded):
    from matplotlib import pyplot as plt

    X, y, model = table
    _, axes = plt.subplots(2, 3)
    images, decoder = decoded
    displays = [
        ClusterSizesDisplay.from_estimator(model),
        EmbeddingDisplay.from_estimator(model, X),
        ClusterGalleryDisplay.from_estimator(decoder, images),
        ReconstructionDisplay.from_estimator(decoder, images),
        GeneratedSamplesDisplay.from_estimator(decoder),
        ConfusionDisplay.from_estimator(model, X, y),
    ]
    for ax, display in zip(axes.ravel(), displays, strict=True):
        assert display.plot(ax) is display
        assert display.ax_ is ax
        assert display.figure_ is ax.figure


def test_every_display_is_exported():
    assert {name for name in dir(inspection) if name.endswith("Display")} <= set(inspection.__all__)


# ---------------------------------------------------------------------- tables


def test_tables_in_and_out(tmp_path):
    """Columns of several types, and an embedding that comes as a table."""
    rng = np.random.RandomState(0)
    X = pd.DataFrame(rng.standard_normal((40, 2)), columns=["a", "b"])
    X = X.assign(large=X.a > 0, count=pd.array(rng.randint(9, size=40), dtype="Int64"))
    short = {"hidden_dims": (8,), "pretrain_epochs": 1, "max_epochs": 1, "random_state": 0}
    plain = StatDEC(3, **short).fit(X)
    for kind in ("pandas", "polars"):
        model = StatDEC(3, **short).set_output(transform=kind).fit(X)
        for mine, other in zip(
            inspection.rank_by_typicality(model, X),
            inspection.rank_by_typicality(plain, X),
            strict=True,
        ):
            assert np.array_equal(mine, other)
        found, expected = (
            EmbeddingDisplay.from_estimator(m, X, random_state=0) for m in (model, plain)
        )
        np.testing.assert_allclose(found.points, expected.points, atol=1e-4)
        inspection.report(model, X, tmp_path / "page.html")
    ReconstructionDisplay.from_estimator(plain, X).plot()
