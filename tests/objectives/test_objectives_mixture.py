"""Equations 5 to 8 and the scale of rare clusters' scores, against loops in numpy, closed-form
gradients, and what must always hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from skdeepclust.objectives import (
    comparable_information,
    consistency_kl,
    expected_log_density,
    information_loss,
    join_clusters,
    joint_information,
    mixture_log_likelihood,
    mixture_log_posterior,
    pair_shares,
    share_scale,
    shared_information,
)

GAMMAS = [0.7, 1.0, 5.0]
TEMPERATURES = [0.3, 1.0, 4.0]
N, HEADS, K = 6, 2, 4


# ------------------------------------------------------------------ references, written as loops


def sigmoid(t):
    return 1 / (1 + math.exp(-t))


def loop_posterior(a, prior, temperature=1.0):
    p, prior = np.zeros_like(a), np.broadcast_to(prior, a.shape)
    for i in np.ndindex(a.shape[:-1]):
        weights = [prior[i][j] * math.exp(a[i][j] / temperature) for j in range(K)]
        p[i] = [weight / sum(weights) for weight in weights]
    return p


def loop_log_likelihood(a, prior, gamma):
    value, prior = np.zeros(a.shape[:-1]), np.broadcast_to(prior, a.shape)
    for i in np.ndindex(value.shape):
        value[i] = math.log(sum(prior[i][j] * sigmoid(a[i][j] / gamma) for j in range(K)))
    return value


def loop_density(p, a, gamma):
    value = np.zeros(a.shape[:-1])
    for i in np.ndindex(value.shape):
        for j in range(K):
            value[i] += p[i][j] * math.log(sigmoid(a[i][j] / gamma))
    return value


def loop_kl(p, q):
    value = np.zeros(p.shape[:-1])
    for i in np.ndindex(value.shape):
        for j in range(K):
            if p[i][j] > 0:
                value[i] += p[i][j] * math.log(p[i][j] / q[i][j])
    return value


def indicator(members, n):
    """1 for the members of a cluster, 0 for the others."""
    return np.array([1.0 if i < members else 0.0 for i in range(n)])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(params=[(N, K), (N, HEADS, K)], ids=["one mixture", "heads"])
def case(request, rng):
    """Scores, a posterior that is not theirs, and priors, one row of them for each head."""
    *leading, _ = request.param
    return (
        rng.normal(size=request.param),
        rng.dirichlet(np.ones(K), leading),
        rng.dirichlet(np.ones(K), leading[1:]),
    )


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


def uniform():
    return torch.full((K,), -math.log(K), dtype=torch.float64)


# ------------------------------------------------------------------ eq. 5: the posterior


def test_log_posterior_at_temperature_1_is_that_of_equation_5(case):
    a, _, prior = case
    log_p = mixture_log_posterior(*tensors(a, np.log(prior)))
    np.testing.assert_allclose(log_p.numpy(), np.log(loop_posterior(a, prior)), rtol=1e-12)
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(a.shape[:-1], dtype=log_p.dtype))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_temperature_divides_the_scores_and_leaves_the_prior(case, temperature):
    a, _, prior = case
    log_p = mixture_log_posterior(*tensors(a, np.log(prior)), temperature)
    expected = np.log(loop_posterior(a, prior, temperature))
    np.testing.assert_allclose(log_p.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [2 / 3, 1 / 3]),  # exp gives 1 and 2; with shares 0.8 and 0.2 these are 0.8 and 0.4
        (0.5, [1 / 2, 1 / 2]),  # exp gives 1 and 4: 0.8 each
    ],
)
def test_posterior_by_hand(temperature, expected):
    a, prior = torch.tensor([[0.0, math.log(2)]]), torch.tensor([0.8, 0.2])
    log_p = mixture_log_posterior(a, prior.log(), temperature)
    torch.testing.assert_close(log_p.exp(), torch.tensor([expected]))


def test_posterior_at_temperature_1_under_equal_priors_is_the_plain_softmax(case):
    (a,) = tensors(case[0])
    torch.testing.assert_close(mixture_log_posterior(a, uniform()), torch.softmax(a, -1).log())


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_posterior_without_evidence_is_the_prior_at_any_temperature(case, temperature):
    *_, prior = case
    flat = torch.full((N, *prior.shape), 3.7, dtype=torch.float64)
    log_p = mixture_log_posterior(flat, torch.from_numpy(np.log(prior)), temperature)
    torch.testing.assert_close(log_p, torch.from_numpy(np.log(prior)).expand_as(log_p))


def test_posterior_is_certain_at_low_and_the_prior_at_high_temperature(case):
    a, log_prior = tensors(case[0], np.log(case[2]))
    certain = torch.nn.functional.one_hot(a.argmax(-1), K).double()
    torch.testing.assert_close(mixture_log_posterior(a, log_prior, 1e-5).exp(), certain)
    nearly = mixture_log_posterior(a, log_prior, 1e9).exp()
    torch.testing.assert_close(nearly, log_prior.exp().expand_as(nearly))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_of_the_log_posterior(case, temperature):
    # d/da_j log p_k is ([j = k] - p_j) / T; here of the sum of w_k log p_k.
    a, w, prior = case
    scores, weights, log_prior = tensors(a, 2 * w, np.log(prior))
    log_p = mixture_log_posterior(scores.requires_grad_(), log_prior, temperature)
    (weights * log_p).sum().backward()
    expected = 2 * (w - loop_posterior(a, prior, temperature)) / temperature
    np.testing.assert_allclose(scores.grad.numpy(), expected, rtol=1e-9, atol=1e-13)


# ------------------------------------------------------------------ the scale of rare clusters


def test_share_scale_is_the_indicators_spread_relative_to_that_of_equal_clusters():
    members = [[1, 3, 6, 10], [2, 2, 2, 14]]  # of 20; equal clusters have 5
    expected = np.array(
        [[np.std(indicator(m, 20)) / np.std(indicator(5, 20)) for m in head] for head in members]
    )
    (log_prior,) = tensors(np.log(np.array(members) / 20))
    np.testing.assert_allclose(share_scale(log_prior).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4, 100])
@pytest.mark.parametrize("leading", [(), (HEADS,)])
def test_share_scale_of_equal_shares_is_1(k, leading):
    log_prior = torch.full((*leading, k), -math.log(k))
    torch.testing.assert_close(share_scale(log_prior), torch.ones(*leading, k))


def test_share_scale_by_hand():
    # sqrt(π (1 - π)) is 0.3, 0.4 and 0.5 for these; sqrt(2) / 3 for one of three equal clusters.
    scale = share_scale(torch.tensor([0.1, 0.2, 0.5]).log())
    torch.testing.assert_close(scale, torch.tensor([0.3, 0.4, 0.5]) * 3 / math.sqrt(2))


@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("members", [1, 7, 50, 90, 199])
def test_scaled_indicators_keep_members_and_others_equally_far_apart_whatever_the_share(k, members):
    n = 200
    hard, share = indicator(members, n), members / n
    normalised = (hard - hard.mean()) / hard.std()
    assert np.mean(normalised) == pytest.approx(0, abs=1e-12)
    assert np.var(normalised) == pytest.approx(1)
    apart = normalised[0] - normalised[-1]
    assert apart == pytest.approx(1 / math.sqrt(share * (1 - share)))  # too large where it is rare
    (log_prior,) = tensors(np.log([share] + [(1 - share) / (k - 1)] * (k - 1)))
    scale = share_scale(log_prior)[0].item()
    assert scale * apart == pytest.approx(k / math.sqrt(k - 1), rel=1e-12)


def test_share_scale_of_the_only_cluster_is_1():
    for log_prior in (torch.zeros(1), torch.zeros(HEADS, 1), torch.tensor([-1e-7])):
        assert torch.equal(share_scale(log_prior), torch.ones_like(log_prior))


def test_share_scale_of_shares_at_0_and_1_is_0():
    """Also where rounding takes a share beyond 1."""
    shares = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.000001, 1e-45, 0.0, 0.0]])
    scale = share_scale(shares.log())
    torch.testing.assert_close(scale, torch.zeros(2, K))


# ------------------------------------------------------------------ the log-likelihood


@pytest.mark.parametrize("gamma", GAMMAS)
def test_log_likelihood_against_a_loop(case, gamma):
    a, _, prior = case
    value = mixture_log_likelihood(*tensors(a, np.log(prior)), gamma)
    assert value.shape == a.shape[:-1]
    np.testing.assert_allclose(value.numpy(), loop_log_likelihood(a, prior, gamma), rtol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_expected_log_density_bounds_the_log_likelihood(case, gamma):
    """EM's bound, whatever p, and met by the shares of the cluster densities themselves."""
    a, p, log_prior = tensors(case[0], case[1], np.log(case[2]))
    likelihood = mixture_log_likelihood(a, log_prior, gamma)

    def bound(p):
        rest = (p * log_prior + torch.special.entr(p)).sum(-1)
        return expected_log_density(p, a, gamma) + rest

    assert (bound(p) < likelihood).all()
    shares = log_prior.exp() * torch.sigmoid(a / gamma)
    torch.testing.assert_close(bound(shares / shares.sum(-1, keepdim=True)), likelihood)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradient_of_the_log_likelihood(case, gamma):
    # With r_j = prior_j h_j / Σ_k prior_k h_k, d/da_j is r_j (1 - h_j) / γ.
    a, _, prior = case
    h = np.vectorize(sigmoid)(a / gamma)
    r = prior * h / (prior * h).sum(-1, keepdims=True)
    scores, log_prior = tensors(a, np.log(prior))
    mixture_log_likelihood(scores.requires_grad_(), log_prior, gamma).sum().backward()
    np.testing.assert_allclose(scores.grad.numpy(), r * (1 - h) / gamma, rtol=1e-10)


