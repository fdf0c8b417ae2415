"""Imports run downhill only (shared/design.md): every import statement of the package is read."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import skdeepclust

PACKAGE = Path(skdeepclust.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {
    "cluster",
    "objectives",
    "networks",
    "training",
    "metrics",
    "datasets",
    "inspection",
    "model_selection",
}

# Which other rooms a room may import; what is left out may import any.
DOWNHILL = {
    "objectives": set(),
    "networks": {"objectives"},
    "training": set(),
    "metrics": set(),
    "datasets": set(),
    "inspection": ROOMS - {"cluster", "training", "model_selection"},
    "model_selection": {"inspection", "metrics"},
    "cluster": {"training", "networks", "objectives", "metrics"},
}


def imports(source: str, package: str) -> list[str]:
    """Dotted names that a module of ``package`` imports, anywhere in it, relative ones resolved."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            # What is imported may be a module itself: `from .. import cluster`.
            found += [f"{origin}.{alias.name}" for alias in node.names]
    return found


def package_of(path: Path) -> str:
    return ".".join([PACKAGE.name, *path.relative_to(PACKAGE).parent.parts])


def imports_of(path: Path) -> list[str]:
    return imports(path.read_text(encoding="utf-8"), package_of(path))


def room_of(path: Path) -> str | None:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def rooms_among(names: list[str]) -> set[str]:
    split = [name.split(".") for name in names]
    return {parts[1] for parts in split if parts[0] == PACKAGE.name and parts[1] in ROOMS}


def is_sklearn_private(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "sklearn" and any(
        part.startswith("_") and not part.startswith("__") for part in parts
    )


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import torch.nn as nn", ["torch.nn"]),
        ("from torch import Tensor, nn", ["torch.Tensor", "torch.nn"]),
        ("from ._seed import a", ["skdeepclust.training._seed.a"]),
        ("from . import _seed", ["skdeepclust.training._seed"]),
        ("from .. import cluster", ["skdeepclust.cluster"]),
        ("from ..cluster._base import Run", ["skdeepclust.cluster._base.Run"]),
        ("def f():\n    import skdeepclust.cluster", ["skdeepclust.cluster"]),
    ],
)
def test_every_way_to_import_is_seen(line, expected):
    assert imports(line, "skdeepclust.training") == expected


def test_private_paths_of_scikit_learn_are_recognised():
    assert is_sklearn_private("sklearn.utils._param_validation.Interval")
    assert is_sklearn_private("sklearn.utils._safe_indexing")
    assert not is_sklearn_private("sklearn.utils.check_array")
    assert not is_sklearn_private("sklearn.__version__")
    assert not is_sklearn_private("skdeepclust._sklearn_compat.Interval")


def test_every_room_is_found():
    assert {"cluster", "objectives", "networks", "training"} <= {room_of(path) for path in FILES}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert folders <= ROOMS, "a new room needs its line in DOWNHILL"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_rooms_import_downhill_only(path):
    room = room_of(path)
    if room is None:
        return
    uphill = rooms_among(imports_of(path)) - DOWNHILL[room] - {room}
    assert not uphill, f"{named(path)} imports {sorted(uphill)}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_room_imports_the_top(path):
    """`from skdeepclust import X` inside the package would be a circle."""
    if path == PACKAGE / "__init__.py":
        return
    top = set(skdeepclust.__all__) - {"__version__"}
    assert not {name for name in imports_of(path) if name in {f"skdeepclust.{x}" for x in top}}


@pytest.mark.parametrize("path", sorted((PACKAGE / "objectives").glob("*.py")), ids=named)
def test_objectives_import_torch_alone(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert roots <= {"torch", PACKAGE.name, *sys.stdlib_module_names}


# Whose clusters an algorithm may start from.
STARTS = {"_precise_feature_gan": {"_neural_mixture_em"}}


def test_algorithms_never_import_each_other():
    """Nor does a helper in their folder import one: only the catalogue's __init__ knows them, and
    who starts from another's clusters."""
    folder = PACKAGE / "cluster"
    algorithms = {
        Estimator.__module__.split(".")[-1]
        for Estimator in skdeepclust._persistence.registry().values()
    }
    assert "_stat_dec" in algorithms
    for path in folder.glob("*.py"):
        if path.name == "__init__.py":
            continue
        met = {name.split(".")[2] for name in imports_of(path) if name.startswith("skdeepclust.cl")}
        met &= algorithms - {path.stem} - STARTS.get(path.stem, set())
        assert not met, f"{named(path)} imports {met}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_only_the_compatibility_module_imports_private_scikit_learn(path):
    private = [name for name in imports_of(path) if is_sklearn_private(name)]
    assert bool(private) == (path.name == "_sklearn_compat.py"), private


@pytest.mark.parametrize("path", FILES, ids=named)
def test_matplotlib_is_imported_only_where_it_draws(path):
    """It is an optional dependency, so no module may need it to be imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside:
            names = imports(ast.unparse(node), package_of(path))
            assert not [name for name in names if name.split(".")[0] == "matplotlib"]
