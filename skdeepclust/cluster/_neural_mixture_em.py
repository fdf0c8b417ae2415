"""NeuralMixtureEM: a network as a mixture model, trained by batch-wise EM.

Tissera, Vithanage, Wijesinghe, Xavier, Jayasena, Fernando and Rodrigo, "Neural Mixture Models with
Expectation-Maximization for End-to-end Deep Clustering" (arXiv 2107.02453).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from numbers import Real
from operator import itemgetter

import torch
from torch import Tensor, nn

from .._sklearn_compat import Interval, StrOptions
from ..networks import MixtureHeads, Sobel, Standardize, make_backbone, require_images
from ..objectives import (
    consistency_kl,
    expected_log_density,
    log_density,
    mixture_log_likelihood,
)
from ..training import AUGMENTATIONS, Batches, Rows, Step, make_augmentation, map_rows, sent
from ._base import ClusteringModule
from ._mixture_search import SearchingClusterer
from ._neighbors import neighbor_copies
from ._phases import (
    RISE,
    cluster_means,
    cluster_shares,
    resolve_epochs,
    standardize_rows,
    steps_per_epoch,
    train_phase,
)
from ._projections import separated_clusters
from ._revival import revive_empty
from ._run import Run
from ._start_in_data import principal_start, whitened_start

# The paper's γ and the batch size that it belongs to.
GAMMA, GAMMA_BATCH = 5.0, 128
# Training steps and epochs that "auto" stands for, after a search and where clusters are given.
TRAINING = {"steps": 350, "at_least": 0, "at_most": 40}
GIVEN_TRAINING = {"steps": 700, "at_least": 0, "at_most": 80}
# Share of its upper bound, log K, up to which the score by copies says that a search among images
# has found nothing. In trials, pictures in uneven light or of many colours, it was .05 and less
# where the clusters were at chance, and .23 and more where there was something in them.
LITTLE_INFORMATION = 0.15


def score_bound(n: float) -> float:
    """The largest score that normalisation over n samples leaves room for."""
    return (n - 1) / math.sqrt(n)


class NeuralMixtureModule(ClusteringModule):
    """A backbone, and the mixture whose densities are read from its embedding."""

    centers: Tensor

    def __init__(
        self,
        standardize: Standardize,
        preprocess: nn.Module,
        backbone: nn.Module,
        starts: MixtureHeads | None,
        finer: MixtureHeads | None,
        mixture: MixtureHeads,
        gamma: float,
    ):
        super().__init__()
        self.standardize, self.preprocess, self.backbone = standardize, preprocess, backbone
        self.starts, self.finer, self.mixture, self.gamma = starts, finer, mixture, gamma
        self.register_buffer("centers", torch.zeros(mixture.n_clusters, mixture.linear.in_features))

    def embed(self, x: Tensor) -> Tensor:
        return self.backbone(self.preprocess(self.standardize(x)))

    def assign(self, x: Tensor) -> Tensor:
        return self.mixture.posterior(self.mixture(self.embed(x))).squeeze(1)

    def expectation(
        self, heads: MixtureHeads, x: Tensor, x_tr: Tensor | None, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The heads' own posterior and the one they are taught, p, (n, n_heads, n_clusters) each,
        and what the M-step raises, (n, n_heads); p is ``given``, (n, n_clusters), if it is."""
        scores = heads(self.embed(x))
        own = heads.posterior(scores.detach())
        p = own if given is None else given.unsqueeze(1)
        density = expected_log_density(p, scores, self.gamma)  # eq. 6
        if x_tr is not None:  # eq. 7
            density = density + expected_log_density(p, heads(self.embed(x_tr)), self.gamma)
        return own, p, density

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of every cluster's density h_j, (n, n_clusters)."""
        return log_density(self.mixture(self.embed(x)).squeeze(1), self.gamma)

    def score(self, x: Tensor) -> Tensor:
        scores = self.mixture(self.embed(x))
        return mixture_log_likelihood(scores, self.mixture.log_prior, self.gamma).squeeze(1)

    def cluster_centers(self) -> Tensor:
        return self.centers

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        self.mixture.reorder(order)
        self.centers.copy_(self.centers[order])


