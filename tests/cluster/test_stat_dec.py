"""StatDEC: what is its own."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from torch import nn

from skdeepclust import DVC, NeuralMixtureEM, StatDEC, load
from skdeepclust.cluster import _phases, _stat_dec
from skdeepclust.exceptions import DeadClusterWarning
from skdeepclust.networks import CNNAutoencoder, DVCAutoencoder, MLPAutoencoder
from skdeepclust.objectives import student_t_assignment, target_distribution

SMALL = {"hidden_dims": (24, 16), "latent_dim": 3, "pretrain_epochs": 8, "max_epochs": 6}


def test_images_come_back_within_their_bounds(noisy_patterns):
    """A decoder for standardised numbers knows of none."""
    X = noisy_patterns(40, 6)
    X[:, :, :3] = 0
    model = small(network="mlp", pretrain_epochs=1, max_epochs=1).fit(X)
    raw = model.module_.decode(torch.from_numpy(model.transform(X))).detach()
    assert raw.min() < 0
    for back in (model.reconstruct(X), model.inverse_transform(model.transform(X))):
        assert back.min() == 0
        np.testing.assert_allclose(back, raw.clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("network", ["cnn", "dvc"])
def test_one_image_is_none_for_convolutions(network):
    with pytest.raises(ValueError, match="n_samples=1; convolutional networks normalise"):
        StatDEC(1, network=network).fit(np.zeros((1, 1, 8, 8)))


def small(**params):
    return StatDEC(**{"n_clusters": 3, "random_state": 0, **SMALL, **params})


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(90, centers=3, n_features=5, cluster_std=0.5, random_state=0)


@pytest.mark.parametrize(
    ("params", "steps", "expected"),
    [
        ({}, 5, [100, 40]),
        ({}, 50, [20, 12]),
        ({}, 274, [10, 4]),
        ({"network": "cnn"}, 50, [30, 12]),
        ({"network": "mlp"}, 50, [20, 12]),
        ({"network": lambda input_shape, latent_dim: None}, 50, [20, 12]),
    ],
)
def test_auto_is_so_many_steps_within_bounds(monkeypatch, params, steps, expected):
    """Of small data, of more and of MNIST's 70,000 samples; with convolutions there are more."""
    monkeypatch.setattr(_phases, "steps_per_epoch", lambda run: steps)
    model = StatDEC(**params)
    model.input_shape_ = (1, 28, 28) if "network" in params else (5,)
    schedules = model._schedules(1000)
    assert [_phases.resolve_epochs("auto", None, **each) for each in schedules] == expected


@pytest.mark.parametrize("target", ["dec", "sharpened", "printed", "assigned", "posterior"])
@pytest.mark.parametrize("pooling", [True, False])
@pytest.mark.parametrize("init", ["kmeans", "gmm"])
def test_separated_blobs_are_found(blobs, target, pooling, init):
    X, y = blobs
    labels = small(target=target, statistics_pooling=pooling, init=init).fit_predict(X)
    assert adjusted_rand_score(y, labels) == 1


def test_assignment_is_students_t_at_the_centers(blobs):
    X, _ = blobs
    fitted = small(degrees_of_freedom=2.5).fit(X)
    expected = student_t_assignment(
        torch.tensor(fitted.transform(X)), torch.tensor(fitted.cluster_centers_), 2.5
    )
    np.testing.assert_allclose(fitted.predict_proba(X), expected.numpy(), rtol=1e-4, atol=1e-6)


def test_every_parameter_of_the_method_reaches_it(blobs):
    X, _ = blobs
    base = small().fit(X).transform(X)
    for change in (
        {"clustering_weight": 0.9},
        {"degrees_of_freedom": 3.0},
        {"target": "printed", "focus": 5.0},
        {"statistics_pooling": False},
        {"warmup_epochs": 0},
        {"whiten": False},
        {"pretrain": "layer_wise"},
        {"pretrain_epochs": 9},
        {"max_epochs": 7},
        {"lr": 3e-3},
        {"lr_decay": "constant"},
        {"lr_decay": 3},
        {"batch_size": 16},
        {"hidden_dims": (24,)},
        {"update_interval": 2, "warmup_epochs": 0},
    ):
        other = small(**change).fit(X).transform(X)
        assert not np.array_equal(base, other), change
    # On separated blobs every init finds the same start, to the bit on some machines.
    X_near, _ = make_blobs(90, centers=3, n_features=5, cluster_std=4.0, random_state=0)
    inits = [small(init=init).fit(X_near).transform(X_near) for init in ("gmm", "kmeans")]
    assert not np.array_equal(*inits)
    focus = [small(target="printed", focus=f, warmup_epochs=0).fit(X).transform(X) for f in (0, 9)]
    assert not np.array_equal(*focus)


