"""The tables of the README and of where_it_stands.md in the docs, and the picture, from the files
in ``results``; by ``python -m benchmarks tables``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from . import peers, recipes
from ._bench import with_params
from ._record import load, runs_of

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "where_it_stands.md")
PICTURE = ROOT / "docs" / "accuracy_and_time.png"
OURS_AND_KMEANS = (*peers.OURS, "KMeans")
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"

# Methods and their names beside the precise feature.
PRECISE = {
    "KMeans": "KMeans",
    "PCA + GaussianMixture": "PCA + GaussianMixture",
    "PreciseFeatureGAN, init = random": '**PreciseFeatureGAN**, `init="random"`',
    "PreciseFeatureGAN, init = projection": "**PreciseFeatureGAN**",
}


# Heading: group, experiment, and its methods with the names to show them by.
ROWS = {
    "digits, 1,797 × 64": [
        (
            "stat_dec",
            "digits",
            {
                "KMeans": "KMeans",
                "PCA + GaussianMixture": "PCA + GaussianMixture",
                "StatDEC as DEC": "StatDEC set up as DEC",
                "StatDEC": "**StatDEC**",
            },
        ),
        ("neural_mixture_em", "digits as vectors", {"NeuralMixtureEM": "**NeuralMixtureEM**"}),
    ],
    "long-tailed MNIST, ratio 10": [
        (
            "neural_mixture_em",
            "long-tailed mnist 10",
            {
                "auto prior": "**NeuralMixtureEM**",
                "uniform prior": '**NeuralMixtureEM**, `prior="uniform"`',
            },
        ),
    ],
    "long-tailed MNIST, ratio 100": [
        ("stat_dec", "long-tailed 100", {"StatDEC": "**StatDEC**, n ≈ 2,500"}),
        (
            "neural_mixture_em",
            "long-tailed mnist 100",
            {
                "PCA + GaussianMixture": "PCA + GaussianMixture",
                "auto prior": "**NeuralMixtureEM**",
                "uniform prior": '**NeuralMixtureEM**, `prior="uniform"`',
            },
        ),
    ],
    "unequal Gaussian blobs, 1,600 × 8": [
        (
            "neural_mixture_em",
            "unequal blobs",
            {
                "GaussianMixture": "GaussianMixture",
                "NeuralMixtureEM": "**NeuralMixtureEM**",
                "NeuralMixtureEM, uniform prior": '**NeuralMixtureEM**, `prior="uniform"`',
            },
        ),
    ],
    "eight blobs on a circle, 10,000 × 2": [
        (
            "precise_feature_gan",
            "ring",
            {"default": "**PreciseFeatureGAN**"},
        ),
    ],
    "one column of three values beside four of noise": [
        ("precise_feature_gan", "artifact beside 4 of noise", PRECISE),
    ],
    "one pixel of three values in digits, 1,797 × 64": [
        (
            "precise_feature_gan",
            "artifact in digits",
            {"StatDEC": "**StatDEC**", **PRECISE},
        ),
    ],
    "the same in MNIST, 70,000 × 784": [
        ("precise_feature_gan", "artifact in MNIST", PRECISE),
    ],
}


def table() -> str:
    groups = {group for sources in ROWS.values() for group, _, _ in sources}
    records = {group: load(group) for group in groups}
    lines = [
        "| data | method | seeds | ACC | NMI | mean recall | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for heading, sources in ROWS.items():
        rows = [
            _row(records[group], experiment, method, shown)
            for group, experiment, methods in sources
            for method, shown in methods.items()
        ]
        lines += [f"| {'' if i else heading} | {row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def _row(records, experiment: str, method: str, shown: str) -> str:
    runs = runs_of(records, experiment, method)
    if not runs:
        raise SystemExit(f"no run of {method!r} on {experiment!r}")
    cells = [f"{_median(runs, k):.3f}" for k in ("acc", "nmi", "recall")]
    seconds = f"{_median(runs, 'seconds'):.0f}"
    if any(run["machine"]["torch_threads"] == 1 for run in runs):
        seconds += "¹"  # the page says below the table what that means
    return f"{shown} | {len(runs)} | {' | '.join(cells)} | {seconds} |"


def peers_table() -> str:
    """What ran side by side on all of MNIST, most accurate first."""
    records = [r for r in load(peers.GROUP) if r["experiment"] == peers.PICTURED]
    methods = {m: [r for r in records if r["method"] == m] for m in {r["method"] for r in records}}
    methods = {m: runs for m, runs in methods.items() if not peers.earlier(runs, records)}
    lines = [
        "| MNIST, 70,000 images | seeds | ACC | NMI | ARI | mean recall | seconds | MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for method, runs in sorted(methods.items(), key=lambda item: -_median(item[1], "acc")):
        cells = [f"{_median(runs, k):.3f}" for k in ("acc", "nmi", "ari", "recall")]
        memory = np.median([r["peak_rss_mib"] - r["rss_before_mib"] for r in runs])
        cells += [f"{_median(runs, 'seconds'):.0f}", f"{memory:.0f}"]
        shown = f"**{method}**" if method.startswith(peers.OURS) else method
        lines += [f"| {shown} | {len(runs)} | {' | '.join(cells)} |"]
    return "\n".join(lines)


def data_sets(group: str, names: Iterable[str], methods_in_order: Iterable[str]) -> str:
    """Of every data set KMeans, the most accurate of the others, and ours."""
    records = load(group)
    lines = [
        f"| data | seeds | KMeans | best of the others | {' | '.join(peers.OURS)} |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(peers.OURS),
    ]
    for name in names:
        methods = {
            method: runs for method in methods_in_order if (runs := runs_of(records, name, method))
        }
        other = best_of({m: r for m, r in methods.items() if not m.startswith(OURS_AND_KMEANS)})
        shown = ["KMeans", other, *peers.OURS]
        best = max(_median(methods[method], "acc") for method in shown)
        cells = []
        for method in shown:
            accuracy, seconds = (_median(methods[method], key) for key in ("acc", "seconds"))
            cell = f"{accuracy:.3f}"
            cell = f"**{cell}**" if cell == f"{best:.3f}" else cell
            cells += [f"{method} " * (method == other) + f"{cell}, {seconds:.0f} s"]
        seeds = sorted({len(methods[method]) for method in shown})
        lines += [f"| {name} | {' or '.join(map(str, seeds))} | {' | '.join(cells)} |"]
    return "\n".join(lines)


def told() -> str:
    """What ours gain by an augment that says what does not change a picture."""
    records = load(recipes.BENCH.name)
    lines = [
        f"| pictures | `augment=` | best of the others | {' | '.join(peers.OURS)} |",
        "| --- | --- | ---: |" + " ---: |" * len(peers.OURS),
    ]
    for name, augment in recipes.TOLD.items():
        others = {method: runs_of(records, name, method) for method in recipes.OTHERS}
        other = best_of(others)
        cells = [f"{other} {_median(others[other], 'acc'):.3f}"]
        for method in peers.OURS:
            by_default, told_so = (
                _median(runs_of(records, name, shown), "acc")
                for shown in (method, with_params(method, augment=augment))
            )
            cells += [f"{by_default:.3f} → **{told_so:.3f}**"]
        lines += [f'| {name} | `"{augment}"` | {" | ".join(cells)} |']
    return "\n".join(lines)


def best_of(methods: Mapping[str, list]) -> str:
    """The most accurate by its runs; of equals, one whose every seed came to an end."""
    return max(methods, key=lambda m: (_median(methods[m], "acc"), len(methods[m])))


def _median(runs, key: str) -> float:
    return float(np.median([run[key] for run in runs]))


def main() -> None:
    tables = {
        "peers": peers_table(),
        "data sets": data_sets(peers.GROUP, peers.FAMILIAR, peers.METHODS),
        "strangers": data_sets(peers.GROUP, peers.STRANGERS, peers.METHODS),
        "recipes": data_sets(recipes.BENCH.name, recipes.NAMES, [*peers.OURS, *recipes.OTHERS]),
        "told": told(),
        "benchmarks": table(),
    }
    missing = set(tables)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, content in tables.items():
            begin, end = BEGIN.format(name), END.format(name)
            if begin in text:
                before, rest = text.split(begin)
                text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
                missing.discard(name)
        page.write_text(text, encoding="utf-8")
    if missing:
        raise SystemExit(f"no page has a place for the tables {sorted(missing)}")
    peers.picture(PICTURE)


if __name__ == "__main__":
    main()
