"""Edge maps against scipy, and what they do not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from skdeepclust.networks import Sobel

# Weights of the channels in the grey image.
GREY = {1: [1], 2: [0.5] * 2, 3: [0.299, 0.587, 0.114], 4: [0.25] * 4}
SIDES = [(9, 7), (1, 1), (2, 5), (1, 6)]


def images(channels, height=9, width=7):
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.normal(size=(4, channels, height, width))).float()


@pytest.mark.parametrize(("height", "width"), SIDES)
@pytest.mark.parametrize("channels", GREY)
def test_maps_are_the_sobel_filter_of_the_grey_image(channels, height, width):
    x = images(channels, height, width)
    y = Sobel(channels)(x)
    assert y.shape == (4, 2, height, width)
    assert y.dtype == torch.float32
    for image, maps in zip(x.double().numpy(), y.numpy(), strict=True):
        grey = sum(weight * plane for weight, plane in zip(GREY[channels], image, strict=True))
        # Across first: the vertical edges.
        expected = [ndimage.sobel(grey, axis=axis, mode="nearest") / 8 for axis in (1, 0)]
        np.testing.assert_allclose(maps, expected, atol=1e-5)


@pytest.mark.parametrize("channels", GREY)
def test_constant_images_have_no_edges_not_even_at_the_border(channels):
    y = Sobel(channels)(torch.full((2, channels, 6, 5), 3.0))
    torch.testing.assert_close(y, torch.zeros(2, 2, 6, 5), atol=1e-6, rtol=0)


def test_a_ramp_has_its_slope_in_one_map_alone():
    """The kernels sum to the derivative: 8 is their weight over a step of two pixels."""
    ramp = torch.arange(6.0).expand(1, 1, 5, 6) * 0.5
    across, down = Sobel(1)(ramp)[0]
    torch.testing.assert_close(across[:, 1:-1], torch.full((5, 4), 0.5))
    torch.testing.assert_close(down, torch.zeros(5, 6))
    turned_across, turned_down = Sobel(1)(ramp.transpose(2, 3))[0]
    torch.testing.assert_close(turned_down, across.T)
    torch.testing.assert_close(turned_across, down.T)


@pytest.mark.parametrize("channels", GREY)
def test_edges_do_not_see_brightness(channels):
    x, sobel = images(channels), Sobel(channels)
    torch.testing.assert_close(sobel(x + 2), sobel(x), atol=1e-5, rtol=0)


def test_colours_of_equal_luma_have_no_edge_between_them():
    red, green = torch.tensor([0.587, 0.0, 0.0]), torch.tensor([0.0, 0.299, 0.0])
    x = torch.stack([red, green], 1).repeat_interleave(3, 1)  # (3, 6): three columns of each
    y = Sobel(3)(x.view(1, 3, 1, 6).expand(1, 3, 4, 6))
    torch.testing.assert_close(y, torch.zeros(1, 2, 4, 6), atol=1e-6, rtol=0)


def test_there_is_nothing_to_train_but_gradients_pass():
    sobel, x = Sobel(3), images(3).requires_grad_()
    assert not list(sobel.parameters())
    sobel(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
