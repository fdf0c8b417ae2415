"""Generators, and what judges their samples.

A generator maps ``(n, code_dim)`` to ``(n, *input_shape)``. A judge maps samples to
``(n, n_outputs)`` and shows its last hidden layer; a critic is one with one output, a classifier
one with an output a cluster. These have no normalisation: the penalty is about
single samples. The generator has: without it, it makes samples of few kinds.

Gan, Dong, Zhou, Gao and Dong, fig. 2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ._factories import require_images
from ._layers import dense

# Where the way down ends and the way up begins.
SMALLEST_MAP = 4
# Where the paper has three layers of 512, and 256 channels. For few dimensions, the second.
DENSE_DIMS, FEW_DENSE_DIMS = (256, 256), (128, 128, 128)
LEAST_CHANNELS, MOST_CHANNELS = 4, 64

# Of what judges.
leaky_relu = partial(nn.LeakyReLU, 0.2, inplace=True)


def halvings(side: int) -> list[int]:
    """The side of an image, its half and so on, down to SMALLEST_MAP."""
    sides = [side]
    while sides[-1] > SMALLEST_MAP:
        sides.append(math.ceil(sides[-1] / 2))
    return sides


def map_sides(side: int, n_layers: int) -> list[int]:
    """Sides of the maps from the image down; layers beyond what there is to halve stand outermost
    and leave them as they are."""
    sides = halvings(side)
    if len(sides) > n_layers + 1:
        raise ValueError(
            f"hidden_dims has {n_layers} layers, but images with a side of {side} need "
            f"{len(sides) - 1} to come down to {SMALLEST_MAP}; give as many channels"
        )
    return [side] * (n_layers + 1 - len(sides)) + sides


def default_channels(input_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Channels from the image down, twice as many each to MOST_CHANNELS: three layers, more for
    images of more than 32 pixels, which begin with no fewer than LEAST_CHANNELS."""
    n_layers = max(3, len(halvings(max(input_shape[1:]))) - 1)
    levels = reversed(range(n_layers))
    return tuple(max(LEAST_CHANNELS, MOST_CHANNELS // 2**level) for level in levels)


class DenseGenerator(nn.Module):
    """Dense layers with ReLU, and batch normalisation if asked for."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        code_dim: int,
        hidden_dims: Sequence[int] | None = None,
        *,
        batch_norm: bool = False,
    ):
        super().__init__()
        hidden_dims = DENSE_DIMS if hidden_dims is None else hidden_dims
        self.input_shape = tuple(input_shape)
        dims = (code_dim, *hidden_dims, math.prod(input_shape))
        self.layers = dense(dims, batch_norm=batch_norm)

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code).view(-1, *self.input_shape)


class DenseJudge(nn.Module):
    """Dense layers with leaky ReLU."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        hidden_dims: Sequence[int] | None = None,
    ):
        super().__init__()
        hidden_dims = DENSE_DIMS if hidden_dims is None else hidden_dims
        self.hidden_features = hidden_dims[-1]
        dims = (math.prod(input_shape), *hidden_dims)
        self.body = nn.Sequential(dense(dims, activation=leaky_relu), leaky_relu())
        self.head = nn.Linear(self.hidden_features, n_outputs)

    def hidden(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))


