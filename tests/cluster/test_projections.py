"""A direction along which the data fall into groups that lie apart."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skdeepclust import PreciseFeatureGAN
from skdeepclust.cluster import _precise_feature_gan
from skdeepclust.cluster._neighbors import NeighborInformation
from skdeepclust.cluster._projections import separated_clusters, separated_groups
from skdeepclust.datasets import make_artifact, make_gaussian_ring
from skdeepclust.training import PhasedNet, Rows


def groups_of(X, shares, seed=0, **options):
    rows = Rows(np.ascontiguousarray(X), X.shape[1:], 1.0, torch.device("cpu"))
    return separated_groups(rows, torch.tensor(shares), np.random.RandomState(seed), **options)


def clusters_of(X, shares, seed=0, **options):
    X = np.ascontiguousarray(X, dtype=np.float32)
    rows = Rows(X, X.shape[1:], 1.0, torch.device("cpu"))
    rng = np.random.RandomState(seed)
    return separated_clusters(rows, torch.tensor(shares), NeighborInformation(X), rng, **options)


def hidden(n=1500, dim=8, shares=(1 / 3, 1 / 3, 1 / 3), seed=0):
    """A column of as many values as there are shares, turned among columns of noise that spread
    wider."""
    generator = np.random.RandomState(seed)
    y = generator.choice(len(shares), n, p=shares)
    X = 3 * generator.standard_normal((n, dim))
    X[:, 0] = y + 0.05 * generator.standard_normal(n)
    rotation, _ = np.linalg.qr(generator.standard_normal((dim, dim)))
    return (X @ rotation).astype(np.float32), y


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_turned_column_is_found_in_any_unit(unit, seed):
    X, y = hidden(seed=seed)
    X = (unit * X + unit).astype(np.float32)
    assert adjusted_rand_score(y, groups_of(X, [1 / 3] * 3).numpy()) == 1


def test_more_samples_than_the_direction_is_sought_with():
    X, y = hidden(n=12_000, dim=4)
    found = groups_of(X, [1 / 3] * 3)
    assert found.dtype == torch.int64
    assert adjusted_rand_score(y, found.numpy()) == 1


def test_bytes():
    X, y = hidden()
    X = np.round(255 * (X - X.min()) / np.ptp(X)).astype(np.uint8)
    assert adjusted_rand_score(y, groups_of(X, [1 / 3] * 3).numpy()) > 0.99


def test_groups_have_the_shares_in_their_order():
    """Here the value in the middle is the rarest, and named first."""
    X, y = hidden(shares=(0.3, 0.1, 0.6))
    found = groups_of(X, [0.1, 0.6, 0.3]).numpy()
    assert np.array_equal(found, np.array([2, 0, 1])[y])


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.5, 0.5)])
def test_groups_of_other_shares_or_number_are_none(shares):
    X, _ = hidden()
    assert groups_of(X, list(shares)) is None


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.1), (0.9, 0.07, 0.03), (0.21, 0.79)])
def test_groups_of_any_shares(shares, unit):
    """Where k-means cuts the largest group."""
    X, y = hidden(shares=shares)
    X = (unit * X + unit).astype(np.float32)
    equal = [1 / len(shares)] * len(shares)
    assert groups_of(X, equal) is None
    assert adjusted_rand_score(y, groups_of(X, equal, of_any_shares=True).numpy()) == 1


def test_given_shares_may_be_very_unequal():
    X, y = hidden(shares=(0.9, 0.03, 0.07))
    found = groups_of(X, [0.07, 0.03, 0.9]).numpy()
    assert np.array_equal(found, np.array([2, 1, 0])[y])


@pytest.mark.parametrize("any_shares", [False, True])
@pytest.mark.parametrize("n_groups", [2, 3, 8])
@pytest.mark.parametrize("n", [50, 2000])
def test_nothing_in_noise(n, n_groups, any_shares):
    """Of as many columns as may be, and heavy tails among them."""
    generator = np.random.RandomState(n)
    X = np.hstack([generator.standard_normal((n, 100)), generator.standard_t(2, (n, 20))])
    shares = [1 / n_groups] * n_groups
    assert groups_of(X.astype(np.float32), shares, of_any_shares=any_shares) is None


def test_outliers_are_no_group():
    """Alike and far from all others, but fewer than ten."""
    X = np.random.RandomState(0).standard_normal((200, 5)).astype(np.float32)
    X[:9] += 40
    assert groups_of(X, [0.5, 0.5], of_any_shares=True) is None
    X[9] += 40
    found = groups_of(X, [0.5, 0.5], of_any_shares=True)
    assert sorted(np.bincount(found)) == [10, 190]


@pytest.mark.parametrize("any_shares", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_no_cut_that_leaves_two_together(seed, any_shares):
    """Four far from each other, along a line three: to cut one of them leaves little variance."""
    X, y = make_blobs(400, 8, centers=4, random_state=seed)
    found = groups_of(X.astype(np.float32), [1 / 4] * 4, of_any_shares=any_shares)
    assert found is None or adjusted_rand_score(y, found.numpy()) > 0.9


def test_one_cluster_is_no_group():
    X, _ = hidden()
    for find in (groups_of, clusters_of):
        assert find(X, [1.0], of_any_shares=True) is None
    assert clusters_of(X[:1], [0.5, 0.5], of_any_shares=True) is None


@pytest.mark.parametrize("n_clusters", [3, 4])
def test_fair_coins_do_not_lie_apart(n_clusters):
    """Though neighbours, which are copies, never differ."""
    coins = np.random.RandomState(0).randint(2, size=(1000, 6))
    assert clusters_of(coins, [1 / n_clusters] * n_clusters, of_any_shares=True) is None


@pytest.mark.parametrize("any_shares", [False, True])
def test_neither_in_one_value_nor_in_few_samples(any_shares):
    for X in (np.ones((60, 3), np.float32), np.eye(9, dtype=np.float32)):
        assert groups_of(X, [0.5, 0.5], of_any_shares=any_shares) is None


def test_the_classifier_learns_the_groups_and_keeps_to_them():
    """Sixteen columns of noise, which a hundred steps from nothing do not see through."""
    X, y = make_artifact(np.random.RandomState(0).standard_normal((800, 17)), random_state=0)
    X /= X.std(0)
    fitted = {
        init: PreciseFeatureGAN(3, init=init, max_epochs=50, random_state=0).fit(X)
        for init in ("projection", "random")
    }
    assert adjusted_rand_score(y, fitted["projection"].labels_) > 0.95
    assert adjusted_rand_score(y, fitted["random"].labels_) < 0.3
    assert "start" not in fitted["random"].history_[0]
    assert fitted["projection"].history_[-1]["start"] < 0.1


@pytest.mark.parametrize(
    ("X", "n_clusters"), [(make_gaussian_ring(800, random_state=0)[0], 8), (hidden(800)[0], 3)]
)
def test_the_start_counts_as_much_to_the_end(X, n_clusters, monkeypatch):
    """In few dimensions and in many, along a line; copies count for more and more."""
    minimized, parts = [], []
    step, minimize = PreciseFeatureGAN._classifier_step, PhasedNet.minimize

    def spy_minimize(self, loss, name):
        minimized.append(loss.item())
        return minimize(self, loss, name)

    def spy(self, run, codes, fake, taught, pairs, settling):
        losses = step(self, run, codes, fake, taught, pairs, settling)
        weights = {"start": 1, "classifier": 1}
        if pairs is not None:
            weights["consistency"] = pairs[-1]
        parts.append((minimized[-1], sum(w * losses[name].item() for name, w in weights.items())))
        return losses

    monkeypatch.setattr(PhasedNet, "minimize", spy_minimize)
    monkeypatch.setattr(PreciseFeatureGAN, "_classifier_step", spy)
    PreciseFeatureGAN(n_clusters, max_epochs=10, random_state=0).fit(X)
    assert len(parts) >= 100
    np.testing.assert_allclose(*np.transpose(parts), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("prior", "shares"),
    [("auto", (0.7, 0.2, 0.1)), ((1, 7, 2), (0.7, 0.2, 0.1)), ("uniform", (1 / 3, 1 / 3, 1 / 3))],
)
def test_the_shares_of_the_groups_are_what_numbers_are_drawn_by(prior, shares, monkeypatch):
    """In the training, and in samples of the fitted model."""
    played, noise = [], PreciseFeatureGAN._noise

    def spy(self, run, n, scale):
        codes, drawn = noise(self, run, n, scale)
        played.append(codes)
        return codes, drawn

    monkeypatch.setattr(PreciseFeatureGAN, "_noise", spy)
    X, y = hidden(800, shares=(0.7, 0.2, 0.1))
    if prior == "auto":
        shares = np.bincount(y) / len(y)
    model = PreciseFeatureGAN(3, cluster_prior=prior, max_epochs=20, random_state=0).fit(X)
    assert ("start" in model.history_[0]) == (prior != "uniform")
    np.testing.assert_allclose(np.sort(model.module_.shares), np.sort(shares), rtol=1e-5)
    codes = torch.cat(played)
    np.testing.assert_allclose(
        np.sort(np.bincount(codes, minlength=3) / len(codes)), np.sort(shares), atol=0.02
    )
    drawn = np.bincount(model.sample(20_000)[1], minlength=3) / 20_000
    np.testing.assert_allclose(drawn, model.module_.shares, atol=0.02)


@pytest.fixture(scope="module")
def unequal_blobs():
    """In more directions than one, so that no line through them parts all."""
    generator = np.random.RandomState(0)
    y = generator.permutation(np.repeat(range(6), (300, 100, 60, 40, 30, 20)))
    return (10 * np.eye(6)[y] + generator.standard_normal((len(y), 6))).astype(np.float32), y


def test_clusters_have_the_shares_in_their_order(unequal_blobs):
    X, y = unequal_blobs
    shares = np.bincount(y) / len(y)
    assert np.array_equal(clusters_of(X, shares), y)
    assert np.array_equal(clusters_of(X, shares[::-1].copy()), 5 - y)
    assert clusters_of(X, [1 / 6] * 6) is None
    assert adjusted_rand_score(y, clusters_of(X, [1 / 6] * 6, of_any_shares=True)) == 1


def test_cuts_of_a_thin_cluster_are_none():
    """Which few neighbours cross."""
    noise = np.random.RandomState(0).standard_normal(3000)
    bands, y = make_artifact(np.column_stack([noise, noise]), random_state=0)
    bands /= bands.std(0)
    found = clusters_of(bands, [1 / 3] * 3, of_any_shares=True)
    assert found is None or adjusted_rand_score(y, found) == 1
    assert clusters_of(noise[:, None], [1 / 3] * 3, of_any_shares=True) is None


def test_clusters_that_lie_apart_in_all_directions_are_a_start(unequal_blobs):
    """Beside which there are copies still: neighbours have the same cluster."""
    X, y = unequal_blobs
    assert groups_of(X, [1 / 6] * 6, of_any_shares=True) is None
    model = PreciseFeatureGAN(6, max_epochs=60, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95
    assert {"start", "consistency"} <= model.history_[0].keys()
    np.testing.assert_allclose(np.sort(model.module_.shares), np.sort(np.bincount(y)) / len(y))
    for other in ({"cluster_prior": "uniform"}, {"init": "random"}):
        model = PreciseFeatureGAN(6, max_epochs=1, random_state=0, **other).fit(X)
        assert "start" not in model.history_[0]
        np.testing.assert_allclose(model.module_.shares, [1 / 6] * 6)


def test_without_groups_there_is_no_start():
    X = np.random.RandomState(0).standard_normal((300, 6))
    model = PreciseFeatureGAN(3, init="projection", max_epochs=3, random_state=0).fit(X)
    assert not any("start" in epoch for epoch in model.history_)


def test_rows_of_a_few_points_have_no_components():
    """FastICA's steps by skewness end in no number there."""
    X = np.eye(5, dtype=np.float32)[np.arange(60) % 4]
    assert groups_of(X, [1 / 5] * 5, of_any_shares=True) is None


def test_no_direction_is_sought_in_fewer_dimensions_than_clusters(monkeypatch):
    """The ring has groups that lie apart along a line, and is better off without them."""
    X, y = make_gaussian_ring(600, random_state=0)
    assert adjusted_rand_score(y, groups_of(X.astype(np.float32), [1 / 8] * 8).numpy()) == 1
    noise = np.random.RandomState(0).standard_normal((300, 3))
    sought = []
    monkeypatch.setattr(
        _precise_feature_gan, "separated_groups", lambda *_, **__: sought.append(True)
    )
    for n_clusters, expected in ((4, 0), (3, 1)):
        PreciseFeatureGAN(n_clusters, max_epochs=1, random_state=0).fit(noise)
        assert len(sought) == expected


@pytest.mark.parametrize("sizes", [(60, 60, 60), (150, 20, 10)])
def test_clusters_that_lie_apart_in_the_plane_are_a_start(sizes):
    y = np.repeat(range(3), sizes)
    X = 12 * np.eye(3)[y][:, :2] + np.random.RandomState(0).standard_normal((180, 2))
    model = PreciseFeatureGAN(3, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1
    assert "start" in model.history_[0]
    assert "consistency" in model.history_[0]
