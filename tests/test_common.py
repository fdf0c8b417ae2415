"""What every estimator of the catalogue must do, whatever its algorithm."""

import copy
import inspect
import json
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
import skorch
import torch
import torch.nn.functional as F
from numpydoc.docscrape import NumpyDocString
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_clustering, parametrize_with_checks
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, TensorBoard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import skdeepclust
from skdeepclust.exceptions import DeadClusterWarning
from skdeepclust.inspection import EmbeddingDisplay
from skdeepclust.metrics import clustering_accuracy_scorer, silhouette_scorer
from skdeepclust.networks import MLPAutoencoder

ESTIMATORS = [
    member
    for member in (getattr(skdeepclust, name) for name in skdeepclust.__all__)
    if inspect.isclass(member) and issubclass(member, BaseEstimator)
]


# One check in fifty looks at what a training comes to. The others have as many epochs as the
# defaults give large data; of a game, which takes the time of twenty other fits, a few.
SHORTER = {
    "StatDEC": {"pretrain_epochs": 10, "max_epochs": 4},
    "DVC": {"pretrain_epochs": 10, "max_epochs": 4},
    "PreciseFeatureGAN": {"max_epochs": 20},
}


@parametrize_with_checks([Estimator() for Estimator in ESTIMATORS])
def test_scikit_learn_checks(estimator, check):
    """scikit-learn's own checks, with the default training but for ``SHORTER``."""
    if check.func is check_clustering and not check.keywords.get("readonly_memmap"):
        assert estimator.get_params() == type(estimator)().get_params()
    else:  # a clone: all checks have the same estimator
        estimator = clone(estimator).set_params(**SHORTER.get(type(estimator).__name__, {}))
    check(estimator)


# ---------------------------------------------------------------------------------------------
# Our own: on a small network, so that each test is about one thing and takes a moment.

SMALL = {
    "DVC": {
        "network": "mlp",
        "hidden_dims": (24, 16),
        "latent_dim": 3,
        "pretrain_epochs": 8,
        "max_epochs": 6,
    },
    "StatDEC": {"hidden_dims": (24, 16), "latent_dim": 3, "pretrain_epochs": 8, "max_epochs": 6},
    "PreciseFeatureGAN": {
        "network": "mlp",
        "hidden_dims": (24, 24, 24),
        "noise_dim": 0,
        "critic_steps": 1,
        "classifier_steps": 1,
        "max_epochs": 50,
        "batch_size": 32,
        "lr": 5e-3,
    },
    "NeuralMixtureEM": {
        "network": "mlp",
        "hidden_dims": (16,),
        "latent_dim": 3,
        "augment": None,
        "n_starts": 3,
        "start_epochs": 8,
        "max_epochs": 6,
        "batch_size": 32,
    },
}


# Width of the embedding: a classifier with three hidden units would tell nothing apart.
WIDTH = {"PreciseFeatureGAN": 24}


def width(Estimator):
    return WIDTH.get(Estimator.__name__, 3)


def small(Estimator, **params):
    return Estimator(**{"n_clusters": 3, "random_state": 0, **SMALL[Estimator.__name__], **params})


@pytest.fixture(scope="module", name="X")
def blobs():
    return make_blobs(90, centers=3, n_features=5, cluster_std=0.5, random_state=0)[0]


@pytest.fixture(scope="module")
def images(noisy_patterns):
    return noisy_patterns(60, 6)


each = pytest.mark.parametrize("Estimator", ESTIMATORS, ids=lambda E: E.__name__)


@pytest.fixture(scope="module", params=ESTIMATORS, ids=lambda E: E.__name__)
def fitted(request, X):
    """Of each estimator one, for tests that only look at it."""
    return small(request.param).fit(X)


def test_three_ways_to_the_labels(fitted, X):
    assert np.array_equal(fitted.labels_, small(type(fitted)).fit_predict(X))
    assert np.array_equal(fitted.labels_, fitted.predict(X))
    assert fitted.labels_.dtype == np.int64


def test_fitted_attributes(fitted):
    assert fitted.cluster_centers_.shape == (3, width(type(fitted)))
    assert np.array_equal(fitted.cluster_sizes_, np.bincount(fitted.labels_))
    assert fitted.n_iter_ == sum(row["phase"] == "cluster" for row in fitted.history_)
    assert fitted.converged_ == (fitted.stop_reason_ == "converged")
    assert fitted.restart_scores_.shape == (1,)
    assert fitted.n_features_in_ == 5


def test_predict_proba_agrees_with_predict(fitted, X):
    proba = fitted.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    assert np.array_equal(proba.argmax(1), fitted.predict(X))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "score_samples"])
