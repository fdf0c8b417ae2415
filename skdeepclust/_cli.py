"""The command ``skdeepclust``: cluster files without writing Python."""

from __future__ import annotations

import argparse
import ast
import csv
import io
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
from skorch.callbacks import Callback

from ._persistence import load, registry
from ._read_data import Data, read_data
from ._version import __version__
from ._whole_file import write_whole

LABELS, MODEL, REPORT = "labels.csv", "model.safetensors", "report.html"
# What a user or a file can do wrong; anything else is a mistake of ours, and shows where it is.
EXPECTED = (ValueError, OSError, ImportError, FloatingPointError)

# Parameters that have an option of their own.
OPTIONS = {"n_clusters": "--n-clusters", "random_state": "--seed", "device": "--device"}

DATA_HELP = (
    "a folder of images or one image, a NumPy .npy or .npz file, or a .csv or .parquet table of "
    "features, which are taken as they are: bring them to one scale first"
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 if it went well, 1 after an error, 130 after Ctrl-C; argparse exits by 2."""
    options = make_parser().parse_args(arguments)
    before = warnings.formatwarning
    # Where in our code one was raised is of no use here.
    warnings.formatwarning = lambda message, *_, **__: f"skdeepclust: warning: {message}\n"
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads our output has enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EXPECTED as error:
        print(f"skdeepclust: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("skdeepclust: interrupted", file=sys.stderr)
        return 130
    finally:
        warnings.formatwarning = before


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("skdeepclust", description="Deep clustering of files.")
    parser.add_argument("--version", action="version", version=f"skdeepclust {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command, text: str) -> argparse.ArgumentParser:
        part = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        part.set_defaults(command=command)
        return part

    def add_data(part: argparse.ArgumentParser) -> None:
        part.add_argument("data", metavar="DATA", help=DATA_HELP)
        part.add_argument(
            "--drop",
            action="append",
            default=[],
            metavar="COLUMN",
            help="leave this column of a table out; repeatable",
        )
        part.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
        part.add_argument("--force", action="store_true", help="overwrite existing files")

    def add_model(part: argparse.ArgumentParser) -> None:
        part.add_argument("model", metavar="MODEL", help=f"a {MODEL} that fit wrote")
        part.add_argument(
            "--trust",
            action="append",
            default=[],
            metavar="MODULE:NAME",
            help="code of your own that the model needs and may import; repeatable",
        )

    fit = add("fit", run_fit, "learn clusters, and write labels, model and report")
    add_data(fit)
    fit.add_argument(
        "--method",
        choices=sorted(methods()),
        default="neural-mixture-em",
        help="default: %(default)s",
    )
    fit.add_argument("--n-clusters", type=int, default=8, metavar="K", help="default: 8")
    fit.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where to write")
    fit.add_argument("--seed", type=int, default=0, help="seed for everything random (default: 0)")
    fit.add_argument(
        "--image-size",
        type=_image_size,
        metavar="HxW",
        help="resize images, for example to 64 or 48x64",
    )
    fit.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="any other parameter of the method, such as max_epochs=50; repeatable",
    )
    fit.add_argument("--no-report", action="store_true", help="write only labels and model")

    predict = add("predict", run_predict, "assign samples to the clusters of a model, as CSV")
    add_model(predict)
    add_data(predict)
    predict.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")

    report = add("report", run_report, "write a page about the clusters of a model")
    add_model(report)
    add_data(report)
    report.add_argument(
        "--out", type=Path, default=Path(REPORT), metavar="FILE", help=f"default: {REPORT}"
    )
    report.add_argument(
        "--view",
        choices=("pca", "tsne", "umap"),
        default="pca",
        help="how the embedding is drawn in the plane (default: pca)",
    )
    return parser


def methods() -> dict[str, type]:
    """Estimators by name: NeuralMixtureEM is neural-mixture-em."""
    return {
        re.sub("(?<=[a-z])(?=[A-Z])", "-", name).lower(): Estimator
        for name, Estimator in registry().items()
    }


def _image_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected 64, or 48x64 for HxW")
    return int(found[1]), int(found[2] or found[1])


def _assignment(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a word
        return name, value


# ---------------------------------------------------------------------- commands


def run_fit(options: argparse.Namespace) -> int:
    files = [options.out / name for name in (LABELS, MODEL, REPORT)]
    if options.out.exists() and not options.out.is_dir():
        raise NotADirectoryError(f"--out {options.out} is a file; expected a folder, or a new name")
    _refuse_to_replace(files, options)
    if not options.no_report:  # or it would be missed after hours of training
        from .inspection._report import require_packages

        require_packages()
    estimator = _make_estimator(options)
    data = read_data(
        options.data, image_shape=(None, *(options.image_size or (None, None))), drop=_drop(options)
    )
    if options.image_size and data.files is None:
        raise ValueError(f"{options.data} is no folder of images; leave --image-size out")
    made = not options.out.exists()
    options.out.mkdir(parents=True, exist_ok=True)  # or it would fail after hours of training
    try:
        estimator.fit(data.X)
    except BaseException:
        if made and not any(options.out.iterdir()):  # a checkpoint may be there
            options.out.rmdir()
        raise
    estimator.set_params(callbacks=None, verbose=0)  # of this command, not of the model
    labels, model, report = files
    estimator.save(model)
    _write_labels(estimator, data, labels)
    written = [model, labels]
    removed = options.no_report and report.exists()
    if removed:  # of the run before, which is replaced
        report.unlink()
    if not options.no_report:
        from .inspection import report as write_report

        write_report(estimator, data.X, report)
        written.append(report)
    print(f"ended: {estimator.stop_reason_}, n_iter_={estimator.n_iter_}")
    print("cluster sizes:", *estimator.cluster_sizes_)
    for path in written:
        print(f"wrote {path}")
    if removed:
        print(f"removed {report}, of the model before")
    return 130 if estimator.stop_reason_ == "interrupted" else 0


def run_predict(options: argparse.Namespace) -> int:
    _refuse_to_replace([options.out], options)
    estimator, data = _model_and_data(options)
    _write_labels(estimator, data, options.out)
    return 0


def run_report(options: argparse.Namespace) -> int:
    from .inspection import report

    _refuse_to_replace([options.out], options)
    estimator, data = _model_and_data(options)
    report(estimator, data.X, options.out, view=options.view)
    print(f"wrote {options.out}")
    return 0


def _make_estimator(options: argparse.Namespace):
    Estimator = methods()[options.method]
    params = dict(options.set)
    known = set(Estimator().get_params()) - {*OPTIONS, "callbacks"}
    if name := next((name for name in OPTIONS if name in params), None):
        value = params[name]
        raise ValueError(f"--set {name}={value!r} is {OPTIONS[name]} {value} here")
    if unknown := sorted(set(params) - known):
        raise ValueError(f"{options.method} has no {unknown} to set; expected {sorted(known)}")
    if sys.stderr.isatty():
        params = {"verbose": 1, **params}
    elif params.get("n_jobs") is None:  # restarts in other processes have no callbacks
        params["callbacks"] = [PhaseLines()]
    return Estimator(options.n_clusters, random_state=options.seed, device=options.device, **params)


class PhaseLines(Callback):
    """Progress where there is no terminal to draw bars on: a line when a phase ends."""

    def on_train_end(self, net, X=None, y=None, **kwargs):
        print(
            f"{net.phase_title_}: {net.epochs_done_} epochs, "
            f"loss {net.history[-1, 'train_loss']:.4g}",
            file=sys.stderr,
            flush=True,
        )


def _model_and_data(options: argparse.Namespace) -> tuple:
    estimator = load(options.model, options.device, trusted=options.trust)
    # Images are brought to what fit brought them to.
    data = read_data(
        options.data,
        image_shape=estimator._image_shape or (None, None, None),
        drop=_drop(options),
    )
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and set(names) == set(getattr(data.X, "columns", ())):
        data.X = data.X[list(names)]  # in the order of the fit
    return estimator, data


def _drop(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(options.drop)


def _refuse_to_replace(paths: list[Path | None], options: argparse.Namespace) -> None:
    # Nothing of a pipe or a device is lost.
    there = [str(path) for path in paths if path and (path.is_file() or path.is_dir())]
    if there and not options.force:
        raise FileExistsError(
            f"{', '.join(there)} there already; replace with --force, or choose another --out"
        )


def _write_labels(estimator, data: Data, path: Path | None) -> None:
    proba = estimator.predict_proba(data.X)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    named = data.files is not None
    writer.writerow(["row", *(["file"] if named else []), "cluster", "confidence"])
    for row, (cluster, confidence) in enumerate(
        zip(proba.argmax(1), np.round(proba.max(1).astype(float), 6), strict=True)
    ):
        writer.writerow([row, *([data.files[row]] if named else []), cluster, confidence])
    if path is None:
        sys.stdout.write(stream.getvalue())
    else:
        write_whole(path, stream.getvalue().encode())


if __name__ == "__main__":
    sys.exit(main())
