"""The papers' figures beside ours: ``python -m benchmarks papers --budget quick|default|full``.

``quick`` is at most 5,000 samples and the default settings, minutes on two cores; ``default`` all
samples and the default settings; ``full`` all samples and the paper's own settings, which are meant
for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.datasets import (
    fetch_mnist,
    make_artifact,
    make_gaussian_ring,
    make_imbalanced,
)

from ._bench import spread, write_table
from ._data import cifar10, flat, orl, subset
from ._record import device, load, path_of, run, runs_of

GROUP = "papers"
QUICK = 5_000
BUDGETS = ("quick", "default", "full")


@dataclass(frozen=True)
class Row:
    """One row of a paper's table."""

    data: Callable  # of a seed, to images or rows, and classes
    Estimator: type
    n_clusters: int
    printed: Mapping[str, float]  # the paper's figures by metric
    where: str
    params: dict = field(default_factory=dict)
    paper: str | None = None  # what from_paper is called with


def imbalanced_cifar10(kind, ratio):
    return lambda seed: make_imbalanced(*cifar10(), ratio, kind=kind, random_state=seed)


def gender(seed):
    X, person = orl()
    return X, np.isin(person, (8, 10, 32, 35)).astype(np.int64)


def artifact(seed):
    return make_artifact(flat(fetch_mnist()[0]), random_state=seed)


def mnist(seed):
    return fetch_mnist()


REZAEI = "Rezaei et al., arXiv 2109.05232"
SOLEYMANI = "Soleymani et al., arXiv 2109.10777"
TISSERA = "Tissera et al., arXiv 2107.02453"
GAN = "Gan et al., arXiv 2106.06159"

ROWS = {
    **{
        name: Row(
            mnist,
            StatDEC,
            10,
            {"acc": 0.9343, "nmi": 0.8931, "ari": 0.8764},
            f"{REZAEI}, MNIST",
            params,
            "mnist",
        )
        for name, params in (
            ("StatDEC, MNIST", {}),
            ('StatDEC, augment="affine", MNIST', {"augment": "affine"}),
        )
    },
    **{
        f"StatDEC, {kind.replace('_', '-')} CIFAR-10, ratio {ratio}": Row(
            imbalanced_cifar10(kind, ratio),
            StatDEC,
            10,
            {"acc": acc},
            f"{REZAEI}, imbalanced CIFAR-10",
        )
        for kind, ratio, acc in (
            ("long_tailed", 10, 0.4831),
            ("long_tailed", 100, 0.4106),
            ("step", 10, 0.4872),
            ("step", 100, 0.4511),
        )
    },
    "DVC, MNIST": Row(
        mnist,
        DVC,
        10,
        {"acc": 0.888, "nmi": 0.798, "ari": 0.777},
        f"{SOLEYMANI}, DVC-1 on MNIST",
        paper="mnist",
    ),
    'DVC, network="mlp", MNIST': Row(
        mnist,
        DVC,
        10,
        {"acc": 0.876, "nmi": 0.767, "ari": 0.786},
        f"{SOLEYMANI}, DVC-2 on MNIST",
        {"network": "mlp"},
        "mnist",
    ),
    "NeuralMixtureEM, MNIST": Row(
        mnist, NeuralMixtureEM, 10, {"acc": 0.9888, "nmi": 0.9674}, f"{TISSERA}, MNIST", {}, "mnist"
    ),
    "NeuralMixtureEM, CIFAR-10": Row(
        lambda seed: cifar10(),
        NeuralMixtureEM,
        10,
        {"acc": 0.5797, "nmi": 0.4703},
        f"{TISSERA}, CIFAR-10",
        {},
        "cifar10",
    ),
    "PreciseFeatureGAN, MNIST": Row(
        mnist,
        PreciseFeatureGAN,
        10,
        {"acc": 0.958, "nmi": 0.944, "ari": 0.912},
        f"{GAN}, MNIST, median of ten runs",
        {},
        "mnist",
    ),
    'PreciseFeatureGAN, init="projection", MNIST': Row(
        mnist,
        PreciseFeatureGAN,
        10,
        {"acc": 0.958, "nmi": 0.944, "ari": 0.912},
        f"{GAN}, MNIST, median of ten runs",
        {"init": "projection"},
    ),
    "PreciseFeatureGAN, CIFAR-10": Row(
        lambda seed: cifar10(), PreciseFeatureGAN, 10, {"acc": 0.330}, f"{GAN}, CIFAR-10"
    ),
    'PreciseFeatureGAN, augment="image", CIFAR-10': Row(
        lambda seed: cifar10(),
        PreciseFeatureGAN,
        10,
        {"acc": 0.440},
        f"{GAN}, CIFAR-10, Ours*",
        {"augment": "image"},
    ),
    "PreciseFeatureGAN, ORL, identity": Row(
        lambda seed: orl(), PreciseFeatureGAN, 40, {"acc": 0.910}, f"{GAN}, ORL", {}, "orl"
    ),
    "PreciseFeatureGAN, ORL, gender": Row(
        gender,
        PreciseFeatureGAN,
        2,
        {"acc": 0.978, "ari": 0.69},
        f"{GAN}, ORL with the prior given",
        {"cluster_prior": (36, 4)},
        "orl",
    ),
    "PreciseFeatureGAN, ring": Row(
        lambda seed: make_gaussian_ring(10_000, random_state=seed),
        PreciseFeatureGAN,
        8,
        {},
        f"{GAN}, toy data, a picture",
    ),
    "PreciseFeatureGAN, Artifact-MNIST": Row(
        artifact, PreciseFeatureGAN, 3, {}, f"{GAN}, Artifact-MNIST, a picture"
    ),
}