def test_a_sample_does_not_depend_on_its_company(fitted, X, method):
    together = getattr(fitted, method)(X)
    alone = np.concatenate([getattr(fitted, method)(X[i : i + 1]) for i in range(5)])
    assert np.array_equal(together[:5], alone)
    order = np.random.RandomState(0).permutation(len(X))
    assert np.array_equal(together[order], getattr(fitted, method)(X[order]))


@each
def test_same_seed_same_bits(Estimator, X):
    first, second = (small(Estimator, random_state=7).fit(X) for _ in range(2))
    assert np.array_equal(first.transform(X), second.transform(X))
    assert np.array_equal(first.labels_, second.labels_)
    for a, b in zip(first.history_, second.history_, strict=True):
        assert {**a, "dur": 0} == {**b, "dur": 0}
    other = small(Estimator, random_state=8).fit(X)
    assert not np.array_equal(first.transform(X), other.transform(X))


def numpy_state():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one is the point
    return kind, keys.tolist(), *rest


@each
def test_global_random_states_are_left_alone(Estimator, X):
    random_state = np.random.RandomState(3)
    estimator = small(Estimator, random_state=random_state)
    numpy_before, torch_before = numpy_state(), torch.get_rng_state()
    estimator.fit(X).predict(X)
    assert numpy_state() == numpy_before
    assert torch.equal(torch_before, torch.get_rng_state())
    assert estimator.random_state is random_state


@each
def test_torch_settings_are_left_alone(Estimator, X):
    def settings():
        return (
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        )

    before = settings()
    small(Estimator).fit(X).predict(X)
    assert settings() == before


@each
def test_constructor_arguments_survive_fit(Estimator, X):
    estimator = small(Estimator)
    before = dict(estimator.get_params())
    estimator.fit(X)
    after = estimator.get_params()
    assert all(after[name] is value for name, value in before.items())


@each
def test_restarts(Estimator, X):
    weights = []

    class Spy(Estimator):
        __init__ = Estimator.__init__

        def _objective(self, run):
            weights.append(next(run.module.parameters()).flatten()[0].item())
            return super()._objective(run)

    settings = {"n_clusters": 3, "random_state": 0, **SMALL[Estimator.__name__]}
    fitted = Spy(n_init=3, **settings).fit(X)
    assert len(set(weights)) == 3, "restarts must have streams of their own"
    assert fitted.restart_scores_.shape == (3,)
    assert (
        next(fitted.module_.parameters()).flatten()[0] == weights[fitted.restart_scores_.argmax()]
    )
    alone = Estimator(n_init=1, **settings).fit(X)
    assert alone.restart_scores_[0] == fitted.restart_scores_[0]
    assert next(alone.module_.parameters()).flatten()[0] == weights[0]


@each
def test_best_restart_wins(Estimator, X):
    chosen = []

    class Spy(Estimator):
        __init__ = Estimator.__init__

        def _objective(self, run):
            chosen.append(run.module)
            return [0.0, 2.0, 1.0][len(chosen) - 1]

    spied = Spy(n_clusters=3, random_state=0, n_init=3, **SMALL[Estimator.__name__]).fit(X)
    assert spied.module_ is chosen[1]
    assert spied.restart_scores_.tolist() == [0.0, 2.0, 1.0]


# ------------------------------------------------------------------------------------- bad input


@each
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: np.vstack([X, [np.nan] * 5]), "NaN"),
        (lambda X: np.vstack([X, [np.inf] * 5]), "infinity"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:2], "n_samples=2 < n_clusters=3; lower n_clusters"),
        (lambda X: X.astype(complex), "Complex data not supported"),
        (lambda X: np.array([["a", "b"]] * 9), "could not convert string"),
        (lambda X: X[:, 0], "Expected 2D array, got 1D array"),
        (lambda X: X[:, :, None], r"give X\[:, None\]"),
    ],
)
def test_bad_data(Estimator, X, change, message):
    estimator = small(Estimator)
    with pytest.raises(ValueError, match=message):
        estimator.fit(change(X))
    assert not [name for name in vars(estimator) if name.endswith("_")]


@each
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda X: X + 1e9, True),
        (lambda X: (X + 1e9).astype(np.float32), False),  # there was nothing to lose
        (lambda X: X + 1e3, False),
        (lambda X: np.column_stack([X, np.full(len(X), 1e9 + 1)]), False),
    ],
)
def test_columns_that_float32_makes_coarse_are_told(Estimator, X, change, told):
    X = change(X.astype(np.float64))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        small(Estimator, max_epochs=1).fit(X)
    found = [w.filename for w in seen if "loses differences in float32" in str(w.message)]
    assert found == [__file__] * told