def test_history_tells_both_parts_of_the_objective(blobs):
    fitted = small(clustering_weight=0.3).fit(blobs[0])
    rows = [row for row in fitted.history_ if row["phase"] == "cluster"]
    assert len(rows) == fitted.n_iter_
    for row in rows:
        joint = 0.3 * row["kl"] + 0.7 * row["reconstruction"]  # eq. 1
        assert row["train_loss"] == pytest.approx(joint, rel=1e-5)
    assert all(sum(row["cluster_sizes"]) == 90 for row in rows if "cluster_sizes" in row)


def test_dec_does_without_the_decoder(blobs):
    """At λ = 1 the decoder stays as pretraining left it, and the encoder moves on."""
    before, after = (
        small(clustering_weight=1.0, max_epochs=n, tol=0.0).fit(blobs[0]).module_.autoencoder
        for n in (1, 3)
    )
    moved = {
        name: not torch.equal(value, after.state_dict()[name])
        for name, value in before.state_dict().items()
    }
    assert moved == {name: name.startswith("encoder") for name in moved}
    history = small(clustering_weight=1.0).fit(blobs[0]).history_
    assert ["reconstruction" in row for row in history] == [
        row["phase"] == "pretrain" for row in history
    ]
    joint = [row for row in history if row["phase"] == "cluster"]
    assert all(row["train_loss"] == pytest.approx(row["kl"], rel=1e-6) for row in joint)


def test_it_stops_when_labels_stop_changing(blobs):
    X, _ = blobs
    stopped = small(max_epochs=30, tol=0.02).fit(X)
    assert (stopped.converged_, stopped.stop_reason_) == (True, "converged")
    assert stopped.n_iter_ < 30
    assert stopped.history_[-1]["label_change"] < 0.02
    never = small(max_epochs=30, tol=0.0).fit(X)
    assert (never.converged_, never.stop_reason_, never.n_iter_) == (False, "max_epochs", 30)


@pytest.mark.parametrize("warmup", [0, 1])
def test_first_targets_are_those_of_the_start(blobs, warmup):
    """One step too small to move anything: the KL recorded is that against the first targets."""
    X, _ = blobs
    still = {"lr": 1e-12, "max_epochs": 1, "batch_size": 90, "init": KMeans(3)}
    fitted = small(warmup_epochs=warmup, **still).fit(X)
    q = torch.tensor(fitted.predict_proba(X))
    hard = -q.amax(1).log().mean()  # KL from the start's labels, which have no entropy
    p = target_distribution(q, "dec")
    sharpened = (p * (p / q).log()).sum(1).mean()
    expected = hard if warmup else sharpened
    assert fitted.history_[-1]["kl"] == pytest.approx(expected.item(), rel=1e-4)
    assert hard > 1.1 * sharpened


def test_whitening_scales_the_embedding_to_the_clusters(blobs):
    X, _ = blobs
    spread = {}
    for whiten in (True, False):
        start = small(max_epochs=1, lr_decay="constant", init="kmeans", whiten=whiten, n_clusters=3)
        start.set_params(lr=1e-3, pretrain_epochs=30).fit(X)
        z, labels = start.transform(X), start.labels_
        residual = z - np.stack([z[labels == k].mean(0) for k in range(3)])[labels]
        spread[whiten] = np.linalg.eigvalsh(residual.T @ residual / len(z))
    assert spread[True].min() > 0.5
    assert spread[True].max() < 1.5
    assert spread[False].max() / spread[False].min() > 3


