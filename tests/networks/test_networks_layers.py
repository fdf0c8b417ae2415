"""Standardisation and the map of the embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skdeepclust.networks import LatentMap, Standardize


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


# ------------------------------------------------------------------ LatentMap


def clustered(rng, n=400, dim=3, n_clusters=4):
    labels = rng.integers(n_clusters, size=n)
    labels[:n_clusters] = range(n_clusters)
    spread = rng.normal(size=(dim, dim))
    z = rng.normal(0, 6, size=(n_clusters, dim))[labels] + rng.normal(size=(n, dim)) @ spread
    return torch.from_numpy(z).float(), torch.from_numpy(labels)


def loop_within_covariance(z, labels):
    """Average over the samples of their squared deviation from their cluster's mean."""
    z, labels = z.double().numpy(), labels.numpy()
    total = np.zeros((z.shape[1], z.shape[1]))
    for k in np.unique(labels):
        centre = z[labels == k].mean(0)
        for row in z[labels == k]:
            total += np.outer(row - centre, row - centre)
    return total / len(z)


def test_latent_map_starts_as_the_identity(rng):
    z = torch.from_numpy(rng.normal(size=(5, 3))).float()
    layer = LatentMap(3)
    assert torch.equal(layer(z), z)
    assert torch.equal(layer.inverse(z), z)
    assert not list(layer.parameters())


def test_whiten_within_gives_the_identity_as_covariance_within_clusters(rng):
    z, labels = clustered(rng)
    layer = LatentMap(3)
    layer.whiten_within(z, labels)
    y = layer(z)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(loop_within_covariance(y, labels), np.eye(3), atol=1e-4)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(layer.inverse(y), z, atol=1e-4, rtol=1e-4)


def test_whiten_within_does_not_turn_the_embedding(rng):
    """Of all maps that whiten, the symmetric one stays nearest to the embedding."""
    layer = LatentMap(3)
    layer.whiten_within(*clustered(rng))
    torch.testing.assert_close(layer.matrix, layer.matrix.T)
    assert (torch.linalg.eigvalsh(layer.matrix) > 0).all()


def test_whiten_within_skips_a_number_without_samples(rng):
    z, labels = clustered(rng)
    layer, gap = LatentMap(3), LatentMap(3)
    layer.whiten_within(z, labels)
    gap.whiten_within(z, labels * 2)  # clusters 1, 3, 5 have nobody
    torch.testing.assert_close(gap.matrix, layer.matrix)


def degenerate(case, rng):
    z, labels = clustered(rng, n=40)
    if case == "constant":
        return torch.full((40, 3), 7.0), labels
    if case == "one_sample_per_cluster":
        return z[:5], torch.arange(5)
    if case == "one_sample":
        return z[:1], torch.zeros(1, dtype=torch.int64)
    if case == "flat":  # no spread along one direction
        return torch.cat([z[:, :2], z[:, :1] + z[:, 1:2]], 1), labels
    if case == "huge":
        return z * 1e12, labels
    return z * 1e-12, labels  # tiny


@pytest.mark.parametrize(
    "case", ["constant", "one_sample_per_cluster", "one_sample", "flat", "huge", "tiny"]
)
def test_whiten_within_of_degenerate_data_is_finite_and_invertible(rng, case):
    z, labels = degenerate(case, rng)
    layer = LatentMap(3)
    layer.whiten_within(z, labels)
    assert all(torch.isfinite(buffer).all() for buffer in layer.buffers())
    product = layer.matrix.double() @ layer.inverse_matrix.double()
    torch.testing.assert_close(product, torch.eye(3).double(), atol=1e-4, rtol=0)
    back = layer.inverse(layer(z))
    scale = z.abs().max()
    torch.testing.assert_close(back / scale, z / scale, atol=1e-5, rtol=0)


def test_flat_direction_is_not_blown_up(rng):
    z, labels = degenerate("flat", rng)
    layer = LatentMap(3)
    layer.whiten_within(z, labels)
    covariance = loop_within_covariance(layer(z), labels)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), [0, 1, 1], atol=1e-4)


def test_latent_map_is_saved(rng):
    layer, fresh = LatentMap(3), LatentMap(3)
    z, labels = clustered(rng)
    layer.whiten_within(z, labels)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(z), layer(z))
    assert torch.equal(fresh.inverse(z), layer.inverse(z))
