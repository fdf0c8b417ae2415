"""PreciseFeatureGAN: what is its own."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import (
    adjusted_rand_score,
    euclidean_distances,
    normalized_mutual_info_score,
)
from skorch.callbacks import Callback
from torch import nn

from skdeepclust import NeuralMixtureEM, PreciseFeatureGAN
from skdeepclust.cluster._neural_mixture_em import borrowed_clusters
from skdeepclust.cluster._precise_feature_gan import (
    OUR_GAME,
    PAPERS_GAME,
    PreciseFeatureModule,
    frozen,
)
from skdeepclust.cluster._run import Run
from skdeepclust.datasets import make_artifact, make_gaussian_ring
from skdeepclust.exceptions import DeadClusterWarning, GeneratorDivergenceWarning
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.objectives import information_loss

SMALL = {
    "network": "mlp",
    "hidden_dims": (24, 24, 24),
    "noise_dim": 1,
    "critic_steps": 3,
    "classifier_steps": 2,
    "max_epochs": 30,
    "batch_size": 32,
    "lr": 5e-3,
}

pytestmark = pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")


def small(**params):
    return PreciseFeatureGAN(**{"n_clusters": 3, "random_state": 0, **SMALL, **params})


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(90, centers=3, n_features=5, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def images(noisy_patterns):
    return noisy_patterns(60, 8)


@pytest.mark.parametrize(("n", "critic_steps"), [(11, 5), (13, 4)])
def test_no_step_of_the_critic_has_a_single_sample(n, critic_steps):
    """Over which nothing could be normalised."""
    X = np.random.RandomState(0).rand(n, 5)
    model = small(n_clusters=2, batch_size=2, critic_steps=critic_steps, max_epochs=2).fit(X)
    assert np.isfinite(model.history_[:, "critic"]).all()


@pytest.fixture
def searched(monkeypatch):
    """Copies by which fits had the clusters of images searched, and what was found."""
    found = []

    def spy(run, n_clusters, augment):
        labels = borrowed_clusters(run, n_clusters, augment)
        found.append((augment, labels))
        return labels

    monkeypatch.setattr("skdeepclust.cluster._precise_feature_gan.borrowed_clusters", spy)
    return found


def test_the_ring_with_the_defaults():
    """All blobs, and every cluster generates its own."""
    X, y = make_gaussian_ring(2000, random_state=0)
    model = PreciseFeatureGAN(8, noise_dim=1, random_state=0).fit(X)
    assert clustering_accuracy(y, model.labels_) == 1
    generated, labels = model.sample(200, random_state=0)
    assert (model.predict(generated) == labels).mean() > 0.99
    # A sample lies by the blob whose number it was made from.
    for cluster in range(8):
        center = X[model.labels_ == cluster].mean(0)
        distance = np.linalg.norm(generated[labels == cluster] - center, axis=1)
        assert np.median(distance) < 0.3


def test_the_precise_feature():
    """One feature has three values, the others are noise: that one is found, and no other way."""
    rng = np.random.RandomState(0)
    X, artifact = make_artifact(0.5 + 0.25 * rng.standard_normal((1000, 2)), random_state=0)
    X /= X.std(0)
    model = PreciseFeatureGAN(3, noise_dim=2, random_state=0).fit(X)
    assert clustering_accuracy(artifact, model.labels_) > 0.99
    assert clustering_accuracy(artifact, KMeans(3, random_state=0).fit_predict(X)) < 0.9


def test_no_gradient_of_the_generators_loss_reaches_critic_or_classifier(blobs):
    """Eq. 7."""
    seen = {}

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _generator_step(self, run, *args):
            judges = (run.module.critic, run.module.classifier)
            before = [copy.deepcopy(judge.state_dict()) for judge in judges]
            for judge in judges:
                judge.zero_grad()
            losses = super()._generator_step(run, *args)
            for judge, state in zip(judges, before, strict=True):
                assert all(p.grad is None for p in judge.parameters())
                assert all(p.requires_grad for p in judge.parameters())
                assert all(torch.equal(state[k], v) for k, v in judge.state_dict().items())
            seen["generator"] = [p.grad for p in run.module.generator.parameters()]
            return losses

    Spy(3, random_state=0, **{**SMALL, "max_epochs": 2}).fit(blobs[0])
    assert all(gradient.abs().sum() > 0 for gradient in seen["generator"])


def test_frozen_lets_go_when_it_fails():
    layer = nn.Linear(2, 2)

    def fail():
        with frozen(layer):
            assert not any(p.requires_grad for p in layer.parameters())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert all(p.requires_grad for p in layer.parameters())


def test_a_training_from_a_start_is_shorter():
    X = make_blobs(640, centers=3, n_features=64, cluster_std=0.5, random_state=0)[0]
    epochs = []

    class First(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(net.phase_epochs_)
            raise KeyboardInterrupt  # skorch's way to end the training

    images, plane = X.reshape(-1, 1, 8, 8), X[:, :2]
    for data, init in (
        (X, "projection"),
        (images, "projection"),
        (X, "random"),
        (plane, "random"),
    ):
        PreciseFeatureGAN(3, init=init, callbacks=[First()], random_state=0).fit(data)
    # In whose last fifth the classifier settles; but not in the paper's game, of five critic steps.
    assert epochs == [1_000 / 0.8 / 10, 2_000 / 0.8 / 10, 8_000 / 0.8 / 10, 500]


def test_vectors_without_a_precise_feature_start_from_clusters(started):
    X, y = load_digits(return_X_y=True)
    model = PreciseFeatureGAN(10, max_epochs=20, random_state=0).fit(X)
    given = started.pop().numpy()
    assert adjusted_rand_score(given, model.labels_) > 0.9
    assert clustering_accuracy(y, model.labels_) > 0.85
    quick = {"max_epochs": 1, "random_state": 0}
    marked, _ = make_artifact(X / 16, random_state=0)
    X = X[:300]
    for data, params in (
        (marked, {"n_clusters": 3}),  # which has one
        (X, {"init": "projection"}),
        (X, {"init": "random"}),
        (X, {"cluster_prior": "uniform"}),
        (X, {"cluster_prior": np.arange(1, 11)}),
        (X[:60], {"input_shape": (1, 8, 8)}),
    ):
        PreciseFeatureGAN(**{"n_clusters": 10, **quick, **params}).fit(data)
        assert not started, params


def test_fewer_features_than_clusters_start_from_clusters_too(started):
    """By the game alone kinds that touch have half of the accuracy."""
    X, y = make_blobs(600, centers=4.5 * np.eye(5, 4), n_features=4, random_state=0)
    model = PreciseFeatureGAN(5, max_epochs=50, random_state=0).fit(X)
    given = started.pop().numpy()
    assert clustering_accuracy(y, given) > 0.9
    assert adjusted_rand_score(given, model.labels_) > 0.9


def digits_as_images(n):
    return load_digits().images[:n, None].astype(np.float32) / 16


def test_images_start_from_the_clusters_that_copies_tell(searched):
    X = digits_as_images(300)
    model = PreciseFeatureGAN(10, max_epochs=50, random_state=0).fit(X)
    ((augment, given),) = searched
    assert augment == "auto"
    assert "start" in model.history_[0]
    assert adjusted_rand_score(given, model.labels_) > 0.8
    assert len(model.history_) == 50  # of the search there is nothing


def shrunk(x):
    return 0.5 * x


@pytest.mark.parametrize(
    ("params", "copies"),
    [
        ({}, "auto"),  # looks elsewhere too
        ({"augment": "warped_neighbors"}, "strong_affine"),
        ({"augment": "affine"}, "affine"),
        ({"augment": shrunk}, shrunk),
        ({"augment": "neighbors"}, "neighbors"),
        ({"augment": None}, None),
        ({"consistency_weight": 0.0}, None),
        ({"init": "projection"}, None),
        ({"init": "random"}, None),
        ({"cluster_prior": "uniform"}, None),
        ({"cluster_prior": np.arange(1, 11)}, None),
    ],
)
def test_by_which_copies_images_start(params, copies, started, monkeypatch):
    """By those that training is to keep together, whatever the user takes them to be."""
    asked = []

    def search(run, n_clusters, augment):
        asked.append(augment)
        return torch.arange(len(run.rows)) % n_clusters

    monkeypatch.setattr("skdeepclust.cluster._precise_feature_gan.borrowed_clusters", search)
    X = digits_as_images(200)
    model = PreciseFeatureGAN(10, max_epochs=1, random_state=0, **params).fit(X)
    assert asked == ([copies] if copies not in (None, "neighbors") else [])
    assert len(started) == (copies == "neighbors")
    assert ("start" in model.history_[0]) == (copies is not None)


@pytest.mark.parametrize("n_found", [2, 9])
def test_clusters_that_a_search_leaves_empty_are_seldom_drawn(n_found, monkeypatch):
    def search(run, n_clusters, augment):
        return torch.arange(len(run.rows)) % n_found

    monkeypatch.setattr("skdeepclust.cluster._precise_feature_gan.borrowed_clusters", search)
    model = PreciseFeatureGAN(10, max_epochs=1, random_state=0).fit(digits_as_images(180))
    shares = np.sort(model.module_.shares)
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[:-n_found] / shares[-1], 0.003 * n_found, rtol=1e-3)
    np.testing.assert_allclose(shares[-n_found:], shares[-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("n_clusters", "score", "expected"),
    [(25, 0.6, True), (25, 0.4, False), (26, 0.6, False), (1, 0.6, False)],
)
def test_clusters_that_copies_do_not_tell_are_no_start(n_clusters, score, expected, monkeypatch):
    """Nor is any among so many that batches hold few of each. Copies could tell log 25 = 3.2."""

    def trained(self, rows, seed, interrupt):
        found = Run(rows, seed, torch.device("cpu"))
        kept, other = {"score": score, "objective": -1}, {"score": 1 - score, "objective": -2}
        found.history = [{"phase": "explore"}, kept, {"phase": "explore"}, other]
        found.labels = torch.arange(len(rows)) % n_clusters
        return found

    monkeypatch.setattr(NeuralMixtureEM, "_run", trained)
    model = PreciseFeatureGAN(n_clusters, max_epochs=1, random_state=0).fit(digits_as_images(200))
    assert ("start" in model.history_[0]) == expected


@pytest.mark.parametrize(
    "X", [np.ones((60, 5)), np.eye(5)[np.arange(60) % 2], np.diag([1e6] + [1] * 59)[:, :5]]
)
def test_empty_clusters_and_outliers_are_no_start(X):
    """Their numbers would never be drawn, and the logarithm of their share is infinite."""
    model = PreciseFeatureGAN(3, max_epochs=2, random_state=0).fit(X)
    assert "start" not in model.history_[0]
    np.testing.assert_allclose(model.module_.shares, [1 / 3] * 3)


def test_steps_of_each_network(blobs):
    steps = []

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _critic_step(self, run, real, fake):
            steps.append("critic")
            assert len(real) == len(fake) == 30  # of 90 samples
            return super()._critic_step(run, real, fake)

        def _classifier_step(self, run, *args):
            steps.append("classifier")
            return super()._classifier_step(run, *args)

        def _generator_step(self, run, *args):
            steps.append("generator")
            return super()._generator_step(run, *args)

    Spy(3, random_state=0, **{**SMALL, "max_epochs": 2}).fit(blobs[0])
    assert steps == [*["critic"] * 3, *["classifier"] * 2, "generator"] * 2


def test_noise_grows_over_a_share_of_the_training(blobs):
    spread = []

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _noise(self, run, n, scale):
            codes, noise = super()._noise(run, n, scale)
            spread.append(noise.std().item())
            return codes, noise

    Spy(3, random_state=0, **{**SMALL, "max_epochs": 20, "noise_dim": 50, "noise_rise": 0.5}).fit(
        blobs[0]
    )
    each = np.reshape(spread, (20, 4)).mean(1)  # three draws for the critic, one for the generator
    expected = np.minimum(1, np.arange(20) / 10)
    np.testing.assert_allclose(each, expected, atol=0.05)


def test_weight_grows_by_a_staircase(blobs):
    model = small(max_epochs=7, classification_weight=2.0, weight_growth=3.0, growth_interval=3)
    model.fit(blobs[0])  # one step of the generator an epoch
    weights = model.history_[:, "classification_weight"]
    assert weights == pytest.approx([2, 2, 2, 6, 6, 6, 18])
    assert set(small(max_epochs=5).fit(blobs[0]).history_[:, "classification_weight"]) == {1.0}


def test_a_weight_that_grows_beyond_float32_is_refused(blobs):
    grows = {"max_epochs": 7, "growth_interval": 1}  # after each of six steps
    most = 3.4e38 ** (1 / 6)
    with pytest.raises(ValueError, match=r"growth_interval=1 multiply .* 6 times within the 7 st"):
        small(**grows, weight_growth=1.01 * most).fit(blobs[0])
    model = small(**grows, weight_growth=0.9 * most, classification_weight=0.0).fit(blobs[0])
    assert np.isfinite(model.history_[:, "train_loss"]).all()


def test_a_given_prior_is_what_numbers_are_drawn_by(blobs):
    model = small(cluster_prior=(6, 3, 1)).fit(blobs[0])
    shares = np.sort(np.bincount(model.sample(5000)[1], minlength=3) / 5000)
    np.testing.assert_allclose(shares, [0.1, 0.3, 0.6], atol=0.03)
    np.testing.assert_allclose(np.sort(model.module_.shares.numpy()), [0.1, 0.3, 0.6], rtol=1e-5)


def test_score_is_the_critics_value_and_embedding_the_classifiers_last_layer(blobs):
    X, _ = blobs
    model = small().fit(X)
    module, x = model.module_, torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        z = module.standardize(x)
        value = module.critic(z)[:, 0].numpy()
        hidden = module.classifier.hidden(z)
        p = module.classifier.head(hidden).softmax(1)[:, module.codes]
    np.testing.assert_allclose(model.score_samples(X), value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.transform(X), hidden.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(X), p.numpy(), rtol=1e-4, atol=1e-5)


def test_reordering_renames_clusters_everywhere(blobs):
    X, _ = blobs
    model = small().fit(X)
    order = [2, 0, 1]
    before, centers = model.predict_proba(X), model.module_.centers.clone()
    noise = torch.zeros(3, 1)
    with torch.no_grad():
        made = model.module_.generate(torch.tensor(order), noise)
        model.module_.reorder(torch.tensor(order))
        again = model.module_.generate(torch.arange(3), noise)
    np.testing.assert_allclose(model.predict_proba(X), before[:, order], rtol=1e-6)
    assert torch.equal(made, again)
    assert torch.equal(model.module_.centers, centers[order])


def test_generated_images_keep_to_the_range_of_images(images):
    model = small(network="cnn", max_epochs=3).fit(images)
    assert any(isinstance(layer, nn.Conv2d) for layer in model.module_.modules())
    X, labels = model.sample(20, cluster=1)
    assert X.shape == (20, 1, 8, 8)
    assert (labels == 1).all()
    assert X.min() >= 0
    assert X.max() <= 1


def test_consistency_is_trained_where_images_are_warped(images):
    with_copies = small(augment="affine", max_epochs=3).fit(images)
    without = small(augment="affine", consistency_weight=0.0, max_epochs=3).fit(images)
    assert "consistency" in with_copies.history_[-1]
    assert not np.array_equal(with_copies.transform(images), without.transform(images))
    assert "consistency" not in small(augment=None, max_epochs=3).fit(images).history_[-1]


def copies_of(X, **params):
    """What the classifier's steps get beside generated samples: the start, pairs."""
    seen = []

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _classifier_step(self, run, codes, fake, taught, pairs, settling):
            seen.append((taught, pairs))
            return super()._classifier_step(run, codes, fake, taught, pairs, settling)

    model = Spy(3, random_state=0, **SMALL | {"classifier_steps": 1} | params).fit(X)
    return model, seen


