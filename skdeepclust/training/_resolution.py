"""Large images, averaged over squares of pixels before anything looks at them."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Averaging stops where images would have fewer pixels a side, or less of their variance.
LEAST_SIDE = 28
KEPT_VARIANCE = 0.9
# Images that the variance is measured on, and numbers in them that are worked on at a time.
MEASURED, AT_A_TIME = 1000, 2**24


def choose_sides(
    resolution: str | int, X: np.ndarray, shape: tuple[int, int, int]
) -> tuple[int, int]:
    """Height and width that images in the rows of X, (n, C·H·W), are averaged to.

    Parameters
    ----------
    resolution : {"auto", "full"} or int
        "auto": as small as the bounds above allow; an integer: of so many pixels a side at least.
    X : ndarray of shape (n, C·H·W)
    shape : (int, int, int)
        (C, H, W).

    Returns
    -------
    (int, int)
    """
    sides = shape[1:]
    if resolution == "full":
        return sides
    if resolution != "auto":
        return _divided(sides, max(1, min(sides) // int(resolution)))
    factors = range(min(sides) // LEAST_SIDE, 1, -1)
    if not factors:
        return sides
    n = min(len(X), MEASURED, max(2, AT_A_TIME // X.shape[1]))
    some = X[np.linspace(0, len(X) - 1, n).astype(int)]
    whole = _variance(some)
    for factor in factors:
        smaller = _divided(sides, factor)
        if _variance(average_pixels(some, shape, smaller)) >= KEPT_VARIANCE * whole:
            return smaller
    return sides


def average_pixels(
    X: np.ndarray, shape: tuple[int, int, int], sides: tuple[int, int]
) -> np.ndarray:
    """Images in rows, averaged to a smaller height and width, of the dtype that they had."""
    channels = shape[0]
    found = np.empty((len(X), channels * math.prod(sides)), X.dtype)
    step = max(1, AT_A_TIME // X.shape[1])
    for start in range(0, len(X), step):
        part = torch.from_numpy(X[start : start + step].astype(np.float32)).view(-1, *shape)
        smaller = F.adaptive_avg_pool2d(part, sides)
        if X.dtype == np.uint8:
            smaller.round_()
        found[start : start + step] = smaller.flatten(1).numpy()
    return found


def enlarge(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """Images (n, C, h, w) at another height and width, by interpolation."""
    return F.interpolate(x, sides, mode="bilinear")


def _divided(sides: tuple[int, int], factor: int) -> tuple[int, int]:
    return tuple(math.ceil(side / factor) for side in sides)


def _variance(X: np.ndarray) -> float:
    """Between images, the mean over their pixels."""
    return float(X.var(0, dtype=np.float64).mean())
