"""Durable handlers on SQLite: emits and deliveries per second, beside bare aiosqlite, and as the table grows."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tempfile
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.competitors import KEYWORDS
from benchmarks.durable_tables import opened, restore
from benchmarks.processes import reason_against
from benchmarks.summary import Summary, ratios, rotated
from fastsoy_events import bus, load_plugins

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from benchmarks.durable_tables import Entry
    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

DISTRIBUTION = "fastsoy-events-durable"
EACH = (1, 10, 100, 1000)
USUAL = 100  # events in a transaction, where nothing else is said
KINDS = ("done", "open")

METHOD = f"""\
One event with three keywords and one durable handler, on a file in the temporary folder: WAL, `synchronous=FULL`.
An emit is made inside `atomic(session)` of SQLAlchemy, whose opening and commit count. Bare aiosqlite inserts the same
rows into the same table, with an id and JSON made for each, in as many transactions; and, beside the deliveries,
updates each row in a transaction of its own. Deliveries are timed from the first to the end of `running()`; how long
the first one takes after its entry, with the tables looked for, stands by itself. The table holds ten rows unless said:
rows that are done, or open and due. {USUAL} events in a transaction where nothing is said."""

_INSERT = """
INSERT INTO fastsoy_events_publication (event_id, event, handler, payload, status, attempts, due, created)
VALUES (?, ?, ?, ?, 'published', 0, (julianday('now') - 2440587.5) * 86400.0, (julianday('now') - 2440587.5) * 86400.0)
"""
_UPDATE = """
UPDATE fastsoy_events_publication SET status = 'completed', attempts = 1, done = 0.0 WHERE sequence = ?
"""


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure durable emits and deliveries.

    Returns:
        `missing`, `events`, `emits`, `deliveries` and `growth`, ready for JSON.
    """
    missing = {
        module: reason
        for module in ("fastsoy_events_durable", "sqlalchemy.ext.asyncio", "aiosqlite")
        if (reason := reason_against(f"import {module}"))
    }
    if missing:
        return {"missing": missing, "events": 0, "emits": [], "deliveries": [], "growth": []}
    progress.begin("durable", settings.durable_rounds * (len(EACH) + 2 + len(KINDS) * len(settings.table_sizes)))
    with bus.isolated(), _quiet(), tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        load_plugins(allowed=[DISTRIBUTION], strict=True)
        found = asyncio.run(_measured(Path(folder), settings, progress))
    return {"missing": {}, "events": settings.durable_events, **found}


@contextmanager
def _quiet() -> Generator[None]:
    """Leave out that the other plugins are blocked, and that collection is off."""
    logger = logging.getLogger("fastsoy_events")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        gc.enable()


async def _measured(folder: Path, settings: Settings, progress: Progress) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(opened(folder, "plain", 10, "done"))
        tx = await stack.enter_async_context(opened(folder, "tx", 10, "done", tx=True))
        growing = [
            await stack.enter_async_context(opened(folder, f"{kind}_{rows}", rows, kind))
            for kind in KINDS
            for rows in settings.table_sizes
        ]
        emits = await _emits(plain, settings, progress)
        deliveries = await _deliveries(plain, tx, settings, progress)
        return {"emits": emits, "deliveries": deliveries, "growth": await _growth(growing, settings, progress)}


# What is timed


async def _timed(entry: Entry, work: Callable[[Entry, int, int], Awaitable[None]], events: int, each: int) -> float:
    """Return how many events a second."""
    gc.collect()
    gc.disable()
    started = perf_counter()
    await work(entry, events, each)
    seconds = perf_counter() - started
    gc.enable()
    return events / seconds


