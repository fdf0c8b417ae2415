import numpy as np
import pytest

from skdeepclust.cluster import _neural_mixture_em, _precise_feature_gan
from skdeepclust.cluster._start_in_data import principal_start


@pytest.fixture
def started(monkeypatch):
    """Clusters that fits of vectors begin with, in their turn."""
    found = []

    def spy(*args):
        found.append(principal_start(*args))
        return found[-1]

    for estimator in (_neural_mixture_em, _precise_feature_gan):
        monkeypatch.setattr(estimator, "principal_start", spy)
    return found


@pytest.fixture(scope="session")
def few_of_many_columns():
    """Groups along five columns of fifty, all of one spread: principal components are of noise."""

    def make(seed=0):
        y = np.arange(1000) % 5
        X = np.random.RandomState(seed).normal(size=(1000, 50))
        X[:, :5] = 2.4 * np.eye(5)[y] + 0.3 * X[:, :5]
        return X, y

    return make
