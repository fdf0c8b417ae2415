"""
The precise feature: clusters that only a generator sees
========================================================

One column of a table has three values, give or take nothing; the other two are noise, and spread
further. Whoever looks at distances sees one cloud. ``PreciseFeatureGAN`` asks another question: by
which number can samples be generated one cluster after another? The noise has no gaps that a
cluster could end at, and the column has: so the number comes to stand for the column.

Runs differ, and some fail: ``n_init`` repeats them.

The truth is used for the scores alone.
"""

# %%
# Three values in one column, noise in two
# ----------------------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from skdeepclust import PreciseFeatureGAN
from skdeepclust.datasets import make_artifact

rng = np.random.RandomState(0)
X, value = make_artifact(0.5 + 0.5 * rng.standard_normal((1000, 3)), random_state=0)

# %%
# Cluster it
# ----------
kmeans = KMeans(3, n_init=10, random_state=0).fit_predict(X)
model = PreciseFeatureGAN(3, noise_dim=2, random_state=0, verbose=1).fit(X)
for name, labels in {"KMeans": kmeans, "PreciseFeatureGAN": model.labels_}.items():
    print(f"{name:<18} NMI with the column {normalized_mutual_info_score(value, labels):.3f}")

# %%
# What each sees, what the generator makes, and how training went
# ---------------------------------------------------------------
figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
generated, numbers = model.sample(600)
for ax, title, points, labels in (
    (axes[0, 0], "KMeans", X, kmeans),
    (axes[0, 1], "PreciseFeatureGAN", X, model.labels_),
    (axes[1, 0], "generated, by cluster", generated, numbers),
):
    ax.scatter(points[:, 0], points[:, 1], c=labels, s=8, cmap="viridis")
    ax.set(title=title, xlabel="the column", ylabel="noise")
for name in ("distance", "entropy", "fake_accuracy"):
    axes[1, 1].plot(model.history_[:, name], label=name.replace("_", " "))
axes[1, 1].set(title="training", xlabel="epoch")
axes[1, 1].legend()
plt.show()
