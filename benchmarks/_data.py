"""Image sets packed into one file each, for which there is no fetcher in the package.

``<name>.npz`` in the folder that the environment variable SKDEEPCLUST_DATA names: ``jpeg``, the
bytes of all images, ``offsets`` (n + 1,) and ``y``.
"""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path

import numpy as np


def packed(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, C, H, W), uint8, and labels (n,) of the named files, one after another."""
    from PIL import Image

    folder = os.environ.get("SKDEEPCLUST_DATA")
    if folder is None:
        raise SystemExit(f"set SKDEEPCLUST_DATA to the folder that holds {names[0]}.npz")
    images, labels = [], []
    for name in names:
        with np.load(Path(folder) / f"{name}.npz") as archive:
            raw, offsets = archive["jpeg"].tobytes(), archive["offsets"]
            labels.append(archive["y"].astype(np.int64))
        for start, end in itertools.pairwise(offsets):
            images.append(np.asarray(Image.open(io.BytesIO(raw[start:end]))))
    X = np.stack(images)
    X = X[:, None] if X.ndim == 3 else X.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(X), np.concatenate(labels)


def medical_mnist() -> tuple[np.ndarray, np.ndarray]:
    """24,000 grey radiology images of 64 x 64 in six classes of equal size."""
    return packed("medical_mnist")


def cifar10() -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images of 32 x 32 in colour."""
    return packed("cifar10_train")
