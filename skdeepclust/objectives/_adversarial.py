"""What a generator, a critic and a classifier train on.

Equation numbers are those of Gan, Dong, Zhou, Gao and Dong, "Learning the Precise Feature for
Cluster Assignment" (IEEE Transactions on Cybernetics); the critic's loss is due to Gulrajani et
al., "Improved Training of Wasserstein GANs" (NeurIPS 2017).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Keeps the norm of a gradient differentiable where it is zero.
_TINY = 1e-12


def critic_distance(real: Tensor, fake: Tensor) -> Tensor:
    """How much higher the critic values real samples than generated ones.

    Parameters
    ----------
    real, fake : Tensor of shape (n,)
        The critic's values.

    Returns
    -------
    Tensor, a scalar
        An estimate of the Wasserstein distance, if the critic is 1-Lipschitz.
    """
    return real.mean() - fake.mean()


def interpolate(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Points on the lines between real and generated samples, each ``share`` real.

    Parameters
    ----------
    real, fake : Tensor of shape (n, ...)
    share : Tensor of shape (n,)
        In [0, 1].

    Returns
    -------
    Tensor of shape (n, ...)
    """
    share = share.view(-1, *[1] * (real.ndim - 1))
    return share * real + (1 - share) * fake


def gradient_penalty(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``mean((‖∇ critic(x)‖ - 1)²)``, the norm over all dimensions of a sample (eq. 5).

    Parameters
    ----------
    critic : callable
        From (n, ...) to (n,), each value a function of its own sample alone.
    x : Tensor of shape (n, ...)

    Returns
    -------
    Tensor, a scalar
        Differentiable in the critic's parameters.
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    norm = (gradient.flatten(1).square().sum(1) + _TINY).sqrt()
    return (norm - 1).square().mean()


def staircase(start: float, growth: float, interval: int, step: int) -> float:
    """``start`` multiplied by ``growth`` once every ``interval`` steps.

    The paper's text; its algorithm 1 as printed would multiply at every step.
    """
    return start * growth ** (step // interval)
