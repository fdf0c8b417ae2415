"""Embeddings: what a small network, trained on the classes of CIFAR-10's training images, makes of
its test images, and of pictures of another kind.

``python -m benchmarks._embeddings`` trains it, some seven minutes on one core. They are kept in
``benchmarks/local``: other machines round otherwise, and come to others.
"""

from __future__ import annotations

import io
import math
import subprocess
import sys

import numpy as np
import torch
from sklearn.preprocessing import normalize
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from skdeepclust._whole_file import write_whole
from skdeepclust.datasets import fetch_mnist

from ._data import packed, subset
from ._record import LOCAL

KEPT = LOCAL / "cifar10_embeddings.npz"
EPOCHS, BATCH, RATE = 5, 256, 4e-3
TAKEN = 10_000  # digits of MNIST


class Classifier(nn.Module):
    """Four convolutions and the mean over their maps, the embedding, (n, 128), before the logits of
    ten classes."""

    def __init__(self):
        super().__init__()
        blocks = [
            (
                nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            for n_in, n_out in ((3, 32), (32, 64), (64, 128))
        ]
        last = nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.embed = nn.Sequential(*[layer for block in (*blocks, last) for layer in block])
        self.logits = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.embed((x.float() - 128) / 64)  # (n, 3, 32, 32), uint8 -> (n, 128)
        return self.logits(z), z


class FirstOutput(nn.CrossEntropyLoss):
    def forward(self, outputs: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        return super().forward(outputs[0], y)


def main() -> None:
    torch.manual_seed(0)
    X, y = packed("cifar10_train")
    steps = EPOCHS * math.ceil(len(X) / BATCH)
    schedule = LRScheduler(
        OneCycleLR, max_lr=RATE, total_steps=steps, step_every="batch", monitor=None
    )
    net = NeuralNetClassifier(
        Classifier,
        criterion=FirstOutput,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=5e-4,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[schedule],
    ).fit(X, y)
    X, y = packed("cifar10_test")
    logits, photographs = net.forward(X)
    print(f"accuracy of the classifier: {(logits.argmax(1).numpy() == y).mean():.3f}", flush=True)
    digits = np.pad(taken_digits()[0], ((0, 0), (0, 0), (2, 2), (2, 2)))
    _, digits = net.forward(digits.repeat(3, 1))  # 32 x 32 in colour
    KEPT.parent.mkdir(exist_ok=True)
    packed_anew = io.BytesIO()
    np.savez(packed_anew, photographs=photographs.numpy(), digits=digits.numpy())
    write_whole(KEPT, packed_anew.getvalue())


def taken_digits() -> tuple[np.ndarray, np.ndarray]:
    return subset(*fetch_mnist(), TAKEN, seed=0)


def cifar10_embeddings() -> tuple[np.ndarray, np.ndarray]:
    """Of 10,000 photographs, (n, 128), float32, each of length 1, and their classes."""
    return _kept("photographs"), packed("cifar10_test")[1]


def mnist_embeddings() -> tuple[np.ndarray, np.ndarray]:
    """The same of 10,000 digits, of which the network has seen none."""
    return _kept("digits"), taken_digits()[1]


def _kept(name: str) -> np.ndarray:
    """Found in a process of its own where they are not there yet: its memory is not a method's."""
    if not KEPT.exists():
        subprocess.run([sys.executable, "-m", __spec__.name], check=True)
    with np.load(KEPT) as archive:
        return normalize(archive[name])  # length seldom means anything in embeddings


if __name__ == "__main__":
    main()
