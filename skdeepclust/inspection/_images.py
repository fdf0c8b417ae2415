"""Samples as pictures: which they are, and how their numbers become pixels."""

from __future__ import annotations

import numpy as np


def holds_images(estimator) -> bool:
    """Whether a fitted estimator's samples are images."""
    return estimator._image_shape is not None


def as_images(estimator, X) -> np.ndarray:
    """X as images, (n, C, H, W)."""
    if not holds_images(estimator):
        raise ValueError(
            f"{type(estimator).__name__} was fitted on {estimator.input_shape_[0]} features; "
            "expected images: give X of shape (n_samples, C, H, W), or input_shape=(C, H, W) for "
            "images in rows. ClusterProfilesDisplay shows the clusters of a table"
        )
    X = np.asarray(X)
    return X.reshape(len(X), *estimator._image_shape)


def gray_limits(images: np.ndarray) -> tuple[float, float]:
    """The numbers that become black and white: 0 and 1, where floats are within, or the least and
    the greatest."""
    low, high = float(images.min()), float(images.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def to_pixels(images: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Pictures (..., C, H, W) to RGB bytes (..., H, W, 3), all on one scale.

    Bytes stay as they are; of floats, ``limits`` become black and white, by default the
    :func:`gray_limits`. Three channels are colours, others are averaged.
    """
    if images.shape[-3] != 3:
        images = images.mean(-3, keepdims=True).astype(images.dtype)
    if images.dtype != np.uint8 and images.size:
        low, high = limits or gray_limits(images)
        scaled = (images.astype(np.float32) - low) / max(high - low, 1e-12)
        images = np.round(255 * scaled.clip(0, 1)).astype(np.uint8)
    images = np.moveaxis(images, -3, -1)
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def mosaic(pixels: np.ndarray, shown: np.ndarray | None = None) -> np.ndarray:
    """Pictures (rows, columns, H, W, 3) side by side in one, with white lines between them.

    ``shown`` (rows, columns): where it is False the place stays white.
    """
    rows, columns, height, width, _ = pixels.shape
    line = max(1, round(0.06 * max(height, width)))
    framed = np.full((rows, columns, height + line, width + line, 3), 255, np.uint8)
    framed[:, :, :height, :width] = pixels
    if shown is not None:
        framed[~shown] = 255
    whole = framed.transpose(0, 2, 1, 3, 4).reshape(
        rows * (height + line), columns * (width + line), 3
    )
    return whole[:-line, :-line]


def show_mosaic(ax, pixels: np.ndarray, row_names, shown: np.ndarray | None = None) -> None:
    """Draw a mosaic so that a picture is one unit wide and high, its rows named."""
    rows, columns, height, width, _ = pixels.shape
    whole = mosaic(pixels, shown)
    ax.imshow(
        whole,
        extent=(0, columns, rows, 0),
        aspect=height / width,
        # Small pictures are drawn larger than they are, large ones smaller.
        interpolation="nearest" if height < 64 else "antialiased",
    )
    ax.set(xticks=[], yticks=np.arange(rows) + 0.5)
    ax.set_yticklabels(row_names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def mosaic_size(rows: int, columns: int, height: int, width: int, inches=0.55) -> tuple:
    """Of a figure for so many pictures, in inches."""
    ratio = height / width
    return (min(16, 1.3 + columns * inches), min(30, 0.7 + rows * inches * ratio))
