"""Soft assignments to centres, the targets that sharpen them, and the divergence between the two.

Equation numbers are those of Rezaei, Dorigatti, Ruegamer and Bischl, "Joint Debiased Representation
Learning and Imbalanced Data Clustering" (arXiv 2109.05232); the assignment and DEC's target are due
to Xie, Girshick and Farhadi, "Unsupervised Deep Embedding for Clustering Analysis" (ICML 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Inside a logarithm a smaller probability is taken for this one.
_TINY = 1e-12


def student_t_assignment(
    z: Tensor, centers: Tensor, alpha: float = 1.0, *, log: bool = False
) -> Tensor:
    """Soft assignment by a Student's t kernel (eq. 3).

    ``q_ij ∝ (1 + |z_i - m_j|² / α) ^ (-(α + 1) / 2)``, rows summing to 1.

    Parameters
    ----------
    z : Tensor of shape (n, latent_dim)
        Embeddings.
    centers : Tensor of shape (n_clusters, latent_dim)
        Cluster centres.
    alpha : float, default=1.0
        Degrees of freedom, above 0.
    log : bool, default=False
        Give ``log q``, which stays finite where q does not stay above 0.

    Returns
    -------
    Tensor of shape (n, n_clusters)
        A row of q does not depend on the others; log q rounds by where in z a sample stands.
    """
    # Not by matrix product, which loses the digits that matter near a centre.
    distance = torch.cdist(z, centers, compute_mode="donot_use_mm_for_euclid_dist")
    # In logarithms: for large α the kernel itself is 0 in float32 at every distant centre.
    log_kernel = -(alpha + 1) / 2 * torch.log1p(distance.square() / alpha)
    if log:  # along samples, since along so few columns torch takes six times as long
        return torch.log_softmax(log_kernel.T, 0).T
    # What is too far for its distance to be squared is as far from every centre.
    log_kernel = log_kernel.clamp(min=torch.finfo(log_kernel.dtype).min)
    q = (log_kernel - log_kernel.amax(1, keepdim=True)).exp()
    return q / q.sum(1, keepdim=True)


def frequency_penalty(q: Tensor, focus: float = 2.0, over: str = "assigned") -> Tensor:
    """The part of a cluster's frequency that its hard and rare samples make up, v (eq. 5).

    ``v_j = -Σ_i sqrt(Σ_k N_k / N_j) (1 - q_ij)^γ log q_ij`` with ``N_j`` the number of samples
    whose largest assignment is j (at least 1).

    Parameters
    ----------
    q : Tensor of shape (n, n_clusters)
        Soft assignments of all samples.
    focus : float, default=2.0
        γ, at least 0: how strongly samples that are already sure of j are left out.
    over : {"all", "assigned", "posterior"}, default="assigned"
        Which samples the sum runs over: all of them, as printed; those assigned to j; or all of
        them, each with its share ``q_ij``.

    Returns
    -------
    Tensor of shape (n_clusters,)
    """
    labels = q.argmax(1)
    sizes = torch.bincount(labels, minlength=q.shape[1]).clamp(min=1).to(q.dtype)
    rarity = (sizes.sum() / sizes).sqrt()
    terms = -rarity * (1 - q) ** focus * q.clamp(min=_TINY).log()  # (n, K)
    if over == "all":
        return terms.sum(0)
    if over == "assigned":
        assigned = F.one_hot(labels, q.shape[1]).to(q.dtype)
        return (assigned * terms).sum(0)
    if over == "posterior":
        return (q * terms).sum(0)
    raise ValueError(f"over={over!r} is unknown; expected 'all', 'assigned' or 'posterior'")


def harden_assignment(q: Tensor, frequency: Tensor) -> Tensor:
    """Square the assignments, divide by each cluster's frequency, normalise the rows (eq. 4).

    Parameters
    ----------
    q : Tensor of shape (n, n_clusters)
        Soft assignments.
    frequency : Tensor of shape (n_clusters,)
        What each cluster is divided by, above 0.

    Returns
    -------
    Tensor of shape (n, n_clusters)
    """
    weight = q.square() / frequency
    return weight / weight.sum(1, keepdim=True)


def target_distribution(q: Tensor, kind: str = "dec", focus: float = 2.0) -> Tensor:
    """The sharpened assignments that training pulls q towards, p (eq. 4, 5).

    Parameters
    ----------
    q : Tensor of shape (n, n_clusters)
        Soft assignments of *all* samples: the frequencies are those of the data, not of a batch.
    kind : {"dec", "sharpened", "printed", "assigned", "posterior"}, default="dec"
        What the squared assignments are divided by: the soft frequency ``u_j = Σ_i q_ij`` alone
        ("dec"), nothing ("sharpened"), or ``u_j + v_j`` with v of :func:`frequency_penalty` summed
        over all samples ("printed"), over those assigned to j ("assigned"), or by their share
        ("posterior").
    focus : float, default=2.0
        γ of eq. 5; without effect for "dec" and "sharpened".

    Returns
    -------
    Tensor of shape (n, n_clusters)
        Rows sum to 1.
    """
    if kind == "sharpened":
        return harden_assignment(q, torch.ones_like(q[0]))
    frequency = q.sum(0)  # u
    if kind != "dec":
        frequency = frequency + frequency_penalty(q, focus, "all" if kind == "printed" else kind)
    return harden_assignment(q, frequency.clamp(min=_TINY))


def assignment_kl(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p_i ‖ q_i) of each sample (eq. 2).

    Parameters
    ----------
    p : Tensor of shape (n, n_clusters)
        Target.
    log_q : Tensor of shape (n, n_clusters)
        Logarithms of the soft assignments, finite as :func:`student_t_assignment` gives them.

    Returns
    -------
    Tensor of shape (n,)
    """
    return F.kl_div(log_q, p, reduction="none").sum(1)


def entropy(p: Tensor) -> Tensor:
    """``-Σ_k p_k log p_k`` of distributions, in nats.

    Parameters
    ----------
    p : Tensor of shape (..., n_clusters)
        Sums to 1 along its last axis.

    Returns
    -------
    Tensor of shape (...)
        From 0 to ``log(n_clusters)``.
    """
    return torch.special.entr(p).sum(-1)
