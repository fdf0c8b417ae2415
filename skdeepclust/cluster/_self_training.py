"""Clusters in the embedding of an autoencoder: start from what it finds, then train both together.

What StatDEC and DVC share (Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML
2016): pretraining on reconstruction, a start, and the joint loss ``λ KL(P‖Q) + (1 - λ) L_r`` with
its targets and its end. An algorithm brings L_r, by a :class:`SelfTrainingModule`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from .._sklearn_compat import HasMethods, Interval, StrOptions, warning_filters
from ..networks import LatentMap, MLPAutoencoder, Standardize, make_autoencoder
from ..objectives import (
    assignment_kl,
    gaussian_kl,
    reparametrize,
    student_t_assignment,
    target_distribution,
)
from ..training import INFERENCE_BATCH, make_augmentation, sent
from ._base import BaseDeepClusterer, ClusteringModule
from ._mixins import ReconstructionMixin
from ._neighbors import NeighborInformation
from ._phases import resolve_epochs, steps_per_epoch, train_phase
from ._pretraining import pretrain_end_to_end
from ._revival import revive_empty
from ._run import Run
from ._start import start_responsibilities
from ._start_in_data import compare_with_components, compare_with_kmeans, whitened_start

# Training steps, and how many epochs they may make.
PRETRAINING = {"steps": 1000, "at_least": 10, "at_most": 100}
JOINT_TRAINING = {"steps": 600, "at_least": 4, "at_most": 40}
# For clusters of which the embedding knows nothing yet: with 600 steps DVC had half of what it has.
KEPT_TRAINING = {"steps": 1800, "at_least": 12, "at_most": 120}

# Widths of dense layers for so few features and samples, a quarter of the paper's: they find as
# much in a fifth of the time. On some tables of 5,000 rows and more they lose a point or two.
NARROW_DIMS, FEW_FEATURES, FEW_SAMPLES = (128, 128, 256), 32, 2_500

# Mean squares of residuals below this share of those of the embeddings are rounding of float32.
ROUNDING = 1e-12


class SelfTrainingModule(ClusteringModule):
    """An autoencoder, and centres in its embedding; x are samples in the user's units."""

    centers: Tensor
    training_dtype = torch.float32

    def __init__(
        self,
        standardize: Standardize,
        autoencoder: nn.Module,
        latent_dim: int,
        n_clusters: int,
        alpha: float,
        variational: bool,
    ):
        super().__init__()
        self.standardize = standardize
        self.autoencoder = autoencoder  # a variational one gives means and log-variances
        self.variational = variational
        self.latent_map = LatentMap(latent_dim)
        self.centers = nn.Parameter(torch.zeros(n_clusters, latent_dim))
        self.alpha = float(alpha)

    # ---- what an algorithm writes

    @abstractmethod
    def reconstruction_loss(
        self, x: Tensor, code: Tensor, divergence: Tensor | float, log_q: Tensor | None = None
    ) -> Tensor:
        """L_r, its mean over the batch, from what :meth:`draw` gives; no ``log_q`` before there are
        clusters."""

    # ---- what follows

    def through(self, layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """What a part of the network makes of x; in training its products are those of numbers of
        ``training_dtype``."""
        if not self.training or self.training_dtype == torch.float32:
            return layers(x)
        with torch.autocast(x.device.type, self.training_dtype):
            return layers(x).float()

    def pretraining_loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """L_r while there are no clusters."""
        _, drawn, divergence = self.draw(x, generator)
        return self.reconstruction_loss(x, drawn, divergence)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of a variational autoencoder: mean and log-variance of q(z|x), (n, latent_dim) each."""
        return self.through(self.autoencoder.encode, self.standardize(x)).chunk(2, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | float]:
        """Codes of samples, codes to decode in training, and the mean KL of q(z|x) to the prior.

        Of a variational autoencoder the means and draws; of another the codes, and 0.
        """
        if not self.variational:
            code = self.code(x)
            return code, code, 0.0
        mean, log_variance = self.posterior(x)
        noise = sent(torch.randn(mean.shape, generator=generator), mean.device)
        divergence = gaussian_kl(mean, log_variance).sum(1).mean()
        return mean, reparametrize(mean, log_variance, noise), divergence

    def code(self, x: Tensor) -> Tensor:
        """The code of a sample, of a variational autoencoder the mean, (n, latent_dim)."""
        if self.variational:
            return self.posterior(x)[0]
        return self.through(self.autoencoder.encode, self.standardize(x))

    def soft_assign(self, z: Tensor, *, log: bool = False) -> Tensor:
        return student_t_assignment(z, self.centers, self.alpha, log=log)

    def embed(self, x: Tensor) -> Tensor:
        return self.latent_map(self.code(x))

    def assign(self, x: Tensor) -> Tensor:
        return self.soft_assign(self.embed(x))

    def cluster_centers(self) -> Tensor:
        return self.centers

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        self.centers.copy_(self.centers[order])


def dense_dims(n_samples: int, n_features: int) -> tuple[int, ...]:
    """Widths of the hidden layers of "mlp" by default."""
    few = n_features < FEW_FEATURES and n_samples < FEW_SAMPLES
    return NARROW_DIMS if few else MLPAutoencoder.DEFAULT_DIMS


def parts(z: Tensor) -> tuple[Tensor, ...]:
    """Rows in parts: distances to all centres take n_clusters times their memory."""
    return z.split(INFERENCE_BATCH)


def soft_assign(module: SelfTrainingModule, z: Tensor) -> Tensor:
    return torch.cat([module.soft_assign(part) for part in parts(z)])


class SelfTrainingClusterer(ReconstructionMixin, BaseDeepClusterer):
    """Base of the estimators whose module is a :class:`SelfTrainingModule`."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **BaseDeepClusterer._parameter_constraints,
        "hidden_dims": ["array-like", None],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "init": [StrOptions({"auto", "gmm", "kmeans"}), HasMethods("fit_predict")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "clustering_weight": [Interval(Real, 0, 1, closed="both")],
        "degrees_of_freedom": [Interval(Real, 0, None, closed="neither")],
        "target": [StrOptions({"dec", "sharpened", "printed", "assigned", "posterior"})],
        "focus": [Interval(Real, 0, None, closed="left")],
        "whiten": ["boolean"],
        "update_interval": [Interval(Integral, 1, None, closed="left"), None],
    }

    def _schedules(self, n: int) -> tuple[dict, dict]:
        """What "auto" stands for in pretraining and in the joint training, for n samples."""
        return PRETRAINING, JOINT_TRAINING

    def _make_autoencoder(
        self, run: Run, network: str | Callable, *, variational: bool
    ) -> nn.Module:
        dims = self.hidden_dims
        if dims is None and network == "mlp":
            dims = dense_dims(run.n_samples, math.prod(self.input_shape_))
        return make_autoencoder(
            network, self.input_shape_, self.latent_dim, dims, variational=variational
        )

    def _train(self, run: Run) -> None:
        if len(run.rows) < 2 and any(isinstance(m, nn.BatchNorm2d) for m in run.module.modules()):
            raise ValueError(
                "n_samples=1; convolutional networks normalise over batches, which takes at least "
                "2 samples: add some, or use network='mlp'"
            )
        run.perform(self._pretrain, self._start, self._self_train)

    @abstractmethod
    def _finish(self, run: Run, z: Tensor) -> None:
        """Keep what inference needs to know of the data and their embeddings z."""

    def _pretrain(self, run: Run) -> None:
        pretrain_end_to_end(run, self._resolve_pretrain_epochs(run), self.lr, self.lr_decay)

    def _resolve_pretrain_epochs(self, run: Run) -> float:
        return resolve_epochs(self.pretrain_epochs, run, **self._schedules(len(run.rows))[0])

    @torch.no_grad()
    def _start(self, run: Run) -> None:
        """Cluster the embeddings, scale them to the clusters, and put the centres there."""
        module = run.module
        z = run.map(module.embed)
        # Neighbours in the data err where these hold more than classes, those in the embedding
        # where it has lost some; starts that are alike in one view differ in the other.
        information = NeighborInformation(z.cpu().numpy(), run.information)
        with run.net.progress_line("start"):
            r = start_responsibilities(self.init, z, self.n_clusters, run.rng, information)
            r, kept = self._look_in_data(run, r, information)
        centers = r.T @ z / r.sum(0).clamp(min=1e-6).unsqueeze(1)  # r is (n, K)
        if self.whiten:
            residual = (z - centers[r.argmax(1)]).cpu().numpy()
            # Shrunk: few samples in many dimensions show directions without spread that have some.
            with warning_filters:
                covariance, _ = ledoit_wolf(residual, assume_centered=True)
            # Clusters of copies have no spread but rounding, which is no scale.
            if covariance.trace() < ROUNDING * z.square().sum(1).mean().item():
                covariance[:] = 0
            module.latent_map.whiten(z.mean(0), torch.from_numpy(covariance))
            centers = module.latent_map(centers)
        module.centers.copy_(centers)
        run.memory.update(p=r, labels=r.argmax(1), step=0, kept=kept)

    def _look_in_data(
        self, run: Run, r: Tensor, information: NeighborInformation
    ) -> tuple[Tensor, bool]:
        """The start r in the embedding, or where "auto" is asked for a better one in the data; and
        whether it is one that the embedding does not hold."""
        if not (isinstance(self.init, str) and self.init == "auto"):
            return r, False
        X = run.rows.X
        if len(self.input_shape_) == 1:
            r = compare_with_components(r, X, run.rng, information)
            r = compare_with_kmeans(r, X, run.rng, run.information)
        found = whitened_start(r.argmax(1), X, self.n_clusters, run.rng, information)
        if found is None:
            return r, False
        r, run.information.replacement = found
        return r, True

    def _self_train(self, run: Run) -> None:
        module, net = run.module, run.net
        warp = make_augmentation(self.augment, run.generator)
        # Clusters that the embedding does not hold are learned as they are: a target made from it
        # would undo them.
        kept = run.memory["kept"]
        length = KEPT_TRAINING if kept else self._schedules(len(run.rows))[1]
        epochs = resolve_epochs(self.max_epochs, run, **length)
        per_epoch, quarter = steps_per_epoch(run), math.ceil(epochs * steps_per_epoch(run) / 4)
        interval = self.update_interval or min(per_epoch, quarter)
        warmup = quarter if self.warmup_epochs == "auto" else self.warmup_epochs * per_epoch
        memory = run.memory

        def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
            now = memory["step"]
            memory["step"] += 1
            if not kept and now >= warmup and (now - warmup) % interval == 0:
                memory["p"], memory["labels"], changed = self._update_target(run, memory["labels"])
                if now > warmup and changed < self.tol:
                    net.stop("converged")
            # A warped image is to be given back upright: the embedding need not hold the warp.
            seen = x if warp is None else warp(x)
            code, drawn, divergence = module.draw(seen, run.generator)
            p = memory["p"].index_select(0, sent(index, x.device))
            log_q = module.soft_assign(module.latent_map(code), log=True)
            losses, weight = {"kl": assignment_kl(p, log_q).mean()}, self.clustering_weight
            loss = weight * losses["kl"]
            if weight < 1:  # DEC does without the decoder
                losses["reconstruction"] = module.reconstruction_loss(x, drawn, divergence, log_q)
                loss = loss + (1 - weight) * losses["reconstruction"]  # λ KL(P‖Q) + (1 - λ) L_r
            net.minimize(loss)
            return {"loss": loss} | losses

        schedule = {"epochs": epochs, "lr": self.lr, "lr_decay": self.lr_decay}
        run.end(train_phase(run, "cluster", module.parameters(), step, **schedule))
        z = run.map(module.embed)
        run.labels = self._revive(run, z).argmax(1)
        self._finish(run, z)

    def _update_target(self, run: Run, labels: Tensor) -> tuple[Tensor, Tensor, float]:
        """Target and labels of the whole data, and the share of labels that changed."""
        q = self._revive(run, run.map(run.module.embed))
        new = q.argmax(1)
        changed = (new != labels).double().mean().item()
        run.net.history.record("label_change", changed)
        run.net.note("cluster_sizes", torch.bincount(new, minlength=q.shape[1]).tolist())
        return target_distribution(q, self.target, self.focus), new, changed

    @torch.no_grad()
    def _revive(self, run: Run, z: Tensor) -> Tensor:
        """Put the centre of every empty cluster on the sample that is worst served; return q."""
        module = run.module

        def restart(cluster: int, q: Tensor) -> bool:
            distances = (
                # By products of matrices, that of a sample to itself is not 0.
                torch.cdist(part, module.centers, compute_mode="donot_use_mm_for_euclid_dist")
                for part in parts(z)
            )
            distance = torch.cat([part.amin(1) for part in distances])
            worst = distance.argmax()
            if distance[worst] == 0:  # no distinct sample is left
                return False
            module.centers[cluster] = z[worst]
            return True

        def assign() -> Tensor:
            return soft_assign(module, z)

        return revive_empty(assign(), assign, restart)
