import pytest

from skdeepclust.cluster import _neural_mixture_em, _precise_feature_gan
from skdeepclust.cluster._start import principal_start


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
