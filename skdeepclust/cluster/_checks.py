"""What is looked at before anything is trained: the user's data, and parameters that need more than
a range. Each function raises, or warns at the user's line."""

from __future__ import annotations

import inspect
import math
import warnings
from numbers import Integral

import numpy as np
from skorch.callbacks import BatchScoring, Callback, EpochScoring

# A column whose float32 form has fewer steps from end to end is looked at for what it has lost.
FEWEST_STEPS = 256
# There is a warning of columns of which one spreads so many times as far as another, by about so
# many rows.
UNLIKE_SPREADS, ROWS_LOOKED_AT = 100, 10_000
# New images are on another scale where the range of so many of them is so many times as wide as
# that of the training, or it as theirs: bytes and shares of 255 differ by more, darker pictures by
# less.
SCALED, OTHER_SCALE = 1000, 30


def resolve_image_shape(
    input_shape, image_shape: tuple[int, ...] | None, shape: tuple[int, int]
) -> tuple[int, int, int] | None:
    """(C, H, W) of the samples, None for vectors.

    Parameters
    ----------
    input_shape : sequence of int or None
        The estimator's parameter.
    image_shape : tuple of int or None
        What X has, where it has images.
    shape : (int, int)
        Samples and features.
    """
    n, d = shape
    if input_shape is None:
        if image_shape is not None and channels_last(image_shape):
            warnings.warn(
                f"X of shape {(n, *image_shape)} is read as images of {image_shape[0]} channels "
                f"and {image_shape[1]} x {image_shape[2]} pixels; where channels come last, give "
                f"X.transpose(0, 3, 1, 2), and where they do not, input_shape={image_shape}",
                UserWarning,
                stacklevel=5,
            )
        return image_shape
    asked = tuple(int(side) for side in input_shape)
    if len(asked) != 3:
        raise ValueError(f"input_shape={input_shape!r}; expected (channels, height, width)")
    if image_shape not in (None, asked):
        raise ValueError(f"input_shape={asked}, but X holds images of shape {image_shape}")
    if math.prod(asked) != d:
        raise ValueError(
            f"input_shape={asked} needs {math.prod(asked)} features, but X has {d}; give the "
            "(channels, height, width) whose product is the number of features"
        )
    if image_shape is None and channels_last(asked):
        warnings.warn(
            f"input_shape={asked} folds rows into {asked[0]} channels of {asked[1]} x {asked[2]} "
            "pixels; where channels come last in them, give "
            f"X.reshape(-1, {', '.join(map(str, asked))}).transpose(0, 3, 1, 2) and no input_shape",
            UserWarning,
            stacklevel=5,
        )
    return asked


def channels_last(shape: tuple[int, int, int]) -> bool:
    """Whether (channels, height, width) look as if they were (height, width, channels)."""
    return shape[2] in (1, 3, 4) and min(shape[:2]) > 4


def require_samples(shape: tuple[int, ...], image_shape: tuple[int, int, int] | None) -> None:
    """Refuse what has another number of axes than samples in rows have; ``image_shape`` is that of
    the images that were fitted, if any were."""
    missing = {} if image_shape is None else {image_shape: "None"}
    if image_shape is not None and image_shape[0] == 1:
        missing[image_shape[1:]] = "None, None"
    # A row with as many numbers as an image has pixels is a sample.
    if shape in missing and shape[1:] != (math.prod(image_shape),):
        raise ValueError(
            f"X of shape {shape} is one image; expected (n_samples, C, H, W): give "
            f"X[{missing[shape]}]"
        )
    if len(shape) > 2:
        raise ValueError(
            f"Found array with dim {len(shape)} and shape {shape}; expected (n_samples, "
            "n_features) or (n_samples, C, H, W): for grey images give X[:, None], for series and "
            "other samples X.reshape(len(X), -1)"
        )


def warn_of_scale(array: np.ndarray, limits: tuple[float, float]) -> None:
    """Warn of images whose numbers go far beyond those of the training, or are tiny beside them."""
    part = array[:SCALED]
    low, high = float(part.min()), float(part.max())
    fitted = limits[1] - limits[0]
    if high - low > OTHER_SCALE * fitted or 0 < OTHER_SCALE * (high - low) < fitted:
        warnings.warn(
            f"X holds images of {low:.4g} to {high:.4g}, but those of the training were of "
            f"{limits[0]:.4g} to {limits[1]:.4g}; bring X to the same scale",
            UserWarning,
            stacklevel=5,
        )


def is_frame(X) -> bool:
    """Whether X is a table of pandas or polars, in memory."""
    return all(hasattr(X, name) for name in ("__len__", "dtypes", "columns"))