def test_copies_are_neighbours(blobs):
    """Of the ten nearest; what a sample's answer shall be alike with counts for more and more."""
    X = blobs[0].astype(np.float32)
    model, seen = copies_of(X, init="random", consistency_weight=2.0, max_epochs=4)
    assert [weight for _, (_, _, weight) in seen] == [0.0, 0.5, 1.0, 1.5]
    distances = euclidean_distances(X)
    tenth = np.sort(distances, 1)[:, 9]
    drawn = set()
    for _, (real, copy_, _) in seen:
        assert len(real) == len(copy_) == len(X)
        a, b = (model.module_.standardize.inverse(x).numpy() for x in (real, copy_))
        places = [euclidean_distances(x, X).argmin(1) for x in (a, b)]
        assert (distances[places[0], places[1]] <= tenth[places[0]]).all()
        drawn |= set(zip(*places, strict=True))
    assert len(drawn) > 90  # not the same one every time


def test_pairs_are_256_a_step():
    X = np.random.RandomState(0).standard_normal((300, 4))
    _, seen = copies_of(X, init="random", max_epochs=1)
    assert seen
    for _, (real, copy_, _) in seen:
        assert len(real) == len(copy_) == 256


def test_neighbours_to_settle_on_are_nearer(monkeypatch):
    """Of more of the samples, where there are more."""
    monkeypatch.setattr("skdeepclust.cluster._precise_feature_gan.NEIGHBOR_POOL", 30)
    X = np.random.RandomState(0).standard_normal((200, 4)).astype(np.float32)
    model, seen = copies_of(X, init="random", max_epochs=20, critic_steps=1)
    tenth = np.sort(euclidean_distances(X), 1)[:, 9]
    beyond = []
    for _, (real, copy_, _) in seen:
        a, b = (model.module_.standardize.inverse(x).numpy() for x in (real, copy_))
        place = euclidean_distances(a, X).argmin(1)
        beyond.append((np.linalg.norm(a - b, axis=1) > tenth[place] + 1e-5).mean())
    played = 4 * len(beyond) // 5
    assert min(beyond[:played]) > 0.5
    assert max(beyond[played:]) == 0


