"""
The precise feature: one pixel of sixty-four
============================================

The first pixel of every handwritten digit is set to one of three greys, drawn at random. It is the
one feature whose values fall into exactly three groups, and it has nothing to do with the digit.
Methods based on distances do not see it: it is one pixel in sixty-four, while strokes come and go
in all the others.

``PreciseFeatureGAN`` asks another question: which feature can a generator be told to produce, so
that a classifier is never in doubt which cluster was asked for? It first looks for a direction of
the data along which groups are well separated (``init``); generator, critic and classifier continue
from there.

The truth is used only for the scores.
"""

# %%
# Digits with an artifact
# -----------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skdeepclust import PreciseFeatureGAN
from skdeepclust.datasets import make_artifact

X, grey = make_artifact(load_digits().data / 16, random_state=0)

# %%
# Cluster it
# ----------
model = PreciseFeatureGAN(3, max_epochs=40, random_state=0).fit(X)
found = {
    "KMeans": KMeans(3, n_init=10, random_state=0).fit_predict(X),
    "PCA + GaussianMixture": make_pipeline(
        PCA(20, random_state=0), GaussianMixture(3, n_init=3, random_state=0)
    ).fit_predict(X),
    "PreciseFeatureGAN": model.labels_,
}
for name, labels in found.items():
    print(f"{name:<22} NMI with the grey {normalized_mutual_info_score(grey, labels):.3f}")

# %%
# What each sees
# --------------
# Two images from every cluster, with the pixel framed; k-means puts pixels of all greys together.
figure, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
for row, name in zip(axes, ("KMeans", "PreciseFeatureGAN"), strict=True):
    for cluster, pair in enumerate(row.reshape(3, 2)):
        chosen = np.flatnonzero(found[name] == cluster)[:2]
        for ax, image in zip(pair, X[chosen].reshape(-1, 8, 8), strict=True):
            ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            ax.add_patch(plt.Rectangle((-0.45, -0.45), 0.9, 0.9, fill=False, ec="C1", lw=2))
            ax.set(xticks=[], yticks=[], xlabel=f"cluster {cluster}")
    row[0].set_ylabel(name)

# %%
# The pixel in every cluster, and how the training went
# -----------------------------------------------------
# One bar for each grey, coloured by cluster: whole bars are clusters, mixed ones are not.
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, name in zip(axes, ("KMeans", "PreciseFeatureGAN"), strict=False):
    parts = [X[found[name] == cluster, 0] for cluster in range(3)]
    ax.hist(parts, bins=np.linspace(0, 1, 11), stacked=True, label=[0, 1, 2])
    ax.set(title=name, xlabel="grey of the first pixel", ylabel="digits")
axes[0].set_ylim(0, 900)
axes[0].legend(title="cluster", ncols=3, loc="upper center")
for name in ("start", "classifier", "entropy"):
    axes[2].plot(model.history_[:, name], label=name)
axes[2].set(title="training", xlabel="epoch", yscale="log")
axes[2].legend()
plt.show()
