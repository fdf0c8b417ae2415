"""What a generator, a critic and a classifier train on.

Equation numbers are those of Gan, Dong, Zhou, Gao and Dong, "Learning the Precise Feature for
Cluster Assignment" (IEEE Transactions on Cybernetics). Their critic's loss is due to Gulrajani et
al., "Improved Training of Wasserstein GANs" (NeurIPS 2017). The other one is that of Goodfellow et
al., "Generative Adversarial Nets" (NeurIPS 2014), with the penalty of Mescheder, Geiger and
Nowozin, "Which Training Methods for GANs do actually Converge?" (ICML 2018).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


def discrimination_loss(real: Tensor, fake: Tensor) -> Tensor:
    """``-E log σ(D(x)) - E log(1 - σ(D(G)))``: the cross-entropy of telling samples from data.

    Parameters
    ----------
    real, fake : Tensor of shape (n,)
        The critic's values, taken for the log-odds that a sample is real.

    Returns
    -------
    Tensor, a scalar
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def deception_loss(fake: Tensor) -> Tensor:
    """``-E log σ(D(G))``, the generator's side of :func:`discrimination_loss`, in the form whose
    gradient does not vanish where the critic is sure."""
    return F.softplus(-fake).mean()


def gradient_penalty(value: Tensor, x: Tensor, slope: float = 1.0) -> Tensor:
    """``mean((‖∇ value‖ - slope)²)``, the norm over all dimensions of a sample.

    With a slope of 1, and x between real and generated samples, that of eq. 5; with 0, and x real
    samples, that of Mescheder et al.

    Parameters
    ----------
    value : Tensor of shape (n,)
        The critic's, computed from x, each value of its own sample alone.
    x : Tensor of shape (n, ...)
        Requires a gradient.
    slope : float, default=1.0

    Returns
    -------
    Tensor, a scalar
        Differentiable in the critic's parameters.
    """
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    squared = gradient.flatten(1).square().sum(1)
    if slope == 0:
        return squared.mean()
    return ((squared + _TINY).sqrt() - slope).square().mean()


def staircase(start: float, growth: float, interval: int, step: int) -> float:
    """``start`` multiplied by ``growth`` once every ``interval`` steps.

    The paper's text; its algorithm 1 as printed would multiply at every step.
    """
    return start * growth ** (step // interval)
