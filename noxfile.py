"""The suite on every other CPython from 3.11 to 3.13 that is found on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

VERSIONS = ("3.11", "3.12", "3.13")
PLUGINS = (
    "fastsoy-hr",
    "fastsoy-notify",
    "fastsoy-audit",
    "fastsoy-events-otel",
    "fastsoy-events-durable",
    "fastsoy-events-relay",
)


def works(python: str) -> bool:
    """Tell whether a command really starts CPython: a version manager's stand-in may exist and refuse."""
    code = "import sys; sys.exit(sys.implementation.name != 'cpython')"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0  # noqa: S603 - found here


def found(version: str) -> str | None:
    """Return the interpreter of a version: from the search path, else from pyenv's folder."""
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    newest_first = sorted(managed.glob(f"{version}.*/bin/python"), reverse=True)
    commands = [shutil.which(f"python{version}"), *map(str, newest_first)]
    return next((command for command in commands if command and works(command)), None)


own = f"{sys.version_info.major}.{sys.version_info.minor}"  # `make test` runs the suite on this one
pythons = [python for version in VERSIONS if version != own and (python := found(version))]


@nox.session(python=pythons, reuse_venv=True)
def tests(session: nox.Session) -> None:
    """Run the whole suite of core, plugins and examples."""
    projects = [word for plugin in PLUGINS for word in ("--editable", f"plugins/{plugin}")]
    session.install("--quiet", "--upgrade", "pip>=25.1")
    session.install("--quiet", "--editable", ".[cli]", *projects, "--group", "test")
    session.run("python", "-m", "pytest", "-m", "not types and not site", *session.posargs)
