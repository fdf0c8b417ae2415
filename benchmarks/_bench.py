"""What the benchmarks of all estimators share: one file a run, a command line, a table."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.cluster._base import BaseDeepClusterer

from ._record import add_options, device, load, machine, results, run, use_options, versions

ESTIMATORS = (StatDEC, DVC, NeuralMixtureEM, PreciseFeatureGAN)
COLUMNS = {
    "acc": "ACC",
    "nmi": "NMI",
    "ari": "ARI",
    "recall": "recall per class",
    "rarest": "rarest class",
}


class Bench:
    """The benchmarks of one estimator, whose files lie in ``results/name``."""

    def __init__(self, name: str, title: str):
        self.name, self.title = name, title
        self.only: list[str] = []
        self.asked: set[str] = set()

    def measure(self, experiment, method, estimator, seed, X, y, **details):
        """Time and score ``estimator.fit_predict(X)``, unless it is done or not asked for."""
        self.asked.add(method)
        if self.only and method not in self.only:
            return
        if isinstance(estimator, BaseDeepClusterer):
            estimator.set_params(device=device())
            details |= {
                "n_iter": lambda: estimator.n_iter_,
                "stop_reason": lambda: estimator.stop_reason_,
                "objective": lambda: float(estimator.restart_scores_.max()),
                "cluster_sizes": lambda: estimator.cluster_sizes_.tolist(),
            }
        run(self.name, experiment, method, seed, X, y, estimator.fit_predict, **details)

    def measure_all(self, experiment, seed, X, y, others: Mapping[str, Callable]):
        """The same of ours with their default settings, and of others, each made of a number of
        clusters and a seed, which take images as rows."""
        self.measure_ours(experiment, seed, X, y)
        k = int(y.max()) + 1
        # In float32 covariances along the least components of pictures may be singular.
        rows = X if X.ndim == 2 else X.reshape(len(X), -1).astype(np.float64)
        for method, make in others.items():
            self.measure(experiment, method, make(k, seed), seed, rows, y)

    def measure_ours(self, experiment, seed, X, y, **params: str):
        """The same of ours alone, with their default settings but for ``params``."""
        for Estimator in ESTIMATORS:
            method = with_params(Estimator.__name__, **params)
            estimator = Estimator(int(y.max()) + 1, random_state=seed, **params)
            self.measure(experiment, method, estimator, seed, X, y)

    def main(self, experiments: Mapping[str, tuple[Callable, int]]) -> None:
        """The command line: ``experiments`` are functions of seeds, and how many by default."""
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("experiment", choices=[*experiments, "table"])
        parser.add_argument("--only", nargs="+", default=[], help="names of methods")
        parser.add_argument("--seeds", type=int, nargs="+", default=None)
        add_options(parser)
        arguments = parser.parse_args()
        use_options(arguments)
        if arguments.experiment == "table":
            self.table()
            return
        self.only = arguments.only
        function, n_seeds = experiments[arguments.experiment]
        function(list(range(n_seeds)) if arguments.seeds is None else arguments.seeds)
        if unknown := set(self.only) - self.asked:
            raise SystemExit(f"no methods {sorted(unknown)}; expected some of {sorted(self.asked)}")

    def table(self) -> None:
        records = load(self.name)
        lines = [
            f"# {self.title}",
            "",
            f"Made by `python -m benchmarks.{self.name} table` from the files in `{self.name}`. "
            "Median (min to max) over seeds; mean recall per class; recall of the rarest class.",
            "",
        ]
        for experiment in dict.fromkeys(r["experiment"] for r in records):
            rows = [r for r in records if r["experiment"] == experiment]
            sizes = [r["n_samples"] for r in rows]
            least, most = min(sizes), max(sizes)
            n = f"{least} to {most}" if least < most else least
            lines += [f"## {experiment}, n = {n}", ""]
            lines += _scores_table(rows)
            if strangers := [r for r in rows if "auroc" in r]:
                lines += _column_table(
                    strangers,
                    "auroc",
                    "Area under the curve of `score_samples`, test digits against radiology "
                    "images:",
                    "AUROC",
                    4,
                )
            if shifted := [r for r in rows if "shifted" in r]:
                lines += _shift_table(shifted)
            if watched := [r for r in rows if "course" in r]:
                lines += _course_table(watched)
            if generated := [r for r in rows if "energy" in r]:
                lines += _column_table(
                    generated,
                    "energy",
                    "Energy distance between the samples that are generated for a cluster and its "
                    "own, as a share of the mean distance between two of the latter; the median "
                    "cluster:",
                    "distance",
                    3,
                )
        write_table(self.name, lines, records)


def with_params(method: str, **params: str) -> str:
    """What a method of ours is called in records where it has these settings."""
    return ", ".join([method, *(f'{name}="{value}"' for name, value in params.items())])


def write_table(name: str, lines: list[str], records) -> None:
    """``results/<name>.md``, with what it was measured on."""
    here = {"versions": versions(), "machine": machine()}
    latest = max(records, key=lambda r: r.get("date", ""), default=here)
    on, threads = dict(latest["machine"]), Counter(r["machine"]["torch_threads"] for r in records)
    if len(threads) > 1:
        on["torch_threads"] = ", ".join(f"{n} ({runs} runs)" for n, runs in sorted(threads.items()))
    lines = [*lines, f"Versions: {latest['versions']}. Machine: {on}."]
    (results() / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _scores_table(rows) -> list[str]:
    lines = ["| method | seeds | " + " | ".join(COLUMNS.values()) + " | seconds |"]
    lines += ["| --- |" + " ---: |" * (len(COLUMNS) + 2)]
    for method in dict.fromkeys(r["method"] for r in rows):
        runs = [r for r in rows if r["method"] == method]
        cells = [spread([r[column] for r in runs], 3) for column in COLUMNS]
        seconds = spread([r["seconds"] for r in runs], 0)
        lines += [f"| {method} | {len(runs)} | {' | '.join(cells)} | {seconds} |"]
    return [*lines, ""]


def _column_table(rows, key, title, heading, digits) -> list[str]:
    """One figure of each method."""
    lines = [title, "", f"| method | {heading} |", "| --- | ---: |"]
    for method in dict.fromkeys(r["method"] for r in rows):
        found = spread([r[key] for r in rows if r["method"] == method], digits)
        lines += [f"| {method} | {found} |"]
    return [*lines, ""]


def _shift_table(rows) -> list[str]:
    kinds = rows[0]["shifted"]
    lines = ["Accuracy on the test digits:", "", "| method | " + " | ".join(kinds) + " |"]
    lines += ["| --- |" + " ---: |" * len(kinds)]
    for method in dict.fromkeys(r["method"] for r in rows):
        runs = [r["shifted"] for r in rows if r["method"] == method]
        cells = [spread([r[kind]["acc"] for r in runs], 3) for kind in kinds]
        lines += [f"| {method} | {' | '.join(cells)} |"]
    return [*lines, ""]


def _course_table(rows) -> list[str]:
    lines = ["In the course of the training, medians over seeds:", ""]
    lines += ["| epoch | seconds | ACC | NMI | ARI |", "| --- |" + " ---: |" * 4]
    for checkpoints in zip(*(r["course"] for r in rows), strict=True):
        epoch, seconds, *found = (
            float(np.median([c[key] for c in checkpoints]))
            for key in ("epoch", "seconds", "acc", "nmi", "ari")
        )
        cells = " | ".join(f"{value:.3f}" for value in found)
        lines += [f"| {epoch:.0f} | {seconds:.0f} | {cells} |"]
    ends = [r["by_hundreds"] for r in rows]
    found = {name: spread([end[name] for end in ends], 3) for name in ("purity", "nmi", "ari")}
    within = ", ".join(f"{name} {value}" for name, value in found.items())
    lines += [
        "",
        f"At the end, means over batches of 100, as the authors' script has it: {within}.",
    ]
    return [*lines, ""]


def spread(values, digits) -> str:
    """Median (lowest to highest)."""
    low, middle, high = (f"{f(values):.{digits}f}" for f in (min, np.median, max))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"
