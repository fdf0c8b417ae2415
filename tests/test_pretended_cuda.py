"""The paths for CUDA where there is no CUDA: no step mixes devices, none waits for its device.

Numbers stay on the CPU, and torch's rules about devices hold: tensors are wrapped in
:class:`There`, an operation between one of them and a tensor of the CPU is the error that it is on
a GPU, and what makes the CPU wait for the device is counted. How fast, and to which digits, only a
GPU tells.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from skorch.callbacks import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import skdeepclust
from skdeepclust import DVC, Checkpoint, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.exceptions import NonFiniteLossWarning
from skdeepclust.training._device import MATMUL, PRECISION, TF32

# With its index: for "cuda" torch would ask the driver which one is meant.
DEVICE = torch.device("cuda", 0)
aten = torch.ops.aten
COPIES = (aten.copy_, aten._to_copy, aten.to)
# A CPU tensor may be an index of one elsewhere.
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
# Their results are numbers, or of a shape that depends on numbers.
WAITING = (
    aten._local_scalar_dense,
    aten.item,
    aten.is_nonzero,
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten.bincount,
)


class There(Tensor):
    """A tensor on the device; to torch's own code it is on "meta", which has no numbers either."""

    @staticmethod
    def __new__(cls, inner: Tensor):
        # Views of what inference mode made could not be wrapped there.
        with torch.inference_mode(False):
            return torch.Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device="meta",
            )

    def __init__(self, inner: Tensor):
        self.inner = inner

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError("outside of PretendedCUDA")


class PretendedCUDA(TorchDispatchMode):
    """Within it ``device="cuda:0"`` is a device; ``waits`` counts what waited for it."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __enter__(self):
        self.patches = contextlib.ExitStack()
        for name, value in {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "device": lambda device: contextlib.nullcontext(),
            "mem_get_info": lambda device: (2**33, 2**34),
            "manual_seed": lambda seed: None,
            "get_rng_state": lambda device: torch.zeros(16, dtype=torch.uint8),
            "set_rng_state": lambda state, device: None,
        }.items():
            self.patches.enter_context(mock.patch.object(torch.cuda, name, value))
        return super().__enter__()

    def __exit__(self, *error):
        self.patches.close()
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        there = any(isinstance(leaf, There) for leaf in leaves)
        asked = [leaf.type != "cpu" for leaf in leaves if isinstance(leaf, torch.device)]
        goes_there = asked[0] if asked else there
        if function.overloadpacket is aten.copy_:
            goes_there = isinstance(args[0], There)
        if there and function.overloadpacket not in COPIES:
            refuse_mixtures(function, args, leaves)
        if goes_there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
            raise RuntimeError(f"{function}: a generator of the CPU draws on {DEVICE}")
        if waits(function, args, kwargs, there, goes_there):
            self.waits[str(function)] += 1
        here_args, here_kwargs = tree_map(brought_here, (args, kwargs))
        found = function(*here_args, **here_kwargs)
        if there and function._schema.is_mutable and function._schema.returns:
            return args[0]
        return tree_map(taken_there, found) if goes_there else found


def waits(function, args, kwargs, there, goes_there):
    if function.overloadpacket in COPIES:
        into = function.overloadpacket is aten.copy_
        comes_from_there = isinstance(args[into], There)
        # On the way there, numbers are staged if that is asked for.
        staged = kwargs.get("non_blocking") or (into and args[2:] == (True,))
        return comes_from_there != goes_there and (comes_from_there or not staged)
    masks = function.overloadpacket in INDEXING and any(
        leaf.dtype == torch.bool for leaf in tree_leaves(args[1]) if isinstance(leaf, There)
    )
    return there and (masks or function.overloadpacket in WAITING)


def refuse_mixtures(function, args, leaves):
    if function.overloadpacket in INDEXING and isinstance(args[0], There):
        return
    # A single number may be anywhere, but not as a state of a fused optimiser.
    least = 0 if "fused" in str(function) else 1
    strangers = [
        tuple(leaf.shape)
        for leaf in leaves
        if isinstance(leaf, Tensor) and not isinstance(leaf, There) and leaf.ndim >= least
    ]
    if strangers:
        raise RuntimeError(f"{function}: of shapes {strangers} on the CPU, others on {DEVICE}")


def brought_here(value):
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, There) else value


def taken_there(value):
    return There(value) if isinstance(value, Tensor) else value


SELF_TRAINING = {"hidden_dims": (8, 4), "latent_dim": 3, "pretrain_epochs": 2, "max_epochs": 4}
MIXTURE = {"hidden_dims": (8,), "latent_dim": 3, "n_starts": 2, "start_epochs": 2, "max_epochs": 2}
GAN = {"hidden_dims": (8, 8), "max_epochs": 2}
PAPERS_GAME = {"adversarial_loss": "wasserstein", "critic_steps": 5, "classifier_steps": 4}


class LeavesEmpty(NeuralMixtureEM):
    """A cluster of every network, so that the next one's starts have more."""

    __init__ = NeuralMixtureEM.__init__

    def _unsupervised_scores(self, run, heads):
        scores, labels = super()._unsupervised_scores(run, heads)
        return scores, labels.clamp(max=1) if heads is run.module.mixture else labels


