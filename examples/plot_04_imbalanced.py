"""
Imbalanced data: when clusters differ in size
=============================================

A method that expects clusters of equal size cuts large ones up and puts small ones together. Here
are five groups of 300 to 50 points. ``prior`` is what ``NeuralMixtureEM`` expects: equal shares,
shares that it estimates, or ("auto", the default) as the data decide.

Labels are used only for the scores.
"""

# %%
# Equal shares, and shares that are found out
# -------------------------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs

from skdeepclust import NeuralMixtureEM
from skdeepclust.datasets import make_imbalanced
from skdeepclust.metrics import clustering_accuracy, per_class_recall

angle = 2 * np.pi * np.arange(5) / 5
centers = 8 * np.column_stack([np.cos(angle), np.sin(angle)])
X, y = make_blobs([300, 200, 150, 100, 50], centers=centers, random_state=0)
methods = {
    "KMeans": KMeans(5, n_init=10, random_state=0),
    'prior="uniform"': NeuralMixtureEM(5, prior="uniform", random_state=0),
    'prior="auto"': NeuralMixtureEM(5, random_state=0),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (name, method) in zip(axes, methods.items(), strict=True):
    labels = method.fit_predict(X)
    ax.scatter(*X.T, c=labels, cmap="tab10", vmax=9, s=8)
    ax.set(title=f"{name}: accuracy {clustering_accuracy(y, labels):.2f}", xticks=[], yticks=[])
plt.show()

# %%
# Digits, of which one is ten times as frequent as another
# --------------------------------------------------------
# Round groups are only an illustration: KMeans has no trouble with them. On images of digits the
# shares matter for all. ``per_class_recall`` says what part of each class its cluster
# holds: with equal shares the frequent digits are cut up. But two of the three rarest digits are
# found by neither: the gain is on the frequent ones. Warnings say when clusters lose all their
# samples, so that the model has fewer than ten in the end.
images, digit = load_digits(return_X_y=True)
images, digit = make_imbalanced(images, digit, ratio=10, random_state=0)
mixture = NeuralMixtureEM(10, n_networks=1, input_shape=(1, 8, 8), random_state=0)  # in seconds
methods = {
    "KMeans": KMeans(10, n_init=10, random_state=0),
    'prior="uniform"': clone(mixture).set_params(prior="uniform"),
    'prior="auto"': mixture,
}
sizes = np.bincount(digit)
order = np.argsort(-sizes)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
for ax, (name, method) in zip(axes, methods.items(), strict=True):
    labels = method.fit_predict(images)
    _, recall = per_class_recall(digit, labels)
    ax.bar(range(10), recall[order])
    ax.set_xticks(range(10), [f"{k}\n{sizes[k]}" for k in order])
    accuracy, balanced = clustering_accuracy(digit, labels), recall.mean()
    ax.set(title=f"{name}\naccuracy {accuracy:.2f}, mean recall {balanced:.2f}")
    ax.set(xlabel="digit, and its pictures", ylim=(0, 1))
axes[0].set_ylabel("recall")
plt.show()