# What the paper trains with, where it differs from our defaults.
PAPER_SETTINGS = {
    "mnist": {
        "n_clusters": 10,
        "preprocess": "sobel",
        "hidden_dims": (64, 128, 256),
        "latent_dim": 32,
        "augment": "image",
        "objective": "two_fold",
        "temperature": 1.0,
        "gamma": 5.0,
        "init": "random",
        "n_starts": 1,
        "max_epochs": 250,
        "batch_size": 128,
        "lr": 5e-5,
        "consistency_lr": 1e-4,
        "lr_decay": "constant",
    },
}
PAPER_SETTINGS["cifar10"] = {
    **PAPER_SETTINGS["mnist"],
    "hidden_dims": ((64, 64), (128, 128), (256, 256)),
}


class NeuralMixtureEM(SearchingClusterer):
    """A neural network as a mixture model, trained by batch-wise expectation maximisation.

    The network gives every sample a relevance score for every cluster. Scores are normalised over
    the batch, ``a*``; ``h_j = sigmoid(a*_j / γ)`` acts as the density of cluster j. The forward
    pass is the E-step, ``p_ij ∝ prior_j exp(a*_ij)``. The M-step is a gradient step with p held
    constant, up ``Σ_j p_ij log h_j(x_i)`` (eq. 6 of [1]_) and up the same for a transformed copy of
    the sample (eq. 7). There is no pretraining.

    Which samples share a cluster in the end is decided early, and differs from start to start. So
    ``n_starts`` mixtures begin side by side on one network, and the one whose clusters the copies
    of samples predict best continues alone. If the mixtures do not agree, or copies predict little
    in the end, the same is done on another network, and the best is kept. If one leaves clusters
    empty, the next begins with mixtures of twice as many, which are then merged by what copies
    predict: among them small classes have clusters of their own. If none does well, a last one
    begins with clusters along principal components. Vectors, whose only copies are their
    neighbours, start from such clusters at once, and keep to them.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K.
    network : {"auto", "mlp", "cnn"} or callable, default='auto'
        Backbone, or a factory ``(input_shape, latent_dim) -> nn.Module`` whose module maps samples
        to (n, latent_dim). "auto" is "cnn" for images and "mlp" for vectors. With
        ``preprocess="sobel"`` the shape that a factory is given has two channels.
    hidden_dims : sequence of int or None, default=None
        "mlp": widths of the layers before the embedding, (32,) for None. "cnn": channels of the
        convolutions, (16, 32, 64) for None; pooling halves the sides in between, and a sequence in
        place of a number is several convolutions without pooling between them. Not used by a
        factory.
    latent_dim : int, default=32
        Width of the embedding, the layer before the scores.
    input_shape : (int, int, int) or None, default=None
        ``(channels, height, width)`` into which the rows of a 2-D X fold; X of shape
        (n_samples, C, H, W) needs none.
    resolution : {"auto", "full"} or int >= 8, default='auto'
        Images are averaged over squares of pixels before anything looks at them. An integer is the
        number of pixels that both sides keep at least. "auto" keeps 28 a side and nine tenths of
        the variance between images, and averages neither images with a side below 56 nor any where
        ``network`` or ``augment`` is a callable. "full" averages nothing.
    preprocess : {"sobel"} or None, default=None
        "sobel" turns images into grey ones and these into vertical and horizontal edge maps, so
        that clusters cannot be those of colour.
    augment : {"auto", "neighbors", "affine", "strong_affine", "shifted", "image", \
            "rotated_image"}, callable or None, default='auto'
        What makes the transformed copy. For images, "affine" rotates, scales and shifts slightly;
        "strong_affine" does so more strongly, and shears; "shifted" shifts by up to a quarter of
        the sides, for objects that may lie anywhere. "image" is "affine" with changes of
        brightness, contrast and colours; "rotated_image" is that at any angle, mirrored or not, for
        objects that have no upright. A callable maps a batch (n, C, H, W) to another. "neighbors"
        replaces the sample by one of the ten nearest, perhaps itself, among at most 5,000. "auto"
        is "strong_affine" for images and "neighbors" for vectors. None: eq. 6 alone.
    objective : {"em", "consistency", "two_fold"}, default='em'
        The EM step; a step down ``KL(p ‖ q)`` with q the posterior of the transformed copy (eq. 8);
        or one after the other, by two optimisers, as in the paper's algorithm 1.
    prior : {"auto", "uniform", "estimated", "printed"} or array-like of shape (n_clusters,), \
            default='auto'
        Shares of the clusters: equal, the running mean of the posterior, or given. With "auto"
        half of the starts have equal shares and half estimate theirs; the start that is kept
        decides which it is. Joined starts estimate theirs; a single start, and training without
        copies, has equal ones. Clusters that ``init`` finds have, with "auto" and "estimated", the
        shares that they have. Scores are brought to the scale that belongs to a cluster's share,
        but for "printed", which is the running mean alone. See Notes.
    temperature : float > 0, default=0.5
        T in ``p_ij ∝ prior_j exp(a*_ij / T)``; the paper has 1.
    gamma : float > 0 or "auto", default='auto'
        γ, which keeps the scores within the sigmoid's linear part. A batch of n bounds them by
        ``(n - 1) / sqrt(n)``; "auto" is the paper's 5 for batches of 128, and in proportion to the
        bound for others.
    normalize_scores : bool, default=True
        False leaves scores as they are, to see what becomes of it: with ``init="random"`` clusters
        die, and in a network without batch normalisation all samples end in one.
    init : {"auto", "random"}, default='auto'
        Clusters that the mixture is to learn, as the posterior of every E-step:

        - "random": none. Scores start at random, and the best start of a search continues by
          its own posterior;
        - "auto", if ``prior`` is "auto" or "estimated" and there is an E-step:

          - for vectors, and wherever copies are neighbours, the clusters along at most twenty
            principal components, found as :class:`StatDEC` finds its start in the embedding; or,
            for more features than that, those of k-means if neighbours predict them better;
          - for images with ``augment="auto"``, the clusters of a Gaussian mixture on ten principal
            components if they are well separated, since the warp might blur what separates them;
          - for vectors, and for images of which copies predict next to nothing after a search,
            clusters along such components of equal variance, if neighbours there predict them far
            better than the others;
          - where there are none of these, or some are empty or outliers, "random"; only the last
            of the networks that ``n_networks="auto"`` compares still begins with such clusters.

        The units of the columns count. With given clusters ``n_starts``, ``n_networks`` and
        ``start_epochs`` are not used, and in the EM step ``temperature`` is not.
    n_starts : int >= 1, default=40
        Mixtures that begin side by side on a network, where scores start at random. 1 is the
        paper's training, without a search.
    n_networks : int >= 1 or "auto", default='auto'
        Networks, trained one after another from ``n_starts`` mixtures each; the one with the best
        unsupervised objective is kept. "auto" is 1 if copies are neighbours, if there are none, or
        if a single mixture begins. Else it is at most 3, and ends as soon as a network does well:
        its best mixtures agree on n_clusters clusters, and in the end its score by copies (see
        Notes) is at least .7 of log(n_clusters), the upper bound. If none of the three does, and
        ``init="auto"``, a fourth follows: its one mixture first learns the clusters that vectors
        would keep to, and continues by its own posterior, or keeps to them where ``batch_size`` is
        less than 5 n_clusters. With ``prior="auto"`` and warped copies the networks after one that
        left clusters empty begin with 2 n_clusters, or with so many that a batch holds five samples
        of each if that is fewer, and merge them.
    start_epochs : int >= 1 or "auto", default='auto'
        Epochs on each network before its best mixture goes on. "auto" makes 350 training steps, a
        part of an epoch where there are so many samples, but at most 40 epochs.
    max_epochs : int >= 1 or "auto", default='auto'
        Epochs in which the mixture that goes on is trained alone. "auto" makes 350 training
        steps, a part of an epoch where there are so many samples, but at most 40 epochs; twice as
        many where clusters are given, and nothing was searched. Training that leaves the score
        lower than the start of a search had it is taken back.
    batch_size : int >= 2 or "auto", default=128
        Samples per step. "auto" is 256, less for fewer than 6,400 samples, at least 32.
    lr : float, default=0.003
        Learning rate of Adam in the EM step.
    consistency_lr : float, default=0.001
        Learning rate of Adam in the consistency step.
    lr_decay : {"cosine", "constant"} or int, default='cosine'
        Course of the rates within a phase: half a cosine down to 0 after a short rise, none, or a
        division by 10 every so many steps.
    n_init : int, default=1
        Whole restarts; the one with the best unsupervised objective wins.
    n_jobs : int or None, default=None
        Number of processes for restarts, in joblib's sense. None runs them one after another in
        this process, unless a joblib context asks for more and there are no ``callbacks`` and no
        ``checkpoint``. The processes share the cores; with fewer threads sums may be rounded
        differently.
    tol : float in [0, 1), default=0.001
        Training stops when a smaller share of the labels changes from one epoch to the next; not
        where clusters are given, whose labels settle long before the embedding does.
    random_state : int, RandomState instance or None, default=None
        Determines everything that is random.
    verbose : int, default=0
        Above 0: one progress line per phase, and one for the start.
    callbacks : list of skorch callbacks or None, default=None
        Told of every phase, epoch, batch and gradient.
    checkpoint : str, path-like, Checkpoint or None, default=None
        File in which the fit keeps its state, every five minutes or as a
        :class:`~skdeepclust.Checkpoint` says. If the file exists, a fit with the same data and
        parameters goes on from it, and one with others raises an error.
    device : str or torch.device, default='auto'
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1".

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each training sample; there are no gaps.
    cluster_centers_ : ndarray of shape (n_clusters, latent_dim), float32
        Mean embedding of each cluster.
    cluster_sizes_ : ndarray of shape (n_clusters,), int64
        Training samples in each cluster.
    n_iter_ : int
        Epochs in which the mixture was trained alone, on the network that was kept.
    converged_ : bool
        Whether it ended by ``tol``.
    stop_reason_ : str
        "converged", "max_epochs", "callback" or "interrupted" (by Ctrl-C).
    restart_scores_ : ndarray of shape (n_init,), of fewer after an interruption
        Unsupervised objective of each restart; higher is better. See Notes.
    history_ : skorch.history.History
        A dict per epoch: phase, train_loss, em, consistency, label_change, cluster_sizes, dur; in
        the last epoch of each network's phase "explore" also the score of each start,
        start_scores, and in that of its phase "cluster" the mixture's score, the number of clusters
        that are not empty, n_found, and the objective, which is highest for the network that was
        kept. See Notes.
    module_ : torch.nn.Module
        The trained network.
    input_shape_ : tuple of int
        Shape of one sample as the network sees it, of images at the ``resolution``.
    n_features_in_ : int
        Features of X; for images C times H times W.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X had string ones.

    See Also
    --------
    StatDEC : Clusters in the embedding of an autoencoder.
    sklearn.mixture.GaussianMixture : A mixture of Gaussians in the space of the features.

    Notes
    -----
    ``score_samples`` is ``log Σ_j prior_j h_j(x)``.

    Eq. 7 has its optimum at clusters of equal size, since normalisation gives all scores the same
    spread. ``prior="estimated"`` therefore multiplies them by ``sqrt(π_j (1 - π_j))``, relative to
    equal shares, before the softmax of the E-step. That helps where sizes differ and harms where
    they do not, and eq. 7 does not show which, so starts are compared by another score: the
    information ``I(c; c')`` that the clusters of a sample and of its copy share, less twice
    ``H(c | c')`` for neighbours and three times for others, over 10,000 pairs; starts that leave
    more than half of the clusters empty come after all others. With ``augment=None`` there are no
    copies, and the score is eq. 6. Networks and restarts are compared by the unsupervised
    objective: the score, where copies are warped with twice the information, less ``H(c | c')``,
    that the clusters of a sample and of its neighbours in the data share, and less
    ``log(n_clusters / n_found)``, for as many clusters are asked for.

    On 10,000 MNIST digits (three seeds) EM alone had a median accuracy of .986, the two-fold
    objective .973 in 1.7 times the time, and consistency alone .26. Figures are in
    ``benchmarks/results/neural_mixture_em.md``, further differences from the paper in
    ``docs/notes/neural_mixture_em.md``.

    References
    ----------
    .. [1] D. Tissera, K. Vithanage, R. Wijesinghe, A. Xavier, S. Jayasena, S. Fernando and
       R. Rodrigo, "Neural Mixture Models with Expectation-Maximization for End-to-end Deep
       Clustering", Neurocomputing 505, 2022, arXiv 2107.02453.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust import NeuralMixtureEM
    >>> X, y = make_blobs(300, centers=3, n_features=6, random_state=0)
    >>> model = NeuralMixtureEM(n_clusters=3, random_state=0).fit(X)
    >>> sorted(model.cluster_sizes_.tolist())
    [100, 100, 100]
    >>> model.transform(X).shape
    (300, 32)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **SearchingClusterer._parameter_constraints,
        "hidden_dims": ["array-like", None],
        "preprocess": [StrOptions({"sobel"}), None],
        "augment": [StrOptions({"auto", "neighbors", *AUGMENTATIONS}), callable, None],
        "objective": [StrOptions({"em", "consistency", "two_fold"})],
        "prior": [StrOptions({"auto", "uniform", "estimated", "printed"}), "array-like"],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "normalize_scores": ["boolean"],
        "init": [StrOptions({"auto", "random"})],
        "consistency_lr": [Interval(Real, 0, None, closed="neither")],
    }

    _paper_settings = PAPER_SETTINGS
    _vector_augmentations = ("auto", "neighbors")
    _nested_widths = True

    def __init__(
        self,
        n_clusters=8,
        *,
        network="auto",
        hidden_dims=None,
        latent_dim=32,
        input_shape=None,
        resolution="auto",
        preprocess=None,
        augment="auto",
        objective="em",
        prior="auto",
        temperature=0.5,
        gamma="auto",
        normalize_scores=True,
        init="auto",
        n_starts=40,
        n_networks="auto",
        start_epochs="auto",
        max_epochs="auto",
        batch_size=128,
        lr=3e-3,
        consistency_lr=1e-3,
        lr_decay="cosine",
        n_init=1,
        n_jobs=None,
        tol=1e-3,
        random_state=None,
        verbose=0,
        callbacks=None,
        checkpoint=None,
        device="auto",
    ):
        self.n_clusters = n_clusters
        self.network = network
        self.hidden_dims = hidden_dims
        self.latent_dim = latent_dim
        self.input_shape = input_shape
        self.resolution = resolution
        self.preprocess = preprocess
        self.augment = augment
        self.objective = objective
        self.prior = prior
        self.temperature = temperature
        self.gamma = gamma
        self.normalize_scores = normalize_scores
        self.init = init
        self.n_starts = n_starts
        self.n_networks = n_networks
        self.start_epochs = start_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.consistency_lr = consistency_lr
        self.lr_decay = lr_decay
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device

    # ------------------------------------------------------------------ the method

    def _build_module(self, run: Run) -> NeuralMixtureModule:
        if len(run.rows) < 2:
            raise ValueError(
                f"n_samples={len(run.rows)}; scores are normalised over batches, which takes at "
                "least 2 samples"
            )
        preprocess = nn.Identity()
        if self.preprocess == "sobel":
            require_images("preprocess='sobel'", self.input_shape_)
            preprocess = Sobel(self.input_shape_[0])
        return NeuralMixtureModule(
            standardize_rows(run.rows, per_channel=len(self.input_shape_) == 3),
            preprocess,
            *self._make_networks(len(run.rows)),
            self._resolve_gamma(run),
        )

    def _make_networks(
        self, n_samples: int
    ) -> tuple[nn.Module, MixtureHeads | None, MixtureHeads | None, MixtureHeads]:
        shape = self.input_shape_
        if self.preprocess == "sobel":
            shape = (2, *shape[1:])
        prior = cluster_shares("prior", self.prior, self.n_clusters)
        named = self.prior if isinstance(self.prior, str) else "given"
        settings = {
            "temperature": self.temperature,
            "scale_by_share": named in ("auto", "estimated", "given"),
            "normalize": self.normalize_scores,
        }
        starts, mixture = (
            MixtureHeads(
                self.latent_dim,
                n_heads,
                self.n_clusters,
                prior,
                n_estimating=self._n_estimating(named, n_heads),
                **settings,
            )
            for n_heads in (self.n_starts, 1)
        )
        backbone = make_backbone(self.network, shape, self.latent_dim, self.hidden_dims)
        finer, n_finer = None, self._n_finer(n_samples)
        if named == "auto" and n_finer:
            shares = torch.full((n_finer,), 1 / n_finer)
            finer = MixtureHeads(self.latent_dim, self.n_starts, n_finer, shares, 0, **settings)
        return backbone, starts if self._searches() else None, finer, mixture

    def _empty_module(self, n_samples: int) -> NeuralMixtureModule:
        module = super()._empty_module(n_samples)
        module.starts = module.finer = None
        return module

    def _n_estimating(self, prior: str, n_heads: int) -> int:
        """How many of so many mixtures estimate their prior."""
        if prior == "auto":
            return 0 if self.augment is None else n_heads // 2
        return n_heads if prior in ("estimated", "printed") else 0

    def _resolve_gamma(self, run: Run) -> float:
        """γ in the same proportion to the bound of normalised scores as the paper's."""
        if self.gamma != "auto":
            return float(self.gamma)
        n = len(run.rows)
        batches = Batches(run.rows, self._resolve_batch_size(n), run.generator)
        return GAMMA * score_bound(n / len(batches)) / score_bound(GAMMA_BATCH)

    def _train(self, run: Run) -> None:
        run.transform = self._make_transform(run)
        elsewhere = self._look_elsewhere, self._cluster_elsewhere
        found = *self._search_stages(), *elsewhere, *self._last_stages()
        run.perform(self._begin, *found, self._finish)

    def _copies(self) -> str | Callable | None:
        """``augment``, resolved."""
        if self.augment == "auto":
            return "strong_affine" if len(self.input_shape_) == 3 else "neighbors"
        return self.augment

    def _make_transform(self, run: Run) -> Callable[[Tensor, Tensor], Tensor] | None:
        """What gives the transformed samples of eq. 7, or None."""
        augment = self._copies()
        if augment == "neighbors":
            copies = neighbor_copies(run.rows, run.rng, run.generator)
            return lambda index, x: copies(index)
        if augment is None:
            if self.objective != "em":
                raise ValueError(
                    f"objective={self.objective!r} compares samples with transformed ones, but "
                    "augment=None; set augment, or objective='em'"
                )
            return None
        warp = make_augmentation(augment, run.generator)
        return lambda index, x: warp(x)

    def _begin(self, run: Run) -> None:
        """Find clusters that the mixture keeps to."""
        if self._takes_clusters() and (given := self._given_clusters(run)) is not None:
            self._keep_to(run, given)
            run.memory["settled"] = True  # nothing is searched

    def _takes_clusters(self) -> bool:
        found = isinstance(self.prior, str) and self.prior in ("auto", "estimated")
        return self.init == "auto" and found and self.objective != "consistency"

    def _given_clusters(self, run: Run) -> Tensor | None:
        """Those of vectors along principal components; of images such as lie apart, since warps
        that nobody asked for may blur what separates them."""
        rows, information, n_clusters = run.rows, run.information, self.n_clusters
        of_vectors = self._copies() == "neighbors"
        if not of_vectors and self.augment != "auto":
            return None
        with run.net.progress_line("start"):
            if of_vectors:
                return principal_start(rows.X, n_clusters, run.rng, information, run.device)
            equal, rng = cluster_shares("prior", "uniform", n_clusters), deepcopy(run.rng)
            found = separated_clusters(rows, equal, information, rng, of_any_shares=True)
        return None if found is None else found.to(run.device)

    def _look_elsewhere(self, run: Run) -> None:
        """Of images: take clusters that neither warps nor pixels show, where there are such."""
        by_own_warps = self.augment == "auto" and self._warps()
        if "given" in run.memory or not (by_own_warps and self._takes_clusters()):
            return
        if run.net.interrupt.asked or copies_inform(run, self.n_clusters):
            return
        X, found, information = run.rows.X, self._compared_labels(run), run.information
        start = whitened_start(found, X, self.n_clusters, run.rng, information)
        if start is None:
            return
        r, information.replacement = start
        run.memory.clear()  # all of it is of the network before
        self._renew(run)
        self._keep_to(run, r.argmax(1).to(run.device))
        run.memory["elsewhere"] = run.memory["settled"] = True

    def _cluster_elsewhere(self, run: Run) -> None:
        if "elsewhere" in run.memory:
            self._cluster(run)

    def _train_mixture(self, run: Run) -> None:
        """Algorithm 1."""
        length = GIVEN_TRAINING if "given" in run.memory else TRAINING
        epochs = resolve_epochs(self.max_epochs, run, **length)
        per_epoch = round(min(1, epochs) * steps_per_epoch(run))
        unseen = torch.full((len(run.rows),), -1, device=run.device)
        course = {"labels": unseen, "step": 0, "seen": 0, "changed": 0}
        memory = run.remember(**course)

        def step(index: Tensor, x: Tensor) -> dict[str, Tensor]:
            labels, given, here = memory["labels"], memory.get("given"), sent(index, run.device)
            taught = None if given is None else self._one_hot(given, here, x)
            p, losses = self._step(run, run.module.mixture, index, x, taught)
            new = p.squeeze(1).argmax(1)
            memory["seen"] += len(index)
            memory["changed"] += (new != labels[here]).sum()
            labels[here] = new
            memory["step"] += 1
            if memory["step"] % per_epoch == 0:
                changed = memory["changed"].item() / memory["seen"]
                self._end_epoch(run, labels[labels >= 0], changed)
                memory["seen"] = memory["changed"] = 0
            return losses

        run.end(self._run_phase(run, "cluster", step, epochs))
        for name in course:  # another network's begins anew
            del memory[name]

    def _end_epoch(self, run: Run, labels: Tensor, changed: float) -> None:
        """Record the labels that the epoch's batches had, revive, and stop when they settle."""
        sizes = torch.bincount(labels, minlength=self.n_clusters)
        run.net.history.record("label_change", changed)
        run.net.note("cluster_sizes", sizes.tolist())
        if "given" in run.memory:
            return  # it comes to those that are empty, and the embedding is not done yet
        if (sizes == 0).any():
            self._revive(run, run.map(run.module.embed))
        elif changed < self.tol:
            run.net.stop("converged")

    def _run_phase(self, run: Run, name: str, step: Step, epochs: int) -> str:
        rates = {"em": self.lr, "consistency": self.consistency_lr}
        if self.objective != "two_fold":
            rates = {self.objective: rates[self.objective]}
        schedule = {"epochs": epochs, "lr": rates, "lr_decay": self.lr_decay, "rise": RISE}
        return train_phase(run, name, run.module.parameters(), step, **schedule)

    def _step(
        self,
        run: Run,
        heads: MixtureHeads,
        index: Tensor,
        x: Tensor,
        given: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One batch of algorithm 1: the heads' own posterior, and the losses."""
        module, losses = run.module, {}
        x_tr = None if run.transform is None else run.transform(index, x)
        if self.objective != "consistency":
            own, p, density = module.expectation(heads, x, x_tr, given)  # E-step
            losses["em"] = -density.mean()
            run.net.minimize(losses["em"], "em")  # M-step
        if self.objective != "em":
            with torch.no_grad():
                own = p = heads.posterior(heads(module.embed(x)))
            log_q = heads.log_posterior(heads(module.embed(x_tr)))
            losses["consistency"] = consistency_kl(p, log_q).mean()  # eq. 8
            run.net.minimize(losses["consistency"], "consistency")
        heads.update_prior(p)
        return own, {"loss": sum(losses.values()), **losses}

    def _finish(self, run: Run) -> None:
        """Normalise the scores over all the data, and describe the clusters."""
        module = run.module
        module.starts = module.finer = None
        z = run.map(module.embed)
        module.mixture.calibrate(z)
        run.labels = self._revive(run, z).argmax(1)
        module.centers = cluster_means(z, run.labels, self.n_clusters)

    @torch.no_grad()
    def _revive(self, run: Run, z: Tensor) -> Tensor:
        """Point every empty cluster's score at the sample whose embedding lies furthest from its
        cluster's mean; return the posterior."""
        mixture = run.module.mixture
        embeddings = Rows(z.cpu().numpy(), z.shape[1:], 1.0, run.device)

        def assign() -> Tensor:
            # By batches as in predict: another number of rows may round another way.
            return map_rows(
                lambda z: mixture.posterior(mixture(z)).squeeze(1), run.module, embeddings
            )

        def restart(cluster: int, p: Tensor) -> bool:
            labels = p.argmax(1)
            residual = z - cluster_means(z, labels, self.n_clusters)[labels]
            distance = residual.norm(dim=1)
            worst = distance.argmax()
            if distance[worst] <= 1e-6 * z.norm(dim=1).max():  # no distinct sample is left
                return False
            mixture.restart(cluster, residual[worst], z)
            return True

        return revive_empty(assign(), assign, restart)

    def _objective(self, run: Run) -> float:
        return run.score


def searchable(n_clusters: int, n_samples: int) -> bool:
    """Whether batches hold more than a few samples of each of so many clusters."""
    return 1 < n_clusters <= NeuralMixtureEM()._most_searched(n_samples)


def copies_inform(run: Run, n_clusters: int) -> bool:
    """Whether the copies' clusters say more than a little about those of the samples, when a search
    has ended; a single cluster for all says nothing."""
    history = run.history or run.net.history
    kept = max((e for e in history if "objective" in e), key=itemgetter("objective"), default=None)
    return kept is not None and kept["score"] > LITTLE_INFORMATION * math.log(n_clusters)


def borrowed_clusters(run: Run, n_clusters: int, augment: str | Callable) -> Tensor | None:
    """The clusters that NeuralMixtureEM finds for the images of another estimator's run, whose
    restarts are then compared by the neighbours by which these were found.

    Parameters
    ----------
    run : Run
    n_clusters : int
    augment : str or callable
        What makes the copies.

    Returns
    -------
    Tensor of shape (n,), int64, or None
        On the device. None where copies say little about them, unless they were found elsewhere.
    """
    model = NeuralMixtureEM(n_clusters, augment=augment, verbose=run.net.verbose)
    model.input_shape_ = run.rows.sample_shape
    seed, interrupt = run.rng.randint(2**31 - 1), run.net.interrupt
    with interrupt.preparing():
        found = model._run(run.rows, seed, interrupt=interrupt)
    run.information.replacement = elsewhere = found.information.replacement
    return None if elsewhere is None and not copies_inform(found, n_clusters) else found.labels
