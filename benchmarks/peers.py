"""Our estimators and what a user would pick instead, on the same data, one process a run.

``python -m benchmarks peers [--data ...] [--only ...] [--seeds ...] [--jobs ...] [--device cpu]``

For each seed every method runs once before the next seed begins, so that a machine that slows down
slows all of them. A process of its own makes the peak memory the run's; what is compiled at the
first call (UMAP) is compiled on a few rows before the clock starts. On a CPU two processes run at
a time, with one thread each, so that what cannot use a second core leaves none idle.
"""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_blobs
from sklearn.preprocessing import scale

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.datasets import fetch_mnist, make_imbalanced

from ._bench import ESTIMATORS, spread, write_table
from ._data import (
    coloured_letters,
    digit_images,
    flat,
    medical_mnist,
    of_clustpy,
    of_r,
    orl,
    stick_figures,
    subset,
)
from ._embeddings import cifar10_embeddings, mnist_embeddings
from ._peers import (
    SHORTER,
    AutoencoderMixture,
    ClustPy,
    compile_umap,
    kmeans,
    pca_mixture,
    umap_hdbscan,
    umap_mixture,
    whitened_kmeans,
)
from ._record import device, load, path_of, run

GROUP = "peers"


def scaled(X, y) -> tuple[np.ndarray, np.ndarray]:
    """A table, its features on one scale."""
    return scale(X).astype(np.float32), y


def long_tailed(seed):
    return make_imbalanced(*fetch_mnist(), 10, kind="long_tailed", n_max=2000, random_state=seed)


def unequal_blobs(seed):
    """Gaussians of 800, 80 and 20 samples, most often apart."""
    return scaled(*make_blobs([800, 80, 20], 4, centers=None, random_state=seed))


@dataclass(frozen=True)
class Data:
    """A data set; ``quick`` ones are in the short form."""

    load: Callable  # of a seed, to images (n, C, H, W) or rows, and classes
    n_clusters: int
    quick: bool = False


FAMILIAR = {
    "iris, 150 × 4": Data(lambda seed: scaled(*load_iris(return_X_y=True)), 3),
    "wine, 178 × 13": Data(lambda seed: scaled(*load_wine(return_X_y=True)), 3, quick=True),
    "breast cancer, 569 × 30": Data(
        lambda seed: scaled(*load_breast_cancer(return_X_y=True)), 2, quick=True
    ),
    "fruit, 105 × 6": Data(lambda seed: scaled(*of_clustpy("fruit", 2)), 7),
    "ALOI, 288 × 611": Data(lambda seed: scaled(*of_clustpy("aloi_small", 2)), 4),
    "blobs of 800, 80 and 20, 900 × 4": Data(unequal_blobs, 3),
    "CIFAR-10, embedded, 5,000 × 128": Data(
        lambda seed: subset(*cifar10_embeddings(), 5_000, seed), 10
    ),
    "MNIST, embedded by its network, 5,000 × 128": Data(
        lambda seed: subset(*mnist_embeddings(), 5_000, seed), 10
    ),
    "digits, 1,797": Data(lambda seed: digit_images(), 10, quick=True),
    "stick figures, 900": Data(lambda seed: stick_figures(), 9),
    "coloured letters, 10,000": Data(lambda seed: coloured_letters(), 72),
    "ORL faces, 400": Data(lambda seed: orl(), 40),
    "MNIST, 5,000 drawn": Data(lambda seed: subset(*fetch_mnist(), 5_000, seed), 10),
    "long-tailed MNIST, ratio 10": Data(long_tailed, 10),
    "radiology, 6,000 drawn": Data(lambda seed: subset(*medical_mnist(), 6_000, seed), 6),
    "MNIST, 70,000": Data(lambda seed: fetch_mnist(), 10),
}


def stranger(n_clusters, *where) -> Data:
    def load(seed):
        X, y = of_r(*where)
        return scale(X), y  # float64: in float32 mixtures of so few samples end with an error

    return Data(load, n_clusters)


# Tables that come with packages of R: package, name, classes, features.
STRANGERS = {
    "penguins, 342 × 4": stranger(3, "palmerpenguins", "penguins", ["species"], ".*_(mm|g)"),
    "hawks, 891 × 5": stranger(
        3, "Stat2Data", "Hawks", ["Species"], "Wing|Weight|Culmen|Ha.*x|Tail"
    ),
    "crabs, 200 × 5": stranger(4, "MASS", "crabs", ["sp", "sex"], "FL|RW|CL|CW|BD"),
    "diabetes, 145 × 5": stranger(3, "heplots", "Diabetes", ["group"], "relwt|gluf.*|.*test|sspg"),
    "oils, 96 × 7": stranger(7, "modeldata", "oils", ["class"], ".*ic"),
    "olive oils, 572 × 8": stranger(9, "dslabs", "olive", ["area"], ".*ic"),
    "biopsies, 683 × 9": stranger(2, "MASS", "biopsy", ["class"], "V."),
    "glass, 214 × 9": stranger(6, "MASS", "fgl", ["type"], "RI|.|.[aegil]"),
    "cells, 2,019 × 56": stranger(2, "modeldata", "cells", ["class"], ".*_ch_."),
    "tissues, 189 × 500": stranger(7, "dslabs", "tissue_gene_expression", ["y"], "x.*"),
}
DATA = FAMILIAR | STRANGERS


