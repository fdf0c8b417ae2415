"""Edges instead of colours, so that a network cannot cluster by colour alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rec. 601 luma.
LUMA = (0.299, 0.587, 0.114)


class Sobel(nn.Module):
    """Vertical and horizontal edge maps of the grey image, (n, C, H, W) -> (n, 2, H, W).

    Three channels are taken as RGB; other numbers of channels are averaged.
    """

    luma: Tensor
    kernels: Tensor

    def __init__(self, channels: int):
        super().__init__()
        weights = LUMA if channels == 3 else [1 / channels] * channels
        self.register_buffer("luma", torch.tensor(weights).view(1, channels, 1, 1))
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        self.register_buffer("kernels", torch.stack([across, across.T]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        grey = F.conv2d(x, self.luma)
        # The border is repeated: padding with zeros would put an edge around every picture.
        return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), self.kernels)
