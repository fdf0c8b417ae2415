"""Tables and pictures of kinds that the benchmarks have no real ones of, each made by a recipe.

``python -m benchmarks.recipes nuisance | others | pictures | told | table``. Each run is one file
in ``benchmarks/results/recipes``; one that is there is not run again.
"""

from __future__ import annotations

import itertools

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize, scale

from . import _pictures
from ._bench import Bench
from ._data import classes, planes_of_light
from ._peers import compile_umap, kmeans, pca_mixture, umap_mixture, whitened_kmeans

BENCH = Bench("recipes", "Tables and pictures made by recipes")
OTHERS = {
    "KMeans": kmeans,
    "whitened PCA + KMeans": whitened_kmeans,
    "PCA + GaussianMixture": pca_mixture,
    "UMAP + GaussianMixture": umap_mixture,
}


def peaks(x, center, width):
    return np.exp(-(((x - center) / width) ** 2) / 2)


def spectra(seed, n=1200, k=6):
    """Five peaks of a class's own and six that all have, on a baseline that bends, each with a gain
    and noise; most of the variance is the baseline's."""
    rng, x = np.random.default_rng(seed), np.linspace(0, 1, 200)
    y = classes(rng, n, k)
    centers, widths = rng.uniform(0.05, 0.95, (k, 5)), rng.uniform(0.01, 0.03, (k, 5))
    heights, shared = rng.uniform(0.2, 1, (k, 5)), rng.uniform(0.05, 0.95, 6)
    rows = []
    for c in y:
        own = [
            height * rng.lognormal(0, 0.3) * peaks(x, center + rng.normal(0, 0.004), width)
            for center, width, height in zip(centers[c], widths[c], heights[c], strict=True)
        ]
        common = [rng.lognormal(0, 0.5) * peaks(x, center, 0.03) for center in shared]
        baseline = rng.normal(0, [0.5, 1, 1]) @ [x**0, x, x**2]
        gain = rng.lognormal(0, 0.2)
        rows.append(gain * (sum(own) + sum(common) + baseline) + rng.normal(0, 0.1, len(x)))
    return np.array(rows, np.float32), y


def uneven_light(seed, strength=20):
    """scikit-learn's digits, of greys 0 to 16, as rows; on each a plane of brightness."""
    X, y = load_digits(return_X_y=True)
    light = planes_of_light(np.random.default_rng(seed), len(X), 8)
    return (X + strength * light.reshape(len(X), -1)).astype(np.float32), y


def control_charts(seed, each=100):
    """Alcock and Manolopoulos (1999): level, cycle, trends up and down, shifts up and down."""
    rng, t = np.random.default_rng(seed), np.arange(1, 61)
    forms = [
        lambda: 0,
        lambda: rng.uniform(10, 15) * np.sin(2 * np.pi * t / rng.uniform(10, 15)),
        lambda: rng.uniform(0.2, 0.5) * t,
        lambda: -rng.uniform(0.2, 0.5) * t,
        lambda: rng.uniform(7.5, 20) * (t >= rng.uniform(20, 40)),
        lambda: -rng.uniform(7.5, 20) * (t >= rng.uniform(20, 40)),
    ]
    rows = [30 + 2 * rng.uniform(-3, 3, 60) + form() for form in forms for _ in range(each)]
    return np.array(rows, np.float32), np.repeat(np.arange(6), each)


