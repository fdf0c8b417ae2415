"""What a user would otherwise reach for.

Each is a function of the number of clusters and a seed to something with ``fit_predict`` of rows of
numbers. Autoencoder-based ones have StatDEC's dense network and its batch for it, and train longer.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import sys

import numpy as np
import torch
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import minmax_scale
from torch import nn

from skdeepclust.cluster._self_training import dense_dims

from ._record import device

# The width of StatDEC's embedding.
LATENT = 10
# How long peers train: steps, and the epochs they may make. StatDEC's dense layers have half as
# many before the joint training, and fewer epochs on large data.
PRETRAINING, TRAINING = (2000, 15, 100), (600, 10, 40)
# Nearly as short as StatDEC's.
SHORTER = (1000, 10, 100), (600, 6, 40)


def kmeans(n_clusters, seed):
    return KMeans(n_clusters, n_init=10, random_state=seed)


def mixture(n_clusters, seed):
    return GaussianMixture(n_clusters, n_init=5, random_state=seed)


def pca_mixture(n_clusters, seed):
    return make_pipeline(_PCA(20, random_state=seed), mixture(n_clusters, seed))


def whitened_kmeans(n_clusters, seed):
    """What one takes who knows that large variances mean nothing."""
    return make_pipeline(_PCA(20, whiten=True, random_state=seed), kmeans(n_clusters, seed))


class _PCA(PCA):
    """At most as many components as there are features."""

    def fit_transform(self, X, y=None):
        self.n_components = min(self.n_components, *X.shape)
        return super().fit_transform(X)


def _umap():
    """To 10 dimensions; without a random_state, since one makes it use one core."""
    from umap import UMAP

    return UMAP(n_components=10, n_neighbors=15, min_dist=0.0)


def compile_umap():
    """What is compiled at its first call, before a clock starts."""
    umap_mixture(2, 0).fit_predict(np.random.RandomState(0).rand(500, 10).astype(np.float32))


def umap_mixture(n_clusters, seed):
    return make_pipeline(_umap(), mixture(n_clusters, seed))


def umap_hdbscan(n_clusters, seed):
    """Takes no number of clusters: none of them smaller than a twentieth of an equal share."""
    return make_pipeline(_umap(), _ShareHDBSCAN(n_clusters))


class _ShareHDBSCAN(HDBSCAN):
    def __init__(self, n_clusters):
        super().__init__(copy=True)
        self.n_clusters = n_clusters

    def fit_predict(self, X, y=None):
        self.min_cluster_size = max(5, len(X) // (20 * self.n_clusters))
        return super().fit_predict(X)


def layers(X):
    """Widths of the layers of StatDEC's network for rows, from the data to the embedding."""
    return X.shape[1], *dense_dims(*X.shape), LATENT


def batch(n):
    return min(256, max(32, 2 ** int(math.log2(max(1, n / 25)))))


def epochs(schedule, n):
    """How many epochs make the schedule's steps, within its bounds."""
    steps, at_least, at_most = schedule
    return min(at_most, max(at_least, math.ceil(steps * batch(n) / n)))


class AutoencoderMixture:
    """An autoencoder in bare torch, and a mixture of its codes."""

    def __init__(self, n_clusters, seed):
        self.n_clusters, self.seed = n_clusters, seed

    def fit_predict(self, X):
        torch.manual_seed(self.seed)
        X = torch.from_numpy(np.ascontiguousarray(X, np.float32)).to(device())
        widths = layers(X)
        encoder, decoder = (dense(each).to(device()) for each in (widths, widths[::-1]))
        adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
        for _ in range(epochs(PRETRAINING, len(X))):
            for index in torch.randperm(len(X)).split(batch(len(X))):
                loss = (decoder(encoder(X[index])) - X[index]).square().mean()
                adam.zero_grad()
                loss.backward()
                adam.step()
        with torch.inference_mode():
            Z = torch.cat([encoder(part) for part in X.split(4096)]).cpu().numpy()
        # In float32 some covariances of so few samples as glass has are singular.
        return mixture(self.n_clusters, self.seed).fit_predict(Z.astype(np.float64))


def dense(widths):
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


class ClustPy:
    """One of ClustPy's deep clusterings: "DEC", "IDEC", "DCN" or "VaDE"; ``lr`` is that of both
    phases, where it is not ClustPy's."""

    def __init__(self, name, n_clusters, seed, schedules=(PRETRAINING, TRAINING), lr=None):
        self.name, self.n_clusters, self.seed = name, n_clusters, seed
        self.schedules, self.lr = schedules, lr

    def fit_predict(self, X):
        deep = import_clustpy()
        network = deep.neural_networks.FeedforwardAutoencoder
        if self.name == "VaDE":
            network = deep.neural_networks.VariationalAutoencoder
            X = minmax_scale(X).clip(0, 1)  # its likelihood is one of values in [0, 1]
        before, joint = (epochs(schedule, len(X)) for schedule in self.schedules)
        rates = {}
        if self.lr is not None:
            names = ("pretrain_optimizer_params", "clustering_optimizer_params")
            rates = {key: {"lr": self.lr} for key in names}
        model = getattr(deep, self.name)(
            self.n_clusters,
            batch_size=batch(len(X)),
            pretrain_epochs=before,
            clustering_epochs=joint,
            **rates,
            neural_network=(network, {"layers": list(layers(X))}),
            embedding_size=LATENT,
            device=device(),
            random_state=self.seed,
        )
        with contextlib.redirect_stdout(sys.stderr):  # what it has to say is no result
            return model.fit(np.ascontiguousarray(X, np.float32)).labels_


@functools.cache
def import_clustpy():
    """ClustPy beside a CPU build of torch, for which the registries have no torchvision: theirs is
    a CUDA build, which asks for two operators that it then lacks. ClustPy does not use them."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # where torchvision brings them
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import clustpy.deep

    import_clustpy.library = library  # its operators end with it
    return clustpy.deep
