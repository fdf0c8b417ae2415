"""Neural mixture models (Tissera et al., "Neural Mixture Models with Expectation-Maximization for
End-to-end Deep Clustering"). a are relevance scores, normalised over the batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ._assignment import entropy


def mixture_log_posterior(scores: Tensor, log_prior: Tensor, temperature: float = 1.0) -> Tensor:
    """E-step: the logarithm of ``p_ij ∝ prior_j exp(a*_ij / T)`` (eq. 5, where T = 1 and the prior
    is uniform).

    Parameters
    ----------
    scores : Tensor of shape (..., n_clusters)
        Normalised relevance scores a*.
    log_prior : Tensor of shape (..., n_clusters)
        Logarithm of the clusters' shares; broadcast against ``scores``.
    temperature : float > 0, default=1.0
        T. Normalised scores of two of K equal clusters differ by ``K / sqrt(K - 1)`` at most on
        average, so that at T = 1 even a perfect p is far from certain.

    Returns
    -------
    Tensor of shape (..., n_clusters)
    """
    return torch.log_softmax(scores / temperature + log_prior, -1)


def share_scale(log_prior: Tensor) -> Tensor:
    """The spread that the indicator of a cluster of this share has, ``sqrt(π (1 - π))``, relative
    to that of one of n_clusters equal ones.

    Normalisation gives all scores the same spread, so that those of rare clusters are too large,
    ``1 / sqrt(π (1 - π))`` between members and others; times this scale, the distance is that of
    equal clusters whatever the share.

    Parameters
    ----------
    log_prior : Tensor of shape (..., n_clusters)

    Returns
    -------
    Tensor of shape (..., n_clusters)
        1 for equal shares.
    """
    share, equal = log_prior.exp(), 1 / log_prior.shape[-1]
    if equal == 1:
        return torch.ones_like(share)
    return (share * (1 - share) / (equal * (1 - equal))).clamp(min=0).sqrt()


def log_density(scores: Tensor, gamma: float) -> Tensor:
    """Logarithm of the density ``h_j = sigmoid(a*_j / γ)`` of every cluster.

    Parameters
    ----------
    scores : Tensor of shape (..., n_clusters)
    gamma : float > 0
        Keeps the scores within the sigmoid's linear part.

    Returns
    -------
    Tensor of shape (..., n_clusters)
    """
    return F.logsigmoid(scores / gamma)


def mixture_log_likelihood(scores: Tensor, log_prior: Tensor, gamma: float) -> Tensor:
    """Logarithm of ``Σ_j prior_j h_j(x)``.

    Parameters
    ----------
    scores : Tensor of shape (..., n_clusters)
    log_prior : Tensor of shape (..., n_clusters)
    gamma : float > 0

    Returns
    -------
    Tensor of shape (...)
    """
    return torch.logsumexp(log_density(scores, gamma) + log_prior, -1)


def expected_log_density(posterior: Tensor, scores: Tensor, gamma: float) -> Tensor:
    """What the M-step raises: ``Σ_j p_ij log sigmoid(a*_ij / γ)`` (eq. 6, and eq. 7 for the scores
    of transformed samples under the same p).

    Parameters
    ----------
    posterior : Tensor of shape (..., n_clusters)
        p, held constant: no gradient flows through it.
    scores : Tensor of shape (..., n_clusters)
    gamma : float > 0

    Returns
    -------
    Tensor of shape (...)
    """
    return (posterior.detach() * log_density(scores, gamma)).sum(-1)


def shared_information(
    labels: Tensor, labels_tr: Tensor, n_clusters: int, penalty: float = 0.0
) -> Tensor:
    """``I(c; c') - β H(c | c')`` of the clusters c of samples and c' of their copies, in nats.

    The information is what invariant information clustering raises (Ji, Henriques and Vedaldi,
    2019); the penalty is ours. Two classes in one cluster and a third cut in two lose little
    information where the third is large, but copies cross the cut.

    Parameters
    ----------
    labels, labels_tr : Tensor of shape (n, ...), int64
        Clusters under any number of models side by side.
    n_clusters : int
    penalty : float >= 0, default=0.0
        β.

    Returns
    -------
    Tensor of shape (...)
        At most ``log(n_clusters)``.
    """
    return joint_information(pair_shares(labels, labels_tr, n_clusters), penalty)


def pair_shares(labels: Tensor, labels_tr: Tensor, n_clusters: int) -> Tensor:
    """How often each pair of clusters is that of a sample and of its copy.

    Parameters
    ----------
    labels, labels_tr : Tensor of shape (n, ...), int64
    n_clusters : int

    Returns
    -------
    Tensor of shape (..., n_clusters, n_clusters)
        Sums to 1.
    """
    pairs = (labels * n_clusters + labels_tr).reshape(len(labels), -1)  # of each model
    n_pairs, n_models = n_clusters**2, pairs.shape[1]
    pairs = pairs + n_pairs * torch.arange(n_models, device=pairs.device)
    counts = torch.bincount(pairs.flatten(), minlength=n_pairs * n_models)
    return counts.float().view(*labels.shape[1:], n_clusters, n_clusters) / len(labels)


def joint_information(joint: Tensor, penalty: float = 0.0) -> Tensor:
    """:func:`shared_information` of how often each pair of clusters is that of a sample and copy.

    Parameters
    ----------
    joint : Tensor of shape (..., n_clusters, n_clusters)
        At least 0, with a sum of 1; which of the two is the copy does not matter.
    penalty : float >= 0, default=0.0
        β.

    Returns
    -------
    Tensor of shape (...)
    """
    share, conditional = _shares_and_conditional(joint)
    return entropy(share) - (1 + penalty) * conditional


def comparable_information(joint: Tensor, penalty: float = 0.0) -> Tensor:
    """:func:`joint_information` by which clusterings are compared: those that leave more than half
    of the clusters empty, or all but one, come after all others.

    A few clusters may be so sure that they tell more than many, and one of all samples is never
    wrong.

    Parameters
    ----------
    joint : Tensor of shape (..., n_clusters, n_clusters)
    penalty : float >= 0, default=0.0
        β.

    Returns
    -------
    Tensor of shape (...)
    """
    n_clusters = joint.shape[-1]
    filled = (joint.sum(-1) > 0).sum(-1)
    few = filled < max(2, n_clusters / 2)
    return joint_information(joint, penalty) - few * (1 + penalty) * math.log(n_clusters)


def join_clusters(joint: Tensor, n_clusters: int, penalty: float = 0.0) -> Tensor:
    """Join clusters by pairs, each time the two that leave most of :func:`joint_information`.

    As components of a mixture are combined to clusters by entropy (Baudry, Raftery, Celeux, Lo and
    Gottardo, 2010), with that of copies in place of the posterior's.

    Parameters
    ----------
    joint : Tensor of shape (n_finer, n_finer)
        How often each pair of clusters is that of a sample and its copy.
    n_clusters : int
        How many are left, at most n_finer.
    penalty : float >= 0, default=0.0
        β.

    Returns
    -------
    Tensor of shape (n_finer,), int64
        For each cluster the one that it is part of, from 0 to n_clusters - 1.
    """
    joint, part_of = joint.double(), torch.arange(len(joint), device=joint.device)
    while len(joint) > n_clusters:
        pair = kept, other = closest_clusters(joint, penalty)
        joint = unite(unite(joint, *pair).T, *pair)
        part_of[part_of == other] = kept
        part_of[part_of > other] -= 1
    return part_of


def closest_clusters(joint: Tensor, penalty: float = 0.0) -> tuple[int, int]:
    """The two clusters, of at least two, whose union leaves most of :func:`joint_information`.

    Parameters
    ----------
    joint : Tensor of shape (n_clusters, n_clusters)
    penalty : float >= 0, default=0.0
        β.

    Returns
    -------
    (int, int)
        In ascending order; of equals the first.
    """
    gain = _gain_of_joining(((joint + joint.T) / 2).double(), penalty)
    gain.fill_diagonal_(-torch.inf)
    first, second = sorted(divmod(gain.argmax().item(), len(joint)))
    return first, second


def unite(shares: Tensor, kept: int, other: int) -> Tensor:
    """Shares of clusters with two of them in one.

    Parameters
    ----------
    shares : Tensor of shape (..., n_clusters)
    kept, other : int
        Which two; the first holds what both had.

    Returns
    -------
    Tensor of shape (..., n_clusters - 1)
    """
    # Not by a product of matrices, which rounds on CUDA.
    rest = [cluster for cluster in range(shares.shape[-1]) if cluster != other]
    united = shares.clone()
    united[..., kept] += united[..., other]
    return united[..., rest]


def _gain_of_joining(joint: Tensor, penalty: float) -> Tensor:
    """By how much each pair's union changes the information of a symmetric joint, (K, K)."""

    def united(x: Tensor, y: Tensor) -> Tensor:  # change of the sum of -p log p
        return x.xlogy(x) + y.xlogy(y) - (x + y).xlogy(x + y)

    share, own = joint.sum(1), joint.diagonal()
    of_share = united(share.unsqueeze(1), share)
    # Of the row and the column, less what they have in common, which becomes one entry.
    rows = []
    for mine, row in enumerate(joint):  # all at once they are K³
        with_each = united(row, joint)
        rows.append(with_each.sum(1) - with_each[:, mine] - with_each.diagonal())
    rows = torch.stack(rows)
    block = own.unsqueeze(1) + own + 2 * joint
    entropies = own.xlogy(own)
    of_block = entropies.unsqueeze(1) + entropies + 2 * joint.xlogy(joint) - block.xlogy(block)
    return (2 + penalty) * of_share - (1 + penalty) * (2 * rows + of_block)


