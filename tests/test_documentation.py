"""The documentation is taken at its word: its code runs, its commands print what it shows, its links lead somewhere.

What a fenced block is decides what happens to it, page by page and from top to bottom:

- `python` and `pycon` run in this process, in one namespace a page; a `text` block with the title `output` or `log`
  shows what the `python` block before it printed or logged;
- any block with another title is a file of that name in the page's project folder;
- `console` runs each `$` line in that folder, in a fresh environment, and compares what the page shows below it;
- `mermaid` is exactly what the last of these printed;
- `sh`, `toml` and `text` are there to be read.

`<!-- not run: reason -->` before a block leaves it out; `<!-- run in the checkout -->` runs it at the top of this
repository.
"""

from __future__ import annotations

import doctest
import importlib
import logging
import os
import pkgutil
import re
import subprocess
import sys
import venv
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import distribution, entry_points
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

import fastsoy_events
import fastsoy_events.testing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastsoy_events import EventBus

ROOT = Path(__file__).resolve().parent.parent
TRANSLATED = {*ROOT.glob("*.zh-CN.md"), *(ROOT / "docs" / "zh").rglob("*.md")}  # see tests/test_translations.py
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - TRANSLATED)
README = ROOT / "README.md"
API, COMMAND_LINE, INSPECTION, CHECK, SETTINGS = (
    ROOT / "docs" / "reference" / f"{name}.md" for name in ("api", "command-line", "inspection", "check", "settings")
)

