"""The command on small files: what it writes, what it refuses, and what it says."""

import csv
import io
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from skorch.callbacks import Callback

import skdeepclust
from skdeepclust._cli import PhaseLines, main, methods
from skdeepclust._read_data import read_data

ROOT = Path(__file__).parents[1]
QUICK = ["--set", "n_starts=2", "--set", "start_epochs=2", "--set", "max_epochs=2"]


def command(*arguments, **options):
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "skdeepclust._cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=120,
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, noisy_patterns):
    """Images, some in a folder of their own, and a table with a column of words."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images" / "more").mkdir(parents=True)
    for i, image in enumerate(noisy_patterns(40, 8)[:, 0]):
        place = "more/" if i % 2 else ""
        Image.fromarray(image).save(folder / "images" / f"{place}{i:02d}.png")
    (folder / "images" / "notes.txt").write_text("no image")
    (folder / "images" / "._00.png").write_text("no image either")
    (folder / "images" / ".checkpoints").mkdir()
    (folder / "images" / ".checkpoints" / "00.png").write_text("nor this")
    (folder / "images" / "folder.png").mkdir()
    (folder / "empty.npy").touch()
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (folder / "text.npy").write_text("no array, but text")
    np.save(folder / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save(folder / "flat.npy", np.zeros(300))
    np.save(folder / "cut.npy", np.zeros((30, 4)))
    (folder / "cut.npy").write_bytes((folder / "cut.npy").read_bytes()[:500])
    X = np.random.RandomState(0).standard_normal((40, 3))
    table = pandas.DataFrame(X, columns=["width", "height", "depth"]).assign(kind="red")
    table.to_csv(folder / "table.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """What the real command writes for images, and what it says there and on a terminal."""
    out = folder / "run"
    arguments = ["fit", folder / "images", "--n-clusters", 3, "--out", out, *QUICK]
    ours, theirs = os.openpty()
    import_module("termios").tcsetwinsize(theirs, (24, 100))
    done = command(*arguments, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    return out, done.stdout, shown


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_script_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = project["scripts"]["skdeepclust"].split(":")
    assert getattr(import_module(module), function) is main


def test_fit_writes_labels_model_and_report(run, folder):
    out, said, _ = run
    assert sorted(os.listdir(out)) == ["labels.csv", "model.safetensors", "report.html"]
    rows = rows_of((out / "labels.csv").read_text())
    assert [row["file"] for row in rows[:2]] == ["00.png", "02.png"]
    assert rows[-1]["file"] == "more/39.png"
    model = skdeepclust.load(out / "model.safetensors")
    assert type(model) is skdeepclust.NeuralMixtureEM
    assert (model.n_clusters, model.max_epochs, model.random_state) == (3, 2, 0)
    X = read_data(folder / "images").X
    assert [int(row["cluster"]) for row in rows] == model.predict(X).tolist() == list(model.labels_)
    np.testing.assert_allclose(
        [float(row["confidence"]) for row in rows], model.predict_proba(X).max(1), atol=1e-6
    )
    assert f"ended: {model.stop_reason_}" in said
    assert "report.html" in said


def test_progress_is_a_bar_on_a_terminal(run):
    assert "2/2" in run[2]
    assert "epoch/s" in run[2]


def test_predict_gives_the_same_labels(run, folder):
    out = run[0]
    arguments = ["predict", out / "model.safetensors", folder / "images"]
    done = command(*arguments, capture_output=True)
    assert done.returncode == 0
    assert done.stdout == (out / "labels.csv").read_text()
    assert done.stderr == ""


def test_one_image_is_predicted(run, folder, capsys):
    (row,) = [r for r in rows_of((run[0] / "labels.csv").read_text()) if r["file"] == "02.png"]
    assert main(["predict", str(run[0] / "model.safetensors"), f"{folder}/images/02.png"]) == 0
    assert rows_of(capsys.readouterr().out) == [row | {"row": "0"}]


def test_a_run_is_not_overwritten(run, folder, capsys):
    out = run[0]
    before = (out / "model.safetensors").read_bytes()
    assert main(["fit", str(folder / "images"), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "model.safetensors" in said.err
    assert "--force" in said.err
    assert (out / "model.safetensors").read_bytes() == before


def test_force_replaces_a_run(folder, tmp_path, capsys):
    for name in ("labels.csv", "report.html"):
        (tmp_path / name).write_text("before")
    arguments = ["fit", str(folder / "table.csv"), "--drop", "kind", "--out", str(tmp_path)]
    assert main([*arguments, "--force", "--no-report", "--n-clusters", "2", *QUICK]) == 0
    rows = rows_of((tmp_path / "labels.csv").read_text())
    assert list(rows[0]) == ["row", "cluster", "confidence"]
    # Where there is no terminal to draw bars on, progress is plain lines.
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", loss")[0] for line in lines] == ["cluster: 2 epochs"]
    # A report of another model would say what is not so.
    assert sorted(os.listdir(tmp_path)) == ["labels.csv", "model.safetensors"]
    model = skdeepclust.load(tmp_path / "model.safetensors")
    assert model.feature_names_in_.tolist() == ["width", "height", "depth"]


def test_what_is_removed_is_told_and_a_fit_that_fails_leaves_nothing(folder, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["fit", str(folder / "table.csv"), "--drop", "kind", "--out", str(out)]
    assert main([*arguments, "--n-clusters", "500"]) == 1
    assert not out.exists()
    out.mkdir()
    (out / "report.html").write_text("before")
    few = ["--force", "--no-report", "--n-clusters", "2", *QUICK]
    assert main([*arguments, *few]) == 0
    assert f"removed {out / 'report.html'}, of the model before\n" in capsys.readouterr().out


def test_a_fit_that_fails_leaves_its_checkpoint(folder, tmp_path, monkeypatch, capsys):
    def fail(self, X):
        (tmp_path / "run" / "checkpoint").write_text("kept")
        raise ValueError("no more")

    monkeypatch.setattr(skdeepclust.NeuralMixtureEM, "fit", fail)
    arguments = [str(folder / "table.csv"), "--drop", "kind", "--out", str(tmp_path / "run")]
    assert main(["fit", *arguments]) == 1
    assert capsys.readouterr().err == "skdeepclust: error: no more\n"
    assert os.listdir(tmp_path / "run") == ["checkpoint"]


def test_the_package_runs_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "skdeepclust", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("skdeepclust ")


def test_phases_without_epochs_are_no_lines(folder, tmp_path, capsys):
    arguments = ["fit", str(folder / "table.csv"), "--drop", "kind", "--out", str(tmp_path / "run")]
    few = ["--n-clusters", "2", "--set", "pretrain_epochs=0", "--set", "max_epochs=1"]
    assert main([*arguments, "--method", "stat-dec", "--no-report", *few]) == 0
    assert capsys.readouterr().err.startswith("cluster: 1 epochs, loss ")


def test_phases_of_one_name_are_counted_apart(folder, tmp_path, capsys):
    few = ["--set", "n_networks=2", "--set", "n_starts=2", "--set", "start_epochs=3"]
    few += ["--set", "max_epochs=2", "--set", "augment=affine", "--no-report"]
    arguments = ["fit", str(folder / "images"), "--n-clusters", "3", "--out", str(tmp_path / "run")]
    assert main([*arguments, *few]) == 0
    lines = capsys.readouterr().err.splitlines()
    phases = [line.partition(",")[0] for line in lines if ": " in line]
    assert phases == [
        "explore: 3 epochs",
        "cluster: 2 epochs",
        "explore 2: 3 epochs",
        "cluster 2: 2 epochs",
    ]


def test_a_phase_that_was_resumed_is_counted_whole(tmp_path, capsys):
    class Crash(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.phase_ == "cluster" and len(net.history) == 5:
                raise OSError("the disk is full")

    X = np.random.RandomState(0).rand(40, 3)
    few = {"pretrain_epochs": 2, "max_epochs": 6, "tol": 0.0, "random_state": 0}
    model = skdeepclust.StatDEC(
        3, checkpoint=skdeepclust.Checkpoint(tmp_path / "fit", epochs=1), **few
    )
    with pytest.raises(OSError, match="the disk is full"):
        model.set_params(callbacks=[Crash()]).fit(X)
    model.set_params(callbacks=[PhaseLines()]).fit(X)
    assert capsys.readouterr().err.startswith("cluster: 6 epochs, loss ")


def test_report_and_predict_write_files(run, folder, tmp_path, capsys):
    model, images = str(run[0] / "model.safetensors"), str(folder / "images")
    page, labels = tmp_path / "page.html", tmp_path / "labels.csv"
    assert main(["report", model, images, "--out", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert main(["predict", model, images, "--out", str(labels)]) == 0
    assert labels.read_text() == (run[0] / "labels.csv").read_text()
    for name, path in (("report", page), ("predict", labels)):
        assert main([name, model, images, "--out", str(path)]) == 1
        assert "there already" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="pipes are of POSIX")
def test_a_pipe_is_written_to(run, folder, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    arguments = ["predict", run[0] / "model.safetensors", folder / "images", "--out", pipe]
    assert main(list(map(str, arguments))) == 0
    assert len(rows_of(os.read(reader, 2**16).decode())) == 40
    os.close(reader)
    assert pipe.is_fifo()


def test_large_images_are_read_and_shown_as_large(tmp_path, noisy_patterns, capsys):
    """The network sees averages of them."""
    images, out = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for i, image in enumerate(noisy_patterns(12, 7)[:, 0].repeat(8, 1).repeat(8, 2)):
        Image.fromarray(image).save(images / f"{i:02d}.png")
    short = ["--set", "pretrain_epochs=1", "--set", "max_epochs=1"]
    fit = ["fit", str(images), "--method", "stat-dec", "--n-clusters", "3", "--out", str(out)]
    assert main([*fit, *short]) == 0
    capsys.readouterr()
    assert main(["predict", str(out / "model.safetensors"), str(images)]) == 0
    assert capsys.readouterr().out == (out / "labels.csv").read_text()
    facts = (out / "report.html").read_text(encoding="utf-8")
    assert "Shape of a sample</th><td>(1, 56, 56)" in facts
    assert "Shape that the network sees</th><td>(1, 28, 28)" in facts


def test_new_images_are_brought_to_those_of_the_fit(run, folder, tmp_path, capsys):
    for file in (folder / "images").glob("[0-9]*.png"):
        with Image.open(file) as picture:
            large = picture.convert("RGB").resize((16, 16), Image.Resampling.NEAREST)
            large.save(tmp_path / file.name)
    assert main(["predict", str(run[0] / "model.safetensors"), str(tmp_path)]) == 0
    assert len(rows_of(capsys.readouterr().out)) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nowhere", "--out", "x"], "nowhere is not there; expected a folder of images"),
        (["fit", "{}/table.csv", "--out", "x"], "--drop 'kind'"),
        (["fit", "{}/table.csv", "--drop", "age", "--out", "x"], "no columns ['age'] to drop"),
        (["fit", "{}/images/notes.txt", "--out", "x"], "ends in '.txt'"),
        (["fit", "{}/images", "--drop", "a", "--out", "x"], "no columns to drop"),
        (["fit", "{}/table.csv", "--drop", "kind", "--image-size", "8", "--out", "x"], "no folder"),
        (["fit", "{}/images", "--set", "nope=1", "--out", "x"], "no ['nope']"),
        (["fit", "{}/images", "--set", "n_clusters=3", "--out", "x"], "is --n-clusters 3 here"),
        (["fit", "{}/images", "--n-clusters", "50", "--out", "x"], "n_samples=40 < n_clusters=50"),
        (["fit", "{}/images", "--n-clusters", "0", "--out", "x"], "'n_clusters' parameter"),
        (["fit", "{}/images", "--device", "abacus", "--out", "x"], "abacus"),
        (["fit", "{}/empty.npy", "--out", "x"], "empty.npy is no .npy file, or damaged"),
        (["fit", "{}/broken.npz", "--out", "x"], "broken.npz is no .npz file, or damaged"),
        (["fit", "{}/text.npy", "--out", "x"], "text.npy is no .npy file of numbers"),
        (["fit", "{}/objects.npy", "--out", "x"], "objects.npy is no .npy file of numbers"),
        (["fit", "{}/cut.npy", "--out", "x"], "cut.npy is no .npy file of numbers: it is damaged"),
        (["fit", "{}/flat.npy", "--out", "x"], "an array of shape (300,); expected (n_samples"),
        (
            ["fit", "{}/images", "--out", "{}/table.csv", "--force"],
            "table.csv is a file; expected a",
        ),
        (["predict", "nowhere", "{}/images"], "nowhere"),
        (["predict", "{}/table.csv", "{}/images"], "no model"),
    ],
)
def test_errors_are_one_line(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main([part.format(folder) for part in arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("skdeepclust: error: ")
    assert message in said.err
    assert said.err.count("\n") == 1


def test_columns_are_brought_to_the_order_of_the_fit(tmp_path, capsys):
    table = pandas.DataFrame(np.random.RandomState(0).rand(40, 3), columns=["a", "b", "c"])
    for name, columns in {"fitted": ["a", "b", "c"], "turned": ["c", "a", "b"]}.items():
        table[columns].to_csv(tmp_path / f"{name}.csv", index=False)
    words = ["fit", str(tmp_path / "fitted.csv"), "--out", str(tmp_path), "--no-report", *QUICK]
    assert main([*words, "--n-clusters", "3"]) == 0
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "turned.csv")]) == 0
    assert capsys.readouterr().out == (tmp_path / "labels.csv").read_text()


def test_warnings_are_one_line(tmp_path):
    X = pandas.DataFrame(np.random.RandomState(0).rand(40, 3), columns=["a", "b", "c"])
    X.assign(b=X["b"] / 10, id=range(40)).to_csv(tmp_path / "table.csv", index=False)
    words = ["fit", tmp_path / "table.csv", "--out", tmp_path, "--no-report", "--n-clusters", "3"]
    said = command(*words, *QUICK, capture_output=True).stderr
    lines = [line for line in said.splitlines() if "spreads" in line]
    assert lines[0].startswith("skdeepclust: warning: column 'id' of X spreads ")
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a;b\n1,5;2\n3,5;4\n", "are separated by semicolons; expected commas"),
        ("a\tb\n1\t2\n", "are separated by tabs; expected commas"),
        ("\t".join("ab" * 40_000) + "\n" + "\t".join("12" * 40_000), "are separated by tabs"),
        ("a,b\n1,2,3\n4,5,6\n", "more values than its first row has names"),
        ("1.5,2\n3,4\n", "is numbers; expected names of the columns"),
        ("0.0,5.0,0.0\n3,4,5\n", "is numbers; expected names of the columns"),
        ("400.0,402.5\n3,4\n", "a letter before each"),
        (",a,b\n0,1,2\n1,3,4\n", "leave it out with --drop 'Unnamed: 0'"),
        ("a,b\n", "has columns, but no rows"),
        ("a,b,c\n1,2,3\n1,,3\n1,2,\n", "['b', 'c'] of {}/t.csv have missing values, the first"),
    ],
)
def test_tables_that_would_be_misread_are_refused(tmp_path, capsys, table, message):
    (tmp_path / "t.csv").write_text(table)
    assert main(["fit", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert message.format(tmp_path) in said
    assert said.count("t.csv") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("table", "drop"),
    [
        ("0,1\n1.5,2\n3,4\n", ()),
        (",a,b\n0,1.5,2\n1,3,4\n", ("Unnamed: 0",)),
        ("2019,2020\n1.5,2\n3,4\n", ()),
        (" ,a\n1.5,2\n3,4\n", ()),
        ("\n\ufeffa,b\r\n1.5,2\r\n3,4\r\n", ()),
        ('"weight; kg","c\td"\n1.5,2\n3,4\n', ()),
    ],
)
def test_tables_are_read_as_they_are_meant(tmp_path, table, drop):
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    X = read_data(tmp_path / "t.csv", drop=drop).X
    assert X.to_numpy().tolist() == [[1.5, 2], [3, 4]]


def test_a_column_may_have_a_semicolon_in_its_name(tmp_path):
    (tmp_path / "t.csv").write_text('"weight; kg"\n1.5\n3\n')
    assert list(read_data(tmp_path / "t.csv").X.columns) == ["weight; kg"]


@pytest.mark.parametrize(
    "arguments", [[], ["fit", "x"], ["fit", "x", "--out", "y", "--set", "lr"], ["fly"]]
)
def test_wrong_usage_exits_by_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: skdeepclust" in capsys.readouterr().err


def test_ctrl_c_is_told_by_the_exit_code(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("skdeepclust._cli.read_data", interrupted)
    assert main(["fit", "x", "--out", "y"]) == 130
    assert capsys.readouterr().err == "skdeepclust: interrupted\n"


def test_every_estimator_is_a_method():
    expected = ["dvc", "neural-mixture-em", "precise-feature-gan", "stat-dec"]
    assert sorted(methods()) == expected


# ---------------------------------------------------------------------- reading


def test_arrays_and_tables_are_read_as_they_are(tmp_path):
    X = np.random.RandomState(0).standard_normal((5, 3))
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", X)
    np.savez(tmp_path / "b.npz", X=X, y=np.zeros(5))
    np.savez(tmp_path / "c.npz", one=X, two=X)
    for name in ("a.npy", "a.npz", "b.npz"):
        np.testing.assert_array_equal(read_data(tmp_path / name).X, X)
    with pytest.raises(ValueError, match=r"arrays \['one', 'two'\]; expected one"):
        read_data(tmp_path / "c.npz")
    with pytest.raises(ValueError, match="no columns to drop"):
        read_data(tmp_path / "a.npy", drop=("a",))


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: skdeepclust[cli]")
    table = pandas.DataFrame({"a": [1.5, 2.5], "b": [1, 2], "c": ["x", "y"]})
    table["d"] = pandas.to_timedelta([1, 2], unit="s")
    table.to_parquet(tmp_path / "t.parquet")
    read = read_data(tmp_path / "t.parquet", drop=("c", "d")).X
    pandas.testing.assert_frame_equal(read, table[["a", "b"]])
    with pytest.raises(ValueError, match=r"columns \['d'\] .* no numbers; .* with --drop 'd'"):
        read_data(tmp_path / "t.parquet", drop=("c",))


def test_images_are_read_by_name_and_as_they_are(tmp_path, noisy_patterns):
    images = noisy_patterns(3, 6)[:, 0]
    for name, image in zip(("b.png", "a.png", "c.bmp"), images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    data = read_data(tmp_path)
    assert data.files == ["a.png", "b.png", "c.bmp"]
    np.testing.assert_array_equal(data.X, images[[1, 0, 2], None])
    assert data.X.dtype == np.uint8


def test_one_coloured_image_makes_all_coloured(tmp_path):
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "a.png")
    colored = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(colored).save(tmp_path / "b.png")
    X = read_data(tmp_path).X
    assert X.shape == (2, 3, 4, 6)
    assert (X[0] == 9).all()
    np.testing.assert_array_equal(X[1], colored.transpose(2, 0, 1))


def test_images_of_several_sizes_need_one(tmp_path):
    for i, shape in enumerate([(4, 6), (8, 8)]):
        Image.fromarray(np.full(shape, 50, np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match=r"6x4 pixels and .*1\.png 8x8.*--image-size"):
        read_data(tmp_path)
    X = read_data(tmp_path, image_shape=(None, 5, 7)).X
    assert X.shape == (2, 1, 5, 7)
    assert (X == 50).all()


def test_images_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        read_data(tmp_path)
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(deep)
    with pytest.raises(ValueError, match=r"deep\.png has pixels of mode"):
        read_data(tmp_path)
    deep.unlink()
    picture = io.BytesIO()
    noise = np.random.RandomState(0).randint(256, size=(64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(picture, "PNG")
    (tmp_path / "cut.png").write_bytes(picture.getvalue()[:1000])
    with pytest.raises(OSError, match=r"cut\.png cannot be read"):
        read_data(tmp_path)


@pytest.mark.parametrize(("name", "package"), [("images", "PIL"), ("table.csv", "pandas")])
def test_missing_packages_name_the_extra(folder, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"skdeepclust\[cli\]"):
        read_data(folder / name)
