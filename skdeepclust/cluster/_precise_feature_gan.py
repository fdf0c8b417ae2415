"""PreciseFeatureGAN: generator, critic and classifier find the feature that separates clusters.

Gan, Dong, Zhou, Gao and Dong, "Learning the Precise Feature for Cluster Assignment" (IEEE
Transactions on Cybernetics).
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._sklearn_compat import Interval, StrOptions
from ..exceptions import GeneratorDivergenceWarning
from ..networks import Standardize, few_dimensions, make_gan
from ..objectives import (
    consistency_kl,
    critic_distance,
    deception_loss,
    discrimination_loss,
    entropy,
    gradient_penalty,
    information_loss,
    interpolate,
    staircase,
)
from ..training import AUGMENTATIONS, adam, make_augmentation, sent
from ._base import BaseDeepClusterer, ClusteringModule
from ._mixins import SamplingMixin
from ._neighbors import LEAST_SHARE, NEIGHBOR_POOL, neighbor_copies
from ._neural_mixture_em import borrowed_clusters, searchable
from ._phases import (
    cluster_means,
    cluster_shares,
    decay,
    resolve_epochs,
    standardize_rows,
    steps_per_epoch,
)
from ._projections import TOLERANCE, separated_clusters, separated_groups
from ._run import Run
from ._start_in_data import principal_start

# Adam's β, as in the paper.
BETAS = (0.5, 0.9)


class Game(NamedTuple):
    """How the three play: parameters of the same names, and the generator's steps."""

    adversarial_loss: str
    classification_weight: float
    critic_steps: int
    classifier_steps: int
    batch_size: int
    steps: int


# What "auto" stands for. The paper's where there are fewer dimensions than clusters, and no start:
# gaps are narrow there to a critic that has had few steps or whose slope is held to 0.
PAPERS_GAME = Game(
    adversarial_loss="wasserstein",
    classification_weight=10.0,
    critic_steps=5,
    classifier_steps=4,
    batch_size=128,
    steps=500,
)
OUR_GAME = Game(
    adversarial_loss="nonsaturating",
    classification_weight=1.0,
    critic_steps=1,
    classifier_steps=1,
    batch_size=64,
    steps=8_000,
)
# The most passes over the data that these steps may take.
MOST_EPOCHS = 1_000
# Normal numbers beside the cluster: so many, but two for up to two features and more clusters.
NOISE_DIM, PLANE = 16, 2
# The most steps where there is a start: for vectors the clusters are those of twice as many, and
# what is generated comes about as near. Images that are generated are worse in fewer.
STEPS_FROM_START = {"vectors": 1_000, "images": 2_000}

# Real samples that the classifier sees in a step beside a copy of each. In as few as 64 the shares
# of ten clusters are mostly chance.
N_PAIRS = 256
# Share of the training, its last, in which the classifier learns from copies alone, where they are
# told by information: the game has found the clusters, but its samples keep their borders coarse.
SETTLING = 0.2
# There neighbours come from among so many: they lie nearer, and are of another class less often.
SETTLING_POOL = 20_000
# The entropy of answers for real samples takes a pass that trains nothing: not at every step.
WATCHED_EVERY = 10
# A run has diverged where the critic's distance grew by so much from its least ...
DIVERGENCE = 2.0
# ... over parts of this share of the training, while the classifier is as sure as this of fakes.
PART, SURE = 0.1, 0.99


