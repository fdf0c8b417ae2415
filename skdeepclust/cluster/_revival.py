"""Clusters that lost all their samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from ..exceptions import DeadClusterWarning


def revive_empty(
    q: Tensor, assign: Callable[[], Tensor], restart: Callable[[int, Tensor], bool]
) -> Tensor:
    """Start every empty cluster anew, and warn of it.

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
    revived: list[int] = []
    exhausted = False
    while (empty := _empty(q, n_clusters)) and len(revived) < n_clusters and not exhausted:
        if restart(empty[0], q):
            revived.append(empty[0])
            q = assign()
        else:
            exhausted = True
    if empty:
        why = "the data has no more distinct samples" if exhausted else "none could be kept alive"
        warnings.warn(
            f"{len(empty)} of n_clusters={n_clusters} clusters stay empty: {why}; lower n_clusters",
            DeadClusterWarning,
            stacklevel=2,
        )
    elif revived:
        warnings.warn(
            f"clusters {sorted(set(revived))} had lost all their samples and were started "
            "anew; if this goes on, lower n_clusters or lr",
            DeadClusterWarning,
            stacklevel=2,
        )
    return q


def _empty(q: Tensor, n_clusters: int) -> list[int]:
    sizes = torch.bincount(q.argmax(1), minlength=n_clusters)
    return (sizes == 0).nonzero().flatten().tolist()
