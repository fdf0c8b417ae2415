"""Clusters along principal components of equal variance, where the data tell no others."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from skorch.callbacks import Callback

from skdeepclust import DVC, NeuralMixtureEM, PreciseFeatureGAN, StatDEC
from skdeepclust.cluster import _neighbors, _start, _start_in_data
from skdeepclust.cluster._neighbors import NeighborInformation
from skdeepclust.cluster._run import Run, copied
from skdeepclust.cluster._start_in_data import (
    chance_coefficient,
    principal_start,
    whitened_start,
)
from skdeepclust.exceptions import DeadClusterWarning


def rng(seed=0):
    return np.random.RandomState(seed)


def on_baselines(seed=0):
    """Groups along four of twenty-five columns, on three curves of thirty times their spread."""
    random, y = rng(seed), np.arange(800) % 4
    X = random.normal(size=(800, 25))
    X[:, :4] += 12 * np.eye(4)[y]
    return 1e3 + X + 30 * random.normal(size=(800, 3)) @ random.normal(size=(3, 25)), y


def of_a_shared_size(seed=0):
    """Groups in the shape of five columns, all of which grow with a size that varies more."""
    random, y, growth = rng(seed), np.arange(400) % 3, np.linspace(0.6, 1.0, 5)
    shape = random.normal(size=(3, 5))
    shape -= np.outer(shape @ growth, growth) / (growth @ growth)
    size = 8 * random.normal(size=(400, 1)) * growth
    return size + 1.5 * shape[y] + 0.25 * random.normal(size=(400, 5)), y


def cut_by_kmeans(X, n_clusters):
    labels = KMeans(n_clusters, n_init=20, random_state=0).fit_predict(X)
    return torch.from_numpy(labels).long()


def as_it_is(X):
    return NeighborInformation(X)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e15])
def test_clusters_along_components_of_equal_variance(unit):
    X, y = on_baselines()
    cut, generator = cut_by_kmeans(X, 4), rng()
    assert adjusted_rand_score(y, cut) < 0.1
    X = (unit * X).astype(np.float32)
    information = as_it_is(X)
    found, neighbors = whitened_start(cut, X, 4, generator, information)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert adjusted_rand_score(y, found.argmax(1)) > 0.98
    assert generator.randint(2**31 - 1) == rng().randint(2**31 - 1)
    # The neighbours are of the samples that are compared, and of their classes.
    classes = y[information.chosen]
    assert (classes[neighbors] == classes[:, None]).mean() > 0.9
    assert (classes[information.neighbors] == classes[:, None]).mean() < 0.5


def test_components_of_a_part_give_all_rows_their_cluster(monkeypatch):
    X, y = on_baselines(1)
    for module in (_start, _start_in_data):
        monkeypatch.setattr(module, "SUBSET", 400)
    monkeypatch.setattr(_neighbors, "inference_batch", lambda n_features: 99)
    found, _ = whitened_start(cut_by_kmeans(X, 4), X, 4, rng(), as_it_is(X))
    assert adjusted_rand_score(y, found.argmax(1)) > 0.98


def test_where_all_is_told_no_other_components_are_searched(monkeypatch):
    X, y = make_blobs(300, centers=8 * np.eye(4, 30), random_state=0)
    monkeypatch.setattr(_start, "agreed_mixtures", None)
    assert whitened_start(torch.from_numpy(y), X, 4, rng(), as_it_is(X)) is None


def test_fewer_dimensions_are_no_reason(monkeypatch, few_of_many_columns):
    """Neighbours err in fifty columns and less along twenty components, of whatever variance."""
    X, y = few_of_many_columns(1)
    information = as_it_is(X)
    monkeypatch.setattr(_start_in_data, "SMALLEST", 0.5)
    labels = torch.from_numpy(y)
    z = PCA(20, whiten=True).fit_transform(X)
    assert information.uncertainty_coefficient(labels, 5) < as_it_is(z).uncertainty_coefficient(
        labels, 5
    )
    assert whitened_start(labels, X, 5, rng(), information) is None


def test_components_of_constants():
    X = np.full((9, 4), 7, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert whitened_start(torch.arange(9) % 3, X, 3, rng(), as_it_is(X)) is None


def test_components_without_variance_have_no_scale():
    """Two columns alike but for rounding: what it makes is not blown up to the others' scale."""
    X, y = on_baselines(2)
    X = np.c_[X[:, :8], X[:, :8] * (1 + 1e-7)].astype(np.float32)
    found, _ = whitened_start(cut_by_kmeans(X, 4), X, 4, rng(), as_it_is(X))
    assert adjusted_rand_score(y, found.argmax(1)) > 0.98


