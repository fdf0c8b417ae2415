"""One seed drawn per fit; every stream of random numbers comes from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

# Building layers draws from torch's global generator, which threads share: one builds at a time.
# Within itself, a user's factory may load or fit a model of ours.
_global_generator = threading.RLock()


def spawn_seeds(random_state, n: int) -> list[int]:
    """Draw once from ``random_state`` and derive n seeds; the first k do not depend on n."""
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(entropy).spawn(n)]


@contextmanager
def seeded_construction(seed: int) -> Iterator[None]:
    """Seed torch's global generator while layers are built, and put it back."""
    with _global_generator, torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the GPUs' too.
        torch.random.default_generator.manual_seed(seed)
        yield


@contextmanager
def isolated_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for code that knows no other, and put them back.

    Our own draws come from local generators; this is for a user's network (dropout) and
    augmentation, so that they too follow ``random_state`` and leave no trace. Fits in threads side
    by side share the global generators while they last.
    """
    cuda = _kept_cuda_state.kept() if device.type == "cuda" else nullcontext()
    with _kept_cpu_state.kept(), cuda:
        with _global_generator:
            torch.random.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
        yield


class SharedSetting:
    """A global setting that overlapping fits change: the first to come keeps it, and the last to go
    puts it back. Each keeping its own would put back that of another fit.

    Parameters
    ----------
    get, put : callable
        Read the setting, and write what was read.
    lock : lock
        Held for either.
    """

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None], lock):
        self._get, self._put, self._lock = get, put, lock
        self._users = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._before = self._get()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._put(self._before)


_kept_cpu_state = SharedSetting(torch.get_rng_state, torch.set_rng_state, _global_generator)
_kept_cuda_state = SharedSetting(
    torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all, _global_generator
)
