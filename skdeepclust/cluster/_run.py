"""One restart: what lives as long as a training does, and how it is kept and taken up again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from skorch.history import History
from torch import Tensor
from torch.optim import Optimizer

from .._persistence import apply_settings, settings
from ..exceptions import NonFiniteLossWarning
from ..training import Keeper, PhasedNet, Rows, map_rows
from ._neighbors import NeighborInformation

# What is no number takes a training back to the end of the epoch before, or over short ones
# by so many steps at most: a state kept at the end of each would cost more than they do.
STEPS_BACK = 10
# What a run has found out so far, beside its network and its memory.
FINDINGS = (
    "n_iter",
    "converged",
    "stop_reason",
    "score",
    "labels",
)


@dataclass
class Run(Keeper):
    """One restart. A training is a sequence of stages, each a function of the run; what one leaves
    to another, and what a training step must not forget, it puts into ``memory``."""

    rows: Rows
    seed: int
    device: torch.device
    module: ClusteringModule = None  # noqa: F821 - of the base, which imports this file
    net: PhasedNet = None
    # Of the data; more than there are rows where a fitted module's form is made without it.
    n_samples: int | None = None
    # From the indices and the samples of a batch to transformed samples, where an algorithm
    # has a use for them.
    transform: Callable[[Tensor, Tensor], Tensor] | None = None
    n_iter: int = 0
    converged: bool = False
    stop_reason: str = "max_epochs"
    # The unsupervised objective, by which restarts are compared.
    score: float = -np.inf
    # Of the whole data, as predict gives them, where a training ends with them.
    labels: Tensor | None = None
    # How it ended, once it has.
    history: History | None = None
    # Tensors, numbers and words by name.
    memory: dict = field(default_factory=dict)
    # The state to go on from, and what is told of every new one.
    resumed: dict | None = None
    keep: Callable[[dict], None] | None = None
    stage: int = 0
    done: bool = False
    generator: torch.Generator = field(init=False)
    rng: np.random.RandomState = field(init=False)

    def __post_init__(self):
        if self.n_samples is None and self.rows is not None:
            self.n_samples = len(self.rows)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.rng = np.random.RandomState(self.seed % 2**32)

    def map(self, function) -> Tensor:
        """``function`` of every sample, in evaluation mode."""
        return map_rows(function, self.module, self.rows)

    @cached_property
    def information(self) -> NeighborInformation:
        """By which restarts are compared, and partly starts; searches the data once."""
        return NeighborInformation(self.rows.X)

    def remember(self, **initial) -> dict:
        """The memory, in which what is not there yet has these values."""
        for name, value in initial.items():
            self.memory.setdefault(name, value)
        return self.memory

    def ended(self) -> Run:
        """What counts after training, to be sent to another process."""
        outcome = Run(None, self.seed, torch.device("cpu"))
        for name in (*FINDINGS, "history"):
            setattr(outcome, name, getattr(self, name))
        outcome.module, outcome.labels = self.module.cpu(), self.labels.cpu()
        return outcome

    def end(self, stop_reason: str) -> None:
        """Record how the phase that ran last ended."""
        self.stop_reason, self.converged = stop_reason, stop_reason == "converged"
        self.n_iter = self.net.epochs_done_

    def perform(self, *stages: Callable[[Run], None]) -> None:
        """The stages in their order, from the one in which the resumed state was taken.

        A stage that has no training phase runs whole or not at all. In one that has, what comes
        before the phase runs again, so that it may not leave anything but what it finds anew.
        """
        for self.stage, stage in enumerate(stages):
            if self.resumed is not None:
                if self.resumed["done"] or self.stage < self.resumed["stage"]:
                    continue
                self._restore(self.resumed)
            stage(self)
            self.resumed = None
        self.done = True
        if self.resumed is not None:
            self._restore(self.resumed)
        self.memory.clear()  # or the states of later restarts would keep it

    # ------------------------------------------------------------------ what the engine asks

    def phase_begins(self, net: PhasedNet) -> int | None:
        """How many epochs of the phase lie behind; None where the whole phase does."""
        epochs = 0
        if self.resumed is not None:
            if self.resumed["phase"] != net.phase_:
                return None
            epochs = self._resume_phase(net, self.resumed)
            self.resumed = None
        self._good = self.state(net, epochs)
        return epochs

    def epoch_ends(self, net: PhasedNet, epochs: int, steps: int) -> None:
        # By the number of the epoch: a training that was taken up again keeps the same ones.
        due = epochs % math.ceil(STEPS_BACK / steps) == 0
        if not (due or self.keep):
            return
        state = self.state(net, epochs)
        if due:
            self._good = state
        if self.keep is not None:
            self.keep(state)

    def go_back(self, net: PhasedNet, why: str) -> int:
        """To the last state kept, with half the learning rate; how many epochs lie behind."""
        warnings.warn(
            f"{why} in phase {net.phase_!r}: training goes back to where all was finite, with half "
            "the learning rate",
            NonFiniteLossWarning,
            stacklevel=2,
        )
        self._restore(self._good)
        epochs = self._resume_phase(net, self._good)
        net.halved_ = True
        for optimizer in net.optimizers_.values():
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
                group["initial_lr"] *= 0.5
        for scheduler in net.schedulers_.values():
            scheduler.base_lrs = [0.5 * rate for rate in scheduler.base_lrs]
        return epochs

    # ------------------------------------------------------------------ state

    def state(self, net: PhasedNet | None = None, epochs: int = 0) -> dict:
        """All that a run needs to go on from here: nested dicts and lists of tensors, numbers and
        words, none of which training will change."""
        state = {
            "stage": self.stage,
            "done": self.done,
            "phase": None,
            "module": self.module.state_dict(),
            "settings": settings(self.module),
            "memory": self.memory,
            "findings": {name: getattr(self, name) for name in FINDINGS},
            "neighbors": self.information.replacement,
            "generator": self.generator.get_state(),
            "rng": self.rng.get_state(legacy=False),
            # Of a user's network.
            "torch": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        if net is not None:
            state |= {
                "phase": net.phase_,
                "epochs": epochs,
                "halved": net.halved_,
                "stopped": net.stop_reason_,
                "optimizers": {n: o.state_dict() for n, o in net.optimizers_.items()},
                "schedulers": {n: s.state_dict() for n, s in net.schedulers_.items()},
            }
        # An epoch that has ended does not change: copied, many short ones would take longer to keep
        # than to train.
        return copied(state) | {"history": list(self.net.history)}

    def _restore(self, state: dict) -> None:
        state = copied(state)
        self.module.load_state_dict(state["module"])
        apply_settings(self.module, state["settings"])
        # Steps hold on to the memory: its content changes, not the dict.
        self.memory.clear()
        self.memory.update({name: self._here(value) for name, value in state["memory"].items()})
        for name, value in state["findings"].items():
            setattr(self, name, self._here(value))
        self.information.replacement = state["neighbors"]
        self.net.history = History(state["history"])
        self._restore_randomness(state)

    def _here(self, value):
        return value.to(self.device) if isinstance(value, Tensor) else value

    def _restore_randomness(self, state: dict) -> None:
        self.generator.set_state(state["generator"])
        self.rng.set_state(state["rng"])
        torch.set_rng_state(state["torch"])
        if "cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def _resume_phase(self, net: PhasedNet, state: dict) -> int:
        state = copied(state)
        for name, optimizer in net.optimizers_.items():
            load_optimizer(optimizer, state["optimizers"][name])
        for name, scheduler in net.schedulers_.items():
            scheduler.load_state_dict(state["schedulers"][name])
        net.halved_, net.stop_reason_ = state["halved"], state["stopped"]
        self._restore_randomness(state)
        return state["epochs"]


def load_optimizer(optimizer: Optimizer, state: dict) -> None:
    """``load_state_dict``, with moments that lie in memory as their parameters do: fused steps go
    through both by position."""
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                values[name] = torch.empty_like(parameter).copy_(value)


def copied(value):
    """A copy of nested dicts, lists and tuples whose tensors and arrays are copies too."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return value
