"""Choosing without labels: ``python -m benchmarks selection``.

Whether the unsupervised score of a run goes with its accuracy, over 20 runs of each estimator on
scikit-learn's digits, and over ten of PreciseFeatureGAN on MNIST, as many as its paper has; by
what NeuralMixtureEM should choose among networks; and which number of clusters
:func:`sweep_n_clusters` recommends on sets whose number is known. Files in ``results/selection``,
the table ``results/selection.md``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_blobs

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.cluster._mixture_search import NEIGHBOR_WEIGHT
from skdeepclust.cluster._neighbors import NeighborInformation
from skdeepclust.datasets import fetch_mnist
from skdeepclust.metrics import silhouette_scorer
from skdeepclust.model_selection import sweep_n_clusters

from ._bench import write_table
from ._record import device, load, machine, path_of, run, runs_of, versions
from .peers import DATA, scaled

GROUP = "selection"
LEAST_RUNS = 10  # a rank correlation over fewer says nothing
DRAWN, LONG_TAILED = "MNIST, 5,000 drawn", "long-tailed MNIST, ratio 10"


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


class Runs(NamedTuple):
    """As many of an estimator, each with a seed of its own, on a data set."""

    make: Callable  # of n_clusters, random_state and device
    data: str = "digits"
    number: int = 20


SETS = {
    "digits": digits,
    "MNIST": fetch_mnist,
    **{name: partial(DATA[name].load, 0) for name in (DRAWN, LONG_TAILED)},
}
IMAGES = {"input_shape": (1, 8, 8)}
ALONE = partial(NeuralMixtureEM, n_networks=1)
RUNS = {
    "NeuralMixtureEM": Runs(NeuralMixtureEM),
    "NeuralMixtureEM, images": Runs(partial(NeuralMixtureEM, **IMAGES)),
    "NeuralMixtureEM, images, n_networks=1": Runs(partial(ALONE, **IMAGES)),
    f"NeuralMixtureEM, n_networks=1, {DRAWN}": Runs(ALONE, DRAWN, 10),
    f"NeuralMixtureEM, n_networks=1, {LONG_TAILED}": Runs(ALONE, LONG_TAILED, 10),
    "PreciseFeatureGAN": Runs(PreciseFeatureGAN),
    'PreciseFeatureGAN, init="projection"': Runs(partial(PreciseFeatureGAN, init="projection")),
    'PreciseFeatureGAN, init="projection", augment=None': Runs(
        partial(PreciseFeatureGAN, init="projection", augment=None)
    ),
    'PreciseFeatureGAN, init="projection", all of MNIST': Runs(
        partial(PreciseFeatureGAN, init="projection"), "MNIST", 10
    ),
    "DVC, images": Runs(partial(DVC, **IMAGES)),
    "StatDEC": Runs(StatDEC),
}


def measures(model, X, information):
    """What one could choose by, once the model is fitted."""
    return {
        # By copies, of NeuralMixtureEM's networks, as the search on each ended and its training.
        "starts": lambda: [max(e["start_scores"]) for e in model.history_ if "start_scores" in e],
        "ends": lambda: [e["score"] for e in model.history_ if "score" in e],
        "score": lambda: float(model.restart_scores_[0]),
        "neighbor_information": lambda: information(
            torch.from_numpy(model.labels_), model.n_clusters
        ),
        "silhouette": lambda: silhouette_scorer(model, X),
        "negative_loss": lambda: -model.history_[-1, "train_loss"],
    }


def restarts(only=None, seeds=None) -> None:
    """Runs of each estimator, in alternation."""
    for data, load_set in SETS.items():
        chosen = {m: runs for m, runs in RUNS.items() if runs.data == data and m in (only or RUNS)}
        if not chosen:
            continue
        X, y = load_set()
        information = NeighborInformation(X.reshape(len(X), -1))
        for seed in seeds if seeds is not None else range(max(r.number for r in chosen.values())):
            for method, runs in chosen.items():
                if seed < runs.number:
                    model = runs.make(10, random_state=seed, device=device())
                    compared = measures(model, X, information)
                    run(GROUP, data, method, seed, X, y, model.fit_predict, **compared)


def blobs():
    return make_blobs(800, centers=6, n_features=10, cluster_std=2.0, random_state=3)


KNOWN = {
    "six blobs": (blobs, range(3, 10)),
    "iris": (lambda: scaled(*load_iris(return_X_y=True)), range(2, 8)),
    "wine": (lambda: scaled(*load_wine(return_X_y=True)), range(2, 8)),
    "breast cancer": (lambda: scaled(*load_breast_cancer(return_X_y=True)), range(2, 8)),
    "digits": (lambda: load_digits(return_X_y=True), range(6, 15)),
}


SWEPT = {
    "NeuralMixtureEM": NeuralMixtureEM(),
    'NeuralMixtureEM, init="random"': NeuralMixtureEM(init="random"),
}


def n_clusters() -> None:
    """The recommendations for each set, by the quickest estimator."""
    for name, estimator in itertools.product(KNOWN, SWEPT):
        path = path_of(f"{GROUP}_n_clusters", name, estimator, 0)
        if path.exists():
            continue
        loader, candidates = KNOWN[name]
        X, y = loader()
        model = SWEPT[estimator].set_params(device=device())
        sweep = sweep_n_clusters(model, X, candidates, random_state=0)
        record = {
            "data": name,
            "estimator": estimator,
            "true": len(np.unique(y)),
            "candidates": sweep.n_clusters.tolist(),
            "recommended": sweep.recommended,
            "runner_up": sweep.runner_up,
            "doubt": sweep.doubt,
            "stability": sweep.stability.tolist(),
            "silhouette": sweep.silhouette.tolist(),
            "objective": sweep.objective.tolist(),
            "found": sweep.found.tolist(),
            "versions": versions(),
            "machine": machine(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(name, estimator, sweep.recommended, round(sweep.doubt, 2), flush=True)


def main(only=None, seeds=None) -> None:
    if only is None:
        n_clusters()
    restarts(only, seeds)
    table()


def best_of_three(runs) -> list[str]:
    """Cells of the accuracy that is chosen, for each way to choose."""
    acc, start, end, neighbors = np.array(
        [(r["acc"], *r["starts"], *r["ends"], r["neighbor_information"]) for r in runs]
    ).T
    by = (start, end, start + 2 * end, neighbors, end + NEIGHBOR_WEIGHT * neighbors, acc)
    three = np.array(list(itertools.combinations(range(len(runs)), 3)))
    cells = []
    for score in by:
        chosen = acc[three[np.arange(len(three)), score[three].argmax(1)]]
        cells += [f"{chosen.mean():.3f} ({np.quantile(chosen, 0.1):.3f})"]
    return cells


def table() -> None:
    records = load(GROUP)
    lines = [
        "# Choosing without labels",
        "",
        "Made by `python -m benchmarks tables`.",
        "",
        "## Does the score that `n_init` chooses by go with accuracy?",
        "",
        "Rank correlation with accuracy over runs, on scikit-learn's digits unless another set is "
        "named. Score: `restart_scores_`. Neighbours: how well the clusters of samples and of "
        "their neighbours in the data predict each other, which is the score itself except for "
        "NeuralMixtureEM on images, whose score is that of copies and twice that of neighbours. "
        "Silhouette: in the embedding. Loss: the last one, negative. The last column is the median "
        "accuracy of the best of five runs by the score.",
        "",
        "| estimator | runs | score | neighbours | silhouette | loss | median ACC | "
        "median of the best of five |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (_, data, _) in RUNS.items():
        runs = runs_of(records, data, name)
        if len(runs) < LEAST_RUNS:
            continue
        acc = np.array([r["acc"] for r in runs])
        columns = ("score", "neighbor_information", "silhouette", "negative_loss")
        ranks = [spearmanr([r[column] for r in runs], acc).statistic for column in columns]
        rng = np.random.RandomState(0)
        drawn = [rng.permutation(len(runs))[:5] for _ in range(1000)]
        score = np.array([r["score"] for r in runs])
        chosen = np.median([acc[d[score[d].argmax()]] for d in drawn])
        cells = [f"{rank:.2f}" for rank in ranks] + [f"{np.median(acc):.3f}", f"{chosen:.3f}"]
        lines += [f"| {name} | {len(runs)} | {' | '.join(cells)} |"]
    lines += [
        "",
        "## Which of three networks?",
        "",
        "NeuralMixtureEM, one network in each run: mean ACC (and tenth percentile) of the best of "
        "any three runs, chosen by the score of the best start; by that of the end; by the first "
        "and twice the second; by neighbours in the end; by the score of the end and twice the "
        "neighbours', as the estimator does; and by accuracy itself.",
        "",
        "| estimator | runs | start | end | start, end | neighbours | end, neighbours | accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (_, data, _) in RUNS.items():
        runs = [r for r in runs_of(records, data, name) if r.get("ends")]
        if "n_networks=1" in name and len(runs) >= LEAST_RUNS:
            lines += [f"| {name} | {len(runs)} | {' | '.join(best_of_three(runs))} |"]
    lines += [
        "",
        "## How many clusters?",
        "",
        "`sweep_n_clusters(estimator, X, candidates, random_state=0)`.",
        "",
        "| data | estimator | true | candidates | recommended | doubt | runner-up |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for found in load(f"{GROUP}_n_clusters"):
        tried = f"{found['candidates'][0]} to {found['candidates'][-1]}"
        lines += [
            f"| {found['data']} | {found['estimator']} | {found['true']} | {tried} | "
            f"{found['recommended']} | {found['doubt']:.2f} | {found['runner_up']} |"
        ]
    write_table(GROUP, [*lines, ""], records)
