"""The modules and the application know `fastsoy_events`, and not each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HOST = TOP / "examples" / "admin" / "admin"
PLUGINS = {folder.name: folder for folder in sorted((TOP / "plugins").glob("*/src/*")) if folder.is_dir()}


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
    assert own == {"fastsoy_events", "fastsoy_events.contrib.starlette"}
    assert not {name.partition(".")[0] for name in names} & set(PLUGINS)


def test_the_host_does_not_even_name_a_module() -> None:
    for file in HOST.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert not [package for package in PLUGINS if package in text], file
