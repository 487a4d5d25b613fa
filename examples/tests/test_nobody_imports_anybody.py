"""The modules and the application know `fastsoy_events`, and not each other."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HOST = TOP / "examples" / "admin" / "admin"
PLUGINS = {folder.name: folder for folder in sorted((TOP / "plugins").glob("*/src/*")) if folder.is_dir()}
# They are no modules of the business, but extend the bus; the application uses these where its settings ask for it.
OPTIONAL = {"fastsoy_events_durable", "fastsoy_events_relay"}
MODULES = set(PLUGINS) - OPTIONAL


def imported(folder: Path) -> set[str]:
    """Return the dotted names that the modules of a package import."""
    names: set[str] = set()
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: imports are absolute"
                names.add(node.module or "")
    return names


def test_all_three_modules_are_looked_at() -> None:
    assert {"fastsoy_audit", "fastsoy_hr", "fastsoy_notify"} <= set(PLUGINS)


@pytest.mark.parametrize("package", PLUGINS)
def test_a_module_imports_no_other_and_not_the_host(package: str) -> None:
    names = imported(PLUGINS[package])
    own = {name.partition(".")[0] for name in names if name.startswith(("fastsoy", "admin"))}
    assert own <= {package, "fastsoy_events"}
    of_the_bus = {name for name in names if name.partition(".")[0] == "fastsoy_events"}
    assert {name for name in of_the_bus if not name.startswith("fastsoy_events.contrib.")} == {"fastsoy_events"}


def test_the_host_imports_no_module() -> None:
    names = imported(HOST)
    own = {name for name in names if name.startswith("fastsoy")}
    assert own == {"fastsoy_events", "fastsoy_events.contrib.starlette", *OPTIONAL}
    assert not {name.partition(".")[0] for name in names} & MODULES


def test_the_host_does_not_even_name_a_module() -> None:
    for file in HOST.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not [package for package in MODULES if package in text], file


def test_the_host_imports_what_is_optional_only_where_its_settings_ask_for_it(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ADMIN_")}
    result = subprocess.run(
        [sys.executable, "-c", "import sys, admin.app; print(*sys.modules)"],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": os.pathsep.join(filter(None, [str(HOST.parent), clean.get("PYTHONPATH")]))},
        capture_output=True,
        text=True,
        check=True,
    )
    imported_by_then = set(result.stdout.split())
    assert "admin.optional" in imported_by_then
    assert not imported_by_then & {*OPTIONAL, "admin.durable", "admin.relay", "sqlalchemy", "faststream"}
