"""Files of tensors and JSON in the safetensors format, and values as JSON: nothing in them runs.

A user's own network or clusterer is kept as its import path, and imported only where the reader has
trusted that path.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from skorch.history import History
from torch import Tensor

from ._version import __version__
from ._whole_file import write_whole
from .exceptions import ModelFileError

FORMAT = 1
KEY = "skdeepclust"


def versions() -> dict[str, str]:
    """What a file depends on."""
    return {
        "skdeepclust": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
    }


# ------------------------------------------------------------------------------------------ values


def encode(value: Any, name: str) -> Any:
    """A parameter or attribute as JSON; what JSON has no word for becomes ``{"$kind": ...}``."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), name)
    if isinstance(value, History):
        return {"$history": [encode(dict(row), name) for row in value]}
    if isinstance(value, list):
        return [encode(item, name) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, name) for item in value]}
    if isinstance(value, Mapping):
        return as_items([(encode(key, name), encode(item, name)) for key, item in value.items()])
    if isinstance(value, np.ndarray):
        kind = "object" if value.dtype == object else value.dtype.str
        return {"$array": encode(value.tolist(), name), "dtype": kind}
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, np.dtype):
        return {"$dtype": value.str}
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        parameters = encode(value.get_params(deep=False), name)
        return {"$estimator": import_path(type(value), name), "parameters": parameters}
    if callable(value):
        return {"$import": import_path(value, name)}
    raise ValueError(
        f"{name}={value!r} cannot be kept in a file; give it a plain value first: a number, a "
        "word, a list of them, or None"
    )


def as_items(items: list[tuple[Any, Any]]) -> dict[str, Any]:
    """A dict of encoded keys and values as JSON, whose keys are words."""
    plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in items)
    return dict(items) if plain else {"$items": [list(item) for item in items]}


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`, of a value whose imports are trusted."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next((key for key in value if key.startswith("$")), None)
    if kind is None:
        return {key: decode(item) for key, item in value.items()}
    content = value[kind]
    if kind == "$tuple":
        return tuple(decode(content))
    if kind == "$items":
        return {decode(key): decode(item) for key, item in content}
    if kind == "$array":
        return np.array(content, dtype=plain_dtype(value["dtype"]))
    if kind == "$history":
        return History([decode(row) for row in content])
    if kind == "$dtype":
        return plain_dtype(content)
    if kind == "$import":
        return imported(content)
    if kind == "$estimator":
        return imported(content)(**decode(value["parameters"]))
    raise ModelFileError(f"the file holds a value of the unknown kind {kind!r}")


def plain_dtype(word: str) -> np.dtype:
    """The dtype of numbers or of objects; others may be of any size."""
    dtype = np.dtype(word)
    if dtype.kind not in "biufO":
        raise ModelFileError(f"the file holds an array of dtype {word!r}; expected numbers")
    return dtype


def import_path(thing: Callable, name: str) -> str:
    """``module:qualified.name``, checked to lead back to the thing."""
    module, qualified = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    path = f"{module}:{qualified}"
    try:
        found = resolve(path)
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not thing:
        raise ValueError(
            f"{name}={thing!r} cannot be found again by an import; define it at the top level of a "
            "module, not as a lambda or inside a function"
        )
    return path


def resolve(path: str) -> Any:
    module, _, qualified = path.partition(":")
    found = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found


def imports(value: Any) -> Iterator[Any]:
    """All import paths in an encoded value."""
    if isinstance(value, list):
        for item in value:
            yield from imports(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("$import", "$estimator"):
                yield item
            else:
                yield from imports(item)


def require_trust(value: Any, trusted: Collection[str]) -> None:
    missing = sorted({str(path) for path in imports(value)} - set(trusted))
    if missing:
        raise ModelFileError(
            f"the file asks to import {', '.join(missing)}, which could run anything; if you trust "
            f"that and the file's origin, load it with trusted={missing}"
        )


def imported(path: str) -> Any:
    try:
        return resolve(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelFileError(f"{path!r} of the file cannot be imported: {error}") from error


# ------------------------------------------------------------------------------------------ files


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(name.encode())
        # As bytes: numpy has no word for bfloat16.
        total.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a file of these, in the place of one that is there only when it is whole."""
    from safetensors.torch import save as serialize

    metadata = {"format": FORMAT, **metadata}
    metadata["digest"] = digest(tensors, metadata)
    write_whole(path, serialize(dict(tensors), {KEY: json.dumps(metadata)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file that is whole."""
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the path of a file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError:
        raise ModelFileError(f"{path} is a safetensors file, but no model of skdeepclust") from None
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError(f"{path} is no model of skdeepclust, or damaged: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        found = metadata.get("format") if isinstance(metadata, dict) else None
        raise ModelFileError(
            f"{path} has format {found!r}, and skdeepclust {__version__} reads format {FORMAT}"
        )
    if metadata.pop("digest", None) != digest(tensors, metadata):
        raise ModelFileError(f"{path} is damaged: its content does not match its digest")
    return tensors, metadata
