"""What a user's own network is built and looked at with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

NetworkFactory = Callable[[tuple[int, ...], int], nn.Module]


def call_factory(
    network: NetworkFactory, input_shape: tuple[int, ...], latent_dim: int
) -> nn.Module:
    """Call the factory, and see that it returned a module."""
    module = network(input_shape, latent_dim)
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"network={network!r} returned a {type(module).__name__}; expected an nn.Module"
        )
    return module


def require_shape(
    what: str, found: object, shape: tuple[int, ...], given: str, expected: str
) -> None:
    """Raise a ValueError unless what a module returned for what it was given is such a tensor."""
    kind = f"a {type(found).__name__}"
    if isinstance(found, torch.Tensor):
        if found.shape == shape:
            return
        kind = f"shape {tuple(found.shape)}"
    raise ValueError(f"{what} gave {kind} for {given}; expected a tensor of shape {expected}")


def require_images(what: str, input_shape: tuple[int, ...]) -> None:
    """Raise a ValueError for ``what`` unless samples of this shape are images."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{what} needs images; give input_shape=(channels, height, width) or X of shape "
            "(n_samples, C, H, W)"
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every part has the mode that it had."""
    modes = {part: part.training for part in module.modules()}  # parts may be frozen
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training
