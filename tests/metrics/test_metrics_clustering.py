"""Clustering scores against brute force over all matchings, hand counts and invariants."""

from __future__ import annotations

from itertools import permutations
from math import log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score

from skdeepclust.metrics import (
    balanced_clustering_accuracy,
    clustering_accuracy,
    per_class_recall,
    uniformity_index,
)

PAIR_SCORES = [clustering_accuracy, balanced_clustering_accuracy, per_class_recall]

pairs = st.integers(1, 20).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.lists(st.integers(0, 4), min_size=n, max_size=n),
    )
)
light = settings(max_examples=60, deadline=None)


def brute_force(labels_true, labels_pred):
    """Best (accuracy, balanced accuracy) over every way to name clusters, by plain counting."""
    classes, clusters = sorted(set(labels_true)), sorted(set(labels_pred))
    names = classes + [None] * len(clusters)  # None: a cluster that stands for no class
    best = (-1.0, -1.0)
    for chosen in set(permutations(names, len(clusters))):
        name = dict(zip(clusters, chosen, strict=True))
        right = [name[c] == k for k, c in zip(labels_true, labels_pred, strict=True)]
        recalls = []
        for k in classes:
            of_class = [r for r, t in zip(right, labels_true, strict=True) if t == k]
            recalls.append(sum(of_class) / len(of_class))
        best = max(best, (sum(right) / len(right), sum(recalls) / len(recalls)))
    return best


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(3, 3), (2, 4), (4, 2), (1, 3), (3, 1)])
def test_scores_equal_brute_force_over_matchings(n_classes, n_clusters):
    rng = np.random.default_rng(10 * n_classes + n_clusters)
    for _ in range(15):  # few samples, so that ties between matchings are common
        labels_true = rng.integers(n_classes, size=9).tolist()
        labels_pred = rng.integers(n_clusters, size=9).tolist()
        accuracy, balanced = brute_force(labels_true, labels_pred)
        assert clustering_accuracy(labels_true, labels_pred) == pytest.approx(accuracy)
        assert balanced_clustering_accuracy(labels_true, labels_pred) == pytest.approx(balanced)


def test_matching_is_not_purity():
    labels_true = [0] * 6 + [1] * 2
    assert clustering_accuracy(labels_true, [0, 0, 0, 1, 1, 1, 2, 2]) == 5 / 8  # purity is 1
    assert clustering_accuracy(labels_true, range(8)) == 2 / 8  # likewise


def test_ties_between_matchings_go_to_the_higher_mean_recall():
    # Counts [[5, 4], [2, 1]]: both matchings get 6 samples right; 4/9 + 2/3 beats 5/9 + 1/3.
    labels_true = np.repeat([0, 0, 1, 1], [5, 4, 2, 1])
    labels_pred = np.repeat([0, 1, 0, 1], [5, 4, 2, 1])
    for pred in (labels_pred, 1 - labels_pred):
        assert clustering_accuracy(labels_true, pred) == 0.5
        assert balanced_clustering_accuracy(labels_true, pred) == pytest.approx(5 / 9)
        np.testing.assert_allclose(per_class_recall(labels_true, pred)[1], [4 / 9, 2 / 3])


def test_matching_favours_samples_over_mean_recall():
    counts = np.array([[0, 3, 2], [35, 38, 36], [0, 0, 1]])  # (n_classes, n_clusters)
    labels_true, labels_pred = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices((3, 3)))
    # 2 + 38 + 0 samples beat 3 + 35 + 1, whose recalls would add up to one more class.
    assert clustering_accuracy(labels_true, labels_pred) == pytest.approx(40 / 115)
    recall = per_class_recall(labels_true, labels_pred)[1]
    np.testing.assert_allclose(recall, [2 / 5, 38 / 109, 0])
    assert balanced_clustering_accuracy(labels_true, labels_pred) == pytest.approx(recall.mean())


def test_per_class_recall_of_named_clusters_is_sklearn_recall():
    labels_true = ["ant"] * 10 + ["bee"] * 5 + ["cat"] * 2
    labels_pred = ["ant"] * 8 + ["bee"] * 2 + ["bee"] * 4 + ["ant"] + ["cat"] * 2
    classes, recall = per_class_recall(labels_true, labels_pred)
    assert classes.tolist() == ["ant", "bee", "cat"]
    np.testing.assert_allclose(recall, recall_score(labels_true, labels_pred, average=None))
    assert balanced_clustering_accuracy(labels_true, labels_pred) == pytest.approx(
        balanced_accuracy_score(labels_true, labels_pred)
    )


def test_class_without_cluster_has_recall_zero():
    classes, recall = per_class_recall([0, 0, 1, 1, 1], [9, 9, 9, 9, 9])
    assert classes.tolist() == [0, 1]
    assert recall.tolist() == [0.0, 1.0]


