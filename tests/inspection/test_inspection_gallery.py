"""Displays of what clusters hold: typical samples, profiles, what decoders and generators give."""

import numpy as np
import pytest

from skdeepclust.inspection import (
    ClusterGalleryDisplay,
    ClusterProfilesDisplay,
    EmbeddingDisplay,
    GeneratedSamplesDisplay,
    ReconstructionDisplay,
    rank_by_typicality,
)
from skdeepclust.inspection._images import mosaic, to_pixels


def texts(ax):
    return [text.get_text() for text in ax.texts]


# ---------------------------------------------------------------------- gallery


def test_typical_samples_come_first(blocks):
    proba = np.array([[0.6, 0.4], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    Z = np.array([[0.0], [3.0], [1.0], [0.0], [0.0]])
    ranked = rank_by_typicality(blocks(proba, Z), np.zeros(5))
    assert [list(members) for members in ranked] == [[2, 1, 0], [3, 4]]


def test_gallery_shows_each_image_once(blocks, assert_readable):
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4), np.uint8)
    proba = np.array([[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.95, 0.05]])
    display = ClusterGalleryDisplay.from_estimator(blocks(proba), images, n_samples=2).plot()
    assert display.most[0][:, 0, 0, 0].tolist() == [4, 1]
    assert display.least[0][:, 0, 0, 0].tolist() == [0, 2]
    assert len(display.most[1]) == 1
    assert len(display.least[1]) == 0
    assert texts(display.ax_) == ["most typical", "least typical"]
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["0  (4)", "1  (1)"]
    assert_readable(display.figure_)


def test_gallery_of_a_fit(decoded):
    X, model = decoded
    rows = ClusterGalleryDisplay.from_estimator(model, X, n_samples=3).plot()
    assert rows.sizes.sum() == len(X)
    own = model.predict(np.concatenate(rows.most))
    np.testing.assert_array_equal(own, np.repeat(range(3), [len(m) for m in rows.most]))


def test_tables_have_profiles_and_images_a_gallery(table, decoded):
    with pytest.raises(ValueError, match="ClusterProfilesDisplay"):
        ClusterGalleryDisplay.from_estimator(table[2], table[0])
    with pytest.raises(ValueError, match="ClusterGalleryDisplay"):
        ClusterProfilesDisplay.from_estimator(decoded[1], decoded[0])


def test_profiles_are_standardised_means(table, assert_readable):
    pandas = pytest.importorskip("pandas")
    X, _, model = table
    names = ["width", "height", "a name that is longer than anyone can read", "depth"]
    display = ClusterProfilesDisplay.from_estimator(model, X, feature_names=names).plot()
    frame = pandas.DataFrame(X, columns=names)
    standard = (frame - frame.mean()) / frame.std(ddof=0)
    expected = standard.groupby(model.labels_).mean()
    np.testing.assert_allclose(display.profiles, expected)
    assert_readable(display.figure_)
    with pytest.raises(ValueError, match="feature_names has 1 names; expected 4"):
        ClusterProfilesDisplay.from_estimator(model, X, feature_names=["a"])


def test_profiles_of_what_a_user_may_have(assert_readable):
    """A constant column, whose standard deviation is computed as its rounding, and dollars."""
    X = np.c_[np.arange(10.0), np.full(10, 0.1)]
    names = ["profit_$_per_$_spent", "constant"]
    with pytest.raises(ValueError, match=r"labels has -1; expected 0 and more: leave out noise"):
        ClusterProfilesDisplay.from_predictions(X, np.arange(10) % 2 - 1)
    display = ClusterProfilesDisplay.from_predictions(X, np.arange(10) % 2, feature_names=names)
    np.testing.assert_allclose(display.profiles[:, 1], 0, atol=1e-12)
    assert_readable(display.plot().figure_)


def test_profiles_keep_the_telling_features():
    profiles = np.zeros((2, 40))
    profiles[:, [3, 17]] = [[1, -2], [-1, 2]]
    display = ClusterProfilesDisplay(profiles, [f"f{i}" for i in range(40)], [5, 5])
    display.plot(max_features=2)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["f3", "f17"]
    assert "38 left out" in display.ax_.get_title()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_keep_what_is_shown(dtype, channels):
    images = np.zeros((2, channels, 3, 4), np.uint8)
    images[1, 0, 2, 3] = 255
    if dtype == np.float32:
        images = images / np.float32(255)
    pixels = to_pixels(images)
    assert pixels.shape == (2, 3, 4, 3)
    assert pixels.dtype == np.uint8
    expected = [255, 255, 255] if channels == 1 else [255, 0, 0]
    assert pixels[1, 2, 3].tolist() == expected
    assert pixels.sum() == sum(expected)