@pytest.mark.parametrize(
    "init",
    [AgglomerativeClustering(3), GaussianMixture(3), KMeans(3)],
    ids=lambda init: type(init).__name__,
)
def test_any_clusterer_starts_it(blobs, init):
    X, y = blobs
    estimator = small(init=init)
    first, second = estimator.fit_predict(X), estimator.fit_predict(X)
    assert adjusted_rand_score(y, first) == 1
    assert np.array_equal(first, second), "a clusterer without a seed is given one"
    assert not hasattr(init, "labels_"), "the user's clusterer is cloned"


def test_an_estimator_of_this_package_starts_it(blobs):
    """Though a start needs no gradients."""
    X, y = blobs
    estimator = small(init=NeuralMixtureEM(3)).fit(X)
    assert adjusted_rand_score(y, estimator.labels_) == 1


@pytest.mark.parametrize("init", [KMeans(7), DBSCAN(1e-9)])
def test_a_start_with_other_labels_is_refused(blobs, init):
    with pytest.raises(ValueError, match="expected labels from 0 to 2: give it n_clusters=3"):
        small(init=init).fit(blobs[0])


@pytest.mark.parametrize("init", [GaussianMixture(1), GaussianMixture(2), KMeans(2)])
def test_a_start_with_fewer_clusters_than_asked_for_is_refused(blobs, init):
    found = init.get_params().get("n_components") or init.n_clusters
    with pytest.raises(ValueError, match=f"found {found} clusters; expected n_clusters=3"):
        small(init=init).fit(blobs[0])


def test_a_start_may_have_as_few_clusters_as_there_are_samples():
    with pytest.warns(DeadClusterWarning):
        model = small(init=KMeans(3)).fit(np.repeat(np.eye(2, 5), 30, 0))
    assert sorted(model.cluster_sizes_) == [0, 30, 30]


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
def test_copies_of_a_sample_are_alike(Estimator):
    """Their spread is rounding, and no scale for the embedding."""
    distinct = np.random.RandomState(0).randn(2, 5).astype(np.float32)
    X = distinct.repeat(20, 0)
    short = {"hidden_dims": (8, 4), "latent_dim": 3, "pretrain_epochs": 2, "max_epochs": 4}
    for seed in range(3):
        with pytest.warns(DeadClusterWarning, match="the data has 2 distinct samples"):
            model = Estimator(5, random_state=seed, batch_size=16, **short).fit(X)
        assert np.ptp(model.transform(X).reshape(2, 20, -1), axis=1).max() < 1e-3
        assert len(set(model.labels_[:20])) == len(set(model.labels_[20:])) == 1


class NeverTheLast(KMeans):
    def predict_proba(self, X):
        return np.eye(self.n_clusters + 1)[self.predict(X)]


def test_a_cluster_that_dies_is_revived(blobs):
    """A start that never names the last cluster leaves its centre without a sample."""
    X, _ = blobs
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeadClusterWarning)  # it has samples again in the end
        fitted = small(n_clusters=4, init=NeverTheLast(3), max_epochs=3).fit(X)
    assert (fitted.cluster_sizes_ > 0).all()
    assert np.array_equal(np.unique(fitted.labels_), np.arange(4))


def test_reconstruction(blobs):
    X, _ = blobs
    fitted = small(pretrain_epochs=60, batch_size=8).fit(X)
    error = ((fitted.reconstruct(X) - X) ** 2).mean() / X.var(0).mean()
    assert error < 0.1
    np.testing.assert_allclose(
        fitted.inverse_transform(fitted.transform(X)), fitted.reconstruct(X), rtol=1e-4, atol=1e-4
    )


def test_inverse_transform_needs_an_embedding(blobs):
    fitted = small().fit(blobs[0])
    with pytest.raises(ValueError, match="Z has 5 columns; expected latent_dim=3"):
        fitted.inverse_transform(np.zeros((2, 5)))
    assert fitted.inverse_transform(fitted.cluster_centers_).shape == (3, 5)


