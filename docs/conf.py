"""Sphinx: guides in Markdown, the API from docstrings, the gallery from examples/.

Built by ``make docs``; nothing is fetched, and every warning is an error.
"""

import importlib
import inspect
import os
import pkgutil
import re
from pathlib import Path

import skdeepclust

os.environ.setdefault("MPLBACKEND", "Agg")

HERE = Path(__file__).parent

project = "skdeepclust"
author = "The skdeepclust developers"
copyright = author
version = release = skdeepclust.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",  # sphinx.ext.mathjax with its files
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"skdeepclust {release}"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
# Equation numbers such as (1, 2) stand inside the formulae, as \qquad (1, 2).
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

numpydoc_show_class_members = False
autodoc_typehints = "none"
autosummary_ignore_module_all = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "reset_modules": ("matplotlib",),
}


def write_api() -> None:
    """``api/``: one page for each public module, with what its ``__all__`` has.

    A name that ``skdeepclust`` itself has is not there a second time.
    """
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    names = [found.name for found in pkgutil.iter_modules(skdeepclust.__path__)]
    modules = [skdeepclust] + [
        importlib.import_module(f"skdeepclust.{name}") for name in names if not name.startswith("_")
    ]
    for module in modules:
        (folder / f"{module.__name__}.rst").write_text(api_page(module), encoding="utf-8")
    lines = ["API", "===", "", ".. toctree::", ""]
    lines += [f"   {module.__name__}" for module in modules]
    (folder / "index.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def api_page(module) -> str:
    """A module's page: what it is for, and a table of its names, each with a page of its own."""
    name = module.__name__
    public = getattr(module, "__all__", None) or [
        key for key, value in vars(module).items() if getattr(value, "__module__", "") == name
    ]
    above = () if module is skdeepclust else skdeepclust.__all__
    public = [key for key in public if not key.startswith("_") and key not in above]
    documented = [key for key in public if is_documented(getattr(module, key))]
    lines = [name, "=" * len(name), "", inspect.getdoc(module), ""]
    lines += [f".. currentmodule:: {name}", "", ".. autosummary::", "   :toctree: generated", ""]
    lines += [f"   {key}" for key in documented]
    for key in public:
        if key not in documented:
            lines += ["", f".. py:data:: {key}", "", f"   {description(module, key)}"]
    return "\n".join(lines) + "\n"


def is_documented(value) -> bool:
    """Classes and functions have docstrings; constants have comments, or speak for themselves."""
    return inspect.isclass(value) or inspect.isfunction(value)


def description(module, name: str) -> str:
    """The comment above the line that gives a constant its value, or what is in it."""
    for path in sorted(Path(module.__file__).parent.glob("*.py")):
        found = re.search(rf"((?:^#:? .*\n)+){name}\b[^=\n]*= ", path.read_text("utf-8"), re.M)
        if found:
            return " ".join(line.lstrip("#: ") for line in found[1].splitlines())
    value = getattr(module, name)
    names = ", ".join(f'``"{key}"``' for key in value) if isinstance(value, dict | tuple) else ""
    return names or f"``{value}``"


def site_links(app, docname: str, source: list[str]) -> None:
    """Links that lead to files of the repository lead to their pages here."""
    text = re.sub(r"\(\.\./((?:\.\./)*)benchmarks/results/", r"(\1results/", source[0])
    source[0] = re.sub(
        r"\(\.\./((?:\.\./)*)examples/(plot_\w+)\.py\)", r"(\1auto_examples/\2.rst)", text
    )


# Of what estimators inherit from scikit-learn: the others' docstrings refer to its own guide.
INHERITED = {"fit_predict", "fit_transform", "get_params", "set_params"}


def is_skipped(app, kind, name, value, skip, options) -> bool | None:
    """Members of other packages' classes are documented there."""
    owner = (getattr(value, "__module__", None) or "").split(".")[0]
    request = name.startswith("set_") and name.endswith("_request")
    if request or (owner in {"sklearn", "skorch", "torch"} and name not in INHERITED):
        return True
    return None


write_api()


def setup(app) -> None:
    app.connect("source-read", site_links)
    app.connect("autodoc-skip-member", is_skipped)
