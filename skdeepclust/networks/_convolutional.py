"""Convolutional autoencoders; what a network offers is said in ``_autoencoders.py``.

Sizes of any height and width from 8 on, odd ones included, and any number of channels.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_SIDE = 8


def suits_convolutions(input_shape: tuple[int, ...], least: int = SMALLEST_SIDE) -> bool:
    """Whether samples of this shape are images with sides of at least ``least``, by default what
    these networks can do with."""
    return len(input_shape) == 3 and min(input_shape[1:]) >= least


class ConvolutionalAutoencoder(nn.Module, ABC):
    """What these networks share: a way down to a small map, a dense layer to the code and one back.

    Parameters
    ----------
    input_shape : (int, int, int)
        (channels, height, width).
    latent_dim : int
    hidden_dims : sequence of int, default=(16, 32, 64, 128)
        Channels of the encoder's convolutions; the decoder has them in reverse. Convolutions for
        which nothing is left to halve are left out.
    moments : int, default=1
        How many numbers ``encode`` gives for each latent dimension.
    """

    DEFAULT_DIMS = (16, 32, 64, 128)

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        latent_dim: int,
        hidden_dims: Sequence[int] = DEFAULT_DIMS,
        moments: int = 1,
    ):
        super().__init__()
        channels, *sides = input_shape
        if min(sides) < SMALLEST_SIDE:
            raise ValueError(
                f"images of {sides[0]} x {sides[1]} are too small for {type(self).__name__}; "
                f"expected at least {SMALLEST_SIDE} x {SMALLEST_SIDE}: use network='mlp'"
            )
        # Height and width of the maps, from the image to the smallest one.
        self.sides = [tuple(sides)]
        for _ in hidden_dims:
            if max(self.sides[-1]) == 1:
                break
            self.sides.append(self.halved(self.sides[-1]))
        self.channels = [channels, *hidden_dims][: len(self.sides)]
        self.hidden_features = self.channels[-1]
        inner = self.channels[-1] * math.prod(self.sides[-1])
        levels = list(itertools.pairwise(range(len(self.sides))))
        self.down = nn.ModuleList(self.convolution_down(a, b) for a, b in levels)
        self.to_code = nn.Linear(inner, moments * latent_dim)
        self.from_code = nn.Linear(latent_dim, inner)
        self.up = nn.ModuleList(self.convolution_up(b, a) for a, b in reversed(levels))
        # On CPUs training takes .8 to .97 of the time in this layout (benchmarks/layout.py).
        self.to(memory_format=torch.channels_last)

    # ---- what a network of this kind decides

    @abstractmethod
    def halved(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Height and width after a convolution down."""

    @abstractmethod
    def convolution_down(self, level: int, below: int) -> nn.Module:
        """From the maps of one level to those of the next smaller one."""

    @abstractmethod
    def convolution_up(self, level: int, above: int) -> nn.Module:
        """From the maps of one level to those of the next larger one, without normalisation."""

    # ---- the way down and up

    def encode(self, x: Tensor) -> Tensor:
        for layer in self.down:
            x = layer(x)  # (n, channels[l], *sides[l])
        return self.to_code(x.flatten(1))  # (n, moments * latent_dim)

    def decode_hidden(self, z: Tensor) -> Tensor:
        """The smallest maps, ``(n, hidden_features, *sides[-1])``, before their ReLU."""
        return self.from_code(z).view(-1, self.channels[-1], *self.sides[-1])

    def decode_output(self, hidden: Tensor) -> Tensor:
        h = hidden.relu()
        for layer in self.up:
            h = layer(h)
        return h  # (n, *input_shape)

    def decode(self, z: Tensor) -> Tensor:
        return self.decode_output(self.decode_hidden(z))

    def _normalized(self, convolution: nn.Module, level: int) -> nn.Sequential:
        """The convolution with batch normalisation and ReLU; the image itself gets neither."""
        if level == 0:
            return nn.Sequential(convolution)
        return nn.Sequential(
            convolution, nn.BatchNorm2d(self.channels[level]), nn.ReLU(inplace=True)
        )


