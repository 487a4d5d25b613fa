"""The measuring process, `python -m benchmarks.measuring OPTIONS FILE`; `python -m benchmarks` starts it per Python."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import discovery, dispatch, durable, growth, imports, memory, relay
from benchmarks.progress import Progress
from benchmarks.settings import FULL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.settings import Settings

PARTS: dict[str, Callable[[Settings, Progress], dict[str, Any]]] = {
    "dispatch": dispatch.measure,
    "discovery": discovery.measure,
    "memory": memory.measure,
    "import": imports.measure,
    "growth": growth.measure,
    "durable": durable.measure,
    "relay": relay.measure,
}

_LIBRARIES = (
    "fastsoy-events",
    "fastsoy-events-durable",
    "fastsoy-events-relay",
    "aiosignal",
    "aiosqlite",
    "blinker",
    "bubus",
    "django",
    "fastapi-events",
    "faststream",
    "importlib-metadata",
    "nats-py",
    "nitro-dispatch",
    "pluggy",
    "psygnal",
    "PyDispatcher",
    "pyee",
    "pymitter",
    "sqlalchemy",
    "stevedore",
)


def main(options: str, output: str) -> None:
    """Measure, and write what was found.

    Args:
        options: JSON: `quick`, and `parts`.
        output: the file to write.
    """
    chosen = json.loads(options)
    settings = QUICK if chosen["quick"] else FULL
    progress = Progress()
    load_before = os.getloadavg()[0]
    parts = {part: PARTS[part](settings, progress) for part in chosen["parts"]}
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_compiler(),
        "load_before": load_before,
        "versions": _versions(),
        "rounds": settings.rounds,
        "process_rounds": settings.process_rounds,
        "parts": parts,
    }
    Path(output).write_text(json.dumps(found), encoding="utf-8")


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = ""
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