def test_copies_of_images_are_warped_neighbours(images, monkeypatch):
    """By the same warp as what is generated; without it they are neighbours."""
    name = "skdeepclust.cluster._precise_feature_gan.make_augmentation"
    asked = []
    monkeypatch.setattr(name, lambda augment, _: asked.append(augment) or (lambda x: 1 - x))
    X = images.astype(np.float32)
    few = {"max_epochs": 2, "init": "random"}
    model, seen = copies_of(X, **few)
    assert asked == ["strong_affine"]
    distances = euclidean_distances(X.reshape(len(X), -1))
    tenth = np.sort(distances, 1)[:, 9]
    for _, (real, copy_, _) in seen:
        a, b = (model.module_.standardize.inverse(x).flatten(1).numpy() for x in (real, copy_))
        places = [euclidean_distances(x, X.reshape(len(X), -1)).argmin(1) for x in (a, 1 - b)]
        assert (distances[places[0], places[1]] <= tenth[places[0]] + 1e-6).all()
        assert (places[0] != places[1]).mean() > 0.5
    _, seen = copies_of(X, augment="affine", **few)
    for _, (real, copy_, _) in seen:  # the sample itself, warped
        a, b = (model.module_.standardize.inverse(x) for x in (real, copy_))
        torch.testing.assert_close(a, 1 - b, atol=1e-3, rtol=0)