def test_images_come_back_as_they_went_in():
    images = np.random.RandomState(0).randint(0, 255, (40, 1, 5, 7)).astype(np.uint8)
    fitted = small().fit(images)
    assert fitted.reconstruct(images).shape == images.shape
    folded = small(input_shape=(1, 5, 7)).fit(images.reshape(40, 35))
    assert folded.inverse_transform(folded.cluster_centers_).shape == (3, 35)


@pytest.mark.parametrize("variational", [False, True])
def test_layer_wise_pretraining_has_a_phase_per_layer(blobs, variational):
    fitted = small(variational=variational, pretrain="layer_wise", pretrain_epochs=20).fit(blobs[0])
    phases = list(dict.fromkeys(row["phase"] for row in fitted.history_))
    layers = [f"pretrain_layer_{i}" for i in (1, 2, 3)]
    assert phases == [*layers, "pretrain", "cluster"]
    for layer in layers:
        losses = [row["train_loss"] for row in fitted.history_ if row["phase"] == layer]
        assert losses[-1] < losses[0]


class Linear(nn.Module):
    """The least that a user's network may be."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.down = nn.Linear(input_shape[0], latent_dim)
        self.up = nn.Linear(latent_dim, input_shape[0])

    def encode(self, x):
        return self.down(x)

    def decode(self, z):
        return self.up(z)


def test_a_network_of_ones_own(blobs):
    X, y = blobs
    fitted = small(network=Linear, statistics_pooling=False).fit(X)
    assert adjusted_rand_score(y, fitted.labels_) == 1
    assert isinstance(fitted.module_.autoencoder, Linear)
    with pytest.raises(ValueError, match="set statistics_pooling=False"):
        small(network=Linear).fit(X)
    with pytest.raises(ValueError, match="layer_wise' needs an autoencoder of dense layers"):
        small(network=Linear, statistics_pooling=False, pretrain="layer_wise").fit(X)
    with pytest.raises(ValueError, match=r"network='resnet' is unknown; expected one of \['cnn'.*"):
        small(network="resnet").fit(X)


class Watched(Linear):
    """Tells what its products are of."""

    def encode(self, x):
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        self.seen.add((self.training, kind))
        return super().encode(x)

    seen = set()  # noqa: RUF012 - emptied by the test


@pytest.mark.parametrize(
    ("precision", "capable", "least", "expected"),
    [
        ("auto", True, 90, torch.float32),  # a network of one's own
        ("float32", True, 90, torch.float32),
        ("bfloat16", False, 91, torch.bfloat16),
    ],
)
def test_precision_is_that_of_the_training_alone(
    blobs, monkeypatch, precision, capable, least, expected
):
    monkeypatch.setattr(_stat_dec, "computes_in_bfloat16", lambda device: capable)
    monkeypatch.setattr(_stat_dec, "MANY_SAMPLES", least)
    Watched.seen.clear()
    X, y = blobs
    fitted = small(network=Watched, statistics_pooling=False, precision=precision).fit(X)
    assert Watched.seen == {(True, expected), (False, torch.float32)}
    assert {p.dtype for p in fitted.module_.parameters()} == {torch.float32}
    assert adjusted_rand_score(y, fitted.labels_) == 1


@pytest.mark.parametrize(
    ("capable", "least", "variational", "expected"),
    [
        (True, 90, False, torch.bfloat16),
        (False, 90, False, torch.float32),
        (True, 91, False, torch.float32),
        (True, 90, True, torch.float32),
    ],
)
def test_auto_precision(blobs, monkeypatch, capable, least, variational, expected):
    monkeypatch.setattr(_stat_dec, "computes_in_bfloat16", lambda device: capable)
    monkeypatch.setattr(_stat_dec, "MANY_SAMPLES", least)
    fitted = small(variational=variational, pretrain_epochs=0, max_epochs=1).fit(blobs[0])
    assert fitted.module_.training_dtype == expected


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
@pytest.mark.parametrize(
    ("n", "d", "given", "expected"),
    [
        (2_499, 31, None, [128, 128, 256]),
        (2_500, 31, None, [500, 500, 1000]),
        (40, 32, None, [500, 500, 1000]),
        (40, 4, (9, 8), [9, 8]),
    ],
)
def test_widths_of_dense_layers(tmp_path, Estimator, n, d, given, expected):
    X = np.random.RandomState(0).randn(n, d).astype(np.float32)
    short = {"init": "kmeans", "batch_size": 512, "pretrain_epochs": 1, "max_epochs": 1}
    model = Estimator(3, hidden_dims=given, random_state=0, **short).fit(X)
    model.save(tmp_path / "model.safetensors")
    for fitted in (model, load(tmp_path / "model.safetensors")):
        layers = [m for m in fitted.module_.autoencoder.encoder if isinstance(m, nn.Linear)]
        assert [layer.out_features for layer in layers[:-1]] == expected


@pytest.mark.parametrize(
    ("shape", "params", "expected"),
    [
        ((1, 14, 14), {}, DVCAutoencoder),
        ((196,), {}, MLPAutoencoder),
        ((1, 14, 13), {}, MLPAutoencoder),
        ((1, 14, 14), {"hidden_dims": (8, 4)}, MLPAutoencoder),
        ((1, 14, 14), {"pretrain": "layer_wise"}, MLPAutoencoder),
        ((1, 14, 14), {"hidden_dims": (8, 4), "network": "cnn"}, CNNAutoencoder),
    ],
)
def test_auto_network(monkeypatch, shape, params, expected):
    X = np.random.RandomState(0).rand(30, *shape).astype(np.float32)
    model = StatDEC(3, pretrain_epochs=1, max_epochs=1, random_state=0, **params)
    assert type(model.fit(X).module_.autoencoder) is expected
    monkeypatch.setattr(_stat_dec, "MANY_SAMPLES", 30)
    many = expected if "network" in params else MLPAutoencoder
    assert type(model.fit(X).module_.autoencoder) is many


@pytest.mark.parametrize(
    ("params", "expected"),
    [({}, 128), ({"network": "cnn"}, 128), ({"network": "mlp"}, 256), ({"batch_size": 200}, 200)],
)
def test_auto_batch_size_is_less_with_convolutions(params, expected):
    model = StatDEC(3, input_shape=(1, 14, 14), **params)
    model.input_shape_ = (1, 14, 14)
    assert model._resolve_batch_size(10_000) == expected


def test_half_precision_is_of_every_layer_in_training(blobs, noisy_patterns, monkeypatch):
    X, y = blobs
    seen, forward = set(), nn.Linear.forward

    def watched(layer, x):
        out = forward(layer, x)
        seen.add((layer, layer.training, out.dtype))
        return out

    monkeypatch.setattr(nn.Linear, "forward", watched)
    for pretrain in ("end_to_end", "layer_wise"):
        seen.clear()
        fitted = small(pretrain=pretrain, precision="bfloat16").fit(X)
        assert adjusted_rand_score(y, fitted.labels_) == 1
        for layer, training, dtype in seen - {(fitted.module_.pooling.join, True, torch.float32)}:
            assert dtype == (torch.bfloat16 if training else torch.float32), layer
    assert fitted.transform(X).dtype == np.float32
    images = small(network="unet", variational=True, precision="bfloat16", hidden_dims=(8, 16))
    assert np.isfinite(images.fit(noisy_patterns(120, 8)).history_[-1, "train_loss"])


def test_papers_settings():
    paper = StatDEC.from_paper("mnist", random_state=3)
    assert (paper.n_clusters, paper.hidden_dims, paper.latent_dim) == (10, (500, 500, 1000), 10)
    assert (paper.clustering_weight, paper.degrees_of_freedom, paper.focus) == (0.1, 1.0, 2.0)
    assert (paper.target, paper.statistics_pooling, paper.init) == ("printed", True, "kmeans")
    assert (paper.network, paper.hidden_dims) == ("mlp", (500, 500, 1000))
    assert (paper.lr_decay, paper.tol, paper.pretrain) == (20_000, 1e-3, "layer_wise")
    assert paper.random_state == 3
    with pytest.raises(ValueError, match="'cifar' is unknown; expected one of"):
        StatDEC.from_paper("cifar")


def test_score_is_the_log_density_about_the_reconstruction(blobs):
    """Each feature with the variance of its own error, in the user's units."""
    X = blobs[0] * np.array([1.0, 1.0, 1.0, 1.0, 0.01])  # the last one's error falls to the floor
    fitted = small(pretrain_epochs=60, batch_size=8).fit(X)
    squared = (fitted.reconstruct(X) - X) ** 2
    variance = squared.mean(0)
    floor = 0.01 * variance.mean()
    assert variance.min() < floor
    expected = stats.norm(0, np.sqrt(np.maximum(variance, floor))).logpdf(np.sqrt(squared)).sum(1)
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-3, atol=1e-2)