VECTORS = {
    "StatDEC": StatDEC(3, **SELF_TRAINING),
    "StatDEC, layer by layer": StatDEC(3, pretrain="layer_wise", variational=True, **SELF_TRAINING),
    "DVC": DVC(3, network="mlp", target="printed", **SELF_TRAINING),
    "NeuralMixtureEM": NeuralMixtureEM(3, network="mlp", **MIXTURE),
    "NeuralMixtureEM, two-fold": NeuralMixtureEM(3, objective="two_fold", **MIXTURE),
    "NeuralMixtureEM, a search": NeuralMixtureEM(3, init="random", **MIXTURE),
    "PreciseFeatureGAN": PreciseFeatureGAN(3, **GAN),
    "PreciseFeatureGAN, Wasserstein": PreciseFeatureGAN(3, augment=None, **PAPERS_GAME, **GAN),
}
PICTURES = {
    "StatDEC": StatDEC(3, network="cnn", augment="affine", **SELF_TRAINING),
    "DVC": DVC(3, augment="rotated_image", **SELF_TRAINING),
    "NeuralMixtureEM": NeuralMixtureEM(3, preprocess="sobel", init="random", **MIXTURE),
    "NeuralMixtureEM, joined": LeavesEmpty(3, n_networks=2, init="random", **MIXTURE),
    "NeuralMixtureEM, all networks": LeavesEmpty(3, augment="affine", **MIXTURE),
    "NeuralMixtureEM, apart": NeuralMixtureEM(3, **MIXTURE),
    "PreciseFeatureGAN": PreciseFeatureGAN(3, **GAN),
    "PreciseFeatureGAN, convolutions": PreciseFeatureGAN(3, network="cnn", **GAN),
}
CASES = {
    f"{name}, {kind}": (model, kind)
    for kind, models in (("vectors", VECTORS), ("pictures", PICTURES))
    for name, model in models.items()
}


@pytest.fixture(scope="module")
def data(noisy_patterns):
    vectors, _ = make_blobs(96, centers=3, n_features=5, random_state=0)
    return {"vectors": vectors, "pictures": noisy_patterns(96, 8)}


@pytest.fixture
def cuda():
    with PretendedCUDA() as mode:
        yield mode


def there(model, **params):
    return clone(model).set_params(device="cuda:0", batch_size=16, random_state=0, **params)


class Waits(Callback):
    """Which steps waited for the device, by phase and epoch."""

    def __init__(self, mode):
        self.mode, self.steps = mode, Counter()

    def on_batch_begin(self, net, **kwargs):
        self.before_ = self.mode.waits.total()

    def on_batch_end(self, net, **kwargs):
        if self.mode.waits.total() > self.before_:
            self.steps[net.phase_, net.history[-1, "epoch"]] += 1


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize(("model", "kind"), CASES.values(), ids=CASES)
def test_every_step_is_on_one_device_and_waits_for_none(cuda, data, model, kind):
    X, waits = data[kind], Waits(cuda)
    model = there(model, callbacks=[waits])
    assert np.array_equal(model.fit_predict(X), model.predict(X))
    assert all(isinstance(parameter, There) for parameter in model.module_.parameters())
    # New targets, or the labels that changed, once an epoch.
    looks = not isinstance(model, PreciseFeatureGAN)
    assert set(waits.steps.values()) == ({1} if looks else set())
    assert {phase for phase, _ in waits.steps} == ({"cluster"} if looks else set())
    found = [model.predict_proba(X), model.transform(X), model.score_samples(X)]
    if hasattr(model, "sample"):
        found += [model.sample(4)[0], model.sample(4, cluster=1)[0]]
    if hasattr(model, "reconstruct"):
        found += [model.reconstruct(X), model.inverse_transform(model.transform(X))]
    assert all(np.isfinite(values).all() for values in found)


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_the_start_of_images_is_found_there(cuda):
    """By another estimator on the same device."""
    X, _ = load_digits(n_class=5, return_X_y=True)
    model = there(PreciseFeatureGAN(5, input_shape=(1, 8, 8), **GAN)).fit(X[:100])
    assert "start" in model.history_[0]
    assert np.array_equal(model.labels_, model.predict(X[:100]))


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
@pytest.mark.parametrize("name", ["StatDEC", "DVC", "NeuralMixtureEM", "PreciseFeatureGAN"])
def test_products_are_rounded_in_training_alone(cuda, data, name, monkeypatch):
    """Labels of samples between two clusters would not be those of predict."""
    model, seen = VECTORS[name], {"batch": set(), "finish": set()}
    real = type(model)._finish

    class Look(Callback):
        def on_batch_begin(self, net, **kwargs):
            seen["batch"].add(getattr(MATMUL, PRECISION))

    def finish(self, *args):
        seen["finish"].add(getattr(MATMUL, PRECISION))
        return real(self, *args)

    monkeypatch.setattr(type(model), "_finish", finish)
    before = getattr(MATMUL, PRECISION)
    there(model, callbacks=[Look()]).fit(data["vectors"])
    assert seen == {"batch": {TF32}, "finish": {before}}
    assert before != TF32


