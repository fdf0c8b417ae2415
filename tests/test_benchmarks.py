"""What a benchmark may call a result."""

import signal

import numpy as np
import pytest
from skorch.callbacks import Callback

from benchmarks import _record
from skdeepclust import StatDEC


class CtrlC(Callback):
    def on_batch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_run_leaves_no_file(tmp_path, monkeypatch, interrupted):
    """Though the fit that it was would end as one with what was trained so far."""
    monkeypatch.setattr(_record, "RESULTS", tmp_path)
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
