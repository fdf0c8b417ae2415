"""
Clustering precomputed embeddings
=================================

Photographs, texts and sounds are best embedded by a network that was trained on millions of them;
the embeddings are then clustered like any other vectors. The stand-in here is small: a classifier
trained on labelled digits 0 to 7 embeds other images of all ten digits. It has never seen two of
them, as a large network has never seen your classes.

Labels of the images that are clustered are used only for the scores.
"""

# %%
# A pretrained network
# --------------------
# Its last hidden layer is the embedding. The length of an embedding seldom means anything, so each
# is divided by its own.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import normalize

from skdeepclust import NeuralMixtureEM

X, y = load_digits(return_X_y=True)
X_old, X_new, y_old, y_new = train_test_split(X / 16, y, test_size=0.5, random_state=0)
known = y_old < 8
pretrained = MLPClassifier((64,), max_iter=500, random_state=0).fit(X_old[known], y_old[known])


def embed(pictures):
    hidden = pictures @ pretrained.coefs_[0] + pretrained.intercepts_[0]
    return normalize(np.maximum(hidden, 0))


# %%
# The same clusterers on pixels and on embeddings
# -----------------------------------------------
# The embedding helps every one of them, so begin with the fastest. ``NeuralMixtureEM``, which
# clusters vectors by many mixtures and nearest neighbours, is a second opinion, and here the better
# one.
methods = {
    "KMeans": KMeans(10, n_init=10, random_state=0),
    "GaussianMixture": GaussianMixture(10, reg_covar=1e-3, random_state=0),
    "NeuralMixtureEM": NeuralMixtureEM(10, random_state=0),
}
inputs = {"pixels": X_new, "embeddings": embed(X_new)}
scores = {
    name: [normalized_mutual_info_score(y_new, m.fit_predict(Z)) for m in methods.values()]
    for name, Z in inputs.items()
}

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
place = np.arange(len(methods))
for shift, (name, values) in zip((0, 0.4), scores.items(), strict=True):
    ax.bar_label(ax.bar(place + shift, values, 0.38, label=name), fmt="%.2f")
ax.set_xticks(place + 0.2, list(methods))
ax.set(title="Agreement of clusters with the ten digits", ylabel="NMI", ylim=(0, 1.15))
ax.legend(loc="upper center", ncols=2)
plt.show()
