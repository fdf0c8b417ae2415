"""Large images are averaged over squares of pixels, as far as little is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from skdeepclust.training import _resolution, average_pixels, choose_sides, enlarge


def smooth_images(n, shape, spread):
    """Noise in which what is nearer than some ``spread`` pixels is alike."""
    noise = np.random.default_rng(0).normal(size=(n, *shape))
    images = gaussian_filter(noise, (0, 0, spread, spread))
    return (images / images.std()).astype(np.float32).reshape(n, -1)


# ------------------------------------------------------------------ averages


@pytest.mark.parametrize("at_a_time", [1, 2**24])
@pytest.mark.parametrize("factor", [2, 4])
def test_averages_are_those_of_squares(monkeypatch, factor, at_a_time):
    monkeypatch.setattr(_resolution, "AT_A_TIME", at_a_time)
    shape, sides = (3, 16, 8), (16 // factor, 8 // factor)
    X = np.random.default_rng(0).normal(size=(5, 3 * 16 * 8)).astype(np.float32)
    squares = X.reshape(5, 3, sides[0], factor, sides[1], factor)
    found = average_pixels(X, shape, sides)
    assert found.dtype == np.float32
    expected = squares.mean((3, 5), dtype=np.float64).reshape(5, -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bytes_stay_bytes_and_are_rounded():
    X = np.random.default_rng(0).integers(256, size=(7, 64), dtype=np.uint8)
    found = average_pixels(X, (1, 8, 8), (4, 4))
    means = X.reshape(7, 4, 2, 4, 2).mean((2, 4)).reshape(7, -1)
    assert found.dtype == np.uint8
    assert np.abs(found - means).max() <= 0.5


def test_sides_that_do_not_divide():
    """Every pixel counts, and none of another place does."""
    X = np.zeros((1, 1, 7, 5), np.float32)
    X[..., -1] = 1
    found = average_pixels(X.reshape(1, -1), (1, 7, 5), (4, 3)).reshape(4, 3)
    np.testing.assert_allclose(found, [[0, 0, 0.5]] * 4)
    constant = average_pixels(np.full((1, 35), 3, np.float32), (1, 7, 5), (4, 3))
    np.testing.assert_allclose(constant, 3)


def test_a_memory_map_is_only_read(tmp_path):
    X = np.random.default_rng(0).integers(256, size=(9, 64), dtype=np.uint8)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.array_equal(
        average_pixels(mapped, (1, 8, 8), (4, 4)), average_pixels(X, (1, 8, 8), (4, 4))
    )


def test_enlarging_gives_smooth_images_back():
    X = smooth_images(4, (2, 64, 48), 8)
    small = average_pixels(X, (2, 64, 48), (32, 24)).reshape(4, 2, 32, 24)
    large = enlarge(torch.from_numpy(small), (64, 48)).numpy().reshape(4, -1)
    assert np.abs(large - X).max() < 0.1 * X.std()


# ------------------------------------------------------------------ which sides


@pytest.mark.parametrize(
    ("resolution", "shape", "expected"),
    [
        ("full", (1, 64, 64), (64, 64)),
        ("auto", (1, 55, 90), (55, 90)),  # at half of it 28 pixels would not be left
        ("auto", (1, 56, 90), (28, 45)),
        ("auto", (3, 64, 64), (32, 32)),
        ("auto", (1, 128, 96), (43, 32)),
        (16, (1, 64, 64), (16, 16)),
        (24, (1, 64, 80), (32, 40)),
        (40, (1, 64, 64), (64, 64)),
        (100, (1, 64, 64), (64, 64)),
    ],
)
def test_sides(resolution, shape, expected):
    assert choose_sides(resolution, smooth_images(20, shape, 12), shape) == expected


def test_small_images_are_not_looked_at():
    assert choose_sides("auto", None, (1, 55, 90)) == (55, 90)


@pytest.mark.parametrize(("spread", "expected"), [(0.0, 112), (1.0, 112), (3.0, 56), (8.0, 28)])
def test_detail_is_kept(spread, expected):
    """The finer what images differ in, the more pixels."""
    X = smooth_images(60, (1, 112, 112), spread)
    assert choose_sides("auto", X, (1, 112, 112)) == (expected, expected)


def test_what_all_images_share_is_no_detail_that_tells_them():
    X = smooth_images(60, (1, 64, 64), 8) + np.random.default_rng(1).normal(size=4096)
    assert choose_sides("auto", X.astype(np.float32), (1, 64, 64)) == (32, 32)


def test_few_images_are_looked_at(monkeypatch):
    """From all over the data: sorted by class, the first would be of one."""
    monkeypatch.setattr(_resolution, "MEASURED", 40)
    fine, smooth = smooth_images(4000, (1, 8, 8), 0), smooth_images(4000, (1, 8, 8), 3)
    monkeypatch.setattr(_resolution, "LEAST_SIDE", 4)
    assert choose_sides("auto", np.vstack([smooth, fine]), (1, 8, 8)) == (8, 8)
    assert choose_sides("auto", np.vstack([smooth, smooth]), (1, 8, 8)) == (4, 4)
