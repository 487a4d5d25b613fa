"""The testing kit as an outsider gets it: the built wheel, pytest, pytest-asyncio, and nothing else of this project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent

FILES = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "acme-badge"
        version = "1.0.0"
        dependencies = ["fastsoy-events"]

        [project.entry-points."fastsoy.event_handlers"]
        badge = "acme_badge"

        [tool.pytest.ini_options]
        addopts = ["--strict-markers", "-W", "error"]
        asyncio_mode = "auto"
        asyncio_default_fixture_loop_scope = "function"
    """,
    "src/acme_badge/__init__.py": """
        from fastsoy_events import emit, on

        @on("employee.created")
        async def print_badge(employee_id, **_):
            if employee_id < 0:
                raise ValueError(f"{employee_id} is no employee")
            await emit("badge.printed", employee_id=employee_id)
    """,
    "tests/test_badge.py": """
        import pytest

        from fastsoy_events import deferred, emit, handlers
        from fastsoy_events.testing import expected_failures, flush_deferred

        pytestmark = pytest.mark.events(plugins=["acme-badge"])

        async def test_a_badge_is_printed(captured_events):
            await emit("employee.created", employee_id=1)
            captured_events.assert_order(["employee.created", "badge.printed"])
            captured_events.assert_emitted("badge.printed", employee_id=1, times=1)

        async def test_only_after_the_commit(captured_events):
            async with deferred():
                await emit("employee.created", employee_id=1)
                captured_events.assert_not_emitted("badge.printed")
                await flush_deferred()
                captured_events.assert_emitted("badge.printed")

        async def test_a_wrong_number():
            with expected_failures(ValueError, match="no employee"):
                await emit("employee.created", employee_id=-1)

        async def test_beside_another_plugin(install_plugin):
            source = "from fastsoy_events import on\\n@on('badge.printed')\\ndef post(**_): ..."
            plugin = install_plugin(name="acme-post", module="acme_post", source=source)
            assert handlers("badge.printed") == plugin.handlers

        async def test_a_mistake():
            await emit("employee.created", employee_id=-17)
    """,
    "tests/test_desk.py": """
        import importlib.util

        import pytest

        from fastsoy_events import emit, load_plugins, plugins

        @pytest.mark.asyncio
        async def test_a_handler_of_the_tests_own(event_bus, captured_events):
            desks = []
            event_bus.on("employee.created")(lambda employee_id: desks.append(employee_id))
            await emit("employee.created", employee_id=1)
            assert desks == [1]
            captured_events.assert_not_emitted("badge.printed")

        @pytest.mark.asyncio
        async def test_a_plugin_of_the_tests_own(event_bus, captured_events, install_plugin):
            source = "from fastsoy_events import emit, on\\n"
            source += "@on('employee.created')\\nasync def reserve(**_): await emit('desk.reserved', floor=2)"
            plugin = install_plugin(name="acme-desk", module="acme_desk", source=source)
            assert event_bus.handlers("employee.created") == plugin.handlers
            await emit("employee.created", employee_id=1)
            captured_events.assert_order(["employee.created", "desk.reserved"])

        def test_nothing_of_the_other_tests_is_left(event_bus):
            assert event_bus.handlers() == plugins() == ()

        def test_the_real_bus_is_back():
            assert [plugin.name for plugin in load_plugins().plugins] == ["badge"]

        @pytest.mark.parametrize("extra", ["sqlalchemy", "starlette", "tortoise", "typer", "opentelemetry"])
        def test_no_extra_is_installed(extra):
            assert importlib.util.find_spec(extra) is None
    """,
}


@dataclass(frozen=True, slots=True)
class Outsider:
    """A folder with a project, and an environment that has never seen this repository."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "PYTEST_"))}
        return subprocess.run(
            [str(self.folder / "environment" / "bin" / program), *arguments],
            cwd=self.folder,
            env={**kept, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory) -> Outsider:
    tmp_path = tmp_path_factory.mktemp("outsider")
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(wheels), str(ROOT), str(tmp_path)], check=True, cwd=tmp_path)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "environment")], check=True)
    found = Outsider(tmp_path)
    quiet = ("--quiet", "--disable-pip-version-check")
    installed = found.run(
        "python", "-m", "pip", "install", *quiet, *map(str, wheels.iterdir()), "pytest>=8.2", "pytest-asyncio>=0.26"
    )
    assert installed.returncode == 0, installed.stderr
    return found


def test_the_kit_is_there_once_the_wheel_is_installed(outsider: Outsider) -> None:
    result = outsider.run("python", "-m", "pytest", "tests/test_badge.py")
    shown = result.stdout
    assert "1 failed, 4 passed" in shown, shown + result.stderr
    assert "fastsoy-events" in next(line for line in shown.splitlines() if line.startswith("plugins:"))
    assert re.search(r"^E +ValueError: -17 is no employee$", shown, re.MULTILINE)
    assert "E   AssertionError: an event handler failed, which the test does not expect:" in shown
    assert "      employee.created / acme_badge.print_badge: ValueError: -17 is no employee" in shown


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_project_that_uses_it_passes(outsider: Outsider, mode: str) -> None:
    result = outsider.run("python", "-m", "pytest", "-o", f"asyncio_mode={mode}", "tests/test_desk.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "9 passed" in result.stdout
