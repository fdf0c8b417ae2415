"""The report: whole, escaped, small enough, and working in a browser without a network."""

import csv
import io
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("bokeh", reason="bokeh is not installed: pip install skdeepclust[report]")
pytest.importorskip("PIL", reason="pillow is not installed: pip install skdeepclust[report]")

from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

from skdeepclust.inspection import _report, report
from skdeepclust.inspection._sprite import make_sprite

# What a user may have called a class, a feature or a cluster.
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>@x{}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def image_page(folder, decoded):
    X, model = decoded
    report(model, X, folder / "images.html", [HOSTILE if i % 2 else "plain" for i in range(len(X))])
    return folder / "images.html"


@pytest.fixture(scope="module")
def table_page(folder, blocks):
    X = np.random.RandomState(0).standard_normal((30, 3))
    model = blocks(np.eye(3)[np.arange(30) % 3] * 0.9 + 0.1 / 3, X, input_shape=(3,))
    model.feature_names_in_ = np.array([HOSTILE, "width", "height"], dtype=object)
    model.get_params = lambda deep=True: {"network": HOSTILE}
    report(model, X, folder / "table.html")
    return folder / "table.html"


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text).group(1))


# ---------------------------------------------------------------------- the file


def test_page_tells_of_the_run(image_page, decoded):
    X, model = decoded
    text = image_page.read_text(encoding="utf-8")
    for part in ("DVC: 3 clusters", model.stop_reason_, f"n_iter_={model.n_iter_}", "latent_dim"):
        assert part in text
    assert f"{model.restart_scores_[0]:.6g}" in text
    assert "Clustering accuracy" in text
    assert data_of(image_page)["clusters"] == model.predict(X).tolist()
    assert len(re.findall(r'<input id="name-\d+"', text)) == 3


def test_text_of_users_is_escaped(image_page, table_page):
    for page in (image_page, table_page):
        assert HOSTILE not in page.read_text(encoding="utf-8")


