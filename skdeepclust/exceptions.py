"""Warnings of this package."""


class DeadClusterWarning(UserWarning):
    """A cluster lost all its samples and was started anew, or stayed empty."""
