"""Normalised scores, posteriors, running priors, and the surgery that picks one of several heads,
revives and renumbers clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from skdeepclust.networks import MixtureHeads

N, D, HEADS, K = 60, 5, 3, 4
SHARES = [0.7, 0.2, 0.06, 0.04]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(2)


@pytest.fixture
def z(generator):
    """Skewed and far from zero, as rectified embeddings are."""
    return torch.empty(N, D).exponential_(generator=generator) * torch.arange(1.0, D + 1) + 3


def make_heads(n_heads=HEADS, shares=SHARES, estimate=False, **settings):
    n_estimating = n_heads if estimate else 0
    heads = MixtureHeads(D, n_heads, K, torch.tensor(shares), n_estimating, **settings)
    with torch.no_grad():  # scores of very different means, which normalisation must take away
        heads.linear.bias += torch.linspace(-20, 20, n_heads * K)
    return heads


def settled(z, **settings):
    """Heads with running statistics from several batches, in evaluation mode."""
    heads = make_heads(**settings)
    for batch in z.split(20):
        heads(batch)
    return heads.eval()


def raw_scores(heads, z):
    """A loop over heads and clusters, in float64."""
    weight, bias = (values.detach().double().numpy() for values in heads.linear.parameters())
    scores = np.zeros((len(z), heads.n_heads, K))
    for head in range(heads.n_heads):
        for cluster in range(K):
            row = head * K + cluster
            scores[:, head, cluster] = z.double().numpy() @ weight[row] + bias[row]
    return scores


def posterior(scores, shares, temperature, scale_by_share):
    """A loop over heads and samples, in float64; shares are (n_heads, K)."""
    p = np.zeros(scores.shape)
    for i, head in np.ndindex(scores.shape[:2]):
        for j, share in enumerate(shares[head]):
            equal = (1 / K) * (1 - 1 / K)
            scale = math.sqrt(share * (1 - share) / equal) if scale_by_share else 1
            p[i, head, j] = share * math.exp(scale * scores[i, head, j] / temperature)
        p[i, head] /= p[i, head].sum()
    return p


def unequal_priors(heads, generator):
    """Give every head shares of its own, and return them in float64."""
    shares = torch.rand(heads.n_heads, K, generator=generator) + 0.05
    shares /= shares.sum(1, keepdim=True)
    heads.log_prior.copy_(shares.log())
    return shares.double().numpy()


# ------------------------------------------------------------------ scores


def test_training_scores_are_standardised_over_the_batch(z):
    heads = make_heads()
    raw = raw_scores(heads, z)
    scores = heads(z)
    assert scores.shape == (N, HEADS, K)
    expected = (raw - raw.mean(0)) / np.sqrt(raw.var(0) + 1e-5)
    np.testing.assert_allclose(scores.detach().numpy(), expected, atol=1e-4)


def test_training_scores_have_mean_0_and_variance_1_per_head_and_cluster(z):
    scores = make_heads()(z)
    torch.testing.assert_close(scores.mean(0), torch.zeros(HEADS, K), atol=1e-5, rtol=0)
    variance = scores.var(0, correction=0)
    torch.testing.assert_close(variance, torch.ones(HEADS, K), atol=1e-3, rtol=0)


def test_no_affine_term_undoes_the_normalisation():
    names = [name for name, _ in make_heads().named_parameters()]
    assert names == ["linear.weight", "linear.bias"]


def test_normalised_scores_give_every_cluster_the_same_mean_density(z):
    mean = torch.sigmoid(make_heads()(z) / 5).mean(0)
    torch.testing.assert_close(mean, torch.full((HEADS, K), 0.5), atol=1e-2, rtol=0)


def test_scores_as_they_are_let_single_clusters_have_all_the_density(z):
    mean = torch.sigmoid(make_heads(normalize=False)(z) / 5).mean(0)
    assert mean.min() < 0.1
    assert mean.max() > 0.9
    assert (mean - 0.5).abs().min() > 1e-2


def test_without_normalisation_scores_are_linear_in_either_mode(z):
    heads = make_heads(normalize=False)
    for mode in (heads.train(), heads.eval()):
        scores = mode(z).detach().numpy()
        np.testing.assert_allclose(scores, raw_scores(heads, z), atol=1e-4)


def test_evaluation_uses_running_statistics_and_takes_each_sample_by_itself(z):
    heads = make_heads()
    mean, var = np.zeros((HEADS, K)), np.ones((HEADS, K))
    for batch in z.split(20):
        raw = raw_scores(heads, batch)
        mean, var = 0.9 * mean + 0.1 * raw.mean(0), 0.9 * var + 0.1 * raw.var(0, ddof=1)
        heads(batch)
    scores = heads.eval()(z)
    expected = (raw_scores(heads, z) - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(scores.detach().numpy(), expected, atol=1e-4, rtol=1e-4)
    alone = torch.cat([heads(z[i : i + 1]) for i in range(N)])
    torch.testing.assert_close(alone, scores)


# ------------------------------------------------------------------ posteriors


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("scale_by_share", [False, True])
def test_posterior_weighs_each_head_by_its_own_prior(z, generator, temperature, scale_by_share):
    heads = make_heads(temperature=temperature, scale_by_share=scale_by_share)
    shares = unequal_priors(heads, generator)
    scores = heads(z).detach()
    expected = posterior(scores.double().numpy(), shares, temperature, scale_by_share)
    np.testing.assert_allclose(heads.posterior(scores).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(heads.log_posterior(scores).numpy(), np.log(expected), atol=1e-4)


def test_posterior_of_plain_heads_has_temperature_1_and_no_scale(z):
    scores = make_heads()(z)
    plain = make_heads().posterior(scores)
    torch.testing.assert_close(plain, torch.softmax(scores + torch.tensor(SHARES).log(), 2))
    stated = make_heads(temperature=1.0, scale_by_share=False, normalize=True)
    assert torch.equal(stated.posterior(scores), plain)


def test_scale_by_share_changes_nothing_where_shares_are_equal(z):
    plain, scaled = (make_heads(shares=[1 / K] * K, scale_by_share=on) for on in (False, True))
    scores = plain(z)
    torch.testing.assert_close(scaled.posterior(scores), plain.posterior(scores))
    plain, scaled = (make_heads(scale_by_share=on) for on in (False, True))
    assert not torch.allclose(scaled.posterior(scores), plain.posterior(scores), atol=1e-2)


def test_scale_follows_the_estimated_prior(z):
    heads = make_heads(shares=[1 / K] * K, estimate=True, scale_by_share=True)
    scores = heads(z).detach()
    for _ in range(3):
        heads.update_prior(torch.tensor(SHARES).expand(N, HEADS, K))
    shares = heads.log_prior.exp().double().numpy()
    expected = posterior(scores.double().numpy(), shares, 1.0, True)
    np.testing.assert_allclose(heads.posterior(scores).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_temperature_and_scale_leave_the_scores_alone(z, training):
    plain, other = make_heads(), make_heads(temperature=0.1, scale_by_share=True)
    other.load_state_dict(plain.state_dict())
    assert torch.equal(other.train(training)(z), plain.train(training)(z))


def test_gradient_flows_through_the_log_posterior(z):
    heads = make_heads(temperature=0.5, scale_by_share=True)
    heads.log_posterior(heads(z))[..., 0].sum().backward()
    assert (heads.linear.weight.grad.abs().sum(1) > 0).all()


def test_settings_of_the_posterior_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        MixtureHeads(D, HEADS, K, torch.tensor(SHARES), 0, 0.5)


# ------------------------------------------------------------------ priors


def test_every_head_starts_with_the_given_prior_in_a_place_of_its_own():
    heads = make_heads()
    torch.testing.assert_close(heads.log_prior.exp(), torch.tensor([SHARES] * HEADS))
    heads.log_prior[0] = 0.0  # an expanded tensor would share its memory
    torch.testing.assert_close(heads.log_prior[1:].exp(), torch.tensor([SHARES] * (HEADS - 1)))
    assert not heads.log_prior.requires_grad
    assert "log_prior" in heads.state_dict()


def test_estimated_prior_is_the_running_mean_of_the_posterior(z):
    heads, share = make_heads(estimate=True), np.array([SHARES] * HEADS)
    for batch in z.split(20):
        p = heads.posterior(heads(batch))  # requires grad, as in training
        share = 0.9 * share + 0.1 * p.detach().double().numpy().mean(0)
        heads.update_prior(p)
        np.testing.assert_allclose(heads.log_prior.exp().numpy(), share, rtol=1e-4)
    assert not heads.log_prior.requires_grad
    assert not np.allclose(share[0], SHARES, atol=1e-2)  # it did move
    assert not np.allclose(share[0], share[1], atol=1e-3)  # each head on its own


def test_estimated_prior_stays_a_distribution(generator):
    heads = make_heads(estimate=True)
    for _ in range(300):
        p = torch.rand(8, HEADS, K, generator=generator).pow(5)
        heads.update_prior(p / p.sum(2, keepdim=True))
    torch.testing.assert_close(heads.log_prior.exp().sum(1), torch.ones(HEADS))
    assert (heads.log_prior < 0).all()


def test_estimated_prior_finds_the_shares():
    heads = make_heads(1, [0.25] * K, estimate=True)
    p = torch.tensor(SHARES).expand(8, 1, K)
    for _ in range(100):
        heads.update_prior(p)
    torch.testing.assert_close(heads.log_prior.exp()[0], torch.tensor(SHARES), atol=1e-4, rtol=0)


def test_given_prior_is_not_updated(z):
    heads = make_heads(estimate=False)
    before = heads.log_prior.clone()
    heads.update_prior(heads.posterior(heads(z)))
    assert torch.equal(heads.log_prior, before)


def mixed_heads(n_estimating):
    return MixtureHeads(D, 3, K, torch.tensor(SHARES), n_estimating)


def test_only_the_heads_that_estimate_move_their_prior(z):
    heads = mixed_heads(n_estimating=1)
    before = heads.log_prior.clone()
    heads.update_prior(heads.posterior(heads(z)))
    assert torch.equal(heads.log_prior[:2], before[:2])
    assert not torch.allclose(heads.log_prior[2], before[2], atol=1e-3)


@pytest.mark.parametrize(("n_estimating", "shaping"), [(0, 3), (1, 2), (3, 3)])
def test_heads_that_estimate_beside_others_do_not_shape_the_embedding(z, n_estimating, shaping):
    heads = mixed_heads(n_estimating)
    weights = torch.arange(1.0, 1 + N * 3 * K).sin().view(N, 3, K)
    gradients = []
    for head in range(3):
        leaf = z.clone().requires_grad_()
        heads.zero_grad()
        (heads(leaf) * weights)[:, head].sum().backward()
        gradients.append(leaf.grad is not None and bool(leaf.grad.abs().sum() > 0))
        rows = heads.linear.weight.grad.view(3, K, D)[head]
        assert rows.abs().sum() > 0  # every head learns
    assert gradients == [head < shaping for head in range(3)]


def test_adopted_head_goes_on_as_it_was(z):
    others = mixed_heads(n_estimating=1)
    for head, estimates in enumerate([False, False, True]):
        single = MixtureHeads(D, 1, K, torch.tensor(SHARES), 0)
        single.adopt(others, head)
        before = single.log_prior.clone()
        single.update_prior(torch.full((N, 1, K), 1 / K))
        assert torch.equal(single.log_prior, before) is not estimates


# ------------------------------------------------------------------ adopt


def adopted(z, generator, head, **settings):
    """Several heads with priors of their own, and the single one that took over one of them."""
    others = settled(z, **settings)
    unequal_priors(others, generator)
    single = settled(z + 5, n_heads=1, shares=[1 / K] * K, **settings)
    single.adopt(others, head)
    return others, single


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("head", range(HEADS))
def test_adopted_head_has_the_scores_and_the_prior_of_the_chosen_one(z, generator, normalize, head):
    others, single = adopted(z, generator, head, normalize=normalize)
    scores = others(z)
    for other in {*range(HEADS)} - {head}:
        assert not torch.allclose(scores[:, other], scores[:, head], atol=0.1)
    torch.testing.assert_close(single(z), scores[:, [head]])
    assert torch.equal(single.log_prior, others.log_prior[[head]])


@pytest.mark.parametrize("head", range(HEADS))
def test_adopted_head_has_the_posterior_of_the_chosen_one(z, generator, head):
    others, single = adopted(z, generator, head, temperature=0.5, scale_by_share=True)
    expected = others.posterior(others(z))[:, [head]]
    torch.testing.assert_close(single.posterior(single(z)), expected, atol=1e-5, rtol=1e-4)


def test_adopted_head_goes_on_as_the_chosen_one_would_have(z, generator):
    """Training scores, and the running statistics that they leave."""
    others, single = adopted(z, generator, 1)
    torch.testing.assert_close(single.train()(z), others.train()(z)[:, [1]])
    torch.testing.assert_close(single.eval()(z), others.eval()(z)[:, [1]])


@pytest.mark.parametrize("normalize", [True, False])
def test_adopting_copies_and_leaves_the_others_as_they_were(z, generator, normalize):
    others, single = adopted(z, generator, 2, normalize=normalize)
    state = {name: values.clone() for name, values in others.state_dict().items()}
    scores, prior = single(z), single.log_prior.clone()
    single.adopt(others, 2)
    for name, values in others.state_dict().items():
        assert torch.equal(values, state[name])
        values.zero_()
    assert torch.equal(single(z), scores)
    assert torch.equal(single.log_prior, prior)


def test_adopting_leaves_the_parameters_to_the_optimizer(z):
    others, single = settled(z), settled(z, n_heads=1)
    held = [*single.parameters()]
    single.adopt(others, 1)
    assert all(a is b for a, b in zip(held, single.parameters(), strict=True))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in held)
    single(z)[0].sum().backward()
    assert all(parameter.grad is None for parameter in others.parameters())


# ------------------------------------------------------------------ reorder


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scale_by_share", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_reorder_permutes_scores_and_priors(z, normalize, scale_by_share, training):
    heads = settled(z, n_heads=1, normalize=normalize, scale_by_share=scale_by_share)
    order = torch.tensor([2, 0, 3, 1])  # not its own inverse
    heads.train(training)
    scores, prior = heads(z), heads.log_prior.clone()
    p = heads.posterior(scores)
    heads.reorder(order)
    again = heads(z)
    torch.testing.assert_close(again, scores[..., order])
    torch.testing.assert_close(heads.posterior(again), p[..., order])
    assert torch.equal(heads.log_prior, prior[:, order])


def test_reorder_leaves_the_parameters_to_the_optimizer(z):
    """Their values move, in place: the tensors that an optimizer holds stay the module's."""
    heads = settled(z, n_heads=1)
    held = [*heads.parameters()]
    heads.reorder(torch.tensor([2, 0, 3, 1]))
    assert all(a is b for a, b in zip(held, heads.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in held)


# ------------------------------------------------------------------ restart


def restarted(heads, z, cluster=3):
    """The scores of z before and after, and the direction that the cluster now points in."""
    direction = z[7] - z.mean(0)
    before = heads(z)
    heads.restart(cluster, direction, z)
    return before, heads(z), direction


def test_restarted_cluster_scores_the_standardised_projection(z):
    _, after, direction = restarted(settled(z, n_heads=1), z)
    along = z.double().numpy() @ direction.double().numpy()
    # n - 1, as in all running variances of nn.BatchNorm.
    expected = (along - along.mean()) / np.sqrt(along.var(ddof=1) + 1e-5)
    np.testing.assert_allclose(after[:, 0, 3].detach().numpy(), expected, atol=1e-4)


def test_restarted_cluster_scores_the_projection_where_nothing_is_normalised(z):
    _, after, direction = restarted(settled(z, n_heads=1, normalize=False), z)
    torch.testing.assert_close(after[:, 0, 3], z @ direction, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_other_clusters_keep_their_scores_when_one_restarts(z, normalize):
    before, after, _ = restarted(settled(z, n_heads=1, normalize=normalize), z)
    assert torch.equal(after[..., :3], before[..., :3])
    assert not torch.allclose(after[..., 3], before[..., 3])


def test_restart_leaves_a_given_prior_alone(z):
    heads = settled(z, n_heads=1, estimate=False)
    before = heads.log_prior.clone()
    restarted(heads, z)
    assert torch.equal(heads.log_prior, before)
    torch.testing.assert_close(before.exp(), torch.tensor([SHARES]))


def test_restart_gives_the_uniform_share_of_an_estimated_prior_that_still_sums_to_one(z):
    heads = settled(z, n_heads=1, estimate=True)
    restarted(heads, z)
    # 0.25 in the place of 0.04; the others keep their ratios.
    expected = torch.tensor([[0.7, 0.2, 0.06, 0.25]]) / 1.21
    torch.testing.assert_close(heads.log_prior.exp(), expected)


def test_restart_revives_a_cluster_whose_share_is_lost(z):
    heads = settled(z, n_heads=1, estimate=True)
    heads.log_prior[0] = torch.tensor([0.5, 0.3, 0.2, 0.0]).log()
    _, after, _ = restarted(heads, z)
    assert heads.log_prior.exp().sum().item() == pytest.approx(1)
    assert heads.log_prior[0, 3].item() == pytest.approx(math.log(0.25 / 1.25))
    assert heads.posterior(after)[7, 0, 3] > 0.25  # the sample that it now points at


def test_restart_leaves_the_parameters_to_the_optimizer(z):
    heads = settled(z, n_heads=1)
    held = [*heads.parameters()]
    restarted(heads, z)
    assert all(a is b for a, b in zip(held, heads.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in held)
    heads(z).sum().backward()


# ------------------------------------------------------------------ state


def test_statistics_and_priors_are_saved(z):
    heads, fresh = settled(z, estimate=True), make_heads(shares=[0.25] * K)
    fresh.load_state_dict(heads.state_dict())
    assert torch.equal(fresh.eval()(z), heads(z))
    assert torch.equal(fresh.log_prior, heads.log_prior)


def test_calibration_normalises_over_all_that_it_is_given(z):
    heads = make_heads(n_heads=1)
    heads.calibrate(z)
    scores = heads.eval()(z)[:, 0]
    torch.testing.assert_close(scores.mean(0), torch.zeros(K), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.std(0), torch.ones(K), atol=1e-3, rtol=0)


def test_calibration_leaves_scores_alone_that_are_not_normalised(z):
    heads = make_heads(n_heads=1, normalize=False)
    before = heads(z)
    heads.calibrate(z)
    assert torch.equal(heads(z), before)
