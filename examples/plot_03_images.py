"""
Images: the copies are what the method knows
============================================

``NeuralMixtureEM`` clusters pictures without an autoencoder: a picture and a transformed copy of it
are to have the same cluster. ``augment`` says what the copies are, and nothing else informs the
method about images. So it is the first parameter to think about. Here are the digits 1, 4, 6 and
9, of which the last two are the same thing if you turn the page.

Labels are used only for the scores.
"""

# %%
# Four ways to make a copy
# ------------------------
# None at all; one of the nearest neighbours; the image slightly turned, shifted and sheared, which
# is the default for images; and a copy that is wrong for digits: upside down.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score

from skdeepclust import NeuralMixtureEM
from skdeepclust.inspection import PrototypesDisplay
from skdeepclust.training import make_augmentation

X, y = load_digits(return_X_y=True)
chosen = np.isin(y, [1, 4, 6, 9])
images, y = X[chosen].reshape(-1, 1, 8, 8) / 16, y[chosen]


def upside_down(batch):
    """Turn a batch of images, (n, C, H, W), by 180 degrees."""
    return batch.flip(2, 3)


copies = {
    "none": None,
    "neighbour": "neighbors",
    "warp": "strong_affine",
    "upside down": upside_down,
}
models = {
    name: NeuralMixtureEM(4, augment=augment, random_state=0).fit(images)
    for name, augment in copies.items()
}
scores = {name: normalized_mutual_info_score(y, m.labels_) for name, m in models.items()}
for name, score in scores.items():
    print(f"{name:<12} NMI {score:.3f}")

# %%
# What the copies look like, and what comes of them
# -------------------------------------------------
shown = torch.from_numpy(images[[np.flatnonzero(y == k)[0] for k in (1, 4, 6, 9)]]).float()
figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 6), layout="constrained")
rows = [shown]
for name in ("warp", "upside down"):
    rows.append(make_augmentation(copies[name], torch.Generator().manual_seed(0))(shown))
tiles = np.block([[np.pad(image[0].numpy(), 1) for image in row] for row in rows])
top.imshow(tiles, cmap="gray_r")
top.set_yticks([5, 15, 25], ["picture", "warp", "upside down"])
top.set_xticks([])
bars = bottom.barh(list(scores), scores.values(), color="C0")
bottom.bar_label(bars, fmt="%.2f", padding=3)
bottom.set(title="Agreement of the clusters with the digits", xlabel="NMI", xlim=(0, 1.1))
bottom.invert_yaxis()
plt.show()

# %%
# If upside down is the same, the network puts 6 and 9 together.
print("pictures in cluster 0, 1, 2 and 3")
for name in ("warp", "upside down"):
    for digit in (1, 4, 6, 9):
        print(f"{name}, {digit}:  ", np.bincount(models[name].labels_[y == digit], minlength=4))

# %%
# Prototypes, and the samples that fit best
# -----------------------------------------
# There is no decoder to show what a cluster looks like, but one can climb the cluster's score from
# noise. On images as coarse as these, that shows no more than where ink counts.
PrototypesDisplay.from_estimator(models["warp"], images, random_state=0).plot()
plt.show()