def test_score_of_constant_data_is_finite():
    X = np.ones((40, 3))
    X[0, 0] = 1 + 1e-6
    with pytest.warns(DeadClusterWarning):
        fitted = small(n_clusters=3).fit(X)
    assert np.isfinite(fitted.score_samples(X + 1)).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(blobs):
    import pickle

    X, y = blobs
    fitted = small(device="cuda").fit(X)
    assert adjusted_rand_score(y, fitted.labels_) == 1
    assert next(fitted.module_.parameters()).is_cuda
    other = pickle.loads(pickle.dumps(fitted))
    assert not next(other.module_.parameters()).is_cuda
    assert np.array_equal(other.set_params(device="cpu").predict(X), fitted.labels_)
    assert adjusted_rand_score(y, small(device="cuda", precision="bfloat16").fit_predict(X)) == 1


def test_a_diverging_fit_is_an_error_and_keeps_the_earlier_one(blobs):
    X, _ = blobs
    fitted = small().fit(X)
    before = dict(vars(fitted))
    fitted.set_params(lr=1e12)
    with pytest.raises(FloatingPointError, match="lower lr"):
        fitted.fit(X)
    fitted.set_params(lr=before["lr"])
    assert vars(fitted) == before


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("network", ["mlp", "cnn", "unet", "dvc"])
def test_every_network_serves(noisy_patterns, network, variational):
    images = noisy_patterns(120, 8)
    model = small(
        network=network, variational=variational, hidden_dims=(8, 16), pretrain_epochs=40
    ).fit(images)
    for label in range(3):  # pictures of one pattern differ by at most 49
        own = images[model.labels_ == label].astype(int)
        assert np.ptp(own, axis=0).max() < 50
    back = model.inverse_transform(model.transform(images))
    np.testing.assert_allclose(back, model.reconstruct(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (2, 4, 4)])
