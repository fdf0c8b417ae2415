"""The one skorch net of this package: phases, several optimisers, batches cut by index.

skorch brings the history, the callbacks and their hooks. What it does per batch through a
DataLoader and ``loss.item()`` is replaced: batches come from :class:`Batches`, and losses stay on
the device until the epoch is over.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from skorch import NeuralNet
from skorch.callbacks import EpochTimer
from skorch.utils import TeeGenerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._batches import Batches, Rows
from ._device import fast_matmul
from ._interrupt import Interrupt
from ._progress import PhaseProgress, progress_line


class Keeper:
    """Keeps the state of a training as it goes on; this one keeps nothing."""

    def phase_begins(self, net: PhasedNet) -> int | None:
        """How many epochs of the phase lie behind; None where the whole phase does."""
        return 0

    def epoch_ends(self, net: PhasedNet, epochs: int, steps: int) -> None:
        """So many epochs of the phase are done, of so many steps each."""

    def go_back(self, net: PhasedNet, why: str) -> int | None:
        """Restore the last state that was kept, at half the rate; how many epochs then lie behind.
        None where there is no way back."""
        return None


# One training step: from a batch's indices and samples to its losses by name; "loss" comes first.
Step = Callable[[Tensor, Tensor], Mapping[str, Tensor]]


def adam(parameters: Iterable[nn.Parameter], lr: float, **options) -> torch.optim.Adam:
    """Adam in its fused form, which costs less than the default one on every device we run on."""
    optimizer = torch.optim.Adam(parameters, lr, fused=True, **options)
    optimizer.register_step_post_hook(forget_vanished)
    return optimizer


# Moments of Adam below this move no weight, for what they are divided by is at least 1e-8, and in
# a hundred steps at 0.9 they fall to 1e-35 and not further.
VANISHED, VANISHED_EVERY = 1e-30, 100


@torch.no_grad()
def forget_vanished(optimizer: torch.optim.Adam, *_) -> None:
    """Every hundred steps, set moments of Adam to zero that have decayed to nothing.

    Where a unit went silent they halve every seven steps until they are subnormal, and a CPU takes
    up to twenty times as long for such numbers; rounding then keeps them from ever becoming zero.
    """
    states = optimizer.state.values()
    step = next((state["step"] for state in states), None)
    if step is None or step.device.type != "cpu" or step.item() % VANISHED_EVERY:
        return
    for moment in (state[name] for state in states for name in ("exp_avg", "exp_avg_sq")):
        moment.copy_(F.hardshrink(moment, VANISHED))


class PhasedNet(NeuralNet):
    """Train a module in named phases, each with its own step and optimisers.

    Parameters
    ----------
    module : nn.Module
        Already built.
    batch_size : int
        Samples per step.
    generator : torch.Generator
        Draws the order of the samples.
    device : torch.device
    keeper : Keeper, optional
        Asked where a phase begins, and told of every epoch.
    interrupt : Interrupt, optional
        Asked after every batch whether to go on.
    callbacks : list of skorch callbacks or None
        Told of every phase, epoch, batch and gradient.
    verbose : int
        Above 0: one progress line per phase, and for what has one by :meth:`progress_line`.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        batch_size: int,
        generator: torch.Generator,
        device: torch.device,
        keeper: Keeper | None = None,
        interrupt: Interrupt | None = None,
        callbacks: list | None = None,
        verbose: int = 0,
    ):
        self.generator = generator
        self.keeper, self.interrupt = keeper or Keeper(), interrupt or Interrupt()
        self.begun_ = Counter()
        super().__init__(
            module,
            criterion=nn.Identity,
            train_split=None,
            batch_size=batch_size,
            device=device,
            callbacks=list(callbacks or []),
            verbose=verbose,
        )
        self.initialize()

    @property
    def _default_callbacks(self) -> list:
        progress = [("progress", PhaseProgress())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *progress]

    def initialize_optimizer(self, triggered_directly=None):
        """Each phase brings its own optimisers."""
        return self

    def notify(self, method_name, **cb_kwargs):
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:  # skorch's way for a callback to end the training
            if self.interrupt.raised:  # but this is the user's
                raise
            self.stop("callback")

    def stop(self, reason: str) -> None:
        """End the running phase after this batch; ``reason`` becomes ``stop_reason_``."""
        self.stop_reason_ = reason

    def record(self, name: str, value) -> None:
        """Record with the last epoch, where there was one: a callback may end a phase before."""
        if self.history:
            self.history.record(name, value)

    def note(self, name: str, value) -> None:
        """Record what is no number with the running epoch, after its callbacks: they take all that
        the history has for numbers to plot or log."""
        self.notes_[name] = value

    def _record_notes(self) -> None:
        for name, value in self.notes_.items():
            self.history.record(name, value)

    def progress_line(self, name: str) -> AbstractContextManager[None]:
        """Shown for the duration where phases are."""
        return progress_line(name, shown=bool(self.verbose))

    def run_phase(
        self,
        name: str,
        rows: Rows,
        step: Step,
        *,
        optimizers: Mapping[str, Optimizer],
        epochs: float,
        schedulers: Mapping[str, LRScheduler] | None = None,
    ) -> str:
        """Train for ``epochs`` or until :meth:`stop` is called, whichever comes first.

        Parameters
        ----------
        name : str
            Recorded with each epoch in the history.
        rows : Rows
        step : callable
            ``step(index, x)`` trains on one batch by calling :meth:`minimize`, once or more often,
            and returns the losses to record, "loss" among them.
        optimizers : dict of str to Optimizer
            The first one is skorch's ``optimizer_``, which callbacks know.
        epochs : float
            An integer, or below 1: that share of one epoch's batches.
        schedulers : dict of str to LRScheduler, optional
            Moved on at every step of the optimiser of the same name.

        Returns
        -------
        str
            "max_epochs", "callback", "interrupted", or what :meth:`stop` was given.

        Raises
        ------
        FloatingPointError
            When the loss or a weight becomes infinite or NaN a second time; after the first,
            training goes back by an epoch or a few steps, with half the learning rate.
        """
        self.epochs_done_ = 0
        if self.interrupt.asked:
            return "interrupted"
        self.phase_, self.phase_epochs_, self.stop_reason_ = name, math.ceil(epochs), None
        self.begun_[name] += 1
        # For who looks on: several networks have phases of the same names, one after another.
        self.phase_title_ = name + (f" {self.begun_[name]}" if self.begun_[name] > 1 else "")
        self.optimizers_, self.schedulers_ = dict(optimizers), dict(schedulers or {})
        # Not registered with skorch: its parameters are the phase's, not ones to be set by name.
        self.__dict__["optimizer_"] = next(iter(self.optimizers_.values()))
        for chosen in self.optimizers_.values():
            for group in chosen.param_groups:  # skorch's LRScheduler resumes from it
                group.setdefault("initial_lr", group["lr"])
        self.halved_ = False
        done = self.keeper.phase_begins(self)
        if done is None or not epochs:
            return "max_epochs"
        batches = Batches(rows, self.batch_size, self.generator)
        n_batches = len(batches) if epochs >= 1 else round(epochs * len(batches))
        self.module_.train()
        # Not for what follows a training: predict must come to the same labels.
        with fast_matmul(rows.device):
            self.notify("on_train_begin", X=rows)
            while done < math.ceil(epochs) and not self.stop_reason_:
                self.notify("on_epoch_begin", dataset_train=rows)
                self.notes_ = {"phase": name}
                iterator = itertools.islice(batches, n_batches)
                self.run_single_epoch(iterator, training=True, prefix="train", step_fn=step)
                if diverged := self._diverged():
                    done = None if self.halved_ else self.keeper.go_back(self, diverged)
                    if done is None:
                        raise FloatingPointError(
                            f"{diverged} in epoch {self.history[-1, 'epoch']} (phase {name!r}); "
                            "lower lr, or look for extreme values in X"
                        )
                    continue
                self.notify("on_epoch_end", dataset_train=rows)
                self._record_notes()
                done += 1
                if not self.interrupt.asked:
                    self.keeper.epoch_ends(self, done, n_batches)
            self.epochs_done_ = done
            self.notify("on_train_end", X=rows)
        return self.stop_reason_ or "max_epochs"

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        found, seen = defaultdict(list), 0
        for index, x in iterator:
            self.notify("on_batch_begin", batch=x, training=training)
            losses = step_fn(index, x)
            seen += len(x)
            for name, value in losses.items():
                found[name].append((value.detach(), len(x)))
            self.notify("on_batch_end", batch=x, training=training, **losses)
            self.interrupt.note_work()
            if self.interrupt.asked:
                self.stop("interrupted")
            if self.stop_reason_:
                break
        for name, pairs in found.items():
            key = f"{prefix}_loss" if name == "loss" else name  # callbacks look for "train_loss"
            values, weights = zip(*pairs, strict=True)
            total = torch.stack(values).cpu().double() @ torch.tensor(weights, dtype=torch.float64)
            self.history.record(key, total.item() / seen)

    def minimize(self, loss: Tensor, optimizer: str = "main") -> None:
        """One step of the named optimiser down the gradient of ``loss``."""
        chosen = self.optimizers_[optimizer]
        for group in chosen.param_groups:  # zero_grad takes a small network as long as a layer
            for parameter in group["params"]:
                parameter.grad = None
        loss.backward()
        # Callbacks see this optimiser's gradients: the others' are not of this loss.
        named = TeeGenerator(self._parameters_of(chosen))
        self.notify("on_grad_computed", named_parameters=named, training=True)
        chosen.step()
        if optimizer in self.schedulers_:
            self.schedulers_[optimizer].step()

    def _parameters_of(self, optimizer: Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        yield from ((name, p) for name, p in self.get_all_learnable_params() if id(p) in owned)

    def _diverged(self) -> str | None:
        """What the epoch left that is no number."""
        if not math.isfinite(loss := self.history[-1, "train_loss"]):
            return f"the loss became {loss}"
        # That is from before the last step, which a state to go back to must have survived too.
        groups = itertools.chain(*(chosen.param_groups for chosen in self.optimizers_.values()))
        sums = [weight.detach().sum() for group in groups for weight in group["params"]]
        return None if torch.stack(sums).isfinite().all() else "a weight became infinite or NaN"
