"""The command `fastsoy-events`, run as its users run it: in a process of its own, on a pipe or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PYTHON = (sys.executable, "-P")  # -P: like an installed script, does not put the current directory on sys.path
COMMAND = (*PYTHON, "-m", "fastsoy_events")
OF_TERMINALS = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
ADAPTS_TO = {*OF_TERMINALS, "GITHUB_WORKSPACE"}


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process without what the command and its output adapt to."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ADAPTS_TO and not name.startswith("FASTSOY_EVENTS_")
    }
    return {**kept, "PYTHONIOENCODING": "utf-8", **changes}


def run(
    folder: Path | None, *arguments: str | Path, command: tuple[str, ...] = COMMAND, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run the command on a pipe.

    Args:
        folder: where it runs; None for the folder of this process.
        arguments: what follows the command's name.
        command: how it is started.
        changes: of the environment.
    """
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment(changes),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def on_terminal(folder: Path | None, *arguments: str, width: int, with_stderr: bool = False, **changes: str) -> str:
    """Return what the command shows on a terminal of a width."""
    surroundings = environment({"TERM": "xterm-256color", **changes})
    return shown_on_terminal([*COMMAND, *arguments], folder, surroundings, width=width, with_stderr=with_stderr)


def shown_on_terminal(
    command: Sequence[str],
    folder: Path | None,
    surroundings: Mapping[str, str],
    *,
    width: int,
    with_stderr: bool = True,
    types: str = "",
) -> str:
    """Return what any command shows on a terminal of a width, where somebody types something."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=surroundings,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if with_stderr else subprocess.DEVNULL,
    ):
        os.close(theirs)
        os.write(ours, types.encode())
        shown = bytearray()
        with contextlib.suppress(OSError):  # how Linux says that the other side has closed
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")
