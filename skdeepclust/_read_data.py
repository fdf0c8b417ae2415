"""Samples out of files: a folder of images, arrays of numpy, tables."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
GRAY = ("1", "L", "LA")
# Of 8 bits; what has more would lose them.
COLORED = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "La")
# pandas' name for a first column that has none.
UNNAMED = "Unnamed: 0"


@dataclass
class Data:
    """Samples, and for images the files that they are from."""

    X: Any
    files: list[str] | None = None


def read_data(
    path: str | os.PathLike[str],
    *,
    image_shape: tuple[int | None, int | None, int | None] = (None, None, None),
    drop: tuple[str, ...] = (),
) -> Data:
    """Read samples.

    Parameters
    ----------
    path : str or path-like
        A folder, whose images are read by name, those in its folders too; one image; a file .npy,
        or .npz with one array or one that is called X; a file .csv or .parquet whose columns are
        features.
    image_shape : (int or None, int or None, int or None), default=(None, None, None)
        Channels, height and width that images are brought to. None is what they have: they must all
        be of the same size then, and are grey where they all are.
    drop : tuple of str, default=()
        Columns of a table that are no features.

    Returns
    -------
    Data

    Raises
    ------
    OSError
        When there is no such file, or it cannot be read.
    ValueError
        When it holds no samples, or others than these.
    ImportError
        When pillow or pandas is missing.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    table = suffix in (".csv", ".parquet") and not path.is_dir()
    if drop and not table:
        raise ValueError(f"{path} has no columns to drop; expected a .csv or .parquet file")
    if path.is_dir() or (path.is_file() and suffix in IMAGES):
        return _read_images(path, image_shape)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; expected a folder of images, or a .npy, .npz, .csv or .parquet "
            "file"
        )
    if table:
        return Data(_read_table(path, suffix, drop))
    if suffix in (".npy", ".npz"):
        return Data(_read_array(path, suffix))
    raise ValueError(
        f"{path} ends in {suffix!r}; expected a folder of images or one of {list(IMAGES)}, or a "
        ".npy, .npz, .csv or .parquet file"
    )


def _read_array(path: Path, suffix: str) -> np.ndarray:
    try:
        if suffix == ".npy":
            X = np.load(path, mmap_mode="r")
        else:
            with np.load(path) as arrays:
                names = list(arrays)
                name = "X" if "X" in names or len(names) != 1 else names[0]
                X = arrays[name] if name in names else None
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no {suffix} file, or damaged: {error}") from error
    except ValueError as error:  # NumPy's own advises to load it unsafely
        raise ValueError(
            f"{path} is no {suffix} file of numbers: it is damaged, of another kind, or holds "
            "Python objects"
        ) from error
    if X is None:
        raise ValueError(f"{path} holds the arrays {names}; expected one, or one that is called X")
    if X.ndim < 2:
        raise ValueError(
            f"{path} holds an array of shape {X.shape}; expected (n_samples, n_features), or "
            "images (n_samples, C, H, W)"
        )
    return X


def _read_table(path: Path, suffix: str, drop: tuple[str, ...]):
    try:
        import pandas

        table = pandas.read_csv(path) if suffix == ".csv" else pandas.read_parquet(path)
    except ImportError as error:
        raise ImportError(
            f"reading {suffix} needs pandas, and .parquet pyarrow ({error}); install them with: "
            "pip install 'skdeepclust[cli]'"
        ) from error
    except ValueError as error:  # of what is damaged or empty, it does not say the name
        raise ValueError(f"{path} is no {suffix} table: {error}") from error
    table.columns = [str(name) for name in table.columns]
    if suffix == ".csv":
        _require_read_right(path, table, drop)
    if unknown := [name for name in drop if name not in table.columns]:
        raise ValueError(f"{path} has no columns {unknown} to drop; it has {list(table.columns)}")
    table = table.drop(columns=list(drop))
    if not len(table):
        raise ValueError(f"{path} has columns, but no rows")
    words = [
        *table.select_dtypes(exclude=["number", "bool"]).columns,
        *table.select_dtypes("timedelta").columns,  # to pandas a number
    ]
    if words:
        raise ValueError(
            f"the columns {words} of {path} are no numbers; leave them out with {_dropping(words)}"
        )
    missing = table.isna()
    if missing.any(axis=None):
        names = list(table.columns[missing.any()])
        row = int(missing.any(axis=1).to_numpy().argmax())
        raise ValueError(
            f"the columns {names} of {path} have missing values, the first in row {row}, counted "
            f"from 0; fill them, leave out those rows, or these columns with {_dropping(names)}"
        )
    return table


