"""Phases: what is trained, recorded, told to callbacks, stopped and printed."""

from __future__ import annotations

import json
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, StepLR

from skdeepclust.training import PhasedNet, Rows, adam

CPU = torch.device("cpu")
N, BATCH = 10, 4  # batches of 4, 3 and 3
WEIGHT, BIAS = (2.0, -1.0, 0.5), 0.3
MOMENTS = ("exp_avg", "exp_avg_sq")


@pytest.fixture
def rows():
    X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    return Rows(X, (3,), 1.0, CPU)


def zeros(*dims):
    """A linear layer that starts at zero: tests need no seed for it."""
    layer = nn.Linear(*dims)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def make_net(module=None, callbacks=None, verbose=0, seed=0):
    return PhasedNet(
        module or zeros(3, 1),
        batch_size=BATCH,
        generator=torch.Generator().manual_seed(seed),
        device=CPU,
        callbacks=callbacks,
        verbose=verbose,
    )


def truth(x):
    return x @ torch.tensor(WEIGHT) + BIAS


class Regression:
    """A step that fits the truth, and remembers what it was given."""

    def __init__(self, net, before=None):
        self.net, self.before, self.losses, self.sizes, self.indices = net, before, [], [], []

    def __call__(self, index, x):
        if self.before:
            self.before(len(self.losses))
        loss = (self.net.module_(x).squeeze(1) - truth(x)).square().mean()
        self.net.minimize(loss)
        self.losses.append(loss.item())
        self.sizes.append(len(x))
        self.indices.append(index)
        return {"loss": loss, "twice": 2 * loss}