def single_cells(seed, n=2000, n_genes=500, k=8):
    """Counts of genes, negative binomial: a tenth of a type's are expressed otherwise, and cells
    differ in depth. Scaled to equal depth, logarithms, columns on one scale."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, k, concentration=2.0)
    expressed = rng.gamma(0.6, 1 / 0.6, n_genes) / 2
    change = rng.lognormal(0, 1, (k, n_genes))
    rates = expressed * np.where(rng.random((k, n_genes)) < 0.1, change, 1)[y]
    rates *= rng.lognormal(0, 0.3, (n, 1))
    counts = rng.poisson(rates * rng.gamma(1 / 0.3, 0.3, rates.shape))
    counts = counts[:, counts.sum(0) > 20]
    depth = counts.sum(1, keepdims=True).clip(1)
    return scale(np.log1p(counts / depth * np.median(depth))).astype(np.float32), y


def answers(seed, n=1500, n_questions=30, k=5):
    """Yes or no, by latent classes."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, k)
    share_of_yes = 0.1 + 0.8 * rng.beta(0.5, 0.5, (k, n_questions))
    return (rng.random((n, n_questions)) < share_of_yes[y]).astype(np.float32), y


def documents(seed, n=2000, n_words=800, k=10):
    """Thirty to 120 words, a third of a document's topic; TF-IDF along 50 singular vectors."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, k)
    topics, common = rng.dirichlet(np.full(n_words, 0.1), k), rng.dirichlet(np.full(n_words, 0.5))
    counts = [rng.multinomial(rng.integers(30, 120), 0.35 * topics[c] + 0.65 * common) for c in y]
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(np.array(counts))
    return normalize(TruncatedSVD(50, random_state=0).fit_transform(weights)).astype(np.float32), y


def curved(seed, n=2000, k=8):
    """Thirty columns by a random network of two numbers for each class."""
    rng = np.random.default_rng(seed)
    y, z = classes(rng, n, k, concentration=4.0), rng.normal(size=(n, 2))
    X = rng.normal(0, 0.15, (n, 30))
    for c in range(k):
        first, bias = 1.2 * rng.normal(size=(2, 20)), rng.normal(size=20)
        last = rng.normal(size=(20, 30)) / 20**0.5
        X[y == c] += np.tanh(z[y == c] @ first + bias) @ last
    return scale(X).astype(np.float32), y


NUISANCE = {"spectra on baselines": spectra, "digits in uneven light": uneven_light}
OTHER_KINDS = {
    "control charts": control_charts,
    "single cells": single_cells,
    "yes and no": answers,
    "documents": documents,
    "curved classes": curved,
}
PICTURES = {
    "pictures of digits in uneven light": _pictures.lit_digits(20 / 16),
    "in slightly uneven light": _pictures.lit_digits(2 / 16),
    "of digits in colours, bright on dark": _pictures.coloured_digits(0.5, 0.5),
    "of digits in any colour on any": _pictures.coloured_digits(0, 1),
    "of digits anywhere": _pictures.digits_anywhere,
    "of digits anywhere, centred": _pictures.centred_digits,
    "of two digits, fifty classes": _pictures.pairs_of_digits,
    "textures": _pictures.textures,
    "bent scans": _pictures.scans,
    "turned cells": _pictures.cells,
}
NAMES = [*NUISANCE, *OTHER_KINDS, *PICTURES]
# What does not change what a picture of a kind shows.
TOLD = {"of digits anywhere": "shifted", "textures": "shifted", "turned cells": "rotated_image"}


def measure(recipes, seeds):
    compile_umap()
    for seed in seeds:
        for name, recipe in recipes.items():
            BENCH.measure_all(name, seed, *recipe(seed), OTHERS)


def nuisance(seeds):
    """What varies most has nothing to do with the classes."""
    measure(NUISANCE, seeds)


def others(seeds):
    """The rest of the tables."""
    measure(OTHER_KINDS, seeds)


def pictures(seeds):
    measure(PICTURES, seeds)


def told(seeds):
    """Our estimators with the augment that says what does not change a picture."""
    for seed, (name, augment) in itertools.product(seeds, TOLD.items()):
        BENCH.measure_ours(name, seed, *PICTURES[name](seed), augment=augment)


if __name__ == "__main__":
    BENCH.main(
        {
            "nuisance": (nuisance, 5),
            "others": (others, 3),
            "pictures": (pictures, 3),
            "told": (told, 3),
        }
    )
