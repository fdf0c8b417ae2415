"""StatDEC's benchmarks.

``python -m benchmarks.stat_dec digits | networks | widths | start | mnist | shift | long_tailed |
targets | table``

MNIST comes from :func:`skdeepclust.datasets.fetch_mnist`: a local ``mnist.npz`` in the folder that
the environment variable SKDEEPCLUST_DATA names, or the public copy on OpenML. Each run is one file
in ``benchmarks/results/stat_dec``; one that is there is not run again. ``table`` makes
``results/stat_dec.md`` of the files.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.preprocessing import scale

from skdeepclust import DVC, StatDEC
from skdeepclust.cluster._self_training import NARROW_DIMS
from skdeepclust.datasets import fetch_mnist, make_imbalanced
from skdeepclust.networks import MLPAutoencoder

from . import recipes
from ._bench import Bench
from ._data import digit_images, flat, subset
from ._peers import kmeans, pca_mixture
from ._record import scores
from .peers import DATA, scaled

BENCH = Bench("stat_dec", "StatDEC")


def stat_dec(seed, **params):
    return StatDEC(n_clusters=10, random_state=seed, **params)


# Its own ablation: DEC's target, no pooling, a k-means start, nothing in between.
DEC = {
    "target": "dec",
    "statistics_pooling": False,
    "init": "kmeans",
    "warmup_epochs": 0,
    "whiten": False,
}


# Of the paper's target; the default is DEC's.
READINGS = ("assigned", "posterior", "printed")


def targets(seeds):
    """The readings of the target, and the pooling layer, on long-tailed digits."""
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        X_tail, y_tail = make_imbalanced(X, y, 10, kind="long_tailed", random_state=seed)
        for target in ("dec", "sharpened", *READINGS):
            estimator = stat_dec(seed, target=target)
            BENCH.measure("long-tailed digits 10", target, estimator, seed, X_tail, y_tail)
        without = stat_dec(seed, statistics_pooling=False)
        BENCH.measure("long-tailed digits 10", "dec without pooling", without, seed, X_tail, y_tail)


def digits(seeds):
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        BENCH.measure("digits", "KMeans", kmeans(10, seed), seed, X, y)
        BENCH.measure("digits", "PCA + GaussianMixture", pca_mixture(10, seed), seed, X, y)
        BENCH.measure("digits", "StatDEC", stat_dec(seed), seed, X, y)
        BENCH.measure("digits", "StatDEC as DEC", stat_dec(seed, **DEC), seed, X, y)


# Clusters, and a half to two thirds more pretraining than the default where that is no more than
# 100 epochs.
TABLES = {
    "wine": (load_wine, 3, {}),
    "iris": (load_iris, 3, {}),
    "breast cancer": (load_breast_cancer, 2, {"pretrain_epochs": 84}),
    "digits": (load_digits, 10, {"pretrain_epochs": 58}),
}


def start(seeds):
    """Starts that the default chooses from, and a longer pretraining."""
    for seed in seeds:
        for name, (loader, n_clusters, longer) in TABLES.items():
            X, y = loader(return_X_y=True)
            if name != "digits":
                X = scale(X)
            for changed in (
                {},
                {"init": "gmm"},
                {"init": "kmeans"},
                {"precision": "bfloat16"},
                *([longer] if longer else ()),
            ):
                method = ", ".join(["StatDEC", *(f"{k}={v}" for k, v in changed.items())])
                estimator = StatDEC(n_clusters, random_state=seed, **changed)
                BENCH.measure(f"start, {name}", method, estimator, seed, X, y)


def mnist(seeds):
    X, y = fetch_mnist()
    rows = flat(X)
    for seed in seeds:
        for changed in (
            {},
            {"precision": "float32"},
            {"max_epochs": 6, "precision": "float32"},
        ):
            name = "".join(f", {k}={v}" for k, v in changed.items())
            warped = stat_dec(seed, augment="affine", **changed)
            BENCH.measure("mnist", f"StatDEC affine{name}", warped, seed, X, y)
            BENCH.measure("mnist", f"StatDEC{name}", stat_dec(seed, **changed), seed, X, y)
        BENCH.measure("mnist", "KMeans", kmeans(10, seed), seed, rows, y)
        BENCH.measure("mnist", "PCA + GaussianMixture", pca_mixture(10, seed), seed, rows, y)


def shifts(X):
    """The test digits and three kinds of them that training has not seen, all uint8."""
    small = np.zeros_like(X)
    small[:, :, 4:24, 4:24] = scipy.ndimage.zoom(X, (1, 1, 20 / 28, 20 / 28), order=1)
    return {
        "as they are": X,
        "shrunk": small,
        "blurred": scipy.ndimage.gaussian_filter(X, (0, 0, 1.5, 1.5)),
        "inverted": 255 - X,
    }


def shift(seeds):
    X, y = fetch_mnist(part="train")
    X_test, y_test = fetch_mnist(part="test")
    for seed in seeds:
        for name, pooling in (("with pooling", True), ("without pooling", False)):
            model = stat_dec(seed, augment="affine", statistics_pooling=pooling)

            def on_shifted(model=model):
                return {
                    kind: scores(y_test, model.predict(moved))
                    for kind, moved in shifts(X_test).items()
                }

            BENCH.measure("shift", f"StatDEC {name}", model, seed, X, y, shifted=on_shifted)


def long_tailed(seeds):
    X, y = fetch_mnist()
    for ratio, n_max in ((10, 500), (100, 1000)):  # some 2,000 samples each: minutes a seed
        for seed in seeds:
            X_tail, y_tail = make_imbalanced(
                X, y, ratio, kind="long_tailed", n_max=n_max, random_state=seed
            )
            rows = flat(X_tail)
            dense = {  # the paper's network, in part of the time
                "": {},
                ", affine": {"augment": "affine"},
                ", as DEC": DEC,
                **{f", {target}": {"target": target} for target in ("sharpened", *READINGS)},
            }
            for name, estimator in {
                "StatDEC": stat_dec(seed),
                "StatDEC, sharpened": stat_dec(seed, target="sharpened"),
                **{
                    f"StatDEC, network=mlp{name}": stat_dec(seed, network="mlp", **params)
                    for name, params in dense.items()
                },
            }.items():
                BENCH.measure(f"long-tailed {ratio}", name, estimator, seed, X_tail, y_tail)
            for name, estimator in {
                "KMeans": kmeans(10, seed),
                "PCA + GaussianMixture": pca_mixture(10, seed),
            }.items():
                BENCH.measure(f"long-tailed {ratio}", name, estimator, seed, rows, y_tail)


# Dense layers, convolutions in StatDEC's batches for them, and the same of StatDEC+VAE.
NETWORKS = {
    "mlp": {"network": "mlp"},
    "dvc": {"network": "dvc"},
    "dvc, variational": {"network": "dvc", "variational": True},
}


def networks(seeds):
    """Dense layers and convolutions on small images; on larger ones in peers."""
    small, small_y = digit_images()
    everything, classes = fetch_mnist()
    for seed in seeds:
        part, part_y = subset(everything, classes, 5_000, seed)
        halves = part.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5)) / np.float32(255)
        for data, images, labels in (
            ("digits, 8 x 8", small, small_y),
            ("MNIST in 14 x 14", halves.astype(np.float32), part_y),
        ):
            for name, params in NETWORKS.items():
                BENCH.measure(data, name, stat_dec(seed, **params), seed, images, labels)


# Of dense layers, for few features of few samples and for others.
WIDTHS = {"narrow": NARROW_DIMS, "wide": MLPAutoencoder.DEFAULT_DIMS}


def of_classification(n):
    """Eight classes in ten of 20 columns, five of which are noise."""
    made = {"n_informative": 10, "n_redundant": 5, "n_classes": 8, "n_clusters_per_class": 1}
    return lambda seed: scaled(
        *make_classification(n, 20, **made, class_sep=2.0, random_state=seed)
    )


def widths(seeds):
    """Tables of up to 64 columns, and ever more rows of one kind, by both."""
    # Embeddings, of 128 columns, take minutes to make.
    real = {name: data.load for name, data in DATA.items() if "×" in name and "emb" not in name}
    rows = {f"classification, {n:,}": of_classification(n) for n in (2_000, 5_000, 10_000)}
    for seed in seeds:
        for data, load in (real | recipes.OTHER_KINDS | rows).items():
            X, y = load(seed)
            if X.shape[1] > 64:
                continue
            for Estimator in (StatDEC, DVC):
                for width, dims in WIDTHS.items():
                    estimator = Estimator(int(y.max()) + 1, hidden_dims=dims, random_state=seed)
                    method = f"{Estimator.__name__}, {width}"
                    BENCH.measure(f"widths, {data}", method, estimator, seed, X, y)


if __name__ == "__main__":
    BENCH.main(
        {
            "digits": (digits, 5),
            "networks": (networks, 3),
            "widths": (widths, 3),
            "start": (start, 5),
            "mnist": (mnist, 3),
            "shift": (shift, 1),
            "long_tailed": (long_tailed, 5),
            "targets": (targets, 3),
        }
    )
