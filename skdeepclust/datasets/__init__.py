"""Data to cluster: seeded makers, and fetchers of public sets."""

from __future__ import annotations

from ._features import make_artifact, make_gaussian_ring
from ._fetch import fetch_mnist
from ._imbalance import make_imbalanced

__all__ = ["fetch_mnist", "make_artifact", "make_gaussian_ring", "make_imbalanced"]
