"""Models in files: what comes back, what is refused, and that nothing is lost on the way."""

import errno
import inspect
import json
import os
import pickle
import stat
import struct
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn

import skdeepclust
from skdeepclust import (
    DVC,
    NeuralMixtureEM,
    PreciseFeatureGAN,
    StatDEC,
    _tensor_file,
    _whole_file,
)
from skdeepclust.exceptions import ModelFileError

ESTIMATORS = list(skdeepclust._persistence.registry().values())
SHORT = {
    "DVC": {"hidden_dims": (8, 8), "latent_dim": 3, "pretrain_epochs": 2, "max_epochs": 2},
    "StatDEC": {"hidden_dims": (8, 8), "latent_dim": 3, "pretrain_epochs": 2, "max_epochs": 2},
    "PreciseFeatureGAN": {"hidden_dims": (8, 3), "max_epochs": 2},
    "NeuralMixtureEM": {"n_starts": 2, "start_epochs": 2, "max_epochs": 2, "latent_dim": 3},
}
each = pytest.mark.parametrize("Estimator", ESTIMATORS, ids=lambda E: E.__name__)
METHODS = ("predict", "predict_proba", "transform", "score_samples")


def short(Estimator, **params):
    return Estimator(**{"n_clusters": 3, "random_state": 0, **SHORT[Estimator.__name__], **params})


