"""What a benchmark may call a result."""

import os
import signal
import sys

import numpy as np
import pytest
from skorch.callbacks import Callback

from benchmarks import __main__ as command_line
from benchmarks import _record
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