def run(net, rows, step=None, *, name="fit", epochs=3, lr=0.1, optimizer=None, **options):
    return net.run_phase(
        name,
        rows,
        step or Regression(net),
        optimizers={"main": optimizer or SGD(net.module_.parameters(), lr)},
        epochs=epochs,
        **options,
    )


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.events.append("train_begin")

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.events.append("train_end")

    def on_epoch_begin(self, net, **kwargs):
        self.events.append("epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self.events.append("epoch_end")

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.events.append("batch_begin")

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.events.append("batch_end")

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.events.append("grad")


class StopAt(Callback):
    """Ends the training the way skorch's callbacks do."""

    def __init__(self, hook, call=1):
        self.hook, self.call, self.calls = hook, call, 0

    def initialize(self):
        setattr(self, self.hook, self._count)
        return self

    def _count(self, net, *args, **kwargs):
        self.calls += 1
        if self.calls == self.call:
            raise KeyboardInterrupt


# ------------------------------------------------------------------ one phase


def test_a_regression_is_learnt(rows):
    net = make_net()
    optimizer = adam(net.module_.parameters(), 0.1)
    assert run(net, rows, epochs=150, optimizer=optimizer) == "max_epochs"
    torch.testing.assert_close(
        net.module_.weight.detach()[0], torch.tensor(WEIGHT), atol=0.02, rtol=0
    )
    losses = net.history[:, "train_loss"]
    assert losses[-1] < 1e-3 * losses[0]


def test_adam_is_adam(rows):
    def weights(make):
        net = make_net()
        run(net, rows, epochs=4, optimizer=make(net.module_.parameters(), 0.05, betas=(0.5, 0.9)))
        return net.module_.weight.detach()

    expected = weights(lambda parameters, lr, betas: torch.optim.Adam(parameters, lr, betas))
    torch.testing.assert_close(weights(adam), expected)
    assert adam(zeros(1, 1).parameters(), 0.1).defaults["fused"] is True


def test_history_holds_one_record_per_epoch(rows):
    net = make_net()
    step = Regression(net)
    run(net, rows, step, name="pretrain", epochs=2)
    run(net, rows, name="cluster", epochs=3)
    assert net.history[:, "phase"] == ["pretrain"] * 2 + ["cluster"] * 3
    assert net.history[:, "epoch"] == [1, 2, 3, 4, 5]
    assert all(duration > 0 for duration in net.history[:, "dur"])
    # Batches are of unequal size: the epoch's loss is the mean over samples.
    assert step.sizes == [4, 3, 3] * 2
    for epoch in range(2):
        part = slice(3 * epoch, 3 * epoch + 3)
        expected = np.average(step.losses[part], weights=step.sizes[part])
        assert net.history[epoch, "train_loss"] == pytest.approx(expected, rel=1e-6)
        assert net.history[epoch, "twice"] == pytest.approx(2 * expected, rel=1e-6)
    assert all(type(loss) is float for loss in net.history[:, "train_loss"])
    json.dumps(list(net.history))


def test_every_epoch_sees_every_sample_once_in_an_order_of_the_generator(rows):
    def orders(seed):
        net = make_net(seed=seed)
        step = Regression(net)
        run(net, rows, step, epochs=2)
        return torch.cat(step.indices).tolist()

    first = orders(0)
    assert sorted(first[:N]) == sorted(first[N:]) == list(range(N))
    assert first[:N] != first[N:]
    assert orders(0) == first
    assert orders(1) != first


def test_the_same_seed_gives_the_same_bits_and_leaves_global_generators_alone(rows):
    def weights():
        net = make_net()
        run(net, rows, epochs=5)
        return net.module_.weight.detach()

    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    layer = zeros(3, 1)
    torch.random.set_rng_state(state)
    make_net(layer)
    run(make_net(layer), rows)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(weights(), weights())


def test_module_trains_in_training_mode(rows):
    net = make_net()
    net.module_.eval()
    modes = []
    run(net, rows, Regression(net, lambda _: modes.append(net.module_.training)), epochs=1)
    assert modes == [True] * 3


def test_module_is_the_one_that_was_given(rows):
    module = zeros(3, 1)
    net = make_net(module)
    run(net, rows)
    assert net.module_ is module
    assert module.weight.abs().sum() > 0


def test_no_epochs_train_nothing(rows):
    net = make_net()
    assert run(net, rows, epochs=0) == "max_epochs"
    assert len(net.history) == 0
    assert (net.module_.weight == 0).all()


# ------------------------------------------------------------------ several optimisers, schedulers


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.critic = zeros(3, 3), zeros(3, 1)
        nn.init.eye_(self.generator.weight)
        nn.init.constant_(self.critic.weight, 0.1)


def snapshot(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(module, before):
    return any(not torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))


def test_five_critic_steps_per_generator_step(rows):
    module = Pair()
    net = make_net(module)
    optimizers = {
        "critic": SGD(module.critic.parameters(), 0.1),
        "generator": SGD(module.generator.parameters(), 0.01),
    }
    schedulers = {
        "critic": StepLR(optimizers["critic"], 5, 0.5),
        "generator": LambdaLR(optimizers["generator"], lambda step: 0.1**step),
    }
    updates = []

    def minimize(loss, name):
        before = {part: snapshot(getattr(module, part)) for part in optimizers}
        net.minimize(loss, name)
        updates.append([p for p in optimizers if moved(getattr(module, p), before[p])])

    def step(index, x):
        for _ in range(5):
            fake = module.generator(x)
            critic = (module.critic(fake) - 1).square().mean()
            minimize(critic, "critic")
        adversarial = module.critic(module.generator(x)).square().mean()
        minimize(adversarial, "generator")
        return {"loss": adversarial, "critic": critic}

    reason = net.run_phase(
        "adversarial", rows, step, optimizers=optimizers, schedulers=schedulers, epochs=2
    )
    assert reason == "max_epochs"
    n_batches = 2 * 3
    assert updates == ([["critic"]] * 5 + [["generator"]]) * n_batches
    assert schedulers["critic"].last_epoch == 5 * n_batches
    assert schedulers["generator"].last_epoch == n_batches
    assert optimizers["critic"].param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**n_batches)
    assert optimizers["generator"].param_groups[0]["lr"] == pytest.approx(0.01 * 0.1**n_batches)
    assert net.optimizer_ is optimizers["critic"]  # the first one is skorch's
    assert all(np.isfinite(net.history[:, ("train_loss", "critic")]).all(1))


