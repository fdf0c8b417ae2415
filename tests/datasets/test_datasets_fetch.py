"""fetch_mnist from small local files, and from a stand-in for OpenML."""

from __future__ import annotations

from urllib.error import URLError

import numpy as np
import pytest

from skdeepclust.datasets import _fetch, fetch_mnist

RNG = np.random.default_rng(0)
X_TRAIN, Y_TRAIN = RNG.integers(256, size=(6, 28, 28), dtype=np.uint8), np.arange(6, dtype=np.uint8)
X_TEST, Y_TEST = RNG.integers(256, size=(4, 28, 28), dtype=np.uint8), np.arange(4, dtype=np.uint8)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Record calls to OpenML, and fail as it does without a network."""
    calls = []

    def fetch_openml(*args, **kwargs):
        calls.append((args, kwargs))
        raise URLError("no route to host")

    monkeypatch.setattr(_fetch, "fetch_openml", fetch_openml)
    monkeypatch.delenv("SKDEEPCLUST_DATA", raising=False)
    return calls


@pytest.fixture(params=["X", "x"], ids=["upper", "keras"])
def folder(request, tmp_path):
    x = request.param
    arrays = {f"{x}_train": X_TRAIN, "y_train": Y_TRAIN, f"{x}_test": X_TEST, "y_test": Y_TEST}
    np.savez(tmp_path / "mnist.npz", **arrays)
    return tmp_path


@pytest.mark.parametrize(
    ("part", "images", "digits"),
    [
        ("train", X_TRAIN, Y_TRAIN),
        ("test", X_TEST, Y_TEST),
        (None, np.concatenate([X_TRAIN, X_TEST]), np.concatenate([Y_TRAIN, Y_TEST])),
    ],
)
def test_reads_local_file(folder, no_network, part, images, digits):
    X, y = fetch_mnist(folder, part)
    assert X.shape == (len(images), 1, 28, 28)
    assert (X.dtype, y.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(X[:, 0], images)
    np.testing.assert_array_equal(y, digits)
    assert no_network == []


def test_environment_names_the_folder_and_the_argument_wins(folder, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("SKDEEPCLUST_DATA", str(folder))
    assert len(fetch_mnist(part="test")[1]) == 4
    monkeypatch.setenv("SKDEEPCLUST_DATA", str(tmp_path_factory.mktemp("empty")))
    assert len(fetch_mnist(str(folder), "test")[1]) == 4


def test_home_directory_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert len(fetch_mnist(f"~/{folder.name}", "train")[1]) == 6


@pytest.mark.parametrize(
    ("part", "rows"),
    [("train", slice(0, 6)), ("test", slice(6, 10)), (None, slice(0, 10))],
)
def test_falls_back_to_openml(monkeypatch, tmp_path, part, rows):
    flat = np.concatenate([X_TRAIN, X_TEST]).reshape(10, 784).astype(float)
    names = np.concatenate([Y_TRAIN, Y_TEST]).astype(str).astype(object)  # as OpenML has them
    calls = []

    def fetch_openml(name, **kwargs):
        calls.append((name, kwargs))
        return flat, names

    monkeypatch.setattr(_fetch, "fetch_openml", fetch_openml)
    monkeypatch.setattr(_fetch, "_N_TRAIN", 6)
    X, y = fetch_mnist(tmp_path, part)
    assert (X.dtype, y.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(X, flat[rows].reshape(-1, 1, 28, 28))
    np.testing.assert_array_equal(y, names[rows].astype(int))
    [(name, kwargs)] = calls
    assert name == "mnist_784"
    assert (kwargs["version"], kwargs["data_home"]) == (1, tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_failed_download_names_file_variable_and_source(tmp_path, no_network, given):
    home = tmp_path if given else None
    with pytest.raises(OSError, match="no route to host") as caught:
        fetch_mnist(home)
    message = str(caught.value)
    for part in ("mnist.npz", "SKDEEPCLUST_DATA", "data_home", "mnist_784", "openml.org"):
        assert part in message
    assert (str(tmp_path) in message) is given
    assert isinstance(caught.value.__cause__, URLError)
    assert no_network[0][1]["data_home"] == home


def test_unknown_part(tmp_path):
    with pytest.raises(ValueError, match="part='val'; expected 'train', 'test', or None"):
        fetch_mnist(tmp_path, "val")


def test_file_with_other_arrays(tmp_path):
    np.savez(tmp_path / "mnist.npz", X=X_TRAIN, y_train=Y_TRAIN)
    with pytest.raises(ValueError, match=r"arrays \['X', 'y_train'\] but lacks \['X_train'\]"):
        fetch_mnist(tmp_path, "train")
