"""Gaussian mixtures side by side, quickly: a log-density is linear in the products of coordinates.

scikit-learn's GaussianMixture goes through components one by one; here an E-step and an M-step of
several mixtures are a matrix product each, on any device.
"""

from __future__ import annotations

import math

import torch
from sklearn.cluster import kmeans_plusplus
from torch import Tensor

MAX_ITER, TOL = 100, 1e-3  # as scikit-learn's


class GaussianMixtureEM:
    """EM for mixtures whose covariances are "full" or "spherical".

    A mixture is its weights, a matrix of shape (n_terms, n_components): ``terms(x) @ weights`` is
    the logarithm of each component's share times its density, and ``mean(r * terms(x))`` all that
    an M-step needs.

    Parameters
    ----------
    kind : {"full", "spherical"}
    dim : int
        Number of coordinates, d.
    regularization : float > 0
        Added to the diagonals of covariances.
    """

    def __init__(self, kind: str, dim: int, regularization: float):
        self.kind, self.dim, self.regularization = kind, dim, regularization
        self.rows, self.columns = (
            torch.triu_indices(dim, dim) if kind == "full" else torch.arange(dim).expand(2, dim)
        )

    def terms(self, x: Tensor) -> Tensor:
        """Products of coordinates, coordinates, and 1, (n, d) -> (n, n_terms)."""
        return torch.cat([x[:, self.rows] * x[:, self.columns], x, torch.ones_like(x[:, :1])], 1)

    def fit(self, x: Tensor, centers: Tensor) -> list[Tensor]:
        """Weights of the mixtures that EM ends in from equal shares and these means.

        Parameters
        ----------
        x : Tensor of shape (n, d)
        centers : Tensor of shape (n_mixtures, n_components, d)
            Their components stand beside each other in every product.
        """
        n_components = centers.shape[1]
        terms, means = self.terms(x), centers.flatten(0, 1)
        shares = x.new_full(means.shape[:1], 1 / n_components)
        weights = self.weights(shares, means, x.new_zeros(len(means), len(self.rows)))
        bound, going = x.new_full((len(centers),), -math.inf), list(range(len(centers)))
        found = list(weights.split(n_components, 1))
        for _ in range(MAX_ITER):
            joint = (terms @ weights).unflatten(1, (-1, n_components))  # (n, mixtures, K)
            total = joint.logsumexp(2, keepdim=True)
            before, bound = bound, total.mean((0, 2))
            moments = (joint - total).exp().flatten(1).T @ terms / len(x)
            shares = moments[:, -1] + torch.finfo(x.dtype).eps  # of none of the samples too
            products, means = (moments[:, :-1] / shares.unsqueeze(1)).split(
                [len(self.rows), self.dim], 1
            )
            covariances = products - means[:, self.rows] * means[:, self.columns]
            shares = shares.unflatten(0, (-1, n_components))
            shares = (shares / shares.sum(1, keepdim=True)).flatten()
            weights = self.weights(shares, means, covariances)
            parts = weights.split(n_components, 1)
            for place, part in zip(going, parts, strict=True):
                found[place] = part
            moved = ~((bound - before).abs() < TOL)
            kept = moved.nonzero().flatten().tolist()
            if not kept:
                break
            if len(kept) < len(going):
                going, bound = [going[i] for i in kept], bound[moved]
                weights = torch.cat([parts[i] for i in kept], 1)
        return found

    def weights(self, shares: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
        """From parameters, (K,), (K, d) and (K, products), the last without regularisation."""
        if self.kind == "spherical":
            variances = (covariances.mean(1) + self.regularization).unsqueeze(1)
            quadratic, linear = (-0.5 / variances).expand_as(means), means / variances
            log_determinants = self.dim * variances.squeeze(1).log()
        else:
            quadratic, linear, log_determinants = self._of_matrices(means, covariances)
        constant = shares.log() - 0.5 * (
            (linear * means).sum(1) + log_determinants + self.dim * math.log(2 * math.pi)
        )
        return torch.cat([quadratic, linear, constant.unsqueeze(1)], 1).T

    def _of_matrices(self, means: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of full covariances: what products and coordinates are multiplied by, and their log
        determinants."""
        matrices = means.new_zeros(len(means), self.dim, self.dim)
        matrices[:, self.rows, self.columns] = covariances
        matrices[:, self.columns, self.rows] = covariances
        matrices.diagonal(dim1=1, dim2=2).add_(self.regularization)
        factors = torch.linalg.cholesky(matrices)
        precisions = torch.cholesky_inverse(factors)
        linear = (precisions @ means.unsqueeze(2)).squeeze(2)
        log_determinants = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(1)
        halves = torch.where(self.rows == self.columns, 0.5, 1.0).to(means)  # (i, j) is (j, i) too
        quadratic = -halves * precisions[:, self.rows, self.columns]
        return quadratic, linear, log_determinants


def seed_centers(x: Tensor, n_components: int, seed: int) -> Tensor:
    """Samples that k-means++ chooses among x to begin with, (n_components, d)."""
    _, seeds = kmeans_plusplus(x.cpu().numpy(), n_components, random_state=seed)
    return x[torch.from_numpy(seeds).to(x.device)]


def posteriors(terms: Tensor, weights: list[Tensor]) -> Tensor:
    """Posteriors of several mixtures beside each other, (n, all components); each sums to 1."""
    return torch.cat([(terms @ each).softmax(1) for each in weights], 1)
