"""Programs from npm; a test that cannot have them is skipped and says why, except where every test has to run."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder."""
    program = shutil.which("npm")
    problem = "there is no npm"
    if program is not None:
        command = [program, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=300, check=False)
        if done.returncode == 0:
            return
        problem = f"npm {' '.join(arguments)} failed: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI") == "true":
        pytest.fail(problem)
    pytest.skip(problem)


def install(folder: Path, *packages: str) -> Path:
    """Install packages below a folder, and return where their modules are."""
    npm(folder, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", *packages)
    return folder / "node_modules"