def test_auto_copies_are_neighbours_but_beside_one_feature_and_alone_in_few_dimensions():
    rng = np.random.RandomState(0)
    noise = 0.5 + 0.25 * rng.standard_normal((200, 4))
    marked, _ = make_artifact(noise, random_state=0)
    for X, asked, expected in (
        (noise, {}, (True, True)),
        (noise, {"init": "projection"}, (False, True)),
        (noise, {"consistency_weight": 0.0}, (True, False)),
        (noise, {"augment": None}, (True, False)),
        (noise[:, :2], {"init": "projection"}, (False, False)),
        (noise[:, :2], {"init": "projection", "augment": "neighbors"}, (False, True)),
        (noise[:, :2], {}, (True, True)),
        (noise[:, :2], {"augment": None}, (True, False)),
        (marked, {}, (True, False)),
        (marked, {"augment": "neighbors"}, (True, True)),
        (marked, {"init": "random"}, (False, True)),
    ):
        model, seen = copies_of(X, max_epochs=1, **asked)
        taught, pairs = seen[0]
        assert (taught is not None, pairs is not None) == expected, asked
        assert ("consistency" in model.history_[-1]) == expected[1]


@pytest.mark.parametrize("consistency", ["information", "kl"])
def test_consistency_is_what_it_is_called(blobs, consistency):
    """From the classifier before its step."""
    pairs = []

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _classifier_step(self, run, codes, fake, taught, copies, settling):
            with torch.no_grad():
                p, q = (run.module.classifier(x).softmax(1).double() for x in copies[:2])
            if consistency == "information":
                joint = (p.T @ q + q.T @ p) / (2 * len(p))
                share = joint.sum(0)
                expected = (joint * (share / joint).log()).sum()
                expected = expected + (share * (share / torch.tensor([0.5, 0.3, 0.2])).log()).sum()
            else:
                expected = (p * (p / q).log()).sum(1).mean()
            found = super()._classifier_step(run, codes, fake, taught, copies, settling)
            pairs.append((found["consistency"], expected))
            return found

    params = SMALL | {"max_epochs": 3, "cluster_prior": (5, 3, 2), "init": "random"}
    Spy(3, random_state=0, consistency=consistency, **params).fit(blobs[0])
    for found, expected in pairs:
        assert found.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("params", "epochs"), [({}, 8), ({"consistency": "kl"}, 0), ({"augment": None}, 0)]
)
def test_the_classifier_settles_on_copies_alone(blobs, params, epochs):
    """In the last fifth, from networks before the step; while the two others play on."""
    game, settled, rates = [], [], []

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _classifier_step(self, run, codes, fake, taught, pairs, settling):
            (settled if settling else game).append(1)
            classifier = copy.deepcopy(run.module.classifier)
            if settling:
                p, q = (classifier(x).softmax(1) for x in pairs[:2])
                information_loss(p, q, run.module.shares).backward()
            waiting = (run.net.optimizers_[name] for name in ("classifier", "generator"))
            rates.append([optimizer.param_groups[0]["lr"] for optimizer in waiting])
            found = super()._classifier_step(run, codes, fake, taught, pairs, settling)
            if settling:
                assert pairs[2] == 1
                for own, other in zip(
                    run.module.classifier.parameters(), classifier.parameters(), strict=True
                ):
                    torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6)
            return found

        def _generator_step(self, run, *args):
            before = copy.deepcopy(run.module.generator.state_dict())
            found = super()._generator_step(run, *args)
            after = run.module.generator.state_dict()
            assert not all(torch.equal(before[name], after[name]) for name in after)
            return found

    few = {"max_epochs": 40, "init": "random", "critic_steps": 1, "classifier_steps": 1}
    few |= {"batch_size": 90}
    model = Spy(3, random_state=0, **SMALL | few | params).fit(blobs[0])
    assert (len(game), len(settled)) == (40 - epochs, epochs)
    assert "fake_accuracy" in model.history_[-1]
    full = [epoch for epoch, now in enumerate(rates) if min(now) == SMALL["lr"]]
    assert full == ([0, 32] if epochs else [0])


