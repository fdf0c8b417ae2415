"""Which start, and which network: the search that an estimator makes round a mixture's training.

A single start on a single network is a matter of luck. So many mixtures begin on one backbone, the
best of them is trained, and where that did not do well another network follows, and a third, and
one whose mixture learns clusters first that were found without it. What is good is decided without
labels: by copies of the samples, and by their neighbours in the data.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_rand_score
from torch import Tensor, nn

from .._sklearn_compat import Interval, StrOptions
from ..networks import MixtureHeads
from ..objectives import comparable_information, expected_log_density, join_clusters, pair_shares
from ..training import (
    INFERENCE_BATCH,
    Rows,
    Step,
    inference_batch,
    map_rows,
    seeded_construction,
    sent,
)
from ._base import BaseDeepClusterer
from ._phases import cluster_means, resolve_epochs
from ._run import Run, copied
from ._start_in_data import principal_start

# Pairs of a sample and its copy that starts are compared on.
SCORED_SAMPLES = 10_000
# Weight of disagreement beyond what it costs of the information, for copies that are neighbours,
# some of them of another class, and for others. Trials: at 0 large classes are cut, on long-tailed
# MNIST at 2 too; at 3 neighbours leave clusters of digits empty.
NEIGHBOR_PENALTY, WARP_PENALTY = 2.0, 3.0
# Training steps and epochs that "auto" stands for.
SEARCH = {"steps": 350, "at_least": 0, "at_most": 40}
# "auto" trains at most so many networks, one after another, until the best start of one leaves no
# cluster empty, so many that come next to it have on average this adjusted Rand index with it, and
# in the end the score by copies is this share of its upper bound, log K. Where no start was good
# the best had ended each elsewhere: on all of MNIST they had .99 and more, on long-tailed MNIST .84
# to .95 where accuracy was .71 to .87. But on some data they agree on too little: of radiology
# images on five clusters of six, of small digits on ten with half of that score.
MOST_NETWORKS, RUNNERS_UP, AGREED, WELL_PREDICTED = 3, 5, 0.98, 0.7
# Where a network left clusters empty, starts on further ones have so many for each that is asked
# for. On three draws of long-tailed MNIST six such networks had a mean accuracy of .889 and recall
# of .818, the first ones .810 and .676 (trials). Where none is empty they may do worse: on digits
# the best of a first and two such was .905 in one of four seeds.
FINER = 2
# Information by neighbours counts so much beside that by copies, by which a network was trained.
# The best of three networks had a mean accuracy of .961 on small digits, .978 on 5,000 of MNIST and
# .872 on its long-tailed part (trials, 34 seeds), by copies alone .957, .973 and .858, and at most
# .962, .979 and .873; of runs of one network each, any three: .958, .984 and .867, .956, .977 and
# .814, .960, .984 and .872.
NEIGHBOR_WEIGHT = 2.0
# What is kept of a network before its best mixture goes on, and what is found by training it.
START = ("start", "start_score", "start_n_found")
OUTCOME = ("score", "n_iter", "converged", "stop_reason")
# Samples of a cluster that a batch holds at least, where all are of a size: of more clusters than
# are asked for, and of those that are found to be a start of another training. With fewer a mixture
# that goes on by itself loses clusters: fifty pairs of digits have .50 and 22 are empty, where it
# keeps to those that it began with .69; of forty faces such a mixture had .55 and .58, where the
# other training alone, PreciseFeatureGAN's, has .77 and .79 (trials).
LEAST_IN_BATCH = 5


def agreement(labels: Tensor) -> float:
    """Mean adjusted Rand index of the first clustering and each of the others, (n, n_others)."""
    first, *others = labels.T.cpu().numpy()
    return float(np.mean([adjusted_rand_score(first, other) for other in others]))


def unless_settled(stage: Callable[[Run], None]) -> Callable[[Run], None]:
    """The stage, skipped where nothing is searched, a network has done well or, with one trained,
    the user has asked for an end."""

    def guarded(run: Run) -> None:
        ended = "best" in run.memory and run.net.interrupt.asked
        if not (ended or run.memory.get("settled", False)):
            stage(run)

    return guarded


@torch.inference_mode()
def clusters_of(heads: MixtureHeads, z: Tensor) -> Tensor:
    """The clusters of embeddings under each mixture, (n, latent_dim) -> (n, n_heads)."""
    return torch.cat([heads.posterior(heads(part)).argmax(-1) for part in z.split(INFERENCE_BATCH)])


class SearchingClusterer(BaseDeepClusterer):
    """Base of an estimator whose module has a ``backbone``, ``starts`` on it, a ``mixture`` that
    one of them becomes, ``finer`` starts, of more clusters, and ``gamma``."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **BaseDeepClusterer._parameter_constraints,
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_networks": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "start_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    # ---- what an algorithm writes

    @abstractmethod
    def _make_networks(
        self, n_samples: int
    ) -> tuple[nn.Module, MixtureHeads | None, MixtureHeads | None, MixtureHeads]:
        """A backbone, the mixtures that begin on it, those of more clusters that do so where a
        network left some empty, and the one that goes on."""

    @abstractmethod
    def _copies(self) -> str | Callable | None:
        """What makes the copies that ``run.transform`` gives."""

    @abstractmethod
    def _takes_clusters(self) -> bool:
        """Whether a mixture may begin with clusters that are found without it."""

    @abstractmethod
    def _step(
        self,
        run: Run,
        heads: MixtureHeads,
        index: Tensor,
        x: Tensor,
        given: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Train mixtures by one batch: their own posterior, and the losses."""

    @abstractmethod
    def _run_phase(self, run: Run, name: str, step: Step, epochs: float) -> str:
        """Train by the step; why it ended."""

    @abstractmethod
    def _train_mixture(self, run: Run) -> None:
        """Train ``run.module.mixture``."""

    # ---- what follows

    def _search_stages(self) -> list[Callable[[Run], None]]:
        """How the mixture is found and trained."""
        if not self._searches():
            return [self._cluster]
        again = [self._renew, self._explore, self._cluster] * (self._most_networks() - 1)
        explore, *again = map(unless_settled, (self._explore, *again))
        return [explore, self._cluster, *again, self._choose]

    def _last_stages(self) -> list[Callable[[Run], None]]:
        """How another mixture is found and trained where no network did well."""
        of_auto = self.n_networks == "auto" and self._most_networks() > 1
        if not (of_auto and self._takes_clusters()):
            return []
        stages = self._renew_by_components, self._learn, self._cluster
        return [*map(unless_settled, stages), self._choose]

    def _most_networks(self) -> int:
        """How many are trained unless the first do well."""
        if self.n_networks != "auto":
            return int(self.n_networks)
        return MOST_NETWORKS if self.n_starts > 1 and self._warps() else 1

    def _searches(self) -> bool:
        return self.n_starts * self._most_networks() > 1

    def _warps(self) -> bool:
        """Whether copies are made of the samples themselves."""
        return self._copies() not in (None, "neighbors")

    def _most_searched(self, n_samples: int) -> int:
        """Of how many clusters, all of a size, a batch holds more than a few samples each."""
        return self._resolve_batch_size(n_samples) // LEAST_IN_BATCH

    def _n_finer(self, n_samples: int) -> int:
        """How many clusters starts have where another network left some empty; 0 if no more."""
        if not (self.n_starts > 1 and self._most_networks() > 1 and self._warps()):
            return 0
        n_finer = min(FINER * self.n_clusters, self._most_searched(n_samples))
        return n_finer if n_finer > self.n_clusters else 0

    def _explore(self, run: Run) -> None:
        """Train many mixtures on one backbone, and keep the one with the best score."""
        finer, starts, mixture = run.module.finer, run.module.starts, run.module.mixture
        if finer is not None and run.memory.get("left_empty", False):
            self._explore_finer(run)
            return
        self._search(run, starts)
        scores, labels = self._unsupervised_scores(run, starts)
        run.net.record("start_scores", scores.tolist())
        order = scores.argsort(descending=True, stable=True).tolist()  # of equals the first
        best = order[0]
        mixture.adopt(starts, best)
        n_found = len(labels[:, best].unique())
        self._remember_start(run, scores[best].item(), n_found)
        if self.n_networks == "auto" and self._most_networks() > 1:
            alike = agreement(labels[:, order[: 1 + RUNNERS_UP]]) >= AGREED
            run.memory["agreed"] = alike and n_found == self.n_clusters

    def _explore_finer(self, run: Run) -> None:
        """The same with mixtures of more clusters, joined until n_clusters are left."""
        finer, mixture = run.module.finer, run.module.mixture
        self._search(run, finer)
        z, z_tr = self._pairs(run)
        labels, labels_tr = clusters_of(finer, z), clusters_of(finer, z_tr)
        joints = pair_shares(labels, labels_tr, finer.n_clusters)
        joined = [join_clusters(joint, self.n_clusters, WARP_PENALTY) for joint in joints]
        part_of = torch.stack(joined, 1)  # (n_finer, n_heads)
        labels, labels_tr = part_of.gather(0, labels), part_of.gather(0, labels_tr)
        scores = self._score_by_copies(labels, labels_tr)
        run.net.record("start_scores", scores.tolist())
        self._begin_from(run, z, labels[:, scores.argmax()])
        sides = clusters_of(mixture, z), clusters_of(mixture, z_tr)
        self._remember_start(run, self._score_by_copies(*sides).item(), len(sides[0].unique()))
        run.memory["agreed"] = False  # they do also where all are wrong

    def _search(self, run: Run, heads: MixtureHeads, taught: Tensor | None = None) -> None:
        """Train mixtures from the beginning: by their own posteriors, or by clusters (n,)."""

        def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
            p = None if taught is None else self._one_hot(taught, sent(index, run.device), x)
            return self._step(run, heads, index, x, p)[1]

        epochs = resolve_epochs(self.start_epochs, run, **SEARCH)
        self._run_phase(run, "explore", step, epochs)

    def _one_hot(self, clusters: Tensor, here: Tensor, x: Tensor) -> Tensor:
        """Of clusters (n,) those of a batch x, at places on the device, (n_batch, n_clusters)."""
        return F.one_hot(clusters[here], self.n_clusters).to(x)

    def _remember_start(self, run: Run, score: float, n_found: int) -> None:
        run.memory |= zip(START, (copied(run.module.state_dict()), score, n_found), strict=True)

    @torch.no_grad()
    def _begin_from(self, run: Run, z: Tensor, labels: Tensor) -> None:
        """Have the mixture score embeddings z along the means of clusters, whose shares are its
        estimated prior."""
        mixture, mean = run.module.mixture, z.mean(0)
        for cluster, of_it in enumerate(cluster_means(z, labels, self.n_clusters)):
            mixture.restart(cluster, of_it - mean, z)
        mixture.take_shares(labels, estimated=True)

    def _renew(self, run: Run) -> None:
        """Another backbone, and mixtures that begin on it."""
        module = run.module
        with seeded_construction(run.rng.randint(2**31 - 1)):
            fresh = self._make_networks(len(run.rows))
        mine = module.backbone, module.starts, module.finer, module.mixture
        for old, new in zip(mine, fresh, strict=True):
            if old is not None:
                old.load_state_dict(new.state_dict())
        for name in START:
            run.memory.pop(name, None)

    def _renew_by_components(self, run: Run) -> None:
        """Another backbone, whose mixture is to begin with the clusters along principal components.

        A network may find something else in warped copies than classes.
        """
        X, n_clusters, memory = run.rows.X, self.n_clusters, run.memory
        information = copy(run.information)  # networks are compared by the neighbours that it has
        with run.net.progress_line("start"):
            found = principal_start(X, n_clusters, run.rng, information, run.device)
        memory["settled"] = found is None
        if found is None:
            return
        self._renew(run)
        if n_clusters > self._most_searched(len(run.rows)):
            self._keep_to(run, found)
        else:
            run.module.mixture.take_shares(found, estimated=True)
            memory["taught"] = found

    def _keep_to(self, run: Run, given: Tensor) -> None:
        """Have the mixture learn these clusters to the end, of which it has the shares."""
        run.memory["given"] = given
        run.module.mixture.take_shares(given, estimated=False)

    def _learn(self, run: Run) -> None:
        """Have the mixture learn these clusters, to go on by its own posterior."""
        if "given" in run.memory:  # it is to keep to them
            return
        mixture = run.module.mixture
        self._search(run, mixture, run.memory["taught"])
        del run.memory["taught"]
        scores, labels = self._unsupervised_scores(run, mixture)
        run.net.record("start_scores", scores.tolist())
        self._remember_start(run, scores.item(), len(labels.unique()))

    def _cluster(self, run: Run) -> None:
        """Train the mixture, unless it was better before."""
        self._train_mixture(run)
        memory, (scores, labels) = run.memory, self._unsupervised_scores(run, run.module.mixture)
        score, n_found = scores.item(), len(labels.unique())
        if score < memory.get("start_score", -math.inf):
            run.module.load_state_dict(memory["start"])
            score, n_found = memory["start_score"], memory["start_n_found"]
        run.score = self._score_by_all(run, score, n_found)
        for name, value in (("score", score), ("objective", run.score), ("n_found", n_found)):
            run.net.record(name, value)
        if "start" in memory or "best" in memory:  # it is one of several networks
            well = score >= WELL_PREDICTED * math.log(self.n_clusters)
            memory["settled"] = memory.get("agreed", False) and well
            if n_found < self.n_clusters:
                memory["left_empty"] = True
            self._compare(run)

    def _score_by_all(self, run: Run, score: float, n_found: int) -> float:
        """The objective: for clusters that were trained by warped copies, the information by these
        and by neighbours, less what empty clusters lack; for others the score."""
        if not self._warps():
            return score
        by_neighbors = run.information(self._compared_labels(run), self.n_clusters)
        return score + NEIGHBOR_WEIGHT * by_neighbors - math.log(self.n_clusters / n_found)

    def _compared_labels(self, run: Run) -> Tensor:
        """The clusters of the samples whose neighbours are known; no others are asked for."""
        rows, chosen = run.rows, run.information.chosen
        compared = Rows(rows.X[chosen.numpy()], rows.sample_shape, rows.scale, run.device)
        labels = torch.zeros(len(rows), dtype=torch.int64)
        found = map_rows(run.module.assign, run.module, compared).argmax(1)
        labels[chosen] = found.cpu()
        return labels

    def _compare(self, run: Run) -> None:
        """Keep the mixture if it is the best of those trained so far, each on its network."""
        memory = run.memory
        if run.score > memory.get("best_score", -math.inf):
            memory["best"] = copied(run.module.state_dict())
            memory |= {f"best_{name}": getattr(run, name) for name in OUTCOME}

    def _choose(self, run: Run) -> None:
        """Go back to the best mixture of all."""
        if "best" not in run.memory:  # clusters were given
            return
        run.module.load_state_dict(run.memory["best"])
        for name in OUTCOME:
            setattr(run, name, run.memory[f"best_{name}"])

    @torch.inference_mode()
    def _unsupervised_scores(self, run: Run, heads: MixtureHeads) -> tuple[Tensor, Tensor]:
        """How good each mixture is without labels, (n_heads,): how well copies predict its
        clusters, or eq. 6 where there are no copies. And the clusters of the samples that this was
        found out on, drawn anew, (SCORED_SAMPLES, n_heads)."""
        z, z_tr = self._pairs(run)
        labels = clusters_of(heads, z)
        if z_tr is not None:
            return self._score_by_copies(labels, clusters_of(heads, z_tr)), labels
        scores = map(heads, z.split(INFERENCE_BATCH))
        gamma = run.module.gamma
        parts = [expected_log_density(heads.posterior(a), a, gamma) for a in scores]  # eq. 6
        return torch.cat(parts).mean(0), labels

    @torch.inference_mode()
    def _pairs(self, run: Run) -> tuple[Tensor, Tensor | None]:
        """Embeddings of samples, drawn anew, and of their copies, (SCORED_SAMPLES, latent_dim)."""
        embed, n = run.module.eval().embed, len(run.rows)
        rounds = math.ceil(SCORED_SAMPLES / n)  # small data is seen several times, in other copies
        order = torch.cat([torch.randperm(n, generator=run.generator) for _ in range(rounds)])
        z, z_tr = [], []
        for index in order[:SCORED_SAMPLES].split(inference_batch(run.rows.X.shape[1])):
            x = run.rows[index]
            z.append(embed(x))
            if run.transform is not None:
                z_tr.append(embed(run.transform(index, x)))
        return torch.cat(z), torch.cat(z_tr) if z_tr else None

    def _score_by_copies(self, labels: Tensor, labels_tr: Tensor) -> Tensor:
        """How well the clusters of samples and of copies, (n, n_heads), predict each other."""
        penalty = NEIGHBOR_PENALTY if self._copies() == "neighbors" else WARP_PENALTY
        return comparable_information(pair_shares(labels, labels_tr, self.n_clusters), penalty)