# ------------------------------------------------------------------ eq. 6 and 7


@pytest.mark.parametrize("gamma", GAMMAS)
def test_expected_log_density_is_equation_6(case, gamma):
    a, p, _ = case
    value = expected_log_density(*tensors(p, a), gamma)
    assert value.shape == a.shape[:-1]
    np.testing.assert_allclose(value.numpy(), loop_density(p, a, gamma), rtol=1e-12)


def test_expected_log_density_of_transformed_samples_is_equation_7(case, rng):
    """p comes from the samples as they are, the densities from the transformed ones."""
    a, _, prior = case
    a_tr = a + rng.normal(size=a.shape)
    p = mixture_log_posterior(*tensors(a, np.log(prior))).exp()
    value = expected_log_density(p, torch.from_numpy(a_tr), 5.0)
    expected = loop_density(loop_posterior(a, prior), a_tr, 5.0)
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12)


def test_expected_log_density_at_score_zero_is_minus_log_2(case):
    _, p, _ = case
    value = expected_log_density(torch.from_numpy(p), torch.zeros(p.shape).double(), 5.0)
    torch.testing.assert_close(value, torch.full_like(value, -math.log(2)))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradient_of_the_m_step_holds_p_constant(case, gamma):
    a, p, _ = case
    scores, posterior = (t.requires_grad_() for t in tensors(a, p))
    (-expected_log_density(posterior, scores, gamma)).sum().backward()
    expected = -p * (1 - np.vectorize(sigmoid)(a / gamma)) / gamma
    np.testing.assert_allclose(scores.grad.numpy(), expected, rtol=1e-10)
    assert posterior.grad is None