def test_neighbours_take_clusters_to_the_classes_of_digits():
    """Where the classifier has learned from generated samples alone, it falls behind them."""
    X, y = load_digits(return_X_y=True)
    few = {"init": "random", "max_epochs": 30, "random_state": 0}
    with_neighbors, without = (
        normalized_mutual_info_score(y, PreciseFeatureGAN(10, augment=a, **few).fit_predict(X))
        for a in ("auto", None)
    )
    assert with_neighbors > without + 0.05


class History(list):
    """As much of skorch's as is read of it."""

    def __getitem__(self, key):
        rows, name = key
        return [row[name] for row in list.__getitem__(self, rows)]


def test_divergence_is_told(blobs):
    """Fig. 2 (d, f): the distance grows late, while the classifier is sure of fakes."""
    model = small().fit(blobs[0])

    def history(late, accuracy):
        distances = np.r_[np.linspace(5, 1, 60), np.linspace(1, late, 40)]
        return History({"distance": d, "fake_accuracy": accuracy} for d in distances)

    with pytest.warns(GeneratorDivergenceWarning, match="lower noise_dim or lr"):
        model._warn_of_divergence(history(5.0, 1.0), OUR_GAME)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model._warn_of_divergence(history(1.2, 1.0), OUR_GAME)
        model._warn_of_divergence(history(5.0, 0.5), OUR_GAME)


