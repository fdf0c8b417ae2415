"""DVC: what is its own."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skdeepclust import DVC
from skdeepclust.cluster import _phases
from skdeepclust.networks import DVCAutoencoder, MLPAutoencoder
from skdeepclust.objectives import gaussian_kl
from skdeepclust.training import _batches

SMALL = {"hidden_dims": (24, 16), "latent_dim": 3, "pretrain_epochs": 80, "max_epochs": 8}


def small(**params):
    return DVC(**{"n_clusters": 3, "random_state": 0, **SMALL, **params})


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(150, centers=3, n_features=6, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def images(noisy_patterns):
    return noisy_patterns(90, 8)


@pytest.fixture(scope="module")
def fitted(blobs):
    return small().fit(blobs[0])


@pytest.fixture(scope="module")
def imaging(images):
    return small(hidden_dims=(16, 32)).fit(images)


def test_separated_blobs_are_found(blobs, fitted):
    assert adjusted_rand_score(blobs[1], fitted.labels_) == 1


def test_patterns_are_found(images, imaging):
    for label in range(3):  # pictures of one pattern differ by at most 49
        own = images[imaging.labels_ == label].astype(int)
        assert np.ptp(own, axis=0).max() < 50


# ------------------------------------------------------------------------------------- likelihood


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (lambda images: images, "bernoulli"),
        (lambda images: images / np.float32(255), "bernoulli"),
        (lambda images: images.astype(np.float32), "gaussian"),
        (lambda images: images / np.float32(255) - 0.5, "gaussian"),
        (lambda images: images / np.float32(images.max()) * np.float32(1 + 2e-7), "bernoulli"),
        (lambda images: images.reshape(len(images), -1) / np.float32(255), "gaussian"),
    ],
)
def test_likelihood_follows_the_range_of_the_data(images, X, expected):
    model = small(hidden_dims=(4,), pretrain_epochs=0, max_epochs=1).fit(X(images))
    assert model.module_.likelihood == expected


def test_bernoulli_is_refused_outside_its_range(blobs):
    with pytest.raises(ValueError, match=r"'bernoulli' needs data in \[0, 1\].*from -.*gaussian"):
        small(likelihood="bernoulli").fit(blobs[0])


def test_bernoulli_has_no_score_outside_its_range(images):
    X = (images / 255).astype(np.float32)
    model = small(hidden_dims=(4,), pretrain_epochs=0, max_epochs=1).fit(X)
    with pytest.raises(
        ValueError, match=r"outside \[0, 1\], as from 0.* to 2.*; expected numbers in it"
    ):
        model.score_samples(np.concatenate([X[:2], X[:1] + 2]))


# ------------------------------------------------------------------------------------ inference


def test_embedding_is_the_posteriors_mean(blobs, fitted):
    X, module = blobs[0].astype(np.float32), fitted.module_
    with torch.no_grad():
        code = module.autoencoder.encode(module.standardize(torch.tensor(X)))
        expected = module.latent_map(code[:, :3])
    np.testing.assert_allclose(fitted.transform(X), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(fitted.transform(X), fitted.transform(X))


@pytest.mark.parametrize("which", ["fitted", "imaging"])
def test_a_code_alone_is_decoded(which, request, blobs, images):
    model, X = request.getfixturevalue(which), blobs[0] if which == "fitted" else images
    back = model.inverse_transform(model.transform(X))
    assert back.shape == X.shape
    np.testing.assert_allclose(back, model.reconstruct(X), rtol=1e-3, atol=1e-4)
    if which == "imaging":
        assert 0 <= back.min() <= back.max() <= 1
        X = X / 255
    assert ((back - X) ** 2).mean() < 0.5 * X.var(0).mean()


def test_score_is_the_bound_per_unit_of_the_data(blobs, fitted):
    """From the module's parts, in numpy; and a change of units shifts a density as it must."""
    X, module = blobs[0].astype(np.float32)[:20], fitted.module_
    with torch.no_grad():
        mean, log_variance = module.posterior(torch.tensor(X))
        z = mean + (log_variance / 2).exp() * module.draws[:, None]  # (draws, n, latent_dim)
        decoded = module.standardize.inverse(module.autoencoder.decode(z.flatten(0, 1)))
        divergence = gaussian_kl(mean, log_variance).sum(1).numpy()
    std = (module.error_variance.sqrt() * module.standardize.scale).item()
    likelihood = stats.norm(decoded.numpy().reshape(len(z), *X.shape), std).logpdf(X).sum(2)
    expected = likelihood.mean(0) - divergence
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("prior_weight", [0.5, 2.0])
def test_loss_is_the_negative_bound_per_feature(blobs, prior_weight):
    """Of standardised samples, its mean over the batch, from the module's parts in numpy."""
    module = small(prior_weight=prior_weight).fit(blobs[0]).module_
    X = torch.tensor(blobs[0][:20], dtype=torch.float32)
    with torch.no_grad():
        mean, log_variance = module.posterior(X)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
        decoded = module.autoencoder.decode(mean + (log_variance / 2).exp() * noise).numpy()
        divergence = gaussian_kl(mean, log_variance).sum(1).numpy()
        found = module.pretraining_loss(X, torch.Generator().manual_seed(5))
        s, std = module.standardize(X).numpy(), module.error_variance.sqrt().item()
    bound = stats.norm(decoded, std).logpdf(s).sum(1) - prior_weight * divergence
    assert found.shape == ()
    assert found.item() == pytest.approx(-bound.mean() / X.shape[1], rel=1e-4)


