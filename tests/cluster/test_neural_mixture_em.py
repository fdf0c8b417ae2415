"""NeuralMixtureEM: what is its own."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score
from skorch.callbacks import Callback
from torch import nn

from skdeepclust import NeuralMixtureEM
from skdeepclust.cluster import _mixture_search, _neural_mixture_em, _start
from skdeepclust.cluster._mixture_search import agreement
from skdeepclust.cluster._neighbors import NeighborInformation, find_neighbors
from skdeepclust.cluster._neural_mixture_em import score_bound
from skdeepclust.cluster._run import copied
from skdeepclust.exceptions import DeadClusterWarning
from skdeepclust.metrics import clustering_accuracy
from skdeepclust.training import Rows

SMALL = {
    "init": "random",
    "n_starts": 4,
    "start_epochs": 10,
    "max_epochs": 10,
    "batch_size": 32,
}


def small(**params):
    return NeuralMixtureEM(**{"n_clusters": 3, "random_state": 0, **SMALL, **params})


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(150, centers=3, n_features=5, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def images(noisy_patterns):
    return noisy_patterns(60, 8)


def ten_groups(n, seed):
    angle = np.arange(10) * 2 * np.pi / 10
    centers = 10 * np.column_stack([np.cos(angle), np.sin(angle)])
    return make_blobs(n, centers=centers, cluster_std=0.8, random_state=seed)


def test_separated_blobs_are_found_with_the_defaults(blobs):
    X, y = blobs
    assert adjusted_rand_score(y, NeuralMixtureEM(3, random_state=0).fit_predict(X)) == 1


@pytest.mark.parametrize("objective", ["em", "two_fold"])
@pytest.mark.parametrize("prior", ["auto", "uniform", "estimated", "printed", (0.3, 0.3, 0.4)])
@pytest.mark.parametrize("init", ["auto", "random"])
def test_separated_blobs_are_found(blobs, objective, prior, init):
    X, y = blobs
    model = small(objective=objective, prior=prior, init=init, max_epochs=20)
    assert adjusted_rand_score(y, model.fit_predict(X)) == 1


# Section 8.1 of the paper: one start, EM alone, batches of 128.
PLANE = {
    "n_starts": 1,
    "augment": None,
    "temperature": 1.0,
    "gamma": 5.0,
    "lr": 1e-3,
    "lr_decay": "constant",
    "max_epochs": 10,
}


def test_ten_groups_in_the_plane():
    """Five seeds of the defaults as well are in benchmarks/."""
    found = []
    for seed in range(3):
        X, y = ten_groups(5000, seed)
        model = NeuralMixtureEM(10, random_state=seed, **PLANE)
        found.append(clustering_accuracy(y, model.fit_predict(X)))
    assert np.median(found) >= 0.97


def plain_mlp(input_shape, latent_dim):
    """The paper's MLP 32-32, without the batch normalisation that ours has inside."""
    return nn.Sequential(
        nn.Linear(input_shape[0], 32), nn.ReLU(), nn.Linear(32, latent_dim), nn.ReLU()
    )


class WithoutRevival(NeuralMixtureEM):
    """To see which clusters die."""

    __init__ = NeuralMixtureEM.__init__

    def _end_epoch(self, run, labels, changed):
        sizes = torch.bincount(labels, minlength=self.n_clusters)
        run.net.history.record("cluster_sizes", sizes.tolist())


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_normalisation_keeps_clusters_apart():
    """Table 1 and fig. 5 of the paper: without it, all samples end in one cluster."""
    X, _ = ten_groups(2000, 0)
    sizes, density = {}, {}
    for normalize in (True, False):
        model = WithoutRevival(
            10, network=plain_mlp, normalize_scores=normalize, random_state=0, **PLANE
        ).fit(X)
        sizes[normalize] = model.history_[-1]["cluster_sizes"]
        with torch.no_grad():
            h = model.module_.log_density(torch.tensor(X, dtype=torch.float32)).exp()
        density[normalize] = h.mean(0).numpy()
    assert min(sizes[True]) > 0
    np.testing.assert_allclose(density[True], 0.5, atol=1e-2)
    assert max(sizes[False]) == 2000
    assert np.abs(density[False] - 0.5).max() > 0.2


@pytest.mark.parametrize("gamma", [0.8, 5.0])
def test_score_samples_is_the_mixtures_log_likelihood(blobs, gamma):
    X, _ = blobs
    model = small(prior=(0.2, 0.3, 0.5), gamma=gamma).fit(X)
    with torch.no_grad():
        h = model.module_.log_density(torch.tensor(X, dtype=torch.float32)).exp().numpy()
    expected = np.log(h @ np.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-4)


def test_centers_are_the_mean_embeddings(blobs):
    X, _ = blobs
    model = small().fit(X)
    Z = model.transform(X)
    for cluster, center in enumerate(model.cluster_centers_):
        np.testing.assert_allclose(center, Z[model.labels_ == cluster].mean(0), rtol=1e-4)


def test_the_start_with_the_best_objective_goes_on():
    X, _ = make_blobs(150, centers=3, n_features=5, cluster_std=4.0, random_state=0)
    kept = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _cluster(self, run):
            z = run.map(run.module.embed)
            run.module.eval()
            with torch.no_grad():
                kept.append(run.module.mixture.posterior(run.module.mixture(z))[:, 0])
            super()._cluster(run)

        def _run_phase(self, run, name, step, epochs):
            reason = super()._run_phase(run, name, step, epochs)
            if name == "explore":
                z = run.map(run.module.embed)
                run.module.eval()
                with torch.no_grad():
                    kept.append(run.module.starts.posterior(run.module.starts(z)))
            return reason

    model = Spy(3, random_state=0, **SMALL).fit(X)
    scores = next(row["start_scores"] for row in model.history_ if "start_scores" in row)
    assert len(set(scores)) == SMALL["n_starts"]
    every, chosen = kept
    torch.testing.assert_close(chosen, every[:, int(np.argmax(scores))])


