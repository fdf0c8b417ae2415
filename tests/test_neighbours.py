"""Fits side by side, in threads and processes, and what is left of them in the process."""

import multiprocessing
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.utils import validation

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust._sklearn_compat import warning_filters

LEAN = {
    StatDEC: {"hidden_dims": (8, 6), "latent_dim": 3, "pretrain_epochs": 3, "max_epochs": 4},
    DVC: {"hidden_dims": (8, 6), "latent_dim": 3, "pretrain_epochs": 3, "max_epochs": 4},
    NeuralMixtureEM: {"n_starts": 3, "start_epochs": 3, "max_epochs": 4},
    PreciseFeatureGAN: {"hidden_dims": (16, 16), "max_epochs": 10},
}
X = make_blobs(150, centers=3, n_features=5, random_state=0)[0]


def fit(Estimator):
    """Labels and embedding, computed with one thread, as in processes that share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fitted = Estimator(3, random_state=0, **LEAN[Estimator]).fit(X)
        return fitted.labels_, fitted.transform(X)
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def alone():
    return [fit(Estimator) for Estimator in LEAN]


def assert_as_alone(found, alone):
    for (labels, z), (expected, expected_z) in zip(found, alone * 2, strict=True):
        assert np.array_equal(labels, expected)
        assert np.array_equal(z, expected_z)


def settings():
    return (
        torch.get_rng_state().tolist(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        list(warnings.filters),
    )


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_threads(alone):
    threads, before = torch.get_num_threads(), settings()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(fit, [*LEAN, *LEAN]))
    finally:
        torch.set_num_threads(threads)
    assert_as_alone(found, alone)
    assert settings() == before


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize("Estimator", LEAN)
def test_arrays_are_checked_one_thread_at_a_time(Estimator, monkeypatch):
    """Of all places, those for data that hold little but baselines included."""
    check, seen = validation.check_array, []

    def is_free():
        if free := warning_filters.acquire(blocking=False):
            warning_filters.release()
        return free

    def watched(*args, **kwargs):
        with ThreadPoolExecutor(1) as pool:  # this thread may take its own lock again
            assert not pool.submit(is_free).result()
        seen.append(args)
        return check(*args, **kwargs)

    rng, classes = np.random.default_rng(0), np.arange(150) % 3
    baselines = 30 * rng.normal(size=(150, 2)) @ rng.normal(size=(2, 25))
    data = baselines + 12 * np.eye(3, 25)[classes] + rng.normal(size=(150, 25))
    model = Estimator(3, random_state=0, **LEAN[Estimator])
    monkeypatch.setattr(validation, "check_array", watched)
    model.fit(data)
    model.predict(data)
    model.transform(data)
    assert seen


def test_warning_filters_of_threads_that_check_arrays():
    """scikit-learn swaps the filters of the process while it does."""
    model = StatDEC(3, random_state=0, **LEAN[StatDEC]).fit(X)
    before, often = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: model.inverse_transform(model.transform(X)), range(300)))
    finally:
        sys.setswitchinterval(often)
    assert list(warnings.filters) == before


def methods():
    known = multiprocessing.get_all_start_methods()
    return [m for m in ("fork", "spawn", "forkserver") if m in known]


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", methods())
def test_processes(method, alone):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(fit, [*LEAN, *LEAN], timeout=120))
    assert_as_alone(found, alone)


def test_import_brings_no_optional_package():
    code = """
import sys
import sklearn, torch
before = set(sys.modules)
import skdeepclust
print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought = set(done.stdout.split())
    assert "skorch" in brought
    optional = {"matplotlib", "pandas", "polars", "umap", "bokeh", "PIL", "sphinx", "tensorboard"}
    assert not brought & optional