def test_m_step_does_not_differentiate_the_e_step(case):
    """The same gradient where p is computed from the very scores, as in training."""
    a, _, prior = case
    scores, log_prior = tensors(a, np.log(prior))
    scores.requires_grad_()
    p = mixture_log_posterior(scores, log_prior).exp()
    (-expected_log_density(p, scores, 5.0)).sum().backward()
    expected = -loop_posterior(a, prior) * (1 - np.vectorize(sigmoid)(a / 5)) / 5
    np.testing.assert_allclose(scores.grad.numpy(), expected, rtol=1e-10)


# ------------------------------------------------------------------ eq. 8


def test_consistency_kl_is_equation_8(case):
    a, p, prior = case
    q = loop_posterior(a, prior)
    value = consistency_kl(*tensors(p, np.log(q)))
    assert value.shape == a.shape[:-1]
    np.testing.assert_allclose(value.numpy(), loop_kl(p, q), rtol=1e-10)


def test_consistency_kl_is_zero_for_equal_distributions_and_positive_otherwise(case):
    a, p, log_prior = tensors(case[0], case[1], np.log(case[2]))
    log_q = mixture_log_posterior(a, log_prior)
    assert (consistency_kl(p, log_q) > 1e-3).all()
    zero = torch.zeros(a.shape[:-1], dtype=a.dtype)
    torch.testing.assert_close(consistency_kl(log_q.exp(), log_q), zero, atol=1e-14, rtol=0)
    # Scores that differ by a constant are the same distribution.
    same = mixture_log_posterior(a + 3, log_prior)
    torch.testing.assert_close(consistency_kl(log_q.exp(), same), zero, atol=1e-14, rtol=0)
    nudged = a.clone()
    nudged[..., 0] += 0.01
    assert (consistency_kl(log_q.exp(), mixture_log_posterior(nudged, log_prior)) > 0).all()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_of_the_consistency_is_q_minus_p_over_the_temperature(case, temperature):
    a, p, prior = case
    posterior, scores, log_prior = tensors(p, a, np.log(prior))
    posterior.requires_grad_(), scores.requires_grad_()
    log_q = mixture_log_posterior(scores, log_prior, temperature)
    consistency_kl(posterior, log_q).sum().backward()
    expected = (loop_posterior(a, prior, temperature) - p) / temperature
    np.testing.assert_allclose(scores.grad.numpy(), expected, rtol=1e-9, atol=1e-13)
    assert posterior.grad is None