LANGUAGES = {"python", "pycon", "console", "mermaid", "sh", "toml", "text"}
SHOWN = {"output", "log"}
VARIABLES = {f"FASTSOY_EVENTS_{name}" for name in ("ALLOWED", "DISABLED", "LOCK", "VALIDATE")}
IN_CHECKOUT = "run in the checkout"
MOST_NOT_RUN = 3
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n+)?^```(?P<language>\w*)(?: title=\"(?P<title>[^\"\n]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    mark: str
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_file(self) -> bool:
        return bool(self.title) and self.title not in SHOWN

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run")


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Block(page, line, match["mark"] or "", match["language"], match["title"] or "", match["text"])


def name_of(page: object) -> str:
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else ""


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
each_page_with_commands = pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language == "console" for block in blocks(page))], ids=name_of
)


@pytest.fixture(autouse=True)
def plain_surroundings(default_bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings of the caller away from the examples, and what the examples add to the bus from other tests."""
    for name in (*VARIABLES, "PYTHONPATH", "PYTEST_ADDOPTS", "COLUMNS", "FORCE_COLOR", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("fastsoy_events")
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))


# Form


@each_page
def test_every_block_says_what_it_is(page: Path) -> None:
    found = list(blocks(page))
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(found), "a fence is not closed, or its first line is not understood"
    assert "<!--" not in BLOCK.sub("", text), "a comment stands before no block"
    for before, block in pairwise([None, *found]):
        assert block is not None
        assert block.language in LANGUAGES, block.place
        assert block.mark in {"", IN_CHECKOUT} or re.fullmatch(r"not run: \w.{9,}", block.mark), block.place
        assert block.title not in SHOWN or block.language == "text", block.place
        assert block.language != "mermaid" or (before and before.language == "console" and before.runs), block.place


def test_few_blocks_are_not_run() -> None:
    assert sum(not block.runs for page in PAGES for block in blocks(page)) <= MOST_NOT_RUN


# Code


@each_page
def test_python_blocks_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType("page")  # some libraries look there for what a function's annotations name
    monkeypatch.setitem(sys.modules, module.__name__, module)
    namespace: dict[str, Any] = vars(module)
    shown = {"output": "", "log": ""}
    for block in blocks(page):
        if block.title in SHOWN:
            assert_shows(block.text, shown[block.title], block.place)
        elif block.language == "python" and not block.is_file and block.runs:
            caplog.clear()
            exec(compile("\n" * block.line + block.text, page, "exec"), namespace)  # noqa: S102 - that is the test
            messages = (record.getMessage() for record in caplog.records if record.name == "fastsoy_events")
            shown = {"output": capsys.readouterr().out, "log": "".join(f"{message}\n" for message in messages)}
        elif block.language == "pycon" and block.runs:
            example = doctest.DocTestParser().get_doctest(block.text, namespace, block.place, str(page), block.line)
            assert_example_holds(example, clear_globs=False)


def examples_in_docstrings() -> list[doctest.DocTest]:
    found: list[doctest.DocTest] = []
    for module in pkgutil.walk_packages(fastsoy_events.__path__, "fastsoy_events."):
        found += doctest.DocTestFinder().find(importlib.import_module(module.name))
    return [example for example in found if example.examples]


@pytest.mark.parametrize("example", examples_in_docstrings(), ids=lambda example: example.name)
def test_examples_in_docstrings_hold(example: doctest.DocTest) -> None:
    assert_example_holds(example)


def assert_example_holds(example: doctest.DocTest, *, clear_globs: bool = True) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    assert not runner.run(example, out=report.append, clear_globs=clear_globs).failed, "".join(report)


def test_the_quickstart_is_the_one_in_the_readme() -> None:
    [shown] = [block for block in blocks(README) if block.title == "quickstart.py"]
    program = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert shown.text == program
    assert len(program.splitlines()) < 30


# Commands


@dataclass(frozen=True, slots=True)
class Project:
    """The folder of a reader who follows a page, with an environment that holds no plugin yet."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run(self, command: str) -> str:
        return run(command, self.folder, self.folder / ".venv" / "bin")


def run(command: str, folder: Path, programs: Path) -> str:
    """Run a command as its reader would, and return all that it shows."""
    variables = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",  # no network
        "PIP_NO_BUILD_ISOLATION": "0",  # this means without isolation; the build backend is there already
    }
    result = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    shown = result.stdout.replace(str(folder), "/home/me/project").replace(str(ROOT), "/home/me/project")
    assert result.returncode == 0, f"{command}\n{shown}"
    return shown


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path.resolve() / "project"
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    link_distributions(folder / ".venv", "fastsoy-events[cli]", "hatchling", "pip", "pytest")
    script = folder / ".venv" / "bin" / "fastsoy-events"
    script.write_text(f"#!{folder}/.venv/bin/python\nfrom fastsoy_events.cli import main\n\nmain()\n", encoding="utf-8")
    script.chmod(0o755)
    return Project(folder)


def link_distributions(environment: Path, *requirements: str) -> None:
    """Let another environment use distributions of this one and all that they need, without any download."""
    [site] = environment.glob("lib/python*/site-packages")
    wanted = list(requirements)
    for text in wanted:  # it grows meanwhile
        requirement = Requirement(text)
        installed = distribution(requirement.name)
        wanted += [each for each in needs(installed.requires or [], requirement.extras) if each not in wanted]
        for name in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (site / name).is_symlink():
                (site / name).symlink_to(Path(str(installed.locate_file(name))))


def needs(requirements: list[str], extras: set[str]) -> Iterator[str]:
    for text in requirements:
        marker = Requirement(text).marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield text


@each_page_with_commands
def test_commands_show_what_the_page_shows(page: Path, project: Project) -> None:
    shown = ""
    for block in blocks(page):
        if block.is_file:
            project.write(block.title, block.text)
        elif block.language == "mermaid":
            assert block.text == without_remarks(shown), f"{block.place} is not what the command above it prints"
        elif block.language == "console" and block.runs:
            for command, expected in commands(block):
                if block.mark == IN_CHECKOUT:
                    shown = run(command, ROOT, Path(sys.executable).parent)
                else:
                    shown = project.run(command)
                if expected:
                    assert_shows(expected, shown, f"{block.place}: {command}")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    before, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not before, f"{block.place}: a console block begins with a command"
    for part in parts:
        command, _, expected = part.partition("\n")
        yield command, expected


def without_remarks(shown: str) -> str:
    """Leave out what the program writes to standard error."""
    return "".join(line for line in shown.splitlines(keepends=True) if not line.startswith(("note: ", "warning: ")))


def assert_shows(expected: str, shown: str, place: str) -> None:
    """Compare; `...` stands for anything, and widths, durations and the place of the project do not count."""
    assert expected.replace("...", "").strip(), f"{place}: the page shows nothing"
    checker = doctest.OutputChecker()
    if not checker.check_output(comparable(expected), comparable(shown), LENIENT):
        pytest.fail(f"{place}\nthe page shows:\n{expected}\nreally:\n{shown}")


def comparable(text: str) -> str:
    text = re.sub(r"/home/me/[\w-]+", "/home/me/project", text)
    text = re.sub(r"\b\d+\.\d+ ?(ms|s)\b", "0 s", text)
    return re.sub(r"python3\.\d+", "python3", text)


# Completeness


def first_column(page: Path) -> list[str]:
    """Return the words in backticks with which table rows begin."""
    return re.findall(r"^\| `([^` ]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_reference_has_every_public_name_once() -> None:
    names = Counter(first_column(API))
    public = {*fastsoy_events.__all__, *fastsoy_events.testing.__all__}
    assert {name: names[name] for name in public} == dict.fromkeys(public, 1)


def help_of(command: str) -> str:
    return run(f"COLUMNS=200 fastsoy-events {command} --help", ROOT, Path(sys.executable).parent)


def commands_of_the_program() -> list[str]:
    _, _, listed = help_of("").partition("Commands:\n")
    of_other_packages = {each.name for each in entry_points(group="fastsoy_events.commands")} - {"durable"}
    return [each for each in re.findall(r"^  ([a-z]+)  ", listed, flags=re.MULTILINE) if each not in of_other_packages]


def test_the_reference_has_every_command() -> None:
    page = COMMAND_LINE.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `fastsoy-events ([a-z]+)", page, flags=re.MULTILINE)
    assert set(documented) == set(commands_of_the_program())


def test_the_reference_has_every_option_of_the_command_line() -> None:
    pages = (COMMAND_LINE, INSPECTION, CHECK)
    documented = {name for page in pages for name in first_column(page) if name.startswith("--")}
    of_durable = re.findall(r"^  ([a-z]+)  ", help_of("durable").partition("Commands:\n")[2], flags=re.MULTILINE)
    helps = [help_of(each) for each in ("", *commands_of_the_program(), *(f"durable {each}" for each in of_durable))]
    options = {option for text in helps for option in re.findall(r"--[a-z]+(?:-[a-z]+)*", text)}
    assert documented == options - {"--help"}


def test_the_reference_has_every_environment_variable() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    documented = {name for name in first_column(SETTINGS) if name.startswith("FASTSOY_EVENTS_")}
    assert documented == VARIABLES == set(re.findall(r"FASTSOY_EVENTS_[A-Z]+", sources))


# Links


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{target} names no file"
            assert not anchor or anchor in anchors(file), f"{target} names no heading"


def anchors(page: Path) -> set[str]:
    """Return the anchors that its headings get on GitHub."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_the_documentation_is_linked_from_its_first() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
    assert set((ROOT / "docs").rglob("*.md")) - TRANSLATED - {index} <= linked


@each_page
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [name for name in named if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)] == []
