"""Augmentation: what it may change, by how much, and where its randomness comes from."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import pytest
import torch
import torch.nn.functional as F

from skdeepclust.training import (
    AUGMENTATIONS,
    _augment,
    affine_warp,
    color_jitter,
    make_augmentation,
)
from skdeepclust.training._augment import ANY_ROTATION, ANYWHERE, MILD, STRONG, AffineRanges

STILL = AffineRanges(rotation=0.0, shift=0.0, scale=0.0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def still(monkeypatch):
    """Switch the ranges of colours off, all or all but the named ones."""

    def switch(*, keep=()):
        for name in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
            if name not in keep:
                monkeypatch.setattr(_augment, name, 0.0)

    return switch


@pytest.mark.parametrize(("height", "width"), [(9, 9), (5, 8)])
def test_grid_is_torchs(height, width):
    theta = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = F.affine_grid(theta, [3, 1, height, width], align_corners=False)
    torch.testing.assert_close(_augment._affine_grid(theta, height, width), expected)


def images(n=6, channels=3, height=9, width=9):
    x = torch.randint(256, (n, channels, height, width), generator=torch.Generator().manual_seed(1))
    return x.float() / 255


def blobs(n, height, width, right, down, width_of_blob=1.5):
    """A bright spot so many pixels right of and below the centre."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x - (width - 1) / 2 - right, y - (height - 1) / 2 - down
    blob = torch.exp(-(x**2 + y**2) / (2 * width_of_blob**2))
    return blob.expand(n, 1, height, width)


def spots(x):
    """Where the bright spot is, (n, 2): pixels right of and below the centre."""
    height, width = x.shape[-2:]
    mass = x.sum((1, 2, 3))
    right = (x.sum((1, 2)) * (torch.arange(width) - (width - 1) / 2)).sum(1) / mass
    down = (x.sum((1, 3)) * (torch.arange(height) - (height - 1) / 2)).sum(1) / mass
    return torch.stack([right, down], 1)


def only(**ranges):
    """A warp of the named kinds alone."""
    return replace(STILL, **ranges)


# ------------------------------------------------------------------ make_augmentation


def test_names_and_callables(generator):
    assert make_augmentation(None, generator) is None
    x = images()
    assert torch.equal(make_augmentation(torch.neg, generator)(x), -x)
    message = r"augment='flip' is unknown; expected None, one of \('affine', .*\) or a callable"
    with pytest.raises(ValueError, match=message):
        make_augmentation("flip", generator)


def test_named_augmentations_do_what_they_say():
    def fresh():
        return torch.Generator().manual_seed(3)

    x, one = images(), fresh()
    assert AUGMENTATIONS == ("affine", "strong_affine", "shifted", "image", "rotated_image")
    mild, strong = affine_warp(x, fresh(), MILD), affine_warp(x, fresh(), STRONG)
    assert not torch.allclose(mild, strong)
    assert torch.equal(affine_warp(x, fresh()), mild)
    assert torch.equal(make_augmentation("affine", fresh())(x), mild)
    assert torch.equal(make_augmentation("strong_affine", fresh())(x), strong)
    shifted = affine_warp(x, fresh(), ANYWHERE)
    assert torch.equal(make_augmentation("shifted", fresh())(x), shifted)
    both = color_jitter(affine_warp(x, one), one)
    assert torch.equal(make_augmentation("image", fresh())(x), both)
    one = fresh()
    turned = color_jitter(affine_warp(x, one, ANY_ROTATION), one)
    assert torch.equal(make_augmentation("rotated_image", fresh())(x), turned)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(6, 1, 9, 9), (6, 3, 9, 9), (1, 2, 8, 5), (2, 4, 1, 1)])
