"""
Which of them? Three kinds of data, six methods
===============================================

No method is best everywhere. Each row below is a data set, each column a method: two from
scikit-learn, and the four of this package. Trainings are short and there is one run of each, so
small differences mean nothing; the guide has a
:doc:`decision tree </choosing>`, made from longer ones.

Labels are used only for the scores.
"""

# %%
# The data
# --------
# Round groups of unequal width; a column of three values beside two of noise; digits 0 to 4.
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.mixture import GaussianMixture

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.datasets import make_artifact
from skdeepclust.metrics import clustering_accuracy

rng = np.random.RandomState(0)
digits, digit = load_digits(n_class=5, return_X_y=True)
data = {
    "round groups": make_blobs(240, cluster_std=[1.0, 2.5, 0.5], random_state=170),
    "a column with gaps": make_artifact(0.5 + 0.5 * rng.randn(1000, 3), random_state=0),
    "digits": (digits[:300] / 16, digit[:300]),
}

# %%
# The methods
# -----------
# Small networks for small data, and some four hundred steps of the GAN. Methods for images are
# given the shape of the digits.
short = {"hidden_dims": (64, 64), "pretrain_epochs": 20, "max_epochs": 10}


def methods(name, k, n):
    shape = (1, 8, 8) if name == "digits" else None
    return {
        "KMeans": KMeans(k, n_init=10, random_state=0),
        "Gaussian\nMixture": GaussianMixture(k, n_init=10, reg_covar=1e-3, random_state=0),
        "StatDEC": StatDEC(k, **short, random_state=0),
        "DVC": DVC(k, network="mlp", **short, random_state=0),
        "NeuralMixture\nEM": NeuralMixtureEM(k, input_shape=shape, random_state=0),
        "PreciseFeature\nGAN": PreciseFeatureGAN(
            k, input_shape=shape, max_epochs=20_000 // n, random_state=0
        ),
    }


scores = np.zeros((3, 6))
seconds = np.zeros((3, 6))
for i, (name, (X, y)) in enumerate(data.items()):
    for j, method in enumerate(methods(name, len(np.unique(y)), len(X)).values()):
        start = perf_counter()
        scores[i, j] = clustering_accuracy(y, method.fit_predict(X))
        seconds[i, j] = perf_counter() - start

# %%
# Accuracy, and how long it took
# ------------------------------
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.imshow(scores, cmap="viridis", vmin=0.2, vmax=1.0)
for (i, j), score in np.ndenumerate(scores):
    ax.text(j, i, f"{score:.2f}\n{seconds[i, j]:.1f} s", ha="center", va="center",
            bbox={"fc": "white", "ec": "none", "alpha": 0.8})  # fmt: skip
ax.set_xticks(range(6), list(methods("", 2, 1)))
ax.set_yticks(range(3), list(data))
ax.set_title("Accuracy after matching clusters and classes")
plt.show()

# %%
# All methods find round groups, a Gaussian mixture at once. Methods based on distances miss the
# column with gaps. ``StatDEC`` and ``DVC`` start from many mixtures of several components in their
# embeddings, ``NeuralMixtureEM`` from such mixtures of the columns themselves, and all three find
# it; so does ``PreciseFeatureGAN``, which looks for such a column. For the digits, only
# ``NeuralMixtureEM`` and ``PreciseFeatureGAN`` know that they are images.
