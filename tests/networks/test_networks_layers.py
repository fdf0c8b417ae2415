"""Standardisation and the map of the embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skdeepclust.networks import LatentMap, Standardize, _layers


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# ------------------------------------------------------------------ Standardize


def fitted(X):
    centred = X - X.mean(0)
    return Standardize(torch.from_numpy(X.mean(0)), float(np.sqrt((centred**2).mean())))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_standardize_centres_and_gives_mean_variance_one(rng, shape):
    X = rng.normal(3, 5, size=(50, *shape)).astype(np.float32)
    layer, x = fitted(X), torch.from_numpy(X)
    y = layer(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.mean(0), torch.zeros(shape), atol=1e-5, rtol=0)
    assert y.var(0, correction=0).mean().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(layer.inverse(y), x)


def test_standardize_keeps_the_ratio_of_the_features(rng):
    X = (rng.normal(size=(50, 2)) * [1, 10]).astype(np.float32)
    y = fitted(X)(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(y.std(0)[1] / y.std(0)[0], X.std(0)[1] / X.std(0)[0], rtol=1e-4)


def test_standardize_does_not_see_units(rng):
    X = rng.normal(size=(50, 4)).astype(np.float32)
    other = X * np.float32(1000) + np.float32(70)
    y, y_other = (fitted(data)(torch.from_numpy(data)) for data in (X, other))
    torch.testing.assert_close(y_other, y, atol=1e-3, rtol=1e-3)


def test_standardize_is_saved_and_has_nothing_to_train(rng):
    layer = fitted(rng.normal(size=(9, 3)).astype(np.float32))
    assert not list(layer.parameters())
    fresh = Standardize(torch.zeros(3), 1.0)
    fresh.load_state_dict(layer.state_dict())
    x = torch.ones(2, 3)
    assert torch.equal(fresh(x), layer(x))


def test_rows_are_multiplied_in_parts_alike(monkeypatch):
    z, matrix = torch.randn(7, 3), torch.randn(3, 3)
    whole = _layers._rowwise_product(z, matrix)
    torch.testing.assert_close(whole, z @ matrix.T)
    monkeypatch.setattr(_layers, "MOST_PRODUCTS", 20)  # two rows at a time
    assert torch.equal(_layers._rowwise_product(z, matrix), whole)


# ------------------------------------------------------------------ LatentMap


def test_latent_map_starts_as_the_identity(rng):
    z = torch.from_numpy(rng.normal(size=(5, 3))).float()
    layer = LatentMap(3)
    assert torch.equal(layer(z), z)
    assert torch.equal(layer.inverse(z), z)
    assert not list(layer.parameters())


def test_whiten_gives_the_identity_as_covariance(rng):
    z = torch.from_numpy(rng.normal(size=(400, 3)) * [0.1, 1, 30] + 5).float()
    layer = LatentMap(3)
    layer.whiten(z.mean(0), torch.from_numpy(np.cov(z.double().numpy().T)))
    y = layer(z)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(np.cov(y.numpy().T), np.eye(3), atol=1e-3)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(layer.inverse(y), z, atol=1e-4, rtol=1e-4)


def test_whiten_does_not_turn_the_embedding(rng):
    """Of all maps that whiten, the symmetric one stays nearest to the embedding."""
    layer = LatentMap(3)
    layer.whiten(torch.zeros(3), torch.from_numpy(np.cov(rng.normal(size=(3, 20)))))
    torch.testing.assert_close(layer.matrix, layer.matrix.T)
    assert (torch.linalg.eigvalsh(layer.matrix) > 0).all()


@pytest.mark.parametrize(
    "variances", [[0, 0, 0], [0, 1, 1], [1e-30, 1e-24, 1e-24], [1e20, 1e24, 1e24], [-1e-9, 1, 2]]
)
def test_whiten_by_a_degenerate_covariance_can_be_inverted(rng, variances):
    layer = LatentMap(3)
    layer.whiten(torch.ones(3), torch.diag(torch.tensor(variances, dtype=torch.float64)))
    z = torch.from_numpy(rng.normal(size=(9, 3))).float()
    product = layer.matrix.double() @ layer.inverse_matrix.double()
    torch.testing.assert_close(product, torch.eye(3).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(layer.inverse(layer(z)), z, atol=1e-5, rtol=1e-4)


def test_latent_map_is_the_same_in_training_and_rounds_rows_alike_in_evaluation(rng):
    z = torch.from_numpy(rng.normal(size=(33, 10))).float()
    layer = LatentMap(10)
    layer.whiten(z.mean(0), torch.from_numpy(np.cov(rng.normal(size=(10, 40)))))
    trained, evaluated = layer.train()(z), layer.eval()(z)
    torch.testing.assert_close(trained, evaluated, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(layer(z[i:]), evaluated[i:]) for i in range(33))


def test_latent_map_is_saved(rng):
    layer, fresh = LatentMap(3), LatentMap(3)
    z = torch.from_numpy(rng.normal(size=(5, 3))).float()
    layer.whiten(z.mean(0), 4 * torch.eye(3))
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(z), layer(z))
    assert torch.equal(fresh.inverse(z), layer.inverse(z))
