"""The store: what emits and dispatchers do with the publications, whatever database they are in."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select, update

from fastsoy_events_durable._model import Claimed
from fastsoy_events_durable._schema import now
from fastsoy_events_durable._statements import Statements
from fastsoy_events_durable._upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fastsoy_events_durable._database import Connection, Database
    from fastsoy_events_durable._model import Completion, Outcome, Publication

_LONGEST_ERROR = 2000
_NONE = -1  # the number of no publication


class Store(Upkeep):
    """The publications in one database.

    Args:
        database: where they are.
        table: the name of their table.
        completion: what becomes of those that complete.
    """

    def __init__(self, database: Database, table: str, completion: Completion) -> None:
        super().__init__(database, table, completion)
        self._statements = Statements(self._table, self._archive, self._inbox)

    # What an emit does

    async def insert(self, connection: Connection, publications: Sequence[Publication]) -> None:
        """Store publications, in the transaction that is open in a connection."""
        try:
            for publication in publications:
                await connection.execute(self._statements.insert, publication._asdict())
        except Exception as error:
            error.add_note(
                "An event could not be stored for its durable handlers. Where their table is absent, running() makes "
                "it in the application's lifespan, and so does `fastsoy-events durable migrate`"
            )
            raise

    async def arrive(self, connection: Connection, consumer: str, source: str, event_id: str) -> bool:
        """Record that an event has arrived at a consumer from elsewhere, and tell whether it is the first time."""
        statements = self._statements
        arrive = statements.arrive_on_sqlite if self.database.is_sqlite else statements.arrive_on_postgresql
        arrived = {"the_consumer": consumer, "the_source": source, "the_event_id": event_id}
        return bool(await connection.execute(arrive, arrived))

    # What a dispatcher does

    async def claim(self, owner: str, handlers: Collection[str], limit: int, lease: float) -> list[Claimed]:
        """Take what is due, or whose lease is over, for these handlers' ids, oldest first.

        Args:
            owner: who takes it.
            handlers: the ids.
            limit: how many it takes at most.
            lease: for how many seconds nobody else takes it.
        """
        claim = self._statements.claim(owner, handlers, limit, lease)
        async with self.database.transaction() as connection:
            rows = await connection.execute(claim)
        return sorted((Claimed(*row) for row in rows), key=itemgetter(0))

    async def claim_next(self, owner: str, handler: str, key: str, lease: float) -> list[Claimed]:
        """Take the next one of a handler and a key, if it is due: much quicker than `claim` where many wait for it."""
        wanted = {"the_owner": owner, "the_handler": handler, "the_key": key, "the_lease": lease}
        async with self.database.transaction() as connection:
            return [Claimed(*row) for row in await connection.execute(self._statements.claim_next, wanted)]

    async def settle(self, owner: str, outcomes: Sequence[Outcome], charge: int | None, lease: float) -> set[int]:
        """Write outcomes, and charge the next publication's attempt, in one transaction.

        Args:
            owner: who has claimed them.
            outcomes: what became of some.
            charge: the number of the one whose handler is started next.
            lease: for how many seconds from now nobody else takes that.

        Returns:
            The numbers of those that were still this owner's, and so were written.
        """
        async with self.database.transaction() as connection:
            return await self.write(connection, owner, outcomes, charge, lease)

    async def write(
        self, connection: Connection, owner: str, outcomes: Sequence[Outcome], charge: int | None, lease: float
    ) -> set[int]:
        """Do what `settle` does, in a transaction that is open."""
        written: set[int] = set()
        for place, outcome in enumerate(outcomes, 1):
            also = charge if place == len(outcomes) else None
            written.update(await self._write(connection, owner, outcome, also, lease))
        if charge is not None and not outcomes:
            written.update(await self._write(connection, owner, None, charge, lease))
        return written

    async def _write(
        self, connection: Connection, owner: str, outcome: Outcome | None, charge: int | None, lease: float
    ) -> list[int]:
        """Write one outcome and charge one attempt, with a single statement where it can be."""
        removed: list[int] = []
        if outcome is not None and outcome.status == "completed" and self._completion != "update":
            mine = {"the_sequence": outcome.sequence, "the_owner": owner}
            if self._completion == "archive":
                await connection.execute(self._statements.move, mine)
            removed = [row[0] for row in await connection.execute(self._statements.remove, mine)]
            outcome = None
        if outcome is None and charge is None:
            return removed
        changed = {
            "the_owner": owner,
            "the_sequence": _NONE if outcome is None else outcome.sequence,
            "the_status": "completed" if outcome is None else outcome.status,
            "the_delay": 0.0 if outcome is None else outcome.delay,
            "the_refund": int(outcome is not None and outcome.refund),
            "the_error": None if outcome is None else _storable(outcome.error),
            "the_charge": _NONE if charge is None else charge,
            "the_lease": lease,
        }
        return [*removed, *(row[0] for row in await connection.execute(self._statements.settle, changed))]

    async def release(self, owner: str, rows: Collection[Claimed]) -> None:
        """Give back what was claimed and not started; it costs no attempt, although one may have been charged."""
        before = {each.sequence: each.attempts for each in rows}
        if before:
            attempts = case(before, value=self._table.c.sequence)
            await self._change(owner, before, status="published", attempts=attempts, owner=None, lease=None)

    async def extend(self, owner: str, sequences: Collection[int], lease: float) -> None:
        """Extend the leases of what is claimed, to some seconds from now."""
        await self._change(owner, sequences, lease=now() + lease)

    async def _change(self, by: str, sequences: Collection[int], **values: Any) -> None:
        """Change what is claimed. What the handler that runs has locked is passed by, since it is being completed."""
        mine = self._table.alias("mine")
        is_mine = (mine.c.owner == by) & (mine.c.status == "processing")
        wanted = select(mine.c.sequence).where(mine.c.sequence.in_(sorted(sequences)), is_mine)
        change = update(self._table).where(self._table.c.sequence.in_(wanted.with_for_update(skip_locked=True)))
        if sequences:
            async with self.database.transaction() as connection:
                await connection.execute(change.values(**values))


def _storable(error: str | None) -> str | None:
    """Return an error's text as every database takes it."""
    return error and error[:_LONGEST_ERROR].replace("\0", "\\0").encode(errors="backslashreplace").decode()
