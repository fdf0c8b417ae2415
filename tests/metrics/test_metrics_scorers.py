"""Scorers as a grid search meets them."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples
from sklearn.model_selection import GridSearchCV, cross_val_score

from skdeepclust.metrics import (
    _scorers,
    balanced_clustering_accuracy,
    balanced_clustering_accuracy_scorer,
    clustering_accuracy,
    clustering_accuracy_scorer,
    silhouette_scorer,
)


class Stub(BaseEstimator):
    """Column 0 of X is the predicted label, the others are the embedding."""

    def predict(self, X):
        return np.asarray(X)[:, 0].astype(int)

    def transform(self, X):
        return np.asarray(X)[:, 1:]


@pytest.fixture
def blobs():
    return make_blobs([40, 40, 10], cluster_std=0.4, random_state=3)


def stub_data(n_samples, n_labels):
    rng = np.random.default_rng(0)
    labels = np.arange(n_samples) % n_labels
    return np.column_stack([labels, rng.normal(size=(n_samples, 3)) + labels[:, None]])


def test_label_scorers_score_the_predictions(blobs):
    X, y = blobs
    kmeans = KMeans(2, random_state=0).fit(X)
    labels = kmeans.predict(X)
    accuracy = clustering_accuracy_scorer(kmeans, X, y)
    balanced = balanced_clustering_accuracy_scorer(kmeans, X, y)
    assert accuracy == clustering_accuracy(y, labels) == pytest.approx(8 / 9)
    assert balanced == balanced_clustering_accuracy(y, labels) == pytest.approx(2 / 3)


def test_search_with_several_scorers_finds_the_true_number_of_clusters(blobs):
    X, y = blobs
    scoring = {
        "accuracy": clustering_accuracy_scorer,
        "balanced": balanced_clustering_accuracy_scorer,
        "silhouette": silhouette_scorer,
    }
    grid = {"n_clusters": [1, 2, 3, 6]}
    names = np.array(["a", "b", "c"])[y]
    search = GridSearchCV(KMeans(random_state=0, n_init=3), grid, scoring=scoring, refit="balanced")
    search.fit(X, names)
    assert search.best_params_ == {"n_clusters": 3}
    for name in scoring:
        scores = search.cv_results_[f"mean_test_{name}"]
        assert np.isfinite(scores).all()
        assert scores.argmax() == 2


def test_silhouette_needs_no_y_and_ranks_a_collapse_last(blobs):
    X, _ = blobs
    grid = {"n_clusters": [1, 2, 3]}
    search = GridSearchCV(KMeans(random_state=0), grid, scoring=silhouette_scorer).fit(X)
    assert search.cv_results_["rank_test_score"][0] == 3
    assert search.cv_results_["mean_test_score"][0] == -1
    assert (cross_val_score(clone(search.best_estimator_), X, scoring=silhouette_scorer) > 0).all()


def test_silhouette_is_taken_in_the_embedding():
    X = stub_data(60, 3)
    score = silhouette_scorer(Stub(), X)
    assert score == pytest.approx(silhouette_samples(X[:, 1:], X[:, 0]).mean())
    assert score == silhouette_scorer(Stub(), X, np.zeros(60))  # y is never read
    assert type(score) is float


def test_silhouette_takes_data_frames_in_and_out(blobs):
    X = pd.DataFrame(blobs[0], columns=["a", "b"])
    kmeans = KMeans(3, random_state=0).fit(X)
    expected = silhouette_scorer(kmeans, X)
    kmeans.set_output(transform="pandas")
    assert isinstance(kmeans.transform(X), pd.DataFrame)
    assert silhouette_scorer(kmeans, X) == expected


@pytest.mark.parametrize(("n_samples", "n_labels"), [(10, 1), (10, 10), (1, 1), (2, 2)])
def test_undefined_silhouette_is_the_worst(n_samples, n_labels):
    assert silhouette_scorer(Stub(), stub_data(n_samples, n_labels)) == -1.0


def test_large_silhouette_is_sampled_the_same_way_each_time(monkeypatch):
    X = stub_data(400, 3)
    whole = silhouette_scorer(Stub(), X)
    monkeypatch.setattr(_scorers, "_SILHOUETTE_MAX_SAMPLES", 200)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    sampled = silhouette_scorer(Stub(), X)
    assert sampled == silhouette_scorer(Stub(), X)
    assert sampled != whole
    assert sampled == pytest.approx(whole, abs=0.1)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_sampled_silhouette_of_a_split_off_single_row_is_defined(monkeypatch):
    X = stub_data(50, 1)
    X[0, 0] = 1  # a second cluster of one row, which a sample may miss
    monkeypatch.setattr(_scorers, "_SILHOUETTE_MAX_SAMPLES", 5)
    assert -1 <= silhouette_scorer(Stub(), X) <= 1


@pytest.mark.parametrize(
    "scorer",
    [clustering_accuracy_scorer, balanced_clustering_accuracy_scorer, silhouette_scorer],
)
def test_scorers_travel_to_worker_processes(scorer, blobs):
    X, y = blobs
    kmeans = KMeans(3, random_state=0).fit(X)
    assert pickle.loads(pickle.dumps(scorer))(kmeans, X, y) == scorer(kmeans, X, y)
