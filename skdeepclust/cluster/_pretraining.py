"""What autoencoder-based estimators do before there are clusters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..training import sent
from ._phases import RISE, train_phase
from ._run import Run

# Dropout of the layer-wise pretraining (Xie et al., 2016).
LAYER_DROPOUT = 0.2


def pretrain_end_to_end(run: Run, epochs: int, lr: float, lr_decay: str | int) -> None:
    """Train the whole autoencoder on the module's ``pretraining_loss``."""

    def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
        loss = run.module.pretraining_loss(x, run.generator)
        run.net.minimize(loss)
        return {"loss": loss, "reconstruction": loss}

    schedule = {"epochs": epochs, "lr": lr, "lr_decay": lr_decay, "rise": RISE}
    train_phase(run, "pretrain", run.module.autoencoder.parameters(), step, **schedule)


def pretrain_layer_wise(run: Run, epochs: int, lr: float, lr_decay: str | int) -> None:
    """Train one encoder layer with its decoder twin after another, with dropout on either side.

    Vincent et al., "Stacked Denoising Autoencoders" (2010), as Xie et al. (2016) use it before they
    train the whole autoencoder without dropout.
    """
    autoencoder = run.module.autoencoder
    pairs = getattr(autoencoder, "layer_pairs", None)
    if pairs is None:
        raise ValueError(
            "pretrain='layer_wise' needs an autoencoder of dense layers; use network='mlp' or "
            "pretrain='end_to_end'"
        )
    pairs = pairs()
    for position, (down, up) in enumerate(pairs):
        _pretrain_layer(run, position, down, up, pairs, epochs, lr, lr_decay)


def _pretrain_layer(run, position, down, up, pairs, epochs, lr, lr_decay) -> None:
    last, first = position == len(pairs) - 1, position == 0

    def drop(h: Tensor) -> Tensor:
        keep = sent(torch.rand(h.shape, generator=run.generator), h.device) >= LAYER_DROPOUT
        return h * keep / (1 - LAYER_DROPOUT)

    def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():  # what the layers below, already trained, make of the batch
            h = run.module.standardize(x).flatten(1)
            for below, _ in pairs[:position]:
                h = run.module.through(below, h).relu()
        code = run.module.through(down, drop(h))
        if last and run.module.variational:  # the means: log-variances are for the whole to learn
            code = code.chunk(2, 1)[0]
        h_hat = run.module.through(up, drop(code if last else code.relu()))
        loss = F.mse_loss(h_hat if first else h_hat.relu(), h)
        run.net.minimize(loss)
        return {"loss": loss, "reconstruction": loss}

    parameters = [*down.parameters(), *up.parameters()]
    schedule = {"epochs": epochs, "lr": lr, "lr_decay": lr_decay, "rise": RISE}
    train_phase(run, f"pretrain_layer_{position + 1}", parameters, step, **schedule)
