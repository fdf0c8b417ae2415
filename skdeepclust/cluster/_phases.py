"""The pieces that trainings are put together from: how long, at what rate, on what scale, and what
clusters have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ..networks import Standardize
from ..training import Batches, Rows, Step, adam
from ._run import Run

# Share of a phase's steps in which the learning rate rises, where it begins from fresh weights.
RISE = 0.1
# Numbers that moments are summed over at a time, in float64: 64 MB.
PART = 8_000_000


def resolve_epochs(
    epochs: int | str, run: Run, *, steps: int, at_least: int, at_most: int
) -> float:
    """``epochs``, or for "auto" as many as make ``steps`` training steps, within the bounds.

    Below 1, where ``at_least`` allows it, a share of an epoch.
    """
    if isinstance(epochs, Integral):
        return int(epochs)
    wanted = steps / steps_per_epoch(run)
    return min(at_most, max(at_least, wanted if wanted < 1 else math.ceil(wanted)))


def steps_per_epoch(run: Run) -> int:
    return len(Batches(run.rows, run.net.batch_size, run.generator))


def decay(
    optimizer: Optimizer,
    lr_decay: str | int,
    steps: int,
    rise: float = 0.0,
    again: int | None = None,
) -> LambdaLR:
    """The learning rate's course over ``steps`` steps.

    "cosine" falls from 1 to 0 along half a cosine, after a linear rise over the share ``rise``, and
    does so once more from step ``again`` on; an int divides by 10 every so many steps; "constant"
    does nothing.
    """

    def factor(step: int) -> float:
        if isinstance(lr_decay, Integral):
            return 0.1 ** (step // lr_decay)
        if lr_decay == "constant":
            return 1.0
        length = steps if again is None else again
        if length <= step < steps:
            step, length = step - length, steps - length
        rising = rise * length
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, length - rising))))

    return LambdaLR(optimizer, factor)


def standardize_rows(rows: Rows, *, per_channel: bool = False) -> Standardize:
    """The :class:`Standardize` layer for these rows, in one pass per moment.

    ``per_channel`` gives images one mean per channel instead of one per pixel, so that a picture
    may be moved about in its frame.
    """
    size = min(4096, max(1, PART // rows.X.shape[1]))
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    mean = sum(rows[part].double().sum(0) for part in parts) / len(rows)
    if per_channel and mean.ndim == 3:
        mean = mean.mean((1, 2), keepdim=True).expand_as(mean)
    squares = sum((rows[part].double() - mean).square().sum() for part in parts)
    scale = math.sqrt(float(squares) / (len(rows) * mean.numel()))
    return Standardize(mean.float().cpu(), scale if scale > 0 else 1.0)


def train_phase(
    run: Run, phase: str, parameters, step: Step, *, epochs: float, lr, lr_decay, rise: float = 0.0
) -> str:
    """A phase with one Adam, or one for each name in ``lr``, whose rates follow ``lr_decay``; why
    it ended."""
    parameters = list(parameters)
    rates = lr if isinstance(lr, Mapping) else {"main": lr}
    optimizers = {name: adam(parameters, rate) for name, rate in rates.items()}
    steps = round(epochs * steps_per_epoch(run))
    return run.net.run_phase(
        phase,
        run.rows,
        step,
        optimizers=optimizers,
        schedulers={n: decay(chosen, lr_decay, steps, rise) for n, chosen in optimizers.items()},
        epochs=epochs,
    )


def cluster_shares(name: str, given, n_clusters: int) -> Tensor:
    """Shares of the clusters by the parameter ``name``, (n_clusters,), summing to 1; equal ones for
    a word."""
    if isinstance(given, str):
        return torch.full((n_clusters,), 1 / n_clusters)
    shares = np.asarray(given, dtype=np.float32)
    positive = np.isfinite(shares) & (shares > 0)
    if shares.shape != (n_clusters,) or not positive.all():
        raise ValueError(
            f"{name}={given!r}; expected n_clusters={n_clusters} positive shares, or a word such "
            "as 'auto' or 'uniform'"
        )
    return torch.from_numpy(shares / shares.sum())


def cluster_means(z: Tensor, labels: Tensor, n_clusters: int) -> Tensor:
    """Mean embedding of each cluster, (n_clusters, latent_dim); of an empty one that of all."""
    one_hot = F.one_hot(labels, n_clusters).to(z)  # (n, K)
    sizes = one_hot.sum(0).unsqueeze(1)
    means = one_hot.T @ z / sizes.clamp(min=1)
    return torch.where(sizes > 0, means, z.mean(0))
