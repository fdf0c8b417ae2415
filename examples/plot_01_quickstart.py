"""
First clustering: handwritten digits
====================================

The 1,797 digits that come with scikit-learn are 8 x 8 images, here rows of 64 numbers. ``StatDEC``
learns an embedding of them and the clusters in it at the same time. It is compared with what one
would otherwise use: k-means, and a Gaussian mixture on principal components.

Labels are used only for the scores.
"""

# %%
# The data, and three estimators with the same interface
# ------------------------------------------------------
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skdeepclust import StatDEC
from skdeepclust.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
methods = {
    "KMeans": KMeans(n_clusters=10, n_init=10, random_state=0),
    "PCA + GaussianMixture": make_pipeline(
        PCA(n_components=20, random_state=0),
        GaussianMixture(n_components=10, n_init=10, random_state=0),
    ),
    "StatDEC": StatDEC(n_clusters=10, random_state=0, verbose=1),
}

# %%
# Fit and compare
# ---------------
rows = []
for name, method in methods.items():
    start = perf_counter()
    labels = method.fit_predict(X)
    rows.append(
        (
            name,
            clustering_accuracy(y, labels),
            normalized_mutual_info_score(y, labels),
            adjusted_rand_score(y, labels),
            perf_counter() - start,
        )
    )

print(f"\n{'':<24}{'ACC':>8}{'NMI':>8}{'ARI':>8}{'seconds':>10}")
for name, accuracy, nmi, ari, seconds in rows:
    print(f"{name:<24}{accuracy:>8.3f}{nmi:>8.3f}{ari:>8.3f}{seconds:>10.1f}")

# %%
# What was learned
# ----------------
# Left: the ten-dimensional embedding on its first two principal components, one colour for each
# cluster, with the centres. Middle: what the decoder makes of each centre, the model's idea of the
# cluster. Right: the losses, first of reconstruction only, then of both parts of the objective.
model = methods["StatDEC"]
plane = PCA(n_components=2).fit(model.transform(X))
points, centers = plane.transform(model.transform(X)), plane.transform(model.cluster_centers_)
prototypes = model.inverse_transform(model.cluster_centers_).reshape(-1, 8, 8)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
left.scatter(*points.T, c=model.labels_, cmap="tab10", s=6, alpha=0.6)
for k, center in enumerate(centers):
    left.annotate(str(k), center, weight="bold", ha="center", va="center",
                  bbox={"boxstyle": "circle", "fc": "white", "alpha": 0.8})  # fmt: skip
left.set(title="Embedding and clusters (PCA)", xticks=[], yticks=[])

framed = np.pad(prototypes, ((0, 0), (3, 1), (1, 1)))  # room for a line above each
tiles = np.block([[framed[5 * i + j] for j in range(5)] for i in range(2)])
middle.imshow(tiles, cmap="gray_r")
for k in range(10):
    middle.text(10 * (k % 5) + 1, 12 * (k // 5) + 1.6, f"{k} ({model.cluster_sizes_[k]})")
middle.set(title="Decoded centres: cluster (size)", xticks=[], yticks=[])

for name, style in {"reconstruction": "C0", "kl": "C1"}.items():
    curve = [(row["epoch"], row[name]) for row in model.history_ if name in row]
    right.plot(*zip(*curve, strict=True), style, label=name)
joint = next(row["epoch"] for row in model.history_ if row["phase"] == "cluster")
right.axvline(joint, color="grey", ls=":", label="clustering begins")
right.set(title="Learning curve", xlabel="epoch", ylabel="loss", yscale="log")
right.legend()

target = Path("quickstart.png")
figure.savefig(target, dpi=110)
print(f"\nThe picture is in {target.resolve()}")
