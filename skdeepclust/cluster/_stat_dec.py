"""StatDEC: deep embedded clustering with statistics pooling and frequency-aware targets.

Rezaei, Dorigatti, Ruegamer and Bischl, "Joint Debiased Representation Learning and Imbalanced Data
Clustering" (arXiv 2109.05232, earlier "Learning Statistical Representation with Joint Deep Embedded
Clustering").
"""

from __future__ import annotations

import itertools
from numbers import Integral, Real

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from .._sklearn_compat import HasMethods, Interval, StrOptions
from ..networks import LatentMap, Standardize, StatisticsPooling, make_autoencoder
from ..objectives import (
    assignment_kl,
    reconstruction_error,
    student_t_assignment,
    target_distribution,
)
from ..training import INFERENCE_BATCH, make_augmentation
from ._base import BaseDeepClusterer, ClusteringModule, ReconstructionMixin, Run
from ._phases import resolve_epochs, standardize_rows, steps_per_epoch, train_phase
from ._pretraining import pretrain_end_to_end, pretrain_layer_wise
from ._revival import revive_empty
from ._start import start_responsibilities


class StatDECModule(ClusteringModule):
    """Autoencoder, centres in its embedding, and a pooling layer in its decoder."""

    centers: Tensor

    def __init__(
        self,
        standardize: Standardize,
        autoencoder: nn.Module,
        latent_dim: int,
        n_clusters: int,
        alpha: float,
        pooling: StatisticsPooling | None,
    ):
        super().__init__()
        self.standardize = standardize
        self.autoencoder = autoencoder
        self.latent_map = LatentMap(latent_dim)
        self.centers = nn.Parameter(torch.zeros(n_clusters, latent_dim))
        self.alpha = alpha
        self.pooling = pooling

    # ---- in standardised units, for training

    def encode(self, x: Tensor) -> Tensor:
        return self.latent_map(self.autoencoder.encode(x))

    def soft_assign(self, z: Tensor) -> Tensor:
        return student_t_assignment(z, self.centers, self.alpha)

    def reconstruct(self, z: Tensor, labels: Tensor) -> Tensor:
        code = self.latent_map.inverse(z)
        if self.pooling is None:
            return self.autoencoder.decode(code)
        hidden = self.pooling(self.autoencoder.decode_hidden(code), labels)
        return self.autoencoder.decode_output(hidden)

    # ---- in the user's units, for inference

    def embed(self, x: Tensor) -> Tensor:
        return self.encode(self.standardize(x))

    def assign(self, x: Tensor) -> Tensor:
        return self.soft_assign(self.embed(x))

    def decode(self, z: Tensor) -> Tensor:
        return self.standardize.inverse(self.reconstruct(z, self.soft_assign(z).argmax(1)))

    def score(self, x: Tensor) -> Tensor:
        z = self.embed(x)
        x_hat = self.reconstruct(z, self.soft_assign(z).argmax(1))
        return -reconstruction_error(self.standardize(x), x_hat)

    def cluster_centers(self) -> Tensor:
        return self.centers

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        self.centers.copy_(self.centers[order])
        if self.pooling is not None:
            self.pooling.reorder(order)


def parts(z: Tensor) -> tuple[Tensor, ...]:
    """Rows in parts: distances to all centres take n_clusters times their memory."""
    return z.split(INFERENCE_BATCH)


def soft_assign(module: StatDECModule, z: Tensor) -> Tensor:
    return torch.cat([module.soft_assign(part) for part in parts(z)])


# What the paper trains with, where it differs from our defaults. The numbers of epochs and the
# batch size are ours: they make some 55,000 joint steps on MNIST, so that its rate falls twice.
PAPER_SETTINGS = {
    "mnist": {
        "n_clusters": 10,
        "batch_size": 256,
        "pretrain": "layer_wise",
        "pretrain_epochs": 200,
        "max_epochs": 200,
        "lr_decay": 20_000,
        "init": "kmeans",
        "warmup_epochs": 0,
        "clustering_weight": 0.1,
        "target": "printed",
        "whiten": False,
    }
}


