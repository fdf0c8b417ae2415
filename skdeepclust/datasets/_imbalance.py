"""Imbalanced subsets of labelled data, for studying what imbalance does to a clustering."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state


def _long_tailed(n_classes: int, ratio: float) -> np.ndarray:
    return ratio ** -np.linspace(0, 1, n_classes)


def _step(n_classes: int, ratio: float) -> np.ndarray:
    return np.where(np.arange(n_classes) < (n_classes + 1) // 2, 1.0, 1.0 / ratio)


# Class sizes relative to the largest, from the most frequent class to the rarest.
_PROFILES = {"long_tailed": _long_tailed, "step": _step}


def make_imbalanced(
    X: Any,
    y: Any,
    ratio: float,
    kind: Literal["long_tailed", "step"] = "long_tailed",
    *,
    n_max: int | None = None,
    class_order: ArrayLike | None = None,
    shuffle: bool = True,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, Any]:
    r"""Draw a subset whose largest class is `ratio` times its smallest.

    With :math:`n_1` samples in the most frequent class, :math:`r` the ratio and :math:`K`
    classes, the class at rank :math:`k = 1 \dots K` keeps

    - :math:`n_k = n_1 \, r^{-(k - 1) / (K - 1)}` samples if `kind` is "long_tailed",
    - :math:`n_1` for the first half of the ranks (the larger half if :math:`K` is odd) and
      :math:`n_1 / r` for the others if `kind` is "step",

    rounded to whole samples, but at least one. Samples are drawn without replacement and never
    repeated: :math:`n_1` is the largest number for which every class has enough samples, so the
    profile holds whatever the sizes in `y`. Only where :math:`n_1 < r` does the floor of one
    sample keep the imbalance below `ratio`.

    Parameters
    ----------
    X : {ndarray, DataFrame, sparse matrix or array in CSR form, sequence} of n_samples rows
        Samples; arrays of any number of dimensions, such as images (n, C, H, W).
    y : array-like of shape (n_samples,)
        Class of each sample; at least two classes.
    ratio : float
        Size of the largest class over that of the smallest, in [1, inf). 1 gives equal sizes.
    kind : {"long_tailed", "step"}, default="long_tailed"
        How sizes fall from the most frequent class to the rarest.
    n_max : int, default=None
        Upper bound on the size of the largest class. None keeps as many samples as possible.
    class_order : array-like of shape (n_classes,), default=None
        The classes of `y` from the most frequent to the rarest. None draws the order from
        `random_state`, so that no class is always the rare one.
    shuffle : bool, default=True
        Whether to return the rows in random order rather than in that of `X`.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws; pass an int for the same subset every time. None takes a fresh seed
        and leaves NumPy's global generator alone.

    Returns
    -------
    X, y : same types as the inputs
        The rows kept and their classes; other sequences than lists come back as lists.

    Raises
    ------
    ValueError
        If `X` and `y` differ in length, `y` is not 1-D or has fewer than two classes, or a
        parameter is outside the range above.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepclust.datasets import make_imbalanced
    >>> X, y = np.zeros((300, 1, 8, 8)), np.repeat([0, 1, 2], 100)
    >>> X_tail, y_tail = make_imbalanced(X, y, ratio=25, class_order=[2, 1, 0], random_state=0)
    >>> np.bincount(y_tail)
    array([  4,  20, 100])
    >>> X_tail.shape
    (124, 1, 8, 8)
    """
    _check_parameters(ratio, kind, n_max)
    labels = np.asarray(y)
    n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"y has shape {labels.shape} but X has {n_samples} rows; expected y of shape "
            f"({n_samples},), one class per row of X (use .ravel() on a single column)."
        )
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"y has {len(classes)} distinct class(es); expected at least 2 to imbalance. "
            "Pass the labels of all classes."
        )

    # check_random_state(None) would be NumPy's global generator, and drawing would move it.
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    order = rng.permutation(len(classes)) if class_order is None else _ranks(class_order, classes)

    profile = _PROFILES[kind](len(classes), ratio)
    n_largest = (counts[order] / profile).min()  # the scarcest class sets the scale
    if n_max is not None:
        n_largest = min(n_largest, n_max)
    sizes = np.maximum(1, np.rint(n_largest * profile).astype(int))

    keep = np.concatenate(
        [
            rng.permutation(np.flatnonzero(codes == k))[:size]
            for k, size in zip(order, sizes, strict=True)
        ]
    )
    keep = rng.permutation(keep) if shuffle else np.sort(keep)
    return _take(X, keep), _take(y, keep)


def _check_parameters(ratio: float, kind: str, n_max: int | None) -> None:
    if not (isinstance(ratio, Real) and 1 <= ratio < np.inf):
        raise ValueError(
            f"ratio={ratio!r}; expected a finite number >= 1, the size of the largest class over "
            "that of the smallest. To get one class in ten, pass 10 rather than 0.1."
        )
    if kind not in _PROFILES:
        raise ValueError(f"kind={kind!r}; expected one of {sorted(_PROFILES)}.")
    if n_max is not None and not (isinstance(n_max, Integral) and n_max >= 1):
        raise ValueError(
            f"n_max={n_max!r}; expected an int >= 1, or None to keep as many samples as possible."
        )


def _ranks(class_order: ArrayLike, classes: np.ndarray) -> np.ndarray:
    """Return the position in the sorted `classes` of each class of `class_order`."""
    class_order = np.asarray(class_order)
    if not np.array_equal(np.sort(class_order), classes):
        raise ValueError(
            f"class_order={class_order.tolist()}; expected every class of y exactly once, "
            f"in any order: {classes.tolist()}."
        )
    return np.searchsorted(classes, class_order)


def _take(rows: Any, index: np.ndarray) -> Any:
    if hasattr(rows, "iloc"):
        return rows.iloc[index]
    if hasattr(rows, "shape"):
        return rows[index]
    return [rows[i] for i in index]
