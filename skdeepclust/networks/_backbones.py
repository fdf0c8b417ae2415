"""Backbones by name: from samples to the embedding that scores are read from.

A backbone is an ``nn.Module`` that maps ``(n, *input_shape)`` to ``(n, latent_dim)``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from ._factories import NetworkFactory, call_factory, evaluating, require_images, require_shape


class MLPBackbone(nn.Module):
    """Dense layers with batch normalisation and ReLU.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample; it is flattened.
    latent_dim : int
    hidden_dims : sequence of int, default=(32,)
        Widths of the layers before the embedding.
    """

    DEFAULT_DIMS = (32,)

    def __init__(
        self,
        input_shape: tuple[int, ...],
        latent_dim: int,
        hidden_dims: Sequence[int] = DEFAULT_DIMS,
    ):
        super().__init__()
        widths = [math.prod(input_shape), *hidden_dims, latent_dim]
        self.layers = nn.Sequential(*(_dense_block(a, b) for a, b in itertools.pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


class CNNBackbone(nn.Module):
    """3 x 3 convolutions with 2 x 2 max pooling between, batch normalisation and ReLU, then a dense
    layer.

    C16 M C32 M C64 F32 with the defaults: the network of Tissera et al., table 2, at a quarter of
    its widths.

    Parameters
    ----------
    input_shape : (int, int, int)
        (channels, height, width).
    latent_dim : int
    hidden_dims : sequence of int or of sequences of int, default=(16, 32, 64)
        Channels of the convolutions, block by block: an int is a block of one. Between blocks the
        sides are halved, as long as they exceed 3.
    """

    DEFAULT_DIMS = (16, 32, 64)

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        latent_dim: int,
        hidden_dims: Sequence[int | Sequence[int]] = DEFAULT_DIMS,
    ):
        super().__init__()
        channels, *sides = input_shape
        blocks = [[block] if isinstance(block, Integral) else list(block) for block in hidden_dims]
        layers: list[nn.Module] = []
        for number, block in enumerate(blocks, start=1):
            for position, width in enumerate(block, start=1):
                layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
                channels = width
                if position == len(block) and number < len(blocks) and min(sides) > 3:
                    layers.append(nn.MaxPool2d(2))
                    sides = [side // 2 for side in sides]
                # After the pooling: a quarter of the work, and BatchNorm's gains start positive,
                # so that it commutes with the maximum.
                layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), *_dense_block(channels * math.prod(sides), latent_dim)
        )
        # On CPUs inference takes a third and training two thirds of the time in this layout.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _dense_block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU(inplace=True)
    )


BACKBONES = {"mlp": MLPBackbone, "cnn": CNNBackbone}


def make_backbone(
    network: str | NetworkFactory,
    input_shape: tuple[int, ...],
    latent_dim: int,
    hidden_dims: Sequence[int] | None = None,
) -> nn.Module:
    """Build the backbone that ``network`` names, and check what a user's factory returned.

    Parameters
    ----------
    network : {"auto", "mlp", "cnn"} or callable
        "auto" is "cnn" for images and "mlp" for vectors.
    input_shape : tuple of int
    latent_dim : int
    hidden_dims : sequence of int or None
        None: the named network's own.

    Raises
    ------
    ValueError
        When the name is unknown, "cnn" is given no images, "mlp" sequences of widths, or a
        factory's module gives another shape.
    """
    if callable(network):
        return _checked(network, input_shape, latent_dim)
    if network == "auto":
        network = "cnn" if len(input_shape) == 3 else "mlp"
    if network not in BACKBONES:
        raise ValueError(
            f"network={network!r} is unknown; expected 'auto', one of {sorted(BACKBONES)} or a "
            "factory (input_shape, latent_dim) -> nn.Module"
        )
    Backbone = BACKBONES[network]
    dims = Backbone.DEFAULT_DIMS if hidden_dims is None else hidden_dims
    if network == "cnn":
        require_images("network='cnn'", input_shape)
    elif not all(isinstance(width, Integral) for width in dims):
        raise ValueError(
            f"hidden_dims={hidden_dims!r} holds sequences; expected integers for dense layers, or "
            "images and network='cnn', whose convolutions they group"
        )
    return Backbone(input_shape, latent_dim, dims)


def _checked(network: NetworkFactory, input_shape: tuple[int, ...], latent_dim: int) -> nn.Module:
    module = call_factory(network, input_shape, latent_dim)
    with evaluating(module):
        found = module(torch.zeros(2, *input_shape))
    require_shape(
        f"the module returned by network={network!r}",
        found,
        (2, latent_dim),
        f"two samples of shape {input_shape}",
        f"(2, latent_dim={latent_dim})",
    )
    return module
