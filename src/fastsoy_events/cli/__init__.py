"""The command `fastsoy-events`: shows which handlers run, in which order, and where they come from.

It needs the extra `[cli]`, so nothing here imports `typer` or `rich` before `main()` runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["main"]

_MISSING_EXTRA = 'error: the command needs typer and rich: pip install "fastsoy-events[cli]"\n'
_INTERRUPTED = 130


def main() -> None:
    """Run the command `fastsoy-events` with the arguments of the process, and leave it with the right exit code.

    Raises:
        SystemExit: always. 0 when all is well, 1 when a plugin failed, 2 on wrong usage, without the extra
            `[cli]` or where the result cannot be written, 130 when interrupted from the keyboard.
    """
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _run() -> None:
    commands = _import_commands()
    if commands is None:
        sys.stderr.write(_MISSING_EXTRA)
        sys.exit(2)
    from fastsoy_events.cli._output import Stop, say

    try:
        commands.run()
    except Stop as stop:
        if stop.message:
            say("error", stop.message, details=stop.details)
        sys.exit(stop.exit_code)


def _import_commands() -> ModuleType | None:
    try:
        from fastsoy_events.cli import _commands
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"rich", "typer"} or sys.modules.get(package) is not None:
            raise
        return None
    return _commands
