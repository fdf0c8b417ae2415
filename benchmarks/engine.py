"""What the engine costs: ``python -m benchmarks engine [overhead | clustpy | growth]``.

``overhead``: in one process, in alternation, an epoch of StatDEC's joint phase on MNIST and one of
the same training written as a bare torch loop, with the same network, optimiser, batch size and one
target update; then ``predict`` and ``transform`` of all 70,000 and a bare forward pass.

``clustpy``: an epoch of StatDEC's joint phase and one of ClustPy's IDEC and, at λ = 1, DEC, with
the same network and batch, on MNIST and on scikit-learn's digits; the time of an epoch is what a
fit takes longer for having more of them. Beside them the bare loop's, which is what there is to
be gained.

``growth``: seconds and peak memory of a fit with 5,000, 20,000 and 80,000 rows, each in a process
of its own.

Each writes ratios of medians to ``benchmarks/results/engine_<name>.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from functools import partial
from time import perf_counter

import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn

from skdeepclust import StatDEC
from skdeepclust.datasets import fetch_mnist
from skdeepclust.networks import StatisticsPooling

from ._bench import write_table
from ._peers import dense, import_clustpy
from ._record import device, machine, results, versions

BATCH = 256


class BareLoop:
    """The joint phase of StatDEC, as one would write it in a notebook."""

    def __init__(self, X, widths=(500, 500, 1000), weight=0.5, pooled=False):
        """Rows, uint8 or float32; λ is ``weight``, at 1 without the decoder; ``pooled``: with
        StatDEC's layer before the decoder's last activation."""
        self.X, self.weight = torch.from_numpy(X).to(device()), weight
        widths = (X.shape[1], *widths, 10)
        self.encoder, self.decoder = (dense(w).to(device()) for w in (widths, widths[::-1]))
        self.hidden, self.output = self.decoder[:-2], self.decoder[-2:]
        self.centers = nn.Parameter(torch.randn(10, 10, device=device()))
        self.pooling = StatisticsPooling(widths[1], 10).to(device()) if pooled else None
        trained = [self.encoder, self.decoder] if weight < 1 else [self.encoder]
        trained += [self.pooling] if pooled else []
        parameters = [p for network in trained for p in network.parameters()]
        self.optimizer = torch.optim.Adam([*parameters, self.centers], 1e-3, fused=True)

    def scaled(self, x):
        return x.float() / 255 if x.dtype == torch.uint8 else x

    def assign(self, z):
        q = 1 / (1 + (z.unsqueeze(1) - self.centers).square().sum(2))
        return q / q.sum(1, keepdim=True)

    def decode(self, z, q):
        hidden = self.hidden(z)
        if self.pooling is not None:
            hidden = self.pooling(hidden, q.argmax(1))
        return self.output(hidden)

    @torch.inference_mode()
    def soft(self):
        return torch.cat([self.assign(self.encoder(self.scaled(x))) for x in self.X.split(1024)])

    def predict(self):
        return self.soft().argmax(1).cpu().numpy()

    @torch.inference_mode()
    def transform(self):
        return torch.cat([self.encoder(self.scaled(x)) for x in self.X.split(1024)]).cpu().numpy()

    def epoch(self):
        q = self.soft().clone()
        p = q.square() / q.sum(0)
        p = p / p.sum(1, keepdim=True)
        for index in torch.randperm(len(self.X), device=device()).split(BATCH):
            x = self.scaled(self.X[index])
            z = self.encoder(x)
            q = self.assign(z)
            loss = self.weight * (p[index] * (p[index] / q).log()).sum(1).mean()
            if self.weight < 1:
                loss = loss + (1 - self.weight) * (self.decode(z, q) - x).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        loss.item()  # a GPU has ended its work then, and not before


class Alternate(Callback):
    """After each joint epoch of the estimator, time one of the bare loop."""

    def __init__(self, bare):
        self.bare, self.ours, self.theirs = bare, [], []

    def on_epoch_begin(self, net, **kwargs):
        self.start_ = perf_counter()

    def on_epoch_end(self, net, **kwargs):
        if net.phase_ != "cluster":
            return
        middle = perf_counter()
        self.bare.epoch()
        self.ours.append(middle - self.start_)
        self.theirs.append(perf_counter() - middle)


# Joint epochs that are timed beside the bare loop's.
EPOCHS = {
    "epoch": {"statistics_pooling": False},
    "epoch in bfloat16, the bare one in float32": {
        "statistics_pooling": False,
        "precision": "bfloat16",
    },
    "epoch, with pooling in both": {"statistics_pooling": True},
}


def overhead(epochs=5, samples=70_000):
    """The joint phase and inference against a bare loop."""
    everything = fetch_mnist()[0]
    X = everything[:samples]
    rows = everything.reshape(len(everything), -1)
    record = {"samples": len(X)}
    for name, params in EPOCHS.items():
        bare = BareLoop(rows[:samples], pooled=params["statistics_pooling"])
        alternate = Alternate(bare)
        model = joint(max_epochs=epochs + 1, callbacks=[alternate], **params).fit(X)
        # The first of each warms caches and allocators up.
        ours, theirs = np.array(alternate.ours[1:]), np.array(alternate.theirs[1:])
        record[name] = summary(ours, theirs)
    bare.X = torch.from_numpy(rows).to(device())
    for name in ("predict", "transform"):
        functions = (lambda: getattr(model, name)(everything), getattr(bare, name))  # noqa: B023
        record[name] = summary(*alternated(*functions, repeats=epochs))
    write("overhead", record, "bare loop")


def joint(precision="float32", **params):
    """A joint phase without what ClustPy has no counterpart of, and in the numbers that it and a
    bare loop compute with."""
    return StatDEC(
        10,
        batch_size=BATCH,
        init="kmeans",
        pretrain_epochs=1,
        warmup_epochs=0,
        tol=0.0,
        whiten=False,
        precision=precision,
        random_state=0,
        device=device(),
        **params,
    )


# λ of what StatDEC without pooling then is.
NAMES = {"IDEC": 0.5, "DEC": 1.0}


def clustpy(samples=10_000):
    """An epoch against ClustPy's, and a bare loop's against it."""
    X = fetch_mnist()[0][:samples].reshape(samples, -1) / np.float32(255)
    small = load_digits().data.astype(np.float32) / 16
    record = {}
    for data, widths, epochs in (
        (X, (500, 500, 1000), 5),
        (X, (32,), 20),
        (small, (32,), 100),
    ):
        size = "-".join(map(str, (data.shape[1], *widths, 10)))
        for name, weight in NAMES.items():
            once, longer = (
                alternated(
                    partial(our_fit, data, widths, name, n),
                    partial(their_fit, data, widths, name, n),
                    partial(bare_fit, data, widths, weight, n),
                    repeats=5,
                )
                for n in (1, 1 + epochs)
            )
            ours, theirs, bare = (longer - once) / epochs
            what = f"epoch of {len(data):,} in {size} against {name}"
            record[what] = summary(ours, theirs)
            record[f"a bare loop's {what}"] = summary(bare, theirs)
    write("clustpy", record, "ClustPy")


def bare_fit(X, widths, weight, epochs):
    bare = BareLoop(X, widths, weight)
    for _ in range(epochs):
        bare.epoch()


def our_fit(X, widths, name, epochs):
    joint(
        hidden_dims=widths,
        max_epochs=epochs,
        statistics_pooling=False,
        clustering_weight=NAMES[name],
    ).fit(X)


def their_fit(X, widths, name, epochs):
    deep = import_clustpy()
    getattr(deep, name)(
        10,
        batch_size=BATCH,
        pretrain_epochs=1,
        clustering_epochs=epochs,
        neural_network=(
            deep.neural_networks.FeedforwardAutoencoder,
            {"layers": [X.shape[1], *widths, 10]},
        ),
        initial_clustering_params={"n_init": 20},
        device=device(),
        random_state=0,
    ).fit(X)


def alternated(*functions, repeats) -> np.ndarray:
    """Seconds of each call, (n_functions, repeats), after one that is not counted."""
    taken = np.zeros((len(functions), repeats + 1))
    for repeat in range(repeats + 1):
        for i, function in enumerate(functions):
            start = perf_counter()
            function()
            taken[i, repeat] = perf_counter() - start
    return taken[:, 1:]


ROWS, FEATURES = (5_000, 20_000, 80_000), 64


def growth():
    """What more rows cost."""
    record = {"features": FEATURES}
    for n in ROWS:
        command = [sys.executable, "-m", "benchmarks.engine", "one", str(n)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        record[str(n)] = found = json.loads(done.stdout.splitlines()[-1])
        print(n, found, flush=True)
    (results() / "engine_growth.json").write_text(json.dumps(record | about(), indent=1) + "\n")


def one(n):
    """A fit of n rows, alone in its process: seconds, and memory above the data."""
    rng = np.random.RandomState(0)
    X = (rng.randn(10, FEATURES)[rng.randint(10, size=n)] + rng.randn(n, FEATURES)).astype("f4")
    model = joint(max_epochs=2)
    model.fit(X[:1000])  # loads what a first fit loads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = perf_counter()
    model.fit(X)
    seconds = perf_counter() - start
    above = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(json.dumps({"seconds": seconds, "mib_above": above, "data_mib": X.nbytes / 2**20}))


def about():
    return {"versions": versions(), "machine": machine()}


def write(name, record, against):
    for what, found in record.items():
        if isinstance(found, dict):
            print(
                f"{what:<56} ours {found['ours_s']:.2f} s, {against} {found['bare_s']:.2f} s, "
                f"ratio {found['ratio']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f})"
            )
    path = results() / f"engine_{name}.json"
    path.write_text(json.dumps(record | about(), indent=1) + "\n")


def summary(ours, theirs) -> dict[str, float]:
    """Medians, their ratio, and the range of the ratios pair by pair."""
    pairs = ours / theirs
    return {
        "ours_s": float(np.median(ours)),
        "bare_s": float(np.median(theirs)),
        "ratio": float(np.median(ours) / np.median(theirs)),
        "lowest": float(pairs.min()),
        "highest": float(pairs.max()),
        "repeats": len(ours),
    }


def table() -> None:
    """``results/engine.md``; a part whose file is not there has no rows."""
    bare, clustpy, plain, grown = records = [
        _read(name)
        for name in (
            "engine_overhead",
            "engine_clustpy",
            "precise_feature_gan_speed",
            "engine_growth",
        )
    ]
    lines = [
        "# What the engine costs",
        "",
        "Made by `python -m benchmarks tables` from the files that `python -m benchmarks engine` "
        "and `python -m benchmarks.precise_feature_gan speed` write. Medians, ours and the other "
        "in alternation; the ratio is ours to the other's, with the range over single pairs. Fewer "
        "seconds are better, and more steps a second.",
        "",
        "- Beside ours against ClustPy stands a **bare loop** of the same training, without "
        "standardisation, scaling of the embedding, history, callbacks and states to go back to: "
        "the most that could be gained.",
        "- What was tried to come nearer to it (trials). With `torch.compile` a step took .84 "
        "to .92 of its time on networks of 32 units, after up to 41 seconds of compiling. The "
        "gradient of the clustering loss in closed form took 227 microseconds where autograd "
        "takes 263, of a step of some 1,300. An Adam that calls torch's private fused kernel "
        "itself, an embedding without its map and fewer operations in the kernel of the "
        "assignments took an epoch on digits from .77 and .68 of ClustPy's to .59 and .53, and "
        "fits of small tables, by wide layers as they had then, to .94 to .97 of their time: too "
        "little to depend on what torch may change.",
        "- PreciseFeatureGAN with copies settles in its last fifth, without the classifier's "
        "gradient on fakes; the plain loop does not.",
    ]
    for title, against, unit, record, ours, other in (
        ("A bare torch loop, on MNIST", "bare loop", "seconds", bare, "ours_s", "bare_s"),
        ("ClustPy, joint training", "ClustPy", "seconds", clustpy, "ours_s", "bare_s"),
        (
            "A plain loop of PreciseFeatureGAN's networks",
            "plain loop",
            "steps a second",
            plain,
            "ours, steps per second",
            "plain loop, steps per second",
        ),
    ):
        threads = record.get("machine", {}).get("torch_threads")
        lines += [
            "",
            f"## {title}" + (f", threads: {threads}" if threads else ""),
            "",
            f"| | ours, {unit} | {against} | ratio | pairs | peak MiB, ours and {against} |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {what} | {found[ours]:.3g} | {found[other]:.3g} | {found['ratio']:.2f} | "
            f"{found['lowest']:.2f} to {found['highest']:.2f} | "
            + " and ".join(f"{value:.0f}" for key, value in found.items() if "MiB" in key)
            + " |"
            for what, found in record.items()
            if isinstance(found, dict) and "ratio" in found
        ]
    lines += [
        "",
        "## Rows",
        "",
        f"A fit of StatDEC on {FEATURES} columns: one epoch of pretraining, a start by k-means, "
        "two joint epochs; one thread.",
        "",
        "| rows | seconds | MiB above the start |",
        "| ---: | ---: | ---: |",
    ]
    lines += [
        f"| {n:,} | {grown[str(n)]['seconds']:.1f} | {grown[str(n)]['mib_above']:.0f} |"
        for n in ROWS
        if str(n) in grown
    ]
    write_table("engine", [*lines, ""], [record for record in records if record])


def _read(name: str) -> dict:
    path = results() / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


PARTS = {"overhead": overhead, "clustpy": clustpy, "growth": growth}


def main(parts=None):
    for part in parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "one", []])
    if sys.argv[1:2] == ["one"]:
        one(int(sys.argv[2]))
    else:
        main(parser.parse_args().parts)