def holds_times(table) -> bool:
    """Whether a table of polars has dates, times or durations, which it gives as numbers of days or
    of microseconds; pandas gives what is refused as no number."""
    return any(hasattr(dtype, "is_temporal") and dtype.is_temporal() for dtype in table.dtypes)


def faulty_columns(table) -> str | None:
    """What to say of columns that are no numbers, or else of those with gaps; None without any."""
    words, gaps = [], []
    for name in table.columns:
        column = table[name]
        there = np.asarray(column.dropna() if hasattr(column, "dropna") else column.drop_nulls())
        try:
            numbers = there.astype(np.float64)
        except (ValueError, TypeError):
            words.append(name)
            continue
        if there.dtype.kind in "mM":  # times, which numpy takes for numbers
            words.append(name)
        elif len(there) < len(column) or not np.isfinite(numbers).all():
            gaps.append(name)
    if words:
        return (
            f"the columns {words} of X are no numbers; leave them out, or make columns of 0 and 1 "
            "of them, as OneHotEncoder(sparse_output=False) does"
        )
    if gaps:
        return (
            f"the columns {gaps} of X have NaN or infinity; fill them, as SimpleImputer does, or "
            "leave out those rows"
        )
    return None


def warn_of_units(names: np.ndarray, array: np.ndarray) -> None:
    """Warn of columns with names, which may have units, of which one spreads far further."""
    part = array[:: max(1, len(array) // ROWS_LOOKED_AT)].astype(np.float64)
    varies = np.flatnonzero(part.min(0) < part.max(0))
    if not len(varies):
        return
    spread = part[:, varies].std(0)
    times = spread.max() / spread.min()
    if times > UNLIKE_SPREADS:
        wide, narrow = (names[varies[i]] for i in (spread.argmax(), spread.argmin()))
        warnings.warn(
            f"column {wide!r} of X spreads {times:.3g} times as far as {narrow!r}, and counts for "
            "so much more; where columns have units of their own, bring them to one scale first, "
            "as StandardScaler does, and leave out what is no feature",
            UserWarning,
            stacklevel=6,
        )


def warn_of_rounding(X, array: np.ndarray) -> None:
    """Warn of columns of X that its float32 form, in which networks compute, has made coarse."""
    if array.dtype != np.float32 or getattr(X, "dtype", None) == np.float32:
        return
    low, high = array.min(0), array.max(0)
    steps = (high - low) / np.spacing(np.maximum(np.abs(low), np.abs(high)))
    coarse = np.flatnonzero(steps < FEWEST_STEPS)
    given = np.asarray(X) if len(coarse) else None  # of a frame of several dtypes a copy
    for column in coarse:
        values = given[:, column].astype(np.float64)
        if len(np.unique(values)) > len(np.unique(array[:, column])):
            warnings.warn(
                f"column {column} of X, from {values.min():.10g} to {values.max():.10g}, loses "
                "differences in float32, in which networks compute; subtract its mean first, as "
                "StandardScaler does",
                UserWarning,
                stacklevel=6,
            )
            return


def require_widths(name: str, value, *, nested: bool = False) -> None:
    """Refuse what are no positive integers; ``nested``, or sequences of them."""

    def is_width(w) -> bool:
        return isinstance(w, Integral) and not isinstance(w, bool) and w >= 1

    for width in () if value is None else value:
        of_one = width if nested and np.ndim(width) == 1 else [width]
        if not all(is_width(w) for w in of_one):
            raise ValueError(f"{name}={value!r}; expected integers of at least 1, not {width!r}")


def require_callbacks(callbacks) -> None:
    """Refuse what skorch does not take for a callback."""
    for given in callbacks or []:
        named = isinstance(given, (tuple, list)) and len(given) == 2
        callback = given[1] if named else given
        if named and callback is None:  # skorch's way to leave one out
            continue
        kind = callback if inspect.isclass(callback) else type(callback)
        if not issubclass(kind, Callback):
            raise ValueError(
                f"callbacks holds {given!r}; expected skorch callbacks, or pairs (name, callback)"
            )
        if issubclass(kind, (BatchScoring, EpochScoring)):
            raise ValueError(
                f"callbacks holds {given!r}, which scores predictions; there are none before a fit "
                "has ended: score the fitted estimator, or watch the losses of history_"
            )
        monitor = getattr(callback, "monitor", None)
        if inspect.isclass(callback) and "monitor" in (of := inspect.signature(kind).parameters):
            monitor = of["monitor"].default
        if isinstance(monitor, str) and monitor.startswith("valid"):
            # skorch takes what such a name has in the history for whether this epoch is the best.
            way_out = (
                "monitor=None, for every epoch, or a function of the net"
                if monitor.endswith("_best")
                else "monitor='train_loss', or another loss of history_"
            )
            raise ValueError(
                f"{kind.__name__} monitors {monitor!r}, but there is no validation set; give it "
                f"{way_out}"
            )
