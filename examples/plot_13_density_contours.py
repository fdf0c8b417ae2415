"""
A network as a mixture model: densities in the plane
====================================================

``NeuralMixtureEM`` has no centres and no covariances: the outputs of a small network are the
densities of the clusters. With two features they can be drawn. Normalising the scores over the
batch is what keeps clusters apart; without it training puts all samples into a few, or into one.

Labels are used only for the scores.
"""

# %%
# Ten groups on a circle
# ----------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from skdeepclust import NeuralMixtureEM
from skdeepclust.inspection import ClusterDensityDisplay
from skdeepclust.metrics import clustering_accuracy

angle = np.arange(10) * 2 * np.pi / 10
centers = 10 * np.column_stack([np.cos(angle), np.sin(angle)])
X, y = make_blobs(3000, centers=centers, cluster_std=0.8, random_state=0)

# %%
# With and without normalised scores
# ----------------------------------
# One start and EM only, as in section 8.1 of the paper. A cluster that has lost all its samples is
# started anew; a warning says how many end without any, which is the point here.
settings = {
    "n_starts": 1,
    "augment": None,
    "temperature": 1.0,
    "lr": 1e-3,
    "lr_decay": "constant",
    "max_epochs": 20,
    "random_state": 0,
}
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, normalize in zip(axes, (True, False), strict=True):
    model = NeuralMixtureEM(10, normalize_scores=normalize, **settings).fit(X)
    ClusterDensityDisplay.from_estimator(model, X).plot(ax)
    accuracy = clustering_accuracy(y, model.labels_)
    print(f"normalize_scores={normalize!s:<6} accuracy {accuracy:.3f}  {model.cluster_sizes_}")
    ax.set_title(f"normalize_scores={normalize}: accuracy {accuracy:.2f}")

plt.show()
