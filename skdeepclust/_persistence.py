"""Fitted estimators in files: tensors and JSON in the safetensors format, and nothing that runs.

What is in a file is data. The class comes out of a registry, names of attributes out of a list,
networks from the constructor's parameters, their weights by name and shape. A user's own network or
clusterer is kept as its import path, and imported only where the reader has trusted that path.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import Tensor, nn

from ._version import __version__
from .exceptions import ModelFileError

FORMAT = 1
KEY = "skdeepclust"
# What an estimator has after fit, beside its module.
ARRAYS = ("labels_", "cluster_centers_", "cluster_sizes_", "restart_scores_")
ATTRIBUTES = (
    "n_iter_",
    "converged_",
    "stop_reason_",
    "n_features_in_",
    "input_shape_",
    "_sample_shape",
    "_image_dtype",
    "history_",
)
OPTIONAL = ("feature_names_in_",)


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
        return {str(key): encode(item, name) for key, item in value.items()}
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
        f"{name}={value!r} cannot be kept in a file; set it to None or to a value of a plain type "
        "by set_params before saving"
    )


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


# ------------------------------------------------------------------------------------------ modules


def settings(module: nn.Module) -> dict[str, Any]:
    """What a fitted module has beside its tensors: numbers and words found out from the data."""
    return {
        name: value
        for name, value in vars(module).items()
        if name != "training" and isinstance(value, (bool, int, float, str))
    }


def apply_settings(module: nn.Module, values: Mapping[str, Any]) -> None:
    known = settings(module)
    if not isinstance(values, dict) or set(values) != set(known):
        raise ModelFileError(f"the module's settings do not fit; expected {sorted(known)}")
    for name, value in values.items():
        if type(value) is not type(known[name]):
            raise ModelFileError(f"the module's {name}={value!r} is of another type")
        setattr(module, name, value)


def build(estimator, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The estimator's module, its weights taken from tensors of the right names and shapes."""
    mean = tensors.get("module.standardize.mean")
    if mean is None or tuple(mean.shape) != estimator.input_shape_:
        raise ModelFileError("the file's network does not fit its input_shape_")
    prefix = "module."
    state = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    try:
        with torch.device("meta"):  # shapes alone: no memory, whatever the file asks for
            module = estimator._empty_module()
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ModelFileError(f"the file's parameters make no network: {error}") from error
    expected = module.state_dict()
    shapes = {name: tuple(t.shape) for name, t in expected.items()}
    found = {name: tuple(t.shape) for name, t in state.items()}
    if shapes != found:
        wrong = sorted(n for n in {*shapes, *found} if shapes.get(n) != found.get(n))
        raise ModelFileError(
            f"the file's tensors do not fit the network that its parameters name: {wrong[:3]}"
        )
    if wrong := sorted(name for name, t in state.items() if t.dtype != expected[name].dtype):
        raise ModelFileError(f"the file's tensors are of other types than expected: {wrong[:3]}")
    for name, template in expected.items():
        if state[name].stride() != template.stride():  # another layout rounds another way
            strided = torch.empty_strided(template.shape, template.stride(), dtype=template.dtype)
            state[name] = strided.copy_(state[name])
    module.load_state_dict(state, assign=True)
    for parameter in module.parameters():
        parameter.requires_grad_()
    return module.eval()


# --------------------------------------------------------------------------------------- save, load


def registry() -> dict[str, type]:
    from . import cluster

    return {name: getattr(cluster, name) for name in cluster.__all__}


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()


def save(estimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator; see :meth:`BaseDeepClusterer.save`."""
    check_is_fitted(estimator)
    name = type(estimator).__name__
    if registry().get(name) is not type(estimator):
        raise ValueError(
            f"{name} is not one of this package's estimators, {sorted(registry())}; a subclass can "
            "be pickled instead"
        )
    module = estimator.module_
    tensors = {
        f"module.{n}": t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for n, t in module.state_dict().items()
    }
    for attribute in ARRAYS:
        tensors[f"fitted.{attribute}"] = torch.tensor(getattr(estimator, attribute))
    present = [a for a in (*ATTRIBUTES, *OPTIONAL) if hasattr(estimator, a)]
    metadata = {
        "format": FORMAT,
        "class": name,
        "parameters": {n: encode(v, n) for n, v in estimator.get_params(deep=False).items()},
        "fitted": {a: encode(getattr(estimator, a), a) for a in present},
        "module": settings(module),
        "versions": {
            "skdeepclust": __version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }
    write(Path(path), tensors, {**metadata, "digest": digest(tensors, metadata)})


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write beside the file, see that it is on the disk, then put it in the file's place."""
    from safetensors.torch import save as serialize

    content = serialize(dict(tensors), {KEY: json.dumps(metadata)})
    umask = os.umask(0)
    os.umask(umask)
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o666 & ~umask)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    with contextlib.suppress(OSError):  # not every system can open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file that is whole."""
    from safetensors import SafetensorError, safe_open

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


def load(
    path: str | os.PathLike[str], device: str = "auto", *, trusted: Collection[str] = ()
) -> BaseEstimator:
    """Read an estimator that :meth:`save` wrote.

    Nothing in the file is run: it holds tensors and JSON. What it names by an import path, a user's
    own network or clusterer, is imported only if ``trusted`` has that path.

    Parameters
    ----------
    path : str or path-like
    device : str or torch.device, default="auto"
        Becomes the estimator's ``device``.
    trusted : collection of str, default=()
        Import paths ``module:name`` that the file may name.

    Returns
    -------
    estimator
        Fitted; on the same device it predicts bit for bit what it predicted before.

    Raises
    ------
    ModelFileError
        A ValueError: the file is no model, damaged, of another format, or names what is not
        trusted.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import skdeepclust
    >>> from sklearn.datasets import make_blobs
    >>> X, y = make_blobs(60, centers=3, random_state=0)
    >>> model = skdeepclust.NeuralMixtureEM(3, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     model.save(path)
    ...     again = skdeepclust.load(path)
    >>> (again.predict(X) == model.labels_).all()
    np.True_
    """
    if isinstance(trusted, str):
        raise ValueError(f"trusted={trusted!r}; expected a list of import paths")
    tensors, metadata = read(Path(path))
    name = metadata.get("class")
    if not isinstance(name, str) or name not in registry():
        raise ModelFileError(f"{path} holds a {name!r}; expected one of {sorted(registry())}")
    Estimator = registry()[name]
    require_trust(metadata, trusted)
    try:
        parameters = {n: decode(v) for n, v in metadata["parameters"].items()}
        fitted = {n: decode(v) for n, v in metadata["fitted"].items()}
        estimator = Estimator(**{**parameters, "device": device})
        estimator._validate_params()
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path} holds parameters that do not fit: {error}") from error
    if not set(ATTRIBUTES) <= set(fitted) <= {*ATTRIBUTES, *OPTIONAL}:
        raise ModelFileError(f"{path} holds other attributes than {list(ATTRIBUTES)}")
    vars(estimator).update(fitted)
    for name in ARRAYS:
        if f"fitted.{name}" not in tensors:
            raise ModelFileError(f"{path} lacks {name}")
        setattr(estimator, name, tensors[f"fitted.{name}"].numpy())
    estimator.module_ = build(estimator, tensors)
    apply_settings(estimator.module_, metadata.get("module"))
    return estimator