def test_uncertain_samples_are_listed_first(blocks, tmp_path):
    proba = np.array([[0.9, 0.1, 0.0], [0.5, 0.1, 0.4], [0.3, 0.7, 0.0]])
    model = blocks(proba, input_shape=(2,))
    report(model, np.eye(3)[:, :2], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    review = text[text.index('id="review"') :]
    found = re.findall(r'<td class="number">([\d.]+)</td>', review)
    expected = ["1", "0", "2", "0.500", "2", "1", "0", "0.700", "0", "0", "1", "0.900"]
    assert found == expected


def test_many_samples_are_drawn_from_but_all_are_in_the_csv(blocks, tmp_path, monkeypatch):
    monkeypatch.setattr(_report, "MAX_POINTS", 20)
    model = blocks(np.eye(2)[np.arange(50) % 2])
    X = np.zeros((50, 1, 4, 4), np.uint8)
    report(model, X, tmp_path / "page.html")
    assert "Shown are 20 of 50" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(data_of(tmp_path / "page.html")["clusters"]) == 50


def test_twenty_thousand_noisy_images_stay_below_25_mb(blocks, tmp_path):
    rng = np.random.RandomState(0)
    labels = rng.randint(20, size=20_000)
    Z = 3 * rng.standard_normal((20, 4))[labels] + rng.standard_normal((20_000, 4))
    model = blocks(np.eye(20)[labels], Z, input_shape=(1, 28, 28))
    X = rng.randint(256, size=(20_000, 1, 28, 28), dtype=np.uint8)
    report(model, X, tmp_path / "page.html", labels)
    assert os.path.getsize(tmp_path / "page.html") < 25e6


def test_sprite_has_every_picture_in_its_place():
    from base64 import b64decode

    from PIL import Image

    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.full((1, 6, 4), 20, np.uint8)
    sprite = make_sprite(images)
    sheet = np.asarray(Image.open(io.BytesIO(b64decode(sprite.data_uri.split(",")[1]))))
    assert sheet.shape == (sprite.rows * 6, sprite.columns * 4)
    for i in range(10):
        down, right = divmod(i, sprite.columns)
        place = sheet[down * 6 : down * 6 + 6, right * 4 : right * 4 + 4]
        assert (place == 20 * i).all()


def test_sprite_shrinks_pictures_until_they_fit():
    images = np.random.RandomState(0).randint(256, size=(50, 3, 100, 50), dtype=np.uint8)
    large, small = make_sprite(images), make_sprite(images, 20_000)
    assert (large.height, large.width) == (64, 32)
    assert small.height < 32
    assert len(small.data_uri) < 20_000 * 4 / 3 + 30


def test_what_was_there_stays_until_the_page_is_whole(blocks, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("before")
    model, X = blocks(np.eye(2)), np.zeros((2, 1, 4, 4), np.uint8)

    def full(*args):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            report(model, X, page)
    assert page.read_text() == "before"
    assert os.listdir(tmp_path) == ["page.html"]
    report(model, X, page)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_labels_that_are_missing_are_told(blocks, tmp_path):
    X = np.random.RandomState(0).standard_normal((30, 3))
    model = blocks(np.eye(3)[np.arange(30) % 3], X, input_shape=(3,))
    labels = np.array(["a", "b", None] * 10, dtype=object)
    with pytest.raises(ValueError, match="none missing"):
        report(model, X, tmp_path / "page.html", labels)
    with pytest.raises(ValueError, match="none missing"):
        report(model, X, tmp_path / "page.html", ["a", "b", np.nan] * 10)
    with pytest.raises(ValueError, match="expected at least 2"):
        report(model, X[:1], tmp_path / "page.html")
    with pytest.raises(TypeError, match=r"pipeline\[-1\], pipeline\[:-1\].transform"):
        report(make_pipeline(model), X, tmp_path / "page.html")
    with pytest.raises(TypeError, match="package's estimators, not KMeans"):
        report(KMeans(3).fit(X), X, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_wrong_arguments_are_named(blocks, tmp_path, monkeypatch):
    model, X = blocks(np.eye(2)), np.zeros((2, 1, 4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"labels has shape \(3,\); expected \(2,\)"):
        report(model, X, tmp_path / "page.html", [0, 1, 2])
    with pytest.raises(ValueError, match="view='map'"):
        report(model, X, tmp_path / "page.html", view="map")
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(ImportError, match=r"skdeepclust\[report\]"):
        report(model, X, tmp_path / "page.html")
    assert not os.listdir(tmp_path)


def test_no_figure_is_left_open(image_page):
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []


# ---------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on the PATH")
    args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    args += ["--disable-sync", "--no-first-run"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=args)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """``opened(path)``: the page in a browser; what goes wrong in it fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1150, "height": 900})
    wrong = []

    def open_page(path):
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.split(":")[0] in ("http", "https", "ws") and wrong.append(r.url),
        )
        page.goto(path.as_uri())
        page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
        return page

    yield open_page
    context.close()
    assert wrong == []


def hover(page, row):
    """Put the pointer on a sample."""
    page.locator("#embedding").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#embedding').scrollIntoView()")
    x, y = page.evaluate(
        """row => {
            const {data} = Bokeh.documents[0].get_model_by_name("samples");
            const i = Array.from(data.row).indexOf(row);
            const {el, frame} = Bokeh.index.roots[0];
            const box = el.getBoundingClientRect();
            return [box.x + frame.x_scale.compute(data.x[i]),
                    box.y + frame.y_scale.compute(data.y[i])];
        }""",
        row,
    )
    page.mouse.move(x, y)


def outermost(page):
    """Row of a sample that no other covers."""
    return page.evaluate(
        """() => {
            const {data} = Bokeh.documents[0].get_model_by_name("samples");
            const xs = Array.from(data.x);
            return data.row[xs.indexOf(Math.max(...xs))];
        }"""
    )


def test_pointer_shows_picture_and_class(image_page, opened, decoded):
    X, model = decoded
    page = opened(image_page)
    row = outermost(page)
    page.fill(f"#name-{model.predict(X)[row]}", HOSTILE)
    page.keyboard.press("Tab")
    hover(page, row)
    page.get_by_text(f"row: {row}", exact=True).wait_for(timeout=5000)
    cluster = model.predict(X)[row]
    assert page.get_by_text(f"cluster: {cluster} {HOSTILE}", exact=True).count() == 1
    name = HOSTILE if row % 2 else "plain"
    assert page.get_by_text(f"class: {name}", exact=True).count() == 1
    picture = page.locator("div[style*='--sprite']").last
    shown = picture.evaluate("e => getComputedStyle(e).backgroundImage")
    assert shown.startswith('url("blob:')
    assert page.evaluate("window.hacked") is None


def test_every_thumbnail_is_its_sample(image_page, opened, decoded):
    """The gallery's pixels in the browser are those of X."""
    from PIL import Image

    X, _ = decoded
    page = opened(image_page)
    for thumbnail in page.locator(".thumbnails .thumbnail").all()[:3]:
        row = int(thumbnail.get_attribute("title").split()[1])
        seen = Image.open(io.BytesIO(thumbnail.screenshot())).convert("L")
        seen = np.asarray(seen.resize((48, 48)))[3::6, 3::6]  # the middle of each pixel
        difference = np.abs(seen.astype(float) - X[row, 0])
        assert difference.mean() < 6


def test_features_are_shown_under_the_pointer(table_page, opened):
    page = opened(table_page)
    row = outermost(page)
    hover(page, row)
    page.get_by_text("width").last.wait_for(timeout=5000)
    value = np.random.RandomState(0).standard_normal((30, 3))[row, 1]
    assert page.get_by_text(f"{value:.3f}", exact=True).count() >= 1
    assert page.evaluate("window.hacked") is None


def test_wheel_zooms(table_page, opened):
    page = opened(table_page)
    extent = (
        "(() => { const {start, end} = Bokeh.index.roots[0].model.x_range; return end - start; })()"
    )
    before = page.evaluate(extent)
    hover(page, outermost(page))
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"{extent} < {0.95 * before}", timeout=5000)


def test_named_clusters_are_downloaded(image_page, opened, decoded, tmp_path):
    X, model = decoded
    page = opened(image_page)
    page.fill("#name-0", 'long, "thin"')
    page.fill("#name-2", HOSTILE)
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "labels.csv"
    waiting.value.save_as(tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    labels = model.predict(X)
    assert [int(line["row"]) for line in lines] == list(range(len(X)))
    assert [int(line["cluster"]) for line in lines] == labels.tolist()
    names = np.array(['long, "thin"', "", HOSTILE])[labels]
    assert [line["name"] for line in lines] == names.tolist()
    confidence = [float(line["confidence"]) for line in lines]
    np.testing.assert_allclose(confidence, model.predict_proba(X).max(1), atol=1e-4)
