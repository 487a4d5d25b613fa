"""What importing the bus adds to a process's start, beside its peers: fresh processes, interleaved."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.processes import BARE, reason_against, run
from benchmarks.summary import Summary, differences, rotated

if TYPE_CHECKING:
    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

MODULES = (
    "fastsoy_events",
    "blinker",
    "pluggy",
    "pyee",
    "pyee.asyncio",
    "aiosignal",
    "nitro_dispatch",
    "pymitter",
    "pydispatch",
    "django.dispatch",
    "asyncio",
    "importlib.metadata",
    "importlib_metadata",
    "stevedore",
    "psygnal",
    "fastapi_events.dispatcher",
    "bubus",
)

_PROGRAM = "from time import perf_counter as now; t = now(); import {module}; t = now() - t; print(t)"


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure every import.

    Returns:
        `bare_seconds`, `missing` and `rows`, ready for JSON.
    """
    missing = {module: reason for module in MODULES if (reason := reason_against(_PROGRAM.format(module=module)))}
    present = [module for module in MODULES if module not in missing]
    whole: dict[str, list[float]] = {module: [] for module in ["", *present]}
    inside: dict[str, list[float]] = {module: [] for module in present}
    progress.begin("import", settings.process_rounds)
    for number in range(settings.process_rounds):
        for place in rotated(len(whole), number):
            module = list(whole)[place]
            seconds, printed = run(_PROGRAM.format(module=module) if module else BARE)
            whole[module].append(seconds)
            if module:
                inside[module].append(float(printed))
        progress.step()
    return {
        "bare_seconds": asdict(Summary.of(whole[""])),
        "missing": missing,
        "rows": {
            module: {
                "added_seconds": asdict(differences(whole[module], whole[""])),
                "statement_seconds": asdict(Summary.of(inside[module])),
            }
            for module in present
        },
    }
