"""Fitted estimators in files: tensors and JSON, and nothing that runs.

What is in a file is data. The class comes out of a registry, names of attributes out of a list,
networks from the constructor's parameters, their weights by name and shape.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ._tensor_file import decode, encode, read, require_trust, versions, write
from .exceptions import ModelFileError
from .training import require_torch_defaults, resolve_device, seeded_construction

# What an estimator has after fit, beside its module.
ARRAYS = ("labels_", "cluster_centers_", "cluster_sizes_", "restart_scores_")
ATTRIBUTES = (
    "n_iter_",
    "converged_",
    "stop_reason_",
    "n_features_in_",
    "input_shape_",
    "_sample_shape",
    "_image_shape",
    "_image_dtype",
    "history_",
)
OPTIONAL = ("feature_names_in_", "_image_limits")
# Where a fit writes to, and what watches it, are for those to say who call it, not for a file.
NOT_KEPT = ("checkpoint", "callbacks")


# ------------------------------------------------------------------------------------------ modules


def settings(module: nn.Module) -> dict[str, Any]:
    """What a fitted module and our modules in it have beside tensors: numbers and words."""
    found = {}
    for path, part in module.named_modules():
        if type(part).__module__.startswith(f"{__package__}."):
            for name, value in vars(part).items():
                value = value.item() if isinstance(value, np.generic) else value
                if name != "training" and isinstance(value, (bool, int, float, str)):
                    found[f"{path}.{name}".lstrip(".")] = value
    return found


def apply_settings(module: nn.Module, values: Mapping[str, Any]) -> None:
    known = settings(module)
    if not isinstance(values, dict) or set(values) != set(known):
        raise ModelFileError(f"the module's settings do not fit; expected {sorted(known)}")
    for name, value in values.items():
        if type(value) is not type(known[name]):
            raise ModelFileError(f"the module's {name}={value!r} is of another type")
        part, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(part), attribute, value)


def build(estimator, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The estimator's module, its weights taken from tensors of the right names and shapes."""
    mean = tensors.get("module.standardize.mean")
    if mean is None or tuple(mean.shape) != estimator.input_shape_:
        raise ModelFileError("the file's network does not fit its input_shape_")
    require_torch_defaults()
    prefix = "module."
    state = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    # Shapes alone: no memory, whatever the file asks for. A user's network, which the reader has
    # trusted, may compute with numbers while it is built.
    place = torch.device("cpu" if callable(estimator.network) else "meta")
    try:
        with seeded_construction(0), place:  # whose draws are for nothing, and not the caller's
            module = estimator._empty_module(len(estimator.labels_))
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

    members = {name: getattr(cluster, name) for name in cluster.__all__}
    return {
        name: member
        for name, member in members.items()
        if issubclass(member, BaseEstimator) and not inspect.isabstract(member)
    }


def save(estimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator; see :meth:`BaseDeepClusterer.save`."""
    check_is_fitted(estimator)
    name = type(estimator).__name__
    if registry().get(name) is not type(estimator):
        raise ValueError(
            f"{name} is not one of this package's estimators, {sorted(registry())}; a subclass can "
            "be pickled instead"
        )
    estimator._validate_params()
    module = estimator.module_
    tensors = {
        f"module.{n}": t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for n, t in module.state_dict().items()
    }
    for attribute in ARRAYS:
        tensors[f"fitted.{attribute}"] = torch.tensor(getattr(estimator, attribute))
    try:
        apply_settings(build(estimator, tensors), settings(module))
    except ModelFileError as error:
        raise ValueError(
            f"{name} has other parameters than those it was fitted with, and could not be read "
            f"back ({error}); fit it again, or set them back"
        ) from error
    present = [a for a in (*ATTRIBUTES, *OPTIONAL) if hasattr(estimator, a)]
    parameters = estimator.get_params(deep=False).items()
    metadata = {
        "class": name,
        "parameters": {n: encode(v, n) for n, v in parameters if n not in NOT_KEPT},
        "fitted": {a: encode(getattr(estimator, a), a) for a in present},
        "module": settings(module),
        "versions": versions(),
    }
    write(Path(path), tensors, metadata)


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
        Fitted; on the same device it predicts bit for bit what it predicted before. What
        ``set_output`` was given is not kept.

    Raises
    ------
    ModelFileError
        A ValueError: the file is no model, damaged, of another format, or names what is not
        trusted.
    OSError
        The file cannot be read.
    ValueError
        There is no such device.
    RuntimeError
        torch was told to make other tensors than float32 on the CPU.

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
    resolve_device(device)
    tensors, metadata = read(Path(path))
    if "checkpoint" in metadata:
        raise ModelFileError(
            f"{path} is the checkpoint of a fit, not a model; call the same fit again with it as "
            "checkpoint, which goes on from there, and save the estimator"
        )
    name = metadata.get("class")
    if not isinstance(name, str) or name not in registry():
        raise ModelFileError(f"{path} holds a {name!r}; expected one of {sorted(registry())}")
    Estimator = registry()[name]
    require_trust(metadata, trusted)
    if not all(isinstance(metadata.get(part), dict) for part in ("parameters", "fitted")):
        raise ModelFileError(f"{path} has no parameters, or no fitted attributes")
    given = metadata["parameters"]
    if forbidden := [name for name in NOT_KEPT if given.get(name) is not None]:
        raise ModelFileError(f"{path} sets {sorted(forbidden)}, which no file may")
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
