"""
Your own algorithm: a subclass of the base
=============================================

``BaseDeepClusterer`` validates, seeds, restarts, trains in phases, and predicts. An algorithm
writes a module, which says what a sample's embedding and its soft assignment are, and how to train
it.
Here is deep k-means: an autoencoder whose embedding is pulled to the nearest of K centres.

What the base class asks of a subclass may still change.
``CONTRIBUTING.md`` says how an algorithm joins the package.
"""

# %%
# The module: what inference needs
# --------------------------------
# Six methods; ``x`` are samples in the user's units.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn

from skdeepclust.cluster import BaseDeepClusterer, ClusteringModule
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.networks import make_autoencoder
from skdeepclust.training import adam


class DeepKMeansModule(ClusteringModule):
    def __init__(self, autoencoder, scale, n_clusters, latent_dim):
        super().__init__()
        self.autoencoder = autoencoder
        self.register_buffer("scale", torch.tensor(scale))
        self.centers = nn.Parameter(torch.zeros(n_clusters, latent_dim))

    def embed(self, x):
        return self.autoencoder.encode(x / self.scale)

    def reconstruct(self, z):
        return self.autoencoder.decode(z) * self.scale

    def distances(self, z):
        return (z[:, None] - self.centers).square().sum(2)  # (n, K)

    def assign(self, x):
        return self.distances(self.embed(x)).neg().softmax(1)

    def score(self, x):
        return self.distances(self.embed(x)).amin(1).neg()

    def cluster_centers(self):
        return self.centers

    @torch.no_grad()
    def reorder(self, order):
        self.centers.copy_(self.centers[order])


# %%
# The estimator: two methods
# --------------------------
# The constructor stores its arguments and does nothing else. ``_build_module`` makes the network,
# ``_train`` runs phases.
class DeepKMeans(BaseDeepClusterer):
    # fmt: off
    def __init__(self, n_clusters=8, *, weight=0.1, hidden_dims=(64, 64), latent_dim=10, epochs=40,
                 lr=1e-3, batch_size="auto", input_shape=None, augment=None, n_init=1, n_jobs=None,
                 random_state=None, verbose=0, callbacks=None, checkpoint=None, device="auto"):
        # fmt: on
        self.n_clusters = n_clusters
        self.weight = weight
        self.hidden_dims = hidden_dims
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.lr = lr
        # The base reads these.
        self.batch_size = batch_size
        self.input_shape = input_shape
        self.augment = augment
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device

    def _build_module(self, run):
        network = make_autoencoder("mlp", self.input_shape_, self.latent_dim, self.hidden_dims)
        scale = float(run.rows.X.std())
        return DeepKMeansModule(network, scale, self.n_clusters, self.latent_dim)

    def _train(self, run):
        run.perform(self._pretrain, self._start, self._cluster)

    def _pretrain(self, run):
        self._phase(run, "pretrain", weight=0.0)

    def _start(self, run):
        z = run.map(run.module.embed).cpu().numpy()
        kmeans = KMeans(self.n_clusters, n_init=10, random_state=run.rng).fit(z)
        run.module.centers.data.copy_(torch.from_numpy(kmeans.cluster_centers_))

    def _cluster(self, run):
        run.end(self._phase(run, "cluster", self.weight))

    def _phase(self, run, name, weight):
        module = run.module

        def step(index, x):
            z = module.embed(x)
            error = ((x - module.reconstruct(z)) / module.scale).square().mean()
            distance = module.distances(z).amin(1).mean()
            loss = error + weight * distance
            run.net.minimize(loss)
            return {"loss": loss, "reconstruction": error, "distance": distance}

        optimizers = {"main": adam(list(module.parameters()), self.lr)}
        return run.net.run_phase(name, run.rows, step, optimizers=optimizers, epochs=self.epochs)


# %%
# It is an estimator like the others
# ----------------------------------
# Before: k-means on the pixels. After: the subclass, with everything that the base brings, such as
# ``predict`` on new data, ``transform``, ``history_``, checkpoints and restarts.
X, y = load_digits(n_class=5, return_X_y=True)
kmeans = KMeans(5, n_init=10, random_state=0).fit_predict(X)
model = DeepKMeans(5, random_state=0).fit(X[:700])
labels = model.predict(X)

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for ax, name, points, found in (
    (axes[0], "KMeans on pixels", X, kmeans),
    (axes[1], "DeepKMeans", model.transform(X), labels),
):
    ax.scatter(*PCA(2).fit_transform(points).T, c=found, cmap="tab10", vmax=9, s=8)
    ax.set(title=f"{name}: accuracy {clustering_accuracy(y, found):.2f}", xticks=[], yticks=[])
figure.suptitle("First two principal components")
plt.show()
print(model)
print("new pictures:", clustering_accuracy(y[700:], labels[700:]))
print("phases:", np.unique(model.history_[:, "phase"]))
