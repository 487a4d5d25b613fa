"""Upkeep: what a person does with what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, delete, func, select, update

from fastsoy_events_durable import _schema
from fastsoy_events_durable._model import Count, Orphan, Stored
from fastsoy_events_durable._schema import now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence

    from sqlalchemy import Executable, Table

    from fastsoy_events_durable._database import Database
    from fastsoy_events_durable._model import Completion


class Upkeep:
    """The tables of one database, to be looked after.

    Args:
        database: where they are.
        table: the name of the publications' table.
        completion: what becomes of those that complete.
    """

    def __init__(self, database: Database, table: str, completion: Completion) -> None:
        metadata = MetaData()
        self.database = database
        self._completion = completion
        self._table = _schema.publications(table, metadata)
        self._archive = _schema.archive(table, metadata)
        self._inbox = _schema.inbox(metadata)

    @property
    def table(self) -> str:
        """Return the name of the publications' table."""
        return self._table.name

    async def migrate(self) -> None:
        """Create the tables and their indexes where they are absent."""
        tables = [self._table, self._inbox]
        if self._completion == "archive":
            tables.append(self._archive)
        await self.database.create(tables)

    async def counts(self) -> list[Count]:
        """Count the publications by handler and status."""
        table = self._table
        columns = (table.c.handler, table.c.status)
        counted = select(*columns, func.count(), func.min(table.c.created)).group_by(*columns).order_by(*columns)
        return [Count(*row) for row in await self._read(counted)]

    async def failed(self, limit: int) -> list[Stored]:
        """List the newest of those that failed for good, newest first."""
        table = self._table
        wanted = select(*(table.c[name] for name in Stored._fields)).where(table.c.status == "failed")
        return [Stored(*row) for row in await self._read(wanted.order_by(table.c.sequence.desc()).limit(limit))]

    async def retry(self, sequences: Collection[int] | None) -> int:
        """Have failed publications be delivered again, with all their attempts; None for all. Return how many."""
        table = self._table
        again = (
            update(table)
            .where(table.c.status == "failed")
            .values(status="published", attempts=0, due=now(), done=None, owner=None, lease=None)
            .returning(table.c.sequence)
        )
        if sequences is not None:
            again = again.where(table.c.sequence.in_(sorted(set(sequences))))
        async with self.database.transaction() as connection:
            return len(await connection.execute(again))

    async def purge(self, older_than: float, chunk: int) -> AsyncGenerator[int]:
        """Delete what completed more than some seconds ago, chunk by chunk, and yield how many each had.

        What has arrived from elsewhere is forgotten likewise.
        """
        for table in (self._table, *([self._archive] if self._completion == "archive" else ())):
            async for deleted in self._purge(table, older_than, chunk):
                yield deleted
        inbox = self._inbox
        old_arrivals = delete(inbox).where(inbox.c.created < now() - older_than)
        async with self.database.transaction() as connection:
            await connection.execute(old_arrivals)

    async def _purge(self, table: Table, older_than: float, chunk: int) -> AsyncGenerator[int]:
        is_old = (table.c.status == "completed") & (table.c.done < now() - older_than)
        last = -1  # each chunk begins where the one before has ended, not at the first row again
        while True:
            old = (
                select(table.c.sequence).where(is_old, table.c.sequence > last).order_by(table.c.sequence).limit(chunk)
            )
            async with self.database.transaction() as connection:
                statement = delete(table).where(table.c.sequence.in_(old)).returning(table.c.sequence)
                deleted = [row[0] for row in await connection.execute(statement)]
            if not deleted:
                return
            last = max(deleted)
            yield len(deleted)

    async def orphans(self, known: Collection[str]) -> list[Orphan]:
        """Count the open publications of other handlers than these."""
        table = self._table
        columns = (table.c.handler, table.c.event)
        counted = (
            select(*columns, func.count(), func.min(table.c.created))
            .where(table.c.done.is_(None), table.c.handler.not_in(sorted(known)))
            .group_by(*columns)
            .order_by(*columns)
        )
        return [Orphan(*row) for row in await self._read(counted)]

    async def _read(self, statement: Executable) -> Sequence[Any]:
        async with self.database.transaction(reads=True) as connection:
            return await connection.execute(statement)
