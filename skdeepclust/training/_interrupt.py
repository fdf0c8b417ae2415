"""Ctrl-C as a wish: the batch is finished, and what was trained becomes a fitted estimator."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import torch

# Seconds within which a second Ctrl-C is for whatever runs then: in a search, another fit.
AGAIN = 5.0


def _load_optimizers() -> None:
    """Have torch import what it does with its first optimiser, and Ctrl-C wait for that.

    Raised in the midst of it, modules would be left half imported, and no fit of the process could
    import them again.
    """
    asked = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        torch.optim.Adam([torch.zeros(1)])
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        signal.raise_signal(signal.SIGINT)


class Interrupt:
    """Whether the user has asked a fit to end.

    Attributes
    ----------
    asked : bool
        The first Ctrl-C since anything was trained only sets it; another one raises, also where
        meanwhile the next fit is running, and so does one before.
    worked : bool
        Whether anything was trained.
    raised : bool
        Whether KeyboardInterrupt was raised for the user.
    """

    _latest = -math.inf  # of any fit

    def __init__(self):
        self.asked = self.worked = self.raised = False
        self._preparing = False

    def note_work(self) -> None:
        """Something was trained."""
        self.worked = self.worked or not self._preparing

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """What is trained meanwhile is another's, and no estimator to be left with."""
        self._preparing = True
        try:
            yield
        finally:
            self._preparing = False

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Take Python's own handling of SIGINT over, and give it back.

        Signals reach the main thread alone, and a handler of the user's stays in charge.
        """
        ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if ours:
            _load_optimizers()
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number, frame) -> None:
        now = monotonic()
        at_once = self.asked or not self.worked or now - Interrupt._latest < AGAIN
        self.asked, Interrupt._latest = True, now
        if at_once:
            self.raised = True
            signal.default_int_handler(number, frame)
        warnings.warn(
            "interrupted: the fit ends with what was trained so far; a second Ctrl-C ends it at "
            "once, with an error",
            stacklevel=2,
        )