@dataclass(frozen=True)
class Method:
    """A clustering; ``images``: what it does with pictures as they are, rather than as rows;
    ``quick`` ones are in the short form."""

    make: Callable  # of the number of clusters and a seed, to something with fit_predict
    images: bool = False
    quick: bool = True


def ours(Estimator, **params):
    return lambda n_clusters, seed: Estimator(n_clusters, random_state=seed, **params)


METHODS = {
    "KMeans": Method(kmeans),
    "PCA + GaussianMixture": Method(pca_mixture),
    "whitened PCA + KMeans": Method(whitened_kmeans),
    "UMAP + GaussianMixture": Method(umap_mixture),
    "UMAP + HDBSCAN": Method(umap_hdbscan),
    "autoencoder + GaussianMixture": Method(AutoencoderMixture),
    **{
        f"ClustPy {name}": Method(lambda k, seed, name=name: ClustPy(name, k, seed))
        for name in ("DEC", "IDEC", "DCN", "VaDE")
    },
    **{
        f"ClustPy DEC, shorter{name}": Method(
            lambda k, seed, lr=lr: ClustPy("DEC", k, seed, schedules=SHORTER, lr=lr), quick=False
        )
        for name, lr in (("", None), (", at StatDEC's rate", StatDEC().lr))
    },
    "StatDEC": Method(ours(StatDEC), images=True),
    'StatDEC, augment="affine"': Method(ours(StatDEC, augment="affine"), images=True, quick=False),
    'StatDEC, network="mlp"': Method(ours(StatDEC, network="mlp"), images=True, quick=False),
    "DVC": Method(ours(DVC), images=True),
    "NeuralMixtureEM": Method(ours(NeuralMixtureEM), images=True),
    "PreciseFeatureGAN": Method(ours(PreciseFeatureGAN), images=True),
    'PreciseFeatureGAN, init="projection"': Method(
        ours(PreciseFeatureGAN, init="projection"), images=True, quick=False
    ),
    "PreciseFeatureGAN, augment=None": Method(
        ours(PreciseFeatureGAN, augment=None), images=True, quick=False
    ),
}


def pairs(names, only):
    """Data and methods that go together."""
    for data in names:
        for method in only:
            table = "×" in data  # no images to warp
            # StatDEC has dense layers there by default: vectors, small images, many images.
            dense = table or data in ("digits, 1,797", "coloured letters, 10,000", PICTURED)
            # And there warps start no game that "projection" leaves alone.
            of_images = "affine" in method or "projection" in method
            if (table and of_images) or (dense and "mlp" in method):
                continue
            if not table and "whitened" in method:  # for pictures see the recipes
                continue
            # One set tells whether the peers' longer training is what they lose time by.
            if "shorter" not in method or data == PICTURED:
                yield data, method


# The threads of torch, BLAS and scikit-learn, and those of UMAP.
THREADS = "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"


def main(budget="quick", names=None, only=None, seeds=None, jobs=None) -> None:
    """``jobs`` runs at a time, with one thread each unless the environment says otherwise."""
    names = names or [name for name, data in DATA.items() if data.quick or budget == "full"]
    only = only or [name for name, method in METHODS.items() if method.quick or budget == "full"]
    seeds = seeds if seeds is not None else list(range(1 if budget == "quick" else 3))
    jobs = jobs or (2 if device().type == "cpu" else 1)  # which would share a GPU's time
    threads = dict.fromkeys(THREADS, "1") if jobs > 1 else {}
    runs = [(*pair, str(seed)) for seed in seeds for pair in pairs(names, only)]
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(lambda run: in_a_process(*run, threads | os.environ), runs):
            pass


def in_a_process(data, method, seed, environment) -> None:
    """One run; progress and warnings are kept back, unless they say why there is no result."""
    command = [sys.executable, "-m", "benchmarks.peers", data, method, seed]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        print(f"{data}: {method}, seed {seed}: {done.stderr[-2000:]}", flush=True)


def one(data: str, method: str, seed: int) -> None:
    """One run, in this process."""
    if path_of(GROUP, data, method, seed).exists():
        return
    chosen, kind = DATA[data], METHODS[method]
    X, y = chosen.load(seed)
    if not kind.images and X.ndim == 4:
        X = flat(X) if X.dtype == np.uint8 else X.reshape(len(X), -1)
    model = kind.make(chosen.n_clusters, seed)
    if kind.images:
        model.set_params(device=device())
    if "UMAP" in method:
        compile_umap()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    run(GROUP, data, method, seed, X, y, model.fit_predict, rss_before_mib=before)


# ------------------------------------------------------------------------------------------ table