@each
def test_units_that_decide_are_told(Estimator, images):
    """Of columns with names, which may have them."""
    X = pd.DataFrame(np.random.RandomState(0).rand(40, 3), columns=["a", "b", "c"])
    X["constant"] = 0.1
    unlike = X.assign(b=X["b"] / 10, id=range(40))
    with pytest.warns(
        UserWarning, match=r"column 'id' of X spreads 3\d\d times as far as 'b'"
    ) as seen:
        small(Estimator, max_epochs=1).fit(unlike)
    assert seen[0].filename == __file__
    named = pd.DataFrame((images / 255).reshape(60, -1)).add_prefix("p")
    named["p0"] /= 1000
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="column")
        small(Estimator, max_epochs=1).fit(X)
        small(Estimator, max_epochs=1).fit(unlike.to_numpy())
        small(Estimator, max_epochs=1, input_shape=(1, 6, 6)).fit(named)


@each
@pytest.mark.parametrize("frame", [pd.DataFrame, polars.DataFrame])
def test_columns_that_are_amiss_are_named(Estimator, frame):
    numbers = np.random.RandomState(0).rand(40, 2)
    good = {"a": numbers[:, 0], "b": numbers[:, 1]}
    amiss = {
        "city": (["Oslo", "Rome"] * 20, r"columns \['city'\] of X are no numbers; .*OneHotEncoder"),
        "gaps": (np.where(np.arange(40) == 3, np.nan, 1.0), r"\['gaps'\] .*NaN .*SimpleImputer"),
        "far": (np.where(np.arange(40) == 3, np.inf, 1.0), r"\['far'\] of X have NaN or infinity"),
    }
    amiss["none"] = ([None, 1] * 20, r"columns \['none'\] of X have NaN")
    if frame is pd.DataFrame:
        amiss["nullable"] = (pd.array([None, 1] * 20, "Int64"), r"\['nullable'\] of X have NaN")
    for name, dtype in (("when", "M8[us]"), ("long", "m8[us]")):
        values = np.arange(40).astype(dtype)
        amiss[name] = (values, rf"columns \['{name}'\] of X are no numbers")
    model = small(Estimator, max_epochs=1).fit(frame({**good, "c": numbers[:, 0]}))
    for name, (values, message) in amiss.items():
        X = frame({**good, name: values})
        with pytest.raises(ValueError, match=message):
            small(Estimator).fit(X)
        X = frame({**good, "c": values})
        with pytest.raises(ValueError, match=message.replace(name, "c")):
            model.predict(X)
    if frame is pd.DataFrame:  # of the other old versions of scikit-learn have no names
        with pytest.raises(ValueError, match="feature names"):  # no word of columns that are well
            model.predict(frame({**good, "d": numbers[:, 0]}))


@each
@pytest.mark.filterwarnings("ignore")
def test_what_only_looks_like_a_frame_has_its_own_error(Estimator):
    """It has names of columns, but no rows to look at."""
    with pytest.raises((ValueError, TypeError)) as told:
        small(Estimator).fit(polars.LazyFrame({"a": ["x"]}))
    assert "subscriptable" not in str(told.value)


@each
def test_sparse_data(Estimator, X):
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        small(Estimator).fit(scipy.sparse.csr_matrix(X))


@each
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_clusters": 0}, "'n_clusters' parameter .* Got 0"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"lr": 0.0}, "'lr' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"n_init": 0}, "'n_init' parameter"),
        ({"device": "gpu"}, "device='gpu' is not a torch device; expected 'auto'"),
        ({"input_shape": (1, 2, 3)}, r"input_shape=\(1, 2, 3\) needs 6 features, but X has 5"),
        ({"input_shape": (5,)}, r"expected \(channels, height, width\)"),
        ({"augment": "affine"}, "augment='affine' needs images; give input_shape"),
        ({"input_shape": (1.0, 1, 5)}, "expected integers of at least 1, not 1.0"),
        ({"augment": "blur"}, "'augment' parameter"),
        ({"hidden_dims": (0,)}, r"hidden_dims=\(0,\); expected integers of at least 1, not 0"),
        ({"hidden_dims": (8, 2.5)}, "not 2.5"),
        ({"hidden_dims": ((8, 8), 4)}, r"hidden_dims=\(\(8, 8\), 4\).*expected integers"),
        ({"hidden_dims": [True, 4]}, "not True"),
        ({"input_shape": [(1,), (1,), (5,)]}, r"not \(1,\)"),
        ({"callbacks": [object()]}, "expected skorch callbacks"),
        ({"callbacks": [EarlyStopping()]}, "give it monitor='train_loss'"),
        ({"callbacks": [EarlyStopping]}, "EarlyStopping monitors 'valid_loss'.*='train_loss'"),
        ({"callbacks": [skorch.callbacks.Checkpoint()]}, "give it monitor=None, for every epoch"),
    ],
)
def test_bad_parameters(Estimator, X, params, message):
    if not params.keys() <= Estimator().get_params().keys():
        pytest.skip(f"{Estimator.__name__} has no such parameter")
    estimator = small(Estimator, **params)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)
    assert not [name for name in vars(estimator) if name.endswith("_")]