@light
@given(pairs, st.permutations(range(5)), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(pair, names, random):
    labels_true, labels_pred = pair
    rows = list(range(len(labels_true)))
    random.shuffle(rows)
    renamed_true = [f"class {9 - labels_true[i]}" for i in rows]
    renamed_pred = [names[labels_pred[i]] for i in rows]
    for score in (clustering_accuracy, balanced_clustering_accuracy):
        assert score(renamed_true, renamed_pred) == pytest.approx(score(*pair))


@light
@given(pairs)
def test_bounds_and_relations(pair):
    labels_true, labels_pred = pair
    accuracy = clustering_accuracy(labels_true, labels_pred)
    classes, recall = per_class_recall(labels_true, labels_pred)
    _, sizes = np.unique(labels_true, return_counts=True)
    # Some cell of the table holds at least the mean count, and a matching can pick it.
    assert 1 / (len(classes) * len(set(labels_pred))) <= accuracy <= 1
    assert accuracy == pytest.approx(clustering_accuracy(labels_pred, labels_true))
    assert accuracy == pytest.approx(np.average(recall, weights=sizes))
    assert 0 < balanced_clustering_accuracy(labels_true, labels_pred) <= 1
    assert clustering_accuracy(labels_true, labels_true) == 1
    assert balanced_clustering_accuracy(labels_true, labels_true) == 1


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        np.asarray,
        pd.Series,
        lambda labels: np.asarray(labels, dtype=float),
        lambda labels: np.asarray(labels, dtype=bool),
        lambda labels: np.asarray(labels, dtype=str),
        lambda labels: np.asarray(labels, dtype=str).astype(object),
        lambda labels: pd.Series(labels, dtype="category", index=range(5, 0, -1)),
        lambda labels: pd.Series(labels, dtype="Int64"),
        lambda labels: pd.Series(labels).astype("string"),
    ],
)
def test_any_label_type(convert):
    labels_true, labels_pred = convert([0, 0, 0, 1, 1]), convert([1, 1, 0, 0, 0])
    assert clustering_accuracy(labels_true, labels_pred) == 0.8
    assert balanced_clustering_accuracy(labels_true, [7, 7, 5, 5, 5]) == pytest.approx(5 / 6)
    assert uniformity_index(labels_true) == pytest.approx(0.970950594)
    assert type(clustering_accuracy(labels_true, labels_pred)) is float


@pytest.mark.parametrize("sizes", [[3, 1], [5, 5, 2], [1, 2, 3, 4], [99, 1]])
def test_uniformity_is_relative_entropy_by_hand(sizes):
    n = sum(sizes)
    expected = -sum(s / n * log(s / n) for s in sizes) / log(len(sizes))
    assert uniformity_index(np.repeat(np.arange(len(sizes)), sizes)) == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", range(2, 40))
def test_uniformity_of_equal_sizes_is_one_and_never_more(n_classes):
    uniformity = uniformity_index(np.repeat(np.arange(n_classes), 7))
    assert uniformity == pytest.approx(1)
    assert uniformity <= 1


def test_uniformity_of_a_single_class_is_the_limit_of_a_vanishing_second():
    values = [uniformity_index([1] + [0] * n) for n in (10, 1_000, 100_000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-3
    assert uniformity_index([0] * 10) == uniformity_index(["x"]) == 0.0


@light
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.permutations(range(6)))
def test_uniformity_bounds_and_names(labels, names):
    uniformity = uniformity_index(labels)
    assert 0 <= uniformity <= 1
    assert uniformity_index([f"{names[k]}" for k in labels]) == pytest.approx(uniformity)


@pytest.mark.parametrize("score", PAIR_SCORES)
@pytest.mark.parametrize(
    ("labels_true", "labels_pred", "message"),
    [
        ([0, 1, 1], [0, 1], "labels_true has 3 labels but labels_pred has 2; .*same samples"),
        ([], [], r"labels_true is empty \(n_samples=0\)"),
        ([0], [], "labels_pred is empty"),
        ([[0], [1]], [0, 1], r"labels_true has shape \(2, 1\); .*ravel"),
        ([0, 1], np.eye(2), r"labels_pred has shape \(2, 2\); .*argmax"),
        (3, [0], r"labels_true has shape \(\)"),
        (pd.DataFrame({"y": [0, 1]}), [0, 1], r"shape \(2, 1\)"),
        ([0.0, np.nan], [0, 1], r"labels_true holds missing values \(nan\)"),
        (["cat", np.nan], [0, 1], "labels_true holds values that cannot be ordered"),
        (["a", None], [0, 1], "labels_true holds values that cannot be ordered.*str"),
        (pd.Series([1, None], dtype="Int64"), [0, 1], "missing values|cannot be ordered"),
    ],
)
def test_errors_name_the_value_and_the_way_out(score, labels_true, labels_pred, message):
    with pytest.raises(ValueError, match=message):
        score(labels_true, labels_pred)


def test_uniformity_errors_name_its_own_parameter():
    with pytest.raises(ValueError, match=r"^labels is empty"):
        uniformity_index([])
    with pytest.raises(ValueError, match=r"^labels has shape \(2, 2\)"):
        uniformity_index(np.eye(2))