class StatDEC(ReconstructionMixin, BaseDeepClusterer):
    """Deep embedded clustering with statistics pooling and frequency-aware targets.

    An autoencoder is trained on reconstruction, its embedding is clustered, and then both are
    trained together on ``L = λ KL(P‖Q) + (1 - λ) L_r`` (eq. 1, 2 of [1]_): Q are the soft
    assignments to the cluster centres by a Student's t kernel (eq. 3), P a sharpened form of them
    (eq. 4, 5), L_r the reconstruction error. A pooling layer in the decoder tells it what the
    cluster of each sample looks like (eq. 6).

    Inputs are centred and divided by one number inside the network, so that L_r is the share of
    the data's variance that is lost, whatever the units; which features weigh more remains the
    units' choice, as in PCA: put a StandardScaler in front where they mean nothing.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K.
    network : {"mlp"} or callable, default='mlp'
        Autoencoder, or a factory ``(input_shape, latent_dim) -> nn.Module`` whose module has
        ``encode(x)`` and ``decode(z)``.
    hidden_dims : sequence of int, default=(500, 500, 1000)
        Widths of the hidden layers of "mlp"; the decoder has them in reverse. Not used by a
        factory.
    latent_dim : int, default=10
        Width of the embedding.
    input_shape : (int, int, int) or None, default=None
        ``(channels, height, width)`` into which the rows of a 2-D X fold; X of shape
        (n_samples, C, H, W) needs none.
    pretrain : {"end_to_end", "layer_wise"}, default='end_to_end'
        Train the autoencoder whole, or first layer by layer with dropout 0.2, each for
        ``pretrain_epochs``, as the paper does.
    pretrain_epochs : int >= 0 or "auto", default='auto'
        "auto" makes 2,000 training steps, but at least 15 and at most 100 epochs.
    max_epochs : int >= 1 or "auto", default='auto'
        Epochs of the joint training. "auto" makes 600 training steps, but at least 10 and at most
        40 epochs.
    batch_size : int >= 2 or "auto", default='auto'
        Samples per step. "auto" is 256, less for fewer than 6,400 samples, at least 32.
    lr : float, default=0.001
        Learning rate of Adam, in both phases.
    lr_decay : {"cosine", "constant"} or int, default='cosine'
        Course of the rate within a phase: half a cosine down to 0, none, or a division by 10 every
        so many steps.
    init : {"gmm", "kmeans"} or clusterer, default='gmm'
        Where the clusters start: "gmm" is what 32 Gaussian mixtures with more components than
        clusters agree on, "kmeans" the best of 20 runs of k-means; or a scikit-learn clusterer
        that finds ``n_clusters`` clusters in the embedding.
    n_init : int, default=1
        Whole restarts; the one with the best unsupervised objective wins.
    warmup_epochs : int >= 0, default=3
        Joint epochs in which P are the responsibilities of the start.
    clustering_weight : float in [0, 1], default=0.5
        λ. The paper has 0.1, for a reconstruction error in units of its own.
    degrees_of_freedom : float > 0, default=1.0
        α of the Student's t kernel.
    target : {"dec", "assigned", "posterior", "printed"}, default='dec'
        What the squared assignments are divided by: DEC's soft frequency u [2]_ ("dec"), or
        ``u + v`` with v, the part of hard and rare samples, summed over the samples assigned to
        the cluster ("assigned"), over all samples by their share ("posterior"), or over all
        samples as printed ("printed"). See Notes.
    focus : float >= 0, default=2.0
        γ of eq. 5; without effect for "dec".
    statistics_pooling : bool, default=True
        Put the pooling layer into the decoder.
    whiten : bool, default=True
        Scale the embedding at the start so that clusters have on average a unit covariance, which
        is the scale of the Student's t kernel.
    update_interval : int >= 1 or None, default=None
        Training steps between updates of P and of the labels, over the whole data; None is once
        an epoch.
    augment : {"affine", "strong_affine", "image"}, callable or None, default=None
        For images, in the joint training: a warped batch is to be assigned and reconstructed as if
        it were not warped. "affine" rotates, scales and shifts a little, "strong_affine" does so
        further and shears, "image" is "affine" and a change of colours; a callable maps a batch
        (n, C, H, W) to another.
    tol : float in [0, 1), default=0.001
        Training stops when a smaller share of the labels changes between two updates.
    random_state : int, RandomState instance or None, default=None
        Determines everything that is random.
    verbose : int, default=0
        Above 0: one progress line per phase.
    callbacks : list of skorch callbacks or None, default=None
        Told of every phase, epoch, batch and gradient.
    device : str or torch.device, default='auto'
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps".

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training sample; there are no gaps.
    cluster_centers_ : ndarray of shape (n_clusters, latent_dim), float32
        Centres in the embedding.
    cluster_sizes_ : ndarray of shape (n_clusters,), int64
        Training samples in each cluster.
    n_iter_ : int
        Epochs of the joint training that were run.
    converged_ : bool
        Whether it ended by ``tol``.
    stop_reason_ : str
        "converged", "max_epochs" or "callback".
    restart_scores_ : ndarray of shape (n_init,)
        Unsupervised objective of each restart, the negative joint loss; higher is better.
    history_ : skorch.history.History
        A dict per epoch: phase, train_loss, kl, reconstruction, label_change, cluster_sizes, dur.
    module_ : torch.nn.Module
        The trained network.
    input_shape_ : tuple of int
        Shape of one sample as the network sees it.
    n_features_in_ : int
        Features of X; for images C times H times W.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had string ones.

    See Also
    --------
    sklearn.mixture.GaussianMixture : A mixture in the space of the features.

    Notes
    -----
    The printed denominator of eq. 4 does not normalise; rows are normalised to sum to 1. The sum
    of eq. 5 over all samples makes v largest for the rarest cluster, from which the target then
    takes weight ("printed"). None of the three readings truly helps on imbalanced data: against
    "dec" they lost NMI and recall on long-tailed MNIST at ratio 10, were level at ratio 100, and on
    long-tailed digits only "printed" and "posterior", under which clusters died, gained accuracy
    (three seeds each). Figures are in ``benchmarks/results/stat_dec.md``, further differences from
    the paper in ``docs/stat_dec.md``.

    References
    ----------
    .. [1] M. Rezaei, E. Dorigatti, D. Ruegamer and B. Bischl, "Joint Debiased Representation
       Learning and Imbalanced Data Clustering", arXiv 2109.05232.
    .. [2] J. Xie, R. Girshick and A. Farhadi, "Unsupervised Deep Embedding for Clustering
       Analysis", ICML 2016.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust import StatDEC
    >>> X, y = make_blobs(200, centers=3, n_features=6, random_state=0)
    >>> model = StatDEC(n_clusters=3, hidden_dims=(32, 32), latent_dim=3, random_state=0).fit(X)
    >>> sorted(model.cluster_sizes_.tolist())
    [66, 67, 67]
    >>> model.transform(X).shape
    (200, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **BaseDeepClusterer._parameter_constraints,
        "hidden_dims": ["array-like"],
        "pretrain": [StrOptions({"end_to_end", "layer_wise"})],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "init": [StrOptions({"kmeans", "gmm"}), HasMethods("fit_predict")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
        "clustering_weight": [Interval(Real, 0, 1, closed="both")],
        "degrees_of_freedom": [Interval(Real, 0, None, closed="neither")],
        "target": [StrOptions({"dec", "printed", "assigned", "posterior"})],
        "focus": [Interval(Real, 0, None, closed="left")],
        "statistics_pooling": ["boolean"],
        "whiten": ["boolean"],
        "update_interval": [Interval(Integral, 1, None, closed="left"), None],
    }

    _paper_settings = PAPER_SETTINGS

    def __init__(
        self,
        n_clusters=8,
        *,
        network="mlp",
        hidden_dims=(500, 500, 1000),
        latent_dim=10,
        input_shape=None,
        pretrain="end_to_end",
        pretrain_epochs="auto",
        max_epochs="auto",
        batch_size="auto",
        lr=1e-3,
        lr_decay="cosine",
        init="gmm",
        n_init=1,
        warmup_epochs=3,
        clustering_weight=0.5,
        degrees_of_freedom=1.0,
        target="dec",
        focus=2.0,
        statistics_pooling=True,
        whiten=True,
        update_interval=None,
        augment=None,
        tol=1e-3,
        random_state=None,
        verbose=0,
        callbacks=None,
        device="auto",
    ):
        self.n_clusters = n_clusters
        self.network = network
        self.hidden_dims = hidden_dims
        self.latent_dim = latent_dim
        self.input_shape = input_shape
        self.pretrain = pretrain
        self.pretrain_epochs = pretrain_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_decay = lr_decay
        self.init = init
        self.n_init = n_init
        self.warmup_epochs = warmup_epochs
        self.clustering_weight = clustering_weight
        self.degrees_of_freedom = degrees_of_freedom
        self.target = target
        self.focus = focus
        self.statistics_pooling = statistics_pooling
        self.whiten = whiten
        self.update_interval = update_interval
        self.augment = augment
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.device = device

    # ------------------------------------------------------------------ the method

    def _build_module(self, run: Run) -> StatDECModule:
        autoencoder = make_autoencoder(
            self.network, self.input_shape_, self.latent_dim, self.hidden_dims
        )
        pooling = None
        if self.statistics_pooling:
            width = getattr(autoencoder, "hidden_features", None)
            if width is None:
                raise ValueError(
                    "statistics_pooling=True needs a network with decode_hidden, decode_output and "
                    f"hidden_features; that of network={self.network!r} has no hidden_features: "
                    "add them, or set statistics_pooling=False"
                )
            pooling = StatisticsPooling(width, self.n_clusters)
        return StatDECModule(
            standardize_rows(run.rows),
            autoencoder,
            self.latent_dim,
            self.n_clusters,
            self.degrees_of_freedom,
            pooling,
        )

    def _train(self, run: Run) -> None:
        self._pretrain(run)
        responsibilities = self._start(run)
        self._self_train(run, responsibilities)

    def _pretrain(self, run: Run) -> None:
        epochs = resolve_epochs(self.pretrain_epochs, run, steps=2000, at_least=15, at_most=100)
        train = {"end_to_end": pretrain_end_to_end, "layer_wise": pretrain_layer_wise}
        train[self.pretrain](run, epochs, self.lr, self.lr_decay)

    @torch.no_grad()
    def _start(self, run: Run) -> Tensor:
        """Cluster the embeddings, scale them to the clusters, and put the centres there."""
        module = run.module
        z = run.map(module.embed)
        r = torch.from_numpy(
            start_responsibilities(self.init, z.cpu().numpy(), self.n_clusters, run.rng)
        ).to(run.device)  # (n, K)
        centers = r.T @ z / r.sum(0).clamp(min=1e-6).unsqueeze(1)
        if self.whiten:
            residual = (z - centers[r.argmax(1)]).cpu().numpy()
            # Shrunk: few samples in many dimensions show directions without spread that have some.
            covariance, _ = ledoit_wolf(residual, assume_centered=True)
            covariance = torch.as_tensor(covariance, device=run.device)
            module.latent_map.whiten(z.mean(0), covariance)
            centers = module.latent_map(centers)
        module.centers.copy_(centers)
        return r

    def _self_train(self, run: Run, responsibilities: Tensor) -> None:
        module, net = run.module, run.net
        warp = make_augmentation(self.augment, run.generator)
        epochs = resolve_epochs(self.max_epochs, run, steps=600, at_least=10, at_most=40)
        interval = self.update_interval or steps_per_epoch(run)
        warmup = self.warmup_epochs * steps_per_epoch(run)
        p, labels = responsibilities, responsibilities.argmax(1)
        steps = itertools.count()

        def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
            nonlocal p, labels
            now = next(steps)
            if now >= warmup and (now - warmup) % interval == 0:
                p, labels, changed = self._update_target(run, labels)
                if now > warmup and changed < self.tol:
                    net.stop("converged")
            clean = module.standardize(x)
            seen = clean if warp is None else module.standardize(warp(x))
            z = module.encode(seen)
            q = module.soft_assign(z)
            kl = assignment_kl(p[index.to(p.device)], q).mean()
            # A warped image is to be given back upright: the embedding need not hold the warp.
            x_hat = module.reconstruct(z, q.argmax(1))
            reconstruction = reconstruction_error(clean, x_hat).mean()
            weight = self.clustering_weight
            loss = weight * kl + (1 - weight) * reconstruction  # eq. 1
            net.minimize(loss)
            return {"loss": loss, "kl": kl, "reconstruction": reconstruction}

        schedule = {"epochs": epochs, "lr": self.lr, "lr_decay": self.lr_decay}
        run.end(train_phase(run, "cluster", module.parameters(), step, **schedule))
        self._revive(run, run.map(module.embed))

    def _update_target(self, run: Run, labels: Tensor) -> tuple[Tensor, Tensor, float]:
        """Target and labels of the whole data, and the share of labels that changed."""
        q = self._revive(run, run.map(run.module.embed))
        new = q.argmax(1)
        changed = (new != labels).double().mean().item()
        run.net.history.record("label_change", changed)
        run.net.history.record("cluster_sizes", torch.bincount(new, minlength=q.shape[1]).tolist())
        return target_distribution(q, self.target, self.focus), new, changed

    @torch.no_grad()
    def _revive(self, run: Run, z: Tensor) -> Tensor:
        """Put the centre of every empty cluster on the sample that is worst served; return q."""
        module = run.module

        def restart(cluster: int, q: Tensor) -> bool:
            distance = torch.cat([torch.cdist(part, module.centers).amin(1) for part in parts(z)])
            worst = distance.argmax()
            if distance[worst] == 0:  # no distinct sample is left
                return False
            module.centers[cluster] = z[worst]
            return True

        return revive_empty(self.n_clusters, lambda: soft_assign(module, z), restart)

    def _objective(self, run: Run) -> float:
        """The negative joint loss over the whole data (eq. 1), its target that of its own q."""
        module = run.module
        z = run.map(module.embed)
        with torch.no_grad():
            q = soft_assign(module, z)
            kl = assignment_kl(target_distribution(q, self.target, self.focus), q).mean()
        reconstruction = -run.map(module.score).mean()
        weight = self.clustering_weight
        return -(weight * kl + (1 - weight) * reconstruction).item()
