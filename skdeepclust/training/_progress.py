"""What a user sees while a fit runs."""

from __future__ import annotations

from skorch.callbacks import Callback
from tqdm.auto import tqdm


def progress_line(name: str, *, shown: bool) -> tqdm:
    """For ``with``, the line of what has no epochs: that it is under way, and in the end how long
    it took."""
    return tqdm(desc=name, bar_format="{desc}: {elapsed}", disable=not shown)


class PhaseProgress(Callback):
    """One line per phase: epochs done, time left, the latest losses."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.bar_ = tqdm(total=net.phase_epochs_, desc=net.phase_title_, unit="epoch")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        latest = {
            name: f"{value:.4g}"
            for name, value in net.history[-1].items()
            if isinstance(value, float) and name != "dur"
        }
        self.bar_.set_postfix(latest, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.bar_.close()