@pytest.mark.parametrize(
    ("views", "kept", "chance"),
    [
        # What neighbours tell of k-means there, of the start there, and of what was found: those
        # along components of equal variance, along the same ones as they are, and in the data.
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.7, 0.3)], True, (0.2, 0.6)),
        ([(0.5, 0.8), (0.6, 0.7, 0.3), (0.4, 0.7, 0.3)], False, (0.2, 0.6)),  # not worth a search
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.6, 0.7, 0.3)], False, (0.2, 0.6)),
        ([(0.5, 0.8), (0.4, 0.9, 0.3), (0.4, 0.7, 0.3)], False, (0.2, 0.6)),  # told no better there
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.9, 0.3)], False, (0.2, 0.6)),
        # By chance neighbours tell 0.2 and 0.6: so it is 0.75, and 0.29 or 0.31.
        ([(0.5, 0.8), (0.4, 0.7, 0.715), (0.4, 0.7, 0.3)], True, (0.2, 0.6)),
        ([(0.5, 0.8), (0.4, 0.7, 0.725), (0.4, 0.7, 0.3)], False, (0.2, 0.6)),
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.7, 0.725)], False, (0.2, 0.6)),
        # Of few samples it may be all, which leaves none to tell.
        ([(0.5, 0.8), (0.4, 0.7, 0.9), (0.4, 0.7, 0.3)], True, (0.2, 1.0)),
        ([(0.5, 0.8), (0.4, 0.7, 1.0), (0.4, 0.7, 0.3)], False, (0.2, 1.0)),
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.7, 0.3)], False, (1.0, 0.6)),
        # Hardly more than of a cloud without clusters: 0.18 and 0.22 of what chance leaves.
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.7, 0.3)], False, (0.755, 0.6)),
        ([(0.5, 0.8), (0.4, 0.7, 0.3), (0.4, 0.7, 0.3)], True, (0.745, 0.6)),
    ],
)
def test_what_other_components_have_to_tell(views, kept, chance, monkeypatch):
    assert looks_there(views, chance, 21, monkeypatch) == kept


@pytest.mark.parametrize(
    ("n_features", "found", "plain", "kept"),
    [
        # Of what chance leaves 0.75 is told there, and 0.46 or 0.48 before.
        (20, 0.785, 0.3, True),
        (20, 0.79, 0.3, False),
        (21, 0.785, 0.3, False),
        # Of few columns the best along the components as they are counts, too.
        (20, 0.3, 0.785, True),
        (20, 0.3, 0.79, False),
        (21, 0.3, 0.79, True),
    ],
)
def test_of_few_columns_they_need_tell_less(n_features, found, plain, kept, monkeypatch):
    views = [(0.5, 0.8), (0.4, 0.7, found, plain), (0.4, 0.7, 0.3, 0.3)]
    assert looks_there(views, (0.2, 0.6), n_features, monkeypatch) == kept


def looks_there(views, chance, n_features, monkeypatch):
    """Whether clusters along components of equal variance are taken."""
    kmeans, start, found = torch.tensor([0, 0, 1]), torch.eye(2)[[0, 1, 1]], torch.tensor([1, 0, 1])
    plain = torch.eye(2)[[0, 1, 0]]
    asked = [str(labels) for labels in (kmeans, start.argmax(1), found, plain.argmax(1))]

    class Information:
        chosen, neighbors = torch.arange(3), "there"

        def __init__(self, coefficients):
            self.answers = dict(zip(asked, coefficients, strict=False))

        def uncertainty_coefficient(self, labels, n_clusters):
            return self.answers[str(labels)]

    whitened, along, data = map(Information, views)
    by_scale = iter([whitened, along])
    monkeypatch.setattr(_start_in_data, "NeighborInformation", lambda *_, **__: next(by_scale))
    starts = iter([start, plain])
    monkeypatch.setattr(_start_in_data, "start_responsibilities", lambda *_: next(starts))
    monkeypatch.setattr(_start_in_data.KMeans, "predict", lambda *_: kmeans.numpy())
    monkeypatch.setattr(
        _start_in_data, "chance_coefficient", lambda scale, *_: chance[int((scale != 1).any())]
    )
    X = np.zeros((3, n_features))
    X[1, 0], X[2, 1] = 2, 1
    result = whitened_start(found, X, 2, rng(), data)
    assert result is None or result == (start, "there")
    return result is not None


