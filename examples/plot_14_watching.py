"""
Watching a training: TensorBoard and callbacks
==============================================

``verbose=1`` shows a line of progress for each phase. For more, ``callbacks`` takes any of
`skorch's <https://skorch.readthedocs.io/en/stable/user/callbacks.html>`_: here TensorBoard's, and
one of a few lines that ends a training. Needs ``pip install tensorboard``.
"""

# %%
# TensorBoard
# -----------
# Look at it while it trains with ``tensorboard --logdir`` and the folder.
import tempfile

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from skorch.callbacks import Callback, TensorBoard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from skdeepclust import StatDEC
from skdeepclust.inspection import TrainingCurvesDisplay

X, _ = load_digits(n_class=5, return_X_y=True)
settings = {"hidden_dims": (64, 64), "pretrain_epochs": 20, "random_state": 0}

runs = tempfile.mkdtemp()
with SummaryWriter(runs) as writer:
    StatDEC(5, **settings, callbacks=[TensorBoard(writer)]).fit(X)

# %%
# The folder has a number for each epoch that ``history_`` has.
events = EventAccumulator(runs).Reload()
print(*events.Tags()["scalars"], sep="\n")

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for tag in ("Loss/train_loss", "reconstruction", "kl"):
    scalars = events.Scalars(tag)
    ax.plot([s.step for s in scalars], [s.value for s in scalars], label=tag)
ax.set(xlabel="epoch", ylabel="loss", yscale="log", title="What TensorBoard was told")
ax.legend()
plt.show()


# %%
# A callback of your own
# ----------------------
# It is called at every phase, epoch, batch and gradient, and the history has what was recorded so
# far. ``KeyboardInterrupt`` is skorch's way to end a training from within: the estimator is fitted
# with what was learned so far.
class StopWhenFewMove(Callback):
    def __init__(self, share):
        self.share = share

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1].get("label_change", 1) < self.share:
            raise KeyboardInterrupt


model = StatDEC(5, **settings, callbacks=[StopWhenFewMove(0.01)]).fit(X)
print(f"{model.n_iter_} epochs, then: {model.stop_reason_}")

TrainingCurvesDisplay.from_estimator(model).plot()
plt.show()