@pytest.fixture(scope="module", name="X")
def blobs():
    return make_blobs(60, centers=3, n_features=5, random_state=0)[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(model, again, X):
    for method in METHODS:
        assert np.array_equal(getattr(model, method)(X), getattr(again, method)(X)), method
    parameters = {**model.get_params(), "device": "cpu"}
    found = again.get_params()
    assert parameters.keys() == found.keys()
    for name, value in parameters.items():
        assert np.array_equal(found[name], value), name
        assert type(found[name]) is type(value), name
    fitted = {name for name in vars(model) if name not in parameters}
    assert {name for name in vars(again) if name not in parameters} == fitted
    for name in fitted - {"module_"}:
        assert np.array_equal(getattr(model, name), getattr(again, name)), name


# -------------------------------------------------------------------------------------- round trips


@each
def test_vectors(Estimator, X, path):
    model = short(Estimator).fit(X)
    model.save(path)
    again = skdeepclust.load(path, "cpu")
    assert_same(model, again, X)
    assert np.array_equal(again.fit(X).transform(X), model.transform(X))


@each
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images(Estimator, noisy_patterns, path, dtype):
    images = noisy_patterns(50, 9).astype(dtype)
    model = short(Estimator).fit(images)
    model.save(path)
    assert_same(model, skdeepclust.load(path, "cpu"), images)


@pytest.mark.parametrize("network", ["cnn", "unet", "dvc"])
@pytest.mark.parametrize("variational", [False, True])
def test_networks(noisy_patterns, path, network, variational):
    """Among them some whose rounding depends on the layout of their weights."""
    images = noisy_patterns(40, 10)
    model = short(StatDEC, network=network, variational=variational).fit(images)
    model.save(path)
    again = skdeepclust.load(path)
    assert_same(model, again.set_params(device="cpu"), images)
    assert np.array_equal(model.reconstruct(images), again.reconstruct(images))


def test_the_network_for_many_images(noisy_patterns, path, monkeypatch):
    monkeypatch.setattr("skdeepclust.cluster._stat_dec.MANY_SAMPLES", 40)
    images = noisy_patterns(50, 16)
    model = StatDEC(3, random_state=0, pretrain_epochs=1, max_epochs=1).fit(images)
    assert [n for n, _ in model.module_.named_parameters()][1] == "autoencoder.encoder.0.weight"
    model.save(path)
    assert_same(model, skdeepclust.load(path, "cpu"), images)


@each
def test_parameters_of_another_network_are_not_saved(Estimator, X, path):
    model = short(Estimator).fit(X).set_params(n_clusters=4)
    with pytest.raises(ValueError, match="fit it again, or set them back"):
        model.save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        (PreciseFeatureGAN, {"noise_dim": np.int64(2)}),
        (StatDEC, {"variational": np.False_}),
    ],
)
def test_parameters_of_numpy(Estimator, X, path, params):
    model = short(Estimator, **params).fit(X)
    model.save(path)
    assert np.array_equal(skdeepclust.load(path, "cpu").predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("change", [{"temperature": 2.0}, {"prior": "uniform"}])
def test_parameters_changed_after_the_fit_change_nothing(X, path, change):
    model = short(NeuralMixtureEM).fit(X).set_params(**change)
    expected = model.predict_proba(X)
    model.save(path)
    assert np.array_equal(skdeepclust.load(path, "cpu").predict_proba(X), expected)


def test_parameters_out_of_range_are_not_saved(X, path):
    model = short(StatDEC).fit(X).set_params(lr=-1.0)
    with pytest.raises(ValueError, match="'lr' parameter"):
        model.save(path)
    assert not path.exists()


def test_folders_are_named(X, tmp_path):
    model = short(StatDEC).fit(X)
    with pytest.raises(IsADirectoryError, match="is a folder; expected"):
        model.save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere of m is not there; make it"):
        model.save(tmp_path / "nowhere" / "m")
    with pytest.raises(IsADirectoryError, match="is a folder; expected"):
        skdeepclust.load(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder; expected"):
        short(StatDEC, checkpoint=tmp_path).fit(X)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "params",
    [
        {"prior": np.array([0.2, 0.3, 0.5])},
        {"prior": (0.2, 0.3, 0.5)},
        {"init": "random", "n_starts": 1, "prior": "estimated"},
        {"normalize_scores": False, "gamma": 3.0},
        {"batch_size": 20, "temperature": np.float64(0.7)},
    ],
    ids=str,
)
def test_settings_of_the_mixture(X, path, params):
    model = short(NeuralMixtureEM, **params).fit(X)
    model.save(path)
    again = skdeepclust.load(path, "cpu")
    for method in METHODS:
        assert np.array_equal(getattr(model, method)(X), getattr(again, method)(X)), method
    assert again.module_.gamma == model.module_.gamma


def test_samples_and_feature_names(X, path):
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = short(DVC).fit(frame)
    model.save(path)
    again = skdeepclust.load(path, "cpu")
    assert again.feature_names_in_.tolist() == list("abcde")
    assert np.array_equal(again.set_output(transform="pandas").transform(frame), model.transform(X))
    assert np.array_equal(again.sample(4)[0], model.sample(4)[0])


def test_history_stays_a_history(X, path):
    model = short(StatDEC).fit(X)
    model.save(path)
    history = skdeepclust.load(path).history_
    assert type(history) is type(model.history_)
    assert history[:, "train_loss"] == model.history_[:, "train_loss"]


def test_a_loaded_model_can_be_pickled_and_saved_again(X, path, tmp_path):
    model = short(StatDEC).fit(X)
    model.save(path)
    again = pickle.loads(pickle.dumps(skdeepclust.load(path, "cpu")))
    again.save(tmp_path / "second")
    assert_same(model, skdeepclust.load(tmp_path / "second", "cpu"), X)


def test_centres_are_a_copy(X):
    model = short(StatDEC).fit(X)
    before = model.predict_proba(X)
    model.cluster_centers_ += 100
    assert np.array_equal(model.predict_proba(X), before)


# ------------------------------------------------------------------------------------ a user's own


class Linear(nn.Module):
    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.down = nn.Linear(input_shape[0], latent_dim)
        self.up = nn.Linear(latent_dim, input_shape[0])

    def encode(self, x):
        return self.down(x)

    def decode(self, z):
        return self.up(z)


def test_what_is_imported_must_be_trusted(X, path, monkeypatch):
    params = {"network": Linear, "statistics_pooling": False, "init": KMeans(3, n_init=2)}
    monkeypatch.setitem(__import__("sys").modules, Linear.__module__, inspect.getmodule(Linear))
    model = short(StatDEC, **params).fit(X)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model.save(path)
    network, kmeans = f"{__name__}:Linear", "sklearn.cluster._kmeans:KMeans"
    with pytest.raises(ModelFileError, match=rf"asks to import .*{kmeans}, {network}.*trusted="):
        skdeepclust.load(path)
    with pytest.raises(ModelFileError, match="asks to import"):
        skdeepclust.load(path, trusted=[network])
    again = skdeepclust.load(path, "cpu", trusted=[network, kmeans])
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(again.transform(X), model.transform(X))
    assert again.network is Linear
    assert again.init.n_init == 2
    with pytest.raises(ValueError, match="expected a list of import paths"):
        skdeepclust.load(path, trusted=network)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_state": np.random.RandomState(0)}, "random_state=.*cannot be kept in a file"),
        (
            {"network": lambda shape, dim: Linear(shape, dim), "statistics_pooling": False},
            "network=.*define it at the top level of a module",
        ),
    ],
)
def test_what_no_file_can_hold_is_refused(X, path, params, message):
    model = short(StatDEC, **params).fit(X)
    with pytest.raises(ValueError, match=message):
        model.save(path)
    assert not path.exists()