def test_loss_is_the_mean_square_of_the_error(shape):
    """In standardised units, over all features of all samples."""
    X = np.random.RandomState(0).normal(size=(60, *shape)).astype(np.float32)
    module = small().fit(X).module_
    with torch.no_grad():
        s = module.standardize(torch.from_numpy(X))
        back = module.autoencoder.decode(module.autoencoder.encode(s)).numpy()
        found = module.pretraining_loss(torch.from_numpy(X), torch.Generator())
    expected = np.mean([(a - b) ** 2 for a, b in zip(s.numpy().flat, back.flat, strict=True)])
    assert found.shape == ()
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_variational_loss_is_the_error_and_the_divergence(blobs):
    """With a unit variance, 2 / d times the negative ELBO, up to a constant."""
    X = torch.tensor(blobs[0], dtype=torch.float32)
    module = small(variational=True).fit(X.numpy()).module_
    with torch.no_grad():
        mean, log_variance = module.autoencoder.encode(module.standardize(X)).chunk(2, 1)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
        drawn = module.autoencoder.decode(mean + (log_variance / 2).exp() * noise)
        error = (module.standardize(X) - drawn).square().mean(1)
        divergence = ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).sum(1)
        found = module.pretraining_loss(X, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, (error + 2 / 5 * divergence).mean())
    np.testing.assert_allclose(
        module.code(X).detach(), mean, rtol=1e-5, err_msg="the embedding is the mean"
    )


def test_a_network_of_ones_own_must_be_variational_where_asked(blobs):
    with pytest.raises(ValueError, match=r"\(2, 2 \* latent_dim=6\): means, then log-variances"):
        small(network=Linear, statistics_pooling=False, variational=True).fit(blobs[0])