def test_a_step_does_not_add_the_gradients_of_another_loss():
    """The generator's step follows its own loss, though the critic's went through it before."""
    module = Pair()
    net = make_net(module)
    x = torch.ones(2, 3)
    generator = SGD(module.generator.parameters(), 1.0)
    net.optimizers_ = {"critic": SGD(module.critic.parameters(), 0.0), "generator": generator}
    net.schedulers_ = {}
    net.minimize(100 * module.critic(module.generator(x)).mean(), "critic")
    before = snapshot(module.generator)
    loss = module.critic(module.generator(x)).mean()
    expected = torch.autograd.grad(loss, list(module.generator.parameters()), retain_graph=True)
    net.minimize(loss, "generator")
    for parameter, old, grad in zip(module.generator.parameters(), before, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), old - grad)


def test_scheduler_moves_with_every_step_and_only_its_own_optimiser(rows):
    net = make_net()
    optimizer = SGD(net.module_.parameters(), 1e-3)
    rates = []
    step = Regression(net, lambda _: rates.append(optimizer.param_groups[0]["lr"]))
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    run(net, rows, step, epochs=2, optimizer=optimizer, schedulers={"main": schedule})
    np.testing.assert_allclose(rates, [1e-3 / (1 + i) for i in range(6)])


def test_a_phase_forgets_the_schedulers_of_the_one_before(rows):
    net = make_net()
    optimizer = SGD(net.module_.parameters(), 1e-3)
    schedule = StepLR(optimizer, 1, 0.5)
    run(net, rows, epochs=1, optimizer=optimizer, schedulers={"main": schedule})
    run(net, rows, epochs=1, optimizer=optimizer)
    assert schedule.last_epoch == 3


def test_minimize_knows_only_the_optimisers_of_the_phase(rows):
    net = make_net()
    with pytest.raises(KeyError, match="critic"):
        run(net, rows, lambda index, x: net.minimize(net.module_(x).mean(), "critic"))


# ------------------------------------------------------------------ stopping


def test_stop_ends_the_phase_after_the_batch(rows):
    recorder = Recorder()
    net = make_net(callbacks=[recorder])
    step = Regression(net, lambda done: net.stop("converged") if done == 4 else None)
    assert run(net, rows, step, epochs=10) == "converged"
    assert len(step.losses) == 5  # the second of the second epoch's three batches
    assert len(net.history) == 2
    expected = np.average(step.losses[3:], weights=step.sizes[3:])
    assert net.history[-1, "train_loss"] == pytest.approx(expected, rel=1e-6)
    assert recorder.events[-3:] == ["batch_end", "epoch_end", "train_end"]


def test_the_next_phase_is_not_stopped(rows):
    net = make_net()
    run(net, rows, Regression(net, lambda _: net.stop("converged")))
    assert run(net, rows, name="next", epochs=2) == "max_epochs"
    assert net.history[:, "phase"] == ["fit", "next", "next"]


def test_early_stopping_ends_a_phase_and_is_fresh_in_the_next(rows):
    net = make_net(callbacks=[EarlyStopping(monitor="train_loss", patience=3, threshold=1e9)])
    assert run(net, rows, epochs=50, lr=1e-3) == "callback"
    first = len(net.history)
    assert 3 <= first <= 5
    assert run(net, rows, epochs=50, lr=1e-3, name="next") == "callback"
    assert len(net.history) == 2 * first


def test_early_stopping_with_patience_lets_a_phase_end(rows):
    net = make_net(callbacks=[EarlyStopping(monitor="train_loss", patience=50)])
    assert run(net, rows, epochs=4) == "max_epochs"


@pytest.mark.parametrize(
    ("hook", "call", "n_batches"),
    [
        ("on_batch_end", 2, 2),
        ("on_grad_computed", 2, 2),
        ("on_batch_begin", 2, 2),
        ("on_epoch_end", 1, 3),
    ],
)
def test_callbacks_stop_a_phase_from_any_hook(rows, hook, call, n_batches):
    net = make_net(callbacks=[StopAt(hook, call)])
    step = Regression(net)
    assert run(net, rows, step) == "callback"
    assert len(step.losses) == n_batches