def test_score_tells_what_the_model_has_not_seen(blobs, fitted):
    X, _ = blobs
    rng = np.random.RandomState(0)
    strange = np.column_stack([rng.permutation(column) for column in X.T])
    assert fitted.score_samples(X).min() > np.quantile(fitted.score_samples(strange), 0.5)


# ------------------------------------------------------------------------------------- collapse


def informative(model, X):
    """Latent dimensions in which the posterior says something: KL to the prior above 0.1 nats."""
    module = model.module_
    with torch.no_grad():
        scale = 1 / 255 if X.dtype == np.uint8 else 1.0
        divergence = gaussian_kl(*module.posterior(torch.tensor(X) * scale)).mean(0)
    return int((divergence > 0.1).sum())


@pytest.mark.parametrize("seed", range(3))
def test_posterior_does_not_collapse_on_blobs(seed):
    X, y = make_blobs(600, centers=5, n_features=8, random_state=seed)
    model = DVC(5, hidden_dims=(64, 64), random_state=seed).fit(X)
    assert informative(model, X.astype(np.float32)) >= 3
    assert adjusted_rand_score(y, model.labels_) > 0.9


def test_posterior_does_not_collapse_on_digits():
    X = load_digits().images[:, None]
    X = (X / 16).astype(np.float32)
    model = DVC(10, random_state=0, pretrain_epochs=20, max_epochs=5).fit(X)
    assert informative(model, X) >= 8


def test_a_heavy_prior_collapses_it(blobs):
    """What the test above would see."""
    X = blobs[0].astype(np.float32)
    assert informative(small(prior_weight=100.0).fit(X), X) == 0


# ------------------------------------------------------------------------------------ generating


def test_samples_are_of_the_cluster_they_were_asked_from(fitted, imaging):
    for model in (fitted, imaging):
        for cluster in range(3):
            X, labels = model.sample(50, cluster)
            assert (labels == cluster).all()
            assert (model.predict(model_input(model, X)) == cluster).mean() > 0.9


def model_input(model, X):
    """Pictures come back within [0, 1]; the model was fitted on bytes."""
    return (X * 255).round().astype(np.uint8) if X.ndim == 4 else X


def test_samples_look_like_the_data(blobs, fitted):
    X, _y = blobs
    generated, labels = fitted.sample(6000)
    assert generated.dtype == np.float32
    np.testing.assert_allclose(np.bincount(labels) / 6000, fitted.cluster_sizes_ / 150, atol=0.03)
    for cluster in range(3):
        own = X[fitted.labels_ == cluster]
        np.testing.assert_allclose(
            generated[labels == cluster].mean(0), own.mean(0), atol=3 * own.std(0).max()
        )


