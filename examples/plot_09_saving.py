"""
Saving, loading, and going on after a crash
===========================================

A fitted model goes to a file, and comes back the same to the bit. A long training keeps a
checkpoint: if the process dies, the same call goes on from where the file was written, and ends as
it would have ended.
"""

# %%
# Save and load
# -------------
# The file holds tensors and JSON. Unlike a pickle, it runs nothing when it is read.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

import skdeepclust
from skdeepclust import Checkpoint, StatDEC

X, _ = load_digits(n_class=5, return_X_y=True)
folder = Path(tempfile.mkdtemp())
settings = {"hidden_dims": (64, 64), "pretrain_epochs": 30, "max_epochs": 15, "random_state": 0}
model = StatDEC(5, **settings).fit(X)

model.save(folder / "model.safetensors")
again = skdeepclust.load(folder / "model.safetensors")
print("the same embedding:", np.array_equal(again.transform(X), model.transform(X)))
print(f"{(folder / 'model.safetensors').stat().st_size / 1024:.0f} KiB")


# %%
# A training that dies
# --------------------
# The callback stands in for a power cut after 35 epochs. A checkpoint is written after every tenth
# epoch; by default it is every five minutes.
class PowerCut(Callback):
    def __init__(self, after):
        self.after, self.losses = after, []

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1, "train_loss"])
        if len(self.losses) == self.after:
            raise RuntimeError("the lights went out")


checkpoint = Checkpoint(folder / "fit.ckpt", epochs=10)
before = PowerCut(after=35)
try:
    StatDEC(5, **settings, checkpoint=checkpoint, callbacks=[before]).fit(X)
except RuntimeError as error:
    print("RuntimeError:", error)

# %%
# The same call goes on
# ---------------------
# It has to be the same fit: other data or parameters are refused with a ``CheckpointError``.
after = PowerCut(after=None)
resumed = StatDEC(5, **settings, checkpoint=checkpoint, callbacks=[after]).fit(X)
print("the same labels as without a crash:", np.array_equal(resumed.labels_, model.labels_))
print(f"epochs trained after the crash: {len(after.losses)} of {len(model.history_)}")

# %%
# The curves
# ----------
# Loss falls in pretraining; where clustering begins it is another loss. The five epochs between
# the last checkpoint and the crash were trained twice.
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
n = len(model.history_)
ax.plot(model.history_[:, "train_loss"], color="lightgrey", lw=8, label="without a crash")
ax.plot(before.losses, "C3", lw=2, label="until the crash")
ax.plot(range(n - len(after.losses), n), after.losses, "C0.", label="taken up again")
ax.axvline(30, color="grey", ls=":")
ax.annotate("clustering begins", (30.3, ax.get_ylim()[1]), va="top")
ax.set(xlabel="epoch", ylabel="loss", yscale="log")
ax.legend()
plt.show()