@each
@pytest.mark.parametrize(
    ("augment", "returned"),
    [
        (lambda x: x[:, :, :3], r"a tensor of shape \(16, 1, 3, 6\)"),
        (lambda x: x.double(), "a tensor .*, torch.float64"),
        (lambda x: None, "NoneType"),
    ],
)
def test_augmentations_are_tried_before_the_training(Estimator, images, augment, returned):
    class Begun(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError

    with pytest.raises(ValueError, match=f"returned {returned}"):
        small(Estimator, augment=augment, batch_size=16, callbacks=[Begun()]).fit(images)


@each
def test_augmentations_leave_their_batch_as_it_is(Estimator, images):
    """It stands for the sample as it was, beside the warped one."""
    with pytest.raises(ValueError, match=r"changes the batch .*expected a new tensor"):
        small(Estimator, augment=lambda x: x.neg_()).fit(images)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_fits_amid_what_needs_no_gradients(fitted, X, around):
    with around():
        model = small(type(fitted)).fit(X)
    assert np.array_equal(model.transform(X), fitted.transform(X))


@pytest.mark.parametrize(
    ("change", "to", "back", "message"),
    [
        (torch.set_default_dtype, torch.float64, torch.float32, "default_dtype.* is torch.float64"),
        (torch.set_default_device, "meta", None, "default_device.* is 'meta'"),
    ],
)
def test_other_defaults_of_torch_are_refused(fitted, X, tmp_path, change, to, back, message):
    fitted.save(tmp_path / "model")
    change(to)
    try:
        for use in (small(type(fitted)).fit, lambda _: skdeepclust.load(tmp_path / "model")):
            with pytest.raises(RuntimeError, match=message):
                use(X)
    finally:
        change(back)


@each
def test_augmentations_may_need_a_batch(Estimator, images):
    def batched(x):
        assert len(x) >= 8
        return x

    small(Estimator, augment=batched).fit(images)


@each
def test_callbacks_as_skorch_takes_them(Estimator, X):
    told = []

    class Tell(Callback):
        def on_train_begin(self, net, **kwargs):
            told.append(net.phase_)

    small(Estimator, callbacks=[["tell", Tell()], ("tell too", Tell), ("none", None)]).fit(X)
    assert told


@each
def test_channels_that_come_last_are_told(Estimator, images):
    last = images.transpose(0, 2, 3, 1)
    with pytest.warns(UserWarning, match=r"give X.transpose\(0, 3, 1, 2\)"):
        small(Estimator).fit(last)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="X of shape")
        small(Estimator, max_epochs=1).fit(images)
        small(Estimator, max_epochs=1, input_shape=last.shape[1:]).fit(last)
        small(Estimator, max_epochs=1, network="mlp").fit(images.reshape(len(images), 9, 4, 1))


