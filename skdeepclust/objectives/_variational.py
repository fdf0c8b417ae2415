"""The evidence lower bound of a variational autoencoder, term by term.

Kingma and Welling, "Auto-Encoding Variational Bayes" (ICLR 2014). All sums over features and latent
dimensions are per sample, in nats.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def reparametrize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A draw from ``N(mean, exp(log_variance))``, differentiable in both.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (n, latent_dim)
    noise : Tensor of shape (n, latent_dim)
        Standard normal draws.

    Returns
    -------
    Tensor of shape (n, latent_dim)
    """
    return mean + (log_variance / 2).exp() * noise


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, exp(log_variance)) ‖ N(0, 1))`` of every latent dimension.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (n, latent_dim)

    Returns
    -------
    Tensor of shape (n, latent_dim)
        In nats, at least 0.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """``Σ_d x_d log σ(l_d) + (1 - x_d) log(1 - σ(l_d))``.

    Parameters
    ----------
    x : Tensor of shape (n, ...)
        Values in [0, 1].
    logits : Tensor of shape (n, ...)
        What the decoder gives.

    Returns
    -------
    Tensor of shape (n,)
    """
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """``Σ_d log N(x_d; mean_d, exp(log_variance))``.

    Parameters
    ----------
    x, mean : Tensor of shape (n, ...)
    log_variance : Tensor
        One for all features, or what broadcasts to them.

    Returns
    -------
    Tensor of shape (n,)
    """
    squared = (x - mean).square() / log_variance.exp()
    return -(squared + log_variance + math.log(2 * math.pi)).flatten(1).sum(1) / 2
