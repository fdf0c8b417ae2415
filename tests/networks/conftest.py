import pytest
import torch


@pytest.fixture(autouse=True)
def _same_layers():
    """Layers draw from torch's global generator: seed it, and put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