def test_a_training_is_taken_up_again(cuda, data, tmp_path):
    X, path = data["vectors"], tmp_path / "fit.ckpt"
    whole = there(VECTORS["StatDEC"]).fit(X)

    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.phase_ == "cluster" and len(net.history) == 4:
                raise RuntimeError("power cut")

    checkpoint = Checkpoint(path, epochs=1)
    with pytest.raises(RuntimeError, match="power cut"):
        there(VECTORS["StatDEC"], checkpoint=checkpoint, callbacks=[Stop()]).fit(X)
    again = there(VECTORS["StatDEC"], checkpoint=checkpoint).fit(X)
    assert np.array_equal(again.transform(X), whole.transform(X))


def test_training_goes_back_after_a_loss_that_is_not_finite(cuda, data):
    class Spoil(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if net.phase_ == "cluster" and not hasattr(self, "done_"):
                self.done_ = net.module_.centers.data.fill_(float("nan"))

    with pytest.warns(NonFiniteLossWarning):
        model = there(VECTORS["StatDEC"], callbacks=[Spoil()]).fit(data["vectors"])
    assert np.isfinite(model.transform(data["vectors"])).all()


def test_files_go_from_device_to_device(cuda, data, tmp_path):
    X, path = data["vectors"], tmp_path / "model.skdc"
    model = there(VECTORS["StatDEC"]).fit(X)
    model.save(path)
    here, back = skdeepclust.load(path, "cpu"), skdeepclust.load(path, "cuda:0")
    assert not any(isinstance(parameter, There) for parameter in here.module_.parameters())
    assert np.array_equal(here.transform(X), model.transform(X))
    assert np.array_equal(back.transform(X), model.transform(X))


@pytest.mark.parametrize(
    ("copy", "waits"),
    [
        (lambda here, there: here.to(DEVICE), 1),
        (lambda here, there: here.to(DEVICE, non_blocking=True), 0),
        (lambda here, there: there.copy_(here), 1),
        (lambda here, there: there.copy_(here, non_blocking=True), 0),
        (lambda here, there: here.copy_(there), 1),
        (lambda here, there: there.cpu(), 1),
        (lambda here, there: there.copy_(there + 1), 0),
    ],
)
def test_the_pretence_knows_which_copies_wait(cuda, copy, waits):
    here, there = torch.zeros(3), torch.ones(3).to(DEVICE, non_blocking=True)
    copied = copy(here, there)
    assert cuda.waits.total() == waits
    assert copied.tolist() in ([0, 0, 0], [1, 1, 1], [2, 2, 2])


@pytest.mark.parametrize(
    "mixture",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(3)]),
        lambda x: torch.ones(3)[x.long()],
        lambda x: x.normal_(generator=torch.Generator()),
        lambda x: torch.rand(3, device=x.device, generator=torch.Generator()),
    ],
)
def test_the_pretence_refuses_what_a_device_would(cuda, mixture):
    x = torch.ones(3).to(DEVICE)
    assert (x[torch.tensor([0, 2])] + torch.tensor(1.0)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match=r"on the CPU, others on cuda:0|a generator of the CPU"):
        mixture(x)
