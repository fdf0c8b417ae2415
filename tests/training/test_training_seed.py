"""One seed per fit, and no trace in the global generators."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from skdeepclust.training import isolated_randomness, seeded_construction, spawn_seeds

CPU = torch.device("cpu")


@pytest.fixture
def untouched():
    """Fail when numpy's or torch's global generator has moved."""
    numpy_state, torch_state = np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    yield
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(after[1], numpy_state[1])
    assert after[2:] == numpy_state[2:]
    assert torch.equal(torch.random.get_rng_state(), torch_state)


# ------------------------------------------------------------------ spawn_seeds


@pytest.mark.usefixtures("untouched")
def test_the_first_seeds_do_not_depend_on_how_many_there_are():
    ten = spawn_seeds(0, 10)
    for k in range(10):
        assert spawn_seeds(0, k) == ten[:k]


@pytest.mark.usefixtures("untouched")
def test_seeds_differ_and_follow_the_random_state():
    seeds = spawn_seeds(0, 1000)
    assert len(set(seeds)) == 1000
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    assert spawn_seeds(0, 3) != spawn_seeds(1, 3)
    assert spawn_seeds(np.random.RandomState(0), 3) == spawn_seeds(0, 3)


@pytest.mark.usefixtures("untouched")
def test_an_instance_is_drawn_from_once():
    state = np.random.RandomState(0)
    first, second = spawn_seeds(state, 3), spawn_seeds(state, 5)
    assert first != second[:3]
    other = np.random.RandomState(0)
    other.randint(np.iinfo(np.int32).max, size=2)  # one draw per call, however many seeds
    assert state.randint(2**31 - 1) == other.randint(2**31 - 1)


def test_none_draws_from_numpys_global_generator_like_scikit_learn():
    before = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(3)  # noqa: NPY002
        first = spawn_seeds(None, 2)
        assert spawn_seeds(None, 2) != first
        np.random.seed(3)  # noqa: NPY002
        assert spawn_seeds(None, 2) == first
    finally:
        np.random.set_state(before)  # noqa: NPY002


# ------------------------------------------------------------------ torch's global generator


CONTEXTS = [
    pytest.param(seeded_construction, id="seeded_construction"),
    pytest.param(lambda seed: isolated_randomness(seed, CPU), id="isolated_randomness"),
]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("context", CONTEXTS)
def test_layers_follow_the_seed_and_nothing_else(context):
    def weights(seed):
        with context(seed):
            return nn.Linear(3, 4).weight.detach()

    first = weights(0)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


@pytest.mark.parametrize("context", CONTEXTS)
def test_draws_are_those_of_a_local_generator_of_that_seed(context):
    with context(5):
        found = torch.rand(4)
    assert torch.equal(found, torch.rand(4, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("context", CONTEXTS)
def test_surrounding_draws_do_not_see_it(context):
    state = torch.random.get_rng_state()
    expected = torch.rand(2)
    torch.random.set_rng_state(state)
    with context(0):
        torch.rand(7)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("context", CONTEXTS)
def test_state_comes_back_after_an_error(context):
    with pytest.raises(KeyError), context(0):
        raise KeyError(torch.rand(7))


def test_dropout_follows_isolated_randomness():
    def dropped():
        with isolated_randomness(0, CPU):
            return nn.functional.dropout(torch.ones(50), 0.5)

    assert torch.equal(dropped(), dropped())


def test_one_thread_builds_at_a_time():
    entered = threading.Event()

    def build():
        with seeded_construction(1):
            entered.set()

    other = threading.Thread(target=build)
    with seeded_construction(0):
        other.start()
        assert not entered.wait(0.05)
    other.join(timeout=5)
    assert entered.is_set()
    entered.clear()
    free = threading.Thread(target=build, daemon=True)  # nobody has kept the lock
    free.start()
    free.join(timeout=5)
    assert entered.is_set()


def test_a_model_may_be_built_while_another_is():
    """As by a user's factory that loads one: in a thread, or a lock would hold up the tests."""
    drawn = []

    def build():
        with seeded_construction(0):
            drawn.append(torch.rand(1))
            with seeded_construction(1):
                torch.rand(5)
            drawn.append(torch.rand(1))

    thread = threading.Thread(target=build, daemon=True)
    thread.start()
    thread.join(timeout=20)
    expected = torch.rand(2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(drawn), expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_generator_is_seeded_and_comes_back():
    device = torch.device("cuda")
    state = torch.cuda.get_rng_state(device)

    def draw():
        with isolated_randomness(0, device):
            return torch.rand(4, device=device)

    assert torch.equal(draw(), draw())
    assert torch.equal(torch.cuda.get_rng_state(device), state)