def test_consistency_does_not_differentiate_the_samples_as_they_are(case):
    """p may come with a graph of its own; only the transformed samples are moved."""
    scores, log_prior = tensors(case[0], np.log(case[2]))
    log_p = mixture_log_posterior(scores.requires_grad_(), log_prior)
    log_q = log_p.detach().roll(1, -1).requires_grad_()
    consistency_kl(log_p.exp(), log_q).sum().backward()
    assert scores.grad is None
    torch.testing.assert_close(log_q.grad, -log_p.detach().exp())


def test_consistency_kl_of_a_certainty_is_its_surprise():
    log_q = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    torch.testing.assert_close(consistency_kl(torch.eye(K), log_q.expand(K, K)), -log_q)


# ------------------------------------------------------------------ extremes


def test_zero_probabilities_give_no_nan():
    p = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0]])
    scores = torch.zeros(2, K, requires_grad=True)
    kl = consistency_kl(p, mixture_log_posterior(scores, uniform().float()))
    torch.testing.assert_close(kl, torch.tensor([math.log(4), math.log(2)]))
    (kl.sum() - expected_log_density(p, scores, 5.0).sum()).backward()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("size", [200.0, 1e4, 1e30])
def test_large_scores_stay_finite(size):
    """A sigmoid or an exponential of such scores is 0 or infinite in float32."""
    signs = torch.tensor([[1.0, -1.0, -1.0, -1.0], [-1.0] * K, [1.0] * K, [-1.0, 1.0, 0.0, 1.0]])
    scores, log_prior = (size * signs).requires_grad_(), uniform().float()
    log_p = mixture_log_posterior(scores, log_prior)
    p = log_p.exp()
    torch.testing.assert_close(log_p[0], -2 * size * (1 - torch.eye(K)[0]))  # where p is 0
    torch.testing.assert_close(p[0], torch.eye(K)[0])
    torch.testing.assert_close(p[1:3], torch.full((2, K), 1 / K))
    values = torch.stack(
        [
            mixture_log_likelihood(scores, log_prior, 5.0),
            expected_log_density(p, scores, 5.0),
            # Between samples that are sure of different clusters.
            consistency_kl(p.roll(1, 0), log_p),
        ]
    )
    assert torch.isfinite(values).all()
    assert values[0, 1].item() == pytest.approx(-size / 5, rel=1e-6)  # log sigmoid(t) -> t
    values.sum().backward()
    assert torch.isfinite(scores.grad).all()


# ------------------------------------------------------------------ gradcheck


@pytest.mark.parametrize(
    "function",
    [
        lambda a, p, log_prior: mixture_log_posterior(a, log_prior, 0.3),
        lambda a, p, log_prior: mixture_log_likelihood(a, log_prior, 5.0),
        lambda a, p, log_prior: expected_log_density(p, a, 5.0),
        lambda a, p, log_prior: consistency_kl(p, mixture_log_posterior(a, log_prior, 0.3)),
    ],
    ids=["log_posterior", "log_likelihood", "density", "kl"],
)
def test_gradcheck(case, function):
    a, p, log_prior = tensors(case[0], case[1], np.log(case[2]))
    assert torch.autograd.gradcheck(lambda a: function(a, p, log_prior), (a.requires_grad_(),))


