"""Deep clustering with the scikit-learn interface."""

from ._version import __version__
from .cluster import StatDEC

__all__ = ["StatDEC", "__version__"]