class PreciseFeatureModule(ClusteringModule):
    """Three networks on standardised samples; the classifier is what clusters."""

    codes: Tensor
    shares: Tensor
    centers: Tensor
    bounds: Tensor

    def __init__(
        self,
        standardize: Standardize,
        networks: tuple[nn.Module, nn.Module, nn.Module],
        noise_dim: int,
        shares: Tensor,
        bounds: tuple[float, float],
    ):
        super().__init__()
        self.standardize, self.noise_dim = standardize, noise_dim
        self.generator, self.critic, self.classifier = networks
        n_clusters = len(shares)
        self.register_buffer("codes", torch.arange(n_clusters))  # the networks' name of a cluster
        self.register_buffer("shares", shares)
        self.register_buffer("centers", torch.zeros(n_clusters, self.classifier.hidden_features))
        self.register_buffer("bounds", torch.tensor(bounds))

    # ---- in training, on standardised samples

    def fake(self, codes: Tensor, noise: Tensor) -> Tensor:
        """Samples of G(y, z), (n,) and (n, noise_dim) -> (n, *input_shape)."""
        one_hot = F.one_hot(codes, len(self.codes)).to(noise)
        return self.generator(torch.cat([one_hot, noise], 1))

    def value(self, x: Tensor) -> Tensor:
        """The critic's value, (n,)."""
        # Its head as a sum: a matrix product of one column rounds by a sample's place in the batch.
        head = self.critic.head
        return (self.critic.hidden(x) * head.weight[0]).sum(1) + head.bias

    # ---- fitted, on samples in the user's units

    def embed(self, x: Tensor) -> Tensor:
        return self.classifier.hidden(self.standardize(x))

    def assign(self, x: Tensor) -> Tensor:
        return self.classifier(self.standardize(x))[:, self.codes].softmax(1)

    def score(self, x: Tensor) -> Tensor:
        return self.value(self.standardize(x))

    def generate(self, labels: Tensor, noise: Tensor) -> Tensor:
        x = self.standardize.inverse(self.fake(self.codes[labels], noise))
        return x.clamp(*self.bounds)

    def cluster_centers(self) -> Tensor:
        return self.centers

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        for values in (self.codes, self.shares, self.centers):
            values.copy_(values[order])


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """No gradient reaches these for the duration."""
    for module in modules:
        module.requires_grad_(False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(True)


# What the paper trains with, where it differs from our defaults. Its 900,000 steps of the generator
# on 70,000 digits, and 30,000 on 400 faces, in passes over the data; they are meant for a GPU.
PAPER_SETTINGS = {
    "mnist": {
        "n_clusters": 10,
        "cluster_prior": "uniform",
        "init": "random",
        "augment": None,
        "network": "cnn",
        "hidden_dims": (64, 128, 256),
        "noise_dim": 4,
        "critic_steps": 5,
        "classifier_steps": 4,
        "max_epochs": 4_110,
        "batch_size": 64,
        "lr": 1e-4,
        "lr_decay": "constant",
        "adversarial_loss": "wasserstein",
        "penalty_weight": 100.0,
        "classification_weight": 10.0,
        "growth_interval": 30_000,
    },
}
PAPER_SETTINGS["orl"] = {
    **PAPER_SETTINGS["mnist"],
    "n_clusters": 40,
    "max_epochs": 15_000,
    "growth_interval": 1_000,
}


class PreciseFeatureGAN(SamplingMixin, BaseDeepClusterer):
    """Clustering by generating each cluster.

    A generator makes samples from the number of a cluster and noise, a critic sees to it that they
    look like the data, and a classifier recovers the number from the sample (eq. 5 to 7 of [1]_).
    What the number comes to stand for is the feature whose values fall into clusters, and the
    classifier, which in the paper learns from generated samples alone, clusters the data by it.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K.
    network : {"mlp", "cnn"}, default='mlp'
        All three networks: dense layers, or for images of at least 8 x 8 the paper's 5 x 5
        convolutions down to maps of 4 x 4, whose steps take many times as long.
    hidden_dims : sequence of int or None, default=None
        "mlp": widths of the hidden layers, for None (256, 256), but (128, 128, 128) for fewer
        features than clusters. "cnn": channels of the maps
        from the image down, for None (16, 32, 64), a quarter of the paper's, with further ones
        before them for images of more than 32 pixels.
    noise_dim : int >= 0 or "auto", default='auto'
        Standard normal numbers beside the cluster, which say what a sample looks like within it.
        "auto" is 16, but 2 for one or two features and more clusters than these.
    noise_rise : float in [0, 1], default=0.0
        Share of the training in which the noise grows from nothing to its full size. If clusters
        are well separated, each number first finds one of them, and none covers two later. But if
        only one feature separates them while others vary more, numbers that begin without noise
        come to stand for that variation.
    input_shape : (int, int, int) or None, default=None
        ``(channels, height, width)`` into which the rows of a 2-D X fold; X of shape
        (n_samples, C, H, W) needs none.
    resolution : {"auto", "full"} or int >= 8, default='auto'
        Images are averaged over squares of pixels before anything looks at them. An integer is the
        number of pixels that both sides keep at least. "auto" keeps 28 a side and nine tenths of
        the variance between images, and averages neither images with a side below 56 nor any where
        ``network`` or ``augment`` is a callable. "full" averages nothing. A single pixel of images
        so large is not found either way.
    cluster_prior : {"auto", "uniform"} or array-like of shape (n_clusters,), default='auto'
        Shares of the clusters, in which their numbers are drawn; scaled to sum to 1. "auto" is
        equal shares, as in the paper, but those of the groups that ``init`` found where they
        differ.
    adversarial_loss : {"wasserstein", "nonsaturating", "auto"}, default='auto'
        What critic and generator train on. "wasserstein" is the paper's (eq. 5). "nonsaturating" is
        Goodfellow's: the critic's value is the log-odds that a sample is real, and its slope is
        held to 0 at the data [2]_. "auto" is "nonsaturating", but "wasserstein" for fewer features
        than clusters where there is no start.
    penalty_weight : float >= 0, default=1.0
        λ, the weight of the critic's gradient penalty; of "nonsaturating", half of it is.
    classification_weight : float >= 0 or "auto", default='auto'
        η, the weight of the classifier's loss in the generator's, at the start. "auto" is 1, but
        10, as in the paper, for fewer features than clusters where there is no start.
    weight_growth : float >= 1, default=1.2
        What η is multiplied by every ``growth_interval`` steps of the generator.
    growth_interval : int >= 1 or None, default=None
        τ; None leaves η as it is.
    critic_steps : int >= 1 or "auto", default='auto'
        Steps of the critic for each of the generator. "auto" is 1, but 5, as in the paper, for
        fewer features than clusters where there is no start.
    classifier_steps : int >= 1 or "auto", default='auto'
        Steps of the classifier for each of the generator, on the samples that the critic saw.
        "auto" is 1, but 4, as in the paper, for fewer features than clusters where there is no
        start.
    init : {"auto", "projection", "random"}, default='auto'
        Groups that the classifier is also taught:

        - "random": none. Generator and classifier begin from nothing, as in the paper;
        - "projection": well separated groups, in the shares of ``cluster_prior``. They are those
          of a Gaussian mixture on principal components, if it is sure of them and neighbours
          hardly ever differ (columns should be on one scale for this); or else they are separated
          along one direction, an independent component of at most 5,000 samples (FastICA; not
          with fewer features than clusters). With ``cluster_prior="auto"`` groups of other shares
          are taken too, along a direction where they are separated further. If there are none it
          is "random";
        - "auto": "projection", or if that finds none and ``cluster_prior="auto"``, the clusters
          of :class:`NeuralMixtureEM`, which need not be separated: for vectors, and where copies
          are neighbours, those that it is given; for other images those that it ends with, trained
          on copies by the warps of ``augment``. Images have none without copies, or for more than
          25 clusters. If copies predict next to nothing of those found, and ``augment="auto"``,
          they have clusters along principal components of equal variance, provided that neighbours
          there predict these better than pixels do.
    augment : {"auto", "neighbors", "warped_neighbors", "affine", "strong_affine", "shifted", \
            "image", "rotated_image"}, callable or None, default='auto'
        What makes the copies of samples for which the classifier shall give the same answer.
        "neighbors" replaces a sample by one of the ten nearest, perhaps itself, among at most
        5,000, and 20,000 while the classifier settles. The others are for images: the names that
        :class:`NeuralMixtureEM` knows, and a callable on batches (n, C, H, W), warp the sample;
        "warped_neighbors" warps one of its neighbours by "strong_affine". The generated samples
        that the classifier learns from go through the same warp. "auto" is "warped_neighbors" for
        images and "neighbors" for others. It is None where ``init`` found groups along a single
        direction, which copies need not share, and for fewer features than clusters where there is
        no start. None, as in most of the paper: no copies.
    consistency : {"information", "kl"}, default='information'
        The loss on pairs of a real sample and its copy, 256 a step: ``H(c | c') +
        KL(c ‖ cluster_prior)`` of their clusters, which is smallest if the answers are certain,
        the same for both, and spread over the clusters [3]_; or ``KL(p ‖ q)`` of the two answers,
        which the same answer for everything satisfies.
    consistency_weight : float >= 0, default=1.0
        Weight of that loss beside the one on generated samples, up to which it rises from 0. In the
        last fifth of the training the classifier settles: it learns from "information", and from
        the clusters of a start, alone, while the generator plays on.
    max_epochs : int >= 1 or "auto", default='auto'
        Passes over the data. A step of the generator takes ``critic_steps * batch_size`` samples;
        "auto" makes at most 1,000 passes: 8,000 such steps, from a start 2,000 for images and 1,000
        for vectors; without a start 500 for fewer features than clusters. Where the classifier
        settles a quarter more.
    batch_size : int >= 2 or "auto", default='auto'
        Samples per step of each network; drawn anew from smaller data. "auto" is 64, but 128 for
        fewer features than clusters where there is no start.
    lr : float, default=0.001
        Learning rate of the three Adams.
    lr_decay : {"cosine", "constant"} or int, default='cosine'
        Course of the rates: half a cosine down to 0, and another where the classifier settles;
        none; or a division by 10 every so many steps.
    n_init : int, default=1
        Whole restarts; the one with the best unsupervised objective wins.
    n_jobs : int or None, default=None
        Number of processes for restarts, in joblib's sense. None runs them one after another in
        this process, unless a joblib context asks for more and there are no ``callbacks`` and no
        ``checkpoint``. The processes share the cores; with fewer threads sums may be rounded
        differently.
    random_state : int, RandomState instance or None, default=None
        Determines everything that is random.
    verbose : int, default=0
        Above 0: one progress line, after those of what finds the start.
    callbacks : list of skorch callbacks or None, default=None
        Told of every epoch, batch and gradient; not of what finds the start.
    checkpoint : str, path-like, Checkpoint or None, default=None
        File in which the fit keeps its state, every five minutes or as a
        :class:`~skdeepclust.Checkpoint` says, once it has its start. If the file exists, a fit with
        the same data and parameters goes on from it, and one with others raises an error.
    device : str or torch.device, default='auto'
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1".

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training sample; there are no gaps.
    cluster_centers_ : ndarray of shape (n_clusters, n_hidden), float32
        Mean embedding of each cluster, in the classifier's last hidden layer; of "mlp" as wide as
        the last of ``hidden_dims``.
    cluster_sizes_ : ndarray of shape (n_clusters,), int64
        Training samples in each cluster.
    n_iter_ : int
        Passes over the data that were run.
    converged_ : bool
        False: adversarial losses do not settle, and training ends with its passes.
    stop_reason_ : str
        "max_epochs", "callback" or "interrupted" (by Ctrl-C).
    restart_scores_ : ndarray of shape (n_init,), of fewer after an interruption
        How well the cluster of a sample and that of a nearest neighbour in the data predict each
        other, for each restart, in nats; higher is better.
    history_ : skorch.history.History
        A dict per epoch: phase, train_loss (the generator's), critic, distance, penalty,
        classifier, fake_accuracy, entropy (of the classifier's answers for the data, in nats, at
        every tenth step), classification_weight, dur; where there are copies also consistency;
        where there was a start also start, the classifier's loss on its groups.
    module_ : torch.nn.Module
        The trained networks.
    input_shape_ : tuple of int
        Shape of one sample as the networks see it, of images at the ``resolution``.
    n_features_in_ : int
        Features of X; for images C times H times W.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had string ones.

    See Also
    --------
    NeuralMixtureEM : Clusters images in a minute or two where warped copies are the same thing.

    Notes
    -----
    ``score_samples`` is the critic's value: how much like the data a sample looks. It is comparable
    within one fit alone.

    With the default training it suits data of any dimension in which one feature has gaps. It
    clusters other tables and images as NeuralMixtureEM does, from whose clusters it starts, in up
    to six times the time for images and fourteen for tables. What it adds are samples of each
    cluster and a critic.

    Where there is a start, it is most of the result. In a short training generator and critic by
    themselves do not find one pixel of 64, but keep it where the start has found it; and with
    ``init="projection"`` some runs on all of MNIST leave two digits together. ``history_`` shows
    whether there was a start.

    Seeds differ; ``n_init=5`` keeps the best of five by a score that goes with accuracy in part.

    The paper's λ = 100 is for 900,000 steps. On the ring of eight blobs λ = 1 finds them within
    500, where λ = 10 loses some; figures, and where the method does not find what it should in so
    few steps, are in ``docs/notes/precise_feature_gan.md``.

    References
    ----------
    .. [1] Y. Gan, X. Dong, H. Zhou, F. Gao and J. Dong, "Learning the Precise Feature for Cluster
       Assignment", IEEE Transactions on Cybernetics, arXiv 2106.06159.
    .. [2] L. Mescheder, A. Geiger and S. Nowozin, "Which Training Methods for GANs do actually
       Converge?", ICML 2018.
    .. [3] X. Ji, J. F. Henriques and A. Vedaldi, "Invariant Information Clustering for Unsupervised
       Image Classification and Segmentation", ICCV 2019.

    Examples
    --------
    >>> from skdeepclust import PreciseFeatureGAN
    >>> from skdeepclust.datasets import make_gaussian_ring
    >>> X, y = make_gaussian_ring(400, random_state=0)
    >>> model = PreciseFeatureGAN(8, max_epochs=20, random_state=0).fit(X)
    >>> generated, labels = model.sample(5, cluster=2)
    >>> generated.shape
    (5, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **BaseDeepClusterer._parameter_constraints,
        "network": [StrOptions({"mlp", "cnn"})],
        "hidden_dims": ["array-like", None],
        "noise_dim": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "noise_rise": [Interval(Real, 0, 1, closed="both")],
        "cluster_prior": [StrOptions({"auto", "uniform"}), "array-like"],
        "adversarial_loss": [StrOptions({"nonsaturating", "wasserstein", "auto"})],
        "penalty_weight": [Interval(Real, 0, None, closed="left")],
        "classification_weight": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "weight_growth": [Interval(Real, 1, None, closed="left")],
        "growth_interval": [Interval(Integral, 1, None, closed="left"), None],
        "critic_steps": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "classifier_steps": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "init": [StrOptions({"auto", "projection", "random"})],
        "augment": [
            StrOptions({"auto", "neighbors", "warped_neighbors", *AUGMENTATIONS}),
            callable,
            None,
        ],
        "consistency": [StrOptions({"information", "kl"})],
        "consistency_weight": [Interval(Real, 0, None, closed="left")],
    }

    _paper_settings = PAPER_SETTINGS
    _vector_augmentations = ("auto", "neighbors")
    _why_empty = (
        "they have generated samples but none of the data; lower n_clusters, train longer or set "
        "n_init"
    )

    def __init__(
        self,
        n_clusters=8,
        *,
        network="mlp",
        hidden_dims=None,
        noise_dim="auto",
        noise_rise=0.0,
        input_shape=None,
        resolution="auto",
        cluster_prior="auto",
        adversarial_loss="auto",
        penalty_weight=1.0,
        classification_weight="auto",
        weight_growth=1.2,
        growth_interval=None,
        critic_steps="auto",
        classifier_steps="auto",
        init="auto",
        augment="auto",
        consistency="information",
        consistency_weight=1.0,
        max_epochs="auto",
        batch_size="auto",
        lr=1e-3,
        lr_decay="cosine",
        n_init=1,
        n_jobs=None,
        random_state=None,
        verbose=0,
        callbacks=None,
        checkpoint=None,
        device="auto",
    ):
        self.n_clusters = n_clusters
        self.network = network
        self.hidden_dims = hidden_dims
        self.noise_dim = noise_dim
        self.noise_rise = noise_rise
        self.input_shape = input_shape
        self.resolution = resolution
        self.cluster_prior = cluster_prior
        self.adversarial_loss = adversarial_loss
        self.penalty_weight = penalty_weight
        self.classification_weight = classification_weight
        self.weight_growth = weight_growth
        self.growth_interval = growth_interval
        self.critic_steps = critic_steps
        self.classifier_steps = classifier_steps
        self.init = init
        self.augment = augment
        self.consistency = consistency
        self.consistency_weight = consistency_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_decay = lr_decay
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device

    # ------------------------------------------------------------------ the method

    def _build_module(self, run: Run) -> PreciseFeatureModule:
        is_image, rows, noise_dim = len(self.input_shape_) == 3, run.rows, self._noise_dim()
        return PreciseFeatureModule(
            standardize_rows(rows, per_channel=is_image),
            make_gan(
                self.network,
                self.input_shape_,
                self.n_clusters + noise_dim,
                self.n_clusters,
                self.hidden_dims,
            ),
            noise_dim,
            self._given_shares(),
            # Pictures keep to the range of pictures.
            (float(rows.X.min()) * rows.scale, float(rows.X.max()) * rows.scale)
            if is_image
            else (-math.inf, math.inf),
        )

    def _few_dimensions(self) -> bool:
        return few_dimensions(self.input_shape_, self.n_clusters)

    def _alone_in_few(self, run: Run) -> bool:
        return self._few_dimensions() and "start" not in run.memory

    def _noise_dim(self) -> int:
        if self.noise_dim != "auto":
            return self.noise_dim
        in_the_plane = self._few_dimensions() and math.prod(self.input_shape_) <= PLANE
        return PLANE if in_the_plane else NOISE_DIM

    def _resolve_batch_size(self, n: int) -> int:
        return OUR_GAME.batch_size if self.batch_size == "auto" else int(self.batch_size)

    def _game(self, run: Run) -> Game:
        given = {name: getattr(self, name, "auto") for name in Game._fields}
        return (PAPERS_GAME if self._alone_in_few(run) else OUR_GAME)._replace(
            **{name: value for name, value in given.items() if value != "auto"}
        )

    def _given_shares(self) -> Tensor:
        return cluster_shares("cluster_prior", self.cluster_prior, self.n_clusters)

    def _train(self, run: Run) -> None:
        run.perform(self._seek, self._play, self._finish)

    def _seek(self, run: Run) -> None:
        """Clusters to begin with: that lie apart in the data, or along one direction of it, or in
        default of these those of NeuralMixtureEM."""
        memory, shares = run.memory, self._given_shares()
        # Beside the module's, which to read from a GPU would be to wait for it.
        memory["shares"] = shares.tolist()
        if self.init == "random":
            return
        unknown = isinstance(self.cluster_prior, str) and self.cluster_prior == "auto"
        # In fewer dimensions than clusters names by a single direction stand in the way of samples
        # that have to pass each other.
        few = self._few_dimensions()
        with run.net.progress_line("groups apart"):
            start = separated_clusters(
                run.rows, shares, run.information, run.rng, of_any_shares=unknown
            )
            if start is None and not few:
                start = separated_groups(run.rows, shares, run.rng, of_any_shares=unknown)
                memory["feature"] = start is not None
        if start is None and self.init == "auto" and unknown:
            start = self._borrowed_start(run)
        if start is None:
            return
        memory["start"] = start
        found = torch.bincount(start, minlength=self.n_clusters) / len(start)
        found = found.clamp(min=LEAST_SHARE / self.n_clusters)  # a search leaves some empty
        found /= found.sum()
        if unknown and (found - shares).abs().max() > TOLERANCE / self.n_clusters:
            memory["shares"] = found.tolist()
            run.module.shares.copy_(found)

    def _borrowed_start(self, run: Run) -> Tensor | None:
        """The clusters of NeuralMixtureEM: of vectors those that it keeps to, of images those that
        it finds by the same copies; None where there are none."""
        copies = self._copies(run)
        if len(self.input_shape_) == 1 or copies == "neighbors":
            X, information = run.rows.X, run.information
            with run.net.progress_line("start"):
                found = principal_start(X, self.n_clusters, run.rng, information, run.device)
        elif (
            copies is None
            or self.consistency_weight == 0
            or not searchable(self.n_clusters, len(run.rows))
        ):
            return None
        else:
            by = "auto" if self.augment == "auto" else self._warp(copies)
            found = borrowed_clusters(run, self.n_clusters, by)
        return None if found is None else found.cpu()

    def _play(self, run: Run) -> None:
        """Algorithm 1."""
        module, net, game = run.module, run.net, self._game(run)
        batch_size = int(game.batch_size)
        # A batch of the engine is what one step of the generator takes.
        net.batch_size = game.critic_steps * batch_size
        augment = self._copies(run)
        warp = self._make_warp(run, augment)
        draw_pairs = self._make_pairs(run, augment, warp)
        networks = {
            "generator": (module.generator, 1),
            "critic": (module.critic, game.critic_steps),
            "classifier": (module.classifier, game.classifier_steps),
        }
        share = 1 - SETTLING if draw_pairs and self._settles() else 1.0  # of the game
        wanted = game.steps
        if "start" in run.memory:
            kind = "images" if len(self.input_shape_) == 3 else "vectors"
            wanted = min(wanted, STEPS_FROM_START[kind])
        steps, most = (round(n / share) for n in (wanted, MOST_EPOCHS))
        epochs = resolve_epochs(self.max_epochs, run, steps=steps, at_least=1, at_most=most)
        n_steps = epochs * steps_per_epoch(run)
        self._require_weight(n_steps)
        played = math.ceil(share * n_steps)
        optimizers = {
            name: adam(network.parameters(), self.lr, betas=BETAS)
            for name, (network, _) in networks.items()
        }
        schedulers = {
            name: decay(optimizers[name], self.lr_decay, n_steps * each, again=played * each)
            for name, (_, each) in networks.items()
        }
        memory = run.remember(step=0, entropy=torch.zeros(()))

        def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
            number = memory["step"]
            memory["step"] += 1
            rising = self.noise_rise * n_steps
            noise_scale = number / rising if number < rising else 1.0
            x = module.standardize(x)
            fakes, losses = [], {}
            for part in self._parts(run, len(x), game.critic_steps, batch_size):
                real = x[sent(part, x.device)]
                fakes.append(self._draw(run, len(real), noise_scale))
                losses |= self._critic_step(run, real, fakes[-1][1])
            places, past, settling = index[part], min(1.0, number / played), number >= played
            taught = pairs = None
            if "start" in memory:
                taught = real, sent(memory["start"][places], x.device)
            if draw_pairs is not None:
                pairs = *draw_pairs(settling), past * self.consistency_weight
            for codes, fake in itertools.islice(itertools.cycle(fakes), game.classifier_steps):
                losses |= self._classifier_step(run, codes, warp(fake), taught, pairs, settling)
            if number % WATCHED_EVERY == 0:
                with torch.no_grad():
                    memory["entropy"] = entropy(module.classifier(real).softmax(1)).mean()
            losses["entropy"] = memory["entropy"]
            return self._generator_step(run, number, batch_size, noise_scale) | losses

        run.end(
            net.run_phase(
                "cluster",
                run.rows,
                step,
                optimizers=optimizers,
                schedulers=schedulers,
                epochs=epochs,
            )
        )
        self._warn_of_divergence(net.history, game)

    def _require_weight(self, n_steps: int) -> None:
        """Refuse a classification weight that grows beyond what float32 holds."""
        if self.growth_interval is None:
            return
        growths = (n_steps - 1) // self.growth_interval
        if growths * math.log(self.weight_growth) > math.log(torch.finfo(torch.float32).max):
            raise ValueError(
                f"weight_growth={self.weight_growth} and growth_interval={self.growth_interval} "
                f"multiply classification_weight {growths:,} times within the {n_steps:,} steps of "
                "the training, which float32 does not hold; use a longer growth_interval, or None"
            )

    def _copies(self, run: Run) -> str | Callable | None:
        """``augment``, resolved."""
        if self.augment != "auto":
            return self.augment
        if self._alone_in_few(run) or run.memory.get("feature"):
            return None
        return "warped_neighbors" if len(self.input_shape_) == 3 else "neighbors"

    @staticmethod
    def _warp(augment: str | Callable | None) -> str | Callable | None:
        """What warps copies, or None."""
        if augment == "warped_neighbors":
            return "strong_affine"
        return None if augment == "neighbors" else augment

    def _make_warp(self, run: Run, augment: str | Callable | None) -> Callable[[Tensor], Tensor]:
        """What samples go through where there are warped ones, standardised as they are."""
        if (named := self._warp(augment)) is None:
            return lambda x: x
        warp, standardize = make_augmentation(named, run.generator), run.module.standardize
        return lambda x: standardize(warp(standardize.inverse(x)))

    def _make_pairs(
        self, run: Run, augment: str | Callable | None, warp: Callable[[Tensor], Tensor]
    ) -> Callable[[bool], tuple[Tensor, Tensor]] | None:
        """What draws real samples and a copy of each, as the classifier plays or settles; or
        None."""
        if augment is None or self.consistency_weight == 0:
            return None
        rows, standardize, neighbors = run.rows, run.module.standardize, None
        if augment in ("neighbors", "warped_neighbors"):
            neighbors = nearer = self._neighbors(run, NEIGHBOR_POOL)
            if len(rows) > NEIGHBOR_POOL and self._settles():
                nearer = self._neighbors(run, SETTLING_POOL)

        def draw(settling: bool) -> tuple[Tensor, Tensor]:
            index = torch.randint(len(rows), (min(N_PAIRS, len(rows)),), generator=run.generator)
            real = standardize(rows[index])
            if neighbors is None:
                return real, warp(real)
            return real, warp(standardize((nearer if settling else neighbors)(index)))

        return draw

    @staticmethod
    def _neighbors(run: Run, pool_size: int) -> Callable[[Tensor], Tensor]:
        """Of so many; the same ones when a training is taken up again."""
        return neighbor_copies(run.rows, np.random.RandomState(0), run.generator, pool_size)

    def _settles(self) -> bool:
        """Whether copies are enough to learn from: the same answer for everything satisfies
        "kl"."""
        return self.consistency == "information"

    @staticmethod
    def _parts(run: Run, n: int, steps: int, size: int) -> Iterator[Tensor]:
        """Places in a batch of n of the real samples for each step of the critic."""
        for part in torch.arange(n).tensor_split(steps):
            if len(part) < max(2, size // 2):  # small data: drawn from all there is
                part = torch.randint(n, (size,), generator=run.generator)
            yield part

    def _noise(self, run: Run, n: int, scale: float) -> tuple[Tensor, Tensor]:
        """Numbers of clusters (n,) and noise (n, noise_dim)."""
        shares = torch.tensor(run.memory["shares"])
        codes = torch.multinomial(shares, n, replacement=True, generator=run.generator)
        noise = scale * torch.randn(n, run.module.noise_dim, generator=run.generator)
        return sent(codes, run.device), sent(noise, run.device)

    @torch.no_grad()
    def _draw(self, run: Run, n: int, noise_scale: float) -> tuple[Tensor, Tensor]:
        """Generated samples, after the numbers of their clusters."""
        codes, noise = self._noise(run, n, noise_scale)
        return codes, run.module.fake(codes, noise)

    def _critic_step(self, run: Run, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Eq. 5, or Goodfellow's with the penalty at real samples."""
        value = run.module.value
        # What the penalty is taken at has a pass of its own: its gradient is one of these alone.
        if self._game(run).adversarial_loss == "wasserstein":
            real_value, fake_value = value(torch.cat([real, fake])).chunk(2)
            share = sent(torch.rand(len(real), generator=run.generator), real.device)
            between = interpolate(real, fake, share).requires_grad_()
            penalty = gradient_penalty(value(between), between)
            loss = -critic_distance(real_value, fake_value)
        else:
            real = real.detach().requires_grad_()
            real_value, fake_value = value(real), value(fake)
            penalty = gradient_penalty(real_value, real, slope=0) / 2
            loss = discrimination_loss(real_value, fake_value)
        loss = loss + self.penalty_weight * penalty
        run.net.minimize(loss, "critic")
        distance = critic_distance(real_value, fake_value)
        return {"critic": loss, "distance": distance, "penalty": penalty}

    def _classifier_step(
        self,
        run: Run,
        codes: Tensor,
        fake: Tensor,
        taught: tuple[Tensor, Tensor] | None,
        pairs: tuple[Tensor, Tensor, float] | None,
        settling: bool,
    ) -> dict[str, Tensor]:
        """Eq. 6, which is only looked at while it settles; beside it the groups of real samples
        where there was a start, and with a weight the same answer for their copies."""
        classifier = run.module.classifier
        with torch.set_grad_enabled(not settling):
            logits = classifier(fake)
            loss = F.cross_entropy(logits, codes)
        losses = {
            "classifier": loss,
            "fake_accuracy": (logits.argmax(1) == codes).float().mean(),
        }
        if taught is not None:
            real, groups = taught
            losses["start"] = F.cross_entropy(classifier(real), groups)
            loss = loss + losses["start"]
        if pairs is not None:
            real, copy, weight = pairs
            log_p, log_q = classifier(torch.cat([real, copy])).log_softmax(1).chunk(2)
            if self.consistency == "information":
                losses["consistency"] = information_loss(
                    log_p.exp(), log_q.exp(), run.module.shares
                )
            else:
                losses["consistency"] = consistency_kl(log_p.exp(), log_q).mean()
            loss = loss + weight * losses["consistency"]
        run.net.minimize(loss, "classifier")
        return losses

    def _generator_step(self, run: Run, step: int, n: int, noise_scale: float) -> dict[str, Tensor]:
        """Eq. 7; critic and classifier only pass the gradient on."""
        module, game = run.module, self._game(run)
        weight = game.classification_weight
        if self.growth_interval is not None:
            weight = staircase(weight, self.weight_growth, self.growth_interval, step)
        codes, noise = self._noise(run, n, noise_scale)
        with frozen(module.critic, module.classifier):
            fake = module.fake(codes, noise)
            loss = weight * F.cross_entropy(module.classifier(fake), codes)
            value = module.value(fake)
            wasserstein = game.adversarial_loss == "wasserstein"
            loss = loss + (-value.mean() if wasserstein else deception_loss(value))
            run.net.minimize(loss, "generator")
        return {"loss": loss, "classification_weight": torch.tensor(weight)}

    # ------------------------------------------------------------------ the end

    def _warn_of_divergence(self, history, game: Game) -> None:
        """Fig. 2 (d, f): the critic's distance grows late, while the classifier is sure."""
        if not history:
            return
        size = max(1, round(PART * len(history)))
        means = [
            np.mean(part) for part in np.array_split(history[:, "distance"], len(history) // size)
        ]
        sure = np.mean(history[-size:, "fake_accuracy"])
        tiny = 1.0  # log-odds, which a critic has of good samples too
        if game.adversarial_loss == "wasserstein":
            tiny = 0.05 * math.sqrt(math.prod(self.input_shape_))  # noise of a distance near 0
        if means[-1] > DIVERGENCE * max(min(means), tiny) and sure > SURE:
            warnings.warn(
                f"the critic's distance grew from {min(means):.3g} to {means[-1]:.3g} while the "
                "classifier stayed sure of the generated samples: they no longer look like the "
                "data; lower noise_dim or lr, or set n_init",
                GeneratorDivergenceWarning,
                stacklevel=2,
            )

    @torch.no_grad()
    def _finish(self, run: Run) -> None:
        """Cluster the data, and describe the clusters."""
        module = run.module
        run.labels = run.map(module.assign).argmax(1)
        z = run.map(module.embed)
        module.centers = cluster_means(z, run.labels, self.n_clusters)
