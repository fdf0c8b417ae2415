"""StatDEC: deep embedded clustering with statistics pooling and frequency-aware targets.

Rezaei, Dorigatti, Ruegamer and Bischl, "Joint Debiased Representation Learning and Imbalanced Data
Clustering" (arXiv 2109.05232, earlier "Learning Statistical Representation with Joint Deep Embedded
Clustering").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .._sklearn_compat import StrOptions
from ..networks import StatisticsPooling, evaluating, suits_convolutions
from ..objectives import gaussian_log_likelihood
from ..training import Rows, computes_in_bfloat16, inference_parts
from ._phases import standardize_rows
from ._pretraining import pretrain_layer_wise
from ._run import Run
from ._self_training import PRETRAINING, SelfTrainingClusterer, SelfTrainingModule


class StatDECModule(SelfTrainingModule):
    """Autoencoder, centres in its embedding, and a pooling layer in its decoder."""

    error_variance: Tensor

    def __init__(self, pooling: StatisticsPooling | None, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pooling = pooling
        self.register_buffer("error_variance", torch.ones_like(self.standardize.mean))

    def reconstruction_loss(
        self, x: Tensor, code: Tensor, divergence: Tensor | float, log_q: Tensor | None = None
    ) -> Tensor:
        """The error, and of a variational autoencoder the negative ELBO on the same scale."""
        x_hat = self._decode_code(code, log_q)
        return F.mse_loss(x_hat, self.standardize(x)) + divergence * 2 / x[0].numel()

    def _decode_code(self, code: Tensor, q: Tensor | None) -> Tensor:
        """By assignments or their logarithms; without them as if there were no pooling."""
        if self.pooling is None or q is None:
            return self.through(self.autoencoder.decode, code)
        labels = q.max(1).indices  # argmax takes four times as long on how logarithms lie
        hidden = self.pooling(self.through(self.autoencoder.decode_hidden, code), labels)
        return self.through(self.autoencoder.decode_output, hidden)

    def reconstruct(self, z: Tensor) -> Tensor:
        """From embeddings to samples in standardised units."""
        return self._decode_code(self.latent_map.inverse(z), self.soft_assign(z))

    def decode(self, z: Tensor) -> Tensor:
        return self.standardize.inverse(self.reconstruct(z))

    def score(self, x: Tensor) -> Tensor:
        """Log-density of samples about their reconstructions, per unit of x."""
        x_hat, log_variance = self.reconstruct(self.embed(x)), self.error_variance.log()
        density = gaussian_log_likelihood(self.standardize(x), x_hat, log_variance)
        return density - self.standardize.scale.log() * x[0].numel()

    def fit_error_variance(self, rows: Rows) -> None:
        """Keep how far each feature's reconstruction is off, over all the data."""
        with evaluating(self):
            total = sum(
                (self.standardize(x) - self.reconstruct(self.embed(x))).square().sum(0)
                for x in inference_parts(rows)
            )
        variance = total / len(rows)
        # A feature that never varied must not decide alone.
        floor = max(LEAST_VARIANCE * variance.mean().item(), 1e-8)
        self.error_variance = variance.clamp(min=floor)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        super().reorder(order)
        if self.pooling is not None:
            self.pooling.reorder(order)


# The least variance of a feature's error, a share of the mean one.
LEAST_VARIANCE = 1e-2
# Samples from which on training takes minutes. Convolutions are left to fewer: on 5,000 and on
# 8,175 images of MNIST they find classes that dense layers confuse; on all 70,000, in batches twice
# as large, they took four times as long for half a point of accuracy. And bfloat16 is left to more:
# on small tables, which reconstruct to within a thousandth of their variance, it was seen to lose
# some of that, to save a second or two.
MANY_SAMPLES = 20_000

# Convolutions are left to images with sides from here on: on 8 x 8 digits they found less than
# dense layers do, on MNIST in 14 x 14 as much.
LEAST_SIDE = 14

# Steps of convolutions take long, and as many of half the size are as good; before the joint
# training they gain from half as many again as dense layers need.
CONVOLUTIONS_BATCH = 128
CONVOLUTIONS_PRETRAINING = PRETRAINING | {"steps": 1500}

