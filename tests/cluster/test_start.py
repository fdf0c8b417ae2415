"""Where clusters start."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans, SpectralBiclustering
from sklearn.datasets import make_blobs, make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust import DVC, StatDEC
from skdeepclust.cluster import _neighbors, _start, _start_in_data
from skdeepclust.cluster._neighbors import START_DISAGREEMENT, NeighborInformation
from skdeepclust.cluster._start import (
    agreed_mixtures,
    best_start,
    choose_mixture,
    cut_bipartite_graph,
    start_responsibilities,
    supports_most,
)
from skdeepclust.cluster._start_in_data import (
    compare_with_components,
    compare_with_kmeans,
    pca_mixture,
    principal_start,
)
from skdeepclust.objectives import joint_information


def rng(seed=0):
    return np.random.RandomState(seed)


def agreed(Z, n_clusters, seed=0):
    return agreed_mixtures(torch.from_numpy(Z), n_clusters, rng(seed))[0].numpy()


@pytest.mark.parametrize("subset", [5_000, 100])
def test_mixtures_side_by_side_are_those_in_turn(subset, monkeypatch):
    """All that go together are those of all the samples, and none is left over."""
    Z = make_blobs(150, centers=6, n_features=3, cluster_std=2.0, random_state=0)[0]
    monkeypatch.setattr("skdeepclust.cluster._start.SUBSET", subset)
    _, n_components = choose_mixture(min(subset, len(Z)), 3, 6)
    found = []
    for at_once in (1, 7):
        monkeypatch.setattr("skdeepclust.cluster._start.AT_ONCE", at_once * 150 * n_components)
        found.append(agreed(Z, 6))
    np.testing.assert_allclose(*found, atol=1e-6)


class Asked(NeighborInformation):
    """Says the opposite, if the sign is so, and of how many starts it was asked."""

    sign, times = 1, 0

    def uncertainty_coefficient(self, labels, n_clusters):
        self.times += 1
        return super().uncertainty_coefficient(labels, n_clusters)

    def __call__(self, labels, n_clusters, disagreement):
        return self.sign * super().__call__(labels, n_clusters, disagreement)

    def closest(self, labels, n_clusters, disagreement):
        assert disagreement == 0.5
        return super().closest(labels, n_clusters, disagreement)


def start(init, Z, n_clusters, sign=1):
    Z = Z.astype(np.float32)
    information = Asked(Z)
    information.sign = sign
    return start_responsibilities(init, torch.from_numpy(Z), n_clusters, rng(), information).numpy()


@pytest.mark.parametrize("init", ["auto", "gmm", "kmeans"])
def test_rows_are_probabilities(init):
    Z, y = make_blobs(120, centers=4, n_features=3, cluster_std=0.4, random_state=1)
    r = start(init, Z, 4)
    assert r.dtype == np.float32
    np.testing.assert_allclose(r.sum(1), 1, rtol=1e-5)
    assert r.min() >= 0
    assert adjusted_rand_score(y, r.argmax(1)) == 1


def test_clusterers_within_others_are_seeded():
    Z = rng().uniform(size=(300, 2))
    init = make_pipeline(StandardScaler(), KMeans(6, n_init=1))
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one is the point
    first, second = (start(init, Z, 6) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert init[-1].random_state is None


@pytest.mark.parametrize("init", ["auto", "gmm"])
def test_unequal_clusters_that_lie_apart(init):
    """A cut of the largest has more information, though many neighbours cross it."""
    Z, y = make_blobs([800, 80, 20], 4, centers=None, random_state=3)
    cut = np.where(y == 0, Z[:, 0] > np.median(Z[y == 0, 0]), 2)
    information = NeighborInformation(Z)
    told = [information(torch.from_numpy(each), 3, START_DISAGREEMENT) for each in (cut, y)]
    assert told[0] > told[1]
    r = start_responsibilities(init, torch.from_numpy(Z.astype("f4")), 3, rng(), information)
    assert adjusted_rand_score(y, r.argmax(1)) == 1


@pytest.mark.parametrize("seed", [2, 4])
def test_many_unequal_clusters_nine_deviations_apart(seed):
    """k-means cuts one of the large, and has nearly as much told as what is right."""
    places = np.array([[0, 0], [9, 0], [18, 0], [0, 9], [9, 9], [18, 9], [9, 18]])
    y = np.repeat(np.arange(7), [492, 425, 394, 243, 134, 62, 36])
    Z = places[rng(seed).permutation(7)][y] + rng(seed).normal(size=(len(y), 2))
    information = NeighborInformation(Z)
    r = start_responsibilities("auto", torch.from_numpy(Z.astype("f4")), 7, rng(), information)
    assert adjusted_rand_score(y, r.argmax(1)) == 1


def test_classes_that_are_no_gaussians():
    """Two half moons: a mixture of two Gaussians cuts each of them, many richer ones agree."""
    Z, y = make_moons(600, noise=0.05, random_state=0)
    plain = GaussianMixture(2, n_init=5, random_state=0).fit_predict(Z)
    assert adjusted_rand_score(y, plain) < 0.7
    for seed in range(3):
        assert adjusted_rand_score(y, agreed(Z, 2, seed).argmax(1)) > 0.98


def test_auto_is_the_start_that_neighbours_speak_for(monkeypatch):
    """On half moons the mixtures; of what neighbours speak against, k-means."""
    Z, y = make_moons(600, noise=0.05, random_state=0)
    assert adjusted_rand_score(y, start("auto", Z, 2).argmax(1)) > 0.98
    monkeypatch.setattr(_start, "WEIGHT_OF_ODDS", 0)  # beside what lies apart its cut is none
    worst = start("auto", Z, 2, sign=-1).argmax(1)
    assert adjusted_rand_score(start("kmeans", Z, 2).argmax(1), worst) > 0.98


def groups_in_a_row(sizes, overlap=0.0):
    """Groups of samples on a line, far from each other, and a cut of the last in halves in place of
    the first two. ``overlap`` of the groups' samples lie in another one."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = np.arange(len(y)) + 100.0 * y
    swapped = rng().permutation(len(y))[: int(overlap * len(y))]
    y[swapped] = (y[swapped] + 1) % len(sizes)
    cut = np.maximum(y - 1, 0)
    cut[-(sizes[-1] // 2) :] = len(sizes) - 1
    return X[:, None], y, cut


@pytest.mark.parametrize("many", [1, 10])
def test_few_neighbours_cross_the_cut_of_a_large_cluster(many):
    """Beside what lies apart such a cut is none, however few they are."""
    X, y, cut = groups_in_a_row([20 * many, 20 * many, 500 * many])
    information = NeighborInformation(X)
    true, other = (torch.eye(3)[torch.from_numpy(labels)] for labels in (y, cut))
    assert information.uncertainty_coefficient(other.argmax(1), 3) > 0.97
    mine, theirs = (information(r.argmax(1), 3, START_DISAGREEMENT) for r in (true, other))
    assert theirs > mine
    assert best_start([true, other], 3, information) is true
    assert best_start([other, true], 3, information) is true


def test_where_nothing_lies_apart_information_decides():
    X, y, cut = groups_in_a_row([100, 100, 2500], overlap=0.05)
    information = NeighborInformation(X)
    true, other = (torch.eye(3)[torch.from_numpy(labels)] for labels in (y, cut))
    assert information.uncertainty_coefficient(true.argmax(1), 3) < 0.9
    assert best_start([true, other], 3, information) is other


@pytest.mark.parametrize(("told", "weight"), [(0, 0.5), (0.95, 0.5), (0.96, 2.4), (1, 20)])
def test_disagreement_counts_by_the_odds_of_what_is_told_best(told, weight):
    """Of 200 samples no less than one is taken to be untold. By itself it counts half, however much
    it does among restarts."""

    class Information(NeighborInformation):
        def uncertainty_coefficient(self, labels, n_clusters):
            return told * labels[0].item()

        def __call__(self, labels, n_clusters, disagreement):
            assert disagreement == pytest.approx(weight)
            return 0.0

    starts = [torch.eye(2)[[1, 0]], torch.eye(2)]
    best_start(starts, 2, Information(np.zeros((200, 1))))


def test_outliers_are_no_clusters_beside_others():
    """However much they tell; where all starts have some, they are compared all the same."""

    class Information:
        chosen = range(3)

        def uncertainty_coefficient(self, labels, n_clusters):
            return 0.0 if len(labels.unique()) == 1 else 0.6

        def __call__(self, labels, n_clusters, disagreement):
            return -labels.sum()

    one, two, three = (torch.eye(2)[labels] for labels in ([0, 0, 0], [0, 1, 0], [1, 0, 1]))
    assert best_start([one, three, two], 2, Information()) is two
    assert best_start([torch.eye(2)[[1, 1, 1]], one], 2, Information()) is one


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e17])
def test_kmeans_in_the_data_where_it_tells_more(few_of_many_columns, unit):
    X, y = few_of_many_columns()
    X = (unit * X).astype(np.float32)
    information, generator = NeighborInformation(X), rng()
    found = compare_with_kmeans(torch.eye(5)[rng().permutation(y)], X, generator, information)
    assert found.dtype == torch.float32
    assert torch.equal(found.sum(1), torch.ones(1000))
    assert adjusted_rand_score(y, found.argmax(1)) > 0.98
    # As without: what comes later draws the same.
    assert generator.randint(2**31 - 1) == rng().randint(2**31 - 1)


