"""
How many clusters? A search without labels
==========================================

The estimators do not say how many clusters there are. But you can fit several numbers, and measure
how well separated the clusters of each are, on samples that were not in training. Here are images
of the digits 0 to 4: five is the answer, if classes are what you have in mind.

Labels are used only for the scores.
"""

# %%
# GridSearchCV with the silhouette in each model's own embedding
# --------------------------------------------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, ShuffleSplit

from skdeepclust import NeuralMixtureEM
from skdeepclust.metrics import clustering_accuracy, silhouette_scorer

X, y = load_digits(n_class=5, return_X_y=True)
X, y = X[:600], y[:600]
numbers = np.arange(3, 8)
search = GridSearchCV(
    NeuralMixtureEM(input_shape=(1, 8, 8), n_networks=1, random_state=0),  # one, for the time
    {"n_clusters": numbers},
    scoring=silhouette_scorer,
    cv=ShuffleSplit(1, test_size=0.3, random_state=0),
)
search.fit(X)
labels = search.predict(X)
print(f"chosen: {search.best_params_}, accuracy {clustering_accuracy(y, labels):.3f}")

# %%
# The whole curve
# ---------------
# Look at the whole curve, not only at its top: on a flat curve the maximum is a matter of chance.
# The network is trained to make its clusters look separate, whatever their number, so values are
# high everywhere; and the top may be one beside the number of classes, if one class looks like two.
# Warnings of clusters that lost all their samples are another sign that there are too many.
silhouettes = search.cv_results_["mean_test_score"]
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(numbers, silhouettes, "o-")
ax.axvline(5, color="grey", ls=":", label="number of digits")
ax.set(xlabel="n_clusters", ylabel="silhouette, held-out pictures", xticks=numbers)
ax.legend()
plt.show()

# %%
# What the clusters hold
# ----------------------
print("cluster: pictures of each digit from 0 to 4")
for cluster in range(search.best_params_["n_clusters"]):
    print(f"{cluster:>7}: {np.bincount(y[labels == cluster], minlength=5)}")
