"""Random changes of image batches that keep what is on them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Callable[[Tensor], Tensor]

# Ranges of the affine warp (Guo et al., "Deep Embedded Clustering with Data Augmentation", 2018).
ROTATION, SHIFT, SCALE = math.radians(10), 0.1, 0.1
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.3, 0.4


def make_augmentation(
    augment: str | Augmentation | None, generator: torch.Generator
) -> Augmentation | None:
    """Return the function that ``augment`` names, drawing from ``generator``."""
    if augment is None or callable(augment):
        return augment
    if augment == "affine":
        return lambda x: affine_warp(x, generator)
    if augment == "image":
        return lambda x: color_jitter(affine_warp(x, generator), generator)
    raise ValueError(
        f"augment={augment!r} is unknown; expected None, 'affine', 'image' or a callable"
    )


def _uniform(n: int, spread: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """n numbers in [-spread, spread]."""
    return ((torch.rand(n, generator=generator) * 2 - 1) * spread).to(like.device)


def affine_warp(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 10 degrees, scale and shift by up to 10 %, each image its own way.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
        A CPU generator; it alone is drawn from.

    Returns
    -------
    Tensor of shape (n, C, H, W)
        What comes in from outside is 0.
    """
    n = len(x)
    angle = _uniform(n, ROTATION, x, generator)
    zoom = 1 + _uniform(n, SCALE, x, generator)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # The grid spans [-1, 1], so a share of the side is twice as much there.
    right, down = (_uniform(n, 2 * SHIFT, x, generator) for _ in range(2))
    aspect = x.shape[2] / x.shape[3]  # the grid's units are half sides: without it, not rigid
    theta = torch.stack([cos, -sin * aspect, right, sin / aspect, cos, down], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # (n, H, W, 2)
    return F.grid_sample(x, grid, align_corners=False)


def color_jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast, and with three channels saturation, each image its own way.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator

    Returns
    -------
    Tensor of shape (n, C, H, W)
        Within the range of x.
    """
    n, low, high = len(x), x.min(), x.max()

    def factor(spread):
        return _uniform(n, spread, x, generator).view(n, 1, 1, 1)

    if x.shape[1] == 3:
        grey = x.mean(1, keepdim=True)
        x = grey + (1 + factor(SATURATION)) * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (1 + factor(CONTRAST)) * (x - mean)
    return (x + factor(BRIGHTNESS) * (high - low)).clamp(low, high)