def test_what_neighbors_tell_of_no_clusters():
    """Least where all directions are as wide; never what they tell of clusters."""
    few, all_alike = (
        chance_coefficient(np.array(s), 500, 4, rng()) for s in ([9, 9] + [1] * 8, [1] * 10)
    )
    assert 0.1 < all_alike < 0.4 < few < 0.9
    X, y = make_blobs(500, centers=8 * np.eye(4, 10), random_state=0)
    assert as_it_is(X).uncertainty_coefficient(torch.from_numpy(y), 4) > 0.99


def test_clouds_of_few_samples_are_drawn_more_often(monkeypatch):
    drawn = []

    class Cloud:
        def __init__(self, Z):
            drawn.append(len(Z))

        def uncertainty_coefficient(self, labels, n_clusters):
            return len(drawn)

    monkeypatch.setattr(_start_in_data, "NeighborInformation", Cloud)
    assert chance_coefficient(np.ones(3), 100, 2, rng()) == 3  # the mean of 1 to 5
    assert drawn == 5 * [100]
    monkeypatch.setattr(_start_in_data, "SUBSET", 100)
    assert chance_coefficient(np.ones(3), 100, 2, rng()) == 6
    assert drawn == 6 * [100]


@pytest.mark.parametrize("draw", [on_baselines, of_a_shared_size])
@pytest.mark.parametrize(
    ("Estimator", "shorter"),
    [
        (StatDEC, {"hidden_dims": (200, 200), "pretrain_epochs": 10, "max_epochs": 60}),
        (DVC, {"hidden_dims": (200, 200), "pretrain_epochs": 10, "max_epochs": 60}),
        (NeuralMixtureEM, {}),
        (PreciseFeatureGAN, {"max_epochs": 20}),
    ],
)
def test_classes_that_little_of_the_variance_tells(Estimator, shorter, draw):
    X, y = draw(3)
    n_clusters, X = len(np.unique(y)), X.astype(np.float32)
    assert adjusted_rand_score(y, cut_by_kmeans(X, n_clusters)) < 0.1
    model = Estimator(n_clusters, random_state=0, **shorter).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert adjusted_rand_score(y, model.predict(X)) > 0.9


def test_neighbors_that_tell_them_take_the_place_of_the_others():
    X, y = on_baselines(4)
    information = NeighborInformation(X)
    before = information.uncertainty_coefficient(torch.from_numpy(y), 4)
    found = principal_start(X, 4, rng(), information, torch.device("cpu"))
    assert adjusted_rand_score(y, found) > 0.98
    assert before < 0.5
    assert information.uncertainty_coefficient(found, 4) > 0.75


def test_a_restart_with_such_classes_is_the_better(monkeypatch):
    """Than one without: neighbours in the data would speak against them."""
    X, y = on_baselines(3)
    search, asked = _start_in_data.whitened_start, []

    def once(*args):
        asked.append(args)
        return search(*args) if len(asked) == 1 else None

    monkeypatch.setattr("skdeepclust.cluster._self_training.whitened_start", once)
    shorter = {"hidden_dims": (200, 200), "pretrain_epochs": 10, "max_epochs": 30}
    model = StatDEC(4, n_init=2, random_state=0, **shorter).fit(X.astype(np.float32))
    assert model.restart_scores_.argmax() == 0
    assert adjusted_rand_score(y, model.labels_) > 0.9


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
def test_clusters_that_the_embedding_does_not_tell_are_kept(
    Estimator, monkeypatch, few_of_many_columns
):
    """The target stays what it was: one made of what the embedding tells would undo them."""
    X, y = few_of_many_columns()
    short = {"hidden_dims": (20,), "pretrain_epochs": 1, "max_epochs": 3, "warmup_epochs": 1}
    target = "skdeepclust.cluster._self_training.whitened_start"

    def fitted(found, **params):
        monkeypatch.setattr(target, lambda *_: found)
        return Estimator(5, **short | params, random_state=0).fit(X.astype(np.float32))

    def updated(model):
        return any("label_change" in epoch for epoch in model.history_)

    assert updated(fitted(None))
    information = NeighborInformation(X)
    found = torch.eye(5)[y], information.neighbors
    assert not updated(fitted(found))
    length = {"steps": 1, "at_least": 2, "at_most": 2}
    monkeypatch.setattr("skdeepclust.cluster._self_training.KEPT_TRAINING", length)
    assert fitted(found, max_epochs="auto").n_iter_ == 2


