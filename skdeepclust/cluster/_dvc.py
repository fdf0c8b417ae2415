"""DVC: deep variational clustering.

Soleymani, Eslami, Elze, Bischl and Rezaei, "Deep Variational Clustering Framework for Self-labeling
of Large-scale Medical Images" (arXiv 2109.10777).
"""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor

from .._sklearn_compat import Interval, StrOptions
from ..networks import suits_convolutions
from ..objectives import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparametrize,
)
from ..training import Rows
from ._mixins import SamplingMixin
from ._phases import standardize_rows
from ._run import Run
from ._self_training import SelfTrainingClusterer, SelfTrainingModule

# Draws of z that the expectation of score_samples is taken over: pairs of opposite signs.
N_DRAWS = 4
# The least variance of a reconstruction's error, a share of the data's variance.
LEAST_VARIANCE = 1e-3
# Share of a batch in the running variance.
MOMENTUM = 0.05
# By so much values may lie outside of [0, 1]: a scaler's float32 ends at 1.0000001.
ROUNDING = 1e-6


def within_unit(low: Tensor | float, high: Tensor | float) -> bool:
    """Whether values lie in [0, 1], but for the rounding of who has brought them there."""
    return bool(low >= -ROUNDING and high <= 1 + ROUNDING)


class DVCModule(SelfTrainingModule):
    """A variational autoencoder, and centres among the means of its posteriors."""

    error_variance: Tensor
    draws: Tensor
    shares: Tensor
    latent_means: Tensor
    latent_factors: Tensor

    def __init__(self, likelihood: str, prior_weight: float, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.likelihood, self.prior_weight = likelihood, float(prior_weight)
        n_clusters, latent_dim = self.centers.shape
        self.register_buffer("error_variance", torch.tensor(1.0))
        self.register_buffer("draws", torch.zeros(N_DRAWS, latent_dim))
        self.register_buffer("shares", torch.full((n_clusters,), 1 / n_clusters))
        self.register_buffer("latent_means", torch.zeros(n_clusters, latent_dim))
        self.register_buffer("latent_factors", torch.eye(latent_dim).repeat(n_clusters, 1, 1))

    # ---- the evidence lower bound

    def log_likelihood(self, x: Tensor, code: Tensor) -> Tensor:
        """log p(x|z), (n,); with a Gaussian, of standardised samples."""
        output = self.autoencoder.decode(code)
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, output)
        x = self.standardize(x)
        if self.training:
            self._update_error_variance((x - output).detach().square().mean())
        return gaussian_log_likelihood(x, output, self.error_variance.log())

    def _update_error_variance(self, error: Tensor) -> None:
        # Its likeliest value, in place of a weight between error and KL that a user would have to
        # find (Rybkin et al., "Simple and Effective VAE Training with Calibrated Decoders", 2021).
        error = error.clamp(min=LEAST_VARIANCE)
        self.error_variance = torch.lerp(self.error_variance, error, MOMENTUM)

    def reconstruction_loss(
        self, x: Tensor, code: Tensor, divergence: Tensor | float, log_q: Tensor | None = None
    ) -> Tensor:
        """The negative bound per feature."""
        bound = self.log_likelihood(x, code).mean() - self.prior_weight * divergence
        return -bound / x[0].numel()

    def variance(self, x: Tensor) -> Tensor:
        """Of q(z|x), (n, latent_dim)."""
        return self.posterior(x)[1].exp()

    def score(self, x: Tensor) -> Tensor:
        if self.likelihood == "bernoulli" and not within_unit(x.amin(), x.amax()):
            raise ValueError(
                f"X has samples outside [0, 1], as from {x.amin():.6g} to {x.amax():.6g}; expected "
                "numbers in it, as the training data had: likelihood='bernoulli' has no density "
                "elsewhere. Clip X, or fit with likelihood='gaussian'"
            )
        mean, log_variance = self.posterior(x)
        expected = sum(
            self.log_likelihood(x, reparametrize(mean, log_variance, noise)) for noise in self.draws
        )
        bound = expected / N_DRAWS - gaussian_kl(mean, log_variance).sum(1)
        if self.likelihood == "gaussian":  # a density per unit of X
            bound = bound - self.standardize.scale.log() * x[0].numel()
        return bound

    # ---- generating

    noise_dim = property(lambda self: self.latent_means.shape[1])

    def generate(self, labels: Tensor, noise: Tensor) -> Tensor:
        factors = self.latent_factors[labels]  # (n, latent_dim, latent_dim)
        return self.decode(self.latent_means[labels] + (factors * noise.unsqueeze(1)).sum(2))

    def decode(self, z: Tensor) -> Tensor:
        output = self.autoencoder.decode(self.latent_map.inverse(z))
        if self.likelihood == "bernoulli":
            return output.sigmoid()
        return self.standardize.inverse(output)

    @torch.no_grad()
    def fix_draws(self) -> None:
        """Draw once and for all what the expectation of score_samples is taken over."""
        shape = (N_DRAWS // 2, self.draws.shape[1])
        half = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        self.draws.copy_(torch.cat([half, -half]))

    @torch.no_grad()
    def describe_clusters(self, z: Tensor, variance: Tensor, labels: Tensor) -> None:
        """Keep the mean and the covariance of the posteriors of each cluster's samples.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Embeddings.
        variance : Tensor of shape (n, latent_dim)
            Of q(z|x), before the latent map.
        labels : Tensor of shape (n,)
        """
        matrix = self.latent_map.matrix
        self.shares = torch.bincount(labels, minlength=len(self.centers)) / len(labels)
        for cluster in range(len(self.centers)):
            member = labels == cluster
            if not member.any():  # fewer distinct samples than clusters
                self.latent_means[cluster] = self.centers[cluster]
                self.latent_factors[cluster] = 0
                continue
            own = z[member]
            mean = own.mean(0)
            residual = own - mean
            within = (matrix * variance[member].mean(0)) @ matrix
            values, vectors = torch.linalg.eigh(residual.T @ residual / len(own) + within)
            self.latent_means[cluster] = mean
            self.latent_factors[cluster] = vectors * values.clamp(min=0).sqrt()

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        super().reorder(order)
        self.shares = self.shares[order]
        self.latent_means = self.latent_means[order]
        self.latent_factors = self.latent_factors[order]


# Training steps with convolutions, and how many epochs they may make.
CONVOLUTIONS_PRETRAINING = {"steps": 1600, "at_least": 0, "at_most": 200}
CONVOLUTIONS_JOINT_TRAINING = {"steps": 800, "at_least": 0, "at_most": 80}

# What the paper trains with, where it differs from our defaults: λ = 0.1 beside an ELBO summed over
# the 784 pixels. The length of the training is ours.
PAPER_SETTINGS = {
    "mnist": {
        "n_clusters": 10,
        "lr": 1e-3,
        "prior_weight": 1.0,
        "clustering_weight": 0.1 / (0.1 + 0.9 * 784),
        "init": "kmeans",
        "warmup_epochs": 0,
        "whiten": False,
    }
}


class DVC(SamplingMixin, SelfTrainingClusterer):
    """Deep variational clustering.

    A variational autoencoder is trained on the evidence lower bound (ELBO), the means of its
    posteriors are clustered, and then both are trained together on
    ``L = λ KL(P‖Q) + (1 - λ) L_r`` [1]_: Q are the soft assignments of the means to the cluster
    centres by a Student's t kernel, P a sharpened form of them, L_r the negative ELBO per feature.
    New samples can be drawn from each cluster.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, K.
    network : {"auto", "dvc", "cnn", "unet", "mlp"} or callable, default='auto'
        Variational autoencoder. "dvc" has 5 x 5 convolutions and a decoder that resizes (DVC-1 of
        the paper), "cnn" 4 x 4 convolutions, "unet" joins the levels of "dvc" by way of the
        embedding, "mlp" has dense layers (DVC-2). "auto" is "dvc" for images of at
        least 8 x 8, and "mlp" for others and for vectors. Or a factory
        ``(input_shape, latent_dim) -> nn.Module`` whose module has ``encode(x)``, which gives means
        and log-variances side by side, (n, 2 * latent_dim), and ``decode(z)``, which gives logits
        of the samples for likelihood="bernoulli", else standardised samples.
    hidden_dims : sequence of int or None, default=None
        Channels of the convolutions, widths of the hidden layers of "mlp"; the decoder has them in
        reverse. None is (16, 32, 64, 128) and (500, 500, 1000), or (128, 128, 256) for fewer than
        32 features of fewer than 2,500 samples. Not used by a factory.
    latent_dim : int, default=10
        Width of the embedding.
    input_shape : (int, int, int) or None, default=None
        ``(channels, height, width)`` into which the rows of a 2-D X fold; X of shape
        (n_samples, C, H, W) needs none. Convolutions need at least 8 x 8.
    resolution : {"auto", "full"} or int >= 8, default='auto'
        Images are averaged over squares of pixels before anything looks at them. An integer is the
        number of pixels that both sides keep at least. "auto" keeps 28 a side and nine tenths of
        the variance between images, and averages neither images with a side below 56 nor any where
        ``network`` or ``augment`` is a callable. "full" averages nothing.
    likelihood : {"auto", "bernoulli", "gaussian"}, default='auto'
        p(x|z): Bernoulli cross-entropy, for data in [0, 1] alone, or a Gaussian whose variance, one
        for all features, is learned. "auto" is "bernoulli" for images in [0, 1], as those of
        uint8 are, else "gaussian".
    prior_weight : float >= 0, default=0.03
        Weight of KL(q(z|x)‖N(0, I)) in training; 1 is the ELBO of the paper, which draws the
        posteriors together, and classes with them.
    pretrain_epochs : int >= 0 or "auto", default='auto'
        "auto" makes 1,600 training steps, a part of an epoch where there are so many samples, but
        at most 200 epochs; for "mlp" 1,000 steps, but at least 10 and at most 100 epochs.
    max_epochs : int >= 1 or "auto", default='auto'
        Epochs of the joint training. "auto" makes 800 training steps, a part of an epoch where
        there are so many samples, but at most 80 epochs; for "mlp" 600 steps, but at least 4 and
        at most 40 epochs.
    batch_size : int >= 2 or "auto", default='auto'
        Samples per step. "auto" is 128, less for fewer than 3,200 samples, at least 32.
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
        - "auto": the best of these and of others, in the embedding and in the data, by the rules
          of :class:`StatDEC`;
        - a scikit-learn clusterer that finds ``n_clusters`` clusters in the embedding.
    n_init : int, default=1
        Whole restarts; the one with the best unsupervised objective wins.
    n_jobs : int or None, default=None
        Number of processes for restarts, in joblib's sense. None runs them one after another in
        this process, unless a joblib context asks for more and there are no ``callbacks`` and no
        ``checkpoint``. The processes share the cores; with fewer threads sums may be rounded
        differently.
    warmup_epochs : int >= 0 or "auto", default='auto'
        Joint epochs in which P are the responsibilities of the start; "auto" is a quarter of the
        joint training.
    clustering_weight : float in [0, 1], default=0.5
        λ. The paper has 0.1 beside an ELBO summed over features; see Notes. At 1 the decoder stays
        as it was pretrained.
    degrees_of_freedom : float > 0, default=1.0
        α of the Student's t kernel.
    target : {"dec", "sharpened", "assigned", "posterior", "printed"}, default='dec'
        What the squared assignments are divided by, as in :class:`StatDEC`.
    focus : float >= 0, default=2.0
        γ of the target; without effect for "dec" and "sharpened".
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
    StatDEC : The same on an autoencoder that is not variational.

    Notes
    -----
    The embedding of a sample, for labels as for ``transform``, is the mean of q(z|x).

    ``sample`` draws an embedding from the Gaussian with the mean and the covariance that a
    cluster's training samples have under q(z|x), and returns the mean of p(x|z).

    ``score_samples`` is the ELBO in nats, a lower bound of the log-density of a sample in its own
    units (for likelihood="bernoulli" of the log-probability); its expectation is taken over four
    fixed draws of z.

    ``λ`` weighs the clusters against the ELBO *per feature*, so that it need not follow the size of
    the images. The paper's 0.1 beside a sum over d features is ``0.1 / (0.1 + 0.9 d)`` here.

    References
    ----------
    .. [1] F. Soleymani, M. Eslami, T. Elze, B. Bischl and M. Rezaei, "Deep Variational Clustering
       Framework for Self-labeling of Large-scale Medical Images", arXiv 2109.10777.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skdeepclust import DVC
    >>> X, y = make_blobs(200, centers=3, n_features=6, random_state=0)
    >>> model = DVC(n_clusters=3, hidden_dims=(32, 32), latent_dim=3, random_state=0).fit(X)
    >>> sorted(model.cluster_sizes_.tolist())
    [66, 67, 67]
    >>> generated, labels = model.sample(5, cluster=0)
    >>> generated.shape
    (5, 6)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **SelfTrainingClusterer._parameter_constraints,
        "likelihood": [StrOptions({"auto", "bernoulli", "gaussian"})],
        "prior_weight": [Interval(Real, 0, None, closed="left")],
    }

    _paper_settings = PAPER_SETTINGS
    _largest_batch = 128

    def __init__(
        self,
        n_clusters=8,
        *,
        network="auto",
        hidden_dims=None,
        latent_dim=10,
        input_shape=None,
        resolution="auto",
        likelihood="auto",
        prior_weight=0.03,
        pretrain_epochs="auto",
        max_epochs="auto",
        batch_size="auto",
        lr=2e-3,
        lr_decay="cosine",
        init="auto",
        n_init=1,
        n_jobs=None,
        warmup_epochs="auto",
        clustering_weight=0.5,
        degrees_of_freedom=1.0,
        target="dec",
        focus=2.0,
        whiten=True,
        update_interval=None,
        augment=None,
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
        self.likelihood = likelihood
        self.prior_weight = prior_weight
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
        self.whiten = whiten
        self.update_interval = update_interval
        self.augment = augment
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device

    # ------------------------------------------------------------------ the method

    def _build_module(self, run: Run) -> DVCModule:
        autoencoder = self._make_autoencoder(run, self._network(), variational=True)
        return DVCModule(
            self._resolve_likelihood(run.rows),
            self.prior_weight,
            standardize_rows(run.rows),
            autoencoder,
            self.latent_dim,
            self.n_clusters,
            self.degrees_of_freedom,
            variational=True,
        )

    def _network(self):
        if self.network == "auto":
            return "dvc" if suits_convolutions(self.input_shape_) else "mlp"
        return self.network

    def _schedules(self, n: int) -> tuple[dict, dict]:
        # Dense layers need whole epochs, which cost them less.
        if self._network() == "mlp":
            return super()._schedules(n)
        return CONVOLUTIONS_PRETRAINING, CONVOLUTIONS_JOINT_TRAINING

    def _resolve_likelihood(self, rows: Rows) -> str:
        low, high = rows.X.min() * rows.scale, rows.X.max() * rows.scale
        within = within_unit(low, high)
        if self.likelihood == "bernoulli" and not within:
            raise ValueError(
                f"likelihood='bernoulli' needs data in [0, 1], but X has values from {low:.6g} to "
                f"{high:.6g}; scale X, or use likelihood='gaussian'"
            )
        if self.likelihood == "auto":
            # New rows of a table that was scaled to [0, 1] may lie outside; pixels do not.
            return "bernoulli" if within and len(self.input_shape_) == 3 else "gaussian"
        return self.likelihood

    def _finish(self, run: Run, z: Tensor) -> None:
        module = run.module
        module.fix_draws()
        module.describe_clusters(z, run.map(module.variance), run.labels)