def test_a_users_interrupt_is_not_swallowed(rows):
    def interrupted(index, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_net(), rows, interrupted)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_phase_epoch_and_remedy(rows, value):
    net = make_net()

    def step(index, x):
        loss = net.module_(x).square().mean()
        return {"loss": loss * (value if len(net.history) == 2 and 0 in index else 1) + 1}

    net.module_.bias.data.fill_(1)
    with pytest.raises(
        FloatingPointError, match=rf"became {value} in epoch 2 \(phase 'cluster'\); lower lr"
    ):
        run(net, rows, step, name="cluster")


def test_a_diverging_fit_says_so(rows):
    with pytest.raises(FloatingPointError, match="lower lr"):
        run(make_net(), rows, lr=1e6, epochs=50)


# ------------------------------------------------------------------ callbacks


def test_callbacks_hear_of_everything_in_order(rows):
    recorder = Recorder()
    net = make_net(callbacks=[recorder])
    run(net, rows, epochs=2)
    epoch = ["epoch_begin", *["batch_begin", "grad", "batch_end"] * 3, "epoch_end"]
    assert recorder.events == ["train_begin", *epoch * 2, "train_end"]


def test_the_users_list_of_callbacks_is_left_alone():
    callbacks = [Recorder()]
    net = make_net(callbacks=callbacks)
    assert len(callbacks) == 1
    assert net.callbacks is not callbacks


def test_progress_bar_of_skorch(rows, capsys):
    net = make_net(callbacks=[ProgressBar(detect_notebook=False)])
    run(net, rows)
    run(net, rows, name="next")
    captured = capsys.readouterr()
    assert "/3" in captured.err  # three batches per epoch
    assert captured.out == ""


def test_phases_of_one_name_are_told_apart(rows, capsys):
    net = make_net(verbose=1)
    for name in ("explore", "cluster", "explore"):
        run(net, rows, name=name)
    shown = capsys.readouterr().err
    assert all(f"{title}: 100%" in shown for title in ("explore", "cluster", "explore 2"))
    assert "cluster 2" not in shown
    assert {row["phase"] for row in net.history} == {"explore", "cluster"}


@pytest.mark.parametrize("largest", [1e-3, 1e6])
def test_gradient_norm_clipping(rows, largest):
    net = make_net(callbacks=[GradientNormClipping(largest)])
    optimizer = SGD(net.module_.parameters(), 1.0)
    x = rows[slice(0, 4)]
    net.optimizers_, net.schedulers_ = {"main": optimizer}, {}
    loss = (net.module_(x).squeeze(1) - truth(x)).square().mean()
    grads = torch.autograd.grad(loss, list(net.module_.parameters()), retain_graph=True)
    norm = math.sqrt(sum(float(grad.square().sum()) for grad in grads))
    net.minimize(loss)
    length = math.sqrt(sum(float(p.detach().square().sum()) for p in net.module_.parameters()))
    assert length == pytest.approx(min(norm, largest), rel=1e-3)


def test_gradients_of_others_do_not_count_when_clipping():
    """Gradients left from the critic's loss are not part of the generator's, nor the reverse."""
    module = Pair()
    net = make_net(module, callbacks=[GradientNormClipping(1.0)])
    net.optimizers_ = {
        "critic": SGD(module.critic.parameters(), 1.0),
        "generator": SGD(module.generator.parameters(), 1.0),
    }
    net.schedulers_ = {}
    before = snapshot(module.critic)
    net.minimize((100 * module.critic(module.generator(torch.ones(2, 3)))).mean(), "critic")
    step = [a.detach() - b for a, b in zip(module.critic.parameters(), before, strict=True)]
    assert math.sqrt(sum(float(s.square().sum()) for s in step)) == pytest.approx(1, rel=1e-3)


def test_learning_rate_scheduler_finds_the_first_optimiser_of_the_phase(rows):
    net = make_net(callbacks=[LRScheduler("StepLR", step_size=1, gamma=0.5)])
    optimizer = SGD(net.module_.parameters(), 0.1)
    run(net, rows, optimizer=optimizer, epochs=3)
    np.testing.assert_allclose(net.history[:, "event_lr"], [0.1, 0.05, 0.025])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)