@each
def test_images_on_another_scale_are_told(Estimator, images):
    """As those are that were bytes, beside shares of 255."""
    shares = (images / 255).astype(np.float32)
    model = small(Estimator, max_epochs=1).fit(shares)
    for X in (shares * 255, shares / 255):
        with pytest.warns(UserWarning, match=r"training were of 0.01569 to 0.9608; bring X to"):
            model.predict(X)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="X holds images")
        model.predict(shares[:1] / 5)
        model.predict(np.full_like(shares[:1], 0.3))  # a picture of one colour
        model.predict(shares * 5)
        small(Estimator, max_epochs=1).fit(images).predict(images // 100)  # bytes have one scale


@each
def test_how_many_axes_samples_have_is_told(Estimator, images):
    model = small(Estimator, max_epochs=1).fit(images)
    one = images[0]
    for X, way_out in (
        (one, r"is one image; .*give X\[None\]"),
        (one[0], r"is one image; .*give X\[None, None\]"),
        (images[:, 0], r"dim 3 .*for grey images give X\[:, None\], for series"),
        (images[:, None], "dim 5 .*expected .n_samples, n_features. or .n_samples, C, H, W."),
    ):
        with pytest.raises(ValueError, match=way_out):
            model.predict(X)
    with pytest.raises(ValueError, match=r"dim 3 and shape .*reshape\(len\(X\), -1\)"):
        small(Estimator).fit(images[:, 0])
    coloured = small(Estimator, max_epochs=1).fit(images.repeat(3, 1))
    with pytest.raises(ValueError, match=r"is one image; .*give X\[None\]"):
        coloured.predict(one.repeat(3, 0))
    with pytest.raises(ValueError, match="X has 6 features"):  # a grey one is none of these
        coloured.predict(one[0])
    lines = images.reshape(60, 1, 1, 36)
    model = small(Estimator, max_epochs=1, network="mlp").fit(lines)
    assert model.predict(lines[0, 0]) == model.predict(lines[:1])  # a line of pixels is a row


@each
def test_rows_whose_channels_come_last_are_told(Estimator, images):
    flat = images.transpose(0, 2, 3, 1).reshape(len(images), -1)
    height, width = images.shape[2:]
    rgb = np.tile(flat, 3)
    with pytest.warns(UserWarning, match=rf"X.reshape\(-1, {height}, {width}, 3\).transpose"):
        small(Estimator, max_epochs=1, network="mlp", input_shape=(height, width, 3)).fit(rgb)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="input_shape=")
        small(Estimator, max_epochs=1, input_shape=(3, height, width)).fit(rgb)


@each
@pytest.mark.parametrize("name", ["n_clusters", "n_init", "max_epochs"])
def test_true_is_no_number(Estimator, X, name):
    with pytest.raises(ValueError, match=f"{name}=True; expected a number"):
        Estimator(**{name: True}).fit(X)


@each
def test_what_scores_predictions_is_refused_as_a_callback(Estimator, X):
    with pytest.raises(ValueError, match="there are none before a fit has ended"):
        small(Estimator, callbacks=[EpochScoring("accuracy")]).fit(X)


@each
def test_a_callback_may_end_the_training_before_it_begins(Estimator, X):
    class Stop(Callback):
        def on_train_begin(self, net, **kwargs):
            raise KeyboardInterrupt  # skorch's way

    model = small(Estimator, callbacks=[Stop()]).fit(X)
    assert model.stop_reason_ == "callback"
    assert model.n_iter_ == 0
    assert np.array_equal(model.predict(X), model.labels_)


@each
def test_the_generators_of_gpus_are_left_alone(Estimator, X, monkeypatch):
    def seeded(seed):
        raise AssertionError

    for device in (torch.cuda, torch.mps, torch.xpu):
        for name in {"manual_seed", "manual_seed_all"} & set(vars(device)):
            monkeypatch.setattr(device, name, seeded)
    small(Estimator).fit(X)


@each
@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a CUDA device that is not there")
def test_cuda_without_cuda(Estimator, X):
    with pytest.raises(ValueError, match="use device='auto' or device='cpu'"):
        small(Estimator, device="cuda").fit(X)


@each
def test_a_failed_fit_keeps_the_earlier_one(Estimator, X):
    fitted = small(Estimator).fit(X)
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(np.full((20, 2), np.nan))

    class Break(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("in the middle of training")

    fitted.set_params(callbacks=[Break()])
    with pytest.raises(RuntimeError, match="in the middle of training"):
        fitted.fit(X)
    fitted.set_params(callbacks=before["callbacks"])
    assert vars(fitted) == before


def test_wrong_number_of_features(fitted, X):
    with pytest.raises(ValueError, match=r"X has 4 features, but .* is expecting 5"):
        fitted.predict(X[:, :4])


@each
@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "score"])
def test_not_fitted(Estimator, X, method):
    with pytest.raises(NotFittedError):
        getattr(Estimator(), method)(X)


# ------------------------------------------------------------------------------------- odd input


@each
@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, :1],
        lambda X: np.c_[X, np.ones(len(X))],
        lambda X: np.repeat(X[:20], 4, axis=0),
        lambda X: X.astype(np.float16),
        lambda X: np.asfortranarray(X),
        lambda X: X[::2],
        lambda X: X.tolist(),
        lambda X: torch.tensor(X),
        lambda X: X * 1e6,
        lambda X: X * 1e-6,
    ],
    ids=[
        "one feature",
        "constant column",
        "duplicates",
        "float16",
        "F order",
        "strided",
        "list",
        "tensor",
        "huge",
        "tiny",
    ],
)
def test_odd_data(Estimator, X, change):
    odd = change(X)
    fitted = small(Estimator).fit(odd)
    assert np.array_equal(np.unique(fitted.labels_), np.arange(3))
    assert np.isfinite(fitted.transform(odd)).all()
    assert np.isfinite(fitted.score(odd))


