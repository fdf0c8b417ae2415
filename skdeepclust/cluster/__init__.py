"""The catalogue: one file per algorithm; and the base of those to come."""

from ._base import BaseDeepClusterer, ClusteringModule
from ._checkpoint import Checkpoint
from ._dvc import DVC
from ._neural_mixture_em import NeuralMixtureEM
from ._precise_feature_gan import PreciseFeatureGAN
from ._stat_dec import StatDEC

__all__ = [
    "DVC",
    "BaseDeepClusterer",
    "Checkpoint",
    "ClusteringModule",
    "NeuralMixtureEM",
    "PreciseFeatureGAN",
    "StatDEC",
]