def pictures_in_uneven_light(seed=0):
    """Of four patterns; on each a plane of brightness of many times their spread."""
    random, y, along = rng(seed), np.arange(400) % 4, np.linspace(-1, 1, 8)
    planes = np.ones((8, 8)), np.tile(along, (8, 1)), np.tile(along[:, None], 8)
    light = 30 * sum(random.normal(size=(400, 1, 1)) * plane for plane in planes)
    X = 4 * random.normal(size=(4, 8, 8))[y] + random.normal(size=(400, 8, 8)) + light
    return X[:, None].astype(np.float32), y


SHORT_SEARCH = {"n_starts": 2, "n_networks": 1, "start_epochs": 1, "max_epochs": 20}


@pytest.mark.parametrize(
    ("Estimator", "shorter"),
    [
        (StatDEC, {"hidden_dims": (200,), "pretrain_epochs": 20, "max_epochs": 40}),
        (DVC, {"network": "mlp", "hidden_dims": (200,), "pretrain_epochs": 20, "max_epochs": 40}),
        (NeuralMixtureEM, SHORT_SEARCH),
        (NeuralMixtureEM, SHORT_SEARCH | {"n_networks": "auto"}),
        (NeuralMixtureEM, SHORT_SEARCH | {"n_starts": 1}),  # without a search
    ],
)
def test_classes_that_pixels_and_warps_do_not_tell(Estimator, shorter, monkeypatch):
    # No network begins with clusters along components of other variances.
    monkeypatch.setattr("skdeepclust.cluster._mixture_search.principal_start", None)
    X, y = pictures_in_uneven_light()
    assert adjusted_rand_score(y, cut_by_kmeans(X.reshape(len(X), -1), 4)) < 0.1
    model = Estimator(4, random_state=0, **shorter).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert adjusted_rand_score(y, model.predict(X)) > 0.9


