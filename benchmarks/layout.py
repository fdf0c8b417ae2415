"""Whether convolutions are quicker with channels last: ``python -m benchmarks.layout``.

In one process, in alternation: a training step and an inference pass of every convolutional network
on 128 images, in the layout that it takes and in torch's default one. Prints medians and ratios and
writes them to ``benchmarks/results/layout.json``.
"""

from __future__ import annotations

import copy
import json
from time import perf_counter

import numpy as np
import torch

from skdeepclust.networks import AUTOENCODERS, CNNBackbone

from ._record import RESULTS, machine, versions

BATCH, REPEATS = 128, 9
SHAPES = [(1, 28, 28), (1, 64, 64), (3, 32, 32)]


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
    x = torch.rand(BATCH, *shape)
    default = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    candidates = {"channels_last": passes(network, x), "default": passes(default, x)}
    taken = {mode: {layout: [] for layout in candidates} for mode in ("train", "infer")}
    for repeat in range(REPEATS + 1):
        for layout, functions in candidates.items():
            for mode, function in functions.items():
                elapsed = seconds(function)
                if repeat:  # the first call of each prepares what later ones reuse
                    taken[mode][layout].append(elapsed)
    return {
        mode: {layout: float(np.median(times)) for layout, times in layouts.items()}
        for mode, layouts in taken.items()
    }


def main() -> None:
    rows = []
    for shape in SHAPES:
        for name, network in networks(shape):
            for mode, medians in compare(network, shape).items():
                ratio = medians["channels_last"] / medians["default"]
                rows.append({"network": name, "shape": shape, "mode": mode, **medians})
                print(
                    f"{name:<18}{shape!s:<14}{mode:<7}"
                    f"{medians['channels_last'] * 1e3:7.1f} ms channels last "
                    f"{medians['default'] * 1e3:7.1f} ms default   ratio {ratio:.2f}",
                    flush=True,
                )
    record = {"batch": BATCH, "medians": rows, "versions": versions(), "machine": machine()}
    (RESULTS / "layout.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
