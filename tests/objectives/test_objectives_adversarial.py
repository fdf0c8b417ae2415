"""The adversarial losses against closed forms on a linear and a quadratic critic."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skdeepclust.networks import make_gan
from skdeepclust.objectives import (
    critic_distance,
    deception_loss,
    discrimination_loss,
    gradient_penalty,
    interpolate,
    staircase,
)


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
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    for slope in (1.0, 0.0):
        found = gradient_penalty((x * weight).flatten(1).sum(1), x, slope)
        expected = (np.linalg.norm(weight.numpy()) - slope) ** 2
        assert found.item() == pytest.approx(expected, rel=1e-6)


def test_penalty_of_a_quadratic_critic():
    """Of |x|² the gradient is 2x, of norm 2|x|."""
    x = np.random.RandomState(0).standard_normal((6, 4))
    points = torch.tensor(x, requires_grad=True)
    for slope in (1.0, 0.0):
        found = gradient_penalty(points.square().sum(1), points, slope)
        expected = ((2 * np.linalg.norm(x, axis=1) - slope) ** 2).mean()
        assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("slope", [1.0, 0.0])
def test_penalty_is_differentiable_in_the_critic(slope):
    """d/dw of (|w| - s)² is 2 (|w| - s) w / |w|; also where the gradient is zero it is finite."""
    x = torch.randn(5, 2, requires_grad=True)
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    gradient_penalty(x @ weight, x, slope).backward()
    torch.testing.assert_close(weight.grad, 2 * (5 - slope) * torch.tensor([0.6, 0.8]))
    flat = torch.zeros(2, requires_grad=True)
    gradient_penalty(x @ flat, x, slope).backward()
    assert torch.isfinite(flat.grad).all()


def test_penalty_leaves_the_samples_alone():
    x = torch.randn(3, 2, requires_grad=True)
    gradient_penalty(x.square().sum(1), x)
    assert x.grad is None


class TF32(TorchDispatchMode):
    """What goes into products of matrices and convolutions rounded as in TF32, to ten bits."""

    PRODUCTS = tuple(
        getattr(torch.ops.aten, name)
        for name in ("mm", "addmm", "convolution", "convolution_backward")
    )
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in self.PRODUCTS:
            self.count += 1
            args = [self.rounded(a) if isinstance(a, torch.Tensor) else a for a in args]
        return func(*args, **(kwargs or {}))

    @staticmethod
    def rounded(x):
        mantissa, exponent = torch.frexp(x)  # in [.5, 1): one bit is implied
        return torch.ldexp(torch.round(mantissa * 2**11) / 2**11, exponent)


@pytest.mark.parametrize("slope", [1.0, 0.0])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_penalty_is_exact_enough_in_tf32(network, slope):
    """As CUDA computes it: within a few parts in a thousand, its gradient within one in a hundred;
    that of another batch of 64 differs by more than ten."""
    torch.manual_seed(0)
    critic, images = make_gan(network, (1, 28, 28), 26, 10)[1], torch.randn(64, 1, 28, 28)
    twin = copy.deepcopy(critic).double()

    def penalty_and_gradient(critic, x):
        x = x.clone().requires_grad_()
        penalty = gradient_penalty(critic(x)[:, 0], x, slope)
        # A leaky ReLU's slope does not depend on the last bias.
        parts = torch.autograd.grad(penalty, list(critic.parameters()), allow_unused=True)
        return penalty.item(), torch.cat([p.flatten() for p in parts if p is not None])

    exact, direction = penalty_and_gradient(twin, images.double())
    with TF32() as products:
        found, found_direction = penalty_and_gradient(critic, images)
    assert products.count > 4
    assert found == pytest.approx(exact, rel=2e-3)
    assert found != pytest.approx(exact, rel=1e-6)
    assert (found_direction - direction).norm() < 1e-2 * direction.norm()
    _, other = penalty_and_gradient(twin, torch.randn_like(images).double())
    assert (other - direction).norm() > 0.1 * direction.norm()


def test_discrimination_is_a_cross_entropy():
    real, fake = torch.randn(7, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    expected += F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    torch.testing.assert_close(discrimination_loss(real, fake), expected)


def test_deception_keeps_its_gradient_where_the_critic_is_sure():
    """-σ(-v) / n: one of n, where the critic's own loss has all but none to give."""
    value = torch.tensor([-30.0, 0.0, 30.0], requires_grad=True)
    deception_loss(value).backward()
    torch.testing.assert_close(value.grad, torch.tensor([-1.0, -0.5, 0.0]) / 3)


def test_weight_grows_by_stairs():
    weights = [staircase(10.0, 1.2, 3, step) for step in range(8)]
    np.testing.assert_allclose(weights, [10, 10, 10, 12, 12, 12, 14.4, 14.4])
