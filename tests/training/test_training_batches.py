"""Rows become batches: dtypes, memory maps, shuffling, and inference that ignores the company."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from skdeepclust.training import Batches, Rows, map_rows

CPU = torch.device("cpu")


def make_rows(n, n_features=6, dtype=np.float32, shape=None, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = (
        rng.integers(256, size=(n, n_features))
        if dtype == np.uint8
        else rng.normal(size=(n, n_features))
    )
    return Rows(X.astype(dtype), shape or (n_features,), scale, CPU)


@pytest.fixture
def warn_always():
    """torch gives some warnings once per process; here, each time, and as an error."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(before)


# ------------------------------------------------------------------ Rows


INDICES = [slice(2, 5), torch.tensor([4, 0, 4]), slice(8, 100)]


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("shape", [(6,), (1, 2, 3), (3, 2, 1)])
def test_rows_are_float32_in_the_shape_of_a_sample(index, shape):
    rows = make_rows(10, shape=shape)
    batch = rows[index]
    expected = rows.X[index.numpy() if isinstance(index, torch.Tensor) else index]
    assert batch.dtype == torch.float32
    assert batch.device == CPU
    np.testing.assert_array_equal(batch.numpy(), expected.reshape(-1, *shape))


@pytest.mark.parametrize("index", INDICES)
def test_bytes_are_scaled_per_batch_and_stored_as_bytes(index):
    rows = make_rows(10, dtype=np.uint8, scale=1 / 255)
    batch = rows[index]
    expected = rows.X[index.numpy() if isinstance(index, torch.Tensor) else index] / 255
    assert rows.X.dtype == np.uint8
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch.numpy(), expected, rtol=1e-6)
    everything = rows[slice(None)]
    assert 0 <= everything.min() < everything.max() <= 1


def test_number_of_rows():
    assert len(make_rows(10)) == 10


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.usefixtures("warn_always")
def test_read_only_memory_map_is_read_without_a_warning(tmp_path, index, dtype):
    X = make_rows(10, dtype=dtype).X
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    rows = Rows(mapped, (6,), 1.0, CPU)
    batch = rows[index]
    assert rows.X is mapped  # stays on disk
    np.testing.assert_array_equal(batch.numpy(), Rows(X, (6,), 1.0, CPU)[index].numpy())
    batch.add_(1)  # the batch is ours to change


@pytest.mark.usefixtures("warn_always")
@pytest.mark.parametrize("order", ["F", "reversed", "strided"])
def test_arrays_of_any_layout(order):
    X = make_rows(10).X
    X = {"F": np.asfortranarray(X), "reversed": X[::-1], "strided": np.repeat(X, 2, 1)[:, ::2]}[
        order
    ]
    for index in INDICES:
        expected = X[index.numpy() if isinstance(index, torch.Tensor) else index]
        np.testing.assert_array_equal(Rows(X, (6,), 1.0, CPU)[index].numpy(), expected)


@pytest.mark.parametrize(
    "index",
    [
        torch.tensor([0, 1]),
        slice(0, 2),
    ],
)
def test_changing_a_batch_leaves_the_users_array_alone(index):
    rows = make_rows(4)
    before = rows.X.copy()
    rows[index].zero_()
    np.testing.assert_array_equal(rows.X, before)


# ------------------------------------------------------------------ Batches


@pytest.mark.parametrize(
    ("n", "batch_size"), [(1, 8), (2, 8), (8, 8), (9, 8), (10, 3), (17, 8), (100, 33), (7, 2)]
)
def test_an_epoch_has_every_sample_once_in_batches_of_nearly_equal_size(n, batch_size):
    rows = make_rows(n)
    batches = Batches(rows, batch_size, torch.Generator().manual_seed(0))
    for _ in range(2):
        found = list(batches)
        assert len(found) == len(batches)
        indices = torch.cat([index for index, _ in found])
        assert indices.sort().values.tolist() == list(range(n))
        sizes = [len(index) for index, _ in found]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= max(batch_size, 3)  # three rather than a batch of one
        for index, x in found:
            np.testing.assert_array_equal(x.numpy(), rows.X[index.numpy()])


def test_no_batch_of_one_sample_when_batches_may_have_three():
    """With batch_size=2 an odd n leaves one sample alone; from 3 on none is."""
    for batch_size in (3, 4, 5, 7, 256):
        for n in range(2, 60):
            batches = Batches(make_rows(n, 1), batch_size, torch.Generator().manual_seed(0))
            assert min(len(index) for index, _ in batches) >= 2, (n, batch_size)