def test_samples_have_the_clusters_latent_moments(blobs, fitted):
    X, module = blobs[0].astype(np.float32), fitted.module_
    own = X[fitted.labels_ == 1]
    with torch.no_grad():
        _, log_variance = module.posterior(torch.tensor(own))
    z, matrix = fitted.transform(own), module.latent_map.matrix.numpy()
    expected = np.cov(z.T, bias=True) + matrix @ np.diag(log_variance.exp().mean(0)) @ matrix
    factor = module.latent_factors[1].numpy()
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(module.latent_means[1], z.mean(0), rtol=1e-4, atol=1e-5)


def test_pictures_of_uint8_are_drawn_within_their_range(images):
    X = (255 * (images > images.mean())).astype(np.uint8)
    model = small(likelihood="gaussian", network="mlp", max_epochs=1).fit(X)
    drawn, _ = model.sample(200)
    assert drawn.min() == 0  # what a Gaussian decoder has beyond is cut off
    assert drawn.max() == 1


def test_sample_follows_its_seed(fitted):
    first, second = fitted.sample(5), fitted.sample(5)
    assert np.array_equal(first[0], second[0])  # that of the estimator
    other = fitted.sample(5, random_state=1)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), r"n_samples=0; expected an integer of at least 1"),
        ((2.5,), r"n_samples=2.5; expected an integer"),
        ((1, 3), r"cluster=3; expected None or an integer from 0 to 2"),
        ((1, 1.0), r"cluster=1.0; expected"),
        ((1, True), r"cluster=True; expected"),
        ((1, -1), r"cluster=-1; expected"),
        ((1, "a"), r"cluster='a'; expected"),
    ],
)
def test_sample_refuses(fitted, arguments, message):
    with pytest.raises(ValueError, match=message):
        fitted.sample(*arguments)


def test_samples_are_of_the_fit_and_not_of_parameters_set_since(fitted):
    model = copy.deepcopy(fitted).set_params(n_clusters=5)
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.sample(4, cluster=4)
    X, labels = model.sample(4)
    np.testing.assert_array_equal(X, fitted.sample(4)[0])
    assert labels.dtype == model.sample(4, cluster=1)[1].dtype == np.int64


def test_batches_are_as_small_as_what_is_decoded_demands(imaging, monkeypatch):
    """64 numbers an image here, four in its embedding."""
    monkeypatch.setattr(_batches, "INFERENCE_NUMBERS", 64 * 40)
    sizes, decode = [], imaging.module_.decode
    monkeypatch.setattr(imaging.module_, "decode", lambda z: sizes.append(len(z)) or decode(z))
    imaging.inverse_transform(np.zeros((100, imaging.cluster_centers_.shape[1])))
    imaging.sample(100)
    assert sizes == [40, 40, 32] * 2


# ------------------------------------------------------------------------------------ parameters


def test_every_parameter_of_the_method_reaches_it(blobs):
    X, _ = blobs
    short = {"pretrain_epochs": 5}
    base = small(**short).fit(X).transform(X)
    for change in (
        {"prior_weight": 0.5},
        {"clustering_weight": 0.9},
        {"degrees_of_freedom": 3.0},
        {"target": "printed", "focus": 5.0},
        {"warmup_epochs": 0},
        {"whiten": False},
        {"init": "kmeans"},
        {"pretrain_epochs": 9},
        {"max_epochs": 7},
        {"lr": 3e-3},
        {"lr_decay": "constant"},
        {"batch_size": 16},
        {"hidden_dims": (24,)},
        {"update_interval": 2, "warmup_epochs": 0},
    ):
        assert not np.array_equal(base, small(**{**short, **change}).fit(X).transform(X)), change


@pytest.mark.parametrize("network", ["cnn", "unet", "dvc", "mlp"])
def test_every_network_serves(images, network):
    model = small(network=network, hidden_dims=(8, 8), max_epochs=2, pretrain_epochs=2).fit(images)
    assert model.sample(2)[0].shape == (2, 1, 8, 8)