def _dropping(names: list[str]) -> str:
    return " ".join(f"--drop {name!r}" for name in names)


def _require_read_right(path: Path, table, drop: tuple[str, ...]) -> None:
    """Refuse what pandas has misread without a word."""
    import pandas

    names = list(table.columns)
    indexed = not table.index.equals(pandas.RangeIndex(len(table)))
    words = table.select_dtypes(exclude=["number", "bool"])
    if len(names) == 1 and (indexed or len(words.columns)):
        for mark, word in ((";", "semicolons"), ("\t", "tabs")):
            if mark in names[0]:
                raise ValueError(
                    f"the columns of {path} are separated by {word}; expected commas, and points "
                    "in the numbers"
                )
    if indexed:
        raise ValueError(
            f"rows of {path} have more values than its first row has names; expected commas "
            "between the columns and points in the numbers"
        )
    if UNNAMED in names and UNNAMED not in drop:
        raise ValueError(
            f"the first column of {path} has no name, as row numbers have none; leave it out with "
            f"{_dropping([UNNAMED])}, or give it a name"
        )
    # Numbers in a row are what tables without names have for them; years are too.
    if all(_is_number(name) for name in names) and not _in_a_row(names):
        raise ValueError(
            f"the first row of {path} is numbers; expected names of the columns: put some above "
            "it, or where it has them, a letter before each"
        )


def _is_number(name: str) -> bool:
    """Also where pandas has put the count of its like behind it: 0.0, 0.0.1, 0.0.2."""
    for word in (name, name.rpartition(".")[0]):
        try:
            float(word)
        except ValueError:
            continue
        return True
    return False


def _in_a_row(names: list[str]) -> bool:
    first = names[0]
    if not first.isdecimal() or (len(names) == 1 and first != "0"):
        return False
    return names == [str(number) for number in range(int(first), int(first) + len(names))]


def _read_images(path: Path, shape: tuple[int | None, int | None, int | None]) -> Data:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "reading images needs pillow; install it with: pip install 'skdeepclust[cli]'"
        ) from error
    folder = path if path.is_dir() else path.parent
    found = folder.rglob("*") if path.is_dir() else [path]
    files = sorted(
        file
        for file in found
        if file.suffix.lower() in IMAGES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not files:
        raise ValueError(f"{folder} holds no images; expected files that end in {list(IMAGES)}")
    channels, height, width = shape
    if channels is None:
        channels = 1 if all(_mode(Image, file) in GRAY for file in files) else 3
    if channels not in (1, 3):
        raise ValueError(f"the model takes images of {channels} channels; those of files have 1, 3")
    pictures: list[np.ndarray] = []
    for file in files:
        picture = _decode(Image, file, "L" if channels == 1 else "RGB", height, width)
        if pictures and picture.shape != pictures[0].shape:
            first, other = (p.shape[1::-1] for p in (pictures[0], picture))
            raise ValueError(
                f"{files[0]} has {first[0]}x{first[1]} pixels and {file} {other[0]}x{other[1]}; "
                "bring them to one size with --image-size"
            )
        pictures.append(picture)
    X = np.stack(pictures).reshape(len(files), *pictures[0].shape[:2], channels)
    names = [file.relative_to(folder).as_posix() for file in files]
    return Data(np.ascontiguousarray(X.transpose(0, 3, 1, 2)), names)


def _mode(Image, file: Path) -> str:
    with Image.open(file) as picture:
        if picture.mode not in (*GRAY, *COLORED):
            raise ValueError(
                f"{file} has pixels of mode {picture.mode!r}; expected 8 bits a channel: convert "
                "it, or give the images as an .npy array (n, C, H, W)"
            )
        return picture.mode


def _decode(Image, file: Path, mode: str, height: int | None, width: int | None) -> np.ndarray:
    from PIL import ImageOps

    _mode(Image, file)
    try:
        with Image.open(file) as picture:
            picture = ImageOps.exif_transpose(picture).convert(mode)
            if height is not None and width is not None and picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(picture)
    except OSError as error:
        raise OSError(f"{file} cannot be read: {error}") from error