OURS = tuple(Estimator.__name__ for Estimator in ESTIMATORS)
COLUMNS = {"acc": "ACC", "nmi": "NMI", "ari": "ARI", "recall": "mean recall", "rarest": "rarest"}


EARLIER = "²"


def earlier(runs, records) -> bool:
    """Whether some were run before the day of the latest of the records: the machine may have been
    busier or less so."""
    latest = max(r.get("date", "") for r in records)  # of the first runs none was kept
    return any(r.get("date", "") < latest for r in runs)


def table() -> None:
    """``results/peers.md``: every data set, the best median of each column in bold."""
    records = load(GROUP)
    lines = [
        "# Our estimators beside what one would pick instead",
        "",
        "Made by `python -m benchmarks tables` from the files in `peers`. Median (min to max) "
        "over seeds, each run in a process of its own, with default settings.",
        "",
        "- **Recall** is the mean over classes, and that of the rarest class. **MiB** is the peak "
        "memory above what was held before the fit.",
        f"- **Seconds** with {EARLIER} are of an earlier day than the others.",
        "- **ClustPy's methods and the bare autoencoder** have StatDEC's dense network and the "
        "batch size that it has with it. (On five sets of images StatDEC itself has convolutions, "
        "in batches of at most 128.) They have up to 2.1 times its steps of pretraining, and as "
        "many on tables of up to 300 rows and on ORL. On all of MNIST they have 15 and 10 epochs, "
        "at ClustPy's rates, where StatDEC has 10 and 4. One row there is DEC with 10 and 6 "
        "(shorter), and one such with StatDEC's rate, which in the joint phase is twenty times "
        "ClustPy's.",
        "- **UMAP** runs without a seed, since with one it would use a single thread. What "
        "**HDBSCAN** takes for noise counts as one more cluster.",
        "- **Embedded** data come from a small network that was trained on the classes of "
        "CIFAR-10's training images; each vector is scaled to length 1.",
        "- Fruit, ALOI, stick figures and coloured letters come with ClustPy; their classes are "
        "all combinations of their labels. From penguins on, tables come from packages of R.",
        "- Where runs are missing (PCA + GaussianMixture on ALOI), it ended with an error.",
        "",
    ]
    for name in DATA:
        rows = [r for r in records if r["experiment"] == name]
        if rows:
            lines += [f"## {name}", "", *_rows(rows), ""]
    write_table(GROUP, lines, records)


def _rows(rows) -> list[str]:
    methods = {m: [r for r in rows if r["method"] == m] for m in METHODS}
    methods = {m: runs for m, runs in methods.items() if runs}
    best = {c: max(np.median([r[c] for r in runs]) for runs in methods.values()) for c in COLUMNS}
    lines = ["| method | seeds | " + " | ".join(COLUMNS.values()) + " | seconds | MiB |"]
    lines += ["| --- |" + " ---: |" * (len(COLUMNS) + 3)]
    for method, runs in methods.items():
        cells = []
        for column in COLUMNS:
            values = [r[column] for r in runs]
            cell = spread(values, 3)
            as_good = f"{np.median(values):.3f}" == f"{best[column]:.3f}"
            cells += [f"**{cell}**" if as_good else cell]
        seconds = spread([r["seconds"] for r in runs], 0)
        seconds += EARLIER * earlier(runs, rows)
        memory = spread([r["peak_rss_mib"] - r["rss_before_mib"] for r in runs], 0)
        lines += [f"| {method} | {len(runs)} | {' | '.join(cells)} | {seconds} | {memory} |"]
    return lines


PICTURED = "MNIST, 70,000"


def picture(path: Path) -> None:
    """Accuracy against wall time, a point a run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = [r for r in load(GROUP) if r["experiment"] == PICTURED]
    methods = {m: [r for r in records if r["method"] == m] for m in METHODS}
    mixed = any(earlier(runs, records) for runs in methods.values())
    title = PICTURED + "; hollow: on an earlier day" * mixed
    figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    markers = itertools.cycle("sD^v<>pXP*hd")
    colours = itertools.cycle(("#0072b2", "#56b4e9", "#009e73", "#d55e00", "k", "#cc79a7"))
    for method, runs in sorted(methods.items(), key=lambda item: not item[0].startswith(OURS)):
        if not runs:
            continue
        mine = method.startswith(OURS)
        colour = next(colours) if mine else "#999999"
        ax.scatter(
            [r["seconds"] for r in runs],
            [r["acc"] for r in runs],
            s=60 if mine else 40,
            facecolors="none" if earlier(runs, records) else colour,
            edgecolors=colour,
            marker="o" if mine else next(markers),
            label=method,
            zorder=4 if mine else 3,
        )
    ax.set(xscale="log", xlabel="seconds, one thread", ylabel="accuracy", title=title)
    ax.set_xticks([20, 50, 100, 200, 500], labels=["20", "50", "100", "200", "500"])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    one(*sys.argv[1:3], int(sys.argv[3]))
