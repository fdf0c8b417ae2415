"""Gaussian mixtures side by side, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture

from skdeepclust.cluster._mixtures import GaussianMixtureEM, posteriors, seed_centers

REGULARIZATION = 3e-2


@pytest.fixture(scope="module")
def x():
    X, _ = make_blobs(300, centers=4, n_features=3, cluster_std=2.0, random_state=0)
    return torch.from_numpy(X / X.std(0))


def one(em, x, n_components, seed):
    (weights,) = em.fit(x, seed_centers(x, n_components, seed)[None])
    return weights


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_em_is_that_of_scikit_learn(x, kind):
    """From the same beginning to the same end, density by density."""
    n_components, X = 6, x.numpy()
    em = GaussianMixtureEM(kind, 3, REGULARIZATION)
    weights = one(em, x, n_components, seed=1)
    precision = {"full": np.eye(3), "spherical": np.ones(())}[kind]
    theirs = GaussianMixture(
        n_components,
        covariance_type=kind,
        reg_covar=REGULARIZATION,
        weights_init=np.full(n_components, 1 / n_components),
        means_init=kmeans_plusplus(X, n_components, random_state=1)[0],
        precisions_init=np.stack([precision / REGULARIZATION] * n_components),
    ).fit(X)
    assert theirs.converged_
    assert theirs.n_iter_ > 3
    joint = em.terms(x) @ weights
    np.testing.assert_allclose(joint.logsumexp(1), theirs.score_samples(X), rtol=1e-8)
    np.testing.assert_allclose(joint.softmax(1), theirs.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_side_by_side_each_ends_as_it_does_alone(x, kind, monkeypatch):
    em, lengths = GaussianMixtureEM(kind, 3, REGULARIZATION), []
    inner = em.weights
    monkeypatch.setattr(em, "weights", lambda *args: lengths.append(len(args[0])) or inner(*args))
    centers = torch.stack([seed_centers(x, 4, seed) for seed in range(5)])
    together = em.fit(x, centers)
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 2, "they end at different times"
    for mine, alone in zip(together, centers, strict=True):
        torch.testing.assert_close(mine, em.fit(x, alone[None])[0])


def test_posteriors_of_several_stand_side_by_side(x):
    em = GaussianMixtureEM("full", 3, REGULARIZATION)
    weights = [one(em, x, 3, seed) for seed in (0, 1)]
    p = posteriors(em.terms(x), weights)
    assert p.shape == (300, 6)
    torch.testing.assert_close(p[:, 3:], (em.terms(x) @ weights[1]).softmax(1))
    torch.testing.assert_close(p.sum(1), torch.full((300,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_components_without_samples_and_far_outliers(dtype):
    """More components than distinct samples, one of them far away."""
    x = torch.cat([torch.zeros(40, 2), torch.ones(40, 2), torch.full((1, 2), 300.0)]).to(dtype)
    em = GaussianMixtureEM("full", 2, REGULARIZATION)
    p = posteriors(em.terms(x), [one(em, x, 7, 0)])
    assert p.isfinite().all()
    assert not set(p[0].nonzero().flatten().tolist()) & set(p[-1].nonzero().flatten().tolist())