def orders(seed, epochs=2):
    batches = Batches(make_rows(50), 8, torch.Generator().manual_seed(seed))
    return [torch.cat([index for index, _ in batches]).tolist() for _ in range(epochs)]


def test_order_follows_the_generator_alone():
    global_state = torch.random.get_rng_state()
    first = orders(0)
    torch.rand(3)
    assert orders(0) == first
    assert orders(1) != first
    assert first[0] != first[1]  # shuffled anew at each epoch
    torch.random.set_rng_state(global_state)
    orders(0)
    assert torch.equal(torch.random.get_rng_state(), global_state)


# ------------------------------------------------------------------ map_rows


class Encoder(nn.Module):
    def __init__(self, n_features=20):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(64, 10),
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def encoder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder()


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 1000, 1023, 1024, 1025, 2049])
def test_a_row_does_not_depend_on_its_company(encoder, n):
    X = make_rows(2100, 20).X
    everything = map_rows(encoder, encoder, Rows(X, (20,), 1.0, CPU))
    for part in (slice(0, n), slice(len(X) - n, None)):
        alone = map_rows(encoder, encoder, Rows(X[part], (20,), 1.0, CPU))
        assert alone.shape == (n, 10)
        assert torch.equal(alone, everything[part])


def test_map_rows_agrees_with_one_pass(encoder):
    rows = make_rows(1100, 20)
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(rows.X))
    torch.testing.assert_close(map_rows(encoder, encoder, rows), expected)


@pytest.mark.parametrize("n", [1, 40, 1100])
def test_map_rows_of_a_function_with_one_number_per_row(n):
    rows = make_rows(n, 3)
    sums = map_rows(lambda x: x.sum(1), nn.Identity(), rows)
    np.testing.assert_allclose(sums.numpy(), rows.X.sum(1), rtol=1e-5, atol=1e-6)


def test_map_rows_bounds_its_batches():
    sizes = []
    map_rows(lambda x: sizes.append(len(x)) or x, nn.Identity(), make_rows(1026, 1))
    assert sizes == [512, 512, 32]
    sizes.clear()
    # What is made of a row counts where it is larger than the row.
    map_rows(lambda x: sizes.append(len(x)) or x, nn.Identity(), make_rows(100, 1), width=2**16)
    assert sizes == [64, 36]


@pytest.mark.parametrize("training", [True, False])
def test_map_rows_evaluates_without_a_graph_and_restores_the_mode(encoder, training):
    modes = []

    def function(x):
        modes.append((encoder.training, torch.is_inference_mode_enabled()))
        return encoder(x)

    encoder.train(training)
    before = encoder.layers[1].running_mean.clone()
    out = map_rows(function, encoder, make_rows(5, 20))
    assert modes == [(False, True)]
    assert encoder.training is encoder.layers[3].training is training
    assert not out.requires_grad
    assert torch.equal(encoder.layers[1].running_mean, before)


def test_map_rows_restores_the_mode_after_an_error(encoder):
    encoder.train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        map_rows(encoder, encoder, make_rows(5, 7))
    assert encoder.training
    assert not torch.is_inference_mode_enabled()


# ------------------------------------------------------------------ CUDA


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_rows_are_kept_on_the_device():
    device = torch.device("cuda")
    X = make_rows(10, dtype=np.uint8).X
    rows = Rows(X, (6,), 1 / 255, device)
    for index in INDICES:
        expected = Rows(X, (6,), 1 / 255, CPU)[index]
        assert rows[index].device.type == "cuda"
        torch.testing.assert_close(rows[index].cpu(), expected)


def out_of_memory_above(limit, seen):
    """The mean of rows, for which a device has memory for so many at a time."""

    def mean(x):
        seen.append(len(x))
        if len(x) > limit:
            raise torch.OutOfMemoryError
        return x.mean(1)

    return mean


def test_map_rows_goes_on_with_smaller_batches_where_memory_runs_out(encoder):
    rows, seen = make_rows(1000), []
    with pytest.warns(RuntimeWarning, match="out of memory on cpu: going on with 128 samples"):
        found = map_rows(out_of_memory_above(150, seen), encoder, rows)
    assert torch.equal(found, rows[slice(0, 1000)].mean(1))
    assert seen[:3] == [512, 256, 128]
    assert max(seen[2:]) == 128  # and does not try the larger ones again


@pytest.mark.filterwarnings("ignore:out of memory")
def test_map_rows_gives_up_where_no_batch_is_small_enough(encoder):
    with pytest.raises(torch.OutOfMemoryError):
        map_rows(out_of_memory_above(31, []), encoder, make_rows(1000))
