"""What autoencoder-based estimators do before there are clusters."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ..networks import Standardize
from ..objectives import reconstruction_error
from ..training import Batches, Rows, adam
from ._base import Run

# Dropout of the layer-wise pretraining (Xie et al., 2016).
LAYER_DROPOUT = 0.2
# The one-cycle schedule of the pretraining: the share of steps in which the rate rises.
RISE = 0.1


def resolve_epochs(epochs: int | str, run: Run, *, steps: int, at_least: int, at_most: int) -> int:
    """``epochs``, or for "auto" as many as make ``steps`` training steps, within the bounds."""
    if isinstance(epochs, Integral):
        return int(epochs)
    return min(at_most, max(at_least, math.ceil(steps / steps_per_epoch(run))))


def steps_per_epoch(run: Run) -> int:
    return len(Batches(run.rows, run.net.batch_size, run.generator))


def decay(optimizer: Optimizer, lr_decay: str | int, steps: int, rise: float = 0.0) -> LambdaLR:
    """The learning rate's course over ``steps`` steps.

    "cosine" falls from 1 to 0 along half a cosine, after a linear rise over the share ``rise``; an
    int divides by 10 every so many steps; "constant" does nothing.
    """

    def factor(step: int) -> float:
        if isinstance(lr_decay, Integral):
            return 0.1 ** (step // lr_decay)
        if lr_decay == "constant":
            return 1.0
        rising = rise * steps
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return LambdaLR(optimizer, factor)


def standardize_rows(rows: Rows) -> Standardize:
    """The :class:`Standardize` layer for these rows, in one pass per moment."""
    parts = [slice(start, start + 4096) for start in range(0, len(rows), 4096)]
    mean = sum(rows[part].double().sum(0) for part in parts) / len(rows)
    squares = sum((rows[part].double() - mean).square().sum() for part in parts)
    scale = math.sqrt(float(squares) / (len(rows) * mean.numel()))
    return Standardize(mean.float().cpu(), scale if scale > 0 else 1.0)


def train_phase(run, phase, parameters, step, *, epochs, lr, lr_decay, rise=0.0) -> str:
    """A phase with one Adam whose rate follows ``lr_decay``; why it ended."""
    optimizer = adam(parameters, lr)
    schedule = decay(optimizer, lr_decay, epochs * steps_per_epoch(run), rise)
    return run.net.run_phase(
        phase,
        run.rows,
        step,
        optimizers={"main": optimizer},
        schedulers={"main": schedule},
        epochs=epochs,
    )


def pretrain_end_to_end(
    run: Run, epochs: int, lr: float, lr_decay: str | int, phase: str = "pretrain"
) -> None:
    """Train the whole autoencoder on reconstruction."""
    autoencoder, standardize = run.module.autoencoder, run.module.standardize

    def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
        x = standardize(x)
        loss = reconstruction_error(x, autoencoder.decode(autoencoder.encode(x))).mean()
        run.net.minimize(loss)
        return {"loss": loss, "reconstruction": loss}

    schedule = {"epochs": epochs, "lr": lr, "lr_decay": lr_decay, "rise": RISE}
    train_phase(run, phase, autoencoder.parameters(), step, **schedule)


def pretrain_layer_wise(run: Run, epochs: int, lr: float, lr_decay: str | int) -> None:
    """Train one encoder layer with its decoder twin after another, with dropout on either side.

    Vincent et al., "Stacked Denoising Autoencoders" (2010), as Xie et al. (2016) use it. The whole
    autoencoder is then trained without dropout.
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
    pretrain_end_to_end(run, epochs, lr, lr_decay, phase="pretrain_whole")


def _pretrain_layer(run, position, down, up, pairs, epochs, lr, lr_decay) -> None:
    last, first = position == len(pairs) - 1, position == 0

    def drop(h: Tensor) -> Tensor:
        keep = torch.rand(h.shape, generator=run.generator).to(h.device) >= LAYER_DROPOUT
        return h * keep / (1 - LAYER_DROPOUT)

    def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():  # what the layers below, already trained, make of the batch
            h = run.module.standardize(x).flatten(1)
            for below, _ in pairs[:position]:
                h = below(h).relu()
        code = down(drop(h))
        h_hat = up(drop(code if last else code.relu()))
        loss = reconstruction_error(h, h_hat if first else h_hat.relu()).mean()
        run.net.minimize(loss)
        return {"loss": loss, "reconstruction": loss}

    parameters = [*down.parameters(), *up.parameters()]
    schedule = {"epochs": epochs, "lr": lr, "lr_decay": lr_decay, "rise": RISE}
    train_phase(run, f"pretrain_layer_{position + 1}", parameters, step, **schedule)