def test_floats_beyond_the_unit_interval_are_scaled_together():
    pixels = to_pixels(np.array([-2.0, 0.0, 2.0]).reshape(3, 1, 1, 1))
    assert pixels[:, 0, 0, 0].tolist() == [0, 128, 255]


def test_mosaic_puts_pictures_in_their_places():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((4, 5, 3), np.uint8)
    whole = mosaic(pixels, np.array([[True, True, True], [True, True, False]]))
    assert whole[::5, ::6, 0].tolist() == [[0, 1, 2], [3, 4, 255]]
    assert (whole[4] == 255).all()


# ---------------------------------------------------------------------- decoders


def test_reconstructions_are_on_the_scale_of_the_samples(decoded, assert_readable):
    X, model = decoded
    display = ReconstructionDisplay.from_estimator(model, X, n_samples=5, random_state=0).plot()
    as_bytes = np.round(display.originals * 255).astype(np.uint8)
    assert all(any(np.array_equal(image, x) for x in X) for image in as_bytes)
    np.testing.assert_array_equal(display.reconstructions, model.reconstruct(as_bytes))
    assert_readable(display.figure_)


def test_reconstruction_of_a_table(blocks):
    X = np.random.RandomState(0).standard_normal((20, 3))
    model = blocks(np.eye(2)[np.arange(20) % 2], input_shape=(3,))
    model.reconstruct = lambda x: 2 * x
    display = ReconstructionDisplay.from_estimator(model, X).plot()
    x, y = display.ax_.collections[0].get_offsets().T
    chosen = display.originals
    standard = (chosen - chosen.mean(0)) / chosen.std(0)
    np.testing.assert_allclose(x, standard.ravel())
    np.testing.assert_allclose(y, ((2 * chosen - chosen.mean(0)) / chosen.std(0)).ravel())


def test_reconstruction_of_a_constant_column():
    X = np.c_[np.arange(10.0), np.full(10, 0.1)]
    display = ReconstructionDisplay(X, X + 0.01).plot()
    assert max(display.ax_.get_ylim()) < 5


def test_names_of_features_reach_the_estimator(blocks):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.RandomState(0).standard_normal((20, 3)), columns=list("abc"))
    model = blocks(np.eye(2)[np.arange(20) % 2], input_shape=(3,))
    seen = []

    def take(x):
        seen.append(list(x.columns))
        return np.asarray(x)

    model.reconstruct = take
    model.transform = lambda x: take(x)[:, :2]
    ReconstructionDisplay.from_estimator(model, X, n_samples=5)
    EmbeddingDisplay.from_estimator(model, X, max_samples=5)
    ClusterProfilesDisplay.from_estimator(model, X)
    assert seen == [list("abc")] * 2


def test_generated_samples_have_a_row_for_each_cluster(decoded, assert_readable):
    _, model = decoded
    display = GeneratedSamplesDisplay.from_estimator(model, n_samples=4).plot()
    assert display.samples.shape == (3, 4, 1, 8, 8)
    again = GeneratedSamplesDisplay.from_estimator(model, n_samples=4)
    np.testing.assert_array_equal(display.samples, again.samples)
    assert not np.array_equal(display.samples[:, 0], display.samples[:, 1])
    assert_readable(display.figure_)


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_generated_samples_of_a_table(n_features):
    samples = np.random.RandomState(0).standard_normal((4, 6, n_features))
    display = GeneratedSamplesDisplay(samples).plot()
    assert texts(display.ax_) == ["0", "1", "2", "3"]
    assert texts(GeneratedSamplesDisplay(samples[:1, :1]).plot().ax_) == ["0"]


def test_estimators_without_decoder_or_generator_are_refused(table):
    X, _, model = table
    with pytest.raises(TypeError, match=r"no decoder.*reconstruct"):
        ReconstructionDisplay.from_estimator(model, X)
    with pytest.raises(TypeError, match=r"no generator.*sample"):
        GeneratedSamplesDisplay.from_estimator(model)
