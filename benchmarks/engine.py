"""What the engine costs: ``python -m benchmarks.engine [--epochs 5] [--samples 70000]``.

In one process, in alternation: an epoch of StatDEC's joint phase on MNIST and an epoch of the same
training written as a bare torch loop, with the same network, optimiser, batch size and one target
update; then ``predict`` of all 70,000 and a bare forward pass. Prints the ratios of medians and
writes them to ``benchmarks/results/engine.json``.
"""

from __future__ import annotations

import argparse
import json
from time import perf_counter

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from skdeepclust import StatDEC
from skdeepclust.datasets import fetch_mnist

from ._record import RESULTS, machine, versions

BATCH = 256


class BareLoop:
    """The joint phase of StatDEC without pooling, as one would write it in a notebook."""

    def __init__(self, X):
        self.X = torch.from_numpy(X)
        d = self.X.shape[1]
        self.encoder = nn.Sequential(
            nn.Linear(d, 500), nn.ReLU(), nn.Linear(500, 500), nn.ReLU(),
            nn.Linear(500, 1000), nn.ReLU(), nn.Linear(1000, 10),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(10, 1000), nn.ReLU(), nn.Linear(1000, 500), nn.ReLU(),
            nn.Linear(500, 500), nn.ReLU(), nn.Linear(500, d),
        )  # fmt: skip
        self.centers = nn.Parameter(torch.randn(10, 10))
        parameters = [*self.encoder.parameters(), *self.decoder.parameters(), self.centers]
        self.optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)

    def assign(self, z):
        q = 1 / (1 + (z.unsqueeze(1) - self.centers).square().sum(2))
        return q / q.sum(1, keepdim=True)

    @torch.inference_mode()
    def predict(self):
        parts = (x.float() / 255 for x in self.X.split(1024))
        return torch.cat([self.assign(self.encoder(x)).argmax(1) for x in parts]).numpy()

    def epoch(self):
        with torch.inference_mode():
            q = torch.cat([self.assign(self.encoder(x.float() / 255)) for x in self.X.split(1024)])
        p = q.clone().square() / q.sum(0)
        p = (p / p.sum(1, keepdim=True)).clone()
        for index in torch.randperm(len(self.X)).split(BATCH):
            x = self.X[index].float() / 255
            z = self.encoder(x)
            q = self.assign(z)
            kl = (p[index] * (p[index] / q).log()).sum(1).mean()
            loss = 0.5 * kl + 0.5 * (self.decoder(z) - x).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=70_000)
    arguments = parser.parse_args()
    everything = fetch_mnist()[0]
    X = everything[: arguments.samples]
    record = {"samples": len(X), "versions": versions(), "machine": machine()}
    for pooling in (False, True):
        bare = BareLoop(X.reshape(len(X), -1))
        alternate = Alternate(bare)
        model = StatDEC(
            10,
            batch_size=BATCH,
            init="kmeans",
            pretrain_epochs=1,
            warmup_epochs=0,
            max_epochs=arguments.epochs + 1,
            tol=0.0,
            statistics_pooling=pooling,
            callbacks=[alternate],
            random_state=0,
            device="cpu",
        ).fit(X)
        # The first of each warms caches and allocators up.
        ours, theirs = np.array(alternate.ours[1:]), np.array(alternate.theirs[1:])
        name = "epoch, with pooling" if pooling else "epoch"
        record[name] = summary(ours, theirs)
    bare.X = torch.from_numpy(everything.reshape(len(everything), -1))
    ours, theirs = [], []
    for _ in range(arguments.epochs + 1):
        start = perf_counter()
        model.predict(everything)
        middle = perf_counter()
        bare.predict()
        ours.append(middle - start)
        theirs.append(perf_counter() - middle)
    record["predict"] = summary(np.array(ours[1:]), np.array(theirs[1:]))
    for name in ("epoch", "epoch, with pooling", "predict"):
        found = record[name]
        print(
            f"{name:<22} ours {found['ours_s']:.2f} s, bare {found['bare_s']:.2f} s, "
            f"ratio {found['ratio']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f})"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engine.json").write_text(json.dumps(record, indent=1) + "\n")


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


if __name__ == "__main__":
    main()
