"""NeuralMixtureEM's benchmarks.

``python -m benchmarks.neural_mixture_em mnist | ablation | imbalanced | plane | vectors | table``

MNIST comes from :func:`skdeepclust.datasets.fetch_mnist`: a local ``mnist.npz`` in the folder that
the environment variable SKDEEPCLUST_DATA names, or the public copy on OpenML. Each run is one file
in ``benchmarks/results/neural_mixture_em``; one that is there is not run again. ``table`` makes
``results/neural_mixture_em.md`` of the files.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits, make_blobs

from skdeepclust import NeuralMixtureEM
from skdeepclust.datasets import fetch_mnist, make_imbalanced

from ._bench import Bench
from ._data import flat, subset
from ._peers import kmeans, mixture, pca_mixture, umap_mixture

BENCH = Bench("neural_mixture_em", "NeuralMixtureEM")


def neural(seed, n_clusters=10, **params):
    return NeuralMixtureEM(n_clusters, random_state=seed, **params)


def mnist(seeds):
    """All 70,000 images, in alternation with what a user would pick instead."""
    X, y = fetch_mnist()
    rows = flat(X)
    for seed in seeds:
        BENCH.measure("mnist", "NeuralMixtureEM", neural(seed), seed, X, y)
        peer = umap_mixture(10, seed)
        BENCH.measure("mnist", "UMAP(10) + GaussianMixture", peer, seed, rows, y)


def ablation(seeds):
    """One part changed at a time, on 10,000 images drawn anew for each seed, all on one network:
    the choice between several would make up for a part of what is worse."""
    X_all, y_all = fetch_mnist()
    for seed in seeds:
        X, y = subset(X_all, y_all, 10_000, seed)
        for name, params in {
            "defaults: EM, 40 starts, T = 0.5": {},
            "two-fold": {"objective": "two_fold"},
            "consistency alone": {"objective": "consistency"},
            "one start": {"n_starts": 1, "max_epochs": 9},  # as many steps
            "T = 1": {"temperature": 1.0},
            "uniform prior": {"prior": "uniform"},
            "estimated prior": {"prior": "estimated"},
            "mild augmentation": {"augment": "affine"},
        }.items():
            estimator = neural(seed, n_networks=1, **params)
            BENCH.measure("mnist, 10,000", name, estimator, seed, X, y)


def imbalanced(seeds):
    X, y = fetch_mnist()
    for ratio in (10, 100):
        for seed in seeds:
            X_tail, y_tail = make_imbalanced(
                X, y, ratio, kind="long_tailed", n_max=2000, random_state=seed
            )
            rows = flat(X_tail)
            experiment = f"long-tailed mnist {ratio}"
            for name, params in {
                "auto prior": {},
                "auto prior, n_networks=1": {"n_networks": 1},
                "uniform prior": {"prior": "uniform"},
                "estimated prior": {"prior": "estimated"},
            }.items():
                BENCH.measure(experiment, name, neural(seed, **params), seed, X_tail, y_tail)
            BENCH.measure(experiment, "KMeans", kmeans(10, seed), seed, rows, y_tail)
            peer = pca_mixture(10, seed)
            BENCH.measure(experiment, "PCA + GaussianMixture", peer, seed, rows, y_tail)


def ten_groups(seed):
    """Ten separated groups in the plane (section 8.1 of the paper)."""
    angle = np.arange(10) * 2 * np.pi / 10
    centers = 10 * np.column_stack([np.cos(angle), np.sin(angle)])
    return make_blobs(5000, centers=centers, cluster_std=0.8, random_state=seed)


# The paper's setting for two dimensions: one start, EM alone, MLP 32-32.
PLANE = {
    "n_starts": 1,
    "augment": None,
    "hidden_dims": (32,),
    "latent_dim": 32,
    "batch_size": 128,
    "gamma": 5.0,
    "temperature": 1.0,
    "lr": 1e-3,
    "lr_decay": "constant",
    "max_epochs": 10,
}


def plane(seeds):
    for seed in seeds:
        X, y = ten_groups(seed)
        BENCH.measure("ten groups in the plane", "paper", neural(seed, **PLANE), seed, X, y)
        BENCH.measure("ten groups in the plane", "defaults", neural(seed), seed, X, y)


def unequal_blobs(seed):
    """Five Gaussians of unequal sizes and covariances in eight dimensions."""
    rng = np.random.RandomState(seed)
    parts = []
    for size in (600, 400, 300, 200, 100):
        shape = rng.standard_normal((8, 8)) * rng.uniform(0.3, 0.9)
        center = rng.uniform(-8, 8, 8)
        parts.append(center + rng.standard_normal((size, 8)) @ shape)
    return np.concatenate(parts), np.repeat(np.arange(5), [len(part) for part in parts])


def vectors(seeds):
    for seed in seeds:
        for experiment, (X, y), n_clusters in (
            ("digits as vectors", load_digits(return_X_y=True), 10),
            ("unequal blobs", unequal_blobs(seed), 5),
        ):
            for name, estimator in {
                "NeuralMixtureEM": neural(seed, n_clusters),
                "NeuralMixtureEM, uniform prior": neural(seed, n_clusters, prior="uniform"),
                "NeuralMixtureEM, estimated prior": neural(seed, n_clusters, prior="estimated"),
                "NeuralMixtureEM, EM alone": neural(seed, n_clusters, augment=None),
                "GaussianMixture": mixture(n_clusters, seed),
                "KMeans": kmeans(n_clusters, seed),
            }.items():
                BENCH.measure(experiment, name, estimator, seed, X, y)


if __name__ == "__main__":
    BENCH.main(
        {
            "mnist": (mnist, 5),
            "ablation": (ablation, 3),
            "imbalanced": (imbalanced, 5),
            "plane": (plane, 5),
            "vectors": (vectors, 5),
        }
    )
