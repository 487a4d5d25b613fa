"""What a user gets: wheels of core and plugins, installed into fresh environments with `src` out of reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
PLUGINS = ("fastsoy-hr", "fastsoy-notify", "fastsoy-audit")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and an empty folder to work in."""

    folder: Path
    workplace: Path

    def run(self, *command: str, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs, and require its exit status."""
        program, *arguments = command
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "COLUMNS"}}
        result = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=self.workplace,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result


def made(folder: Path, *requirements: str) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
    workplace = folder / "workplace"
    workplace.mkdir()
    environment = Environment(folder / "environment", workplace)
    environment.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    return environment


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    projects = [ROOT, *(ROOT / "plugins" / name for name in PLUGINS)]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), *map(str, projects)], check=True, cwd=folder)
    return {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    core = f"fastsoy-events[cli] @ {wheels['fastsoy-events'].as_uri()}"
    plugins = [str(wheels[name]) for name in PLUGINS]
    return made(tmp_path_factory.mktemp("application"), core, *plugins, "uvicorn", "httpx")


@pytest.fixture(scope="module")
def core_alone(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    return made(tmp_path_factory.mktemp("core"), str(wheels["fastsoy-events"]))


def rows(environment: Environment, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(environment.run("fastsoy-events", *arguments, "--json").stdout)
    return found


def test_a_wheel_holds_its_package_its_types_and_its_licence_only(wheels: Mapping[str, Path]) -> None:
    for name, wheel in wheels.items():
        package = name.replace("-", "_")
        with zipfile.ZipFile(wheel) as archive:
            files = archive.namelist()
        assert f"{package}/py.typed" in files
        assert {file.partition("/")[0].partition("-")[0] for file in files} == {package}
        assert not [file for file in files if "/tests/" in file or "test_" in file]
    with zipfile.ZipFile(wheels["fastsoy-events"]) as archive:
        assert any(file.endswith("licenses/LICENSE") for file in archive.namelist())


def test_the_installed_core_is_the_one_that_runs(application: Environment) -> None:
    where = application.run("python", "-c", "import fastsoy_events; print(fastsoy_events.__file__)").stdout
    assert Path(where.strip()).is_relative_to(application.folder)


def test_installed_plugins_are_found_and_loaded(application: Environment) -> None:
    found = rows(application, "plugins")
    assert [(row["distribution"], row["status"]) for row in found] == [
        ("fastsoy-audit", "loaded"),
        ("fastsoy-hr", "loaded"),
        ("fastsoy-notify", "loaded"),
    ]


def test_installed_handlers_are_listed_in_dispatch_order(application: Environment) -> None:
    found = rows(application, "list", "employee.created")
    assert [(row["position"], row["distribution"]) for row in found] == [(0, "fastsoy-audit"), (1, "fastsoy-notify")]
    assert application.run("python", "-m", "fastsoy_events", "list").stdout.count("fastsoy-audit") >= len(found)


def test_a_disabled_plugin_is_not_imported(application: Environment) -> None:
    found = application.run(
        "fastsoy-events", "plugins", "--json", FASTSOY_EVENTS_DISABLED="fastsoy-notify", PYTHONVERBOSE=""
    )
    status = {row["distribution"]: row["status"] for row in json.loads(found.stdout)}
    assert status == {"fastsoy-audit": "loaded", "fastsoy-hr": "loaded", "fastsoy-notify": "disabled"}


def test_the_example_application_runs_on_the_installed_packages(application: Environment) -> None:
    shutil.copytree(ROOT / "examples" / "admin", application.workplace / "admin")
    shown = application.run("python", "admin/demo.py").stdout
    assert "Event handler error: employee.created" in shown
    assert "fingerprint" in shown


def test_the_core_alone_dispatches(core_alone: Environment) -> None:
    code = (
        "import asyncio, fastsoy_events as e\n"
        "e.on('employee.created')(lambda **payload: print(payload))\n"
        "print(e.load_plugins().plugins, asyncio.run(e.emit('employee.created', employee_id=1)))"
    )
    assert core_alone.run("python", "-c", code).stdout == "{'employee_id': 1}\n() ()\n"


def test_the_core_alone_says_what_the_command_line_needs(core_alone: Environment) -> None:
    for command in (["fastsoy-events"], ["python", "-m", "fastsoy_events"]):
        result = core_alone.run(*command, status=2)
        assert "fastsoy-events[cli]" in result.stderr
        assert result.stderr.count("\n") == 1