class ConvolutionalGenerator(nn.Module):
    """A dense layer to maps of 4 x 4, then transposed 5 x 5 convolutions with batch normalisation
    and ReLU.

    Parameters
    ----------
    input_shape : (int, int, int)
        (channels, height, width).
    code_dim : int
    hidden_dims : sequence of int or None, default=None
        Channels of the maps from the image down; there is one convolution each. None is (16, 32,
        64), with further layers before them for images of more than 32 pixels.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        code_dim: int,
        hidden_dims: Sequence[int] | None = None,
    ):
        super().__init__()
        hidden_dims = default_channels(input_shape) if hidden_dims is None else hidden_dims
        channels = [input_shape[0], *hidden_dims]
        heights, widths = (map_sides(side, len(hidden_dims)) for side in input_shape[1:])
        self.smallest = (channels[-1], heights[-1], widths[-1])
        self.start = nn.Linear(code_dim, math.prod(self.smallest))
        layers: list[nn.Module] = []
        for level in reversed(range(len(hidden_dims))):
            pairs = [sides[level : level + 2] for sides in (heights, widths)]
            layers += [
                nn.BatchNorm2d(channels[level + 1]),
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(
                    channels[level + 1],
                    channels[level],
                    5,
                    stride=tuple(1 if large == small else 2 for large, small in pairs),
                    padding=2,
                    # An odd side has no other half of its last row.
                    output_padding=tuple(
                        0 if large == small else large - (2 * small - 1) for large, small in pairs
                    ),
                ),
            ]
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(self.start(code).view(-1, *self.smallest))


class ConvolutionalJudge(nn.Module):
    """5 x 5 convolutions with leaky ReLU down to maps of 4 x 4: the generator mirrored."""

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        n_outputs: int,
        hidden_dims: Sequence[int] | None = None,
    ):
        super().__init__()
        hidden_dims = default_channels(input_shape) if hidden_dims is None else hidden_dims
        channels = [input_shape[0], *hidden_dims]
        heights, widths = (map_sides(side, len(hidden_dims)) for side in input_shape[1:])
        layers: list[nn.Module] = []
        for level, (above, below) in enumerate(itertools.pairwise(channels)):
            stride = tuple(
                1 if sides[level] == sides[level + 1] else 2 for sides in (heights, widths)
            )
            layers += [
                nn.Conv2d(above, below, 5, stride=stride, padding=2),
                leaky_relu(),
            ]
        self.hidden_features = channels[-1] * heights[-1] * widths[-1]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(self.hidden_features, n_outputs)
        self.to(memory_format=torch.channels_last)

    def hidden(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))


GANS = {
    "mlp": (DenseGenerator, DenseJudge),
    "cnn": (ConvolutionalGenerator, ConvolutionalJudge),
}


def few_dimensions(input_shape: tuple[int, ...], n_clusters: int) -> bool:
    """Whether samples have fewer numbers than there are clusters.

    There, without a start, what helps to find classes of many features was seen to cost accuracy:
    a critic held to no slope at the data, a normalised generator, wide networks of few layers,
    single steps of critic and classifier.

    Parameters
    ----------
    input_shape : tuple of int
    n_clusters : int
    """
    return math.prod(input_shape) < n_clusters


def make_gan(
    network: str,
    input_shape: tuple[int, ...],
    code_dim: int,
    n_clusters: int,
    hidden_dims: Sequence[int] | None = None,
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Build generator, critic and classifier.

    Parameters
    ----------
    network : {"mlp", "cnn"}
    input_shape : tuple of int
    code_dim : int
        What the generator is given for each sample.
    n_clusters : int
        Outputs of the classifier.
    hidden_dims : sequence of int or None
        Of all three. None: the named network's own.

    Raises
    ------
    ValueError
        When the name is unknown, the shape does not suit the network, or there is no hidden layer.
    """
    if network not in GANS:
        raise ValueError(f"network={network!r} is unknown; expected one of {sorted(GANS)}")
    if hidden_dims is not None and not len(hidden_dims):
        raise ValueError(f"hidden_dims={hidden_dims!r}; expected at least one hidden layer")
    if network == "cnn":
        require_images("network='cnn'", input_shape)
    Generator, Judge = GANS[network]
    if network == "mlp":
        few = few_dimensions(input_shape, n_clusters)
        Generator = partial(Generator, batch_norm=not few)
        if hidden_dims is None and few:
            hidden_dims = FEW_DENSE_DIMS
    return (
        Generator(input_shape, code_dim, hidden_dims),
        Judge(input_shape, 1, hidden_dims),
        Judge(input_shape, n_clusters, hidden_dims),
    )
