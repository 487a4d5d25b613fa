"""How cost grows: with the handlers of an event, the events of a bus, the registrations, and the plugins."""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import sites
from benchmarks.competitors import BUS, DICTIONARY_BUS, EVENT, LIMIT, Case
from benchmarks.dispatch import entered, rounds, rows
from benchmarks.processes import run
from benchmarks.summary import Summary, ratios, rotated
from fastsoy_events import EventBus

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.competitors import Handler
    from benchmarks.dispatch import Entry
    from benchmarks.progress import Progress
    from benchmarks.settings import Settings


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure every kind of growth.

    Returns:
        `handlers`, `events`, `registration` and `plugins`, ready for JSON.
    """
    progress.begin(
        "growth",
        (len(settings.handler_steps) + len(settings.event_steps)) * _fewer(settings.rounds)
        + _fewest(settings.process_rounds)
        + _fewer(settings.process_rounds),
    )
    return {
        "handlers": [asyncio.run(_handlers(number, settings, progress)) for number in settings.handler_steps],
        "events": [asyncio.run(_events(number, settings, progress)) for number in settings.event_steps],
        "registration": _registration(settings, progress),
        "plugins": _plugins(settings, progress),
    }


def _fewer(rounds_: int) -> int:
    return max(2, rounds_ // 3)


def _fewest(rounds_: int) -> int:
    return max(2, rounds_ // 6)


async def _handlers(number: int, settings: Settings, progress: Progress) -> dict[str, Any]:
    case = Case("", number)
    entries = [await entered(competitor, case, settings) for competitor in (LIMIT, BUS, DICTIONARY_BUS)]
    await _fewer_rounds(entries, settings, progress)
    return {"number": number, "rows": rows(entries)}


async def _events(number: int, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Emit one of so many registered events, each with one handler."""
    case = Case("", 1)
    entries = [await entered(competitor, case, settings) for competitor in (LIMIT, BUS)]
    bus = entries[1].namespace["emit"].__self__
    for place, function in enumerate(_functions(number - 1)):
        bus.on(f"aggregate_{place}.created")(function)
    await _fewer_rounds(entries, settings, progress)
    return {"number": number, "rows": rows(entries)}


async def _fewer_rounds(entries: list[Entry], settings: Settings, progress: Progress) -> None:
    await rounds(entries, replace(settings, rounds=_fewer(settings.rounds)), progress)


def _functions(number: int) -> list[Handler]:
    def factory() -> Handler:
        async def handler(employee_id: int, department_id: int, created_by: int) -> None: ...

        return handler

    return [factory() for _ in range(number)]


# Registration


def _one_event(bus: EventBus, functions: list[Handler]) -> None:
    for function in functions:
        bus.on(EVENT)(function)


def _many_events(bus: EventBus, functions: list[Handler]) -> None:
    for place, function in enumerate(functions):
        bus.on(f"aggregate_{place // 100}.created")(function)


WAYS: dict[str, Callable[[EventBus, list[Handler]], None]] = {
    "all of one event": _one_event,
    "a hundred for each event": _many_events,
}


def _registration(settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Time registering so many handlers, and listing them once."""
    functions = _functions(max(settings.registration_steps))
    registering: dict[tuple[str, int], list[float]] = {
        (way, number): [] for way in WAYS for number in settings.registration_steps
    }
    listing: dict[tuple[str, int], list[float]] = {key: [] for key in registering}
    for turn in range(_fewest(settings.process_rounds)):
        for place in rotated(len(registering), turn):
            way, number = key = list(registering)[place]
            seconds = _registered_and_listed(WAYS[way], functions[:number])
            registering[key].append(seconds[0])
            listing[key].append(seconds[1])
        progress.step()
    return [
        {
            "way": way,
            "number": number,
            "seconds": asdict(Summary.of(samples)),
            "listing_seconds": asdict(Summary.of(listing[way, number])),
        }
        for (way, number), samples in registering.items()
    ]


def _registered_and_listed(
    register: Callable[[EventBus, list[Handler]], None], functions: list[Handler]
) -> tuple[float, float]:
    bus = EventBus()
    gc.collect()
    gc.disable()
    try:
        started = perf_counter()
        register(bus, functions)
        registered = perf_counter()
        bus.handlers()
        return registered - started, perf_counter() - registered
    finally:
        gc.enable()


# Plugins

_LOADING = """
import sys
from time import perf_counter
from fastsoy_events import load_plugins
started = perf_counter()
report = load_plugins(path=[sys.argv[1]])
seconds = perf_counter() - started
loaded = sum(plugin.status == "loaded" for plugin in report.plugins)
import json
print(json.dumps([seconds, loaded, sum(plugin.import_seconds for plugin in report.plugins)]))
"""

_IMPORTING = """
import sys, importlib, json
from time import perf_counter
import fastsoy_events
modules = json.loads(sys.argv[2])
sys.path.insert(0, sys.argv[1])
started = perf_counter()
for module in modules:
    importlib.import_module(module)
seconds = perf_counter() - started
print(json.dumps([seconds, len(modules), seconds]))
"""


def _plugins(settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Time `load_plugins`, and a loop that only imports the same modules."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folders = {number: Path(name, f"plugins-{number}") for number in settings.plugin_steps}
        for number, folder in folders.items():
            sites.generate(folder, number, module=sites.BUSINESS_MODULE, every=1)
            _load(folder, number)  # compiles the modules
        samples: dict[int, list[tuple[float, float, float]]] = {number: [] for number in folders}
        for turn in range(_fewer(settings.process_rounds)):
            for place in rotated(len(folders), turn):
                number = settings.plugin_steps[place]
                samples[number].append(_load(folders[number], number))
            progress.step()
    return [{"number": number, **_share(each)} for number, each in samples.items()]


def _load(folder: Path, number: int) -> tuple[float, float, float]:
    """Return the seconds of loading, of its imports, and of the bare loop."""
    loading, loaded, imports = json.loads(run(_LOADING, str(folder))[1])
    modules = sites.plugin_modules(number, every=1)
    bare, imported, _ = json.loads(run(_IMPORTING, str(folder), json.dumps(modules))[1])
    if not loaded == imported == number:
        raise RuntimeError(f"{loaded} plugins were loaded and {imported} modules imported, of {number}")
    return loading, imports, bare


def _share(samples: list[tuple[float, float, float]]) -> dict[str, Any]:
    loading, imports, bare = (list(column) for column in zip(*samples, strict=True))
    return {
        "load_seconds": asdict(Summary.of(loading)),
        "bare_seconds": asdict(Summary.of(bare)),
        "import_share": asdict(ratios(imports, loading)),
        "bare_share": asdict(ratios(bare, loading)),
    }