def test_one_start_is_the_papers_training(blobs):
    X, _ = blobs
    model = small(n_starts=1).fit(X)
    assert {row["phase"] for row in model.history_} == {"cluster"}


def test_gamma_follows_the_bound_of_the_scores(blobs):
    X, _ = blobs
    assert small(batch_size=128).fit(X[:128]).module_.gamma == pytest.approx(5)
    n = 75  # 150 samples in batches of at most 100
    expected = 5 * score_bound(n) / score_bound(128)
    assert small(batch_size=100).fit(X).module_.gamma == pytest.approx(expected)
    assert small(gamma=2.0).fit(X).module_.gamma == 2


@pytest.mark.parametrize("n", [3, 10, 128])
def test_score_bound_is_reached_by_a_single_outlier(n):
    outlier = np.eye(n)[0]
    normalised = (outlier - outlier.mean()) / outlier.std()
    # Of n numbers with mean 0 and variance 1 none exceeds sqrt(n - 1); the paper gives its own
    # form for the sample deviation.
    assert normalised.max() == pytest.approx(np.sqrt(n - 1))
    assert (outlier - outlier.mean()).max() / outlier.std(ddof=1) == pytest.approx(score_bound(n))


def estimates_prior(model):
    return model.module_.mixture.estimates_prior.tolist()


@pytest.fixture(scope="module")
def unequal():
    """Gaussians of unequal sizes and covariances."""
    rng = np.random.RandomState(0)
    sizes = (600, 400, 300, 200, 100)
    X = []
    for size in sizes:
        shape = rng.standard_normal((8, 8)) * rng.uniform(0.3, 0.9)
        X.append(rng.uniform(-8, 8, 8) + rng.standard_normal((size, 8)) @ shape)
    return np.concatenate(X), np.repeat(np.arange(5), sizes)


def test_auto_finds_unequal_groups_by_estimated_shares(unequal):
    """Where shares differ, normalised scores must be brought to their scale."""
    X, y = unequal
    models = {
        prior: NeuralMixtureEM(5, init="random", prior=prior, random_state=0).fit(X)
        for prior in ("uniform", "auto")
    }
    assert adjusted_rand_score(y, models["uniform"].labels_) < 0.9
    assert adjusted_rand_score(y, models["auto"].labels_) > 0.97
    assert estimates_prior(models["auto"]) == [True]


def test_vectors_keep_to_clusters_that_are_found_before(unequal, started):
    X, y = unequal
    model = NeuralMixtureEM(5, random_state=0).fit(X)
    given = started[0].numpy()
    assert adjusted_rand_score(y, given) > 0.99
    assert adjusted_rand_score(given, model.labels_) > 0.99
    assert {row["phase"] for row in model.history_} == {"cluster"}
    # By their own shares, in which no batch has a part.
    share = np.sort(np.bincount(given)) / len(X)
    prior = model.module_.mixture.log_prior.exp()[0].sort().values
    np.testing.assert_allclose(prior, share, rtol=1e-4)
    assert estimates_prior(model) == [False]


def test_they_are_the_posterior_of_every_e_step(blobs, monkeypatch):
    """Whatever the mixture takes for its own."""
    X, _ = blobs
    wrong = torch.arange(150) % 3
    monkeypatch.setattr(_neural_mixture_em, "principal_start", lambda *_: wrong)
    taught = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _step(self, run, heads, index, x, given=None):
            taught.append((index, given))
            return super()._step(run, heads, index, x, given)

    model = Spy(3, max_epochs=200, batch_size=50, tol=0, random_state=0).fit(X)
    assert len(taught) == 600
    for index, given in taught:
        assert torch.equal(given.argmax(1), wrong[index])
    assert clustering_accuracy(wrong.numpy(), model.labels_) > 0.6  # of classes that are none


@pytest.mark.parametrize(
    ("params", "begins"),
    [
        ({}, True),
        ({"prior": "estimated"}, True),
        ({"objective": "two_fold"}, True),
        ({"augment": "neighbors"}, True),
        ({"init": "random"}, False),
        ({"prior": "uniform"}, False),
        ({"prior": "printed"}, False),
        ({"prior": (0.3, 0.3, 0.4)}, False),
        ({"objective": "consistency"}, False),
        ({"augment": None}, False),
    ],
)
@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_where_clusters_are_found_before(blobs, started, params, begins):
    model = small(**{"init": "auto", "start_epochs": 1, "max_epochs": 1, **params}).fit(blobs[0])
    assert len(started) == begins
    assert (len(searches(model)) == 0) == begins


@pytest.fixture(scope="module")
def corners():
    """Images whose classes are corners, which the default warp moves out of the frame."""
    rng = np.random.RandomState(0)
    y = np.repeat(range(4), (60, 30, 20, 10))  # shares that nobody said
    X = 0.1 * rng.rand(120, 1, 8, 8).astype(np.float32)
    X[range(120), 0, np.array([0, 0, 7, 7])[y], np.array([0, 7, 0, 7])[y]] = 1
    return X, y


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_images_keep_to_clusters_that_lie_apart(corners):
    X, y = corners
    model = NeuralMixtureEM(4, random_state=0).fit(X)
    assert {row["phase"] for row in model.history_} == {"cluster"}
    assert clustering_accuracy(y, model.labels_) == 1
    # A warp that was asked for says what clusters are not to depend on.
    asked = small(n_clusters=4, init="auto", augment="strong_affine", n_networks=1).fit(X)
    assert len(searches(asked)) == 1