async def _emit(entry: Entry, events: int, each: int) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    from fastsoy_events import emit
    from fastsoy_events.contrib.sqlalchemy import atomic

    for _ in range(events // each):
        async with AsyncSession(entry.engine) as session, atomic(session):
            for _ in range(each):
                await emit(entry.event, **KEYWORDS)


async def _insert(entry: Entry, events: int, each: int) -> None:
    for _ in range(events // each):
        await entry.bare.execute("BEGIN IMMEDIATE")
        for _ in range(each):
            await entry.bare.execute(_INSERT, (uuid4().hex, entry.event, "bare.handle", json.dumps(KEYWORDS)))
        await entry.bare.execute("COMMIT")


async def _delivered(entry: Entry, events: int) -> tuple[float, float]:
    """Return how many deliveries a second, and the seconds until the first."""
    await _emit(entry, events, events)
    entry.counter.expect(events)
    started = perf_counter()
    async with entry.durable.running():
        await entry.counter.done.wait()
    ended = perf_counter()
    restore(entry)
    return (events - 1) / (ended - entry.counter.first), entry.counter.first - started


async def _update(entry: Entry, events: int, each: int) -> None:  # noqa: ARG001 - likewise
    query = "SELECT sequence FROM fastsoy_events_publication WHERE sequence > ? LIMIT ?"
    for sequence in await entry.bare.execute_fetchall(query, (entry.rows, events)):
        await entry.bare.execute("BEGIN IMMEDIATE")
        await entry.bare.execute(_UPDATE, sequence)
        await entry.bare.execute("COMMIT")


# What is measured


async def _emits(entry: Entry, settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Measure emits beside bare inserts, by events in a transaction."""
    samples: dict[tuple[int, str], list[float]] = {(each, name): [] for each in EACH for name in ("durable", "bare")}
    for turn in range(settings.durable_rounds):
        for place in rotated(len(EACH), turn):
            each = EACH[place]
            events = max(settings.durable_events if each > 1 else settings.durable_events // 4, each)
            for name, work in rotated_works(turn, durable=_emit, bare=_insert):
                samples[each, name].append(await _timed(entry, work, events, each))
                restore(entry)
            progress.step()
    return [{"each": each, **_beside(samples[each, "durable"], samples[each, "bare"])} for each in EACH]


def rotated_works(turn: int, **works: Any) -> list[tuple[str, Any]]:
    """Return what is measured in a round, beginning with another one each time."""
    pairs = list(works.items())
    return [pairs[place] for place in rotated(len(pairs), turn)]


async def _deliveries(plain: Entry, tx: Entry, settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Measure deliveries beside a bare update and commit for each."""
    samples: dict[str, list[float]] = {"plain": [], "tx": [], "bare": []}
    events = settings.durable_events // 2
    for _ in range(settings.durable_rounds):
        for name, entry in (("plain", plain), ("tx", tx)):
            samples[name].append((await _delivered(entry, events))[0])
            progress.step()
        await _emit(plain, events, events)
        samples["bare"].append(await _timed(plain, _update, events, 1))
        restore(plain)
    return [{"handler": name, **_beside(samples[name], samples["bare"])} for name in ("plain", "tx")]


async def _growth(entries: list[Entry], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """Measure emits, bare inserts and deliveries by the rows that the table holds already."""
    samples: dict[tuple[int, str], list[float]] = {}
    events = settings.durable_events // 2
    for turn in range(settings.durable_rounds):
        for place in rotated(len(entries), turn):
            entry = entries[place]
            for name, work in rotated_works(turn, durable=_emit, bare=_insert):
                samples.setdefault((place, name), []).append(await _timed(entry, work, events, min(USUAL, events)))
                restore(entry)
            for name, value in zip(("deliveries", "start"), await _delivered(entry, events), strict=True):
                samples.setdefault((place, name), []).append(value)
            progress.step()
    return [
        {
            "rows": entry.rows,
            "kind": entry.kind,
            **_beside(samples[place, "durable"], samples[place, "bare"]),
            "deliveries": asdict(Summary.of(samples[place, "deliveries"])),
            "start": asdict(Summary.of(samples[place, "start"])),
        }
        for place, entry in enumerate(entries)
    ]


def _beside(durable: list[float], bare: list[float]) -> dict[str, Any]:
    return {
        "durable": asdict(Summary.of(durable)),
        "bare": asdict(Summary.of(bare)),
        "ratio": asdict(ratios(bare, durable)),
    }
