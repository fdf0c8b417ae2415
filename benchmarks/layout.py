"""Whether convolutions are quicker as we compute them: ``python -m benchmarks.layout``.

In one process, in alternation: a training step and an inference pass of every convolutional network
on 128 images, as it is, in torch's default layout instead of channels last and, where it has
convolutions of doubled maps, with the maps repeated and convolved in so many words. Prints medians
and ratios and writes them to ``benchmarks/results/layout.json``.
"""

from __future__ import annotations

import copy
import json
from time import perf_counter

import numpy as np
import torch

from skdeepclust.networks import AUTOENCODERS, CNNBackbone
from skdeepclust.networks._convolutional import DoublingConv2d

from ._record import COMMITTED, machine, versions

BATCH, REPEATS = 128, 9
SHAPES = [(1, 8, 8), (1, 28, 28), (1, 64, 64), (3, 32, 32)]


class Repeating(DoublingConv2d):
    """The same maps with nine products a pixel."""

    forward = DoublingConv2d.repeated


def others(network):
    """The network computed in other ways, by name."""
    changed = copy.deepcopy(network)
    yield "default layout", changed.to(memory_format=torch.contiguous_format)
    changed = copy.deepcopy(network)
    doubling = [layer for layer in changed.modules() if isinstance(layer, DoublingConv2d)]
    for layer in doubling:
        layer.__class__ = Repeating
    if doubling:
        yield "repeated", changed


def seconds(function) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def networks(shape):
    yield "backbone cnn", CNNBackbone(shape, 10)
    for name in ("cnn", "dvc", "unet"):
        yield f"autoencoder {name}", AUTOENCODERS[name](shape, 10)


def passes(network, x):
    """A training step and an inference pass of the network."""
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    encode = getattr(network, "encode", network)

    def train():
        network.train()
        out = network.decode(encode(x)) if hasattr(network, "decode") else encode(x)
        optimizer.zero_grad()
        out.square().mean().backward()
        optimizer.step()

    @torch.inference_mode()
    def infer():
        network.eval()
        encode(x)

    return {"train": train, "infer": infer}


def compare(network, shape) -> dict[str, dict[str, float]]:
    """Median seconds by mode and way."""
    x = torch.rand(BATCH, *shape)
    ways = {"ours": network, **dict(others(network))}
    candidates = {way: passes(candidate, x) for way, candidate in ways.items()}
    taken = {mode: {way: [] for way in candidates} for mode in ("train", "infer")}
    for repeat in range(REPEATS + 1):
        for way, functions in candidates.items():
            for mode, function in functions.items():
                elapsed = seconds(function)
                if repeat:  # the first call of each prepares what later ones reuse
                    taken[mode][way].append(elapsed)
    return {
        mode: {way: float(np.median(times)) for way, times in ways.items()}
        for mode, ways in taken.items()
    }


def main() -> None:
    rows = []
    for shape in SHAPES:
        for name, network in networks(shape):
            for mode, medians in compare(network, shape).items():
                rows.append({"network": name, "shape": shape, "mode": mode, **medians})
                ours = medians.pop("ours")
                beside = [f"{ours / taken:.2f} of {way}" for way, taken in medians.items()]
                print(
                    f"{name:<18}{shape!s:<14}{mode:<7}{ours * 1e3:7.1f} ms  {', '.join(beside)}",
                    flush=True,
                )
    record = {"batch": BATCH, "medians": rows, "versions": versions(), "machine": machine()}
    (COMMITTED / "layout.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
