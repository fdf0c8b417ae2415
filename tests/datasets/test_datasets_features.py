"""Makers of data with a precise feature."""

import numpy as np
import pytest

from skdeepclust.datasets import make_artifact, make_gaussian_ring


def test_ring_has_the_papers_centres_and_deviation():
    X, y = make_gaussian_ring(80_000, random_state=0)
    assert np.bincount(y).tolist() == [10_000] * 8
    root = np.sqrt(0.5)
    units = [(1, 0), (root, root), (0, 1), (-root, root), (-1, 0), (-root, -root), (0, -1)]
    for blob, unit in enumerate([*units, (root, -root)]):
        np.testing.assert_allclose(X[y == blob].mean(0), np.sqrt(2) * np.array(unit), atol=1e-3)
        np.testing.assert_allclose(X[y == blob].std(0), 0.01414, rtol=0.03)


def test_ring_is_seeded_and_shuffled():
    (X, y), (X_again, _) = (make_gaussian_ring(100, random_state=3) for _ in range(2))
    assert np.array_equal(X, X_again)
    assert not np.array_equal(y, np.sort(y))
    assert not np.array_equal(X, make_gaussian_ring(100, random_state=4)[0])
    with pytest.raises(ValueError, match=r"n_samples=0; expected an integer of at least 1"):
        make_gaussian_ring(0)


@pytest.mark.parametrize("shape", [(300, 1, 4, 4), (300, 9)])
def test_artifact_is_in_the_first_feature_alone(shape):
    X = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    before = X.copy()
    changed, artifact = make_artifact(X, random_state=0)
    assert np.array_equal(X, before)
    assert changed.dtype == np.float32
    flat = changed.reshape(300, -1)
    np.testing.assert_allclose(flat[:, 1:], X.reshape(300, -1)[:, 1:] / 255, rtol=1e-6)
    np.testing.assert_allclose(flat[:, 0], np.array([0.1, 0.5, 0.9])[artifact], rtol=1e-6)
    assert np.bincount(artifact).min() > 70


def test_artifact_in_a_view_that_is_not_contiguous():
    X = np.zeros((4, 2, 3, 5), np.float32).transpose(0, 3, 1, 2)
    changed, artifact = make_artifact(X, (0.25, 0.75), random_state=0)
    np.testing.assert_allclose(changed[:, 0, 0, 0], np.array([0.25, 0.75])[artifact])
    assert not X.any()


def test_artifact_of_unequal_shares():
    changed, artifact = make_artifact(np.zeros((5000, 3)), weights=(6, 3, 1), random_state=0)
    np.testing.assert_allclose(np.bincount(artifact) / 5000, [0.6, 0.3, 0.1], atol=0.02)
    np.testing.assert_allclose(changed[:, 0], np.array([0.1, 0.5, 0.9])[artifact], rtol=1e-6)


@pytest.mark.parametrize(
    "weights", [(0.5, 0.5), (0.5, 0.5, 0.0), (1, 1, -1), (1, 1, np.nan), (1, 1, np.inf)]
)
def test_artifact_refuses_weights(weights):
    with pytest.raises(ValueError, match=r"weights=.*; expected a positive number for each of 3"):
        make_artifact(np.zeros((3, 2)), weights=weights)


@pytest.mark.parametrize(
    ("X", "values", "message"),
    [
        (np.zeros(3), (0.1, 0.5), r"X has shape \(3,\); expected at least one sample"),
        (np.zeros((0, 2)), (0.1, 0.5), r"X has shape \(0, 2\)"),
        (np.zeros((3, 2)), (0.1,), r"values=\(0.1,\); expected at least two"),
    ],
)
def test_artifact_refuses(X, values, message):
    with pytest.raises(ValueError, match=message):
        make_artifact(X, values)
