"""Random changes of image batches that keep what is on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ._device import sent

Augmentation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AffineRanges:
    """How far a warp goes either way: radians, and shares of the side or of the size; whether half
    of the images are mirrored, and what comes in from outside, by grid_sample's names."""

    rotation: float
    shift: float
    scale: float
    shear: float = 0.0
    mirror: bool = False
    outside: str = "zeros"


# Guo et al., "Deep Embedded Clustering with Data Augmentation", 2018.
MILD = AffineRanges(rotation=math.radians(10), shift=0.1, scale=0.1)
# Slanted and upright handwriting overlap under it; under the mild one they may not.
STRONG = AffineRanges(rotation=math.radians(20), shift=0.1, scale=0.2, shear=0.3)
# What may lie anywhere. With turns and scales besides digits anywhere in a frame had less accuracy
# in all seven pairs of trials.
ANYWHERE = AffineRanges(rotation=0.0, shift=0.25, scale=0.0)
# What has no upright. With black corners cells had .812 for .975 (a trial).
ANY_ROTATION = AffineRanges(rotation=math.pi, shift=0.1, scale=0.1, mirror=True, outside="border")
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.2, 0.3, 0.4, math.radians(36)


def make_augmentation(
    augment: str | Augmentation | None, generator: torch.Generator
) -> Augmentation | None:
    """Return the function that ``augment`` names, drawing from ``generator``; what a user's own
    returns is checked."""
    if augment is None:
        return None
    if callable(augment):
        return _checked(augment)
    if augment not in NAMED:
        raise ValueError(
            f"augment={augment!r} is unknown; expected None, one of {AUGMENTATIONS} or a callable"
        )
    named = NAMED[augment]
    return lambda x: named(x, generator)


def _checked(augment: Augmentation) -> Augmentation:
    def checked(x: Tensor) -> Tensor:
        before = _version(x)
        warped = augment(x)
        if _version(x) != before:  # which is compared with the warped one, and decoded into
            raise ValueError(
                f"augment={augment!r} changes the batch that it is given; expected a new tensor: "
                "have it begin with x = x.clone(), or leave out inplace=True"
            )
        kind = type(warped).__name__
        if isinstance(warped, Tensor):
            if (warped.shape, warped.dtype, warped.device) == (x.shape, x.dtype, x.device):
                return warped
            kind = f"a tensor of shape {tuple(warped.shape)}, {warped.dtype}, {warped.device}"
        raise ValueError(
            f"augment={augment!r} returned {kind} for a batch of shape {tuple(x.shape)}; expected "
            f"a tensor like the batch: of that shape, {x.dtype}, on {x.device}"
        )

    return checked


def _version(x: Tensor) -> int:
    """Grows as x is written to; torch does not count in inference mode."""
    return 0 if x.is_inference() else x._version


def _uniform(n: int, spread: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """n numbers in [-spread, spread]."""
    return sent((torch.rand(n, generator=generator) * 2 - 1) * spread, like.device)


def affine_warp(x: Tensor, generator: torch.Generator, ranges: AffineRanges = MILD) -> Tensor:
    """Rotate, shear, scale and shift, each image its own way.

    Parameters
    ----------
    x : Tensor of shape (n, C, H, W)
    generator : torch.Generator
        A CPU generator; it alone is drawn from.
    ranges : AffineRanges, default=MILD
        MILD: up to 10 degrees and 10 %; STRONG: 20 degrees, scale 20 %, shift 10 %, shear 30 %;
        ANYWHERE: shift 25 %; ANY_ROTATION: any angle, mirrored or not, scale and shift 10 %.

    Returns
    -------
    Tensor of shape (n, C, H, W)
        What comes in from outside is 0, or where ``ranges`` say so the nearest pixel of the image.
    """
    n = len(x)
    angle = _uniform(n, ranges.rotation, x, generator)
    zoom = 1 + _uniform(n, ranges.scale, x, generator)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # The grid spans [-1, 1], so a share of the side is twice as much there.
    right, down = (_uniform(n, 2 * ranges.shift, x, generator) for _ in range(2))
    shear = _uniform(n, ranges.shear, x, generator)
    aspect = x.shape[2] / x.shape[3]  # the grid's units are half sides: without it, not rigid
    theta = torch.stack(
        [cos, (shear * cos - sin) * aspect, right, sin / aspect, cos + shear * sin, down], 1
    ).view(n, 2, 3)
    if ranges.mirror:
        side = torch.where(_uniform(n, 1, x, generator) < 0, -1.0, 1.0)
        theta[:, :, 0] *= side.unsqueeze(1)
    grid = _affine_grid(theta, *x.shape[2:])
    return F.grid_sample(x, grid, padding_mode=ranges.outside, align_corners=False)


def _affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """torch's affine_grid, (n, 2, 3) -> (n, height, width, 2), as one product of matrices: torch
    has one for each image, which takes a CPU many times as long."""
    down, right = ((torch.arange(n, device=theta.device) * 2 + 1) / n - 1 for n in (height, width))
    places = torch.stack(
        [*torch.meshgrid(right, down, indexing="xy"), theta.new_ones(height, width)]
    )
    return (theta.flatten(0, 1) @ places.flatten(1)).view(-1, 2, height, width).permute(0, 2, 3, 1)


def color_jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast, and with three channels hue and saturation, each image its
    own way.

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
        x = _rotate_hue(x, _uniform(n, HUE, x, generator))
        grey = x.mean(1, keepdim=True)
        x = grey + (1 + factor(SATURATION)) * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (1 + factor(CONTRAST)) * (x - mean)
    return (x + factor(BRIGHTNESS) * (high - low)).clamp(low, high)


# The cross product with (1, 1, 1).
CROSS = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def _rotate_hue(x: Tensor, angle: Tensor) -> Tensor:
    """Turn the colours of RGB images (n, 3, H, W) about the grey axis by angles (n,)."""
    # Rodrigues' formula for the axis (1, 1, 1) / sqrt(3).
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    cross = sent(CROSS, x.device) / math.sqrt(3)
    turn = cos * torch.eye(3, device=x.device) + sin * cross + (1 - cos) / 3  # (n, 3, 3)
    return torch.einsum("nij,njhw->nihw", turn, x)


def _in_other_colors(x: Tensor, generator: torch.Generator, ranges: AffineRanges) -> Tensor:
    return color_jitter(affine_warp(x, generator, ranges), generator)


NAMED = {
    "affine": affine_warp,
    "strong_affine": partial(affine_warp, ranges=STRONG),
    "shifted": partial(affine_warp, ranges=ANYWHERE),
    "image": partial(_in_other_colors, ranges=MILD),
    "rotated_image": partial(_in_other_colors, ranges=ANY_ROTATION),
}
AUGMENTATIONS = tuple(NAMED)
