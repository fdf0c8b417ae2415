"""DVC's benchmarks, and those of the networks for images.

``python -m benchmarks.dvc mnist | ablation | medical | imbalanced | networks | strangers | memory |
table``

MNIST comes from :func:`skdeepclust.datasets.fetch_mnist`; the medical images and CIFAR-10 from
packed files, see :mod:`benchmarks._data`. Each run is one file in ``benchmarks/results/dvc``; one
that is there is not run again. ``table`` makes ``results/dvc.md`` of the files.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from skdeepclust import DVC, StatDEC
from skdeepclust.datasets import fetch_mnist, make_imbalanced

from ._bench import Bench
from ._data import cifar10, flat, medical_mnist, subset
from ._peers import kmeans, pca_mixture

BENCH = Bench("dvc", "DVC and the networks for images")


# The paper's 0.1 beside an ELBO summed over the 784 pixels.
PAPER_WEIGHT = DVC.from_paper("mnist").clustering_weight


def mnist(seeds):
    """All 70,000 images by the dense network; by the convolutional one they are in peers."""
    X, y = fetch_mnist()
    for seed in seeds:
        dense = DVC(10, network="mlp", random_state=seed)
        BENCH.measure("mnist", "DVC-2 (mlp)", dense, seed, X, y)


def ablation(seeds):
    """One part changed at a time, on 10,000 digits drawn anew for each seed."""
    digits = fetch_mnist()
    for seed in seeds:
        X, y = subset(*digits, 10_000, seed)
        for name, estimator in {
            "defaults": DVC(10, random_state=seed),
            "paper's settings": DVC.from_paper("mnist", random_state=seed),
            "prior_weight = 1": DVC(10, prior_weight=1.0, random_state=seed),
            "paper's λ": DVC(10, clustering_weight=PAPER_WEIGHT, random_state=seed),
            "affine": DVC(10, augment="affine", random_state=seed),
        }.items():
            BENCH.measure("mnist, 10,000", name, estimator, seed, X, y)


def radiology(experiment, X, y, seed):
    BENCH.measure(experiment, "DVC-1 (dvc)", DVC(6, random_state=seed), seed, X, y)
    BENCH.measure(
        experiment, "StatDEC (mlp)", StatDEC(6, network="mlp", random_state=seed), seed, X, y
    )
    BENCH.measure(experiment, "KMeans", kmeans(6, seed), seed, flat(X), y)
    BENCH.measure(experiment, "PCA + GaussianMixture", pca_mixture(6, seed), seed, flat(X), y)


def medical(seeds):
    """24,000 radiology images of six classes."""
    X, y = medical_mnist()
    for seed in seeds:
        radiology("medical images", X, y, seed)


def imbalanced(seeds):
    """One class, another for each seed, is cut to a thirtieth of the others."""
    X, y = medical_mnist()
    for seed in seeds:
        rng = np.random.RandomState(seed)
        rare = np.flatnonzero(y == np.unique(y)[seed % 6])
        gone = rng.permutation(rare)[len(rare) // 30 :]
        keep = rng.permutation(np.setdiff1d(np.arange(len(y)), gone))
        radiology("medical images, one class 1 to 30", X[keep], y[keep], seed)


# Half of StatDEC's own schedule, which is long for convolutions on two cores.
HALF = {"pretrain_epochs": 20, "max_epochs": 8, "batch_size": 128}


def networks(seeds):
    """StatDEC with the networks of its paper's table IV, on subsets."""
    digits, colour = fetch_mnist(), cifar10()
    for seed in seeds:
        X, y = subset(*digits, 6_000, seed)
        X_tail, y_tail = make_imbalanced(
            *colour, 10, kind="long_tailed", n_max=1500, random_state=seed
        )
        for name, params in {
            "StatDEC (mlp)": {"network": "mlp"},
            "StatDEC+CNN": {"network": "cnn"},
            "StatDEC+UNet": {"network": "unet"},
            "StatDEC+VAE": {"network": "dvc", "variational": True},
        }.items():
            estimator = StatDEC(10, random_state=seed, **HALF, **params)
            BENCH.measure("mnist, 6,000", name, estimator, seed, X, y)
            estimator = StatDEC(10, random_state=seed, **HALF, **params)
            BENCH.measure("long-tailed cifar-10, 10", name, estimator, seed, X_tail, y_tail)
        BENCH.measure("mnist, 6,000", "KMeans", kmeans(10, seed), seed, flat(X), y)
        peer = kmeans(10, seed)
        BENCH.measure("long-tailed cifar-10, 10", "KMeans", peer, seed, flat(X_tail), y_tail)


def strangers(seeds):
    """``score_samples`` against images of another kind: fit on digits, shown radiology too."""
    X, y = subset(*fetch_mnist(part="train"), 20_000, 0)
    test, _ = fetch_mnist(part="test")
    medical, _ = subset(*medical_mnist(), 10_000, 0)
    medical = F.adaptive_avg_pool2d(torch.from_numpy(medical).float(), 28)
    medical = medical.round().to(torch.uint8).numpy()
    known = np.repeat([1, 0], [len(test), len(medical)])
    for seed in seeds:
        for name, estimator in {
            "DVC-1 (dvc)": DVC(10, random_state=seed),
            "DVC-2 (mlp)": DVC(10, network="mlp", random_state=seed),
            "StatDEC (mlp)": StatDEC(10, network="mlp", random_state=seed),
        }.items():

            def auroc(estimator=estimator):
                shown = np.concatenate([test, medical])
                return roc_auc_score(known, estimator.score_samples(shown))

            BENCH.measure("mnist, 20,000 of train", name, estimator, seed, X, y, auroc=auroc)


def memory(seeds):
    """Peak memory of 2,000 colour images of 128 x 128, as they are; alone in its process."""
    rng = np.random.RandomState(0)
    y = rng.randint(4, size=2000)
    patterns = rng.randint(0, 200, (4, 3, 8, 8)).repeat(16, 2).repeat(16, 3)
    X = (patterns[y] + rng.randint(0, 50, (2000, 3, 128, 128), dtype=np.uint8)).astype(np.uint8)
    for seed in seeds:
        estimator = DVC(4, resolution="full", pretrain_epochs=2, max_epochs=2, random_state=seed)
        BENCH.measure("128 x 128 x 3", "DVC-1 (dvc)", estimator, seed, X, y)


if __name__ == "__main__":
    BENCH.main(
        {
            "mnist": (mnist, 3),
            "ablation": (ablation, 3),
            "medical": (medical, 3),
            "imbalanced": (imbalanced, 3),
            "networks": (networks, 3),
            "strangers": (strangers, 3),
            "memory": (memory, 1),
        }
    )
