"""Fits that are ended from outside: killed and taken up again, interrupted, without a disk."""

import errno
import itertools
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from skorch.callbacks import Callback

import skdeepclust
from skdeepclust import DVC, Checkpoint, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust._tensor_file import read, write
from skdeepclust.cluster import _mixture_search, _neural_mixture_em, _self_training
from skdeepclust.cluster._checkpoint import CheckpointFile
from skdeepclust.cluster._run import STEPS_BACK, Run
from skdeepclust.exceptions import CheckpointError, CheckpointWarning, NonFiniteLossWarning
from skdeepclust.training import Interrupt, _interrupt

SMALL = {
    StatDEC: {
        "hidden_dims": (16, 8),
        "latent_dim": 3,
        "pretrain": "layer_wise",
        "pretrain_epochs": 2,
        "max_epochs": 5,
        "tol": 0.0,
    },
    DVC: {  # convolutions, whose weights and moments lie channels last
        "input_shape": (1, 8, 8),
        "hidden_dims": (4, 8),
        "latent_dim": 2,
        "pretrain_epochs": 2,
        "max_epochs": 3,
        "tol": 0.0,
    },
    NeuralMixtureEM: {
        "hidden_dims": (8,),
        "latent_dim": 4,
        "init": "random",
        "n_starts": 4,
        "n_networks": 2,
        "start_epochs": 3,
        "max_epochs": 5,
        "tol": 0.0,
        "batch_size": 16,
    },
    PreciseFeatureGAN: {
        "hidden_dims": (16, 16),
        "max_epochs": 8,
        "batch_size": 32,
        "noise_rise": 0.5,
    },
}
each = pytest.mark.parametrize("Estimator", SMALL, ids=lambda E: E.__name__)
# What differs from fit to fit, whatever else is the same.
CLOCK = ("dur",)


def small(Estimator, **params):
    settings = next(SMALL[kind] for kind in Estimator.__mro__ if kind in SMALL)
    return Estimator(3, **{"random_state": 0, "n_init": 2, **settings, **params})


class LeavesEmpty(NeuralMixtureEM):
    """A cluster of every network, so that the next one's starts have more."""

    __init__ = NeuralMixtureEM.__init__

    def _unsupervised_scores(self, run, heads):
        scores, labels = super()._unsupervised_scores(run, heads)
        return scores, labels.clamp(max=1) if heads is run.module.mixture else labels


@pytest.fixture(autouse=True)
def ctrl_c(monkeypatch):
    """Heard, as in a terminal: what is started in the background has it ignored. No other test's
    counts."""
    monkeypatch.setattr(Interrupt, "_latest", -math.inf)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module", name="X")
def blobs():
    X = make_blobs(120, centers=3, n_features=64, random_state=0)[0]
    return ((X - X.min()) / np.ptp(X)).astype(np.float32)


def outcome(fitted):
    """All that a fit leaves, but for the clock."""
    history = [{k: v for k, v in row.items() if k not in CLOCK} for row in fitted.history_]
    state = {n: t.numpy().tobytes() for n, t in fitted.module_.state_dict().items()}
    plain = (fitted.labels_.tolist(), fitted.restart_scores_.tolist(), fitted.n_iter_)
    return plain, fitted.stop_reason_, history, state


class CrashError(Exception):
    pass


class CrashAfter(Callback):
    """Raises at the end of the batch of this number."""

    def __init__(self, batches):
        self.batches = batches

    def on_batch_end(self, net, **kwargs):
        self.batches -= 1
        if self.batches == 0:
            raise CrashError


class Count(Callback):
    def __init__(self):
        self.batches, self.epochs = 0, 0

    def on_batch_end(self, net, **kwargs):
        self.batches += 1

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