# ------------------------------------------------------------------ information shared with copies


def loop_information(c, c_tr, penalty):
    """Over pairs of clusters, from counts in either direction."""
    joint = np.zeros((K, K))
    for a, b in zip(c, c_tr, strict=True):
        joint[a, b] += 0.5 / len(c)
        joint[b, a] += 0.5 / len(c)
    share = joint.sum(0)
    information = conditional = 0.0
    for j, k in np.ndindex(K, K):
        if joint[j, k] > 0:
            information += joint[j, k] * math.log(joint[j, k] / (share[j] * share[k]))
            conditional -= joint[j, k] * math.log(joint[j, k] / share[k])
    return information - penalty * conditional


@pytest.mark.parametrize("penalty", [0.0, 1.0, 3.0])
def test_shared_information_of_every_mixture(rng, penalty):
    labels = torch.from_numpy(rng.integers(0, K, (40, HEADS)))
    labels_tr = torch.where(torch.from_numpy(rng.random((40, HEADS)) < 0.7), labels, labels.flip(0))
    found = shared_information(labels, labels_tr, K, penalty)
    expected = [loop_information(labels[:, h], labels_tr[:, h], penalty) for h in range(HEADS)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_pair_shares_are_a_confusion_matrix(rng):
    labels, labels_tr = torch.from_numpy(rng.integers(0, K, (2, 40, HEADS)))
    found = pair_shares(labels, labels_tr, K)
    assert found.shape == (HEADS, K, K)
    for h in range(HEADS):
        expected = confusion_matrix(labels[:, h], labels_tr[:, h], labels=range(K)) / 40
        np.testing.assert_allclose(found[h], expected, rtol=1e-6)
        assert torch.equal(pair_shares(labels[:, h], labels_tr[:, h], K), found[h])


@pytest.mark.parametrize("penalty", [0.0, 3.0])
@pytest.mark.parametrize("n_empty", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_joined_by_what_each_union_leaves(penalty, n_empty, seed):
    rng = np.random.RandomState(seed)
    joint = rng.rand(7, 7) ** 4
    joint[:n_empty] = joint[:, :n_empty] = 0
    joint /= joint.sum()
    both_ways = (joint + joint.T) / 2

    def information(groups):
        """H(c) - (1 + β) H(c | c') from how often each pair of groups occurs."""
        pairs = [[sum(both_ways[c, d] for c in g for d in h) for h in groups] for g in groups]
        share = [sum(row) for row in pairs]
        entropy = -sum(p * math.log(p) for p in share if p > 0)
        of_pairs = -sum(p * math.log(p) for row in pairs for p in row if p > 0)
        return entropy - (1 + penalty) * (of_pairs - entropy)

    groups = [{c} for c in range(7)]
    for left in range(7, 0, -1):
        part_of = join_clusters(torch.from_numpy(joint), left, penalty).tolist()
        found = [{c for c in range(7) if part_of[c] == i} for i in range(left)]
        if left < 7:  # where two unions leave as much, either
            pairs = itertools.combinations(groups, 2)
            unions = [[g for g in groups if g not in pair] + [pair[0] | pair[1]] for pair in pairs]
            assert sorted(map(sorted, found)) in [sorted(map(sorted, union)) for union in unions]
            assert information(found) == pytest.approx(max(map(information, unions)), abs=1e-9)
        groups = found
    assert all(groups)


def test_parts_that_copies_cross_are_joined():
    """Whatever their sizes: three classes, of which the largest is in three parts."""
    joint = torch.zeros(5, 5)
    joint[:3, :3] = 0.8 / 9
    joint[3, 3], joint[4, 4] = 0.15, 0.05
    assert join_clusters(joint, 3, 3.0).tolist() == [0, 0, 0, 1, 2]
    assert joint.sum() == 1  # as it was


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_joint_information_is_that_of_labels_with_these_pairs(rng, penalty):
    joints, expected = [], []
    for _ in range(2):
        labels, labels_tr = torch.from_numpy(rng.integers(0, K, (2, 50)))
        joint = np.zeros((K, K))
        np.add.at(joint, (labels.numpy(), labels_tr.numpy()), 1 / 50)
        joints.append(torch.from_numpy(joint))
        expected.append(shared_information(labels, labels_tr, K, penalty).item())
    found = joint_information(torch.stack(joints), penalty)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def sure_of(n_filled, n_clusters):
    """Clusters of one size that a copy always shares, and others that are empty."""
    return torch.diag(torch.arange(n_clusters) < n_filled).double() / n_filled


@pytest.mark.parametrize(
    ("n_filled", "n_clusters", "compared"),
    [(2, 5, False), (3, 5, True), (1, 2, False), (2, 2, True), (2, 4, True), (1, 1, True)],
)
def test_few_clusters_come_after_all_others(n_filled, n_clusters, compared):
    joint = sure_of(n_filled, n_clusters)
    worst = torch.full_like(joint, 1 / n_clusters**2)  # copies have clusters by chance
    found, least = (comparable_information(each, 1.0).item() for each in (joint, worst))
    assert (found >= least) == compared
    if compared:
        assert found == joint_information(joint, 1.0).item()


def test_shared_information_of_agreement_is_the_entropy_whatever_the_penalty():
    labels = torch.tensor([0] * 4 + [1] * 2 + [2] * 2)
    for penalty in (0.0, 3.0):
        found = shared_information(labels, labels, K, penalty)
        assert found.item() == pytest.approx(1.5 * math.log(2))


def test_shared_information_of_independent_clusters():
    labels, labels_tr = torch.arange(16) % K, torch.arange(16) // K
    assert shared_information(labels, labels_tr, K).item() == pytest.approx(0, abs=1e-6)
    assert shared_information(labels, labels_tr, K, 2.0).item() == pytest.approx(-2 * math.log(K))


@pytest.mark.parametrize("shares", [np.full(K, 1 / K), np.arange(1, K + 1) / (K * (K + 1) / 2)])
def test_information_loss_of_answers(rng, shares):
    """From the joint shares of pairs, counted one by one."""
    p, p_tr = rng.dirichlet(np.ones(K), (2, 30))
    joint = np.mean([np.outer(a, b) + np.outer(b, a) for a, b in zip(p, p_tr, strict=True)], 0) / 2
    share = joint.sum(0)
    expected = -(joint * np.log(joint / share)).sum() + (share * np.log(share / shares)).sum()
    found = information_loss(*map(torch.from_numpy, (p, p_tr, shares)))
    assert found.item() == pytest.approx(expected)


def test_information_loss_of_equal_shares_is_what_is_missing_of_the_information():
    labels, labels_tr = torch.arange(24) % K, torch.arange(24) // 2 % K
    answers = [torch.nn.functional.one_hot(c, K).double() for c in (labels, labels_tr)]
    found = information_loss(*answers, torch.full((K,), 1 / K, dtype=torch.float64))
    missing = math.log(K) - shared_information(labels, labels_tr, K).item()
    assert found.item() == pytest.approx(missing, abs=1e-6)


def test_information_loss_is_least_for_sure_answers_in_the_shares_of_the_prior():
    prior = torch.tensor([0.5, 0.25, 0.25])
    one_hot = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 2]), 3).float()
    logits = (one_hot * 1e3).requires_grad_()  # answers of 0 and 1, of which the slope is finite
    loss = information_loss(logits.softmax(1), logits.softmax(1), prior)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6
    unsure, other, crossed = 0.8 * one_hot + 0.2 / 3, one_hot.roll(1, dims=1), one_hot.roll(1, 0)
    for p, p_tr in (
        (unsure, unsure),
        (other, other),
        (one_hot, crossed),
        (prior.expand(4, 3),) * 2,
    ):
        assert information_loss(p, p_tr, prior) > 0.1


def test_penalty_prefers_unequal_classes_to_a_large_one_cut_in_two():
    """Shares .6, .2, .2 kept, against a cut of the large class that a tenth of its copies cross."""
    kept = torch.tensor([0] * 60 + [1] * 20 + [2] * 20)
    cut = torch.tensor([0] * 30 + [1] * 30 + [2] * 40)
    crossed = cut.clone()
    crossed[27:30], crossed[57:60] = 1, 0
    information = [shared_information(kept, kept, 3), shared_information(cut, crossed, 3)]
    penalised = [shared_information(kept, kept, 3, 3.0), shared_information(cut, crossed, 3, 3.0)]
    assert penalised[0] - penalised[1] > 0.5 > information[0] - information[1]
