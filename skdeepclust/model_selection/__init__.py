"""Choose without labels."""

from ._n_clusters import NClustersSweep, sweep_n_clusters

__all__ = ["NClustersSweep", "sweep_n_clusters"]
