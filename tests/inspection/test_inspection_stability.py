"""Agreement of runs: its arithmetic, and that it tells stable from unstable."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust import NeuralMixtureEM
from skdeepclust.inspection import stability
from skdeepclust.inspection._stability import agreement


class Guess(ClusterMixin, BaseEstimator):
    """Labels that have nothing to do with the data."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y=None):
        self.labels_ = self.predict(X)
        return self

    def predict(self, X):
        return np.random.RandomState(self.random_state).randint(3, size=len(X))


@pytest.fixture(scope="module", name="X")
def blobs():
    return make_blobs(150, centers=3, n_features=4, random_state=0)[0]


def test_pairs_and_their_mean():
    labels = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]])
    found = agreement(labels, np.random.RandomState(0))
    for a in range(3):
        for b in range(3):
            assert found.pairwise[a, b] == adjusted_rand_score(labels[a], labels[b])
    off = [found.pairwise[a, b] for a in range(3) for b in range(3) if a != b]
    assert found.score == pytest.approx(np.mean(off))
    # Resamples of three runs with two that agree have means between these.
    assert found.interval == pytest.approx((-0.5, 1.0))


def test_interval_narrows_with_more_runs():
    rng = np.random.RandomState(0)
    truth = rng.randint(3, size=300)

    def noisy():
        return np.where(rng.rand(300) < 0.3, rng.randint(3, size=300), truth)

    few, many = (agreement(np.array([noisy() for _ in range(n)]), rng) for n in (4, 40))
    assert np.diff(many.interval) < np.diff(few.interval)
    for found in (few, many):
        assert found.interval[0] <= found.score <= found.interval[1]


@pytest.mark.parametrize("bootstrap", [False, True])
def test_what_is_in_the_data_is_stable_and_guesses_are_not(bootstrap, X):
    found = stability(NeuralMixtureEM(3), X, n_runs=3, bootstrap=bootstrap, random_state=0)
    assert found.score > 0.95
    assert found.labels.shape == (3, len(X))
    guessed = stability(Guess(), X, n_runs=3, bootstrap=bootstrap, random_state=0)
    assert abs(guessed.score) < 0.05


def test_seeds_differ_and_repeat(X):
    first, again, other = (
        stability(Guess(), X, n_runs=4, random_state=seed).labels for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first, axis=0)) == 4


def test_bootstrap_fits_on_draws_with_replacement(X):
    seen = []

    class Spy(KMeans):
        def fit(self, X, y=None, sample_weight=None):
            seen.append(X)
            return super().fit(X)

    stability(Spy(3), X, n_runs=2, bootstrap=True, random_state=0)
    for drawn in seen:
        assert len(drawn) == len(X)
        assert 0.5 < len(np.unique(drawn, axis=0)) / len(X) < 0.75  # 1 - 1 / e


def test_processes(X):
    alone = stability(KMeans(5, n_init=1, init="random"), X, random_state=0)
    apart = stability(KMeans(5, n_init=1, init="random"), X, random_state=0, n_jobs=2)
    assert np.array_equal(alone.labels, apart.labels)


@pytest.mark.parametrize("n_runs", [1, 2.5])
def test_two_runs_at_least(n_runs, X):
    with pytest.raises(ValueError, match="expected an int >= 2"):
        stability(KMeans(3), X, n_runs=n_runs)


def test_a_pipeline_is_as_its_clusterer(X):
    scaler = StandardScaler()
    found = stability(make_pipeline(scaler, KMeans(4)), X * [1, 10, 1, 1], random_state=0)
    alone = stability(KMeans(4), scaler.fit_transform(X * [1, 10, 1, 1]), random_state=0)
    assert np.array_equal(found.labels, alone.labels)


def test_pipelines_in_pipelines(X):
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), KMeans(4)))
    found = stability(nested, X, n_runs=2, random_state=0)
    alone = stability(KMeans(4), StandardScaler().fit_transform(X), n_runs=2, random_state=0)
    assert np.array_equal(found.labels, alone.labels)


def test_clusterers_without_predict(X):
    spectral = SpectralClustering(3)
    assert stability(spectral, X, n_runs=2, random_state=0).labels.shape == (2, len(X))
    with pytest.raises(AttributeError, match="predict"):
        stability(spectral, X, n_runs=2, bootstrap=True, random_state=0)


def test_a_run_cut_short_ends_it(X):
    class Interrupted(Guess):
        def fit(self, X, y=None):
            self.stop_reason_ = "interrupted"
            return super().fit(X)

    with pytest.raises(KeyboardInterrupt):
        stability(Interrupted(), X)