IMAGES = {"input_shape": (1, 8, 8), "batch_size": 32, "n_init": 1}
# Searched ones, and one from clusters along principal components.
ALL_NETWORKS = {"init": "auto", "augment": "affine", "n_networks": "auto"}


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        *((E, {}) for E in SMALL),
        (NeuralMixtureEM, {"init": "auto"}),
        (LeavesEmpty, IMAGES),
        (NeuralMixtureEM, IMAGES | ALL_NETWORKS),
    ],
)
def test_a_fit_that_crashed_goes_on_to_the_same_end(Estimator, params, X, tmp_path, monkeypatch):
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    monkeypatch.setattr(_mixture_search, "WELL_PREDICTED", 9.0)  # no network does
    count = Count()
    expected = outcome(small(Estimator, callbacks=[count], **params).fit(X))
    for number in np.linspace(1, count.batches, 6).astype(int):
        checkpoint = Checkpoint(tmp_path / f"{number}.checkpoint", epochs=1)
        crashing = small(Estimator, checkpoint=checkpoint, callbacks=[CrashAfter(number)], **params)
        with pytest.raises(CrashError):
            crashing.fit(X)
        rest = Count()
        resumed = small(Estimator, checkpoint=checkpoint, callbacks=[rest], **params).fit(X)
        assert outcome(resumed) == expected, f"batch {number} of {count.batches}"
        # It did go on, rather than begin anew: at most the epoch of the crash was done again.
        per_epoch = count.batches / count.epochs
        assert rest.batches <= count.batches - number + 2 * per_epoch


def test_neighbors_by_which_restarts_are_compared_come_back(X, tmp_path, monkeypatch):
    """Those that a start of other components leaves."""
    found = torch.eye(3)[torch.arange(120) % 3], torch.arange(600).view(120, 5) % 120
    monkeypatch.setattr(_self_training, "whitened_start", lambda *_: found)
    count = Count()
    expected = outcome(small(StatDEC, n_init=1, callbacks=[count]).fit(X))
    checkpoint = Checkpoint(tmp_path / "fit.checkpoint", epochs=1)
    crash = CrashAfter(count.batches - 1)
    with pytest.raises(CrashError):
        small(StatDEC, n_init=1, checkpoint=checkpoint, callbacks=[crash]).fit(X)
    assert outcome(small(StatDEC, n_init=1, checkpoint=checkpoint).fit(X)) == expected


def test_a_fit_that_crashed_while_it_looked_elsewhere(tmp_path, monkeypatch):
    """After the search of a mixture of images, of which nothing is left."""
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)
    found = torch.eye(3)[torch.arange(120) % 3], torch.arange(600).view(120, 5) % 120
    monkeypatch.setattr(_neural_mixture_em, "whitened_start", lambda *_: found)
    X = np.random.RandomState(0).uniform(size=(120, 64)).astype(np.float32)  # nothing lies apart
    params = {"init": "auto", "input_shape": (1, 8, 8), "n_init": 1, "max_epochs": 5}
    count = Count()
    expected = outcome(small(NeuralMixtureEM, callbacks=[count], **params).fit(X))
    per_epoch = count.batches // count.epochs
    n_last = params["max_epochs"] * per_epoch  # batches of what was found elsewhere
    for number in (count.batches - n_last - 1, count.batches - n_last + 1, count.batches - 1):
        checkpoint = Checkpoint(tmp_path / f"{number}.checkpoint", epochs=1)
        crash = CrashAfter(number)
        with pytest.raises(CrashError):
            small(NeuralMixtureEM, checkpoint=checkpoint, callbacks=[crash], **params).fit(X)
        resumed = small(NeuralMixtureEM, checkpoint=checkpoint, **params).fit(X)
        assert outcome(resumed) == expected


def fit_and_say(Estimator, X, path, pipe):
    torch.set_num_threads(1)
    pipe.send(None)  # everything is imported
    fitted = small(Estimator, checkpoint=Checkpoint(path, epochs=1)).fit(X)
    pipe.send(outcome(fitted))