def test_learning_rate_scheduler_per_batch(rows):
    callback = LRScheduler("StepLR", step_size=1, gamma=0.5, step_every="batch")
    net = make_net(callbacks=[callback])
    optimizer = SGD(net.module_.parameters(), 0.1)
    run(net, rows, optimizer=optimizer, epochs=1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**3)


def test_learning_rate_scheduler_on_a_plateau(rows):
    callback = LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0, threshold=1e9)
    net = make_net(callbacks=[callback])
    run(net, rows, epochs=2)
    optimizer = SGD(net.module_.parameters(), 0.1)
    run(net, rows, name="next", optimizer=optimizer, epochs=4)
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_learning_rate_scheduler_lives_through_a_second_phase(rows):
    net = make_net(callbacks=[LRScheduler("StepLR", step_size=1, gamma=0.5)])
    run(net, rows, epochs=1)
    run(net, rows, name="next", epochs=1)


# ------------------------------------------------------------------ what is printed


def test_nothing_is_printed(rows, capsys):
    net = make_net(callbacks=[EarlyStopping(monitor="train_loss", patience=2, threshold=1e9)])
    run(net, rows, epochs=20)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_verbose_shows_one_bar_per_phase_on_stderr(rows, capsys):
    net = make_net(verbose=1)
    run(net, rows, name="pretrain", epochs=2)
    first = capsys.readouterr()
    run(net, rows, name="cluster", epochs=3)
    second = capsys.readouterr()
    for captured, name, epochs in ((first, "pretrain", 2), (second, "cluster", 3)):
        last = captured.err.rstrip("\n").split("\r")[-1]
        assert captured.out == ""
        assert captured.err.count("\n") == 1  # a finished bar is one line
        assert last.startswith(f"{name}: 100%")
        assert f"{epochs}/{epochs}" in last
        assert "train_loss=" in last
        assert "twice=" in last
        assert "dur=" not in last


def test_verbose_closes_the_bar_of_a_phase_that_stopped(rows, capsys):
    net = make_net(verbose=1)
    run(net, rows, Regression(net, lambda _: net.stop("converged")), epochs=10)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "1/10" in err.split("\r")[-1]


def test_what_has_no_epochs_is_shown_as_phases_are(capsys):
    for verbose, shown in ((0, r""), (1, r"\rstart: \d\d:\d\d *\rstart: \d\d:\d\d\n")):
        with make_net(verbose=verbose).progress_line("start"):
            pass
        assert re.fullmatch(shown, capsys.readouterr().err)


class TestAdam:
    """Adam that stays quick where units have gone silent."""

    @staticmethod
    def train(optimizer, silent, weight, steps=1000):
        rng = torch.Generator().manual_seed(1)
        for _ in range(steps):
            weight.grad = torch.randn(weight.shape, generator=rng)
            weight.grad[silent] = 0
            optimizer.step()

    @pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
    def test_moments_never_stay_subnormal_and_weights_are_those_of_torch(self, betas):
        weights, moments = {}, {}
        torchs = partial(torch.optim.Adam, fused=True)  # as ours is: the plain one rounds otherwise
        for make in (adam, torchs):
            weight = weights[make] = nn.Parameter(torch.linspace(-1, 1, 8))
            optimizer = make([weight], lr=1e-2, betas=betas)
            self.train(optimizer, [], weight, 10)
            self.train(optimizer, [2, 5], weight)  # 0.9 ** 1000 is 1e-46
            moments[make] = torch.stack([optimizer.state[weight][m] for m in MOMENTS])
        least = torch.finfo(torch.float32).tiny
        ours = moments[adam]
        assert not ((ours != 0) & (ours.abs() < least)).any()
        assert (ours[0, [2, 5]] == 0).all()
        torch.testing.assert_close(weights[adam], weights[torchs], rtol=0, atol=0)
        if betas == (0.9, 0.999):  # or this would be a test of nothing
            theirs = moments[torchs]
            assert ((theirs != 0) & (theirs.abs() < least)).any()