def test_what_tells_more_than_kmeans_is_kept():
    """Half moons, which it cuts."""
    X, y = make_moons(600, noise=0.05, random_state=0)
    r, information = torch.eye(2)[y], NeighborInformation(X)
    assert compare_with_kmeans(r, X, rng(), information) is r
    # And what tells as much: its clusters, not so sure.
    cut = KMeans(2, n_init=20, random_state=0).fit_predict(X)
    unsure = torch.eye(2)[torch.from_numpy(cut).long()] * 0.8 + 0.1
    assert compare_with_kmeans(unsure, X, rng(), information) is unsure


def test_kmeans_of_a_part_gives_all_rows_their_cluster(few_of_many_columns, monkeypatch):
    X, y = few_of_many_columns()
    monkeypatch.setattr(_start_in_data, "SUBSET", 300)
    monkeypatch.setattr(_neighbors, "inference_batch", lambda n_features: 99)
    asked = torch.eye(5)[rng().permutation(y)]
    found = compare_with_kmeans(asked, X, rng(), NeighborInformation(X)).argmax(1)
    # The centres are means of some rows of a cluster, within the noise of the others' mean.
    means = np.stack([X[found == k].mean(0) for k in range(5)])
    nearest = ((X[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == found.numpy()).mean() > 0.98
    assert adjusted_rand_score(y, found) > 0.95


def test_kmeans_of_constants():
    r = torch.eye(3)[torch.arange(9) % 3]
    X = np.full((9, 4), 7, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_with_kmeans(r, X, rng(), NeighborInformation(X)) is r


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
@pytest.mark.parametrize(
    ("shape", "params", "asked", "elsewhere"),
    [
        ((5,), {}, True, True),
        ((3,), {}, True, True),  # as many as the embedding has
        ((5,), {"init": "gmm"}, False, False),
        ((5,), {"init": KMeans(2)}, False, False),
        ((2, 8, 8), {}, False, True),
    ],
)
def test_kmeans_in_vectors_is_compared_with_the_start(
    Estimator, shape, params, asked, elsewhere, monkeypatch
):
    answer, found, then = torch.eye(2)[torch.arange(60) % 2], [], []

    def spy(r, X, generator, information):
        found.append((X, information.X, information.beside))
        return answer

    def next_one(labels, X, n_clusters, generator, information):
        assert n_clusters == 2
        assert not asked or torch.equal(labels, answer.argmax(1))
        then.append((X, information.beside.X))

    monkeypatch.setattr("skdeepclust.cluster._self_training.compare_with_kmeans", spy)
    monkeypatch.setattr("skdeepclust.cluster._self_training.whitened_start", next_one)
    X = rng().uniform(size=(60, *shape)).astype(np.float32)
    short = {"latent_dim": 3, "pretrain_epochs": 1, "max_epochs": 1, "lr": 1e-9}
    model = Estimator(2, **short, random_state=0, **params).fit(X)
    assert (len(found), len(then)) == (asked, elsewhere)
    if elsewhere:
        assert all(np.array_equal(X.reshape(60, -1), data) for data in then[0])
    if asked:
        ((data, searched, beside),) = found
        assert beside is None
        np.testing.assert_array_equal(data, X)
        np.testing.assert_array_equal(searched, X)
        # The centres are the means of what was answered.
        z = model.transform(X)
        means = np.stack([z[::2].mean(0), z[1::2].mean(0)])
        order = np.argsort(means[:, 0])
        mine = model.cluster_centers_[np.argsort(model.cluster_centers_[:, 0])]
        np.testing.assert_allclose(mine, means[order], atol=1e-4)


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
@pytest.mark.parametrize("shape", [(4,), (30,), (1, 5, 6)])
def test_vectors_without_a_start_in_the_embedding_have_one_in_the_data(
    Estimator, shape, monkeypatch
):
    """Where the embedding has left nothing but outliers beside one cluster."""
    n_features = math.prod(shape)
    X, y = make_blobs(120, centers=8 * np.eye(3, n_features), random_state=0)
    X = ((X - X.min()) / np.ptp(X)).reshape(-1, *shape).astype(np.float32)
    outliers = torch.eye(3)[np.repeat([0, 1, 2], [118, 1, 1])]
    target = "skdeepclust.cluster._self_training."
    monkeypatch.setattr(target + "start_responsibilities", lambda *_: outliers)
    monkeypatch.setattr(target + "compare_with_kmeans", lambda r, *_: r)
    monkeypatch.setattr(target + "whitened_start", lambda *_: None)

    def starts_there(init):
        params = {"pretrain_epochs": 1, "max_epochs": 1, "lr": 1e-9, "random_state": 0}
        model = Estimator(3, init=init, **params).fit(X)
        z = model.transform(X)
        distance = cdist(model.cluster_centers_, [z[y == k].mean(0) for k in range(3)])
        return distance.min(1).max() < 1e-3

    assert starts_there("auto") == (len(shape) == 1)
    assert not starts_there("gmm")


def test_the_data_are_asked_only_where_the_embedding_has_no_start(monkeypatch):
    """Of groups of every kind what is found in the embedding is as good in the mean."""
    y = np.arange(120) % 3
    X = 8 * np.eye(3)[y] + rng().normal(size=(120, 3))
    information = NeighborInformation(X, NeighborInformation(X))
    other = torch.eye(3)[np.where(np.arange(120) % 8, y, 0)]  # tells something, though less
    for without in ([119, 1, 0], [60, 60, 0]):
        r = torch.eye(3)[np.repeat(range(3), without)]
        found = compare_with_components(r, X, rng(), information)
        assert adjusted_rand_score(y, found.argmax(1)) == 1
    monkeypatch.setattr(_start_in_data, "components_start", None)
    assert compare_with_components(other, X, rng(), information) is other


@pytest.mark.parametrize("n_columns", [20, 21])
def test_principal_components_are_compared_where_they_are_fewer(n_columns, monkeypatch):
    asked = []

    def spy(r, X, generator, information):
        asked.append(information)
        return r

    monkeypatch.setattr(_start_in_data, "compare_with_kmeans", spy)
    X = make_blobs(90, centers=3 * np.eye(3, n_columns), cluster_std=0.1, random_state=0)[0]
    information = NeighborInformation(X)
    principal_start(X, 3, rng(), information, torch.device("cpu"))
    assert asked == [information] * (n_columns > 20)


def test_principal_components_that_lose_clusters(few_of_many_columns, monkeypatch):
    X, y = few_of_many_columns(1)

    def score():
        found = principal_start(X, 5, rng(), NeighborInformation(X), torch.device("cpu"))
        return adjusted_rand_score(y, found)

    assert score() == 1
    monkeypatch.setattr(_start_in_data, "compare_with_kmeans", lambda r, *_: r)
    assert score() < 0.98


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_parts_of_one_class_are_united(seed):
    """Two round classes side by side and a long one, whose halves lie further apart than they."""
    y = np.repeat([0, 1, 2], 200)
    Z = np.array([[0, 0], [3.5, 0], [11.5, 0]])[y] + 0.7 * rng(seed).normal(size=(600, 2))
    Z[y == 2, 1] += rng(seed).uniform(-12, 12, 200)
    assert adjusted_rand_score(y, agreed(Z, 3).argmax(1)) < 0.5
    for init in ("gmm", "auto"):
        found = start(init, Z, 3)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
        assert adjusted_rand_score(y, found.argmax(1)) > 0.95


def test_auto_also_tries_thin_components():
    """A small ball within a large one, for which the components of "gmm" are too thick."""
    y = np.arange(900) % 3
    places, sizes = np.array([[0, 0, 0], [1, 0, 0], [0, 14, 0]]), np.array([3, 0.02, 1])
    Z = places[y] + sizes[y, None] * rng().normal(size=(900, 3))
    assert adjusted_rand_score(y, start("gmm", Z, 3).argmax(1)) < 0.9
    assert adjusted_rand_score(y, start("auto", Z, 3).argmax(1)) > 0.98


def test_thin_components_are_for_data_that_support_many():
    """On small tables they are the noise's, and neighbours speak for them all the same."""
    assert supports_most(5_000, 10, 10)
    assert supports_most(70_000, 10, 10)
    assert not supports_most(1_797, 10, 10)
    assert not supports_most(178, 10, 3)
    y = np.arange(60) % 3
    Z = np.array([[0, 0, 0], [1, 0, 0], [0, 14, 0]])[y] + rng().normal(size=(60, 3))
    asked = Asked(Z)
    start_responsibilities("auto", torch.from_numpy(Z), 3, rng(), asked)
    assert asked.times == 3  # two of mixtures, and k-means


@pytest.mark.parametrize("n", [4, 9, 50, 400])
@pytest.mark.parametrize("dim", [1, 2, 12])
def test_any_size(n, dim):
    Z = rng(n).normal(size=(n, dim))
    found = agreed_mixtures(torch.from_numpy(Z), 4, rng())
    assert [r.shape for r in found] == [(n, 4), (n, 5)][: n - 3]
    for r in found:
        np.testing.assert_allclose(r.sum(1), 1, rtol=1e-5)
    assert start("auto", Z, 4).shape == (n, 4)


def test_embeddings_without_spread():
    r = agreed(np.ones((30, 3)), 3)
    assert np.isfinite(r).all()


def test_same_stream_same_start():
    Z = rng(5).normal(size=(80, 3))
    assert np.array_equal(agreed(Z, 3, 1), agreed(Z, 3, 1))
    assert not np.array_equal(agreed(Z, 3, 1), agreed(Z, 3, 2))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_embedding_may_have_any_unit_and_axes(unit):
    Z, y = make_blobs(120, centers=3, n_features=3, cluster_std=0.4, random_state=1)
    rotation, _ = np.linalg.qr(rng().normal(size=(3, 3)))
    found = agreed(unit * Z @ rotation + 7, 3).argmax(1)
    assert adjusted_rand_score(y, found) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shrunk_directions_do_not_count(seed):
    """Two coordinates tell the groups, eight are noise of a tenth of their spread, as the ELBO
    leaves those that it has no use for."""
    Z, y = make_blobs(180, centers=3, n_features=2, cluster_std=0.5, random_state=seed)
    Z = np.hstack([Z, 0.1 * Z.std() * rng(seed).normal(size=(180, 8))])
    assert adjusted_rand_score(y, agreed(Z, 3).argmax(1)) > 0.99


@pytest.mark.parametrize(
    ("n", "dim", "chosen"),
    [
        (5000, 10, ("full", 50)),  # 66 parameters a component
        (1797, 10, ("full", 21)),
        (400, 10, ("full", 20)),
        (100, 10, ("spherical", 20)),  # covariances of ten samples in ten dimensions
        (12, 1, ("full", 12)),
        (5000, 225, ("full", 20)),
        (5000, 240, ("spherical", 20)),  # a gigabyte of products of coordinates
    ],
)
def test_mixtures_are_as_rich_as_the_data_support(n, dim, chosen):
    assert choose_mixture(n, dim, 10) == chosen


def test_cut_of_a_graph_in_pieces():
    """Components that share no sample between pieces: the cut is along the pieces, exactly."""
    pieces = np.repeat([0, 1, 2], [50, 30, 5])
    claims = np.zeros((85, 7))
    for piece, components in enumerate(([0, 3, 5], [1, 6], [2, 4])):
        rows = np.flatnonzero(pieces == piece)
        claims[np.ix_(rows, components)] = rng(piece).dirichlet(np.ones(len(components)), len(rows))
    assert adjusted_rand_score(pieces, next(cut_bipartite_graph(claims, [3], 0))) == 1


def test_cut_minimises_the_normalised_cut_of_a_small_graph():
    """Against every way to cut twelve samples in two."""
    claims = rng(3).dirichlet(np.ones(4) * 0.3, 12)

    def normalised_cut(labels):
        # Of the bipartite graph, its components put where most of their weight is.
        weight = np.stack([claims[labels == k].sum(0) for k in (0, 1)])  # (2, components)
        side = weight.argmax(0)
        value = 0.0
        for k in (0, 1):
            inside = weight[k][side == k].sum()
            volume = (labels == k).sum() + claims[:, side == k].sum()
            if volume == 0:
                return np.inf
            value += (volume - 2 * inside) / volume
        return value

    every = [np.array(bits) for bits in itertools.product((0, 1), repeat=12) if 0 < sum(bits) < 12]
    values = np.sort([normalised_cut(labels) for labels in every])
    found = normalised_cut(next(cut_bipartite_graph(claims, [2], 0)))
    assert found <= values[len(values) // 50], "among the best two of a hundred"


@pytest.mark.parametrize("times", [1, 30])
def test_the_cut_is_the_same_by_either_side_of_the_graph(times):
    """Components that come several times over are alike for the samples, of which there are then
    fewer."""
    claims = rng(0).dirichlet(np.ones(6) * 0.3, 90)
    several = np.tile(claims / times, (1, times))
    assert (several.shape[1] > len(claims)) == (times > 1)
    once, again = (list(cut_bipartite_graph(each, [3, 4], 0)) for each in (claims, several))
    for ours, theirs in zip(once, again, strict=True):
        assert adjusted_rand_score(ours, theirs) == 1


def test_singular_vectors_are_those_of_spectral_coclustering():
    """On two blocks scikit-learn's biclustering of the same matrix finds the same rows."""
    claims = np.kron(np.eye(2), np.full((20, 3), 1 / 3)) * 0.8 + 0.2 / 6
    claims += rng(0).uniform(0, 0.02, claims.shape)
    claims /= claims.sum(1, keepdims=True)
    theirs = SpectralBiclustering(2, random_state=0).fit(claims).row_labels_
    assert adjusted_rand_score(theirs, next(cut_bipartite_graph(claims, [2], 0))) == 1


def gaussian_groups(seed=0):
    """Three Gaussians, no two of one size or shape."""
    generator = rng(seed)
    parts = [
        generator.normal(size=(n, 6)) @ generator.normal(size=(6, 6)) + 8 * generator.normal(size=6)
        for n in (300, 150, 50)
    ]
    return np.concatenate(parts), np.repeat(np.arange(3), [len(part) for part in parts])


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_pca_mixture_finds_gaussians_in_any_unit(unit):
    X, y = gaussian_groups()
    r = pca_mixture((unit * X).astype(np.float32), 3, rng())
    assert r.shape == (500, 3)
    assert r.dtype == np.float32
    np.testing.assert_allclose(r.sum(1), 1, rtol=1e-5)
    assert adjusted_rand_score(y, r.argmax(1)) == 1


def test_pca_mixture_is_the_one_of_scikit_learn():
    """More features than it keeps components, and more rows than it is fitted to."""
    generator = rng(1)
    y = generator.randint(3, size=6000)
    X = generator.normal(size=(6000, 40)) + 3 * generator.normal(size=(3, 40))[y]
    plain = GaussianMixture(3, n_init=5, random_state=0).fit_predict(PCA(10).fit_transform(X))
    r = pca_mixture(X.astype(np.float32), 3, rng())
    assert adjusted_rand_score(plain, r.argmax(1)) > 0.999


@pytest.mark.parametrize("X", [np.zeros((9, 4), np.float32), np.full((9, 1), 255, np.uint8)])
def test_pca_mixture_of_constants(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = pca_mixture(X, 3, rng())
    np.testing.assert_allclose(r.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("Estimator", [StatDEC, DVC])
def test_starts_are_compared_by_neighbours_in_the_embedding_and_in_the_data(Estimator, monkeypatch):
    asked = []

    def spy(init, z, n_clusters, rng, information):
        asked.append((z.numpy(), information))
        return start_responsibilities(init, z, n_clusters, rng, information)

    monkeypatch.setattr("skdeepclust.cluster._self_training.start_responsibilities", spy)
    X = rng().normal(size=(60, 5)).astype(np.float32)
    Estimator(2, latent_dim=3, hidden_dims=(8,), pretrain_epochs=1, max_epochs=1).fit(X)
    ((z, information),) = asked
    assert z.shape == (60, 3)
    labels = torch.arange(60) % 2
    views = [NeighborInformation(view).joint(labels, 2) for view in (X, z)]
    assert not torch.equal(*views)
    joint = information.joint(labels, 2)
    torch.testing.assert_close(joint, sum(views) / 2)
    told = information(labels, 2, START_DISAGREEMENT)
    assert told == pytest.approx(joint_information(joint, 0.5).item())