@pytest.mark.parametrize(("game", "tiny"), [(OUR_GAME, 1.0), (PAPERS_GAME, 0.05 * 5**0.5)])
def test_a_distance_near_nothing_may_double(blobs, game, tiny):
    """In log-odds, or as a share of the norm of samples of 5 features."""
    model = small().fit(blobs[0])

    def history(end):
        return History({"distance": d, "fake_accuracy": 1.0} for d in [0.0] * 90 + [end] * 10)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model._warn_of_divergence(history(1.9 * tiny), game)
    with pytest.warns(GeneratorDivergenceWarning):
        model._warn_of_divergence(history(2.1 * tiny), game)


def test_empty_clusters_are_told_and_come_last():
    X = np.repeat([[0.0, 0.0], [9.0, 9.0]], 20, axis=0)
    with pytest.warns(DeadClusterWarning, match="2 of n_clusters=4|3 of n_clusters=4"):
        model = small(n_clusters=4).fit(X)
    assert (np.diff((model.cluster_sizes_ > 0).astype(int)) <= 0).all()


def test_every_parameter_of_the_method_reaches_it(blobs):
    X, _ = blobs
    base = small().fit(X).transform(X)
    for change in (
        {"hidden_dims": (24, 24)},
        {"noise_dim": 2},
        {"noise_rise": 0.5},
        {"cluster_prior": (0.5, 0.3, 0.2)},
        {"adversarial_loss": "wasserstein"},
        {"penalty_weight": 2.0},
        {"classification_weight": 2.0},
        {"growth_interval": 5},
        {"critic_steps": 2},
        {"classifier_steps": 1},
        {"max_epochs": 31},
        {"batch_size": 16},
        {"lr": 1e-3},
        {"lr_decay": "constant"},
    ):
        other = small(**change).fit(X).transform(X)
        assert not np.array_equal(base, other), change
    grown = small(growth_interval=5).fit(X).transform(X)
    assert not np.array_equal(
        grown, small(growth_interval=5, weight_growth=2.0).fit(X).transform(X)
    )


