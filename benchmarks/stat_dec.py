"""StatDEC's benchmarks.

``python -m benchmarks.stat_dec digits | mnist | shift | long_tailed | targets | table``

MNIST comes from :func:`skdeepclust.datasets.fetch_mnist`: a local ``mnist.npz`` in the folder that
the environment variable SKDEEPCLUST_DATA names, or the public copy on OpenML. Each run is one file
in ``benchmarks/results``; one that is there is not run again. ``table`` makes
``results/stat_dec.md`` of the files.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.ndimage
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skdeepclust import StatDEC
from skdeepclust.datasets import fetch_mnist, make_imbalanced

from ._record import RESULTS, load_all, run, scores


def kmeans(seed):
    return KMeans(10, n_init=10, random_state=seed)


def pca_mixture(seed):
    return make_pipeline(
        PCA(20, random_state=seed), GaussianMixture(10, n_init=5, random_state=seed)
    )


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


def targets(seeds):
    """The readings of the target, and the pooling layer, on long-tailed digits."""
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        X_tail, y_tail = make_imbalanced(X, y, 10, kind="long_tailed", random_state=seed)
        for target in ("dec", "assigned", "posterior", "printed"):
            estimator = stat_dec(seed, target=target)
            measure("long-tailed digits 10", target, estimator, seed, X_tail, y_tail)
        without = stat_dec(seed, statistics_pooling=False)
        measure("long-tailed digits 10", "dec without pooling", without, seed, X_tail, y_tail)


ONLY: list[str] = []


def measure(experiment, method, estimator, seed, X, y, **details):
    if ONLY and method not in ONLY:
        return None
    if isinstance(estimator, StatDEC):
        details |= {
            "n_iter": lambda: estimator.n_iter_,
            "stop_reason": lambda: estimator.stop_reason_,
            "objective": lambda: float(estimator.restart_scores_.max()),
            "cluster_sizes": lambda: estimator.cluster_sizes_.tolist(),
        }
    return run(experiment, method, seed, X, y, estimator.fit_predict, **details)


def digits(seeds):
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        measure("digits", "KMeans", kmeans(seed), seed, X, y)
        measure("digits", "PCA + GaussianMixture", pca_mixture(seed), seed, X, y)
        measure("digits", "StatDEC", stat_dec(seed), seed, X, y)
        measure("digits", "StatDEC as DEC", stat_dec(seed, **DEC), seed, X, y)


def mnist(seeds):
    X, y = fetch_mnist()
    flat = X.reshape(len(X), -1) / np.float32(255)
    for seed in seeds:
        measure("mnist", "StatDEC affine", stat_dec(seed, augment="affine"), seed, X, y)
        measure("mnist", "StatDEC", stat_dec(seed), seed, X, y)
        measure("mnist", "KMeans", kmeans(seed), seed, flat, y)
        measure("mnist", "PCA + GaussianMixture", pca_mixture(seed), seed, flat, y)


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

            measure("shift", f"StatDEC {name}", model, seed, X, y, shifted=on_shifted)


def long_tailed(seeds):
    X, y = fetch_mnist()
    for ratio, n_max in ((10, 500), (100, 1000)):  # some 2,000 samples each: minutes a seed
        for seed in seeds:
            X_tail, y_tail = make_imbalanced(
                X, y, ratio, kind="long_tailed", n_max=n_max, random_state=seed
            )
            flat = X_tail.reshape(len(X_tail), -1) / np.float32(255)
            for name, estimator in {
                "StatDEC": stat_dec(seed),
                "StatDEC affine": stat_dec(seed, augment="affine"),
                "StatDEC as DEC": stat_dec(seed, **DEC),
            }.items():
                measure(f"long-tailed {ratio}", name, estimator, seed, X_tail, y_tail)
            for name, estimator in {
                "KMeans": kmeans(seed),
                "PCA + GaussianMixture": pca_mixture(seed),
            }.items():
                measure(f"long-tailed {ratio}", name, estimator, seed, flat, y_tail)


COLUMNS = {
    "acc": "ACC",
    "nmi": "NMI",
    "ari": "ARI",
    "recall": "recall per class",
    "rarest": "rarest class",
}


def table():
    records = load_all()
    lines = [
        "# StatDEC",
        "",
        "Made by `python -m benchmarks.stat_dec table` from the files beside it. "
        "Median (min to max) over seeds; mean recall per class; recall of the rarest class.",
        "",
    ]
    for experiment in dict.fromkeys(r["experiment"] for r in records):
        rows = [r for r in records if r["experiment"] == experiment]
        lines += [f"## {experiment}, n = {rows[0]['n_samples']}", ""]
        lines += ["| method | seeds | " + " | ".join(COLUMNS.values()) + " | seconds |"]
        lines += ["| --- |" + " ---: |" * (len(COLUMNS) + 2)]
        for method in dict.fromkeys(r["method"] for r in rows):
            runs = [r for r in rows if r["method"] == method]
            cells = [_spread([r[column] for r in runs], 3) for column in COLUMNS]
            seconds = _spread([r["seconds"] for r in runs], 0)
            lines += [f"| {method} | {len(runs)} | {' | '.join(cells)} | {seconds} |"]
        lines.append("")
        shifted = [r for r in rows if "shifted" in r]
        if shifted:
            kinds = shifted[0]["shifted"]
            lines += ["Accuracy on the test digits:", "", "| method | " + " | ".join(kinds) + " |"]
            lines += ["| --- |" + " ---: |" * len(kinds)]
            for method in dict.fromkeys(r["method"] for r in shifted):
                runs = [r["shifted"] for r in shifted if r["method"] == method]
                cells = [_spread([r[kind]["acc"] for r in runs], 3) for kind in kinds]
                lines += [f"| {method} | {' | '.join(cells)} |"]
            lines.append("")
    first = records[0]
    lines += [f"Versions: {first['versions']}. Machine: {first['machine']}."]
    (RESULTS / "stat_dec.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _spread(values, digits) -> str:
    low, middle, high = (f"{f(values):.{digits}f}" for f in (min, np.median, max))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "experiment", choices=["digits", "mnist", "shift", "long_tailed", "targets", "table"]
    )
    parser.add_argument("--only", nargs="+", default=[], help="names of methods")
    parser.add_argument("--seeds", type=int, nargs="+", default=None)
    arguments = parser.parse_args()
    if arguments.experiment == "table":
        return table()
    ONLY.extend(arguments.only)
    default = {"mnist": range(3), "shift": range(1)}
    seeds = arguments.seeds or default.get(arguments.experiment, range(5))
    return globals()[arguments.experiment](list(seeds))


if __name__ == "__main__":
    main()
