"""Fresh interpreters: what they print, and how long they take from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BARE = "pass"


def run(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Run a program in a fresh interpreter, isolated from the environment's Python settings.

    Returns:
        The seconds from before its start until its end, and what it printed.

    Raises:
        RuntimeError: when it failed, with what it said.
    """
    command = [sys.executable, "-I", "-c", program, *arguments]
    surroundings = {**os.environ, **(environment or {})}
    started = perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)  # noqa: S603 - made here
    seconds = perf_counter() - started
    if finished.returncode:
        raise RuntimeError(finished.stderr.strip().rpartition("\n")[2] or f"exit code {finished.returncode}")
    return seconds, finished.stdout


def reason_against(program: str, *arguments: str) -> str:
    """Return why a program does not run here, empty when it does."""
    try:
        run(program, *arguments)
    except RuntimeError as error:
        return str(error)
    return ""