OURS = {
    "adversarial_loss": "nonsaturating",
    "classification_weight": 1.0,
    "noise_dim": 16,
    "critic_steps": 1,
    "classifier_steps": 1,
    "batch_size": 64,
    "hidden_dims": (256, 256),
}
PAPERS = {
    "adversarial_loss": "wasserstein",
    "classification_weight": 10.0,
    "noise_dim": 16,
    "critic_steps": 5,
    "classifier_steps": 4,
    "batch_size": 128,
    "hidden_dims": (128, 128, 128),
}


@pytest.mark.parametrize(
    ("n_clusters", "init", "given", "epochs"),
    [
        (5, "random", OURS, 1250),
        (6, "random", PAPERS, 500),
        (6, "auto", OURS | {"hidden_dims": (128, 128, 128)}, 1250),
    ],
)
def test_auto_is_the_papers_way_alone_in_fewer_dimensions_than_clusters(
    n_clusters, init, given, epochs, blobs
):
    X = blobs[0]  # 5 features
    auto = dict.fromkeys(given, "auto") | {"hidden_dims": None}
    auto |= {"n_clusters": n_clusters, "init": init}
    auto |= {"max_epochs": 5}  # enough for every change below to show
    found = small(**auto).fit(X).transform(X)
    assert np.array_equal(found, small(**auto | given).fit(X).transform(X))
    for name in given:  # and no other word for one of them
        words = {"wasserstein": "nonsaturating", "nonsaturating": "wasserstein"}
        others = {"hidden_dims": (8,), "batch_size": 16}
        value = others.get(name) or words.get(given[name]) or given[name] + 1
        assert not np.array_equal(found, small(**auto | {name: value}).fit(X).transform(X)), name
    few_steps = {"hidden_dims": (2,), "batch_size": 100, "max_epochs": "auto"}
    assert small(**auto | few_steps).fit(X).n_iter_ == epochs


@pytest.mark.parametrize(
    ("n_features", "n_clusters", "noise_dim"), [(2, 3, 2), (1, 3, 2), (3, 4, 16), (2, 2, 16)]
)
def test_there_is_less_noise_in_the_plane(n_features, n_clusters, noise_dim, blobs):
    model = small(n_clusters=n_clusters, noise_dim="auto", max_epochs=1)
    assert model.fit(blobs[0][:, :n_features]).module_.noise_dim == noise_dim


