"""Score heads of neural mixture models, several of them side by side."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..objectives import mixture_log_posterior, share_scale


class MixtureHeads(nn.Module):
    """Relevance scores of every cluster, normalised over the batch without affine terms.

    Parameters
    ----------
    latent_dim : int
    n_heads : int
        Independent mixtures that read the same embedding.
    n_clusters : int
    prior : Tensor of shape (n_clusters,)
        Shares of the clusters; the starting point where they are estimated.
    n_estimating : int
        How many of the heads, the last ones, follow the running mean of the posterior as their
        prior. Beside others they read the embedding without shaping it: classes that they merge
        should stay apart there.
    temperature : float > 0, default=1.0
        What scores are divided by in the posterior.
    scale_by_share : bool, default=False
        Multiply them by :func:`~skdeepclust.objectives.share_scale` there.
    normalize : bool, default=True
        False leaves the scores as they are, for comparison: training then collapses.
    """

    log_prior: Tensor
    estimates_prior: Tensor

    # Weight of a batch in the running prior, that of nn.BatchNorm's statistics.
    MOMENTUM = 0.1

    def __init__(
        self,
        latent_dim: int,
        n_heads: int,
        n_clusters: int,
        prior: Tensor,
        n_estimating: int,
        *,
        temperature: float = 1.0,
        scale_by_share: bool = False,
        normalize: bool = True,
    ):
        super().__init__()
        self.n_heads, self.n_clusters = n_heads, n_clusters
        self.temperature, self.scale_by_share = temperature, scale_by_share
        self.linear = nn.Linear(latent_dim, n_heads * n_clusters)
        self.norm = nn.BatchNorm1d(n_heads * n_clusters, affine=False) if normalize else None
        self.register_buffer("log_prior", prior.log().expand(n_heads, n_clusters).clone())
        self.register_buffer("estimates_prior", torch.arange(n_heads) >= n_heads - n_estimating)
        n_shaping = n_heads if n_estimating == n_heads else n_heads - n_estimating
        self.sizes = [n_shaping * n_clusters, (n_heads - n_shaping) * n_clusters]

    def forward(self, z: Tensor) -> Tensor:
        """Normalised scores a*, (n, latent_dim) -> (n, n_heads, n_clusters)."""
        weights, biases = self.linear.weight.split(self.sizes), self.linear.bias.split(self.sizes)
        inputs = (z, z.detach())
        scores = torch.cat(
            [F.linear(*args) for args in zip(inputs, weights, biases, strict=True)], 1
        )
        if self.norm is not None:
            scores = self.norm(scores)
        return scores.view(-1, self.n_heads, self.n_clusters)

    def log_posterior(self, scores: Tensor) -> Tensor:
        """E-step, (n, n_heads, n_clusters) -> (n, n_heads, n_clusters)."""
        if self.scale_by_share:
            scores = scores * share_scale(self.log_prior)
        return mixture_log_posterior(scores, self.log_prior, self.temperature)

    def posterior(self, scores: Tensor) -> Tensor:
        return self.log_posterior(scores).exp()

    @torch.no_grad()
    def update_prior(self, posterior: Tensor) -> None:
        """Move the priors towards a batch's mean posterior, (n, n_heads, n_clusters)."""
        running = (1 - self.MOMENTUM) * self.log_prior.exp() + self.MOMENTUM * posterior.mean(0)
        followed = self.estimates_prior.unsqueeze(1)  # (n_heads, 1)
        self.log_prior.copy_(torch.where(followed, running.log(), self.log_prior))

    @torch.no_grad()
    def adopt(self, others: MixtureHeads, head: int) -> None:
        """Become a copy of one of several heads; this one is single."""
        chosen = slice(head * self.n_clusters, (head + 1) * self.n_clusters)
        for mine, theirs in zip(self._per_score(), others._per_score(), strict=True):
            mine.copy_(theirs[chosen])
        self.log_prior.copy_(others.log_prior[head : head + 1])
        self.estimates_prior.copy_(others.estimates_prior[head : head + 1])

    @torch.no_grad()
    def take_shares(self, labels: Tensor, *, estimated: bool) -> None:
        """Give a single head the shares of these clusters (n,) for its prior, at first or for good;
        an empty one has that of a sample."""
        count = torch.bincount(labels, minlength=self.n_clusters).clamp(min=1)
        self.log_prior.copy_((count / count.sum()).log())
        self.estimates_prior.fill_(estimated)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Renumber the clusters of a single head: the new cluster j is the old ``order[j]``."""
        for values in self._per_score():
            values.copy_(values[order])
        self.log_prior.copy_(self.log_prior[:, order])

    @torch.no_grad()
    def restart(self, cluster: int, direction: Tensor, z: Tensor) -> None:
        """Have a cluster of a single head score the embeddings z (n, latent_dim) along a direction.

        An estimated prior gives it an equal share of what the clusters then have together.
        """
        self.linear.weight[cluster], self.linear.bias[cluster] = direction, 0.0
        if self.norm is not None:
            along = z @ direction
            self.norm.running_mean[cluster] = along.mean()
            self.norm.running_var[cluster] = along.var()
        if self.estimates_prior.item():
            self.log_prior[0, cluster] = -math.log(self.n_clusters)
            self.log_prior.sub_(self.log_prior.logsumexp(1, keepdim=True))

    @torch.no_grad()
    def calibrate(self, z: Tensor) -> None:
        """Take the scores' mean and variance from the embeddings z (n, latent_dim) of all the data,
        in place of what is left of the last batches.
        """
        if self.norm is not None:
            scores = self.linear(z)
            self.norm.running_mean.copy_(scores.mean(0))
            self.norm.running_var.copy_(scores.var(0))

    def _per_score(self) -> list[Tensor]:
        """All that has one entry for each score, (n_heads * n_clusters, ...)."""
        statistics = [] if self.norm is None else [self.norm.running_mean, self.norm.running_var]
        return [self.linear.weight, self.linear.bias, *statistics]