def test_whether_images_lie_apart_leaves_a_search_as_it_is():
    X = load_digits().images[:200, None].astype(np.float32)
    models = [
        small(n_clusters=10, n_networks=2, init="auto", augment=augment).fit(X)
        for augment in ("auto", "strong_affine")
    ]
    assert len(searches(models[0])) == 2
    np.testing.assert_array_equal(*(model.transform(X) for model in models))


def test_outliers_are_no_clusters_to_keep_to(started, monkeypatch):
    """As columns with heavy tails have them, whatever rounding makes of these."""
    X = np.random.RandomState(0).standard_t(1.5, (500, 5))
    outliers = torch.eye(3)[[0, 1] + [2] * 498]
    monkeypatch.setattr(_start, "start_responsibilities", lambda *_: outliers)
    model = small(init="auto").fit(X)
    assert started == [None]
    assert len(searches(model)) == 1
    assert model.cluster_sizes_.min() > 50


def test_given_clusters_leave_no_share_to_estimate(blobs):
    model = small(init="auto", prior="estimated", max_epochs=1).fit(blobs[0])
    assert estimates_prior(model) == [False]
    np.testing.assert_allclose(model.module_.mixture.log_prior.exp(), [[1 / 3] * 3], rtol=1e-5)
    assert estimates_prior(small(prior="estimated").fit(blobs[0])) == [True]


