"""Scores of a clustering, against known classes or in its own embedding."""

from __future__ import annotations

from ._clustering import (
    balanced_clustering_accuracy,
    clustering_accuracy,
    per_class_recall,
    uniformity_index,
)
from ._scorers import (
    balanced_clustering_accuracy_scorer,
    clustering_accuracy_scorer,
    silhouette_scorer,
)

__all__ = [
    "balanced_clustering_accuracy",
    "balanced_clustering_accuracy_scorer",
    "clustering_accuracy",
    "clustering_accuracy_scorer",
    "per_class_recall",
    "silhouette_scorer",
    "uniformity_index",
]
