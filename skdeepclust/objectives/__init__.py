"""Pure tensor functions: one equation, one function. They import torch and nothing else."""

from ._assignment import (
    assignment_kl,
    frequency_penalty,
    harden_assignment,
    student_t_assignment,
    target_distribution,
)
from ._reconstruction import reconstruction_error

__all__ = [
    "assignment_kl",
    "frequency_penalty",
    "harden_assignment",
    "reconstruction_error",
    "student_t_assignment",
    "target_distribution",
]
