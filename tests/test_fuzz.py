"""Whatever is given to fit: a clear error, or a valid fit; never a crash, a NaN or a hang.

A hundred cases here; two thousand with ``pytest tests/test_fuzz.py --hypothesis-profile=nightly``.
"""

import tempfile
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC

LEAN = {
    StatDEC: {"hidden_dims": (6, 4), "latent_dim": 2, "pretrain_epochs": 1, "max_epochs": 2},
    DVC: {"network": "mlp", "hidden_dims": (6, 4), "latent_dim": 2, "pretrain_epochs": 1,
          "max_epochs": 2},
    NeuralMixtureEM: {"network": "mlp", "hidden_dims": (6,), "latent_dim": 3, "n_starts": 2,
                      "start_epochs": 1, "max_epochs": 2},
    PreciseFeatureGAN: {"network": "mlp", "hidden_dims": (6, 6), "max_epochs": 2},
}  # fmt: skip

NIGHTLY = settings.default.max_examples > 100  # Hypothesis' own number

DTYPES = ["float32", "float64", "float16", "uint8", "int8", "int64", "bool"]


def memory_map(X):
    with tempfile.NamedTemporaryFile() as file:  # stays readable while it is mapped
        mapped = np.memmap(file, X.dtype, "w+", shape=X.shape)
        mapped[:] = X
        return mapped


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def polars_frame(X):
    return polars.DataFrame({f"c{j}": X[:, j] for j in range(X.shape[1])})


# From an array to what users have; the last three are for tables alone.
CONTAINERS = {
    "array": lambda X: X,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X: X[::-1],
    "read only": read_only,
    "memory map": memory_map,
    "tensor": torch.from_numpy,
    "list": lambda X: X.tolist(),
    "data frame": pd.DataFrame,
    "polars": polars_frame,
}
FOR_TABLES = ("data frame", "polars")


def values(rng, kind, n, d):
    X = rng.standard_normal((n, d))
    if kind == "huge":
        return X * 1e30
    if kind == "tiny":
        return X * 1e-30
    if kind == "mixed scales":
        return X * 10.0 ** rng.randint(-12, 12, d)
    if kind == "constant":
        return np.full((n, d), 3.0)
    if kind == "one constant column":
        X[:, 0] = 1
    if kind == "duplicates":
        return X[rng.randint(min(2, n), size=n)]
    if kind == "one hot":
        return np.eye(d)[rng.randint(d, size=n)]
    if kind == "outlier":
        X[0] = 1e6
    if kind == "not finite":
        X[rng.randint(n), rng.randint(d)] = rng.choice([np.nan, np.inf, -np.inf])
    return X


KINDS = [
    "plain", "huge", "tiny", "mixed scales", "constant", "one constant column", "duplicates",
    "one hot", "outlier", "not finite",
]  # fmt: skip


@st.composite
def data(draw):
    """What fit is given, and words for it."""
    rng = np.random.RandomState(draw(st.integers(0, 2**31 - 1)))
    n = draw(st.integers(1, 40))
    images = draw(st.booleans())
    shape = draw(st.sampled_from([(1, 3, 4), (2, 2, 2), (3, 1, 1)])) if images else None
    d = int(np.prod(shape)) if images else draw(st.integers(1, 6))
    kind, dtype = draw(st.sampled_from(KINDS)), draw(st.sampled_from(DTYPES))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = values(rng, kind, n, d).astype(dtype)
    if images:
        X = X.reshape(n, *shape)
    names = [name for name in CONTAINERS if not (images and name in FOR_TABLES)]
    container = draw(st.sampled_from(names))
    return CONTAINERS[container](X), f"{container} of {n} x {X.shape[1:]} {dtype}, {kind}"


# What errors must say, besides the words for it.
CLEAR = ("expected", "n_samples", "NaN", "infinity", "too large", "lower", "needs", "Found")


@pytest.mark.parametrize("Estimator", LEAN, ids=lambda E: E.__name__)
@settings(
    max_examples=500 if NIGHTLY else 25,
    deadline=None,
    derandomize=not NIGHTLY,
    suppress_health_check=list(HealthCheck),
)
@given(case=data(), n_clusters=st.integers(1, 5))
def test_a_clear_error_or_a_valid_fit(Estimator, case, n_clusters):
    X, words = case
    model = Estimator(n_clusters, random_state=0, device="cpu", **LEAN[Estimator])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused = None
        try:
            model.fit(X)
        except (ValueError, TypeError, FloatingPointError) as error:
            refused = str(error)
        if refused is not None:
            assert any(word in refused for word in CLEAR), f"{words}: {refused}"
            assert not hasattr(model, "labels_")
            return
        labels, z, p = model.predict(X), model.transform(X), model.predict_proba(X)
        score = model.score_samples(X)
    n = len(labels)
    assert labels.dtype == np.int64, words
    assert ((labels >= 0) & (labels < n_clusters)).all(), words
    assert np.array_equal(labels, model.labels_), words
    assert z.shape[0] == p.shape[0] == score.shape[0] == n
    for found in (z, p, score, model.cluster_centers_):
        assert np.isfinite(found).all(), words
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5, err_msg=words)
    assert model.cluster_sizes_.sum() == n