def test_shape_dtype_and_range_stay(generator, augment, shape):
    x = images(*shape)
    before = x.clone()
    y = make_augmentation(augment, generator)(x)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert y.min() >= 0
    assert y.max() <= 1
    assert torch.equal(x, before)  # the batch itself stays


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_only_the_local_generator_is_drawn_from(augment):
    x, state = images(), torch.random.get_rng_state()
    first, again, other = (
        make_augmentation(augment, torch.Generator().manual_seed(seed))(x) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_each_image_and_each_call_its_own_way(generator, augment):
    x = images(1).expand(4, -1, -1, -1)
    warp = make_augmentation(augment, generator)
    first, second = warp(x), warp(x)
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("shape", [(6, 3, 9, 9), (6, 1, 8, 5)])
def test_ranges_of_zero_are_the_identity(still, generator, shape):
    still()
    x = images(*shape)
    y = color_jitter(affine_warp(x, generator, STILL), generator)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


def test_ranges_are_those_documented():
    assert astuple(MILD) == (math.radians(10), 0.1, 0.1, 0.0, False, "zeros")
    assert astuple(STRONG) == (math.radians(20), 0.1, 0.2, 0.3, False, "zeros")
    assert astuple(ANYWHERE) == (0.0, 0.25, 0.0, 0.0, False, "zeros")
    assert astuple(ANY_ROTATION) == (math.pi, 0.1, 0.1, 0.0, True, "border")
    assert math.degrees(_augment.HUE) == pytest.approx(36)


# ------------------------------------------------------------------ affine_warp


def test_constant_centre_stays_and_the_outside_is_black(generator):
    x = torch.full((20, 3, 32, 32), 0.7)
    y = affine_warp(x, generator)
    torch.testing.assert_close(y[:, :, 12:20, 12:20], x[:, :, 12:20, 12:20])
    assert (y[:, :, 0, 0].min(), y[:, :, -1, -1].min()) == (0, 0)


@pytest.mark.parametrize("shift", [0.1, 0.25])
@pytest.mark.parametrize(("height", "width"), [(41, 41), (41, 61)])
def test_shift_is_at_most_the_given_share_of_each_side(generator, height, width, shift):
    moved = spots(affine_warp(blobs(300, height, width, 0, 0), generator, only(shift=shift)))
    reach = moved.abs().amax(0) / torch.tensor([width, height])
    assert (reach <= shift + 0.001).all()
    assert (reach >= 0.9 * shift).all()
    assert (moved.mean(0).abs() < 0.2 * shift * width).all()  # either way alike
    assert abs(torch.corrcoef(moved.T)[0, 1]) < 0.2  # the two directions on their own


@pytest.mark.parametrize("scale", [0.1, 0.2])
def test_scale_is_at_most_the_given_share(generator, scale):
    zoom = spots(affine_warp(blobs(300, 61, 61, 16, 0), generator, only(scale=scale)))[:, 0] / 16
    assert 0.995 - scale <= zoom.min() < 1.02 - scale
    assert 0.98 + scale < zoom.max() <= 1.005 + scale


@pytest.mark.parametrize("degrees", [10, 20])
@pytest.mark.parametrize(("height", "width"), [(61, 61), (31, 61)])
@pytest.mark.parametrize(("right", "down"), [(9, 0), (0, 9)])
def test_rotation_is_rigid_and_at_most_the_given_angle(
    generator, height, width, right, down, degrees
):
    ranges = only(rotation=math.radians(degrees))
    spot = spots(affine_warp(blobs(300, height, width, right, down), generator, ranges))
    torch.testing.assert_close(spot.norm(dim=1), torch.full((300,), 9.0), atol=0.1, rtol=0)
    across = spot[:, 1] if right else spot[:, 0]
    angle = torch.rad2deg(torch.asin(across / 9))
    assert degrees - 1 < angle.max() < degrees + 0.3
    assert -degrees - 0.3 < angle.min() < -degrees + 1


@pytest.mark.parametrize(("height", "width"), [(41, 41), (31, 61)])
def test_shear_moves_rows_sideways_in_proportion_to_their_height(height, width):
    def moved(right, down):
        x, fresh = blobs(300, height, width, right, down), torch.Generator().manual_seed(0)
        return spots(affine_warp(x, fresh, only(shear=0.3))) - torch.tensor([right, down])

    low, high, middle = moved(0, 10), moved(2, -5), moved(3, 0)
    for move in (low, high, middle):
        torch.testing.assert_close(move[:, 1], torch.zeros(300), atol=0.05, rtol=0)
    # The same generator, so the same shears: each row by its share, on the other side the other way
    torch.testing.assert_close(high[:, 0], -low[:, 0] / 2, atol=0.05, rtol=0)
    torch.testing.assert_close(middle[:, 0], torch.zeros(300), atol=0.05, rtol=0)
    shear = low[:, 0] / 10
    assert 0.28 < shear.max() < 0.305
    assert -0.305 < shear.min() < -0.28
    assert shear.mean().abs() < 0.03


@pytest.mark.parametrize("rotation", [0.0, math.radians(20)])
@pytest.mark.parametrize(("height", "width"), [(41, 41), (31, 61)])
def test_shear_leaves_areas_alone_also_when_images_turn(generator, height, width, rotation):
    x = blobs(300, height, width, 0, 0)
    y = affine_warp(x, generator, only(shear=0.3, rotation=rotation))
    torch.testing.assert_close(y.sum((1, 2, 3)), x.sum((1, 2, 3)), rtol=0.01, atol=0)
    assert not torch.allclose(y, x, atol=0.05)


def test_any_angle_and_mirrored_or_not():
    # Two spots, one twice as bright: where the second lies from the first tells if it is mirrored.
    x = 2 * blobs(400, 61, 61, 12, 0, 3.0) + blobs(400, 61, 61, 0, 8, 3.0)
    generator = torch.Generator().manual_seed(0)
    y = affine_warp(x, generator, replace(ANY_ROTATION, shift=0.0, scale=0.0))[:, 0]
    down, right = ((torch.arange(61) - 30.0) for _ in range(2))
    brightest = y.flatten(1).argmax(1)
    first = torch.stack([right[brightest % 61], down[brightest // 61]], 1)
    torch.testing.assert_close(first.norm(dim=1), torch.full((400,), 12.0), atol=1.5, rtol=0)
    quarter = torch.atan2(first[:, 1], first[:, 0]).div(math.pi / 2).floor()
    assert torch.stack([(quarter == q).sum() for q in range(-2, 2)]).min() > 70  # of 100 expected
    # Of the image as it was the second spot is a quarter of a turn to the right of the first.
    across = torch.stack([-first[:, 1], first[:, 0]], 1)
    places = torch.stack([right.expand(61, 61), down.unsqueeze(1).expand(61, 61)], -1)
    to_the_right = (y * (places @ across.T).movedim(-1, 0)).sum((1, 2))
    assert 150 < (to_the_right < 0).sum() < 250


@pytest.mark.parametrize(("ranges", "least"), [(MILD, 0.0), (ANY_ROTATION, 0.7)])
def test_what_comes_in_from_outside(generator, ranges, least):
    y = affine_warp(torch.full((50, 1, 12, 12), 0.7), generator, ranges)
    assert y.min().item() == pytest.approx(least)
    assert y.max().item() == pytest.approx(0.7)


# ------------------------------------------------------------------ color_jitter


def test_constant_images_have_no_colour_to_change(generator):
    x = torch.full((4, 3, 5, 5), 0.3)
    torch.testing.assert_close(color_jitter(x, generator), x)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_brightness_is_a_share_of_the_range(still, generator, scale):
    still(keep=["BRIGHTNESS"])
    x = torch.full((300, 1, 2, 2), 0.5)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 1  # the range of the batch
    moved = (color_jitter(x * scale, generator) / scale - x)[1:]
    assert (moved.amax((1, 2, 3)) - moved.amin((1, 2, 3)) < 1e-5).all()  # a whole image alike
    assert 0.18 < moved.max() <= 0.2001
    assert -0.2001 <= moved.min() < -0.18


def test_contrast_keeps_the_mean_of_an_image(still, generator):
    still(keep=["CONTRAST"])
    x = 0.5 + 0.1 * (images(300, 1) - 0.5)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 1  # room in the range, so that nothing is cut off
    y = color_jitter(x, generator)[1:]
    torch.testing.assert_close(y.mean((1, 2, 3)), x[1:].mean((1, 2, 3)))
    ratio = y.std((1, 2, 3)) / x[1:].std((1, 2, 3))
    assert 0.695 < ratio.min() < 0.73
    assert 1.27 < ratio.max() < 1.305


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_saturation_keeps_the_grey_and_needs_three_channels(still, generator, channels):
    still(keep=["SATURATION"])
    x = 0.5 + 0.1 * (images(300, channels) - 0.5)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0, 1
    y, x = color_jitter(x, generator)[1:], x[1:]
    if channels != 3:
        torch.testing.assert_close(y, x)
        return
    torch.testing.assert_close(y.mean(1), x.mean(1))
    ratio = y.std(1).mean((1, 2)) / x.std(1).mean((1, 2))
    assert 0.595 < ratio.min() < 0.64
    assert 1.36 < ratio.max() < 1.405


def test_hue_keeps_the_channel_mean_and_turns_a_whole_image_alike(still, generator):
    still(keep=["HUE"])
    x = 0.5 + 0.1 * (images(300) - 0.5)
    x[0, :, 0, 0], x[0, :, 0, 1] = 0, 1
    y, x = color_jitter(x, generator)[1:], x[1:]
    torch.testing.assert_close(y.mean(1), x.mean(1))
    colour, turned = (v - v.mean(1, keepdim=True) for v in (x, y))
    torch.testing.assert_close(turned.norm(dim=1), colour.norm(dim=1), atol=1e-5, rtol=1e-4)
    # From red, (2, -1, -1), a turn of the hue is towards green, (0, 1, -1), when positive.
    sideways = torch.linalg.cross(colour, turned, dim=1).sum(1) / math.sqrt(3)
    angle = torch.rad2deg(torch.atan2(sideways, (colour * turned).sum(1)))
    assert (angle.amax((1, 2)) - angle.amin((1, 2)) < 0.5).all()
    angle = angle.mean((1, 2))
    assert 34 < angle.max() < 36.1
    assert -36.1 < angle.min() < -34
    assert angle.mean().abs() < 4


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_hue_needs_three_channels(still, generator, channels):
    still(keep=["HUE"])
    x = images(6, channels)
    torch.testing.assert_close(color_jitter(x, generator), x)


def angles(*values):
    return torch.tensor(values)


def test_turned_hues_leave_grey_pixels_and_the_channel_mean_unchanged():
    grey = images(4, 1).expand(-1, 3, -1, -1)
    turn = angles(0.3, -0.5, 1.7, 3.1)
    torch.testing.assert_close(_augment._rotate_hue(grey, turn), grey, atol=1e-6, rtol=0)
    x = images(4)
    torch.testing.assert_close(_augment._rotate_hue(x, turn).mean(1), x.mean(1))


def test_a_third_of_a_turn_permutes_the_channels():
    x = images(2)
    third = 2 * math.pi / 3
    y = _augment._rotate_hue(x, angles(third, -third))
    torch.testing.assert_close(y[0], x[0].roll(1, 0), atol=1e-6, rtol=0)  # red becomes green
    torch.testing.assert_close(y[1], x[1].roll(-1, 0), atol=1e-6, rtol=0)


def test_a_turn_and_its_opposite_restore():
    x, turn = images(4), angles(0.3, -0.5, 1.7, 3.1)
    there = _augment._rotate_hue(x, turn)
    assert not torch.allclose(there, x, atol=0.05)
    torch.testing.assert_close(_augment._rotate_hue(there, -turn), x, atol=1e-5, rtol=0)