def test_images_start_along_components_where_their_copies_are_neighbours(images, started):
    quick = {"init": "auto", "start_epochs": 2, "max_epochs": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        small(**quick).fit(images)
        assert not started
        small(**quick, augment="neighbors").fit(images)
    assert len(started) == 1


def test_auto_makes_twice_the_steps_where_nothing_is_searched(blobs):
    X = np.random.RandomState(0).standard_normal((1280, 5))
    found = [
        NeuralMixtureEM(3, tol=0, random_state=0, **params).fit(X).n_iter_
        for params in ({}, {"init": "random", "n_starts": 2, "start_epochs": 1})
    ]
    assert found == [70, 35]


def test_training_by_given_clusters_goes_its_whole_length():
    """Their labels settle in some epochs, and the embedding is blurred still."""
    X, y = make_blobs(60, centers=3, n_features=5, cluster_std=0.5, random_state=0)
    model = NeuralMixtureEM(3, random_state=0).fit(X)  # in one batch
    changes = [epoch["label_change"] for epoch in model.history_]
    assert changes[0] == 1 > changes[1] > 0 == max(changes[40:])
    assert (model.converged_, model.n_iter_) == (False, 80)
    short = NeuralMixtureEM(3, max_epochs=20, random_state=0).fit(X)
    far, near = (silhouette_score(m.transform(X), y) for m in (model, short))
    assert far > near + 0.05


def test_a_cluster_that_is_taught_is_not_revived(blobs, monkeypatch):
    """That would take it from where it is about to come."""
    X, _ = blobs
    revived = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _end_epoch(self, run, labels, changed):
            super()._end_epoch(run, labels.clamp(max=1), changed)

        def _revive(self, run, z):
            revived.append(self.init)
            return super()._revive(run, z)

    for init in ("auto", "random"):
        Spy(3, **SMALL | {"init": init, "max_epochs": 3}, random_state=0).fit(X)
    assert revived == ["auto", *["random"] * 4]  # once in the end


def test_digits_as_vectors_with_the_defaults():
    """Above what k-means (.79) and a mixture on principal components (.82) reach."""
    X, y = load_digits(return_X_y=True)
    model = NeuralMixtureEM(10, random_state=0).fit(X)
    assert clustering_accuracy(y, model.labels_) > 0.9


def searches(model):
    """Scores of the starts, network by network."""
    return [epoch["start_scores"] for epoch in model.history_ if "start_scores" in epoch]


def test_the_best_of_several_networks_is_kept(images):
    ends = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _cluster(self, run):
            super()._cluster(run)
            labels = run.map(run.module.assign).argmax(1)
            neighbors = NeighborInformation(run.rows.X)(labels, 3)
            score, n_found = (run.net.history[-1][name] for name in ("score", "n_found"))
            objective = score + 2 * neighbors - math.log(3 / n_found)
            ends.append((objective, copied(run.module.backbone.state_dict())))

    quick, best = {**SMALL, "start_epochs": 4, "max_epochs": 2, "tol": 0.0}, []
    for seed in range(3):
        ends.clear()
        model = Spy(3, n_networks=3, random_state=seed, **quick).fit(images)
        starts = searches(model)
        assert [len(each) for each in starts] == [SMALL["n_starts"]] * 3
        objectives = [row["objective"] for row in model.history_ if "objective" in row]
        assert objectives == [objective for objective, _ in ends]
        assert len(objectives) == 3
        best.append(int(np.argmax(objectives)))
        assert model.restart_scores_.tolist() == [max(objectives)]
        kept = model.module_.backbone.state_dict()
        same = [all(torch.equal(net[n], kept[n]) for n in kept) for _, net in ends]
        assert same == [i == best[-1] for i in range(3)]
        assert model.n_iter_ == 2  # of the kept one
        # None goes on from the labels of another.
        changes = [epoch["label_change"] for epoch in model.history_ if epoch["phase"] == "cluster"]
        assert changes[::2] == [1.0] * 3
        # What one network alone would have found is among them.
        alone = NeuralMixtureEM(3, n_networks=1, random_state=seed, **quick).fit(images)
        assert searches(alone) == starts[:1]
        assert alone.restart_scores_.tolist() == objectives[:1]
    assert set(best) != {2}  # so that it is not just the last one


SCORES = (1.4, 1.5)
PLAIN = {"init": "random", "n_networks": 2}
RESTARTED = {"init": "random", "n_networks": 1, "n_init": 2}


@pytest.mark.parametrize("several", [PLAIN, RESTARTED])
@pytest.mark.parametrize(
    ("params", "neighbors", "objectives"),
    [
        ({}, (1.0, 0.9), (3.4, 3.3)),
        ({}, (1.0, 0.96), (3.4, 3.42)),
        ({"augment": "neighbors"}, (1.0, 0.9), SCORES),  # the score has them
        ({"augment": None}, (1.0, 0.9), SCORES),  # and here it is of another kind
    ],
)
def test_what_networks_and_restarts_are_compared_by(
    images, several, params, neighbors, objectives, monkeypatch
):
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    told, told_by_neighbors = iter(SCORES), iter(neighbors)
    monkeypatch.setattr(
        NeighborInformation, "__call__", lambda self, labels, n_clusters: next(told_by_neighbors)
    )

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            if heads is run.module.mixture:
                scores = torch.tensor([next(told)], dtype=torch.float64)
                labels = torch.arange(3)  # none empty, which would count
            return scores, labels

    quick = SMALL | {"start_epochs": 1, "max_epochs": 1} | several
    model = Spy(3, random_state=0, **quick, **params).fit(images)
    best = max(objectives)
    if several is RESTARTED:
        assert model.restart_scores_.tolist() == pytest.approx(objectives)
    else:
        assert model.restart_scores_.tolist() == pytest.approx([best])
    ended = [row for row in model.history_ if "objective" in row]
    assert max(row["objective"] for row in ended) == pytest.approx(best)
    kept = max(ended, key=lambda row: row["objective"])
    assert kept["score"] == SCORES[objectives.index(best)]
    unasked = list(told_by_neighbors)
    assert len(unasked) == (len(neighbors) if params else 0)


ELSEWHERE, ALIKE = [0.93, 0.97, 0.99, 0.97, 0.99], [0.93, 0.99, 0.99, 1.0, 1.0]


@pytest.mark.parametrize(
    ("params", "agreed", "least", "networks"),
    [
        ({}, ELSEWHERE, -9, 3),
        ({}, ALIKE, 1, 3),
        ({}, ALIKE, -9, 1),
        ({"n_networks": 2}, ALIKE, -9, 2),
        ({"n_networks": 4}, ELSEWHERE, -9, 4),
        ({"n_networks": 2, "n_starts": 1}, ELSEWHERE, -9, 2),
        ({"n_starts": 1}, ELSEWHERE, -9, 0),
        ({"augment": "neighbors", "init": "random"}, ELSEWHERE, -9, 1),
        ({"augment": None}, ELSEWHERE, -9, 1),
    ],
)
def test_how_many_networks_are_trained(images, params, agreed, least, networks, monkeypatch):
    """By default as many as it takes until the best start and the five next to it agree, and copies
    tell the clusters that they end with."""
    asked, best = [], []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            if len(scores) > 1:
                best.append(labels[:, scores.argmax()].numpy())
                return scores, labels
            # None empty, after which no starts would be compared.
            return scores, torch.arange(3).unsqueeze(1)

    def rand_index(first, other):
        asked.append(first)
        return agreed[(len(asked) - 1) % 5]

    monkeypatch.setattr(_mixture_search, "adjusted_rand_score", rand_index)
    monkeypatch.setattr(_mixture_search, "WELL_PREDICTED", least)
    quick = {"start_epochs": 20, "max_epochs": 1, "batch_size": 32, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(3, **{**quick, "init": "random", "n_starts": 8, **params}).fit(images)
    assert len(searches(model)) == networks
    assert len(asked) == (0 if params else 5 * networks)
    for i, first in enumerate(asked):
        assert np.array_equal(first, best[i // 5])


def test_clusterings_that_leave_most_clusters_empty_come_last():
    """However sure they are; of six clusters three are enough."""
    model, place = NeuralMixtureEM(6), torch.arange(10_000)
    model.input_shape_ = (1, 8, 8)
    # By two and one clusters, sure, and by three that copies cross.
    labels = torch.stack([place % 2, 0 * place, place % 3], 1)
    labels_tr = torch.stack([place % 2, 0 * place, (place + (place % 4 == 0)) % 3], 1)
    two, one, three = model._score_by_copies(labels, labels_tr).tolist()
    lower = 4 * math.log(6)  # the range of scores
    assert two == pytest.approx(math.log(2) - lower, abs=1e-3)
    assert one == pytest.approx(-lower, abs=1e-3)
    assert -3 * math.log(3) < three < math.log(2)


@pytest.mark.parametrize(
    ("params", "empty", "n_finer"),
    [
        ({}, True, 8),
        ({}, False, 0),
        ({"batch_size": 32}, True, 6),  # of fewer samples than five a batch tells nothing
        ({"batch_size": 20}, True, 0),
        ({"prior": "uniform"}, True, 0),
        ({"prior": "estimated"}, True, 0),
        ({"prior": np.full(4, 0.25)}, True, 0),
        ({"augment": "neighbors", "init": "random"}, True, 0),
    ],
)
def test_starts_have_more_clusters_where_a_network_left_some_empty(
    images, params, empty, n_finer, monkeypatch
):
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    searched, begun = [], []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _search(self, run, heads):
            searched.append(heads.n_clusters)
            super()._search(run, heads)

        def _remember_start(self, run, score, n_found):
            super()._remember_start(run, score, 3 if empty else 4)

        def _begin_from(self, run, z, labels):
            super()._begin_from(run, z, labels)
            mixture = run.module.mixture
            estimated = mixture.estimates_prior.item()
            begun.append((labels, mixture.log_prior.exp().squeeze(0), estimated))

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            ended = heads is run.module.mixture
            return scores, torch.arange(3 if empty else 4) if ended else labels

    quick = {"n_starts": 4, "start_epochs": 10, "max_epochs": 1, "batch_size": 64}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(4, n_networks=3, random_state=0, **{**quick, **params}).fit(images)
    assert searched == [4, *[n_finer or 4] * 2]
    assert [len(scores) for scores in searches(model)] == [4] * 3
    assert len(begun) == (2 if n_finer else 0)
    for labels, shares, estimated in begun:
        found = torch.bincount(labels, minlength=4).clamp(min=1)
        torch.testing.assert_close(shares, found / found.sum())
        assert estimated
    assert model.module_.starts is model.module_.finer is None


def test_joined_starts_find_classes_of_unequal_sizes(monkeypatch):
    """Their score is that of the classes themselves, whose copies never cross."""
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 1000)  # for the time
    sizes, rng = np.array([120, 30, 18]), np.random.RandomState(0)
    y = np.repeat(range(3), sizes)
    patterns = rng.randint(0, 200, (3, 1, 8, 8))
    X = (patterns[y] + rng.randint(0, 50, (len(y), 1, 8, 8))).astype(np.uint8)
    ends, compared, remembered = [], [], []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _cluster(self, run):
            super()._cluster(run)
            ends.append(run.map(run.module.assign).argmax(1).numpy())
            run.memory["left_empty"] = True

        def _score_by_copies(self, *sides):
            compared.append(sides)
            return super()._score_by_copies(*sides)

        def _remember_start(self, run, score, n_found):
            super()._remember_start(run, score, n_found)
            assert n_found == 3
            anew = self._unsupervised_scores(run, run.module.mixture)[0].item()
            remembered.append((score, anew))

    # Warps of so small pictures are learned or not as numbers are rounded; what is darker is.
    quick = {"n_starts": 16, "start_epochs": 40, "max_epochs": 10, "batch_size": 42}
    model = Spy(3, n_networks=2, augment=lambda x: 0.8 * x, random_state=0, **quick).fit(X)
    assert adjusted_rand_score(y, ends[1]) == 1
    share = sizes / sizes.sum()
    assert max(searches(model)[1]) == pytest.approx(-(share * np.log(share)).sum(), abs=0.05)
    starts = [sides for sides in compared if sides[0].shape[1] == 16]
    assert [torch.equal(*sides) for sides in starts] == [False] * 2  # some cross a few
    score, anew = remembered[1]  # of the mixture that goes on
    assert score == pytest.approx(anew, abs=0.1)


@pytest.mark.parametrize(
    ("params", "begins"),
    [
        ({}, True),
        ({"prior": "estimated"}, True),
        ({"augment": "affine"}, True),
        ({"settled": True}, False),
        ({"found": False}, False),
        ({"n_networks": 3}, False),
        ({"n_starts": 1}, False),
        ({"init": "random"}, False),
        ({"prior": "uniform"}, False),
        ({"objective": "consistency"}, False),
    ],
)
def test_a_last_network_begins_with_clusters_along_components(params, begins, monkeypatch):
    settled, found = params.get("settled", False), params.get("found", True)
    params = {n: value for n, value in params.items() if n not in ("settled", "found")}
    X = np.random.RandomState(0).rand(60, 1, 8, 8).astype(np.float32)  # in which nothing lies apart
    clusters = torch.arange(60) % 4 % 3  # of 30, 15 and 15
    asked, taught, begun, trained = [], [], [], []

    def start(data, n_clusters, rng, information, device):
        asked.append((data, n_clusters))
        information.replacement = torch.zeros(60, 5, dtype=torch.int64)
        return clusters if found else None

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _learn(self, run):
            mixture = run.module.mixture
            begun.append((mixture.log_prior.exp().flatten(), mixture.estimates_prior.item()))
            assert run.information.replacement is None  # networks are compared by others
            backbone = next(run.module.backbone.parameters())
            assert not any(torch.equal(backbone, other) for other in trained)
            super()._learn(run)
            assert run.net.history[-1]["start_scores"] == [run.memory["start_score"]]

        def _cluster(self, run):
            super()._cluster(run)
            trained.append(next(run.module.backbone.parameters()).detach().clone())
            if settled:
                run.memory["settled"] = True

        def _score_by_all(self, run, score, n_found):
            return (1.0, 3.0, 2.0, 0.0)[len(trained)]

        def _step(self, run, heads, index, x, given=None):
            if given is not None:
                taught.append((index, given))
            return super()._step(run, heads, index, x, given)

    monkeypatch.setattr(_mixture_search, "principal_start", start)
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    short = {"n_starts": 4, "start_epochs": 2, "max_epochs": 1, "batch_size": 30}
    short |= {"augment": "strong_affine"} | params  # asked for, so that none else are looked for
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(3, random_state=0, **short).fit(X)
    assert len(asked) == (begins or not found)
    for data, n_clusters in asked:
        np.testing.assert_array_equal(data, X.reshape(60, -1))
        assert n_clusters == 3
    started = [len(each) for each in searches(model)]
    searched = 0 if params.get("n_starts") == 1 else 1 if settled else 3
    assert started == [4] * searched + [1] * begins
    assert bool(begun) == bool(taught) == begins
    if begins:
        assert torch.equal(next(model.module_.backbone.parameters()), trained[1])
        assert model.restart_scores_.tolist() == [3.0]
        ((shares, estimated),) = begun
        torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.25]))
        assert estimated
        assert len(taught) == 4  # two epochs of two batches
        for index, p in taught:
            assert torch.equal(p, torch.eye(3)[clusters[index]])


