"""Deep clustering with the scikit-learn interface."""

from ._persistence import load
from ._version import __version__
from .cluster import DVC, Checkpoint, NeuralMixtureEM, PreciseFeatureGAN, StatDEC

__all__ = [
    "DVC",
    "Checkpoint",
    "NeuralMixtureEM",
    "PreciseFeatureGAN",
    "StatDEC",
    "__version__",
    "load",
]
