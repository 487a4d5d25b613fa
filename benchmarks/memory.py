"""Bytes for each registered handler: one fresh process for each way to keep handlers, twice for two measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import reason_against, run

if TYPE_CHECKING:
    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

EVENTS = 1000

_PREPARATION = f"""
import gc, json, os, sys, tracemalloc
{{imports}}

def factory():
    async def handler(employee_id, department_id, created_by): ...
    return handler

measure, handlers = sys.argv[1], int(sys.argv[2])
functions = [factory() for _ in range(handlers)]
events = [f"aggregate_{{{{number}}}}.created" for number in range({EVENTS})]
if measure == "tracemalloc":
    tracemalloc.start()

def taken():
    gc.collect()
    if measure == "tracemalloc":
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = taken()
{{register}}
registered = taken()
{{use}}
used = taken()
print(json.dumps([(registered - before) / handlers, (used - before) / handlers]))
"""

_EACH = f"for place, function in enumerate(functions):\n    event = events[place % {EVENTS}]\n    "

# name: imports, how to register, how to emit each event once
KEEPERS: dict[str, tuple[str, str, str]] = {
    "fastsoy-events": (
        "import asyncio, fastsoy_events",
        f"bus = fastsoy_events.EventBus()\n{_EACH}bus.on(event)(function)",
        "async def use():\n    for event in events:\n"
        "        await bus.emit(event, employee_id=1, department_id=2, created_by=3)\nasyncio.run(use())",
    ),
    "fastsoy-events, all of one event": (
        "import asyncio, fastsoy_events",
        "bus = fastsoy_events.EventBus()\nfor function in functions:\n    bus.on('employee.created')(function)",
        "asyncio.run(bus.emit('employee.created', employee_id=1, department_id=2, created_by=3))",
    ),
    "a bare list": ("", "kept = []\nfor function in functions:\n    kept.append(function)", ""),
    "a dictionary of lists": ("", f"kept = {{}}\n{_EACH}kept.setdefault(event, []).append(function)", ""),
    "a plain object in a list": (
        "class Kept:\n"
        "    def __init__(self, event, function):\n        self.event = event\n        self.function = function",
        f"kept = []\n{_EACH}kept.append(Kept(event, function))",
        "",
    ),
    "blinker": (
        "import blinker",
        f"signals = blinker.Namespace()\n{_EACH}signals.signal(event).connect(function)",
        "",
    ),
    "pyee": ("import pyee", f"emitter = pyee.EventEmitter()\n{_EACH}emitter.add_listener(event, function)", ""),
    "pymitter": ("import pymitter", f"emitter = pymitter.EventEmitter()\n{_EACH}emitter.on(event, function)", ""),
    "Django": (
        "from django.conf import settings\nfrom django.dispatch import Signal\nsettings.configure()",
        f"signals = {{event: Signal() for event in events}}\n{_EACH}signals[event].connect(function)",
        "",
    ),
    "nitro-dispatch": (
        "import nitro_dispatch",
        f"manager = nitro_dispatch.PluginManager()\n{_EACH}manager.register_hook(event, function)",
        "",
    ),
}


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure every way to keep handlers.

    Returns:
        `missing`, `handlers`, `events` and `rows`, ready for JSON.
    """
    missing = {name: reason for name, (imports, _, _) in KEEPERS.items() if (reason := reason_against(imports))}
    measures = ["tracemalloc", *(["resident"] if Path("/proc/self/statm").exists() else [])]
    rows: dict[str, dict[str, list[float]]] = {}
    present = [name for name in KEEPERS if name not in missing]
    progress.begin("memory", len(present))
    for name in present:
        imports, register, use = KEEPERS[name]
        program = _PREPARATION.format(imports=imports, register=register, use=use)
        rows[name] = {each: json.loads(run(program, each, str(settings.handlers))[1]) for each in measures}
        progress.step()
    return {
        "missing": missing,
        "handlers": settings.handlers,
        "events": EVENTS,
        "function_bytes": sys.getsizeof(measure),
        "rows": rows,
    }
