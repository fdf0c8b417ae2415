"""Every example of the course runs by itself, from any folder and without a display."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_the_course_is_numbered_without_gaps():
    numbers = [int(path.name.split("_")[1]) for path in EXAMPLES]
    assert numbers == list(range(1, len(EXAMPLES) + 1))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_example_runs_and_draws(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    with plt.rc_context({"figure.max_open_warning": 0}):
        plt.switch_backend("Agg")
        runpy.run_path(str(path), run_name="__main__")
        assert plt.get_fignums(), "an example shows something"
    plt.close("all")