def main(budget="quick", names=None, seeds=None) -> None:
    seeds = seeds if seeds is not None else list(range(1 if budget == "quick" else 3))
    for seed in seeds:
        for name in names or ROWS:
            measure(name, ROWS[name], budget, seed)


def measure(name: str, row: Row, budget: str, seed: int) -> None:
    if path_of(GROUP, name, budget, seed).exists():
        return
    if budget == "full" and row.paper is None:
        print(f"{name}: the paper's settings are the defaults, or are not printed; see default")
        return
    X, y = row.data(seed)
    if budget == "quick" and len(X) > QUICK:
        X, y = subset(X, y, QUICK, seed)
    params = {"n_clusters": row.n_clusters, "random_state": seed, "device": device(), **row.params}
    if budget == "full":
        estimator = row.Estimator.from_paper(row.paper, **params)
    else:
        estimator = row.Estimator(**params)
    run(GROUP, name, budget, seed, X, y, estimator.fit_predict)


# Runs of the estimators' own benchmarks that are the same: defaults, all samples.
ELSEWHERE = {
    "StatDEC, MNIST": ("peers", "MNIST, 70,000", "StatDEC"),
    'StatDEC, augment="affine", MNIST': ("peers", "MNIST, 70,000", 'StatDEC, augment="affine"'),
    "DVC, MNIST": ("peers", "MNIST, 70,000", "DVC"),
    'DVC, network="mlp", MNIST': ("dvc", "mnist", "DVC-2 (mlp)"),
    "NeuralMixtureEM, MNIST": ("neural_mixture_em", "mnist", "NeuralMixtureEM"),
    "PreciseFeatureGAN, MNIST": ("peers", "MNIST, 70,000", "PreciseFeatureGAN"),
    'PreciseFeatureGAN, init="projection", MNIST': (
        "peers",
        "MNIST, 70,000",
        'PreciseFeatureGAN, init="projection"',
    ),
    "PreciseFeatureGAN, ORL, identity": (
        "precise_feature_gan",
        "ORL, identity",
        "PreciseFeatureGAN",
    ),
    "PreciseFeatureGAN, ORL, gender": (
        "precise_feature_gan",
        "ORL, gender",
        "PreciseFeatureGAN, prior 36 to 4",
    ),
    "PreciseFeatureGAN, ring": ("precise_feature_gan", "ring", "default"),
    "PreciseFeatureGAN, Artifact-MNIST": (
        "precise_feature_gan",
        "artifact in MNIST",
        "PreciseFeatureGAN, init = projection",
    ),
}


def table() -> None:
    """``results/papers.md``."""
    records = load(GROUP)
    lines = [
        "# The papers' figures and ours",
        "",
        "Made by `python -m benchmarks tables`. Median (min to max) over seeds. quick: at most "
        f"{QUICK:,} samples, default settings; default: all samples, default settings; full: all "
        "samples, the paper's settings; but for what a row names. A dash: not printed, or not run.",
        "",
        "| row | metric | paper | quick | default | full |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, row in ROWS.items():
        runs = {budget: runs_of(records, name, budget) for budget in BUDGETS}
        if name in ELSEWHERE and not runs["default"]:
            group, experiment, method = ELSEWHERE[name]
            runs["default"] = runs_of(load(group), experiment, method)
        for i, metric in enumerate(("acc", "nmi", "ari")):
            cells = [f"{row.printed[metric]:.4g}" if metric in row.printed else "–"]
            cells += [_cell(runs[budget], metric) for budget in BUDGETS]
            head = f"{name} ({row.where})" if i == 0 else ""
            lines += [f"| {head} | {metric.upper()} | {' | '.join(cells)} |"]
        seconds = [_cell(runs[budget], "seconds", 0) for budget in BUDGETS]
        lines += [f"| | seconds | | {' | '.join(seconds)} |"]
    write_table(GROUP, [*lines, ""], records)


def _cell(runs, metric, digits=3) -> str:
    return f"{spread([r[metric] for r in runs], digits)}, n = {len(runs)}" if runs else "–"
