"""
Images end to end: what a cluster looks like to the network
===========================================================

``NeuralMixtureEM`` clusters pictures without an autoencoder: a picture and a warped copy of it are
to have the same cluster. There is no decoder to ask what a cluster looks like, but one can climb
the cluster's score from noise, and look at the samples that fit it best.

Labels are used for the scores alone.
"""

# %%
# Cluster scikit-learn's digits as pictures of 8 x 8
# --------------------------------------------------
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score

from skdeepclust import NeuralMixtureEM
from skdeepclust.inspection import PrototypesDisplay
from skdeepclust.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)
model = NeuralMixtureEM(10, input_shape=(1, 8, 8), random_state=0, verbose=1).fit(X)
print(
    f"accuracy {clustering_accuracy(y, model.labels_):.3f}, "
    f"NMI {normalized_mutual_info_score(y, model.labels_):.3f}"
)

# %%
# How the starts fared
# --------------------
# Forty mixtures began on one network, half of them with equal shares and half with shares that they
# estimate; the one whose clusters the copies tell best went on.
scores = next(row["start_scores"] for row in model.history_ if "start_scores" in row)
print("objective of the starts, best first:", [f"{score:.3f}" for score in sorted(scores)[::-1]])

# %%
# Prototypes, and the samples that fit best
# -----------------------------------------
display = PrototypesDisplay.from_estimator(model, X, random_state=0).plot()
display.figure_.savefig("prototypes.png", dpi=110)
