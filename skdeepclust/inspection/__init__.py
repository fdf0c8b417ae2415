"""Look at what was learned. Drawing needs matplotlib: ``pip install skdeepclust[plot]``."""

from ._densities import ClusterDensityDisplay
from ._prototypes import PrototypesDisplay, most_relevant_samples, synthesize_prototypes
from ._stability import Stability, stability

__all__ = [
    "ClusterDensityDisplay",
    "PrototypesDisplay",
    "Stability",
    "most_relevant_samples",
    "stability",
    "synthesize_prototypes",
]
