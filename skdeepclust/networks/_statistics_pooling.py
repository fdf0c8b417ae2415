"""Statistics of each cluster's features, joined to the features of its samples (eq. 6).

Rezaei, Dorigatti, Ruegamer and Bischl, arXiv 2109.05232.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A variance needs two samples; clusters with fewer in a batch use their running statistics.
_FEWEST = 2


class StatisticsPooling(nn.Module):
    """Add to each sample's features what its cluster looks like: ``S = (N_k, μ_k, σ_k)`` (eq. 6).

    Joining S to the features and mapping both linearly is the sum of two linear maps. That of the
    features is left to the layer that follows, and that of S starts at zero: a decoder trained
    without the layer gives the same output when it is put in. Of maps, the statistics are those of
    each channel over all positions, as in batch normalisation.

    Parameters
    ----------
    n_features : int
        Features, or channels of maps.
    n_clusters : int
    momentum : float, default=0.1
        Share of a batch in the running statistics, which serve inference and clusters with fewer
        than two samples in a batch.
    """

    running_share: Tensor
    running_mean: Tensor
    running_var: Tensor
    seen: Tensor

    def __init__(self, n_features: int, n_clusters: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.join = nn.Linear(2 * n_features + 1, n_features, bias=False)
        nn.init.zeros_(self.join.weight)
        self.register_buffer("running_share", torch.full((n_clusters,), 1 / n_clusters))
        self.register_buffer("running_mean", torch.zeros(n_clusters, n_features))
        self.register_buffer("running_var", torch.ones(n_clusters, n_features))
        self.register_buffer("seen", torch.zeros(n_clusters, dtype=torch.bool))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Join each sample's cluster statistics to its features.

        Parameters
        ----------
        features : Tensor of shape (n, n_features) or (n, n_features, H, W)
        labels : Tensor of shape (n,), int64
            Cluster of each sample.

        Returns
        -------
        Tensor of the features' shape
        """
        share, mean, var = self._statistics(features.relu(), labels)
        # S has K rows, far fewer than the batch: map them first, then hand them out.
        statistics = torch.cat([share.unsqueeze(1), mean, (var + 1e-5).sqrt()], 1)  # (K, 2F + 1)
        joined = self.join(statistics)[labels]
        return features + joined.view(*joined.shape, *[1] * (features.ndim - 2))

    def _statistics(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.training:
            return self.running_share, self.running_mean, self.running_var
        member = F.one_hot(labels, len(self.seen)).to(features.dtype)  # (n, K)
        count = member.sum(0)
        divisor = count.clamp(min=1).unsqueeze(1)
        positions = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)  # (n, F, P)
        mean = member.T @ positions.mean(2) / divisor  # (K, F)
        deviation = positions - mean[labels].unsqueeze(2)
        var = member.T @ deviation.square().mean(2) / divisor
        share = count / len(features)
        enough = count >= _FEWEST
        self._update_running(share.detach(), mean.detach(), var.detach(), enough)
        known = enough.unsqueeze(1)
        return (
            share,
            torch.where(known, mean, self.running_mean),
            torch.where(known, var, self.running_var),
        )

    @torch.no_grad()
    def _update_running(self, share: Tensor, mean: Tensor, var: Tensor, enough: Tensor) -> None:
        # A cluster's first statistics are taken whole; one without enough samples is left alone.
        rate = torch.where(self.seen, self.momentum, 1.0).to(mean.dtype) * enough
        # New tensors, not in place: the old ones may be part of this step's graph.
        self.running_mean = torch.lerp(self.running_mean, mean, rate.unsqueeze(1))
        self.running_var = torch.lerp(self.running_var, var, rate.unsqueeze(1))
        self.running_share = torch.lerp(self.running_share, share, self.momentum)
        self.seen = self.seen | enough

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Renumber the clusters: the new cluster j is the old ``order[j]``."""
        self.running_share = self.running_share[order]
        self.running_mean = self.running_mean[order]
        self.running_var = self.running_var[order]
        self.seen = self.seen[order]
