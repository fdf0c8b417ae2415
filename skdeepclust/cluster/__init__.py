"""The catalogue: one file per algorithm."""

from ._checkpoint import Checkpoint
from ._dvc import DVC
from ._neural_mixture_em import NeuralMixtureEM
from ._precise_feature_gan import PreciseFeatureGAN
from ._stat_dec import StatDEC

__all__ = ["DVC", "Checkpoint", "NeuralMixtureEM", "PreciseFeatureGAN", "StatDEC"]