# What the paper trains with, where it differs from our defaults. The numbers of epochs and the
# batch size are ours: they make some 55,000 joint steps on MNIST, so that its rate falls twice.
PAPER_SETTINGS = {
    "mnist": {
        "n_clusters": 10,
        "network": "mlp",
        "hidden_dims": (500, 500, 1000),
        "batch_size": 256,
        "lr": 1e-3,
        "pretrain": "layer_wise",
        "pretrain_epochs": 200,
        "max_epochs": 200,
        "lr_decay": 20_000,
        "init": "kmeans",
        "warmup_epochs": 0,
        "clustering_weight": 0.1,
        "target": "printed",
        "whiten": False,
        "precision": "float32",
    }
}


class StatDEC(SelfTrainingClusterer):
    """Deep embedded clustering with statistics pooling and frequency-aware targets.

    An autoencoder is trained on reconstruction, its embedding is clustered, and then both are
    trained together on ``L = λ KL(P‖Q) + (1 - λ) L_r`` (eq. 1, 2 of [1]_): Q are the soft
    assignments to the cluster centres by a Student's t kernel (eq. 3), P a sharpened form of them
    (eq. 4, 5), L_r the reconstruction error. A pooling layer in the decoder gives it statistics of
    the cluster of each sample (eq. 6).

    Inputs are centred and divided by one number inside the network, so that L_r is the share of
    the data's variance that is lost, in any units. The units still decide which features weigh
    more, as in PCA: put a StandardScaler in front where they mean nothing.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K.
    network : {"auto", "mlp", "cnn", "unet", "dvc"} or callable, default='auto'
        Autoencoder. "mlp" has dense layers. For images "cnn" has 4 x 4 convolutions, "dvc" 5 x 5
        ones and a decoder that resizes, "unet" joins the levels of "dvc" by way of the embedding.
        "auto" is "dvc" for fewer than 20,000 images of at least 14 x 14, and "mlp" for others, for
        vectors, and where ``hidden_dims`` or ``pretrain="layer_wise"`` speak of dense layers. Or a
        factory ``(input_shape, latent_dim) -> nn.Module`` whose module has ``encode(x)`` and
        ``decode(z)``, and for ``statistics_pooling`` also ``decode_hidden(z)``,
        ``decode_output(h)`` and ``hidden_features``, the width of h.
    hidden_dims : sequence of int or None, default=None
        Widths of the hidden layers of "mlp" and "auto", channels of the convolutions of the others;
        the decoder has them in reverse. None is (500, 500, 1000), for fewer than 32 features
        of fewer than 2,500 samples (128, 128, 256), and (16, 32, 64, 128). Not used by a factory.
    latent_dim : int, default=10
        Width of the embedding.
    input_shape : (int, int, int) or None, default=None
        ``(channels, height, width)`` into which the rows of a 2-D X fold; X of shape
        (n_samples, C, H, W) needs none.
    resolution : {"auto", "full"} or int >= 8, default='auto'
        Images are averaged over squares of pixels before anything looks at them. An integer is the
        number of pixels that both sides keep at least. "auto" keeps 28 a side and nine tenths of
        the variance between images, and averages neither images with a side below 56 nor any where
        ``network`` or ``augment`` is a callable. "full" averages nothing.
    variational : bool, default=False
        Let the encoder give mean and log-variance of a posterior, whose divergence from N(0, I)
        joins L_r; the embedding is the mean. A factory's ``encode`` gives the two side by side.
    pretrain : {"end_to_end", "layer_wise"}, default='end_to_end'
        Train the autoencoder whole, or first layer by layer with dropout 0.2, each for
        ``pretrain_epochs``, as the paper does.
    pretrain_epochs : int >= 0 or "auto", default='auto'
        "auto" makes 1,000 training steps, with convolutions 1,500, but at least 10 and at most 100
        epochs.
    max_epochs : int >= 1 or "auto", default='auto'
        Epochs of the joint training. "auto" makes 600 training steps, but at least 4 and at most
        40 epochs.
    batch_size : int >= 2 or "auto", default='auto'
        Samples per step. "auto" is 256, with convolutions 128, less for fewer than 6,400 samples,
        at least 32.
    lr : float, default=0.002
        Learning rate of Adam, in both phases.
    lr_decay : {"cosine", "constant"} or int, default='cosine'
        Course of the rate within a phase: half a cosine down to 0, in pretraining after a short
        rise, none, or a division by 10 every so many steps.
    init : {"auto", "gmm", "kmeans"} or clusterer, default='auto'
        How the embedding is clustered at the start:

        - "kmeans": the best of 20 runs of k-means;
        - "gmm": what 32 Gaussian mixtures with more components than clusters agree on, or the
          same with one cluster more, of which two are then united;
        - "auto": the best of these two, and of mixtures whose components may be ten times as thin
          if there are enough samples (with ``latent_dim=10`` some 400 a cluster, so for at most 12
          clusters). Best are the clusters that those of a sample's neighbours, in the data and in
          the embedding, predict best. Then clusters are sought in the data too:

          - of vectors, along the leading twenty principal components, if all the starts above leave
            clusters empty or with a few outliers;
          - of vectors, by k-means, taken if neighbours in the data predict these clusters better;
          - along twenty principal components of equal variance (all of them for fewer columns),
            taken if neighbours there predict these far better. P then stays as they are;

        - a scikit-learn clusterer that finds ``n_clusters`` clusters in the embedding.
    n_init : int, default=1
        Whole restarts; the one with the best unsupervised objective wins.
    n_jobs : int or None, default=None
        Number of processes for restarts, in joblib's sense. None runs them one after another in
        this process, unless a joblib context asks for more and there are no ``callbacks`` and no
        ``checkpoint``. The processes share the cores; with fewer threads sums may be rounded
        differently.
    warmup_epochs : int >= 0 or "auto", default=3
        Joint epochs in which P are the responsibilities of the start; "auto" is a quarter of the
        joint training.
    clustering_weight : float in [0, 1], default=0.5
        λ. The paper has 0.1, for a reconstruction error in units of its own. At 1 the joint
        training is DEC's: the decoder stays as it was pretrained.
    degrees_of_freedom : float > 0, default=1.0
        α of the Student's t kernel.
    target : {"dec", "sharpened", "assigned", "posterior", "printed"}, default='dec'
        What the squared assignments are divided by: DEC's soft frequency u [2]_, which makes
        clusters more alike in size ("dec"), nothing, which leaves their sizes alone ("sharpened"),
        or ``u + v`` with v, the part of hard and rare samples, summed over the samples assigned to
        the cluster ("assigned"), over all samples by their share ("posterior"), or over all
        samples as printed ("printed"). See Notes.
    focus : float >= 0, default=2.0
        γ of eq. 5; without effect for "dec" and "sharpened".
    statistics_pooling : bool, default=True
        Put the pooling layer into the decoder, between ``decode_hidden`` and ``decode_output``. A
        factory without these two needs False.
    whiten : bool, default=True
        Scale the embedding at the start so that clusters have on average a unit covariance, which
        is the scale of the Student's t kernel.
    update_interval : int >= 1 or None, default=None
        Training steps between updates of P and of the labels, over the whole data; None is once
        an epoch, or after a quarter of the joint training if that comes first.
    augment : {"affine", "strong_affine", "shifted", "image", "rotated_image"}, callable or None, \
            default=None
        For images, in the joint training: warped images are to be assigned, and reconstructed, as
        if they were not warped. "affine" rotates, scales and shifts slightly; "strong_affine" does
        so more strongly, and shears; "shifted" shifts by up to a quarter of the sides. "image" is
        "affine" with changes of brightness, contrast and colours; "rotated_image" is that at any
        angle, mirrored or not. A callable maps a batch (n, C, H, W) to another.
    tol : float in [0, 1), default=0.001
        Training stops when a smaller share of the labels changes between two updates.
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
    precision : {"auto", "float32", "bfloat16"}, default='auto'
        Numbers whose products the network computes with while it trains; weights, losses and all
        that follows the training are float32. "auto" is "bfloat16" for an "mlp" that is not
        variational, 20,000 samples or more and a CPU that has matrix units for it (AMX), else
        "float32".
    device : str or torch.device, default='auto'
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1".

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
        "converged", "max_epochs", "callback" or "interrupted" (by Ctrl-C).
    restart_scores_ : ndarray of shape (n_init,), of fewer after an interruption
        How well the cluster of a sample and that of a nearest neighbour in the data predict each
        other, for each restart, in nats; higher is better.
    history_ : skorch.history.History
        A dict per epoch: phase, train_loss, kl, reconstruction (not for a ``clustering_weight`` of
        1), label_change, cluster_sizes, dur.
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
    sklearn.mixture.GaussianMixture : A mixture in the space of the features.

    Notes
    -----
    ``score_samples`` is the log-density of a sample under a Gaussian about its reconstruction, in
    which each feature has the variance that its errors had in training: what is wrong where the
    training data never was counts most.

    The printed denominator of eq. 4 does not normalise; rows are normalised to sum to 1. The sum
    of eq. 5 over all samples makes v largest for the rarest cluster, from which the target then
    takes weight ("printed"). None of the three readings truly helps on imbalanced data. Against
    "dec", "assigned" was level; "posterior" and "printed" lost accuracy and recall on long-tailed
    MNIST at ratio 10, gained the one and lost the other at ratio 100 (five seeds each), and gained
    up to .015 of accuracy on long-tailed digits (three seeds), while under "printed" clusters
    shrank to a sample or three. "sharpened" helps: at ratio 100 it had .652 where "dec" had .598
    (medians), and more in each of the five seeds; on tables the two are level in the mean. Figures
    are in ``benchmarks/results/stat_dec.md``, further differences from the paper in
    ``docs/notes/stat_dec.md``.

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
        **SelfTrainingClusterer._parameter_constraints,
        "pretrain": [StrOptions({"end_to_end", "layer_wise"})],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "statistics_pooling": ["boolean"],
        "variational": ["boolean"],
    }

    _paper_settings = PAPER_SETTINGS

    def __init__(
        self,
        n_clusters=8,
        *,
        network="auto",
        hidden_dims=None,
        latent_dim=10,
        input_shape=None,
        resolution="auto",
        variational=False,
        pretrain="end_to_end",
        pretrain_epochs="auto",
        max_epochs="auto",
        batch_size="auto",
        lr=2e-3,
        lr_decay="cosine",
        init="auto",
        n_init=1,
        n_jobs=None,
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
        checkpoint=None,
        precision="auto",
        device="auto",
    ):
        self.n_clusters = n_clusters
        self.network = network
        self.hidden_dims = hidden_dims
        self.latent_dim = latent_dim
        self.input_shape = input_shape
        self.resolution = resolution
        self.variational = variational
        self.pretrain = pretrain
        self.pretrain_epochs = pretrain_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_decay = lr_decay
        self.init = init
        self.n_init = n_init
        self.n_jobs = n_jobs
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
        self.checkpoint = checkpoint
        self.precision = precision
        self.device = device

    # ------------------------------------------------------------------ the method

    def _build_module(self, run: Run) -> StatDECModule:
        network = self._network(run.n_samples)
        autoencoder = self._make_autoencoder(run, network, variational=self.variational)
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
        module = StatDECModule(
            pooling,
            standardize_rows(run.rows),
            autoencoder,
            self.latent_dim,
            self.n_clusters,
            self.degrees_of_freedom,
            self.variational,
        )
        module.training_dtype = self._training_dtype(run, network)
        return module

    def _network(self, n: int) -> str | Callable:
        """``network`` for n samples, resolved."""
        if self.network != "auto":
            return self.network
        dense = self.hidden_dims is not None or self.pretrain == "layer_wise"
        suits = suits_convolutions(self.input_shape_, LEAST_SIDE) and n < MANY_SAMPLES
        return "dvc" if suits and not dense else "mlp"

    def _convolves(self, n: int) -> bool:
        network = self._network(n)
        return network != "mlp" and not callable(network)

    def _schedules(self, n: int) -> tuple[dict, dict]:
        pretraining, joint_training = super()._schedules(n)
        return CONVOLUTIONS_PRETRAINING if self._convolves(n) else pretraining, joint_training

    def _resolve_batch_size(self, n: int) -> int:
        size, smaller = super()._resolve_batch_size(n), self.batch_size == "auto"
        return min(size, CONVOLUTIONS_BATCH) if smaller and self._convolves(n) else size

    def _training_dtype(self, run: Run, network: str | Callable) -> torch.dtype:
        if self.precision != "auto":
            return getattr(torch, self.precision)
        suits = network == "mlp" and not self.variational
        pays = run.n_samples >= MANY_SAMPLES and computes_in_bfloat16(run.device)
        return torch.bfloat16 if suits and pays else torch.float32

    def _finish(self, run: Run, z: Tensor) -> None:
        run.module.fit_error_variance(run.rows)

    def _pretrain(self, run: Run) -> None:
        if self.pretrain == "layer_wise":
            pretrain_layer_wise(run, self._resolve_pretrain_epochs(run), self.lr, self.lr_decay)
        super()._pretrain(run)
