"""Public data sets, from a local folder where it has them, else from their public source."""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import fetch_openml

_ENV = "SKDEEPCLUST_DATA"
_N_TRAIN = 60_000  # OpenML has one table: the training digits, then the test digits


def fetch_mnist(
    data_home: str | os.PathLike[str] | None = None,
    part: Literal["train", "test"] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Load the MNIST handwritten digits (70,000 grey images of 28 by 28, 10 classes).

    A file ``mnist.npz`` in the data folder is read if there is one, with the arrays ``X_train``,
    ``y_train``, ``X_test``, ``y_test`` or, as Keras distributes it, ``x_train`` and so on.
    Otherwise the digits come from OpenML ("mnist_784", version 1) through
    :func:`sklearn.datasets.fetch_openml`, which caches the download and needs pandas.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``mnist.npz``, and where a download is cached. None takes the
        environment variable ``SKDEEPCLUST_DATA``; if that is unset too, scikit-learn's own data
        folder is the cache.
    part : {"train", "test"}, default=None
        The 60,000 training or the 10,000 test digits; None gives both, training digits first.

    Returns
    -------
    X : ndarray of shape (n_samples, 1, 28, 28), uint8
        Images, 0 is background and 255 full ink.
    y : ndarray of shape (n_samples,), int64
        Digits, 0 to 9.

    Raises
    ------
    ValueError
        If `part` is unknown or ``mnist.npz`` lacks the arrays above.
    OSError
        If there is no ``mnist.npz`` and the download fails.

    Examples
    --------
    >>> from skdeepclust.datasets import fetch_mnist
    >>> X, y = fetch_mnist(part="test")  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 1, 28, 28)
    """
    if part not in ("train", "test", None):
        raise ValueError(f"part={part!r}; expected 'train', 'test', or None for both.")
    folder = data_home or os.environ.get(_ENV) or None
    folder = None if folder is None else Path(folder).expanduser()
    parts = ("train", "test") if part is None else (part,)

    if folder is not None and (folder / "mnist.npz").is_file():
        X, y = _read_npz(folder / "mnist.npz", parts)
    else:
        X, y = _download(folder, part)
    return X.reshape(-1, 1, 28, 28).astype(np.uint8, copy=False), y.astype(np.int64)


def _read_npz(path: Path, parts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as archive:
        names = {name.lower(): name for name in archive.files}  # Keras has x_train for X_train
        missing = [f"{a}_{p}" for p in parts for a in "Xy" if f"{a}_{p}".lower() not in names]
        if missing:
            raise ValueError(
                f"{path} holds the arrays {sorted(archive.files)} but lacks {missing}; expected "
                "X_train, y_train, X_test, y_test. Replace the file, or remove it to download "
                "MNIST from OpenML."
            )
        X, y = (np.concatenate([archive[names[f"{a}_{p}"]] for p in parts]) for a in "xy")
    return X, y


def _download(folder: Path | None, part: str | None) -> tuple[np.ndarray, np.ndarray]:
    try:
        X, y = fetch_openml(
            "mnist_784", version=1, data_home=folder, return_X_y=True, as_frame=False
        )
    except (HTTPException, ImportError, OSError, ValueError) as error:
        where = "no data folder was given" if folder is None else f"there is none in {folder}"
        raise OSError(
            f"MNIST needs a file mnist.npz, but {where}, and the download of 'mnist_784' from "
            f"OpenML (https://www.openml.org/d/554) failed: {error}. Connect to the network, or "
            f"put mnist.npz in a folder and name it by data_home= or the environment variable "
            f"{_ENV}."
        ) from error
    rows = {"train": slice(_N_TRAIN), "test": slice(_N_TRAIN, None), None: slice(None)}[part]
    return X[rows], y[rows]
