"""Types: both type checkers agree that `@on` keeps a handler's type, and that mistakes are mistakes.

What is right stands in `typing/`, and what is wrong in the texts below.
"""

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

MISTAKES: dict[str, str] = {}
MISTAKES["bus"] = dedent("""
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
MISTAKES["contracts"] = dedent("""
    from fastsoy_events import Event, EventBus, bus, event, events


    @event("employee.created")
    def employee_created(*, employee_id: int, language: str = "en") -> None: ...


    @event("month.closed")
    def month_closed() -> None: ...


    async def use() -> None:
        await employee_created.emit(employee_id=1)
        await employee_created.emit(employee_id=1, language=None)  # mistake
        await employee_created.emit(employee_id="1")  # mistake
        await employee_created.emit(employe_id=1)  # mistake
        await employee_created.emit()  # mistake
        await employee_created.emit(1)  # mistake
        await employee_created.emit(employee_id=1, tenant=2)  # mistake
        await month_closed.emit(month=1)  # mistake
        kept = employee_created.emit
        await kept(employee_id="1")  # mistake
        failures: int = await employee_created.emit(employee_id=1)  # mistake
        employee_created(employee_id=1)  # mistake
        employee_created.name = "employee.left"  # mistake
        employee_created.payload  # mistake


    @employee_created.on
    async def greet(employee_id: int, language: str = "en") -> str:
        return language * employee_id


    greet(employee_id="one")  # mistake
    greet(number=1)  # mistake


    async def read() -> int:
        return await greet(employee_id=1)  # mistake


    @employee_created.on  # mistake
    def of_another_type(employee_id: str, **_: object) -> None: ...


    @employee_created.on  # mistake
    def of_another_name(employe_id: int, **_: object) -> None: ...


    @employee_created.on  # mistake
    def of_one_keyword_more(employee_id: int, tenant: int, **_: object) -> None: ...


    @employee_created.on  # mistake
    def of_one_keyword_less(employee_id: int) -> None: ...


    @employee_created.on  # mistake
    def without_the_default(employee_id: int, language: str) -> None: ...  # an emit by name may leave it out


    @employee_created.on  # mistake
    def by_position(employee_id: int, /, language: str = "en") -> None: ...


    @employee_created.on  # mistake
    def of_numbers(**numbers: int) -> None: ...


    @month_closed.on  # mistake
    def of_something(month: int) -> None: ...


    employee_created.on(3)  # mistake
    employee_created.on("employee.left")  # mistake


    @event("order.placed")  # mistake
    async def asynchronous(*, order_id: int) -> None: ...


    @event("order.placed")  # mistake
    def with_a_result(*, order_id: int) -> int:
        return order_id


    @event  # mistake
    def bare(*, order_id: int) -> None: ...


    event(3)  # mistake
    event()  # mistake
    event("order.placed")(3)  # mistake
    EventBus().event(None)  # mistake
    events("order.placed")  # mistake
    bus.validation = "on"  # mistake
    wrong: Event[[int]] = employee_created  # mistake
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


@pytest.mark.parametrize("about", MISTAKES)
@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_the_type_checkers_reject_each_mistake_at_its_line(checker: Checker, about: str, tmp_path: Path) -> None:
    file = tmp_path / "mistakes.py"
    file.write_text(MISTAKES[about])
    status, output = checker(file, tmp_path)
    lines = enumerate(MISTAKES[about].splitlines(), 1)
    expected = [number for number, line in lines if line.endswith("# mistake")]
    found = {int(line) for line in re.findall(r"mistakes\.py:(\d+)(?::\d+)?(?: -|:) error", output)}
    assert status == 1
    assert sorted(found) == expected, output
