"""Look at what was learned. Drawing needs matplotlib: ``pip install skdeepclust[plot]``."""

from ._confusion import ConfusionDisplay
from ._decoding import GeneratedSamplesDisplay, ReconstructionDisplay
from ._densities import ClusterDensityDisplay
from ._embedding import EmbeddingDisplay
from ._gallery import ClusterGalleryDisplay, ClusterProfilesDisplay, rank_by_typicality
from ._prototypes import PrototypesDisplay, most_relevant_samples, synthesize_prototypes
from ._report import report
from ._stability import Stability, stability
from ._training import ClusterSizesDisplay, TrainingCurvesDisplay

__all__ = [
    "ClusterDensityDisplay",
    "ClusterGalleryDisplay",
    "ClusterProfilesDisplay",
    "ClusterSizesDisplay",
    "ConfusionDisplay",
    "EmbeddingDisplay",
    "GeneratedSamplesDisplay",
    "PrototypesDisplay",
    "ReconstructionDisplay",
    "Stability",
    "TrainingCurvesDisplay",
    "most_relevant_samples",
    "rank_by_typicality",
    "report",
    "stability",
    "synthesize_prototypes",
]
