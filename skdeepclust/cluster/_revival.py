"""Clusters that lost all their samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def revive_empty(
    q: Tensor, assign: Callable[[], Tensor], restart: Callable[[int, Tensor], bool]
) -> Tensor:
    """Start every empty cluster anew, as far as there are samples for them.

    Parameters
    ----------
    q : Tensor of shape (n, n_clusters)
        The soft assignment of the whole data.
    assign : callable
        That assignment anew, as the module now makes it.
    restart : callable
        ``restart(cluster, q)`` puts the cluster on a sample that is badly served under q; False
        when every sample already sits on its cluster.

    Returns
    -------
    Tensor of shape (n, n_clusters)
        The soft assignment after that.
    """
    n_clusters = q.shape[1]
    for _ in range(n_clusters):
        sizes = torch.bincount(q.argmax(1), minlength=n_clusters)
        empty = (sizes == 0).nonzero().flatten().tolist()
        if not empty or not restart(empty[0], q):
            break
        q = assign()
    return q
