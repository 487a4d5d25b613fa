"""Types: both type checkers agree that `@on` keeps a handler's type, and that mistakes are mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "typing"
PATIENCE = 300.0  # seconds

Checker: TypeAlias = "Callable[[Path, Path], tuple[int, str]]"

pytestmark = pytest.mark.types

MISTAKES = dedent("""
    from fastsoy_events import EventBus, bus, emit, on


    @on("employee.created")
    def greet(employee_id: int) -> str:
        return str(employee_id)


    @on  # mistake
    def bare() -> None: ...


    on(3)  # mistake
    on("employee.created")(3)  # mistake
    on()  # mistake
    greet("one")  # mistake
    number: int = greet(1)  # mistake
    EventBus().on(None)  # mistake


    async def use() -> None:
        await emit(None)  # mistake
        await emit(event="employee.created")  # mistake
        failures: int = await bus.emit("employee.created")  # mistake
        bus.handlers(1)  # mistake
        with bus.isolated(1):  # mistake
            bus.load_plugins(order=1)  # mistake
""")


def run(checker: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker of this interpreter's own environment."""
    return subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def mypy(target: Path, folder: Path) -> tuple[int, str]:
    """Check a file or folder with mypy, strictly."""
    arguments = ["--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", "--show-error-codes", str(target)]
    done = run("mypy", *arguments, folder=folder)
    return done.returncode, done.stdout + done.stderr


def basedpyright(target: Path, folder: Path) -> tuple[int, str]:
    """Check a file or folder with basedpyright, strictly."""
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps({"include": [str(target)], "typeCheckingMode": "strict"}))
    done = run("basedpyright", "--project", str(project), "--pythonpath", sys.executable, folder=folder)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_the_type_checkers_accept_what_is_right(checker: Checker, tmp_path: Path) -> None:
    status, output = checker(FOLDER, tmp_path)
    assert status == 0, output


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_the_type_checkers_reject_each_mistake_at_its_line(checker: Checker, tmp_path: Path) -> None:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES)
    status, output = checker(file, tmp_path)
    expected = [number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# mistake")]
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+)(?::\d+)?(?: -|:) error", output)}
    assert status == 1
    assert sorted(found) == expected, output