@pytest.mark.parametrize(("batch_size", "keeps"), [(49, True), (50, False)])
def test_a_last_network_of_many_clusters_keeps_to_them(batch_size, keeps, monkeypatch):
    """A batch that holds less than five samples of each leaves no mixture to itself."""
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    X = load_digits().images[:200, None].astype(np.float32)
    given, kept, backbones = [], [], []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _keep_to(self, run, clusters):
            super()._keep_to(run, clusters)
            given.append(torch.eye(10)[clusters])
            shares = run.module.mixture.log_prior.exp().flatten()
            torch.testing.assert_close(shares, given[0].mean(0), rtol=1e-5, atol=1e-7)
            assert not run.module.mixture.estimates_prior.any()

        def _remember_start(self, run, score, n_found):
            super()._remember_start(run, math.inf, n_found)  # all training is taken back

        def _cluster(self, run):
            super()._cluster(run)
            backbones.append(next(run.module.backbone.parameters()).detach().clone())

        def _score_by_all(self, run, score, n_found):
            return float(len(backbones))  # the last is the best

        def _step(self, run, heads, index, x, taught=None):
            if given:
                kept.append(torch.equal(taught, given[0][index]))
            return super()._step(run, heads, index, x, taught)

    short = {"n_starts": 2, "start_epochs": 1, "max_epochs": 3, "augment": "strong_affine"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(10, random_state=0, batch_size=batch_size, **short).fit(X)
    assert len(searches(model)) == 4 - keeps
    assert sum("objective" in epoch for epoch in model.history_) == 4
    assert kept == keeps * [True] * 15  # three epochs of five batches
    # What there was of the network before is no start of this one's.
    assert len({float(weights.sum()) for weights in backbones}) == 4
    assert torch.equal(next(model.module_.backbone.parameters()), backbones[-1])


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_images_of_which_components_tell_more_than_warps():
    """Lines whose places are classes: the warp takes some of them to the next."""
    y = np.arange(240) % 8
    X = 0.3 * np.random.RandomState(0).rand(240, 1, 8, 8).astype(np.float32)
    X[range(240), 0, :, y] += 1
    quick = {"augment": "strong_affine", "n_starts": 4, "start_epochs": 20, "max_epochs": 4}
    model = NeuralMixtureEM(8, random_state=0, **quick).fit(X)
    assert [len(each) for each in searches(model)] == [4, 4, 4, 1]
    assert clustering_accuracy(y, model.labels_) == 1
    others = NeuralMixtureEM(8, n_networks=3, random_state=0, **quick).fit(X)
    assert searches(others) == searches(model)[:3]
    assert clustering_accuracy(y, others.labels_) < 0.9


@pytest.mark.parametrize(
    ("ended", "kept"),
    [
        ([(1.2, 3), (1.4, 3), (1.3, 3)], 1),
        ([(1.3, 3), (1.3, 3), (1.3, 3)], 0),
        # Less log(3 / 2), .41, and log 3, 1.10.
        ([(1.6, 2), (1.2, 3), (1.1, 3)], 1),
        ([(1.7, 2), (1.2, 3), (1.1, 3)], 0),
        ([(2.0, 1), (1.4, 2), (1.2, 1)], 1),
    ],
)
def test_empty_clusters_count_against_a_network(images, ended, kept, monkeypatch):
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    monkeypatch.setattr(NeighborInformation, "__call__", lambda *_: 0.3)
    outcomes, backbones = iter(ended), []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            if heads is run.module.mixture:
                score, n_found = next(outcomes)
                backbones.append(copied(run.module.backbone.state_dict()))
                return torch.tensor([score], dtype=torch.float64), torch.arange(n_found)
            return scores, labels

    quick = SMALL | {"prior": "uniform", "start_epochs": 1, "max_epochs": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(3, n_networks=3, random_state=0, **quick).fit(images)
    found = model.module_.backbone.state_dict()
    for name, weight in backbones[kept].items():
        assert torch.equal(weight, found[name])
    objectives = [score + 2 * 0.3 - math.log(3 / n_found) for score, n_found in ended]
    assert model.restart_scores_.tolist() == pytest.approx([objectives[kept]])
    rows = [row for row in model.history_ if "objective" in row]
    assert [row["objective"] for row in rows] == pytest.approx(objectives)
    assert [(row["score"], row["n_found"]) for row in rows] == ended


def test_a_start_that_training_does_not_improve_has_the_clusters_that_it_had(images, monkeypatch):
    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    begun = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            if heads is run.module.mixture:
                return scores - 9, torch.arange(1)
            begun.append(len(labels[:, scores.argmax()].unique()))
            return scores, labels

    quick = {"n_networks": 2, "start_epochs": 30, "max_epochs": 1, "prior": "uniform"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        model = Spy(**SMALL | quick, n_clusters=3, random_state=0).fit(images)
    assert [e["n_found"] for e in model.history_ if "n_found" in e] == begun
    assert 3 in begun


def test_that_joined_starts_agree_ends_no_search(images, monkeypatch):
    """As they may where all are wrong; the first network's agreed, and was told badly."""
    scores = iter((4.0, 9.0, 9.0))

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            found, labels = super()._unsupervised_scores(run, heads)
            if heads is run.module.mixture:
                return torch.tensor([next(scores)]), torch.arange(2)
            return found, labels % 3

    monkeypatch.setattr(_mixture_search, "SCORED_SAMPLES", 500)  # for the time
    monkeypatch.setattr(_mixture_search, "adjusted_rand_score", lambda first, other: 1)
    monkeypatch.setattr(_mixture_search, "WELL_PREDICTED", 5.0)
    quick = {"n_starts": 8, "start_epochs": 20, "max_epochs": 1, "batch_size": 60}
    assert len(searches(Spy(3, init="random", random_state=0, **quick).fit(images))) == 3


def test_starts_are_compared_by_how_they_label_the_same_samples():
    labels = torch.tensor([[0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0]])
    assert agreement(labels[:, :2]) == 1
    assert agreement(labels) == pytest.approx(
        (1 + adjusted_rand_score([0, 0, 1, 1], [1, 0] * 2)) / 2
    )


def test_one_network_will_do_where_its_starts_agree(images):
    assert len(searches(small(start_epochs=30).fit(images))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        untrained = small(start_epochs=1, max_epochs=1).fit(images)
    assert len(searches(untrained)) == 3


def test_starts_that_agree_on_too_few_clusters_are_not_enough(images, monkeypatch):
    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _unsupervised_scores(self, run, heads):
            scores, labels = super()._unsupervised_scores(run, heads)
            return scores, labels.clamp(max=self.most)

    monkeypatch.setattr(_mixture_search, "adjusted_rand_score", lambda first, other: 1)
    monkeypatch.setattr(_mixture_search, "WELL_PREDICTED", -9)
    quick = {"n_starts": 8, "start_epochs": 20, "max_epochs": 1}
    model = Spy(3, init="random", random_state=0, **quick)
    for model.most, networks in ((2, 1), (1, 3)):
        assert len(searches(model.fit(images))) == networks


def test_a_single_cluster_takes_one_network(images):
    model = NeuralMixtureEM(1, n_starts=8, start_epochs=1, max_epochs=1).fit(images)
    assert len(searches(model)) == 1


def test_vectors_are_searched_by_one_network(blobs):
    assert len(searches(small().fit(blobs[0]))) == 1


def test_no_further_network_is_searched_after_an_interruption(images):
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            net.interrupt.asked = True

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = small(n_networks=3, callbacks=[Stop()]).fit(images)
    assert model.stop_reason_ == "interrupted"
    assert model.n_iter_ == 0  # the search is not counted
    assert len(searches(model)) == 1


def test_an_interruption_of_another_network_leaves_the_first(images):
    """Not a network of which nothing but starts has been trained."""

    class Stop(Callback):
        def on_batch_begin(self, net, **kwargs):
            explored = sum("start_scores" in epoch for epoch in net.history[:-1])
            net.interrupt.asked = net.phase_ == "explore" and explored > 0

    trained = []

    class Spy(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _cluster(self, run):
            trained.append(run.score)
            super()._cluster(run)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadClusterWarning)
        first = small(n_networks=1).fit(images)
        model = Spy(**{**first.get_params(), "n_networks": 3, "callbacks": [Stop()]}).fit(images)
    assert model.stop_reason_ == "interrupted"
    assert len(searches(model)) == 2
    assert len(trained) == 1
    assert model.restart_scores_.tolist() == first.restart_scores_.tolist()
    assert np.array_equal(model.predict(images), first.predict(images))
    assert model.n_iter_ == first.n_iter_


def test_auto_leaves_equal_groups_to_equal_shares():
    X, y = load_digits(return_X_y=True)
    model = NeuralMixtureEM(10, init="random", random_state=0).fit(X)
    assert estimates_prior(model) == [False]
    assert clustering_accuracy(y, model.labels_) > 0.7


@pytest.mark.parametrize("params", [{"n_starts": 1}, {"augment": None}])
def test_auto_is_uniform_where_starts_cannot_be_compared_by_copies(blobs, params):
    X, _ = blobs
    auto, uniform = small(prior="auto", **params).fit(X), small(prior="uniform", **params).fit(X)
    assert estimates_prior(auto) == [False]
    np.testing.assert_allclose(auto.transform(X), uniform.transform(X), rtol=1e-3, atol=1e-3)


def test_training_that_makes_it_worse_is_taken_back(blobs):
    X, y = blobs

    class Spoilt(NeuralMixtureEM):
        __init__ = NeuralMixtureEM.__init__

        def _train_mixture(self, run):
            super()._train_mixture(run)
            with torch.no_grad():
                run.module.mixture.linear.weight.normal_(generator=run.generator)

    model = Spoilt(3, random_state=0, **SMALL).fit(X)
    starts = next(row["start_scores"] for row in model.history_ if "start_scores" in row)
    assert model.history_[-1]["score"] == max(starts)
    assert model.restart_scores_[0] == max(starts)
    assert adjusted_rand_score(y, model.labels_) == 1


def test_neighbors_are_those_of_a_full_search():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 3)).astype(np.float32)
    rows = Rows(X, (3,), 1.0, torch.device("cpu"))
    found = find_neighbors(rows, rng).numpy()
    distance = ((X[:, None] - X[None]) ** 2).sum(2)
    for i, neighbors in enumerate(found):
        assert set(neighbors) == set(np.argsort(distance[i])[:10])


@pytest.mark.filterwarnings("ignore::skdeepclust.exceptions.DeadClusterWarning")
def test_every_parameter_of_the_method_reaches_it(blobs):
    X, _ = blobs
    base = small().fit(X).transform(X)
    for change in (
        {"hidden_dims": (16,)},
        {"augment": None},
        {"objective": "two_fold"},
        {"objective": "consistency"},
        {"prior": "uniform"},
        {"prior": "estimated"},
        {"prior": "printed"},
        {"prior": (0.5, 0.25, 0.25)},
        {"temperature": 1.0},
        {"gamma": 0.7},
        {"normalize_scores": False},
        {"init": "auto"},
        {"n_starts": 5},
        {"start_epochs": 11},
        {"max_epochs": 11},
        {"lr": 2e-3},
        {"lr_decay": "constant"},
    ):
        assert not np.array_equal(base, small(**change).fit(X).transform(X)), change
    two_fold = small(objective="two_fold").fit(X).transform(X)
    other = small(objective="two_fold", consistency_lr=2e-3).fit(X).transform(X)
    assert not np.array_equal(two_fold, other)


def test_images_go_through_a_convolutional_network(images):
    model = small(preprocess="sobel").fit(images)
    layers = [type(layer) for layer in model.module_.modules()]
    assert nn.Conv2d in layers
    assert model.transform(images).shape == (60, 32)
    assert not np.array_equal(model.transform(images), small().fit(images).transform(images))


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_papers_settings_are_parameters(dataset):
    model = NeuralMixtureEM.from_paper(dataset, n_clusters=4)
    assert (model.n_clusters, model.objective, model.n_starts) == (4, "two_fold", 1)
    with pytest.raises(ValueError, match="expected one of"):
        NeuralMixtureEM.from_paper("mnst")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"network": "cnn"}, "network='cnn' needs images"),
        ({"network": "resnet"}, "network='resnet' is unknown"),
        ({"preprocess": "sobel"}, "preprocess='sobel' needs images"),
        ({"augment": "image"}, "augment='image' needs images"),
        ({"objective": "two_fold", "augment": None}, "set augment, or objective='em'"),
        ({"prior": (0.5, 0.5)}, "3 positive shares"),
        ({"prior": (0.5, 0.5, 0.0)}, "3 positive shares"),
        ({"prior": (0.5, 0.5, np.nan)}, "3 positive shares"),
        ({"prior": "flat"}, "'prior' parameter"),
        ({"temperature": 0.0}, "'temperature' parameter"),
        ({"gamma": "large"}, "'gamma' parameter"),
    ],
)
def test_bad_parameters(blobs, params, message):
    model = small(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(blobs[0])
    assert not [name for name in vars(model) if name.endswith("_")]


def test_digits_as_pictures_with_the_defaults():
    """Real data, real training: above what k-means reaches (.79)."""
    X, y = load_digits(return_X_y=True)
    models = [NeuralMixtureEM(10, input_shape=(1, 8, 8), random_state=s) for s in range(5)]
    found = [clustering_accuracy(y, model.fit_predict(X)) for model in models]
    assert np.median(found) > 0.93
    assert min(found) > 0.85
    assert np.median(found[:3]) > 0.9


def bars_and_crosses(n, side=16):
    """Turned any way, on a ground and of a brightness of their own."""
    rng = np.random.RandomState(0)
    y = np.arange(n) % 2
    down, right = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    bar, other = (
        (np.abs(u) < 0.7) & (np.abs(v) < 0.13) for u, v in ((along, across), (across, along))
    )
    seen = bar | (other & (y == 1)[:, None, None])
    ground, brightness = rng.uniform(0, 0.3, (n, 1, 1)), rng.uniform(0.3, 0.7, (n, 1, 1))
    noise = 0.03 * rng.randn(n, side, side)
    return (ground + brightness * seen + noise)[:, None].astype(np.float32), y


def test_what_has_no_upright_can_be_told():
    X, y = bars_and_crosses(400)
    short = {"n_networks": 1, "n_starts": 10, "hidden_dims": (16, 32), "random_state": 0}
    told, default = (
        clustering_accuracy(y, NeuralMixtureEM(2, augment=augment, **short).fit_predict(X))
        for augment in ("rotated_image", "auto")
    )
    assert told > 0.95
    assert default < 0.9


@pytest.mark.parametrize(("rarest", "seed"), [(20, 0), (20, 1), (10, 0), (10, 1), (10, 2)])
def test_unequal_clusters_that_lie_apart_in_the_plane(rarest, seed):
    """Where few neighbours cross a cut of the largest, which tells more than the small ones."""
    y = np.repeat(range(3), (500, 100, rarest))
    X = 10 * np.eye(3)[y][:, :2] + np.random.RandomState(seed).standard_normal((len(y), 2))
    model = NeuralMixtureEM(3, random_state=seed).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.97
    score = model.restart_scores_.item()  # in nats, of what was kept
    assert 0 < score < 0.6
    equal = NeuralMixtureEM(3, prior="uniform", random_state=seed).fit(X)
    assert equal.restart_scores_.item() > score


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_finds_the_same_blobs(blobs):
    X, y = blobs
    model = NeuralMixtureEM(3, random_state=0, device="cuda").fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1
    assert next(model.module_.parameters()).is_cuda
