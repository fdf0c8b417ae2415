"""Checkpoints: a fit's state in a file, from which the same fit goes on.

A file holds the state of the restart that is running, the outcome of the best one before it, and
what the fit was: parameters, data, versions. It is written like a model: tensors and JSON, nothing
that runs, and it takes the place of the one before only when it is whole and on the disk.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor

from .._tensor_file import as_items, decode, encode, imports, read, require_trust, versions, write
from ..exceptions import CheckpointError, CheckpointWarning, ModelFileError
from ..training import Rows

# Parameters that a fit may be taken up with other values of.
FREE = ("checkpoint", "callbacks", "verbose", "device", "n_jobs", "random_state")
TENSOR = "$tensor"
DIGESTED = 2**26  # bytes at a time


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit keeps its state.

    What callbacks count or compare, as ``EarlyStopping`` does, is not part of it: they begin anew
    where a fit is taken up again.

    Parameters
    ----------
    path : str or path-like
    epochs : int >= 1 or None, default=None
        Write after so many epochs.
    minutes : float >= 0, default=5.0
        Without ``epochs``: write at the end of an epoch when the last file is so old.
    """

    path: str | os.PathLike[str]
    epochs: int | None = None
    minutes: float = 5.0

    def __post_init__(self):
        if not isinstance(self.path, (str, os.PathLike)):
            raise ValueError(f"path={self.path!r}; expected a str or path-like")
        if self.epochs is not None and not (isinstance(self.epochs, Integral) and self.epochs >= 1):
            raise ValueError(f"epochs={self.epochs!r}; expected an int >= 1 or None")
        if not (isinstance(self.minutes, Real) and self.minutes >= 0):
            raise ValueError(f"minutes={self.minutes!r}; expected a number >= 0")


@dataclass
class Progress:
    """How far a fit has got: seeds of all restarts, scores of those that ended, the state of the
    best of these, and of the one that is running."""

    seeds: list[int]
    scores: list[float] = field(default_factory=list)
    best: dict | None = None
    current: dict | None = None


class CheckpointFile:
    """The checkpoint of one fit."""

    def __init__(self, checkpoint: Checkpoint | str | os.PathLike[str], estimator, rows: Rows):
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self.checkpoint, self.path = checkpoint, Path(checkpoint.path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint={str(self.path)!r}: the folder {str(self.path.parent)!r} does not "
                "exist; make it first"
            )
        if self.path.is_dir():
            raise IsADirectoryError(
                f"checkpoint={str(self.path)!r} is a folder; expected the path of a file"
            )
        parameters = estimator.get_params(deep=False)
        self.identity = {
            "class": type(estimator).__name__,
            "parameters": {n: encode(v, n) for n, v in parameters.items() if n not in FREE},
            "random_state": seed_of(parameters["random_state"]),
            "data": digest(rows),
            "versions": versions(),
        }
        self.epochs, self.written = 0, monotonic()

    def load(self) -> Progress | None:
        """What the file knows of this very fit; None where there is no file."""
        if not self.path.exists():
            return None
        try:
            tensors, metadata = read(self.path)
            found = metadata["checkpoint"]
            require_trust(metadata["progress"], ())
        except (ModelFileError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path} is no checkpoint, or damaged ({error}); give another path, or remove "
                "the file"
            ) from error
        self._require_same(found)
        progress = Progress(**unpacked(metadata["progress"], tensors))
        if len(progress.scores) == len(progress.seeds) and found["random_state"] is None:
            warnings.warn(
                f"the fit of the checkpoint {str(self.path)!r} has ended: it is taken over as it "
                "is, whatever random_state; remove the file, or give another path, to train anew",
                CheckpointWarning,
                stacklevel=5,
            )
        return progress

    def _require_same(self, found: Mapping) -> None:
        way_out = (
            "remove the file or give another path to begin anew; where a search fits many times, "
            "set checkpoint=None"
        )
        for name, mine in self.identity.items():
            theirs = found.get(name)
            if theirs == mine:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                differing = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
                mine, theirs = ({k: side.get(k) for k in differing} for side in (mine, theirs))
            what = f"its {name}: {theirs}, this fit's: {mine}"
            if name == "data":  # whose digests tell nobody anything
                what = "its data are others, or the same in another order or dtype"
            raise CheckpointError(
                f"{self.path} is the checkpoint of another fit: {what}; {way_out}"
            )

    def epoch_ends(self, progress: Progress) -> None:
        """Write, if it is time."""
        self.epochs += 1
        asked = self.checkpoint.epochs
        if asked is None:
            due = monotonic() - self.written >= 60 * self.checkpoint.minutes
        else:
            due = self.epochs >= asked
        if due:
            self.epochs, self.written = 0, monotonic()
            self.save(progress)

    def save(self, progress: Progress) -> None:
        """Write; a disk that is full, or a callback that records what no file can hold, is no
        reason to lose the training too."""
        tensors: dict[str, Tensor] = {}
        try:
            content = packed(vars(progress), "", tensors)
            if found := sorted(set(imports(content))):
                raise ValueError(f"the history holds {', '.join(found)}, which no file may")
            write(self.path, tensors, {"checkpoint": self.identity, "progress": content})
        except (OSError, ValueError) as error:
            warnings.warn(
                f"the checkpoint {str(self.path)!r} could not be written ({error}); the training "
                "goes on, and the file of before, if there was one, is whole",
                CheckpointWarning,
                stacklevel=2,
            )


def seed_of(random_state) -> int | None:
    """An integer seed; a generator's next draw is not the same fit's, whatever it gives."""
    return int(random_state) if isinstance(random_state, Integral) else None


def digest(rows: Rows) -> str:
    """Of the data, as the networks see it, and its form."""
    total = hashlib.sha256(f"{rows.X.dtype.str} {rows.X.shape} {rows.sample_shape}".encode())
    step = max(1, DIGESTED // max(1, rows.X[:1].nbytes))
    for start in range(0, len(rows), step):
        total.update(np.ascontiguousarray(rows.X[start : start + step]).tobytes())
    return total.hexdigest()


# ------------------------------------------------------------------------- nested state as a file


def packed(value, name: str, tensors: dict[str, Tensor]):
    """A nested state as JSON; its tensors go into ``tensors``, by where they stand in it."""
    if isinstance(value, Tensor):
        tensors[name] = value.cpu().clone(memory_format=torch.contiguous_format)
        return {TENSOR: name}
    if isinstance(value, dict):
        return as_items(
            [
                (encode(key, name), packed(item, f"{name}/{key}", tensors))
                for key, item in value.items()
            ]
        )
    if isinstance(value, (list, tuple)):
        items = [packed(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    return encode(value, name)


def unpacked(value, tensors: Mapping[str, Tensor]):
    """The inverse of :func:`packed`."""
    if isinstance(value, list):
        return [unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if "$items" in value:
        return {decode(key): unpacked(item, tensors) for key, item in value["$items"]}
    if "$tuple" in value:
        return tuple(unpacked(item, tensors) for item in value["$tuple"])
    if any(key.startswith("$") for key in value):
        return decode(value)
    return {key: unpacked(item, tensors) for key, item in value.items()}
