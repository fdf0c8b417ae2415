"""Prototypes and densities: what is computed, and that it can be drawn."""

import sys
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs

from skdeepclust import NeuralMixtureEM, StatDEC
from skdeepclust.inspection import (
    ClusterDensityDisplay,
    PrototypesDisplay,
    most_relevant_samples,
    synthesize_prototypes,
)

matplotlib.use("Agg")
SMALL = {"n_starts": 3, "start_epochs": 10, "max_epochs": 10, "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def plane():
    X, _ = make_blobs(150, centers=3, n_features=2, cluster_std=0.5, random_state=0)
    # Of a shorter training, what maximises one score may lie where another is higher still.
    return X, NeuralMixtureEM(3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def pictures(noisy_patterns):
    X = noisy_patterns(90, 8)
    return X, NeuralMixtureEM(3, **SMALL).fit(X)


@pytest.fixture(scope="module")
def large_pictures(noisy_patterns):
    """Which are seen at 28 x 28."""
    X = noisy_patterns(90, 7).repeat(8, 2).repeat(8, 3)
    return X, NeuralMixtureEM(3, **SMALL).fit(X)


def test_prototypes_belong_to_their_clusters(plane, pictures, large_pictures):
    for X, model in (plane, pictures, large_pictures):
        made = synthesize_prototypes(model, random_state=0)
        assert made.shape == (3, *X.shape[1:])
        as_seen = np.round(made * 255).astype(np.uint8) if X.dtype == np.uint8 else made
        assert model.predict(as_seen).tolist() == [0, 1, 2]


def test_prototypes_climb_with_the_steps(plane):
    _, model = plane

    def fit(made):
        with torch.no_grad():
            return model.module_.log_density(torch.tensor(made)).diagonal().numpy()

    # Without the penalty, which draws back what began far out.
    few, many = (
        synthesize_prototypes(model, n_steps=n, penalty=0.0, random_state=0) for n in (1, 200)
    )
    assert (fit(many) > fit(few)).all()


def test_prototypes_of_images_stay_within_range(pictures):
    made = synthesize_prototypes(pictures[1], penalty=0.0, step_size=1.0, random_state=0)
    assert made.min() >= -1e-6
    assert made.max() <= 1 + 1e-6


def test_penalty_keeps_prototypes_near_the_mean(plane):
    X, model = plane
    distance = [
        np.linalg.norm(
            synthesize_prototypes(model, penalty=p, random_state=0) - X.mean(0), axis=1
        ).mean()
        for p in (0.0, 10.0)
    ]
    assert distance[1] < distance[0]


def test_prototypes_leave_the_network_as_it_was(plane):
    X, model = plane

    def gradients():
        return [None if p.grad is None else p.grad.clone() for p in model.module_.parameters()]

    before, left = model.predict_proba(X), gradients()
    synthesize_prototypes(model, random_state=0)
    assert np.array_equal(model.predict_proba(X), before)
    for was, now in zip(left, gradients(), strict=True):
        assert (was is None and now is None) or torch.equal(was, now)


def test_same_seed_same_prototypes(plane):
    first, second = (synthesize_prototypes(plane[1], random_state=3) for _ in range(2))
    assert np.array_equal(first, second)


def test_most_relevant_samples_are_sorted_by_their_density(plane):
    X, model = plane
    chosen = most_relevant_samples(model, X, 5)
    with torch.no_grad():
        density = model.module_.log_density(torch.tensor(X, dtype=torch.float32)).numpy()
    for cluster, row in enumerate(chosen):
        best = np.sort(density[:, cluster])[::-1][:5]
        np.testing.assert_allclose(density[row, cluster], best, rtol=1e-5)
        assert (model.labels_[row] == cluster).all()
    for n_samples, expected in ((151, "1 to 150"), (0, "an int >= 1"), (2.5, "an int >= 1")):
        with pytest.raises(ValueError, match=f"n_samples={n_samples}; expected {expected}"):
            most_relevant_samples(model, X, n_samples)


def test_penalty_makes_pictures_smooth(pictures):
    rough, smooth = (
        np.abs(np.diff(synthesize_prototypes(pictures[1], penalty=p, random_state=0))).mean()
        for p in (0.0, 1.0)
    )
    assert smooth < rough / 2


def test_an_estimator_without_densities_is_refused(plane):
    X, _ = plane
    other = StatDEC(
        3, hidden_dims=(8,), latent_dim=2, pretrain_epochs=1, max_epochs=1, random_state=0
    )
    with pytest.raises(TypeError, match="StatDEC has no densities of clusters"):
        synthesize_prototypes(other.fit(X))
    with pytest.raises(ValueError, match="n_steps=0"):
        synthesize_prototypes(plane[1], n_steps=0)


def test_prototypes_display(pictures, plane):
    X, model = pictures
    _, ax = plt.subplots()
    display = PrototypesDisplay.from_estimator(model, X, n_samples=4, random_state=0).plot(ax)
    assert display.ax_ is ax
    best = most_relevant_samples(model, X, 4)
    assert np.array_equal(display.samples[1, 2], X[best[1, 2]])
    drawn, side = np.asarray(ax.images[0].get_array()), X.shape[-1]

    def cell(row, column):
        return drawn[row * (side + 1) :, column * (side + 1) :][:side, :side, 0]

    for row in range(3):
        assert (cell(row, 1) == 255).all(), "white parts a prototype from the samples"
        pictures = [display.prototypes[row], *display.samples[row]]
        for column, picture in zip((0, 2, 3, 4, 5), pictures, strict=True):
            same = np.corrcoef(cell(row, column).ravel(), picture.ravel())[0, 1]
            assert same > 0.999
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    with pytest.raises(ValueError, match="expected images"):
        PrototypesDisplay.from_estimator(plane[1], plane[0])


def test_density_display(plane, pictures):
    X, model = plane
    display = ClusterDensityDisplay.from_estimator(model, X, resolution=20).plot()
    assert display.proba.shape == (20, 20, 3)
    np.testing.assert_allclose(display.proba.sum(2), 1, rtol=1e-5)
    corner = model.predict_proba(np.array([[display.x[3], display.y[7]]], dtype=X.dtype))
    np.testing.assert_allclose(display.proba[7, 3], corner[0], rtol=1e-5)
    assert display.x[0] < X[:, 0].min()
    with pytest.raises(ValueError, match="over a plane"):
        ClusterDensityDisplay.from_estimator(pictures[1], pictures[0])


def test_density_of_whole_numbers(plane):
    """The grid lies between them."""
    X, model = plane
    coarse = np.round(X).astype(int)
    display = ClusterDensityDisplay.from_estimator(model, coarse, resolution=20)
    corner = model.predict_proba([[display.x[3], display.y[7]]])
    np.testing.assert_allclose(display.proba[7, 3], corner[0], rtol=1e-5)


def test_density_of_a_data_frame(plane):
    pandas = pytest.importorskip("pandas")
    X, model = plane
    frame = pandas.DataFrame(X, columns=["width", "height"])
    model = clone(model).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = ClusterDensityDisplay.from_estimator(model, frame, resolution=5)
    np.testing.assert_array_equal(display.labels, model.labels_)


def test_missing_matplotlib_names_the_extra(plane, monkeypatch):
    X, model = plane
    display = ClusterDensityDisplay.from_estimator(model, X, resolution=5)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skdeepclust\[plot\]"):
        display.plot()
