"""Small layers that several networks share."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


def dense(dims: tuple[int, ...], *, last_nonlinear: bool = False) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them, started by He's rule."""
    layers: list[nn.Module] = []
    pairs = list(itertools.pairwise(dims))
    for position, (n_in, n_out) in enumerate(pairs):
        linear = nn.Linear(n_in, n_out)
        followed = position < len(pairs) - 1 or last_nonlinear
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu" if followed else "linear")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()] if followed else [linear]
    return nn.Sequential(*layers)


class Standardize(nn.Module):
    """Centre every feature and divide all of them by one number, so that their mean variance is 1.

    One number for all: which features vary more is the user's choice of units. Losses measured after
    it are shares of the data's variance, whatever its units.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: float):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.scale + self.mean


class LatentMap(nn.Module):
    """An invertible affine map of the embedding, the identity until it is set."""

    shift: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.register_buffer("shift", torch.zeros(latent_dim))
        self.register_buffer("matrix", torch.eye(latent_dim))
        self.register_buffer("inverse_matrix", torch.eye(latent_dim))

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.shift) @ self.matrix

    def inverse(self, z: Tensor) -> Tensor:
        return z @ self.inverse_matrix + self.shift

    def whiten_within(self, z: Tensor, labels: Tensor) -> None:
        """Set the map under which the clusters of ``z`` have on average the identity as covariance.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Embeddings before the map.
        labels : Tensor of shape (n,), int64
        """
        member = torch.nn.functional.one_hot(labels).to(z.dtype)  # (n, K)
        centers = member.T @ z / member.sum(0).clamp(min=1).unsqueeze(1)
        residual = (z - centers[labels]).double()
        covariance = residual.T @ residual / len(z)
        values, vectors = torch.linalg.eigh(covariance)
        # Directions without spread (constant data, one sample a cluster) are left as they are.
        floor = 1e-6 * values.max().clamp(min=0)
        spread = torch.where(values > floor, values, values.max()).sqrt()
        spread = torch.where(spread > 0, spread, 1.0)
        self.shift = z.mean(0)
        self.matrix = ((vectors / spread) @ vectors.T).to(z.dtype)
        self.inverse_matrix = ((vectors * spread) @ vectors.T).to(z.dtype)