class Halves(nn.Module):
    """A user's own: linear, with means and log-variances side by side."""

    def __init__(self, input_shape, latent_dim, moments=2):
        super().__init__()
        self.down = nn.Linear(input_shape[0], moments * latent_dim)
        self.up = nn.Linear(latent_dim, input_shape[0])

    def encode(self, x):
        return self.down(x)

    def decode(self, z):
        return self.up(z)


def test_a_network_of_ones_own(blobs):
    X, y = blobs
    assert adjusted_rand_score(y, small(network=Halves).fit_predict(X)) == 1
    with pytest.raises(ValueError, match=r"\(2, 2 \* latent_dim=6\): means, then log-variances"):
        small(network=lambda shape, dim: Halves(shape, dim, 1)).fit(X)


def test_constant_data_is_survived():
    X = np.ones((60, 4))
    X[:30] = 0
    model = small(n_clusters=2).fit(X)
    assert sorted(model.cluster_sizes_) == [30, 30]
    assert np.isfinite(model.score_samples(X)).all()


def epochs(model, phase):
    return sum(row["phase"].startswith(phase) for row in model.history_)


def test_convolutions_get_more_steps_than_dense_layers(noisy_patterns):
    X = noisy_patterns(1300, 8)  # 41 batches of 32 an epoch
    tiny = {"n_clusters": 3, "hidden_dims": (2,), "latent_dim": 2, "random_state": 0, "tol": 0.0}
    convolutional = DVC(init="kmeans", **tiny).fit(X)
    assert (epochs(convolutional, "pretrain"), epochs(convolutional, "cluster")) == (40, 20)
    dense = DVC(init="kmeans", network="mlp", **tiny).fit(X)
    assert (epochs(dense, "pretrain"), epochs(dense, "cluster")) == (25, 15)


@pytest.mark.parametrize(
    ("network", "steps", "expected"),
    [
        ("dvc", 5, [200, 80]),
        ("dvc", 547, [3, 2]),
        ("cnn", 3200, [0.5, 0.25]),
        ("mlp", 5, [100, 40]),
        ("mlp", 3200, [10, 4]),
    ],
)
def test_auto_is_so_many_steps_within_bounds(monkeypatch, network, steps, expected):
    """Of small data, of MNIST and of more; dense layers see all of it some times."""
    monkeypatch.setattr(_phases, "steps_per_epoch", lambda run: steps)
    schedules = DVC(network=network)._schedules(1000)
    assert [_phases.resolve_epochs("auto", None, **each) for each in schedules] == expected


def test_a_quarter_of_the_joint_training_is_warm_up(blobs):
    model = small(max_epochs=8, tol=0.0, batch_size=50).fit(blobs[0])
    changes = ["label_change" in row for row in model.history_ if row["phase"] == "cluster"]
    assert changes == [False] * 2 + [True] * 6


def test_papers_settings():
    paper = DVC.from_paper("mnist", random_state=3)
    assert (paper.n_clusters, paper.prior_weight, paper.init) == (10, 1.0, "kmeans")
    # λ / (1 - λ) between KL and the sum over 784 pixels
    ratio = paper.clustering_weight / (1 - paper.clustering_weight)
    assert ratio * 784 == pytest.approx(0.1 / 0.9)
    assert paper.random_state == 3


@pytest.mark.parametrize(("side", "expected"), [(8, DVCAutoencoder), (7, MLPAutoencoder)])
def test_auto_network_suits_the_images(noisy_patterns, side, expected):
    model = DVC(3, pretrain_epochs=1, max_epochs=1, random_state=0).fit(noisy_patterns(30, side))
    assert type(model.module_.autoencoder) is expected


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(blobs, images):
    X, y = blobs
    fitted = small(device="cuda").fit(X)
    assert adjusted_rand_score(y, fitted.labels_) == 1
    assert fitted.sample(4)[0].shape == (4, 6)
    assert np.isfinite(fitted.score_samples(X)).all()
    other = pickle.loads(pickle.dumps(fitted))
    assert not next(other.module_.parameters()).is_cuda
    assert np.array_equal(other.set_params(device="cpu").predict(X), fitted.labels_)
    imaging = small(hidden_dims=(16, 32), device="cuda").fit(images)
    assert imaging.sample(2, cluster=1)[0].shape == (2, 1, 8, 8)
