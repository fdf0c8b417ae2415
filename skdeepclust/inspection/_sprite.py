"""Many thumbnails in one picture, which a page loads once."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np

from ._images import gray_limits, to_pixels

# Of the encoded sprite: in base64 it is a third larger, and beside it the page has some 6 MB.
MAX_BYTES = 12_000_000
# Height of a thumbnail, in pixels, and what the widest may have of it.
MAX_SIDE = 64
# Up to so many pixels a sprite is kept without loss.
LOSSLESS = 4_000_000
CHUNK = 512


@dataclass
class Sprite:
    """Thumbnail i is in row ``i // columns`` and column ``i % columns``."""

    data_uri: str
    columns: int
    rows: int
    width: int
    height: int


def make_sprite(images: np.ndarray, max_bytes: int = MAX_BYTES) -> Sprite:
    """Images (n, C, H, W) as thumbnails, smaller ones where they would take more than max_bytes."""
    height, width = images.shape[2:]
    shrink = min(1.0, MAX_SIDE / max(height, width))
    while True:
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        sheet, columns = _sheet(images, *size)
        kind, content = _encode(sheet)
        if len(content) <= max_bytes or max(size) <= 4:
            break
        shrink *= min(0.9, math.sqrt(max_bytes / len(content)))
    uri = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Sprite(uri, columns, sheet.shape[0] // size[0], size[1], size[0])


def _sheet(images: np.ndarray, height: int, width: int) -> tuple[np.ndarray, int]:
    """The thumbnails on one sheet that is about as wide as it is high."""
    from PIL import Image

    n = len(images)
    columns = max(1, min(n, round(math.sqrt(n * height / width))))
    rows = -(-n // columns)
    sheet = np.full((rows, height, columns, width, 3), 255, np.uint8)
    limits = None if images.dtype == np.uint8 else gray_limits(images)
    for start in range(0, n, CHUNK):  # the pixels of all images may be more than memory holds
        pixels = to_pixels(images[start : start + CHUNK], limits)
        for i, picture in enumerate(pixels, start):
            if picture.shape[:2] != (height, width):
                resized = Image.fromarray(np.ascontiguousarray(picture))
                picture = np.asarray(resized.resize((width, height), Image.Resampling.BOX))
            sheet[i // columns, :, i % columns] = picture
    return sheet.reshape(rows * height, columns * width, 3), columns


def _encode(sheet: np.ndarray) -> tuple[str, bytes]:
    from PIL import Image

    picture = Image.fromarray(sheet)
    if (sheet[..., :1] == sheet).all():
        picture = picture.convert("L")
    stream = io.BytesIO()
    if picture.width * picture.height <= LOSSLESS:
        picture.save(stream, "PNG", optimize=True)
        return "png", stream.getvalue()
    # Colours at full resolution: at half of it thumbnails would stain their neighbours.
    picture.save(stream, "JPEG", quality=80, subsampling=0)
    return "jpeg", stream.getvalue()
