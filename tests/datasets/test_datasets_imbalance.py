"""make_imbalanced: sizes by hand, invariants for any input, containers, purity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from skdeepclust.datasets import make_imbalanced


def balanced(n_classes=5, n_per_class=200):
    """X[i] == i, so that a row tells where it came from."""
    y = np.tile(np.arange(n_classes), n_per_class)
    return np.arange(len(y)), y


@pytest.mark.parametrize(
    ("kind", "ratio", "n_classes", "sizes"),
    [
        ("long_tailed", 16, 5, [160, 80, 40, 20, 10]),
        ("long_tailed", 100, 3, [160, 16, 2]),
        ("long_tailed", 1000, 2, [160, 1]),  # never less than one sample
        ("step", 10, 4, [160, 160, 16, 16]),
        ("step", 10, 5, [160, 160, 160, 16, 16]),
        ("step", 2.5, 2, [160, 64]),
        ("long_tailed", 1, 3, [160, 160, 160]),
        ("step", 1, 3, [160, 160, 160]),
    ],
)
def test_sizes_by_hand(kind, ratio, n_classes, sizes):
    X, y = balanced(n_classes, 160)
    order = np.arange(n_classes)[::-1]
    _, y_kept = make_imbalanced(X, y, ratio, kind, class_order=order, random_state=0)
    assert np.bincount(y_kept)[order].tolist() == sizes


def test_scarce_classes_scale_the_whole_profile():
    y = np.repeat([0, 1, 2], [1000, 30, 1000])  # 30 is at the middle rank: 30 = n_1 / 10
    _, y_kept = make_imbalanced(y, y, 100, class_order=[0, 1, 2], random_state=0)
    assert np.bincount(y_kept).tolist() == [300, 30, 3]
    _, y_kept = make_imbalanced(y, y, 10, "step", class_order=[1, 0, 2], random_state=0)
    assert np.bincount(y_kept).tolist() == [30, 30, 3]


def test_n_max_bounds_the_largest_class():
    X, y = balanced(3, 200)
    _, y_kept = make_imbalanced(X, y, 4, n_max=40, class_order=[0, 1, 2], random_state=0)
    assert np.bincount(y_kept).tolist() == [40, 20, 10]
    _, y_kept = make_imbalanced(X, y, 4, n_max=10**6, class_order=[0, 1, 2], random_state=0)
    assert np.bincount(y_kept).tolist() == [200, 100, 50]


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    ratio=st.floats(1, 200),
    kind=st.sampled_from(["long_tailed", "step"]),
    n_max=st.none() | st.integers(1, 50),
    seed=st.integers(0, 99),
)
def test_invariants(counts, ratio, kind, n_max, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    rows, y_kept = make_imbalanced(
        np.arange(len(y)), y, ratio, kind, n_max=n_max, random_state=seed
    )
    assert len(set(rows.tolist())) == len(rows)  # no sample twice
    np.testing.assert_array_equal(y[rows], y_kept)  # rows and labels stay together
    sizes = np.bincount(y_kept, minlength=len(counts))
    assert (sizes >= 1).all()
    assert (sizes <= counts).all()
    assert sizes.max() <= (n_max or 40)
    # Rounding moves either end by half a sample at most, the floor only raises the smallest.
    assert (sizes.max() + 0.5) / max(sizes.min() - 0.5, 0.5) >= min(ratio, sizes.max())
    assert (sizes.max() - 0.5) / (sizes.min() + 0.5) <= ratio
    if n_max is None:  # as many as possible: some class is used up
        assert (np.array(counts) - sizes).min() == 0


def test_same_seed_same_subset_and_other_seeds_other_rare_classes():
    X, y = balanced()
    first, again = (make_imbalanced(X, y, 10, random_state=7) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    rarest = {
        np.bincount(make_imbalanced(X, y, 10, random_state=seed)[1]).argmin() for seed in range(30)
    }
    assert rarest == set(range(5))


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_random_state_and_inputs_stay_untouched(random_state):
    X, y = balanced()
    X_before, y_before = X.copy(), y.copy()
    before = np.random.get_state()  # noqa: NPY002
    make_imbalanced(X, y, 10, random_state=random_state)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


def test_no_seed_means_a_fresh_one_and_an_instance_moves_on():
    X, y = balanced()
    assert make_imbalanced(X, y, 2)[0].tolist() != make_imbalanced(X, y, 2)[0].tolist()
    rng = np.random.RandomState(0)
    first = make_imbalanced(X, y, 2, random_state=rng)[0]
    assert first.tolist() == make_imbalanced(X, y, 2, random_state=0)[0].tolist()
    assert first.tolist() != make_imbalanced(X, y, 2, random_state=rng)[0].tolist()


def test_shuffle_changes_the_order_of_rows_alone():
    X, y = balanced()
    mixed, _ = make_imbalanced(X, y, 10, random_state=1)
    in_order, _ = make_imbalanced(X, y, 10, random_state=1, shuffle=False)
    assert (np.diff(in_order) > 0).all()
    assert not (np.diff(mixed) > 0).all()
    np.testing.assert_array_equal(np.sort(mixed), in_order)


def test_containers_come_back_as_they_went_in():
    rows, y = balanced(3, 20)
    kept, y_kept = make_imbalanced(rows, y, 5, random_state=0)

    images, labels = make_imbalanced(
        np.broadcast_to(rows[:, None, None, None], (60, 2, 3, 3)).astype(np.uint8),
        np.array(["a", "b", "c"])[y],
        5,
        random_state=0,
    )
    assert images.shape == (len(kept), 2, 3, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0], kept)
    np.testing.assert_array_equal(labels, np.array(["a", "b", "c"])[y_kept])

    index = [f"row {i}" for i in rows]
    frame, series = make_imbalanced(
        pd.DataFrame({"i": rows, "name": index}, index=index),
        pd.Series(y, index=index, name="class"),
        5,
        random_state=0,
    )
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == ["i", "name"]
    assert frame["i"].tolist() == kept.tolist()
    assert series.name == "class"
    assert series.index.tolist() == frame.index.tolist() == [f"row {i}" for i in kept]

    texts, listed = make_imbalanced(index, y.tolist(), 5, random_state=0)
    assert texts == [f"row {i}" for i in kept]
    assert listed == y_kept.tolist()

    sparse, _ = make_imbalanced(csr_array(rows[:, None]), y, 5, random_state=0)
    np.testing.assert_array_equal(sparse.toarray()[:, 0], kept)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"ratio": 0.1}, "ratio=0.1; expected a finite number >= 1.*pass 10"),
        ({"ratio": float("nan")}, "ratio=nan"),
        ({"ratio": float("inf")}, "ratio=inf"),
        ({"ratio": "10"}, "ratio='10'"),
        ({"kind": "exp"}, r"kind='exp'; expected one of \['long_tailed', 'step'\]"),
        ({"n_max": 0}, "n_max=0; expected an int >= 1, or None"),
        ({"n_max": 2.5}, "n_max=2.5"),
        ({"class_order": [0, 1]}, r"class_order=\[0, 1\]; .*exactly once.*\[0, 1, 2\]"),
        ({"class_order": [0, 1, 1]}, "class_order="),
        ({"class_order": ["a", "b", "c"]}, "class_order="),
        ({"y": np.zeros(29)}, r"y has shape \(29,\) but X has 30 rows; expected y of shape \(30,"),
        ({"y": np.zeros((30, 1))}, r"y has shape \(30, 1\).*ravel"),
        ({"y": np.zeros(30)}, "y has 1 distinct class.*at least 2"),
        ({"X": np.zeros((0, 2)), "y": []}, "y has 0 distinct class"),
    ],
)
def test_errors_name_the_value_and_the_way_out(kwargs, message):
    X, y = balanced(3, 10)
    with pytest.raises(ValueError, match=message):
        make_imbalanced(**({"X": X, "y": y, "ratio": 10} | kwargs))
