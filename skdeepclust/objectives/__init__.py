"""Pure tensor functions: one equation, one function. They import torch and nothing else."""

from ._adversarial import (
    critic_distance,
    deception_loss,
    discrimination_loss,
    gradient_penalty,
    interpolate,
    staircase,
)
from ._assignment import (
    assignment_kl,
    entropy,
    frequency_penalty,
    harden_assignment,
    student_t_assignment,
    target_distribution,
)
from ._mixture import (
    closest_clusters,
    consistency_kl,
    expected_log_density,
    information_loss,
    join_clusters,
    joint_information,
    log_density,
    mixture_log_likelihood,
    mixture_log_posterior,
    pair_shares,
    share_scale,
    shared_information,
    unite,
)
from ._reconstruction import reconstruction_error
from ._variational import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparametrize,
)

__all__ = [
    "assignment_kl",
    "bernoulli_log_likelihood",
    "closest_clusters",
    "consistency_kl",
    "critic_distance",
    "deception_loss",
    "discrimination_loss",
    "entropy",
    "expected_log_density",
    "frequency_penalty",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "gradient_penalty",
    "harden_assignment",
    "information_loss",
    "interpolate",
    "join_clusters",
    "joint_information",
    "log_density",
    "mixture_log_likelihood",
    "mixture_log_posterior",
    "pair_shares",
    "reconstruction_error",
    "reparametrize",
    "share_scale",
    "shared_information",
    "staircase",
    "student_t_assignment",
    "target_distribution",
    "unite",
]