@pytest.fixture(scope="module")
def processes():
    """Processes begin with everything imported, and no thread has been started in them."""
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler, which is large, at the first step of an optimiser.
    preload = ["skdeepclust", "sklearn.datasets", "torch._dynamo", __name__]
    context.set_forkserver_preload(preload)
    first = context.Process(target=int)  # imports all that, so that no fit is timed with it
    first.start()
    first.join()
    return context


def run_until(processes, Estimator, X, path, seconds):
    """The outcome of a fit in another process, or None if it is killed after so many seconds."""
    mine, its = processes.Pipe()
    process = processes.Process(target=fit_and_say, args=(Estimator, X, path, its))
    process.start()
    its.close()  # so that one that dies is not waited for
    mine.recv()
    found = mine.recv() if seconds is None or mine.poll(seconds) else None
    if found is None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return found


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@each
def test_killed_at_random_moments(Estimator, X, tmp_path, processes):
    start = time.perf_counter()
    expected = run_until(processes, Estimator, X, tmp_path / "whole", None)
    whole = time.perf_counter() - start
    rng, path = np.random.RandomState(0), tmp_path / "killed"
    found, kills = None, 0
    while found is None or kills == 0:
        if found is not None:  # the machine had become quicker, and the fit ended unharmed
            path.unlink(missing_ok=True)
            whole /= 2
        found = run_until(processes, Estimator, X, path, rng.uniform(0, whole / 2))
        kills += found is None
        if kills == 20:
            found = run_until(processes, Estimator, X, path, None)
    assert kills > 0
    assert found == expected


@each
def test_an_ended_fit_is_not_run_again(Estimator, X, tmp_path):
    count = Count()
    first = small(Estimator, checkpoint=tmp_path / "fit").fit(X)
    again = small(Estimator, checkpoint=str(tmp_path / "fit"), callbacks=[count]).fit(X)
    assert count.batches == 0
    assert outcome(again) == outcome(first)


def test_an_ended_fit_of_many_images_is_not_run_again(noisy_patterns, tmp_path, monkeypatch):
    """The network that "auto" stands for depends on their number."""
    monkeypatch.setattr("skdeepclust.cluster._stat_dec.MANY_SAMPLES", 40)
    images, count = noisy_patterns(50, 16), Count()
    short = {"random_state": 0, "pretrain_epochs": 1, "max_epochs": 1, "checkpoint": tmp_path / "f"}
    first = StatDEC(3, **short).fit(images)
    again = StatDEC(3, callbacks=[count], **short).fit(images)
    assert count.batches == 0
    assert outcome(again) == outcome(first)


@each
def test_an_ended_fit_keeps_nothing_for_training(Estimator, X, tmp_path):
    path = tmp_path / "fit"
    small(Estimator, checkpoint=path).fit(X)
    rows = small(Estimator)._validate_training_data(X, torch.device("cpu"))
    progress = CheckpointFile(path, small(Estimator), rows).load()
    assert progress.best["memory"] == {}


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
def test_parameters_of_numpy(Estimator, X, tmp_path):
    """As a grid search gives them."""
    params = {"degrees_of_freedom": np.float64(1.5)}
    if Estimator is DVC:
        params["prior_weight"] = np.float64(0.1)
    expected = outcome(small(Estimator, **params).fit(X))
    params["checkpoint"] = Checkpoint(tmp_path / "fit", epochs=1)
    with pytest.raises(CrashError):
        small(Estimator, callbacks=[CrashAfter(30)], **params).fit(X)
    assert outcome(small(Estimator, **params).fit(X)) == expected


class Record(Callback):
    def __init__(self, what):
        self.what = what

    def on_epoch_end(self, net, **kwargs):
        net.history.record("what", self.what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({1, 2}, r"what=\{1, 2\} cannot be kept in a file"),
        # A file could have it imported by who goes on.
        (np.mean, "the history holds numpy:mean, which no file may"),
    ],
)
def test_what_a_callback_records_and_no_file_can_hold_costs_the_checkpoint_alone(
    what, message, X, tmp_path
):
    checkpoint = Checkpoint(tmp_path / "fit", epochs=1)
    with pytest.warns(CheckpointWarning, match=message):
        model = small(StatDEC, callbacks=[Record(what)], checkpoint=checkpoint).fit(X)
    assert model.history_[-1]["what"] is what
    assert not (tmp_path / "fit").exists()


