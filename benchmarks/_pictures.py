"""Pictures of kinds that the benchmarks have no real ones of, each made by a recipe.

Every recipe takes a seed and gives images (n, C, H, W), float32, and their classes.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import center_of_mass, gaussian_filter, map_coordinates, shift
from scipy.special import expit

from ._data import classes, digit_images, planes_of_light


def lit_digits(strength):
    """scikit-learn's digits, of greys 0 to 1, on each a plane of brightness."""

    def recipe(seed):
        X, y = digit_images()
        light = strength * planes_of_light(np.random.default_rng(seed), len(X), 8)
        return (X + light[:, None]).astype(np.float32), y

    return recipe


def coloured_digits(darkest_ink, lightest_ground):
    """Digits in one colour on a ground of another, both drawn for each."""

    def recipe(seed):
        X, y = digit_images()
        rng = np.random.default_rng(seed)
        ink = rng.uniform(darkest_ink, 1, (len(X), 3, 1, 1))
        ground = rng.uniform(0, lightest_ground, (len(X), 3, 1, 1))
        return (ground + (ink - ground) * X).astype(np.float32), y

    return recipe


def digits_anywhere(seed, side=12):
    """Digits of 8 x 8 at any place of a larger frame."""
    X, y = digit_images()
    places = np.random.default_rng(seed).integers(0, side - 7, (len(X), 2))
    frames = np.zeros((len(X), 1, side, side), np.float32)
    for frame, digit, (down, right) in zip(frames, X, places, strict=True):
        frame[:, down : down + 8, right : right + 8] = digit
    return frames, y


def centred_digits(seed):
    """The same, each moved so that its ink has its centre in the middle of the frame."""
    images, y = digits_anywhere(seed)
    middle = (np.array(images.shape[2:]) - 1) / 2
    centred = [shift(x, (0, *(middle - center_of_mass(x[0]))), order=1) for x in images]
    return np.stack(centred), y


def pairs_of_digits(seed, n=3000, lefts=5):
    """Two digits side by side, the left one of 0 to 4: fifty classes."""
    X, y = digit_images()
    rng = np.random.default_rng(seed)
    left, right = rng.choice(np.flatnonzero(y < lefts), n), rng.choice(len(y), n)
    return np.concatenate([X[left], X[right]], 3).astype(np.float32), 10 * y[left] + y[right]


def textures(seed, n=1500, k=6, side=24):
    """Noise that a class's orientation and scale are filtered out of."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, k)
    angles, scales = rng.uniform(0, np.pi, k), rng.uniform(0.08, 0.3, k)
    down, right = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    pictures = []
    for c in y:
        angle = angles[c] + rng.normal(0, 0.08)
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        off = (np.abs(along) - scales[c]) / 0.025
        band = np.exp(-(off**2) / 2 - (across / 0.04) ** 2 / 2)
        wave = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * band).real
        wave *= rng.lognormal(0, 0.2) / wave.std()
        pictures.append(wave + rng.normal(0, 0.3, (side, side)))
    return np.array(pictures, np.float32)[:, None], y


def scans(seed, n=1500, k=6, side=32):
    """Smooth shapes of a class, each bent and moved its own way, with a contrast of its own."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, k)
    shapes = [gaussian_filter(rng.normal(size=(side + 8, side + 8)), 3.5) for _ in range(k)]
    places = np.mgrid[:side, :side] + 4.0
    pictures = []
    for c in y:
        bend = np.stack([gaussian_filter(rng.normal(size=(side, side)), 6) for _ in range(2)])
        moved = places + 2 * bend / bend.std() + rng.normal(size=(2, 1, 1))
        tissue = map_coordinates(shapes[c] / shapes[c].std(), moved, order=1, mode="reflect")
        tissue = expit(1.5 * tissue) ** rng.lognormal(0, 0.3)
        picture = rng.uniform(0, 0.3) + rng.uniform(0.4, 1) * tissue
        pictures.append(picture + rng.normal(0, 0.05, (side, side)))
    return np.array(pictures, np.float32)[:, None], y


def cells(seed, n=1500, side=24):
    """Round, oval, hollow, with a nucleus of two lobes, dividing, granular; turned any way, not
    quite in the middle, of a brightness and contrast of their own."""
    rng = np.random.default_rng(seed)
    y = classes(rng, n, 6)
    down, right = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]

    def disc(distance, radius):
        return expit((radius - distance) / 0.05)

    def cell(c, u, v, r):
        d = np.hypot(u, v)
        left_and_right = np.minimum(np.hypot(u - r / 2, v), np.hypot(u + r / 2, v))
        if c == 0:
            return disc(d, r) + disc(d, 0.55 * r)
        if c == 1:
            d = np.hypot(u / 1.35, v * 1.35)
            return disc(d, r) + disc(d, 0.5 * r)
        if c == 2:
            return 2 * disc(d, r) - 1.6 * disc(d, 0.55 * r)
        if c == 3:
            lobes = np.minimum(np.hypot(u - 0.3 * r, v), np.hypot(u + 0.3 * r, v))
            return disc(d, r) + disc(lobes, 0.28 * r)
        if c == 4:
            return disc(left_and_right, 0.55 * r) + disc(left_and_right, 0.25 * r)
        angle, out = rng.uniform(0, 2 * np.pi, 8), 0.75 * r * np.sqrt(rng.random(8))
        grains = zip(out * np.cos(angle), out * np.sin(angle), strict=True)
        return disc(d, r) + sum(disc(np.hypot(u - a, v - b), 0.09) for a, b in grains)

    pictures = []
    for c in y:
        angle, (x, z) = rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.2, 2)
        u = (right - x) * np.cos(angle) + (down - z) * np.sin(angle)
        v = (down - z) * np.cos(angle) - (right - x) * np.sin(angle)
        seen = cell(c, u, v, 0.55 * rng.lognormal(0, 0.08))
        picture = rng.uniform(0.1, 0.3) + rng.uniform(0.25, 0.4) * seen
        pictures.append(gaussian_filter(picture, 0.6) + rng.normal(0, 0.05, (side, side)))
    return np.array(pictures, np.float32)[:, None].clip(0, 1), y