def test_what_watched_the_training_is_not_kept(X, path):
    model = short(StatDEC, callbacks=[Callback()], checkpoint=path.with_suffix(".fit")).fit(X)
    model.save(path)
    again = skdeepclust.load(path)
    assert again.callbacks is again.checkpoint is None
    assert np.array_equal(again.transform(X), model.transform(X))


def test_a_device_that_is_not_there_is_told_at_once(X, path):
    short(StatDEC).fit(X).save(path)
    with pytest.raises(ValueError, match="device='abacus' is not a torch device"):
        skdeepclust.load(path, device="abacus")


def test_a_subclass_is_refused(X, path):
    class Mine(StatDEC):
        __init__ = StatDEC.__init__

    with pytest.raises(ValueError, match="Mine is not one of this package's estimators"):
        Mine(3, **SHORT["StatDEC"]).fit(X).save(path)


def test_an_unfitted_one_is_refused(path):
    with pytest.raises(NotFittedError):
        StatDEC().save(path)


# ----------------------------------------------------------------------------------------- writing


def test_a_failed_write_leaves_the_earlier_file(X, path, monkeypatch):
    model = short(StatDEC).fit(X)
    model.save(path)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(_whole_file.os, step, full)
            with pytest.raises(OSError, match="No space left"):
                short(StatDEC, random_state=1).fit(X).save(path)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_it_is_on_the_disk_before_it_has_its_name(X, path, monkeypatch):
    steps = []
    for step in ("fsync", "replace"):
        original = getattr(os, step)
        monkeypatch.setattr(
            _whole_file.os,
            step,
            lambda *a, _step=step, _do=original: (steps.append(_step), _do(*a))[1],
        )
    short(StatDEC).fit(X).save(path)
    assert steps == ["fsync", "replace", "fsync"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are of POSIX")
def test_links_and_pipes_stay(tmp_path):
    real, link, pipe = (tmp_path / name for name in ("real", "link", "pipe"))
    real.write_bytes(b"before")
    link.symlink_to(real)
    _whole_file.write_whole(link, b"after")
    assert link.is_symlink()
    assert real.read_bytes() == b"after"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    _whole_file.write_whole(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_network_of_one_that_was_saved(X, path):
    """A factory may load a model while another is built: in a thread, or a lock would hold up the
    tests."""
    short(StatDEC).fit(X).save(path)

    def pretrained(shape, latent_dim):
        return skdeepclust.load(path).module_.autoencoder

    model = short(StatDEC, network=pretrained)
    thread = threading.Thread(target=model.fit, args=(X,), daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert np.array_equal(model.predict(X), model.labels_)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_mode_is_that_of_the_umask(X, path, umask):
    model = short(StatDEC).fit(X)
    before = os.umask(umask)
    try:
        model.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


# ----------------------------------------------------------------------------------- hostile files


@pytest.fixture(scope="module")
def whole(X, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model"
    short(StatDEC).fit(X).save(path)
    return path


def forge(whole, path, change):
    """The file with its tensors and metadata changed, and a digest that fits them."""
    with safe_open(whole, framework="pt") as file:
        metadata = json.loads(file.metadata()["skdeepclust"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["digest"]
    change(tensors, metadata)
    metadata["digest"] = _tensor_file.digest(tensors, metadata)
    save_file(tensors, path, {"skdeepclust": json.dumps(metadata)})


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_a_pickle_is_not_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (pickle.dumps(Payload()), b"", b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="no model of skdeepclust"):
            skdeepclust.load(path)
    torch.save(Payload(), path)
    with pytest.raises(ModelFileError):
        skdeepclust.load(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("sixteenth", range(16))
def test_truncated(whole, path, sixteenth):
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * sixteenth // 16])
    with pytest.raises(ModelFileError):
        skdeepclust.load(path)


def test_flipped_bytes(whole, path, X):
    """Wherever a byte is changed the file is refused, or what is read is what was written."""
    content, labels = whole.read_bytes(), skdeepclust.load(whole, "cpu").predict(X)
    refused = 0
    places = np.random.RandomState(0).permutation(len(content))[:300]
    for place in [*places, *range(0, 200, 5)]:
        damaged = bytearray(content)
        damaged[place] ^= 0x15
        path.write_bytes(damaged)
        try:
            again = skdeepclust.load(path, "cpu")
        except ModelFileError:
            refused += 1
        else:
            assert np.array_equal(again.predict(X), labels)
    assert refused >= len(places)


def test_a_header_said_to_be_of_a_gigabyte(whole, path):
    path.write_bytes(struct.pack("<Q", 2**30) + whole.read_bytes()[8:])
    with pytest.raises(ModelFileError):
        skdeepclust.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.update({"class": "os.system"}), "holds a 'os.system'; expected one of"),
        (lambda t, m: m.update({"class": ["StatDEC"]}), "expected one of"),
        (lambda t, m: m.update({"format": 2}), "has format 2"),
        (lambda t, m: m["parameters"].update(checkpoint="/tmp/any"), "sets .'checkpoint'., which"),
        (lambda t, m: m["parameters"].update(network="/etc/passwd"), "make no network"),
        (lambda t, m: m["parameters"].update(network={"$import": "os:system"}), "asks to import"),
        (lambda t, m: m["parameters"].update(network={"$run": "1"}), r"unknown kind '\$run'"),
        (lambda t, m: m["parameters"].update(evil=1), "parameters that do not fit"),
        (lambda t, m: m.update(parameters=5), "has no parameters"),
        (lambda t, m: m.pop("fitted"), "or no fitted attributes"),
        (lambda t, m: m["parameters"].update(n_clusters="3"), "parameters that do not fit"),
        (lambda t, m: m["parameters"].update(n_clusters=10**13), "network"),
        (lambda t, m: m["parameters"].update(latent_dim=10**10), "network"),
        (lambda t, m: m["parameters"].update(hidden_dims=[10**6, 10**6]), "network"),
        (lambda t, m: m["fitted"].update(predict="mine"), "other attributes than"),
        (lambda t, m: m["fitted"].pop("history_"), "other attributes than"),
        (
            lambda t, m: m["fitted"].update(input_shape_={"$tuple": [10**12]}),
            "does not fit its input_shape_",
        ),
        (
            lambda t, m: m["fitted"].update(_image_dtype={"$dtype": "V1000000000"}),
            "expected numbers",
        ),
        (lambda t, m: m["module"].update(forward="x"), "settings do not fit"),
        (lambda t, m: m["module"].update(alpha="x"), "of another type"),
        (lambda t, m: m.pop("module"), "settings do not fit"),
        (lambda t, m: t.pop("fitted.labels_"), "lacks labels_"),
        (lambda t, m: t.pop("module.centers"), "do not fit the network"),
        (lambda t, m: t.update({"module.x": torch.zeros(1)}), "do not fit the network"),
        (lambda t, m: t.update({"module.centers": torch.zeros(3, 4)}), "do not fit the network"),
        (
            lambda t, m: t.update({"module.centers": torch.zeros(3, 3, dtype=torch.int64)}),
            "of other types than expected",
        ),
        (
            lambda t, m: t.update({"module.centers": torch.zeros(3, 3, dtype=torch.bfloat16)}),
            "of other types than expected",
        ),
    ],
)
def test_forged(whole, path, change, message):
    forge(whole, path, change)
    with pytest.raises(ModelFileError, match=message):
        skdeepclust.load(path)


def test_another_safetensors_file(path):
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="no model of skdeepclust"):
        skdeepclust.load(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError):
        skdeepclust.load(path)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_across_devices(X, path):
    model = short(StatDEC, device="cuda").fit(X)
    model.save(path)
    assert np.array_equal(skdeepclust.load(path, "cuda").transform(X), model.transform(X))
    assert np.array_equal(skdeepclust.load(path, "cpu").predict(X), model.labels_)