def test_a_game_about_classes_that_warps_do_not_tell(monkeypatch):
    X, y = pictures_in_uneven_light()
    target = "skdeepclust.cluster._neural_mixture_em.NeuralMixtureEM"
    monkeypatch.setattr(target, partial(NeuralMixtureEM, **SHORT_SEARCH))  # for the time
    model = PreciseFeatureGAN(4, random_state=0, max_epochs=20).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert adjusted_rand_score(y, model.predict(X)) > 0.9


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        ({}, True),
        ({"told": 0.16}, False),  # by the copies, of what they could tell
        ({"prior": "estimated"}, True),
        ({"augment": "affine"}, False),
        ({"augment": "neighbors"}, False),
        ({"augment": None}, False),
        ({"prior": "uniform"}, False),
        ({"init": "random"}, False),
        ({"objective": "consistency"}, False),
    ],
)
def test_when_the_mixture_looks_elsewhere(params, asked, monkeypatch):
    found, told = [], {"told": 0.14, **params}.pop("told")
    params = {name: value for name, value in params.items() if name != "told"}

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _score_by_copies(self, labels, labels_tr):
            return torch.full(labels.shape[1:], told * math.log(3))

        def _look_elsewhere(self, run):
            self.labels = run.map(run.module.assign).argmax(1)
            super()._look_elsewhere(run)

    def spy(labels, X, n_clusters, generator, information):
        found.append((labels, X, n_clusters, information.X))

    monkeypatch.setattr("skdeepclust.cluster._neural_mixture_em.whitened_start", spy)
    X = rng().uniform(size=(60, 1, 8, 8)).astype(np.float32)
    short = {"n_starts": 2, "n_networks": 1, "start_epochs": 1, "max_epochs": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(3, random_state=0, **short | params).fit(X)
    assert len(found) == asked
    if asked:
        ((labels, data, n_clusters, searched),) = found
        assert torch.equal(labels, model.labels)
        assert n_clusters == 3
        for rows in (data, searched):
            np.testing.assert_array_equal(rows, X.reshape(60, -1))


def test_vectors_were_looked_at_before(monkeypatch):
    """Also where there was nothing to keep to."""
    target = "skdeepclust.cluster._neural_mixture_em."
    monkeypatch.setattr(target + "principal_start", lambda *_: None)
    monkeypatch.setattr(target + "whitened_start", None)
    X = make_blobs(60, centers=2, n_features=30, random_state=0)[0].astype(np.float32)
    assert NeuralMixtureEM(2, n_starts=2, max_epochs=1, random_state=0).fit(X).n_iter_ == 1


def test_what_is_found_elsewhere_is_learned_anew(monkeypatch):
    X, y = pictures_in_uneven_light(1)
    neighbors = NeighborInformation(X.reshape(len(X), -1)).neighbors
    seen = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _look_elsewhere(self, run):
            before = copied(run.module.backbone.state_dict())
            super()._look_elsewhere(run)
            after = run.module.backbone.state_dict()
            kept = [
                n
                for n, t in before.items()
                if t.ndim and t.unique().numel() > 1 and torch.equal(t, after[n])
            ]
            seen.append((dict(run.memory), run.module.mixture.log_prior.exp(), kept))

    elsewhere = torch.eye(4)[np.where(y == 3, 0, y)], neighbors + 0
    target = "skdeepclust.cluster._neural_mixture_em.whitened_start"
    monkeypatch.setattr(target, lambda *_: elsewhere)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(4, random_state=0, **SHORT_SEARCH | {"max_epochs": 3}).fit(X)
    ((memory, shares, kept),) = seen
    assert set(memory) == {"given", "elsewhere", "settled"}
    assert not kept  # of the network before
    found = np.array([200, 100, 100, 1])  # of a cluster that is empty, a sample's
    assert shares.flatten().tolist() == pytest.approx(found / 401)
    phases = [epoch["phase"] for epoch in model.history_]
    assert phases == ["explore", *6 * ["cluster"]]
    assert model.n_iter_ == 3  # of those alone


def test_interrupted_searches_end_without_another(monkeypatch):
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            net.interrupt.asked = net.phase_ == "cluster"

    monkeypatch.setattr("skdeepclust.cluster._neural_mixture_em.whitened_start", None)
    X, _ = pictures_in_uneven_light()
    model = NeuralMixtureEM(4, random_state=0, callbacks=[Stop()], **SHORT_SEARCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        assert model.fit(X).stop_reason_ == "interrupted"


@pytest.mark.parametrize(
    ("params", "told", "elsewhere", "begins"),
    [
        ({}, 0.16, False, True),  # by the copies, of what they could tell
        ({}, 0.14, False, False),
        ({}, 0.14, True, True),
        ({"augment": "affine"}, 0.16, False, True),
        ({"n_clusters": 26}, 0.16, False, None),  # nothing is searched
    ],
)
def test_what_a_game_begins_with(params, told, elsewhere, begins, monkeypatch):
    X = rng().uniform(size=(60, 1, 8, 8)).astype(np.float32)
    labels, neighbors = torch.arange(60) % 3, torch.zeros(60, 5, dtype=torch.int64)
    asked, seen = [], []

    def trained(self, rows, seed, interrupt):
        found = Run(rows, seed, torch.device("cpu"))
        score = told * math.log(self.n_clusters)
        found.history = [{"score": score, "objective": 0.0}]
        found.labels = labels
        found.information.replacement = neighbors if elsewhere else None
        asked.append(self.augment)
        return found

    class Spy(PreciseFeatureGAN):
        __init__ = PreciseFeatureGAN.__init__

        def _play(self, run):
            seen.append((run.memory.get("start"), run.information.replacement))
            super()._play(run)

    monkeypatch.setattr(NeuralMixtureEM, "_run", trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        Spy(**{"n_clusters": 4, "max_epochs": 1, "random_state": 0} | params).fit(X)
    ((start, compared_by),) = seen
    assert asked == ([] if begins is None else [params.get("augment", "auto")])
    assert torch.equal(start, labels) if begins else start is None
    assert (compared_by is neighbors) == elsewhere
