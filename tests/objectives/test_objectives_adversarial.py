"""The adversarial losses against closed forms on a linear and a quadratic critic."""

import numpy as np
import pytest
import torch

from skdeepclust.objectives import critic_distance, gradient_penalty, interpolate, staircase


def test_distance_is_the_difference_of_the_means():
    assert critic_distance(torch.tensor([3.0, 5.0]), torch.tensor([1.0])).item() == 3


def test_interpolation_lies_on_the_line():
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    mixed = interpolate(real, fake, torch.tensor([1.0, 0.0, 0.25]))
    assert torch.equal(mixed[0], real[0])
    assert torch.equal(mixed[1], fake[1])
    torch.testing.assert_close(mixed[2], 0.25 * real[2] + 0.75 * fake[2])


@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 2, 2)])
def test_penalty_of_a_linear_critic(shape):
    """Its gradient is its weight, everywhere: one norm over all dimensions of a sample."""
    weight = torch.randn(shape[1:], dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64)
    found = gradient_penalty(lambda x: (x * weight).flatten(1).sum(1), x)
    assert found.item() == pytest.approx((np.linalg.norm(weight.numpy()) - 1) ** 2, rel=1e-6)


def test_penalty_of_a_quadratic_critic():
    """Of |x|² the gradient is 2x, of norm 2|x|."""
    x = np.random.RandomState(0).standard_normal((6, 4))
    found = gradient_penalty(lambda x: x.square().sum(1), torch.tensor(x))
    expected = ((2 * np.linalg.norm(x, axis=1) - 1) ** 2).mean()
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_penalty_is_differentiable_in_the_critic():
    """d/dw of (|w| - 1)² is 2 (|w| - 1) w / |w|; also where the gradient is zero it is finite."""
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    gradient_penalty(lambda x: x @ weight, torch.randn(5, 2)).backward()
    torch.testing.assert_close(weight.grad, 2 * (5 - 1) * torch.tensor([0.6, 0.8]))
    flat = torch.zeros(2, requires_grad=True)
    gradient_penalty(lambda x: x @ flat, torch.randn(5, 2)).backward()
    assert torch.isfinite(flat.grad).all()


def test_penalty_leaves_the_samples_alone():
    x = torch.randn(3, 2)
    gradient_penalty(lambda x: x.square().sum(1), x)
    assert not x.requires_grad
    assert x.grad is None


def test_weight_grows_by_stairs():
    weights = [staircase(10.0, 1.2, 3, step) for step in range(8)]
    np.testing.assert_allclose(weights, [10, 10, 10, 12, 12, 12, 14.4, 14.4])
