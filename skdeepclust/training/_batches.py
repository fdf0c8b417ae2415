"""The data as the engine sees it: rows of an array, cut into float32 batches on a device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ._device import sent

# Rows of one inference batch: large enough for full speed, small enough for bounded memory.
INFERENCE_BATCH = 512
# Numbers in it, for which large images get fewer rows: a convolution makes ten times as many.
INFERENCE_NUMBERS = 2**22
# Below this many rows a matrix product takes other code paths and rounds differently, so that a
# sample's result would depend on its company; smaller batches are filled up to it.
SMALLEST_BATCH = 32
# The share of a GPU's free memory that the data may take to be kept there for the whole fit.
RESIDENT_SHARE = 0.5


class Rows(Dataset):
    """Samples of a 2-D array, read by index.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), float32 or uint8
        Kept as it is, a memory map stays on disk.
    sample_shape : tuple of int
        Shape of one sample as the network sees it; its product is n_features.
    scale : float
        What batches are multiplied by: 1/255 for images of uint8, else 1.
    device : torch.device
        Where batches go. On CUDA the data itself is kept there if it fits.
    """

    def __init__(
        self, X: np.ndarray, sample_shape: tuple[int, ...], scale: float, device: torch.device
    ):
        self.X, self.sample_shape, self.scale, self.device = X, sample_shape, scale, device
        self._resident = None
        if device.type == "cuda" and X.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            self._resident = torch.tensor(X, device=device)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Rows as a float32 tensor of shape (b, *sample_shape) on the device."""
        if self._resident is not None:
            index = sent(index, self.device) if isinstance(index, Tensor) else index
            batch = (
                self._resident[index].clone() if isinstance(index, slice) else self._resident[index]
            )
        else:
            # A slice is a view of the user's array, which no network may write into.
            rows = self.X[index].copy() if isinstance(index, slice) else self.X.take(index, 0)
            batch = sent(torch.from_numpy(rows), self.device)
        batch = batch.to(torch.float32)
        if self.scale != 1:
            batch.mul_(self.scale)  # in place: it is no one else's
        return batch.reshape(-1, *self.sample_shape)


class Batches:
    """Shuffled batches of nearly equal size, ``(index, x)``, anew at each iteration.

    Equal sizes instead of a short last batch: statistics over a batch of one sample are none.
    """

    def __init__(self, rows: Rows, batch_size: int, generator: torch.Generator):
        self.rows, self.batch_size, self.generator = rows, batch_size, generator

    def __len__(self) -> int:
        # Never a batch of one: what is left over joins the others instead.
        n = len(self.rows)
        return min(math.ceil(n / self.batch_size), max(1, n // 2))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.rows), generator=self.generator)
        for index in order.tensor_split(len(self)):
            yield index, self.rows[index]


def inference_batch(width: int) -> int:
    """How many samples of so many numbers inference has the memory for at a time."""
    return min(INFERENCE_BATCH, max(SMALLEST_BATCH, INFERENCE_NUMBERS // width))


def inference_parts(rows: Rows) -> Iterator[Tensor]:
    """All rows in order, in parts that inference has the memory for."""
    size = inference_batch(rows.X.shape[1])
    for start in range(0, len(rows), size):
        yield rows[slice(start, start + size)]


@torch.inference_mode()
def map_rows(
    function: Callable[[Tensor], Tensor],
    module: nn.Module,
    rows: Rows,
    onto: torch.device | None = None,
    width: int = 1,
) -> Tensor:
    """``function`` of every row, batch by batch, with ``module`` in evaluation mode.

    Batches are as small as ``width`` asks, the numbers in what is made of a row, or the row itself.
    A GPU that runs out of memory is given half as many rows at a time from there on, with a
    warning, until so few are too many.

    Returns
    -------
    Tensor of shape (n, ...) on the device ``onto``, by default the rows'
        What ``function`` gave, concatenated; the row of a sample depends on the others by
        rounding at most.
    """
    was_training = module.training
    module.eval()
    try:
        found, start = None, 0
        size = inference_batch(max(width, rows.X.shape[1]))
        while start < len(rows):
            try:
                part = _filled(function, rows[slice(start, start + size)])
            except torch.OutOfMemoryError:
                if size <= SMALLEST_BATCH:
                    raise
                size = max(SMALLEST_BATCH, size // 2)
                warnings.warn(
                    f"out of memory on {rows.device}: going on with {size} samples at a time",
                    RuntimeWarning,
                    stacklevel=2,
                )
            else:
                if found is None:  # written into, since joining parts would hold all of it twice
                    shape = (len(rows), *part.shape[1:])
                    found = part.new_empty(shape, device=onto or part.device)
                found[start : start + len(part)] = part
                start += size
        return found
    finally:
        module.train(was_training)


def _filled(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of x, which is filled up to the smallest batch for it."""
    missing = SMALLEST_BATCH - len(x)
    if missing <= 0:
        return function(x)
    return function(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]))[: len(x)]
