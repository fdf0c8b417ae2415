"""``python -m benchmarks.readme`` writes the README's table from the files in ``results``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ._record import load

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"

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
    "MNIST, 70,000": [
        (
            "neural_mixture_em",
            "mnist",
            {"UMAP(10) + GaussianMixture": "UMAP(10) + GaussianMixture"},
        ),
        ("stat_dec", "mnist", {"StatDEC affine": '**StatDEC**, `augment="affine"`'}),
        ("dvc", "mnist", {"DVC-1 (dvc)": "**DVC**", "DVC-2 (mlp)": '**DVC**, `network="mlp"`'}),
        ("neural_mixture_em", "mnist", {"NeuralMixtureEM": "**NeuralMixtureEM**"}),
    ],
    "radiology, 24,000, six classes": [
        (
            "dvc",
            "medical images",
            {
                "KMeans": "KMeans",
                "PCA + GaussianMixture": "PCA + GaussianMixture",
                "StatDEC (mlp)": "**StatDEC**",
                "DVC-1 (dvc)": "**DVC**",
            },
        ),
    ],
    "the same, one class 1 to 30": [
        (
            "dvc",
            "medical images, one class 1 to 30",
            {
                "KMeans": "KMeans",
                "PCA + GaussianMixture": "PCA + GaussianMixture",
                "StatDEC (mlp)": "**StatDEC**",
                "DVC-1 (dvc)": "**DVC**",
            },
        ),
    ],
    "long-tailed MNIST, ratio 10": [
        ("stat_dec", "long-tailed 10", {"StatDEC": "**StatDEC**, n ≈ 2,000"}),
        (
            "neural_mixture_em",
            "long-tailed mnist 10",
            {
                "PCA + GaussianMixture": "PCA + GaussianMixture",
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
            {"noise_dim = 4": "**PreciseFeatureGAN**"},
        ),
    ],
    "one column of three values beside one of noise": [
        (
            "precise_feature_gan",
            "artifact beside 1 of noise",
            {
                "KMeans": "KMeans",
                "GaussianMixture": "GaussianMixture",
                "PreciseFeatureGAN": "**PreciseFeatureGAN**",
            },
        ),
    ],
    "the same beside two of noise": [
        (
            "precise_feature_gan",
            "artifact beside 2 of noise",
            {
                "KMeans": "KMeans",
                "GaussianMixture": "GaussianMixture",
                "PreciseFeatureGAN": "**PreciseFeatureGAN**",
                "n_init = 5": "**PreciseFeatureGAN**, `n_init=5`",
            },
        ),
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
    runs = [r for r in records if (r["experiment"], r["method"]) == (experiment, method)]
    if not runs:
        raise SystemExit(f"no run of {method!r} on {experiment!r}")
    cells = [f"{np.median([run[k] for run in runs]):.3f}" for k in ("acc", "nmi", "recall")]
    seconds = f"{np.median([run['seconds'] for run in runs]):.0f}"
    if any(run["machine"]["torch_threads"] == 1 for run in runs):
        seconds += "¹"  # the README says below the table what that means
    return f"{shown} | {len(runs)} | {' | '.join(cells)} | {seconds} |"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