def test_units_do_not_matter(fitted, X):
    large_units = small(type(fitted)).fit(X * 1024)  # a power of two: the bits stay the same
    assert np.array_equal(fitted.labels_, large_units.labels_)


@each
def test_a_users_transform_output_is_for_what_they_transform(Estimator):
    """And not for the steps of a fit, nor of a drawing."""
    X = np.random.RandomState(0).randn(60, 5).astype(np.float32)
    plain = Estimator(3, random_state=0, max_epochs=1).fit(X)
    with config_context(transform_output="polars"):
        fitted = Estimator(3, random_state=0, max_epochs=1).fit(X)
        assert isinstance(fitted.transform(X), polars.DataFrame)
        EmbeddingDisplay.from_estimator(fitted, X).plot()
    assert np.array_equal(fitted.labels_, plain.labels_)


@each
def test_fewer_distinct_samples_than_clusters(Estimator):
    X = np.repeat([[0.0, 0.0], [9.0, 9.0]], 20, axis=0)
    with pytest.warns(DeadClusterWarning, match="the data has 2 distinct samples") as told:
        fitted = small(Estimator, n_clusters=4).fit(X)
    assert [w.filename for w in told if w.category is DeadClusterWarning] == [__file__]
    found = np.unique(fitted.labels_)
    assert np.array_equal(found, np.arange(len(found)))
    assert (fitted.cluster_sizes_[len(found) :] == 0).all()
    assert fitted.predict_proba(X).shape == (40, 4)


@each
def test_images_in_every_form(Estimator, images):
    folded = images.reshape(60, 36)
    # Short: a bit lost in rounding to floats grows with every step of adversarial training.
    short = {"max_epochs": 5}
    as_images = small(Estimator, **short).fit(images)
    as_rows = small(Estimator, input_shape=(1, 6, 6), **short).fit(folded)
    as_floats = small(Estimator, **short).fit((images / 255).astype(np.float32))
    assert as_images.n_features_in_ == 36
    assert np.array_equal(as_images.labels_, as_rows.labels_)
    assert np.array_equal(as_images.labels_, as_floats.labels_)
    assert np.array_equal(as_images.predict(folded), as_rows.predict(images))


@each
def test_images_of_another_kind_are_refused(Estimator, images):
    fitted = small(Estimator).fit(images)
    with pytest.raises(ValueError, match=r"float32, but .* fitted on\s+uint8 ones"):
        fitted.predict(images.astype(np.float32))
    with pytest.raises(ValueError, match=r"shape \(4, 3, 3\).*\(1, 6, 6\)"):
        fitted.predict(images.reshape(60, 4, 3, 3))


@each
@pytest.mark.parametrize("augment", ["affine", "image", lambda x: x.flip(3)])
def test_augmentation(Estimator, images, augment):
    plain = small(Estimator).fit(images)
    augmented = small(Estimator, augment=augment).fit(images)
    assert not np.array_equal(plain.transform(images), augmented.transform(images))


# -------------------------------------------------------------------------------- scikit-learn


@pytest.mark.parametrize(
    "roundtrip", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"]
)
def test_copies_predict_the_same(fitted, X, roundtrip):
    other = roundtrip(fitted)
    assert np.array_equal(fitted.predict_proba(X), other.predict_proba(X))
    assert other.history_ == fitted.history_


def test_joblib(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    assert np.array_equal(joblib.load(tmp_path / "model.joblib").labels_, fitted.labels_)


@each
def test_pandas(Estimator, X):
    frame = pd.DataFrame(X, columns=list("abcde"))
    fitted = small(Estimator).set_output(transform="pandas").fit(frame)
    embedded = fitted.transform(frame)
    prefix = Estimator.__name__.lower()
    assert list(embedded.columns) == [f"{prefix}{i}" for i in range(width(Estimator))]
    assert list(fitted.feature_names_in_) == list("abcde")
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[list("edcba")])


@each
def test_pipeline(Estimator, X):
    pipeline = make_pipeline(StandardScaler(), PCA(3), small(Estimator))
    labels = pipeline.fit_predict(X)
    assert np.array_equal(pipeline.predict(X), labels)
    assert pipeline.transform(X).shape == (90, width(Estimator))


