"""Ctrl-C as a wish: the batch is finished, and what was trained becomes a fitted estimator."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether the user has asked a fit to end.

    Attributes
    ----------
    asked : bool
        The first Ctrl-C since anything was trained only sets it; another one raises, and so does
        one before.
    worked : bool
        Whether anything was trained.
    """

    def __init__(self):
        self.asked = self.worked = False

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
            signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number, frame) -> None:
        at_once = self.asked or not self.worked
        self.asked = True
        if at_once:
            signal.default_int_handler(number, frame)
        warnings.warn(
            "interrupted: the fit ends with what was trained so far; a second Ctrl-C ends it at "
            "once, with an error",
            stacklevel=2,
        )
