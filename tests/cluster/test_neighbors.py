"""What starts and restarts are compared by."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import mutual_info_score

from skdeepclust.cluster import _neighbors
from skdeepclust.cluster._neighbors import NeighborInformation, find_neighbors
from skdeepclust.training import Rows


def rows_of(X):
    X = np.asarray(X)
    return Rows(X, X.shape[1:], 1 / 255 if X.dtype == np.uint8 else 1.0, torch.device("cpu"))


def information(X, labels, n_clusters):
    return NeighborInformation(np.asarray(X))(torch.as_tensor(labels), n_clusters)


def test_against_a_full_search():
    rng = np.random.RandomState(0)
    X, labels = rng.standard_normal((60, 3)).astype(np.float32), rng.randint(3, size=60)
    distance = np.linalg.norm(X[:, None] - X[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    copies = labels[np.argsort(distance, axis=1)[:, :5]].ravel()
    pairs = np.repeat(labels, 5), copies
    # Either may be the copy.
    first, second = np.concatenate(pairs), np.concatenate(pairs[::-1])
    shared = mutual_info_score(first, second)
    entropy = mutual_info_score(first, first)
    assert information(X, labels, 3) == pytest.approx(shared - (entropy - shared), abs=1e-5)


def test_clusters_that_neighbours_agree_on_are_better():
    X, y = make_blobs(200, centers=4, cluster_std=0.3, random_state=0)
    X = X.astype(np.float32)
    assert information(X, y, 4) == pytest.approx(np.log(4), rel=1e-5)
    assert information(X, y // 2, 4) == pytest.approx(np.log(2), rel=1e-5)
    assert information(X, np.random.RandomState(0).randint(4, size=200), 4) < -1


@pytest.mark.parametrize("seed", range(5))
def test_the_closest_two_are_those_whose_union_leaves_most(seed):
    """Against every union, by its labels."""
    X = make_blobs(200, centers=5, cluster_std=2.0, random_state=seed)[0]
    labels = make_blobs(200, centers=5, cluster_std=4.0, random_state=seed)[1]

    def left(pair):
        united = np.where(labels == pair[1], pair[0], labels)
        return information(X, np.unique(united, return_inverse=True)[1], 4)

    best = max(itertools.combinations(range(5), 2), key=left)
    assert NeighborInformation(X).closest(torch.as_tensor(labels), 5) == best


def test_which_two_are_closest_depends_on_what_disagreement_costs():
    """Two that are hardly apart by a little, or two small ones."""
    rng = np.random.RandomState(0)
    labels = np.repeat(range(4), (300, 300, 10, 10))
    X = np.array([[0, 0], [2.5, 0], [40, 0], [80, 0]])[labels] + rng.standard_normal((620, 2))
    told, found = NeighborInformation(X.astype(np.float32)), set()
    for disagreement in (0.0, 9.0):

        def left(pair, disagreement=disagreement):
            united = np.where(labels == pair[1], pair[0], labels)
            there = torch.as_tensor(np.unique(united, return_inverse=True)[1])
            return told(there, 3, disagreement)

        best = max(itertools.combinations(range(4), 2), key=left)
        assert told.closest(torch.as_tensor(labels), 4, disagreement) == best
        found.add(best)
    assert found == {(2, 3), (0, 1)}


@pytest.mark.parametrize(
    ("labels", "least", "most"),
    [
        (lambda y, X: y, 1, 1),
        (lambda y, X: np.minimum(y, 1), 1, 1),
        (lambda y, X: y * 0, 1, 1),
        (lambda y, X: np.where(y == 0, X[:, 1] > np.median(X[y == 0, 1]), 2), 0.3, 0.9),
        (lambda y, X: np.random.RandomState(0).randint(3, size=len(y)), 0, 0.01),
        (lambda y, X: np.where(y == 3, 2, 0), 0, 0),  # of three one is empty
    ],
)
def test_what_a_neighbour_tells(labels, least, most):
    X, y = make_blobs([300, 60, 20, 20], 4, centers=10 * np.eye(4), random_state=0)
    labels = np.asarray(labels(y, X))
    told = NeighborInformation(X).uncertainty_coefficient(torch.as_tensor(labels), labels.max() + 1)
    assert least - 1e-6 <= told <= most + 1e-6


def test_outliers_are_no_cluster_apart():
    for few, told in ((7, 0), (8, 1)):  # of a share of .03 of a half
        X, y = make_blobs([500 - few, few], 4, centers=[[0] * 4, [50] * 4], random_state=0)
        assert NeighborInformation(X).uncertainty_coefficient(
            torch.as_tensor(y), 2
        ) == pytest.approx(told)
    assert (
        NeighborInformation(X[:1]).uncertainty_coefficient(torch.zeros(1, dtype=torch.int64), 2)
        == 0
    )


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_any_unit(unit):
    X, y = load_digits(n_class=4, return_X_y=True)
    y = np.where(y == 3, 2, y)  # not all is 0 or log 3
    expected = information(X.astype(np.float32), y, 4)
    assert information((X * unit).astype(np.float32), y, 4) == pytest.approx(expected, abs=1e-3)


def test_bytes_are_not_subtracted_as_bytes():
    X = np.array([[250], [251], [252], [1], [2], [3]], dtype=np.uint8)
    assert information(X, [0, 0, 0, 1, 1, 1], 2) == information(
        X.astype(np.float32), [0, 0, 0, 1, 1, 1], 2
    )


@pytest.mark.parametrize(("name", "value"), [("COMPARED", 50), ("MOST_NUMBERS", 100)])
def test_large_data_are_compared_on_a_part(monkeypatch, name, value):
    monkeypatch.setattr(_neighbors, name, value)
    X, y = make_blobs(400, centers=2, cluster_std=0.3, random_state=0)
    found = information(X.astype(np.float32), y, 2)
    assert found == information(X.astype(np.float32), y, 2)
    assert found == pytest.approx(np.log(2), abs=0.05)
    assert found != pytest.approx(np.log(2), abs=1e-6), "50 samples are not half and half"


def test_fewest_samples():
    assert information(np.random.RandomState(0).rand(3, 4), [0, 1, 1], 2) < np.log(2)
    assert information(np.ones((1, 4), np.float32), [0], 1) == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_neighbours_against_a_full_search_in_parts(dtype, monkeypatch):
    """Of every sample, itself the first of them; among some of the data where these are many."""
    X = np.random.RandomState(0).permutation(60 * 4).reshape(60, 4).astype(dtype)
    distance = np.linalg.norm(X[:, None].astype(float) - X[None], axis=2)
    monkeypatch.setattr(_neighbors, "inference_batch", lambda rows: 7)
    found = find_neighbors(rows_of(X), np.random.RandomState(0)).numpy()
    nearest = np.sort(distance, axis=1)[:, :10]  # ranks may tie
    np.testing.assert_allclose(np.take_along_axis(distance, found, 1), nearest, rtol=1e-5)
    assert (found[:, 0] == np.arange(60)).all()
    for name, value in (("NEIGHBOR_POOL", 20), ("MOST_NUMBERS", 60)):
        with monkeypatch.context() as patch:
            patch.setattr(_neighbors, name, value)
            found = find_neighbors(rows_of(X), np.random.RandomState(0)).numpy()
        pool = np.unique(found)
        assert len(pool) == (20 if name == "NEIGHBOR_POOL" else 15)
        nearest = np.sort(distance[:, pool], axis=1)[:, :10]
        np.testing.assert_allclose(np.take_along_axis(distance, found, 1), nearest, rtol=1e-5)


@pytest.mark.parametrize("unit", [1, 1e25])
def test_many_features_are_searched_along_principal_components(unit, monkeypatch):
    """What is all along some of them has the same neighbours."""
    rng = np.random.RandomState(0)
    z = rng.standard_normal((150, 40))
    X = (z @ np.linalg.qr(rng.standard_normal((200, 40)))[0].T * unit).astype(np.float32)
    widths, fit = [], _neighbors.NearestNeighbors.fit
    monkeypatch.setattr(
        _neighbors.NearestNeighbors,
        "fit",
        lambda self, X: widths.append(X.shape[1]) or fit(self, X),
    )
    found = find_neighbors(rows_of(X), rng).numpy()
    distance = np.linalg.norm(z[:, None] - z[None], axis=2)
    nearest = np.sort(distance, axis=1)[:, :10]
    np.testing.assert_allclose(np.take_along_axis(distance, found, 1), nearest, atol=1e-3)
    for part in (X[:, :100], X[:50]):  # too few to be worth it, or to have so many
        find_neighbors(rows_of(part), rng)
    assert widths == [50, 100, 200]


@pytest.mark.filterwarnings("error")
def test_samples_that_are_all_the_same_have_neighbours():
    assert find_neighbors(rows_of(np.ones((60, 200))), np.random.RandomState(0)).shape == (60, 10)


@pytest.mark.parametrize("n_clusters", [2, 8])
def test_one_cluster_of_everything_is_not_the_best(n_clusters):
    """Though no neighbour differs in it, and of noise many do in clusters that are populated."""
    X = np.random.RandomState(0).randn(300, 10).astype(np.float32)
    found = KMeans(n_clusters, n_init=1, random_state=0).fit_predict(X)
    information = NeighborInformation(X)
    of_many = information(torch.from_numpy(found).long(), n_clusters)
    assert of_many < 0
    assert information(torch.zeros(300, dtype=torch.int64), n_clusters) < of_many