@each
def test_grid_search(Estimator, X):
    y = make_blobs(90, centers=3, n_features=5, cluster_std=0.5, random_state=0)[1]
    search = GridSearchCV(
        small(Estimator),
        {"n_clusters": [2, 3], "batch_size": [32, 64], "lr": [small(Estimator).lr]},
        scoring={
            "ari": "adjusted_rand_score",
            "acc": clustering_accuracy_scorer,
            "silhouette": silhouette_scorer,
        },
        refit="ari",
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["n_clusters"] == 3
    for name in ("ari", "acc", "silhouette"):
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()


# ---------------------------------------------------------------------------- callbacks, history


@each
def test_callbacks_and_history(Estimator, X, tmp_path, capsys):
    class Count(Callback):
        phases = ()

        def on_train_begin(self, net, **kwargs):
            self.phases = (*self.phases, net.phase_)

    count = Count()
    fitted = small(Estimator, callbacks=[count]).fit(X)
    assert count.phases[-1] == "cluster"
    assert [row["epoch"] for row in fitted.history_] == list(range(1, len(fitted.history_) + 1))
    fitted.history_.to_file(str(tmp_path / "history.json"))
    assert json.loads((tmp_path / "history.json").read_text()) == fitted.history_.to_list()
    assert pd.DataFrame(fitted.history_.to_list())["train_loss"].notna().all()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@each
def test_progress(Estimator, X, capsys):
    fitted = small(Estimator, verbose=1).fit(X)
    captured = capsys.readouterr()
    assert captured.out == ""
    for phase in {row["phase"] for row in fitted.history_}:
        assert f"{phase}: " in captured.err


@each
def test_progress_of_the_start(Estimator, X, capsys):
    # Without copies NeuralMixtureEM has no start.
    copies = {"augment": "auto"} if Estimator is skdeepclust.NeuralMixtureEM else {}
    small(Estimator, verbose=1, init="auto", **copies).fit(X)
    captured = capsys.readouterr()
    assert captured.out == ""
    shown = [line.split("\r")[-1] for line in captured.err.splitlines()]
    assert any(re.fullmatch(r"(start|groups apart): \d\d:\d\d *", line) for line in shown), shown


def test_no_progress_of_a_start_that_is_not_sought(images, capsys):
    short = {"init": "auto", "augment": "affine", "n_networks": 1}
    small(skdeepclust.NeuralMixtureEM, verbose=1, **short).fit(images)
    assert "start" not in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- words


@each
def test_documented_defaults(Estimator):
    documented = {
        parameter.name: parameter.type
        for parameter in NumpyDocString(Estimator.__doc__)["Parameters"]
    }
    signature = inspect.signature(Estimator).parameters
    assert list(documented) == list(signature)
    for name, parameter in signature.items():
        words = documented[name].replace('"', "'")
        assert f"default={parameter.default!r}" in words, name


@each
def test_documented_attributes(Estimator, X):
    documented = {a.name for a in NumpyDocString(Estimator.__doc__)["Attributes"]}
    fitted = small(Estimator).fit(pd.DataFrame(X, columns=list("abcde")))
    assert {name for name in vars(fitted) if name.endswith("_")} == documented


# ---------------------------------------------------------------------------------------------
# skorch's callbacks


@each
def test_tensorboard(Estimator, X, tmp_path):
    with SummaryWriter(tmp_path) as writer:
        fitted = small(Estimator, callbacks=[TensorBoard(writer)]).fit(X)
    events = EventAccumulator(str(tmp_path)).Reload()
    logged = [scalar.value for scalar in events.Scalars("Loss/train_loss")]
    np.testing.assert_allclose(logged, fitted.history_[:, "train_loss"], rtol=1e-6)


def test_checkpoints_and_logs_of_skorch(fitted, X, tmp_path):
    lines = []
    callbacks = [
        skorch.callbacks.Checkpoint(monitor=None, dirname=tmp_path),
        skorch.callbacks.PrintLog(sink=lines.append),
    ]
    watched = small(type(fitted), callbacks=callbacks).fit(X)
    assert np.array_equal(watched.labels_, fitted.labels_)
    assert (tmp_path / "params.pt").exists()
    assert any("train_loss" in line for line in lines)


# ---------------------------------------------------------------------------------------------
# Restarts in processes


@each
def test_restarts_in_processes_are_those_in_turn(Estimator, X):
    """With as many threads, to the bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what each of two workers gets on two cores
    try:
        in_turn = small(Estimator, n_init=3).fit(X)
    finally:
        torch.set_num_threads(threads)
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        apart = small(Estimator, n_init=3, n_jobs=2).fit(X)
    assert np.array_equal(apart.labels_, in_turn.labels_)
    assert np.array_equal(apart.restart_scores_, in_turn.restart_scores_)
    assert np.array_equal(apart.transform(X), in_turn.transform(X))
    assert [row["phase"] for row in apart.history_] == [row["phase"] for row in in_turn.history_]


@pytest.mark.parametrize("name", ["checkpoint", "callbacks"])
def test_what_other_processes_cannot_reach(name, X, tmp_path):
    value = {"checkpoint": tmp_path / "fit", "callbacks": [Callback()]}[name]
    model = small(skdeepclust.StatDEC, n_init=2, n_jobs=2, **{name: value})
    with pytest.raises(ValueError, match=f"{name} needs n_jobs=None"):
        model.fit(X)
    # Where a joblib context asks for them, and nobody here.
    with joblib.parallel_config("loky", n_jobs=2):
        here = model.set_params(n_jobs=None).fit(X)
    assert np.array_equal(here.labels_, small(skdeepclust.StatDEC, n_init=2).fit(X).labels_)


# ----------------------------------------------------------------------------------- large images


@pytest.fixture(scope="module")
def large_images(noisy_patterns):
    """Of 64 x 64 pixels, in squares of four by four that are one colour."""
    return noisy_patterns(60, 16).repeat(4, 2).repeat(4, 3)


@each
def test_large_images_are_seen_smaller_and_given_back_large(Estimator, large_images, tmp_path):
    X, half = large_images, large_images[:, :, ::2, ::2]
    model = small(Estimator, max_epochs=5).fit(X)
    halved = small(Estimator, resolution="full", max_epochs=5).fit(half)
    assert model.input_shape_ == halved.input_shape_ == (1, 32, 32)
    assert model.n_features_in_ == 64 * 64
    model.save(tmp_path / "model")
    for seen in (model, skdeepclust.load(tmp_path / "model")):
        assert np.array_equal(seen.labels_, halved.labels_)
        for method in ("predict", "transform", "predict_proba", "score_samples"):
            assert np.array_equal(getattr(seen, method)(X), getattr(halved, method)(half)), method
        given_back = []
        if hasattr(seen, "reconstruct"):
            Z = halved.transform(half)
            given_back = [
                (seen.reconstruct(X), halved.reconstruct(half)),
                (seen.inverse_transform(Z), halved.reconstruct(half)),
            ]
        if hasattr(seen, "sample"):
            given_back.append((seen.sample(4)[0], halved.sample(4)[0]))
        for large, small_ones in given_back:
            enlarged = F.interpolate(torch.from_numpy(small_ones), (64, 64), mode="bilinear")
            np.testing.assert_allclose(large, enlarged, atol=1e-6)


def test_large_images_in_rows_and_restarts_elsewhere(large_images):
    rows = large_images.reshape(60, -1)
    model = small(skdeepclust.StatDEC, n_init=2).fit(large_images)
    folded = small(skdeepclust.StatDEC, n_init=2, n_jobs=2, input_shape=(1, 64, 64)).fit(rows)
    assert folded.input_shape_ == model.input_shape_ == (1, 32, 32)
    assert np.array_equal(folded.transform(rows), model.transform(large_images))
    assert folded.reconstruct(rows).shape == rows.shape


def test_who_looks_at_every_pixel(large_images):
    def identity(x):
        return x

    for Estimator in ESTIMATORS:
        assert small(Estimator, max_epochs=1).fit(large_images).input_shape_ == (1, 32, 32)
    for params in (
        {"resolution": "full"},
        {"augment": identity},
        {"network": lambda shape, latent_dim: MLPAutoencoder(shape, latent_dim, (8,))},
    ):
        model = small(skdeepclust.StatDEC, max_epochs=1, **params).fit(large_images)
        assert model.input_shape_ == (1, 64, 64), params
    asked = small(skdeepclust.StatDEC, max_epochs=1, resolution=16, augment=identity)
    assert asked.fit(large_images).input_shape_ == (1, 16, 16)


def test_a_resolution_needs_images(X, large_images):
    model = skdeepclust.StatDEC(3, resolution=16)
    with pytest.raises(ValueError, match=r"resolution=16 needs images; give input_shape"):
        model.fit(X)
    with pytest.raises(ValueError, match=r"'resolution' .* int in the range \[8, inf\)"):
        clone(model).set_params(resolution=7).fit(large_images)
    model = small(skdeepclust.StatDEC, max_epochs=1).fit(large_images)
    with pytest.raises(ValueError, match=r"of shape \(1, 32, 32\); StatDEC was fitted on \(1, 64"):
        model.predict(large_images[:, :, ::2, ::2])
