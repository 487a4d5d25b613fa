"""The site is built whole or not at all: a dead link or an undocumented name fails it; and what its tables claim."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastsoy_events
from fastsoy_events import EventBus, PluginBus, hookspecs, testing
from fastsoy_events.contrib.starlette import events_lifespan

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "site", "dist", "tests", "node_modules", "*.sqlite3*")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]  # not --quiet, with which it counts no warning
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of this repository, to break something in."""
    shutil.copytree(ROOT, tmp_path / "repository", ignore=NOT_COPIED)
    return tmp_path / "repository"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


# The build


@pytest.mark.site
def test_the_site_is_built_with_all_public_names_and_all_that_pages_link_to(repository: Path) -> None:
    result = build(repository)
    assert result.returncode == 0, result.stderr
    site = repository / "site"
    names = (site / "reference" / "names" / "index.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<h3 id="(?:[\w.]+\.)?(\w+)"', names))
    assert {*fastsoy_events.__all__, *testing.__all__, *hookspecs.__all__} <= shown
    for page in ("benchmarks/RESULTS", "examples/admin/admin/app.py", "plugins", "plugins/fastsoy-hr", "CONTRIBUTING"):
        assert (site / "repository" / page / "index.html").exists()
    cost = (site / "explanation" / "cost" / "index.html").read_text(encoding="utf-8")
    assert 'href="../../repository/benchmarks/RESULTS/"' in cost
    [plot, *_] = re.findall(r'src="\.\./\.\./(repository/[^"]+\.svg)"', cost)
    assert (site / plot).read_bytes() == (repository / plot.removeprefix("repository/")).read_bytes()


@pytest.mark.site
def test_a_dead_link_and_what_is_not_documented_fail_the_build(repository: Path) -> None:
    change(repository / "docs/index.md", "(tutorial.md)", "(tutorials.md)")
    change(repository / "docs/explanation/cost.md", "(../../benchmarks/RESULTS.md)", "(../../benchmarks/RESULT.md)")
    change(repository / "docs/index.md", "(how-to/lock.md)", "(how-to/lock.md#9-retire)")
    change(repository / "README.md", "(docs/how-to/lock.md)", "(docs/how-to/locks.md)")
    change(repository / "mkdocs.yml", "      - how-to/limits.md\n", "")
    change(
        repository / "src/fastsoy_events/_bus.py",
        "            event: the event's name",
        "            name: the event's name",
    )
    public = repository / "src/fastsoy_events/__init__.py"
    change(public, '    "handlers",\n', '    "forget",\n    "handlers",\n')
    with public.open("a", encoding="utf-8") as file:
        file.write("\n\ndef forget() -> None: ...\n")
    result = build(repository)
    assert result.returncode != 0
    for message in (
        "'tutorials.md', but the target is not found",
        "'../../benchmarks/RESULT.md', but the target",
        "does not contain an anchor '#9-retire'",
        "'docs/how-to/locks.md', but the target",
        "- how-to/limits.md",
        "fastsoy_events.on does not say what event is",
        "fastsoy_events.forget is public and has no docstring",
    ):
        assert message in result.stderr, result.stderr


# What the tables claim


def rows(page: str) -> list[list[str]]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]


def test_the_table_of_settings_has_every_argument_and_attribute() -> None:
    listed = {(name.strip("`"), place) for name, place, *_ in rows("docs/reference/settings.md")}
    for function, shown in ((PluginBus.load_plugins, "load_plugins()"), (EventBus.on, "@on(...)")):
        arguments = inspect.signature(function).parameters.values()
        for each in arguments:
            if each.kind is each.KEYWORD_ONLY:
                assert any(name == each.name and shown in place for name, place in listed), each.name
    for name in list(inspect.signature(events_lifespan).parameters)[1:]:
        assert any(each == name and "events_lifespan()" in place for each, place in listed), name
    settable = {
        name for name, value in inspect.getmembers(EventBus, lambda each: isinstance(each, property)) if value.fset
    }
    assert {f"bus.{name}" for name in settable} == {name for name, _ in listed if name.startswith("bus.")}


def test_the_comparison_has_the_numbers_of_the_benchmarks() -> None:
    measured: dict[str, list[str]] = {}
    for name, *cells in rows("benchmarks/RESULTS.md"):
        if name and len(cells) == 9:
            measured.setdefault(name, [cell.split(" ")[0] for cell in cells])  # the first table of nine cases
    compared = [row for row in rows("docs/explanation/compared.md") if len(row) == 3 and row[0] in measured]
    assert len(compared) == 7
    for name, *shown in compared:
        assert shown == [measured[name][2], measured[name][4]], f"{name}: see benchmarks/RESULTS.md"