def information_loss(posterior: Tensor, posterior_tr: Tensor, prior: Tensor) -> Tensor:
    """``H(c | c') + KL(c ‖ prior)`` of the clusters c of samples and c' of their copies, in nats.

    With equal shares ``log K - I(c; c')``, what invariant information clustering lowers (Ji,
    Henriques and Vedaldi, 2019); with others, these are the marginal that costs nothing.

    Parameters
    ----------
    posterior, posterior_tr : Tensor of shape (n, ..., n_clusters)
        Of the samples and of their copies.
    prior : Tensor of shape (n_clusters,)

    Returns
    -------
    Tensor of shape (...)
        At least 0: every sample surely in the cluster of its copy, in the shares of the prior.
    """
    share, conditional = _shares_and_conditional(_joint(posterior, posterior_tr))
    return conditional - entropy(share) - (share * prior.log()).sum(-1)


def _joint(p: Tensor, p_tr: Tensor) -> Tensor:
    """Shares of the pairs of clusters, (..., K, K)."""
    return torch.einsum("n...j,n...k->...jk", p, p_tr) / len(p)


def _shares_and_conditional(joint: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the clusters, (..., K), and what is open of one when that of the copy is known."""
    joint = (joint + joint.mT) / 2  # which of the two is the copy does not matter
    joint = joint.clamp_min(torch.finfo(joint.dtype).tiny)  # the entropy's slope at 0 is infinite
    share = joint.sum(-1)
    return share, entropy(joint.flatten(-2)) - entropy(share)


def consistency_kl(posterior: Tensor, log_posterior: Tensor) -> Tensor:
    """``KL(p ‖ q)`` with q the posterior of the transformed samples (eq. 8).

    Parameters
    ----------
    posterior : Tensor of shape (..., n_clusters)
        p of the samples as they are, held constant.
    log_posterior : Tensor of shape (..., n_clusters)
        Logarithm of q.

    Returns
    -------
    Tensor of shape (...)
    """
    p = posterior.detach()
    return (torch.xlogy(p, p) - p * log_posterior).sum(-1)
