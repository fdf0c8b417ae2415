"""What a cluster looks like to the network: inputs made for it, and samples that fit it best.

Tissera et al., "Neural Mixture Models with Expectation-Maximization for End-to-end Deep
Clustering", fig. 8.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils import check_random_state

from ._images import as_images, mosaic_size, show_mosaic, to_pixels
from ._plotting import axes_to_draw_on, require_count, require_fitted


def synthesize_prototypes(
    estimator, *, n_steps=200, step_size=0.05, penalty=0.1, random_state=None
):
    """Make the input whose score and posterior are highest for each cluster, by gradient ascent.

    Parameters
    ----------
    estimator : NeuralMixtureEM
        Fitted.
    n_steps : int >= 1, default=200
        Steps of Adam.
    step_size : float > 0, default=0.05
        Its learning rate, in units of the data's standard deviation.
    penalty : float >= 0, default=0.1
        Weight of the squared distance from the data's mean, without which the input would leave
        the range of the data, and for images ten times as much of the squared differences between
        neighbouring pixels, without which it would be noise.
    random_state : int, RandomState instance or None, default=None
        Of the noise that the ascent begins at.

    Returns
    -------
    ndarray of shape (n_clusters, n_features) or (n_clusters, C, H, W), float32
        In the shape and the units that ``fit`` was given; for images of uint8 within [0, 1].

    Raises
    ------
    TypeError
        When the estimator has no densities of clusters.
    """
    module = _density_module(estimator)
    require_count("n_steps", n_steps)
    mean, scale = module.standardize.mean, module.standardize.scale
    n_clusters = len(estimator.cluster_centers_)
    noise = check_random_state(random_state).standard_normal((n_clusters, *mean.shape))
    # In standardised units, so that steps and penalty mean the same for all data.
    x = torch.tensor(noise, dtype=mean.dtype, device=mean.device, requires_grad=True)
    optimizer = torch.optim.Adam([x], step_size)
    own = torch.arange(n_clusters, device=mean.device)
    bounds = (-mean / scale, (1 - mean) / scale) if estimator._image_dtype == np.uint8 else None
    with torch.enable_grad():
        for _ in range(n_steps):
            made = x * scale + mean
            # Of each input for its own cluster. The density alone may lead to where that of
            # another cluster is higher still.
            score = module.gamma * module.log_density(made)[own, own]
            share = module.assign(made)[own, own].clamp(min=1e-12).log()
            loss = (penalty * _roughness(x) - score - share).sum()
            optimizer.zero_grad()
            (x.grad,) = torch.autograd.grad(loss, [x])
            optimizer.step()
            if bounds is not None:
                x.data.clamp_(*bounds)
    made = estimator._as_large(module.standardize.inverse(x.detach())).cpu().numpy()
    return made.reshape(n_clusters, *estimator._sample_shape)


def _roughness(x: torch.Tensor) -> torch.Tensor:
    """Sum of what an input is penalised for, (n,): as for single features, so for pixels."""
    penalty = x.square().flatten(1).mean(1)
    if x.ndim == 4:
        for axis in (2, 3):
            penalty = penalty + 10 * x.diff(dim=axis).square().flatten(1).mean(1)
    return penalty


def most_relevant_samples(estimator, X, n_samples=8):
    """The samples that each cluster's density is highest at.

    Parameters
    ----------
    estimator : NeuralMixtureEM
        Fitted.
    X : array-like of shape (n, n_features) or (n, C, H, W)
    n_samples : int >= 1, default=8

    Returns
    -------
    ndarray of shape (n_clusters, n_samples), int64
        Indices into X, best first. A sample of another cluster may be among them where a cluster
        has fewer than ``n_samples``.
    """
    require_count("n_samples", n_samples)
    module = _density_module(estimator)
    density = estimator._infer(module.log_density, X)
    if n_samples > len(density):
        raise ValueError(f"n_samples={n_samples}; expected 1 to {len(density)}, the samples of X")
    return np.argsort(-density, axis=0, kind="stable")[:n_samples].T


class PrototypesDisplay:
    """Each cluster's prototype, and the samples that fit it best beside it.

    Parameters
    ----------
    prototypes : ndarray of shape (n_clusters, C, H, W)
    samples : ndarray of shape (n_clusters, n_samples, C, H, W)

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    """

    def __init__(self, prototypes, samples):
        self.prototypes, self.samples = prototypes, samples

    @classmethod
    def from_estimator(cls, estimator, X, *, n_samples=8, random_state=None):
        """Compute what is shown; call :meth:`plot` to draw it.

        Parameters
        ----------
        estimator : NeuralMixtureEM
            Fitted on images.
        X : array-like of shape (n, n_features) or (n, C, H, W)
        n_samples : int >= 1, default=8
        random_state : int, RandomState instance or None, default=None
            See :func:`synthesize_prototypes`.

        Returns
        -------
        PrototypesDisplay
        """
        _density_module(estimator)
        images = as_images(estimator, X)
        prototypes = synthesize_prototypes(estimator, random_state=random_state)
        chosen = most_relevant_samples(estimator, X, n_samples)
        return cls(prototypes.reshape(-1, *images.shape[1:]), images[chosen])

    def plot(self, ax=None):
        """Draw one row for each cluster: its prototype, and the samples on the right of it.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : PrototypesDisplay
        """
        # Each on a scale of its own, for what was made may go beyond the data. A column parts them.
        made, samples = to_pixels(self.prototypes)[:, None], to_pixels(self.samples)
        pixels = np.concatenate([made, np.zeros_like(made), samples], 1)
        n_clusters, columns, *size, _ = pixels.shape
        shown = np.broadcast_to(np.arange(columns) != 1, (n_clusters, columns))
        ax = axes_to_draw_on(ax, figsize=mosaic_size(n_clusters, columns, *size))
        show_mosaic(ax, pixels, range(n_clusters), shown)
        for middle, name in ((0.5, "prototype"), (1 + columns / 2, "highest density")):
            ax.text(middle, -0.12, name, ha="center", va="bottom")
        ax.set_ylabel("cluster")
        self.figure_, self.ax_ = ax.figure, ax
        return self


def _density_module(estimator):
    require_fitted(estimator)
    module = estimator.module_
    if not hasattr(module, "log_density"):
        raise TypeError(
            f"{type(estimator).__name__} has no densities of clusters; expected an estimator like "
            "NeuralMixtureEM. Where there is a decoder, inverse_transform(cluster_centers_) shows "
            "what a cluster looks like"
        )
    return module