@pytest.mark.parametrize(
    "what",
    [{np.int64(0): np.float32(0.5)}, {(1, 2): 3, "a": [4]}, {"$tensor": 1}, {"$import": "x"}],
)
def test_what_a_callback_records_comes_back(what, X, tmp_path):
    params = {"callbacks": [Record(what)], "checkpoint": Checkpoint(tmp_path / "fit", epochs=1)}
    expected = small(StatDEC, **params).fit(X).history_
    again = small(StatDEC, **params).fit(X)
    assert again.history_[:, "what"] == expected[:, "what"] == [what] * len(expected)
    again.set_params(callbacks=None).save(tmp_path / "model")
    assert skdeepclust.load(tmp_path / "model").history_[-1]["what"] == what


def test_a_checkpoint_imports_nothing(X, tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", epochs=1)
    small(StatDEC, checkpoint=checkpoint).fit(X)
    tensors, metadata = read(checkpoint.path)
    metadata["progress"]["scores"] = {"$estimator": "builtins:exit", "parameters": {}}
    del metadata["format"]
    write(checkpoint.path, tensors, metadata)
    with pytest.raises(CheckpointError, match="asks to import builtins:exit"):
        small(StatDEC, checkpoint=checkpoint).fit(X)


def test_any_seed_is_the_checkpoint_s(X, tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", epochs=1)
    with pytest.raises(CrashError):
        small(StatDEC, random_state=None, checkpoint=checkpoint, callbacks=[CrashAfter(30)]).fit(X)
    first = small(StatDEC, random_state=None, checkpoint=checkpoint).fit(X)
    with pytest.warns(CheckpointWarning, match="has ended: it is taken over as it is"):
        again = small(StatDEC, random_state=None, checkpoint=checkpoint).fit(X)
    assert outcome(again) == outcome(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "its parameters: {'lr': 0.002}, this fit's: {'lr': 0.5}"),
        ({"random_state": 1}, "its random_state: 0, this fit's: 1"),
        ({"X": 2}, "its data are others"),
        ({"version": "0.0"}, "its versions: {'skdeepclust': "),
        ({"Estimator": DVC}, "its class: StatDEC, this fit's: DVC"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_fit_is_refused(change, message, X, tmp_path, monkeypatch):
    path = tmp_path / "fit"
    small(StatDEC, checkpoint=path).fit(X)
    content = path.read_bytes()
    params = dict(change)
    data = params.pop("X", 1) * X
    if version := params.pop("version", None):
        monkeypatch.setattr("skdeepclust._tensor_file.__version__", version)
    other = small(params.pop("Estimator", StatDEC), checkpoint=path, **params)
    with pytest.raises(CheckpointError, match="remove the file or give another path") as caught:
        other.fit(data)
    assert message in str(caught.value)
    assert path.read_bytes() == content
    assert not hasattr(other, "labels_")


def test_what_is_no_checkpoint_is_refused(X, tmp_path):
    path = tmp_path / "fit"
    model = small(StatDEC, checkpoint=path).fit(X)
    content = path.read_bytes()
    for wrong in (b"", b"text", content[: len(content) // 2], content[:-1] + b"\xff"):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError, match="no checkpoint, or damaged"):
            small(StatDEC, checkpoint=path).fit(X)
        assert path.read_bytes() == wrong
    model.save(path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        small(StatDEC, checkpoint=path).fit(X)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is the checkpoint of a fit, not a model"):
        skdeepclust.load(path)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (3, "checkpoint"),
        (lambda: Checkpoint(3), "path=3"),
        (lambda: Checkpoint("a", epochs=0), "epochs=0"),
        (lambda: Checkpoint("a", minutes=-1), "minutes=-1"),
    ],
)
def test_bad_checkpoints(checkpoint, message, X):
    with pytest.raises(ValueError, match=message):
        small(StatDEC, checkpoint=checkpoint() if callable(checkpoint) else checkpoint).fit(X)


def test_the_folder_must_be_there(X, tmp_path):
    with pytest.raises(FileNotFoundError, match="make it first"):
        small(StatDEC, checkpoint=tmp_path / "no" / "fit").fit(X)


def test_how_often(X, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(CheckpointFile, "save", lambda self, progress: saved.append(progress))
    count = Count()
    params = {"n_init": 1, "callbacks": [count]}
    small(StatDEC, checkpoint=Checkpoint(tmp_path / "fit", epochs=2), **params).fit(X)
    assert len(saved) == count.epochs // 2 + 1  # and at the end
    saved.clear()
    small(StatDEC, checkpoint=tmp_path / "fit", n_init=1).fit(X)
    assert len(saved) == 1  # five minutes did not pass
    saved.clear()
    small(StatDEC, checkpoint=Checkpoint(tmp_path / "fit", minutes=0), n_init=1).fit(X)
    assert len(saved) == count.epochs + 1


def test_a_full_disk_leaves_the_checkpoint_of_before(X, tmp_path, monkeypatch):
    path, kept = tmp_path / "fit", tmp_path / "kept"
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) > 6:  # two a file
            if len(calls) == 7:
                shutil.copy(path, kept)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    expected = outcome(small(StatDEC).fit(X))
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(CheckpointWarning, match="No space left on device"):
        fitted = small(StatDEC, checkpoint=Checkpoint(path, epochs=1)).fit(X)
    assert outcome(fitted) == expected
    assert path.read_bytes() == kept.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, kept]
    monkeypatch.setattr(os, "fsync", real)
    assert outcome(small(StatDEC, checkpoint=Checkpoint(path, epochs=1)).fit(X)) == expected


# ------------------------------------------------------------------ Ctrl-C


class CtrlC(Callback):
    """As the user's, at the end of the batches of these numbers, counted over all phases."""

    def __init__(self, *batches):
        self.batches, self.seen = batches, 0

    def on_batch_end(self, net, **kwargs):
        self.seen += 1
        if self.seen in self.batches:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@each
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_interrupted_fits_are_fitted(Estimator, share, X):
    count = Count()
    small(Estimator, n_init=1, callbacks=[count]).fit(X)
    interrupt = CtrlC(max(2, int(share * count.batches)))
    model = small(Estimator, n_init=3, callbacks=[interrupt])
    with pytest.warns(UserWarning, match="a second Ctrl-C"):
        model.fit(X)
    assert interrupt.seen == interrupt.batches[0]  # not one batch more
    assert model.stop_reason_ == "interrupted"
    assert not model.converged_
    assert model.restart_scores_.shape == (1,)
    assert np.array_equal(model.predict(X), model.labels_)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_raises(X):
    class Twice(CtrlC):
        def on_train_end(self, net, **kwargs):
            if self.seen >= self.batches[0]:
                signal.raise_signal(signal.SIGINT)

    model = small(StatDEC, callbacks=[Twice(20)])
    with pytest.warns(UserWarning, match="second"), pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert not hasattr(model, "labels_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_may_come_in_the_next_fit(X, monkeypatch):
    """Ctrl-C in a search ends one fit, and the next one begins."""
    monkeypatch.setattr(_interrupt, "AGAIN", 3600)  # however slow the machine
    with pytest.warns(UserWarning, match="a second Ctrl-C"):
        small(StatDEC, n_init=1, callbacks=[CtrlC(5)]).fit(X)
    with pytest.raises(KeyboardInterrupt):
        small(StatDEC, n_init=1, callbacks=[CtrlC(5)]).fit(X)
    monkeypatch.setattr(Interrupt, "_latest", Interrupt._latest - 3601)
    with pytest.warns(UserWarning, match="a second Ctrl-C"):
        small(StatDEC, n_init=1, callbacks=[CtrlC(5)]).fit(X)


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@each
def test_a_restart_that_has_not_begun_is_none(Estimator, X, monkeypatch):
    """Ctrl-C while it prepares, after others have ended."""
    built = []

    def build(self, run, real=Estimator._build_module):
        built.append(run)
        if len(built) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, run)

    monkeypatch.setattr(Estimator, "_build_module", build)
    with pytest.warns(UserWarning, match="a second Ctrl-C"):
        model = small(Estimator, n_init=4).fit(X)
    assert model.restart_scores_.shape == (2,)
    assert model.stop_reason_ == "interrupted"
    assert np.array_equal(model.predict(X), model.labels_)


def test_an_interrupt_and_a_callback_that_stops(X):
    """skorch's way for a callback to end a training is KeyboardInterrupt too."""

    class Stop(CtrlC):
        def on_epoch_end(self, net, **kwargs):
            if self.seen >= self.batches[0]:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="a second Ctrl-C"):
        model = small(StatDEC, callbacks=[Stop(5)]).fit(X)
    assert model.stop_reason_ == "interrupted"


def test_an_interrupt_before_any_work_raises(X):
    class AtOnce(Callback):
        def on_batch_begin(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        small(StatDEC, callbacks=[AtOnce()]).fit(X)


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize("restart", [1, 2])
def test_an_interrupt_while_clusters_are_searched(restart, monkeypatch):
    """What another estimator has trained for the start is none to be left with."""
    X = load_digits().images[:100, None].astype(np.float32)
    searches, steps = [], []

    def search(self, run, real=PreciseFeatureGAN._seek):
        searches.append(run)
        real(self, run)

    def step(self, *args, real=NeuralMixtureEM._step):
        if len(searches) == restart:
            steps.append(1)
            if len(steps) == 3:
                signal.raise_signal(signal.SIGINT)
        return real(self, *args)

    monkeypatch.setattr(PreciseFeatureGAN, "_seek", search)
    monkeypatch.setattr(NeuralMixtureEM, "_step", step)
    model = PreciseFeatureGAN(10, n_init=3, max_epochs=1, random_state=0)
    if restart == 1:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X)
        assert not hasattr(model, "labels_")
    else:
        with pytest.warns(UserWarning, match="a second Ctrl-C"):
            model.fit(X)
        assert model.restart_scores_.shape == (1,)
        assert model.stop_reason_ == "interrupted"
        assert np.array_equal(model.predict(X), model.labels_)
    assert len(steps) == 3
    assert len(searches) == restart


FIRST_FIT = """
import importlib.abc, signal, sys
import numpy as np
from skdeepclust import StatDEC

signal.signal(signal.SIGINT, signal.default_int_handler)

class CtrlC(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch._dynamo":  # the first of those that come with an optimizer
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)
            print("waits")

sys.meta_path.insert(0, CtrlC())
model = StatDEC(2, hidden_dims=(4,), latent_dim=2, pretrain_epochs=1, max_epochs=1)
try:
    model.fit(np.eye(20))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_waits_for_what_torch_imports_with_the_first_optimizer():
    """In the midst of it modules would stay half imported, and no other fit could train."""
    done = subprocess.run([sys.executable, "-c", FIRST_FIT], capture_output=True, text=True)
    assert done.stdout.split() == ["waits", "interrupted"], done.stderr


def test_the_users_handler_stays(X):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        model = small(StatDEC, n_init=1, callbacks=[CtrlC(5)]).fit(X)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert model.stop_reason_ != "interrupted"


# ------------------------------------------------------------------ losses that are no numbers


class Poison(Callback):
    """Makes a weight NaN in batches of these numbers, before or after their step."""

    def __init__(self, *batches, after=False):
        self.batches, self.after, self.seen, self.rates = batches, after, 0, []

    def on_batch_begin(self, net, **kwargs):
        self.seen += 1
        if not self.after:
            self.spoil(net)

    def on_batch_end(self, net, **kwargs):
        if self.after:
            self.spoil(net)

    def spoil(self, net):
        if self.seen in self.batches:
            parameters = (
                p for o in net.optimizers_.values() for g in o.param_groups for p in g["params"]
            )
            with torch.no_grad():
                next(parameters).fill_(torch.nan)

    def on_epoch_end(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["initial_lr"])


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize("batch_size", [12, 60])
@each
def test_a_loss_that_is_no_number_goes_back_once(Estimator, X, batch_size):
    settings = {"n_init": 1, "batch_size": batch_size}
    count = Count()
    small(Estimator, callbacks=[count], **settings).fit(X)
    poison = Poison(count.batches // 2)
    model = small(Estimator, callbacks=[poison], **settings)
    with pytest.warns(NonFiniteLossWarning, match="half the learning rate"):
        model.fit(X)
    assert np.isfinite(model.history_[:, "train_loss"]).all()
    assert len(model.history_) == count.epochs  # no epoch is lost
    again = (len(poison.rates) - count.epochs) * count.batches / count.epochs
    assert 0 <= again < STEPS_BACK  # and few are done twice, long ones never
    assert sorted({rate / poison.rates[0] for rate in poison.rates}) == [0.5, 1.0]
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize("share", [0.5, 1])
@each
def test_so_does_a_weight_that_the_last_step_of_an_epoch_leaves(Estimator, X, share):
    """Here every step is an epoch's last; of a fit's last no loss would tell."""
    settings = {"n_init": 1, "batch_size": len(X)}
    count = Count()
    small(Estimator, callbacks=[count], **settings).fit(X)
    assert count.batches == count.epochs
    poison = Poison(round(share * count.batches), after=True)
    with pytest.warns(NonFiniteLossWarning, match="a weight became infinite or NaN in phase"):
        model = small(Estimator, callbacks=[poison], **settings).fit(X)
    assert len(model.history_) == count.epochs
    assert np.isfinite(model.transform(X)).all()
    assert all(weight.isfinite().all() for weight in model.module_.parameters())


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.NonFiniteLossWarning")
def test_a_checkpoint_does_not_change_where_training_goes_back_to(X, tmp_path):
    plain = small(StatDEC, callbacks=[Poison(23)]).fit(X)
    kept = small(StatDEC, callbacks=[Poison(23)], checkpoint=tmp_path / "fit").fit(X)
    assert outcome(kept) == outcome(plain)


def test_a_second_such_loss_raises(X):
    model = small(StatDEC, n_init=1, callbacks=[Poison(3, 10)])
    with (
        pytest.warns(NonFiniteLossWarning),
        pytest.raises(FloatingPointError, match="lower lr, or look for extreme values"),
    ):
        model.fit(X)
    assert not hasattr(model, "labels_")


def test_epochs_that_ended_are_kept_as_they_are(X, monkeypatch):
    """Copying all of them at the end of each would take longer than short ones themselves."""
    states, state = [], Run.state
    monkeypatch.setattr(Run, "state", lambda *args: states.append(state(*args)) or states[-1])
    small(StatDEC, n_init=1, batch_size=12).fit(X)
    histories = [state["history"] for state in states]
    assert len(histories) > 3
    for before, after in itertools.pairwise(histories):
        assert len(after) - len(before) in (0, 1)  # none where a phase begins
        assert all(a is b for a, b in zip(before, after, strict=False))


def test_short_epochs_are_not_kept_one_by_one(X, monkeypatch):
    kept, state = [], Run.state

    def spy(run, net=None, epochs=0):
        kept.append((net.phase_, epochs))
        return state(run, net, epochs)

    monkeypatch.setattr(Run, "state", spy)
    small(StatDEC, n_init=1, batch_size=60, max_epochs=12).fit(X)  # two steps an epoch
    assert [epochs for phase, epochs in kept if phase == "cluster"] == [0, 5, 10]
