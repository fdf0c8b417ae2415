"""Equations 2 to 5 against loops in numpy, closed-form gradients, and what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from skdeepclust.objectives import (
    assignment_kl,
    entropy,
    frequency_penalty,
    harden_assignment,
    student_t_assignment,
    target_distribution,
)

KINDS = ["dec", "sharpened", "printed", "assigned", "posterior"]
OVERS = ["all", "assigned", "posterior"]
ALPHAS = [0.3, 1.0, 2.5, 9.0]
N, K, D = 7, 3, 4


# ------------------------------------------------------------------ references, written as loops


def loop_assignment(z, m, alpha):
    q = np.zeros((len(z), len(m)))
    for i in range(len(z)):
        for j in range(len(m)):
            squared = sum((z[i, d] - m[j, d]) ** 2 for d in range(z.shape[1]))
            q[i, j] = (1 + squared / alpha) ** (-(alpha + 1) / 2)
        q[i] /= sum(q[i])
    return q


def loop_penalty(q, focus, over):
    n, n_clusters = q.shape
    labels = [max(range(n_clusters), key=lambda j: q[i, j]) for i in range(n)]
    sizes = [max(1, labels.count(j)) for j in range(n_clusters)]
    v = np.zeros(n_clusters)
    for j in range(n_clusters):
        for i in range(n):
            share = {"all": 1.0, "assigned": float(labels[i] == j), "posterior": q[i, j]}[over]
            rarity = math.sqrt(sum(sizes) / sizes[j])
            v[j] -= share * rarity * (1 - q[i, j]) ** focus * math.log(q[i, j])
    return v


def loop_target(q, kind, focus):
    n, n_clusters = q.shape
    frequency = [sum(q[i, j] for i in range(n)) for j in range(n_clusters)]
    if kind == "sharpened":
        frequency = [1.0] * n_clusters
    elif kind != "dec":
        v = loop_penalty(q, focus, {"printed": "all"}.get(kind, kind))
        frequency = [u + extra for u, extra in zip(frequency, v, strict=True)]
    p = np.zeros_like(q)
    for i in range(n):
        total = sum(q[i, k] ** 2 / frequency[k] for k in range(n_clusters))
        for j in range(n_clusters):
            p[i, j] = q[i, j] ** 2 / frequency[j] / total
    return p


def simplex(rng, n, n_clusters):
    return rng.dirichlet(np.ones(n_clusters), n)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def z_and_centers(rng):
    return rng.normal(size=(N, D)), rng.normal(size=(K, D))


# ------------------------------------------------------------------ eq. 3


@pytest.mark.parametrize("alpha", ALPHAS)
def test_student_t_assignment_is_equation_3(z_and_centers, alpha):
    z, m = z_and_centers
    q = student_t_assignment(torch.from_numpy(z), torch.from_numpy(m), alpha)
    np.testing.assert_allclose(q.numpy(), loop_assignment(z, m, alpha), rtol=1e-12)


def test_student_t_assignment_uses_one_degree_of_freedom_by_default():
    # Squared distances 1 and 4: kernels 1/2 and 1/5.
    z, m = torch.zeros(1, 1), torch.tensor([[1.0], [-2.0]])
    torch.testing.assert_close(student_t_assignment(z, m), torch.tensor([[5 / 7, 2 / 7]]))


def test_student_t_assignment_keeps_its_digits_far_from_the_origin(z_and_centers):
    z, m = (torch.from_numpy(a).float() * 1e-2 + 300 for a in z_and_centers)
    expected = loop_assignment(z.double().numpy(), m.double().numpy(), 1e-4)
    # At this alpha a squared distance that is wrong by 1e-5 (float32 at 300²: 8e-3) would show.
    q = student_t_assignment(z, m, 1e-4)
    np.testing.assert_allclose(q.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("alpha", [1.0, 30.0, 1000.0])
def test_student_t_assignment_of_an_outlier_is_finite(alpha):
    z, m = torch.full((1, D), 200.0), torch.tensor([[0.0] * D, [1.0] * D])
    q = student_t_assignment(z, m, alpha)
    assert torch.isfinite(q).all()
    torch.testing.assert_close(q.sum(1), torch.ones(1))


@pytest.mark.parametrize("alpha", [1.0, 1000.0])
@pytest.mark.parametrize("far", [1e15, 1e25, 1e38])
def test_what_is_too_far_for_float32_to_tell_centres_apart_is_assigned_equally(alpha, far):
    z, m = torch.full((2, D), far), torch.tensor([[0.0] * D, [1.0] * D, [2.0] * D])
    torch.testing.assert_close(student_t_assignment(z, m, alpha), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize("alpha", [1.0, 1000.0])
def test_the_logarithm_of_an_assignment_is_exact_where_the_assignment_vanishes(alpha):
    z, m = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[0.0, 0.0], [90.0, 90.0], [1.0, 3.0]])
    squared = np.square(z[:, None] - m).sum(2)
    expected = scipy.special.log_softmax(-(alpha + 1) / 2 * np.log1p(squared / alpha), axis=1)
    log_q = student_t_assignment(torch.tensor(z).float(), torch.tensor(m).float(), alpha, log=True)
    np.testing.assert_allclose(log_q.numpy(), expected, rtol=1e-5)
    if alpha == 1000.0:
        assert log_q.min() < -500
        assert log_q.exp().min() == 0


# ------------------------------------------------------------------ eq. 5


@pytest.mark.parametrize("over", OVERS)
@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0, 3.5])
def test_frequency_penalty_is_equation_5(rng, over, focus):
    q = simplex(rng, 11, K)
    v = frequency_penalty(torch.from_numpy(q), focus, over)
    np.testing.assert_allclose(v.numpy(), loop_penalty(q, focus, over), rtol=1e-12)


@pytest.mark.parametrize("over", OVERS)
def test_frequency_penalty_counts_a_cluster_without_samples_as_one(over):
    q = np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])  # nobody's largest is 2
    v = frequency_penalty(torch.from_numpy(q), 2.0, over)
    np.testing.assert_allclose(v.numpy(), loop_penalty(q, 2.0, over), rtol=1e-12)


def test_frequency_penalty_defaults():
    q = torch.tensor([[0.8, 0.2], [0.3, 0.7], [0.9, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(frequency_penalty(q), frequency_penalty(q, 2.0, "assigned"))


def test_frequency_penalty_rejects_an_unknown_reading():
    with pytest.raises(ValueError, match="over='some' is unknown; expected 'all'"):
        frequency_penalty(torch.full((2, 2), 0.5), over="some")


@pytest.fixture
def imbalanced():
    """Eight sure samples of cluster 0 and two, just as sure, of cluster 1."""
    return torch.tensor([[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 2, dtype=torch.float64)


# With γ = 2, a sure entry gives (1 - 0.9)² (-log 0.9) = 0.00105361, an unlikely one
# (1 - 0.1)² (-log 0.1) = 1.86509392; the rarities are sqrt(10 / 8) and sqrt(10 / 2).
SURE, UNLIKELY = 0.00105360516, 1.86509392


@pytest.mark.parametrize(
    ("over", "by_hand"),
    [
        ("all", [(8 * SURE + 2 * UNLIKELY) * 1.25**0.5, (2 * SURE + 8 * UNLIKELY) * 5**0.5]),
        ("assigned", [8 * SURE * 1.25**0.5, 2 * SURE * 5**0.5]),
        (
            "posterior",
            [
                (8 * 0.9 * SURE + 2 * 0.1 * UNLIKELY) * 1.25**0.5,
                (2 * 0.9 * SURE + 8 * 0.1 * UNLIKELY) * 5**0.5,
            ],
        ),
    ],
)
def test_frequency_penalty_by_hand(imbalanced, over, by_hand):
    v = frequency_penalty(imbalanced, 2.0, over)
    np.testing.assert_allclose(v.numpy(), by_hand, rtol=1e-7)


def test_printed_reading_penalises_the_rare_cluster_most(imbalanced):
    rare, frequent = 1, 0
    for over in ("all", "posterior"):
        v = frequency_penalty(imbalanced, over=over)
        assert v[rare] > 5 * v[frequent]


def test_assigned_reading_penalises_the_rare_cluster_only_if_its_samples_are_hard(imbalanced):
    # Equally sure samples: n_j sqrt(n / n_j) grows like sqrt(n_j), so the frequent one has more.
    v = frequency_penalty(imbalanced, over="assigned")
    torch.testing.assert_close(v[0], 2 * v[1])  # sqrt(8 / 2)
    imbalanced[8:] = torch.tensor([0.4, 0.6], dtype=torch.float64)
    v = frequency_penalty(imbalanced, over="assigned")
    assert v[1] > 10 * v[0]


# ------------------------------------------------------------------ eq. 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_target_distribution_is_equation_4(rng, kind, focus):
    q = simplex(rng, 11, K)
    p = target_distribution(torch.from_numpy(q), kind, focus)
    np.testing.assert_allclose(p.numpy(), loop_target(q, kind, focus), rtol=1e-12)


def test_target_distribution_defaults(rng):
    q = torch.from_numpy(simplex(rng, 5, K))
    torch.testing.assert_close(target_distribution(q), target_distribution(q, "dec"))
    torch.testing.assert_close(
        target_distribution(q, "printed"), target_distribution(q, "printed", 2.0)
    )


def test_target_distribution_rejects_an_unknown_kind():
    with pytest.raises(ValueError, match="'all'"):
        target_distribution(torch.full((2, 2), 0.5), "half")


def test_harden_assignment_divides_by_the_frequency_it_is_given(rng):
    q, frequency = simplex(rng, 4, K), np.array([0.5, 1.0, 3.0])
    expected = q**2 / frequency
    expected /= expected.sum(1, keepdims=True)
    p = harden_assignment(torch.from_numpy(q), torch.from_numpy(frequency))
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12)


def test_target_takes_from_the_frequent_cluster(imbalanced):
    """A sample between the clusters goes to the rarer one, further with the printed frequency."""
    q = torch.cat([imbalanced, torch.tensor([[0.5, 0.5]], dtype=torch.float64)])
    assert target_distribution(q, "dec")[-1, 1] > 0.5
    assert target_distribution(q, "sharpened")[-1, 1] == 0.5
    # v is larger for the rare cluster, which therefore gets less than in DEC.
    assert target_distribution(q, "printed")[-1, 1] < 0.5


# ------------------------------------------------------------------ invariants


@pytest.mark.parametrize("alpha", ALPHAS)
def test_assignment_rows_sum_to_one_and_follow_a_permutation(z_and_centers, alpha):
    z, m = map(torch.from_numpy, z_and_centers)
    q, order = student_t_assignment(z, m, alpha), [2, 0, 1]
    torch.testing.assert_close(q.sum(1), torch.ones(N, dtype=q.dtype))
    torch.testing.assert_close(student_t_assignment(z, m[order], alpha), q[:, order])
    assert (q.argmax(1) == torch.cdist(z, m).argmin(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_target_rows_sum_to_one_and_follow_permutations(rng, kind):
    q = torch.from_numpy(simplex(rng, 20, K))
    p, clusters, samples = target_distribution(q, kind), [2, 0, 1], rng.permutation(20)
    torch.testing.assert_close(p.sum(1), torch.ones(20, dtype=p.dtype))
    torch.testing.assert_close(target_distribution(q[:, clusters], kind), p[:, clusters])
    torch.testing.assert_close(target_distribution(q[samples], kind), p[samples])


@pytest.mark.parametrize("over", OVERS)
def test_frequency_penalty_follows_a_permutation_and_is_not_negative(rng, over):
    q, order = torch.from_numpy(simplex(rng, 20, K)), [2, 0, 1]
    v = frequency_penalty(q, over=over)
    assert (v >= 0).all()
    torch.testing.assert_close(frequency_penalty(q[:, order], over=over), v[order])


def test_dec_target_sharpens_at_equal_frequencies(rng):
    q = simplex(rng, 15, K)
    q = torch.from_numpy(np.concatenate([np.roll(q, shift, axis=1) for shift in range(K)]))
    torch.testing.assert_close(q.sum(0), torch.full((K,), 15.0, dtype=q.dtype))  # equal, as meant
    p = target_distribution(q, "dec")
    assert (entropy(p) < entropy(q)).all()
    assert (p.argmax(1) == q.argmax(1)).all()


def test_assignment_kl_against_a_loop(rng):
    p, q = simplex(rng, 9, K), simplex(rng, 9, K)
    expected = [sum(p[i, j] * math.log(p[i, j] / q[i, j]) for j in range(K)) for i in range(9)]
    kl = assignment_kl(torch.from_numpy(p), torch.from_numpy(q).log())
    np.testing.assert_allclose(kl.numpy(), expected, rtol=1e-12)
    assert (kl > 0).all()
    same = assignment_kl(torch.from_numpy(p), torch.from_numpy(p).log())
    np.testing.assert_allclose(same.numpy(), 0, atol=1e-14)


def test_assignment_kl_of_certainties():
    certain, log_certain = torch.eye(2), -500 * (1 - torch.eye(2))
    torch.testing.assert_close(assignment_kl(certain, log_certain), torch.zeros(2))
    torch.testing.assert_close(assignment_kl(certain.flip(0), log_certain), torch.full((2,), 500.0))
    half = torch.full((2, 2), math.log(0.5))
    torch.testing.assert_close(assignment_kl(certain, half), torch.full((2,), math.log(2)))


def test_zero_probabilities_give_no_nan():
    q = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.3, 0.7, 0.0]])
    p = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
    log_q = q.log().clamp(min=-500).requires_grad_()  # in float32 exp(-500) is 0
    kl = assignment_kl(p, log_q)
    torch.testing.assert_close(kl.detach(), torch.tensor([0.0, 500 - math.log(2), 500]))
    kl.sum().backward()
    torch.testing.assert_close(log_q.grad, -p)
    for over in OVERS:
        assert torch.isfinite(frequency_penalty(q, over=over)).all()
    for kind in KINDS:
        target = target_distribution(q, kind)
        assert torch.isfinite(target).all()
        torch.testing.assert_close(target[:2], torch.eye(2, 3))


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("alpha", ALPHAS)
def test_gradients_of_the_divergence_are_those_of_the_dec_paper(rng, z_and_centers, alpha):
    z, m = z_and_centers
    p, q = simplex(rng, N, K), loop_assignment(z, m, alpha)
    grad_z, grad_m = np.zeros_like(z), np.zeros_like(m)
    for i in range(N):
        for j in range(K):
            away = z[i] - m[j]
            pull = (alpha + 1) / alpha / (1 + away @ away / alpha) * (p[i, j] - q[i, j]) * away
            grad_z[i] += pull
            grad_m[j] -= pull
    z, m = (torch.from_numpy(a).requires_grad_() for a in (z, m))
    log_q = student_t_assignment(z, m, alpha, log=True)
    assignment_kl(torch.from_numpy(p), log_q).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), grad_z, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(m.grad.numpy(), grad_m, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_gradcheck_of_the_divergence(rng, z_and_centers, alpha):
    z, m = (torch.from_numpy(a).requires_grad_() for a in z_and_centers)
    p = torch.from_numpy(simplex(rng, N, K))
    assert torch.autograd.gradcheck(
        lambda z, m: assignment_kl(p, student_t_assignment(z, m, alpha, log=True)), (z, m)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_the_target(rng, kind):
    q = torch.from_numpy(simplex(rng, 5, K)).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: target_distribution(q, kind), (q,))


def test_entropy_is_scipys_and_runs_from_certain_to_level(rng):
    p = np.concatenate([simplex(rng, N, K), np.eye(K), np.full((1, K), 1 / K)])
    value = entropy(torch.from_numpy(p))
    np.testing.assert_allclose(value, scipy.stats.entropy(p, axis=1))
    assert (value[N:-1] == 0).all()
    assert value[-1] == pytest.approx(math.log(K))
