import os

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each: more threads than cores crawl. Libraries read it when they are loaded, those
    # of the processes that tests start too.
    os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

# For test_fuzz.py: pytest tests/test_fuzz.py --hypothesis-profile=nightly
settings.register_profile("nightly", max_examples=500)


@pytest.fixture(scope="session")
def noisy_patterns():
    """``noisy_patterns(n, side)``: uint8 pictures of three patterns, each with noise on it."""

    def make(n, side):
        rng = np.random.RandomState(0)
        patterns = rng.randint(0, 200, (3, 1, side, side))
        noisy = patterns[rng.randint(3, size=n)] + rng.randint(0, 50, (n, 1, side, side))
        return noisy.astype(np.uint8)

    return make
