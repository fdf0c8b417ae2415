"""
Your own network: a factory
===========================

``network`` takes a name or a factory, a function ``(input_shape, latent_dim) -> nn.Module``. That
of ``NeuralMixtureEM`` returns a backbone, which maps samples to ``latent_dim`` numbers; those of
``StatDEC`` and ``DVC`` return an autoencoder with ``encode`` and ``decode``. It is called in
``fit``, so that cloning, pipelines and grid search work as with any other parameter.

Here are waves of four kinds, each beginning anywhere in its period. Where it begins means nothing,
which KMeans does not know and a dense network has to learn.

Labels are used only for the scores.
"""

# %%
# Waves
# -----
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import nn

from skdeepclust import NeuralMixtureEM
from skdeepclust.metrics import clustering_accuracy

rng = np.random.RandomState(0)
n, length = 600, 64
kind = rng.randint(4, size=n)
t = (2 * np.arange(length) / length + rng.rand(n, 1)) % 1  # two periods
sine = np.sin(2 * np.pi * t)
waves = np.choose(kind[:, None], [sine, np.sign(sine), 2 * t - 1, 1 - 2 * t])
waves += 0.2 * rng.standard_normal(waves.shape)


# %%
# The factory
# -----------
# Circular convolutions, and the maximum over the period, which does not depend on where it begins.
# Signals come as images of one row, (n, 1, 1, length), so that copies can be made by a function of
# a batch: here one that lets the wave begin elsewhere.
def make_backbone(input_shape, latent_dim):
    def convolution(n_in, n_out):
        layer = nn.Conv1d(n_in, n_out, 7, padding=3, padding_mode="circular")
        return [layer, nn.BatchNorm1d(n_out), nn.ReLU()]

    return nn.Sequential(
        nn.Flatten(2),  # (n, 1, 1, length) -> (n, 1, length)
        *convolution(1, 16),
        *convolution(16, 32),
        nn.AdaptiveMaxPool1d(1),
        nn.Flatten(),
        nn.Linear(32, latent_dim),
        nn.BatchNorm1d(latent_dim),
        nn.ReLU(),
    )


def begin_elsewhere(batch):
    return batch.roll(int(torch.randint(batch.shape[-1], (1,))), -1)


signals = waves[:, None, None, :]
labels = {
    "KMeans": KMeans(4, n_init=10, random_state=0).fit_predict(waves),
    "dense network": NeuralMixtureEM(
        4, network="mlp", augment=begin_elsewhere, random_state=0
    ).fit_predict(signals),
    "own network": NeuralMixtureEM(
        4, network=make_backbone, augment=begin_elsewhere, random_state=0
    ).fit_predict(signals),
}

# %%
# Which method finds the kinds
# ----------------------------
# Five waves of each cluster, one above the other.
figure, axes = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
for row, (name, found) in zip(axes, labels.items(), strict=True):
    row[0].set_ylabel(f"{name}\naccuracy {clustering_accuracy(kind, found):.2f}")
    for cluster, ax in enumerate(row):
        members = np.flatnonzero(found == cluster)[:5]
        for i, member in enumerate(members):
            ax.plot(waves[member] + 3 * i, color=f"C{kind[member]}")
        ax.set(xticks=[], yticks=[])
for cluster, ax in enumerate(axes[0]):
    ax.set_title(f"cluster {cluster}")
figure.suptitle("Five waves of each cluster, coloured by their true kind")
plt.show()
