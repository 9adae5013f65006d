"""What the documentation says is so: paths exist, links lead on, code runs."""

import doctest
import importlib
import json
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import atrous

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")}
)
TOP = ("atrous/", "benchmarks/", "docs/", "examples/", "tests/", ".ci/")
MADE = ("outputs/",)  # written by running, not kept


def name(path):
    return str(path.relative_to(ROOT))


def paths_in(text):
    """Paths of this project named between backticks in a page."""
    for quoted in re.findall(r"`([^`\n]+)`", text):
        for word in quoted.split():
            if word.startswith(TOP) and not word.startswith(MADE):
                yield word.rstrip(".,:;")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_paths_exist(page):
    text = page.read_text()
    missing = [path for path in paths_in(text) if not list(ROOT.glob(path.strip("/")))]
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not (page.parent / target).exists():
            missing.append(target)
    assert not missing


def blocks(page):
    """(the line it starts in, its code) of each block marked python."""
    text = page.read_text()
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        yield text[: found.start()].count("\n") + 2, found[1]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if list(blocks(page))], ids=name
)
def test_code_in_pages_runs(page, tmp_path, monkeypatch):
    """Blocks of a page share their names, from top to bottom; `>>>` is held to it."""
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for line, code in blocks(page):
        if ">>>" in code:
            cell = doctest.DocTestParser().get_doctest(code, names, str(page), "", line)
            runner.run(cell, clear_globs=False)
            names.update(cell.globs)
        else:
            exec(compile("\n" * line + code, str(page), "exec"), names)
    assert runner.failures == 0


def test_the_picture_of_the_tiling_is_of_this_schedule():
    script = ROOT / "docs/tutorial/tiling.py"
    drawn = runpy.run_path(str(script))["picture"]()
    assert script.with_suffix(".svg").read_text() == drawn


MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(atrous.__path__, "atrous.")
    if found.name != "atrous.__main__"
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_print_what_they_say(module):
    loaded = importlib.import_module(module)
    names = {**vars(atrous), **vars(loaded)}
    failed, _ = doctest.testmod(loaded, globs=names, verbose=False)
    assert failed == 0


def test_the_readme_gives_the_figures_that_were_measured():
    (results,) = ROOT.glob("benchmarks/results/*.json")
    section = runpy.run_path(str(ROOT / "benchmarks/table.py"))["section"]
    figures = section(json.loads(results.read_text()))
    assert figures in (ROOT / "README.md").read_text(), figures
