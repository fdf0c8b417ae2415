"""Warnings and errors of this package."""


class DeadClusterWarning(UserWarning):
    """Clusters ended a fit without a sample."""


class GeneratorDivergenceWarning(UserWarning):
    """Generated samples ceased to look like the data while training went on."""


class NonFiniteLossWarning(UserWarning):
    """The loss or a weight became infinite or NaN; training went on from before, slower."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, and the training goes on; or its fit has ended, and is
    taken over as it is."""


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or of other data, parameters or versions."""


class ModelFileError(ValueError):
    """A file that is no model of this package, or is damaged, or asks for what was not trusted."""