class CNNAutoencoder(ConvolutionalAutoencoder):
    """Four 4 x 4 convolutions of stride 2 with batch normalisation and ReLU, a dense layer to the
    code; back by a dense layer and transposed 4 x 4 convolutions.

    The network of StatDEC+CNN (Rezaei et al., arXiv 2109.05232, table IV). Images with a side of
    less than 16 have three convolutions.
    """

    def halved(self, sides: tuple[int, int]) -> tuple[int, int]:
        return tuple(max(1, side // 2) for side in sides)

    def _geometry(self, level: int) -> dict:
        # A side of 1 is left as it is.
        strides = tuple(2 if side > 1 else 1 for side in self.sides[level])
        return {"kernel_size": tuple(2 + s for s in strides), "stride": strides, "padding": 1}

    def convolution_down(self, level: int, below: int) -> nn.Module:
        convolution = nn.Conv2d(
            self.channels[level], self.channels[below], **self._geometry(level), bias=False
        )
        return self._normalized(convolution, below)

    def convolution_up(self, level: int, above: int) -> nn.Module:
        odd = tuple(
            large - (2 * small if large > 1 else small)
            for small, large in zip(self.sides[level], self.sides[above], strict=True)
        )
        convolution = nn.ConvTranspose2d(
            self.channels[level],
            self.channels[above],
            **self._geometry(above),
            output_padding=odd,
            bias=above == 0,
        )
        return self._normalized(convolution, above)


class DoublingConv2d(nn.Conv2d):
    """A 3 x 3 convolution of maps resized to ``size``, twice their size, by repeating pixels.

    Of the nine products that make a pixel of the result several have the same factor, a repeated
    pixel, and only four factors differ. So the weights that meet one are added first: with the sums
    this is a transposed 4 x 4 convolution, less than half of the arithmetic. On images of 28 x 28
    to 64 x 64 a training step takes .57 to .85 of the time on a CPU (benchmarks/layout.py).
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int], *, bias: bool):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)
        self.size = size

    def repeated(self, x: Tensor) -> Tensor:
        """The same in so many words, for any size."""
        return super().forward(F.interpolate(x, self.size))

    def forward(self, x: Tensor) -> Tensor:
        if any(side % 2 for side in self.size):  # the last pixel is not repeated
            return self.repeated(x)
        weight = self.weight.transpose(0, 1)  # (in, out, 3, 3)
        weight = _met_by_pixels(_met_by_pixels(weight, 2), 3)  # (in, out, 4, 4)
        y = F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)
        return y.contiguous(memory_format=torch.channels_last)  # what follows is quicker so


def _met_by_pixels(weight: Tensor, dim: int) -> Tensor:
    """Of three weights along ``dim`` the sums that meet each of four pixels."""
    first, middle, last = weight.unbind(dim)
    return torch.stack((last, middle + last, first + middle, first), dim)


class DVCAutoencoder(ConvolutionalAutoencoder):
    """5 x 5 convolutions of stride 2 with batch normalisation and ReLU, a dense layer to the code;
    back by a dense layer, and by resizing to twice the size and 3 x 3 convolutions.

    The network of DVC-1 (Soleymani et al., arXiv 2109.10777).
    """

    def halved(self, sides: tuple[int, int]) -> tuple[int, int]:
        return tuple((side + 1) // 2 for side in sides)

    def convolution_down(self, level: int, below: int) -> nn.Module:
        convolution = nn.Conv2d(
            self.channels[level], self.channels[below], 5, stride=2, padding=2, bias=False
        )
        return self._normalized(convolution, below)

    def convolution_up(self, level: int, above: int) -> nn.Module:
        convolution = DoublingConv2d(
            self.channels[level], self.channels[above], self.sides[above], bias=above == 0
        )
        return self._normalized(convolution, above)


class UNetAutoencoder(DVCAutoencoder):
    """The network "dvc", each level of whose decoder is joined with that of its encoder, by way of
    the code.

    After StatDEC+UNet (Rezaei et al., arXiv 2109.05232, table IV). A U-Net's connections carry the
    image round the code, which is then free to be anything: nothing would be left to cluster, and
    nothing could be decoded from a code alone. Here what a level of the encoder gives to its twin
    passes through the code: the code is read from the averages of every level's maps beside the
    smallest maps, and each level of the decoder is shifted by what it reads from the code.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        joined = self.channels[1:-1]  # the smallest maps are in the code already
        self.levels_to_code = nn.ModuleList(
            nn.Linear(width, self.to_code.out_features, bias=False) for width in joined
        )
        self.code_to_levels = nn.ModuleList(
            nn.Linear(self.hidden_features, width, bias=False) for width in reversed(joined)
        )

    def encode(self, x: Tensor) -> Tensor:
        code = 0
        for number, layer in enumerate(self.down):
            x = layer(x)
            if number < len(self.levels_to_code):
                code = code + self.levels_to_code[number](x.mean((2, 3)))
        return code + self.to_code(x.flatten(1))

    def decode_output(self, hidden: Tensor) -> Tensor:
        # hidden is linear in the code, and so is its mean over the map.
        code = hidden.mean((2, 3))
        h = hidden.relu()
        for number, layer in enumerate(self.up):
            h = layer(h)
            if number < len(self.code_to_levels):
                h = F.relu(h + self.code_to_levels[number](code)[:, :, None, None])
        return h