@pytest.mark.parametrize("adversarial_loss", ["wasserstein", "nonsaturating"])
def test_losses_are_those_of_the_equations(blobs, adversarial_loss):
    """Eq. 5 and 7, and Goodfellow's with Mescheder's penalty, from networks before the step."""
    pairs = []

    def slope_norms(critic, x):
        x = x.detach().clone().requires_grad_()
        return torch.autograd.grad(critic(x).sum(), x)[0].norm(dim=1)

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _critic_step(self, run, real, fake):
            critic, drawn = copy.deepcopy(run.module.critic), torch.Generator()
            drawn.set_state(run.generator.get_state())
            found = super()._critic_step(run, real, fake)
            real_value, fake_value = critic(real), critic(fake)
            if adversarial_loss == "wasserstein":
                share = torch.rand(len(real), generator=drawn).unsqueeze(1)
                norms = slope_norms(critic, share * real + (1 - share) * fake)
                expected = fake_value.mean() - real_value.mean() + 3 * ((norms - 1) ** 2).mean()
            else:
                expected = (
                    -real_value.sigmoid().log().mean() - (1 - fake_value.sigmoid()).log().mean()
                )
                expected = expected + 3 / 2 * (slope_norms(critic, real) ** 2).mean()
            pairs.append((found["critic"], expected))
            return found

        def _generator_step(self, run, *args):
            module, drawn = run.module, torch.Generator()
            generator = copy.deepcopy(module.generator)
            drawn.set_state(run.generator.get_state())
            found = super()._generator_step(run, *args)
            run.generator, kept = drawn, run.generator
            codes, noise = self._noise(run, *args[1:])
            run.generator = kept
            fake = generator(torch.cat([nn.functional.one_hot(codes, 3), noise], 1))
            value = module.critic(fake)
            adversarial = (
                -value if adversarial_loss == "wasserstein" else -value.sigmoid().log()
            ).mean()
            own = nn.functional.cross_entropy(module.classifier(fake), codes)
            pairs.append((found["loss"], adversarial + 2 * own))
            return found

    params = SMALL | {"max_epochs": 2, "penalty_weight": 3.0, "classification_weight": 2.0}
    Spy(3, random_state=0, adversarial_loss=adversarial_loss, **params).fit(blobs[0])
    assert len(pairs) == 2 * (3 + 1)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_augment_is_the_classifiers(images, monkeypatch):
    """Generated images are warped for it to learn from; the critic sees what there is."""
    seen = []
    value = PreciseFeatureModule.value
    monkeypatch.setattr(
        PreciseFeatureModule, "value", lambda self, x: seen.append(x) or value(self, x)
    )
    model = small(augment=torch.zeros_like, max_epochs=1).fit(images)
    background = model.module_.standardize(torch.zeros(1, 1, 8, 8))
    assert seen
    assert not any(torch.isclose(x, background).all() for x in seen)
    warped, plain = (
        small(augment=augment, consistency_weight=0.0, max_epochs=1).fit(images)
        for augment in (torch.zeros_like, None)
    )
    assert not np.array_equal(warped.transform(images), plain.transform(images))


def test_entropy_is_looked_at_every_tenth_step(blobs, monkeypatch):
    name = "skdeepclust.cluster._precise_feature_gan.entropy"
    answers = []
    monkeypatch.setattr(name, lambda p: answers.append(p) or torch.tensor([float(len(answers))]))
    history = small(max_epochs=25).fit(blobs[0]).history_  # one step of the generator an epoch
    assert history[:, "entropy"] == [1.0] * 10 + [2.0] * 10 + [3.0] * 5


@pytest.mark.parametrize("dataset", ["mnist", "orl"])
def test_papers_settings_are_parameters(dataset):
    model = PreciseFeatureGAN.from_paper(dataset, n_clusters=4)
    assert (model.n_clusters, model.penalty_weight, model.hidden_dims) == (4, 100, (64, 128, 256))
    assert (model.network, model.critic_steps, model.classifier_steps) == ("cnn", 5, 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"network": "cnn"}, "network='cnn' needs images"),
        ({"network": "unet"}, "'network' parameter"),
        ({"noise_dim": -1}, "'noise_dim' parameter"),
        ({"cluster_prior": (0.5, 0.5)}, "3 positive shares"),
        ({"cluster_prior": (0.5, 0.5, 0.0)}, "3 positive shares"),
        ({"cluster_prior": "estimated"}, "'cluster_prior' parameter"),
        ({"weight_growth": 0.5}, "'weight_growth' parameter"),
        ({"critic_steps": 0}, "'critic_steps' parameter"),
        ({"augment": "affine"}, "augment='affine' needs images"),
        ({"augment": "warped_neighbors"}, "augment='warped_neighbors' needs images"),
        ({"augment": "mirror"}, "'augment' parameter"),
        ({"consistency": "l2"}, "'consistency' parameter"),
    ],
)
def test_bad_parameters(blobs, params, message):
    model = small(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(blobs[0])
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_finds_the_ring():
    X, y = make_gaussian_ring(2000, random_state=0)
    model = PreciseFeatureGAN(8, noise_dim=1, random_state=0, device="cuda").fit(X)
    assert clustering_accuracy(y, model.labels_) == 1
    assert next(model.module_.parameters()).is_cuda
