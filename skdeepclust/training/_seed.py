"""One seed drawn per fit; every stream of random numbers comes from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

# Building layers draws from torch's global generator, which threads share: one builds at a time.
_global_generator = threading.Lock()


def spawn_seeds(random_state, n: int) -> list[int]:
    """Draw once from ``random_state`` and derive n seeds; the first k do not depend on n."""
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(entropy).spawn(n)]


@contextmanager
def seeded_construction(seed: int) -> Iterator[None]:
    """Seed torch's global generator while layers are built, and put it back."""
    with _global_generator, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def isolated_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for code that knows no other, and put them back.

    Our own draws come from local generators; this is for a user's network (dropout) and
    augmentation, so that they too follow ``random_state`` and leave no trace.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.random.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
