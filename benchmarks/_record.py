"""One JSON file a run: what ran, on what, how long, how well."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np
import scipy
import sklearn
import skorch
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

import skdeepclust
from skdeepclust._whole_file import write_whole
from skdeepclust.metrics import (
    balanced_clustering_accuracy,
    clustering_accuracy,
    per_class_recall,
)
from skdeepclust.training import computes_in_bfloat16, resolve_device

COMMITTED = Path(__file__).resolve().parent / "results"
LOCAL = COMMITTED.with_name("local")  # git ignores it
# The options --device and --results, for the processes that benchmarks start too.
DEVICE = "SKDEEPCLUST_BENCHMARK_DEVICE"
RESULTS = "SKDEEPCLUST_BENCHMARK_RESULTS"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every command takes."""
    # Without defaults here, since a command's would undo what stands before it.
    options = parser.add_argument_group(argument_default=argparse.SUPPRESS)
    options.add_argument("--device", help="cpu, cuda or auto (the default)")
    options.add_argument("--results", type=Path, metavar="FOLDER", help="where runs are kept")


def use_options(arguments: argparse.Namespace, results: Path = COMMITTED) -> dict:
    """Set them for this process and those that it starts; return the others."""
    others = vars(arguments).copy()
    os.environ[DEVICE] = others.pop("device", "auto")
    os.environ[RESULTS] = str(others.pop("results", results).resolve())
    return others


def device() -> torch.device:
    """What estimators, and the networks beside them, run on."""
    return resolve_device(os.environ.get(DEVICE, "auto"))


def results() -> Path:
    """The folder of results; figures of a GPU have their own."""
    folder = Path(os.environ.get(RESULTS, COMMITTED))
    if device().type != "cpu":
        folder /= device().type
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scores(y, labels) -> dict[str, float | list[float]]:
    """Accuracy after Hungarian matching, NMI, ARI, mean recall per class, the recall of the rarest
    class, and those of all classes in their order."""
    classes, recall = per_class_recall(y, labels)
    counts = np.array([(y == c).sum() for c in classes])
    return {
        "acc": clustering_accuracy(y, labels),
        "nmi": normalized_mutual_info_score(y, labels),
        "ari": adjusted_rand_score(y, labels),
        "recall": balanced_clustering_accuracy(y, labels),
        "rarest": float(recall[counts.argmin()]),
        "recalls": [round(float(value), 4) for value in recall],
    }


def versions() -> dict[str, str]:
    modules = [skdeepclust, sklearn, torch, skorch, np, scipy]
    return {"python": platform.python_version(), **{m.__name__: m.__version__ for m in modules}}


def machine() -> dict[str, object]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device()),
        "bfloat16": computes_in_bfloat16(torch.device("cpu")),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def digest(X) -> str:
    return hashlib.sha256(np.ascontiguousarray(X).tobytes()).hexdigest()[:16]


def path_of(group: str, experiment: str, method: str, seed: int) -> Path:
    """The file of a run."""
    name = f"{experiment}.{method}.{seed}.json".replace(" ", "_").replace('"', "")
    return results() / group / name


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Ctrl-C ends a run: our estimators would call what was trained so far a fit."""

    asked = False

    def stop(number, frame):
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:  # amid the callbacks, whose own way to end a fit it is to raise this
        raise KeyboardInterrupt


def run(group: str, experiment: str, method: str, seed: int, X, y, fit_predict, **details) -> dict:
    """Time ``fit_predict(X)``, score it, and write the file; a finished run is not run again."""
    path = path_of(group, experiment, method, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return json.loads(path.read_text())
    with interrupts_raise():
        start = perf_counter()
        labels = fit_predict(X)
        seconds = perf_counter() - start
    record = {
        "experiment": experiment,
        "method": method,
        "seed": seed,
        **scores(y, labels),
        "seconds": round(seconds, 1),
        # Of the process so far: comparable between first runs of a process only.
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "n_samples": len(X),
        "data": digest(X),
        **{name: value() if callable(value) else value for name, value in details.items()},
        "versions": versions(),
        "machine": machine(),
        "date": date.today().isoformat(),
    }
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode())
    shown = {k: record[k] for k in ("acc", "nmi", "ari", "recall", "rarest")}
    print(f"{experiment:<24} {method:<28} {seed:>3}", end="  ")
    print("  ".join(f"{k} {v:.3f}" for k, v in shown.items()), f" {seconds:.0f} s", flush=True)
    return record


def runs_of(records: list[dict], experiment: str, method: str) -> list[dict]:
    """Those of one row of a table."""
    return [r for r in records if (r["experiment"], r["method"]) == (experiment, method)]


def load(group: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((results() / group).glob("*.json"))]
