"""The evidence lower bound against scipy, quadrature and a model whose likelihood is known."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from skdeepclust.objectives import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparametrize,
)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5), (0.1, 0.01)])
def test_kl_of_gaussians_is_the_integral(mean, std):
    q, p = stats.norm(mean, std), stats.norm()
    expected, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * std, mean + 12 * std
    )
    found = gaussian_kl(torch.tensor([[mean]]), torch.tensor([[2 * np.log(std)]]))
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_kl_is_zero_at_the_prior_and_never_below():
    rng = np.random.RandomState(0)
    zero = torch.zeros(1, 3)
    assert gaussian_kl(zero, zero).tolist() == [[0.0] * 3]
    mean, log_variance = (torch.from_numpy(rng.standard_normal((50, 3))) * 3 for _ in range(2))
    assert (gaussian_kl(mean, log_variance) >= 0).all()


def test_bernoulli_is_that_of_scipy():
    rng = np.random.RandomState(0)
    x, logits = rng.randint(0, 2, (4, 1, 2, 3)), rng.standard_normal((4, 1, 2, 3)) * 4
    expected = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(x).sum((1, 2, 3))
    found = bernoulli_log_likelihood(torch.tensor(x).double(), torch.tensor(logits))
    np.testing.assert_allclose(found, expected)


def test_bernoulli_of_shares_is_their_cross_entropy():
    x, p = np.array([[0.25, 0.7]]), np.array([[0.1, 0.6]])
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    found = bernoulli_log_likelihood(torch.tensor(x), torch.tensor(np.log(p / (1 - p))))
    np.testing.assert_allclose(found, expected)


def test_bernoulli_is_finite_when_it_is_sure_and_wrong():
    assert bernoulli_log_likelihood(torch.ones(1, 1), torch.tensor([[-200.0]])).item() == -200


def test_gaussian_is_that_of_scipy():
    rng = np.random.RandomState(0)
    x, mean = rng.standard_normal((2, 5, 3, 2))
    expected = stats.norm(mean, np.exp(-0.7 / 2)).logpdf(x).sum((1, 2))
    found = gaussian_log_likelihood(torch.tensor(x), torch.tensor(mean), torch.tensor(-0.7))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_draws_have_the_moments_that_were_asked_for():
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    mean, log_variance = torch.tensor([[3.0, -1.0]]), torch.tensor([[-2.0, 1.0]])
    z = reparametrize(mean, log_variance, noise)
    torch.testing.assert_close(z.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), log_variance.exp()[0], atol=0, rtol=0.02)


def test_gradient_goes_through_a_draw():
    mean, log_variance = torch.tensor([[0.5]]), torch.tensor([[0.8]])
    mean.requires_grad_()
    log_variance.requires_grad_()
    reparametrize(mean, log_variance, torch.tensor([[2.0]])).sum().backward()
    assert mean.grad.item() == 1
    # d/ds of exp(s / 2) ε is exp(s / 2) ε / 2.
    assert log_variance.grad.item() == pytest.approx(np.exp(0.4))


def bound(x, mean, log_variance, weight, error):
    """The ELBO of ``z ~ N(0, 1), x|z ~ N(weight z, error)``, its expectation by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z = reparametrize(mean, log_variance, torch.tensor(nodes)[:, None])
    expected = gaussian_log_likelihood(torch.full_like(z, x), weight * z, torch.tensor(error).log())
    expected = (expected * torch.tensor(weights / weights.sum())).sum()
    return (expected - gaussian_kl(mean, log_variance).sum()).item()


@pytest.mark.parametrize("x", [-3.0, 0.2, 1.7])
def test_the_bound_lies_below_the_exact_likelihood_and_touches_it(x):
    weight, error = 1.3, 0.4
    exact = stats.norm(0, np.sqrt(weight**2 + error)).logpdf(x)
    rng = np.random.RandomState(0)
    for m, s in rng.standard_normal((20, 2)).astype(float):
        moments = (torch.tensor([[v]], dtype=torch.float64) for v in (m, s))
        assert bound(x, *moments, weight, error) < exact
    variance = 1 / (1 + weight**2 / error)  # of the exact posterior
    moments = (variance * weight * x / error, np.log(variance))
    moments = (torch.tensor([[v]], dtype=torch.float64) for v in moments)
    assert bound(x, *moments, weight, error) == pytest.approx(exact, abs=1e-6)
