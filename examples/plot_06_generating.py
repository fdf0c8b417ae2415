"""
Generating: new images of each cluster
======================================

``DVC`` clusters the embedding of a variational autoencoder, and can generate from what it has
learned: each row below is a cluster, and none of its images is one of the data.

Labels are used only for the scores.
"""

# %%
# Cluster scikit-learn's digits as pictures of 8 x 8
# --------------------------------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score

from skdeepclust import DVC
from skdeepclust.metrics import clustering_accuracy

digits = load_digits()
X, y = (digits.images[:, None] / 16).astype(np.float32), digits.target
model = DVC(10, random_state=0, verbose=1).fit(X)
print(
    f"accuracy {clustering_accuracy(y, model.labels_):.3f}, "
    f"NMI {normalized_mutual_info_score(y, model.labels_):.3f}"
)

# %%
# Eight new digits of every cluster
# ---------------------------------
figure, axes = plt.subplots(10, 8, figsize=(5, 6.5), layout="constrained")
for cluster, row in enumerate(axes):
    pictures, _ = model.sample(8, cluster)
    for ax, picture in zip(row, pictures, strict=True):
        ax.imshow(picture[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(str(cluster), rotation=0, va="center", labelpad=10)
figure.suptitle("Samples drawn from each cluster")
plt.show()

# %%
# What the model finds strange
# ----------------------------
# ``score_samples`` is the evidence lower bound: the log-density of an image is at least this.
# Images with their rows in another order have the same ink, but the model has never seen any.
shuffled = X[:, :, np.random.RandomState(0).permutation(8)]
print(f"digits: {model.score(X):.1f} nats, with shuffled rows: {model.score(shuffled):.1f} nats")
