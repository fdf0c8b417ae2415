"""Data with a feature that says which cluster a sample is of."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

N_BLOBS = 8
# The toy data of Gulrajani et al., "Improved Training of Wasserstein GANs" (2017): centres at a
# distance of 2 with a deviation of .02, all divided by the root of 2.
RADIUS, DEVIATION = 2 / np.sqrt(2), 0.02 / np.sqrt(2)


def make_gaussian_ring(
    n_samples: int = 10_000, *, random_state: int | np.random.RandomState | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Eight narrow Gaussian blobs on a circle in the plane.

    The centres lie at a distance of 1.414 from the origin, at multiples of 45 degrees; the standard
    deviation of each blob is .0141 in both directions.

    Parameters
    ----------
    n_samples : int, default=10_000
        At least 1; blobs are of equal size, or differ by one sample.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float64
        In random order.
    y : ndarray of shape (n_samples,), int64
        Blob, 0 to 7, anticlockwise from (1.414, 0).

    Examples
    --------
    >>> from skdeepclust.datasets import make_gaussian_ring
    >>> X, y = make_gaussian_ring(800, random_state=0)
    >>> X.shape, y.max()
    ((800, 2), np.int64(7))
    """
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r}; expected an integer of at least 1")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % N_BLOBS)
    angle = y * 2 * np.pi / N_BLOBS
    centers = RADIUS * np.column_stack([np.cos(angle), np.sin(angle)])
    return centers + DEVIATION * rng.standard_normal((n_samples, 2)), y


def make_artifact(
    X: ArrayLike,
    values: tuple[float, ...] = (0.1, 0.5, 0.9),
    *,
    weights: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Set the first pixel of every image to one of a few values, drawn at random.

    The pixel is then the one feature whose values come in clusters that match a partition exactly,
    whatever else is in the images (Artifact-MNIST of Gan et al.).

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Images or tables. Images of uint8 are scaled to [0, 1]; others should be of that range.
    values : tuple of float, default=(0.1, 0.5, 0.9)
        At least two.
    weights : array-like of shape (len(values),) or None, default=None
        Shares of the values, scaled to sum to 1; None is equal ones.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, ...), float32
        A copy, the first feature of every sample changed.
    artifact : ndarray of shape (n_samples,), int64
        Which of the values each has, 0 to len(values) - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepclust.datasets import make_artifact
    >>> X, artifact = make_artifact(np.zeros((4, 1, 2, 2)), random_state=0)
    >>> [f"{value:.1f}" for value in X[:, 0, 0, 0]]
    ['0.1', '0.5', '0.1', '0.5']
    """
    X = np.asarray(X)
    if X.ndim < 2 or len(X) == 0:
        raise ValueError(
            f"X has shape {X.shape}; expected at least one sample and two dimensions, "
            "(n_samples, n_features) or (n_samples, C, H, W)"
        )
    if len(values) < 2:
        raise ValueError(f"values={values!r}; expected at least two")
    if weights is not None:
        shares = np.asarray(weights, dtype=float)
        if shares.shape != (len(values),) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ValueError(
                f"weights={weights!r}; expected a positive number for each of {len(values)} values"
            )
    X = X / np.float32(255) if X.dtype == np.uint8 else X.astype(np.float32)
    X = np.ascontiguousarray(X)  # what follows writes into a view of it
    rng = check_random_state(random_state)
    if weights is None:
        artifact = rng.randint(len(values), size=len(X))
    else:
        artifact = rng.choice(len(values), len(X), p=shares / shares.sum())
    X.reshape(len(X), -1)[:, 0] = np.asarray(values, dtype=np.float32)[artifact]
    return X, artifact
