"""The databases that durable handlers are measured on: each with so many rows, and a handler of an event of its own."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.competitors import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import aiosqlite
    from fastsoy_events_durable import Durable
    from sqlalchemy.ext.asyncio import AsyncEngine

_FILL = """
WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?)
INSERT INTO fastsoy_events_publication (event_id, event, handler, payload, status, attempts, due, created, done)
SELECT lower(hex(randomblob(16))), ?, ?, ?, ?, 0, number, number, ? FROM numbers
"""
_REOPEN = "UPDATE fastsoy_events_publication SET status = 'published', attempts = 0, done = NULL WHERE done IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A database with so many rows, and a durable handler of an event of its own.

    Args:
        rows: how many rows it holds before and after each measurement.
        kind: what has become of these.
        event: the event.
        engine: the application's.
        bare: a connection beside it.
        durable: has the handler.
        counter: counts its deliveries.
        file: the database.
    """

    rows: int
    kind: str
    event: str
    engine: AsyncEngine
    bare: aiosqlite.Connection
    durable: Durable
    counter: Counter
    file: Path


class Counter:
    """Counts deliveries, and wakes who waits for so many."""

    def __init__(self) -> None:
        self._left = 0
        self._expected = 0
        self.first = 0.0
        self.done = asyncio.Event()

    def expect(self, number: int) -> None:
        """Begin to wait for so many."""
        self._left = self._expected = number
        self.done.clear()

    def count(self) -> None:
        """Count one."""
        if self._left == self._expected:
            self.first = perf_counter()
        self._left -= 1
        if self._left == 0:
            self.done.set()


@asynccontextmanager
async def opened(folder: Path, name: str, rows: int, kind: str, *, tx: bool = False) -> AsyncGenerator[Entry]:
    """Make a database, and fill its table.

    Args:
        folder: where it goes.
        name: of its file; names the event and the handler, too.
        rows: how many rows it gets.
        kind: `done` for rows that have completed, `open` for those that wait.
        tx: whether the handler runs in the transaction that completes a delivery.
    """
    import aiosqlite
    from fastsoy_events_durable import Durable
    from sqlalchemy.ext.asyncio import create_async_engine

    file = folder / f"{name}.sqlite3"
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    durable, counter, event = Durable(engine), Counter(), f"order_{name}.placed"

    @durable.on(event, id=f"{name}.handle", tx=tx)
    async def handle(*_: object, employee_id: int, department_id: int, created_by: int) -> None:  # noqa: ARG001 - it takes what is emitted, and does nothing
        counter.count()

    await durable.migrate()
    _fill(file, rows, kind, event, f"{name}.handle")
    async with aiosqlite.connect(file, isolation_level=None) as bare:
        await bare.execute("PRAGMA synchronous=FULL")
        yield Entry(
            rows=rows,
            kind=kind,
            event=event,
            engine=engine,
            bare=bare,
            durable=durable,
            counter=counter,
            file=file,
        )
    await engine.dispose()


def _fill(file: Path, rows: int, kind: str, event: str, handler: str) -> None:
    status, done = ("completed", 1.0) if kind == "done" else ("published", None)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(_FILL, (rows, event, handler, json.dumps(KEYWORDS), status, done))


def restore(entry: Entry) -> None:
    """Have the table hold what it held before a measurement."""
    with closing(sqlite3.connect(entry.file)) as connection, connection:
        connection.execute("DELETE FROM fastsoy_events_publication WHERE sequence > ?", (entry.rows,))
        if entry.kind == "open":
            connection.execute(_REOPEN)
