"""Small layers that several networks share."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


def dense(
    dims: tuple[int, ...],
    *,
    batch_norm: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them, each after a batch
    normalisation if asked for.

    Weights start by torch's rule for linear layers, which is smaller than He's. That is on purpose:
    an autoencoder that starts small finds embeddings in which classes lie further apart.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(dims):
        norm = [nn.BatchNorm1d(n_out)] if batch_norm else []
        layers += [nn.Linear(n_in, n_out), *norm, activation()]
    return nn.Sequential(*layers[: -2 if batch_norm else -1])  # the last is a Linear


class Standardize(nn.Module):
    """Centre every feature and divide them all by one number that makes their mean variance 1.

    One number for all: which features vary more is the user's choice of units. Losses measured
    after it are shares of the data's variance, whatever its units.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: float):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).div_(self.scale)  # in place: wide data are mostly memory traffic

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.scale + self.mean


# Of a row and a matrix, at a time: 64 MB in float32.
MOST_PRODUCTS = 2**24


def _rowwise_product(z: Tensor, symmetric: Tensor) -> Tensor:
    """``z @ symmetric``, each row rounded alike wherever it stands in z.

    Matrix products of narrow matrices are not: libraries round their last rows another way, and a
    sample's embedding would depend on its place in the batch.
    """
    parts = z.split(max(1, MOST_PRODUCTS // symmetric.numel()))
    return torch.cat([(part.unsqueeze(1) * symmetric).sum(2) for part in parts])  # (n, d)


class LatentMap(nn.Module):
    """An invertible affine map of the embedding by a symmetric matrix; the identity until set."""

    shift: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.register_buffer("shift", torch.zeros(latent_dim))
        self.register_buffer("matrix", torch.eye(latent_dim))
        self.register_buffer("inverse_matrix", torch.eye(latent_dim))

    def forward(self, z: Tensor) -> Tensor:
        if self.training:  # rounding is nothing to a gradient, and the plain product is quicker
            return (z - self.shift) @ self.matrix
        return _rowwise_product(z - self.shift, self.matrix)

    def inverse(self, z: Tensor) -> Tensor:
        return _rowwise_product(z, self.inverse_matrix) + self.shift

    def whiten(self, center: Tensor, covariance: Tensor) -> None:
        """Set the map under which embeddings of this covariance have the identity as theirs.

        Parameters
        ----------
        center : Tensor of shape (latent_dim,)
            Goes to the origin.
        covariance : Tensor of shape (latent_dim, latent_dim)
            Zero leaves the scale as it is.
        """
        # By numpy: in a process forked after it was used, torch's was seen to spin for ever.
        values, vectors = np.linalg.eigh(covariance.cpu().double().numpy())
        # A direction without spread gets the least that float32 can invert, not an infinite scale.
        scale = np.sqrt(values.clip(min=1e-6 * values.max()))
        scale = np.where(scale > 0, scale, 1.0)
        self.shift = center
        self.matrix = torch.from_numpy((vectors / scale) @ vectors.T).to(center)
        self.inverse_matrix = torch.from_numpy((vectors * scale) @ vectors.T).to(center)
