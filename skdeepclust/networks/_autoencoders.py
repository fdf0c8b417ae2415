"""Autoencoders by name, and what a user's own must offer.

An autoencoder here is an ``nn.Module`` with two methods: ``encode(x)`` from samples of shape
``(n, *input_shape)`` to ``(n, latent_dim)`` without a final nonlinearity, and ``decode(z)`` back.
One that also has ``decode_hidden(z)``, ``decode_output(h)`` and the width ``hidden_features`` of h,
with ``decode(z) == decode_output(decode_hidden(z))``, can take a statistics pooling layer between.
A variational one has an ``encode`` that gives ``(n, 2 * latent_dim)``: means, then log-variances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._convolutional import CNNAutoencoder, DVCAutoencoder, UNetAutoencoder
from ._factories import NetworkFactory, call_factory, evaluating, require_images, require_shape
from ._layers import dense


class MLPAutoencoder(nn.Module):
    """Dense encoder and mirrored decoder, d-500-500-1000-latent by default.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample; it is flattened.
    latent_dim : int
    hidden_dims : sequence of int, default=(500, 500, 1000)
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    moments : int, default=1
        How many numbers ``encode`` gives for each latent dimension.
    """

    DEFAULT_DIMS = (500, 500, 1000)

    def __init__(
        self,
        input_shape: tuple[int, ...],
        latent_dim: int,
        hidden_dims: Sequence[int] = DEFAULT_DIMS,
        moments: int = 1,
    ):
        super().__init__()
        self.input_shape = tuple(input_shape)
        n_features = math.prod(self.input_shape)
        widths = [n_features, *hidden_dims, latent_dim]
        self.encoder = dense((*widths[:-1], moments * latent_dim))
        # The statistics are taken at the decoder's second hidden layer, the last one if it has one.
        up = widths[::-1]
        second = min(2, len(hidden_dims))
        self.hidden_features = up[second]
        self.decoder_body = dense(tuple(up[: second + 1]))
        hidden_nonlinearity = (
            [nn.ReLU()] if len(hidden_dims) else []
        )  # without layers, h is z itself
        self.decoder_head = nn.Sequential(*hidden_nonlinearity, *dense(tuple(up[second:])))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))  # (n, *input_shape) -> (n, latent_dim)

    def decode_hidden(self, z: Tensor) -> Tensor:
        return self.decoder_body(z)  # (n, latent_dim) -> (n, hidden_features), before the ReLU

    def decode_output(self, hidden: Tensor) -> Tensor:
        return self.decoder_head(hidden).view(-1, *self.input_shape)

    def decode(self, z: Tensor) -> Tensor:
        return self.decode_output(self.decode_hidden(z))

    def layer_pairs(self) -> list[tuple[nn.Linear, nn.Linear]]:
        """Each encoder layer with its decoder twin, from the outside in."""
        down = [layer for layer in self.encoder if isinstance(layer, nn.Linear)]
        up = [*self.decoder_body, *self.decoder_head]
        return list(
            zip(down, [layer for layer in up if isinstance(layer, nn.Linear)][::-1], strict=True)
        )


AUTOENCODERS = {
    "mlp": MLPAutoencoder,
    "cnn": CNNAutoencoder,
    "unet": UNetAutoencoder,
    "dvc": DVCAutoencoder,
}


def make_autoencoder(
    network: str | NetworkFactory,
    input_shape: tuple[int, ...],
    latent_dim: int,
    hidden_dims: Sequence[int] | None = None,
    *,
    variational: bool = False,
) -> nn.Module:
    """Build the autoencoder that ``network`` names, and check what a user's factory returned.

    Parameters
    ----------
    network : {"mlp", "cnn", "unet", "dvc"} or callable
        All but "mlp" need images.
    input_shape : tuple of int
    latent_dim : int
    hidden_dims : sequence of int or None
        None: the named network's own.
    variational : bool, default=False
        Whether ``encode`` is to give two numbers for each latent dimension.

    Raises
    ------
    ValueError
        When the name is unknown, the shape does not suit the network, or the factory's module lacks
        a method or gives another shape.
    """
    moments = 2 if variational else 1
    if not callable(network):
        if network not in AUTOENCODERS:
            raise ValueError(
                f"network={network!r} is unknown; expected one of {sorted(AUTOENCODERS)}, of an "
                "estimator also 'auto', or a factory (input_shape, latent_dim) -> nn.Module"
            )
        if network != "mlp":
            require_images(f"network={network!r}", input_shape)
        Autoencoder = AUTOENCODERS[network]
        dims = Autoencoder.DEFAULT_DIMS if hidden_dims is None else hidden_dims
        return Autoencoder(input_shape, latent_dim, dims, moments)
    module = call_factory(network, input_shape, latent_dim)
    missing = [name for name in ("encode", "decode") if not callable(getattr(module, name, None))]
    if missing:
        raise ValueError(
            f"the module returned by network={network!r} has no method {' and no '.join(missing)}; "
            "expected encode(x) -> (n, latent_dim) and decode(z) -> (n, *input_shape)"
        )
    with evaluating(module):
        _check_shapes(module, input_shape, latent_dim, moments)
    return module


def _check_shapes(
    module: nn.Module, input_shape: tuple[int, ...], latent_dim: int, moments: int
) -> None:
    x = torch.zeros(2, *input_shape)
    code = module.encode(x)
    wanted = f"(2, latent_dim={latent_dim})"
    if moments == 2:
        wanted = f"(2, 2 * latent_dim={2 * latent_dim}): means, then log-variances"
    samples = f"two samples of shape {input_shape}"
    require_shape("encode", code, (2, moments * latent_dim), samples, wanted)
    x_hat = module.decode(code[:, :latent_dim])
    require_shape("decode", x_hat, tuple(x.shape), "two embeddings", str(tuple(x.shape)))
