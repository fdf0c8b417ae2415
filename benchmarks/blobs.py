"""Groups that lie apart: what nobody should get wrong.

``python -m benchmarks.blobs apart | shapes | table``. Each run is one file in
``benchmarks/results/blobs``; one that is there is not run again.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import special_ortho_group
from sklearn.datasets import make_blobs

from ._bench import Bench
from ._peers import kmeans, pca_mixture

BENCH = Bench("blobs", "Groups that lie apart")
OTHERS = {"KMeans": kmeans, "PCA + GaussianMixture": pca_mixture}

# Sizes of the blobs, and features; and how far from 0 their centres lie at most, if not by 10.
LAYOUTS = {
    "3 of 333": ([333] * 3, 4),
    "5 of 200": ([200] * 5, 20),
    "10 of 100": ([100] * 10, 20),
    "800, 80 and 20": ([800, 80, 20], 4),
    "815 to 33 in 5": ([815, 511, 279, 120, 33], 20),
    "815 to 33 in 10": ([815, 671, 541, 426, 325, 238, 165, 107, 63, 33], 20),
    "3 of 333, plane": ([333] * 3, 2),
    "500, 100 and 10, plane": ([500, 100, 10], 2),
    "800, 80 and 20, plane": ([800, 80, 20], 2),
    "815 to 33 in 7, plane": ([815, 600, 400, 250, 150, 80, 33], 2, 20),
}


def drawn(seed, sizes, n_features, most=10):
    """Blobs in the places that ``make_blobs`` gives them, drawn again while two of them are less
    than eight standard deviations apart."""
    rng = np.random.RandomState(seed)
    while True:
        X, y, centers = make_blobs(
            sizes,
            n_features,
            center_box=(-most, most),
            random_state=rng.randint(2**31 - 1),
            return_centers=True,
        )
        distances = np.linalg.norm(centers[:, None] - centers, axis=2)
        if distances[np.triu_indices(len(sizes), 1)].min() >= 8:
            return X.astype(np.float32), y


def stretched(seed):
    """Three to eight groups in two to eight dimensions, the largest up to twenty times as large as
    the smallest: Gaussians, and one in three a box, with spreads of .3 to 3 along turned axes. No
    sample lies nearer than 1 to one of another group."""
    rng = np.random.RandomState(seed)
    k, n_features, n = rng.randint(3, 9), rng.randint(2, 9), np.exp(rng.uniform(5.7, 8))
    weights = np.geomspace(1, rng.choice([1, 5, 20]), k)
    sizes = np.maximum(12, n * weights / weights.sum()).astype(int)
    groups = []
    for size in sizes:
        axes = special_ortho_group.rvs(n_features, random_state=rng)
        spreads = np.exp(rng.uniform(np.log(0.3), np.log(3), n_features))
        is_box = rng.randint(3) == 0
        shape = (size, n_features)
        around = rng.uniform(-(3**0.5), 3**0.5, shape) if is_box else rng.normal(size=shape)
        groups.append(around * spreads @ axes)
    most, placed = 3.0, []
    while len(placed) < k:
        moved = groups[len(placed)] + rng.uniform(-most, most, n_features)
        if all(cKDTree(other).query(moved)[0].min() >= 1 for other in placed):
            placed.append(moved)
        else:
            most *= 1.01
    return np.concatenate(placed).astype(np.float32), np.repeat(np.arange(k), sizes)


def apart(seeds):
    """Round ones of equal and of unequal sizes, and in the plane."""
    for seed in seeds:
        for name, layout in LAYOUTS.items():
            BENCH.measure_all(name, seed, *drawn(seed, *layout), OTHERS)


def shapes(seeds):
    """Others, each time of another number, size and shape."""
    for seed in seeds:
        BENCH.measure_all("long groups and boxes", seed, *stretched(seed), OTHERS)


if __name__ == "__main__":
    BENCH.main({"apart": (apart, 3), "shapes": (shapes, 20)})
