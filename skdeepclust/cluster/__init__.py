"""The catalogue: one file per algorithm."""

from ._stat_dec import StatDEC

__all__ = ["StatDEC"]
