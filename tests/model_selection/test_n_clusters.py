"""The number of clusters: found where it is plain, doubted where it is not."""

import matplotlib
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdeepclust import NeuralMixtureEM
from skdeepclust.model_selection import NClustersSweep, sweep_n_clusters

matplotlib.use("Agg")


@pytest.mark.parametrize("true", [3, 5])
def test_separated_blobs(true):
    X, _ = make_blobs(300, centers=true, n_features=8, random_state=1)
    sweep = sweep_n_clusters(NeuralMixtureEM(), X, range(2, 8), n_runs=2, random_state=0)
    assert sweep.recommended == true
    assert sweep.n_clusters.tolist() == [2, 3, 4, 5, 6, 7]
    assert sweep.stability.shape == (6,)
    assert sweep.silhouette.shape == sweep.objective.shape == (6, 2)
    assert np.isfinite(sweep.objective).all()
    assert sweep.found[sweep.n_clusters == true] == true


def test_other_clusterers_have_no_objective():
    X, _ = make_blobs(200, centers=4, n_features=8, random_state=0)
    sweep = sweep_n_clusters(KMeans(n_init=5), X, (6, 4, 3, 4), random_state=0)
    assert sweep.recommended == 4
    assert sweep.n_clusters.tolist() == [3, 4, 6]
    assert np.isnan(sweep.objective).all()


def sweep_of(stability, silhouette, found=None):
    n = len(stability)
    return NClustersSweep(
        np.arange(2, 2 + n),
        np.array(stability),
        np.array(silhouette)[:, None],
        np.full((n, 1), np.nan),
        np.arange(2, 2 + n) if found is None else np.array(found),
    )


def test_doubt():
    plain = sweep_of([0.2, 1.0, 0.3, 0.2], [0.1, 0.9, 0.2, 0.1])
    assert (plain.recommended, plain.runner_up) == (3, 4)
    torn = sweep_of([0.2, 1.0, 0.9, 0.2], [0.1, 0.9, 0.9, 0.1])
    assert (torn.recommended, torn.runner_up) == (3, 4)
    assert plain.doubt < 0.2 < 0.9 < torn.doubt <= 1
    unstable = sweep_of([0.1, 0.4], [0.1, 0.4])
    assert unstable.doubt == pytest.approx(0.6)  # the best of two, which are none
    nothing = sweep_of([0.5, 0.5], [0.1, 0.1])
    assert nothing.doubt == 1


def test_the_first_of_equals():
    """Clusters beyond those of the data stay empty: five, six and seven say the same."""
    scores = [0.2, 0.6, 0.7, 1.0, 1.0, 1.0], [0.2, 0.3, 0.5, 0.8, 0.8, 0.805]
    sweep = sweep_of(*scores, found=[2, 3, 4, 5, 5, 5])
    assert sweep.recommended == 5
    assert sweep.runner_up == 4
    assert 0.4 < sweep.doubt < 0.6  # as far below as four is
    assert sweep_of(*scores).doubt == 1  # six and seven clusters that have samples are rivals


def test_plot():
    sweep = sweep_of([0.2, 1.0, 0.3, 0.2], [0.1, 0.9, 0.2, 0.1]).plot()
    assert [ax.get_title() for ax in sweep.axes_] == ["stability", "silhouette", "objective"]
    assert sweep.axes_[0].lines[1].get_ydata().tolist() == [0.2, 1.0, 0.3, 0.2]
    assert sweep.axes_[0].lines[2].get_xdata() == [3, 3]
    again = sweep.plot(axes=sweep.axes_)
    assert again.figure_ is sweep.figure_
    matplotlib.pyplot.close(sweep.figure_)


@pytest.mark.parametrize("candidates", [5, [3], [3, 3], [1, 2], [2, 3.5]])
def test_bad_candidates(candidates):
    with pytest.raises(ValueError, match="at least two different integers"):
        sweep_n_clusters(KMeans(), np.zeros((9, 2)), candidates)


def test_bad_runs():
    with pytest.raises(ValueError, match="n_runs=1; expected an int >= 2"):
        sweep_n_clusters(KMeans(), np.zeros((9, 2)), [2, 3], n_runs=1)


def test_a_pipeline_is_as_its_clusterer():
    X = make_blobs(90, centers=3, n_features=4, random_state=0)[0] * [1, 10, 1, 1]
    scaler, model = StandardScaler(), NeuralMixtureEM(n_starts=2, start_epochs=2, max_epochs=2)
    found = sweep_n_clusters(make_pipeline(scaler, model), X, [2, 3], n_runs=2, random_state=0)
    alone = sweep_n_clusters(model, scaler.fit_transform(X), [2, 3], n_runs=2, random_state=0)
    for scores in ("stability", "silhouette", "objective"):
        assert np.array_equal(getattr(found, scores), getattr(alone, scores)), scores
