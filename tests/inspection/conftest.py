import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs

from skdeepclust import DVC, NeuralMixtureEM

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def table():
    """Blobs in four dimensions, and clusters found in them."""
    X, y = make_blobs(120, centers=3, n_features=4, cluster_std=0.5, random_state=0)
    model = NeuralMixtureEM(
        3, n_starts=3, start_epochs=5, max_epochs=5, batch_size=32, random_state=0
    )
    return X, y, model.fit(X)


@pytest.fixture(scope="session")
def decoded(noisy_patterns):
    """Images of uint8, and a model of them that decodes and generates."""
    X = noisy_patterns(60, 8)
    model = DVC(3, latent_dim=3, pretrain_epochs=2, max_epochs=2, batch_size=32, random_state=0)
    return X, model.fit(X)


class Blocks(BaseEstimator):
    """A fitted clusterer whose every answer is given."""

    def __init__(self, proba, embedding=None, input_shape=(1, 4, 4)):
        self.proba = np.asarray(proba, np.float32)
        self.embedding = self.proba if embedding is None else np.asarray(embedding, np.float32)
        self.input_shape_ = self._sample_shape = input_shape
        self._image_shape = input_shape if len(input_shape) == 3 else None
        self.n_clusters = self.proba.shape[1]
        self.labels_ = self.proba.argmax(1)
        sizes = np.bincount(self.labels_, minlength=self.n_clusters)
        self.cluster_sizes_ = sizes
        means = [
            self.embedding[self.labels_ == k].mean(0) if sizes[k] else self.embedding.mean(0)
            for k in range(self.n_clusters)
        ]
        self.cluster_centers_ = np.array(means)
        self.history_ = [
            {"epoch": e, "phase": "cluster", "dur": 1.0, "train_loss": 1 / e} for e in (1, 2, 3)
        ]
        self.restart_scores_ = np.array([-1.5])
        self.n_iter_, self.stop_reason_, self.converged_ = 3, "max_epochs", False

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def get_params(self, deep=True):
        return {"n_clusters": self.n_clusters}

    def predict(self, X):
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X):
        return self.proba[: len(X)]

    def transform(self, X):
        return self.embedding[: len(X)]


@pytest.fixture(scope="session")
def blocks():
    return Blocks


@pytest.fixture(scope="session")
def assert_readable():
    """No two texts of a figure overlap, and none is cut off."""
    return _assert_readable


def _assert_readable(figure):
    """No two texts of a drawing overlap, and none is cut off."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = []
    for ax in figure.axes:
        ticks = [
            label
            for axis in (ax.xaxis, ax.yaxis)
            for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            if min(axis.get_view_interval()) <= place <= max(axis.get_view_interval())
        ]
        shown = [*ax.texts, *ticks, ax.title, ax.xaxis.label, ax.yaxis.label]
        low, high = figure.bbox.min, figure.bbox.max
        for text in shown:
            if text.get_text() and text.get_visible():
                box = _text_box(text, renderer)
                assert (box.min >= low - 1).all(), text
                assert (box.max <= high + 1).all(), text
                boxes.append((text.get_text(), box.padded(-1.5)))
    for i, (name, box) in enumerate(boxes):
        for other, second in boxes[i + 1 :]:
            assert not box.overlaps(second), f"{name!r} covers {other!r}"


def _text_box(text, renderer):
    from matplotlib.text import Text

    return Text.get_window_extent(text, renderer)  # of an annotation without its line
