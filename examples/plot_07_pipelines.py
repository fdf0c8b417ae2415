"""
Pipelines and grid search: estimators like any other
====================================================

Two things that you do with any scikit-learn estimator: put a scaler in front, and search over
parameters. The wines of ``load_wine`` have thirteen columns, in units from hundredths to thousands.

Labels are used only for the scores.
"""

# %%
# A scaler in front
# -----------------
# The network divides all columns by *one* number, so units matter: here proline, which reaches more
# than a thousand, would drown all the others. On data as few and simple as these, KMeans is about
# as good once it has the scaler too, and much faster.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust import StatDEC
from skdeepclust.metrics import silhouette_scorer

X, y = load_wine(return_X_y=True, as_frame=True)
short = {"hidden_dims": (64, 64), "pretrain_epochs": 50, "max_epochs": 20}
small = StatDEC(3, latent_dim=5, **short, random_state=0)
models = {
    "as it is": small,
    "scaled": make_pipeline(StandardScaler(), small),
    "scaled, KMeans": make_pipeline(StandardScaler(), KMeans(3, n_init=10, random_state=0)),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
plane = make_pipeline(StandardScaler(), PCA(2)).fit_transform(X)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    labels = model.fit_predict(X)
    ax.scatter(*plane.T, c=labels, cmap="tab10", vmax=9, s=12)
    ax.set(title=f"{name}: ARI {adjusted_rand_score(y, labels):.2f}", xticks=[], yticks=[])
plt.show()

# %%
# The embedding as a table
# ------------------------
# Columns of a pandas table have names, and so do those of the embedding.
model = make_pipeline(StandardScaler(), small).set_output(transform="pandas")
print(model.fit_transform(X).head(3))

# %%
# A search without labels
# -----------------------
# Parameters of a step have its name in front. ``silhouette_scorer`` measures how well separated the
# clusters of held-out samples are in the model's own embedding, and needs no ``y``. That is not how
# well they match classes: below it prefers the narrowest embedding, and ARI does not.
search = GridSearchCV(
    make_pipeline(StandardScaler(), small),
    {"statdec__latent_dim": [2, 5, 10], "statdec__clustering_weight": [0.1, 0.5]},
    scoring={
        "silhouette": silhouette_scorer,
        "ARI": lambda model, X, y: adjusted_rand_score(y, model.predict(X)),
    },
    cv=ShuffleSplit(1, test_size=0.4, random_state=0),
    refit="silhouette",
)
search.fit(X, y)  # y for the second score alone
print("chosen by the silhouette:", search.best_params_)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for ax, name in zip(axes, ("silhouette", "ARI"), strict=True):
    table = search.cv_results_[f"mean_test_{name}"].reshape(2, 3)
    ax.imshow(table, cmap="viridis")
    for place, value in np.ndenumerate(table):
        ax.text(*place[::-1], f"{value:.2f}", ha="center", va="center", bbox={"fc": "white"})
    ax.set_xticks(range(3), [2, 5, 10])
    ax.set_yticks(range(2), [0.1, 0.5])
    ax.set(title=f"{name}, held-out wines", xlabel="latent_dim", ylabel="clustering_weight")
plt.show()
