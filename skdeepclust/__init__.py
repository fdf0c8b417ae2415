"""Deep clustering with the scikit-learn interface."""

from ._version import __version__
from .cluster import NeuralMixtureEM, StatDEC

__all__ = ["NeuralMixtureEM", "StatDEC", "__version__"]
