"""What must hold of a transaction whose events go out after its commit, whichever ORM and database it is.

The tests of each ORM take `Transactions` as a base, and say how the ORM opens one and writes a row.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import pytest

from fastsoy_events import bus, deferred, emit
from tests.cancelling import Cancelling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastsoy_events import EventBus, Scope
    from tests.postgresql import Database

SCHEMA = """
CREATE TABLE person (
    id {number} PRIMARY KEY,
    name VARCHAR(100) NOT NULL UNIQUE,
    manager_id INTEGER REFERENCES person (id) DEFERRABLE INITIALLY DEFERRED
)
"""


class Store(ABC):
    """A database with a table of persons, and a connection to it beside the ORM's: it sees what is committed."""

    @abstractmethod
    async def run(self, statement: str) -> list[str]:
        """Run a statement, and return the first column of its rows."""

    async def names(self) -> set[str]:
        """Return the persons that are committed."""
        return set(await self.run("SELECT name FROM person"))


@dataclass(frozen=True, slots=True)
class SqliteStore(Store):
    """An SQLite file.

    Args:
        file: its path.
    """

    file: Path

    async def run(self, statement: str) -> list[str]:
        return await asyncio.to_thread(self._run, statement)  # the loop is to go on: others may have to end their part

    def _run(self, statement: str) -> list[str]:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return [row[0] for row in connection.execute(statement)]


@dataclass(frozen=True, slots=True)
class PostgresqlStore(Store):
    """A PostgreSQL database.

    Args:
        database: where it is.
        pool: of connections that nobody else has.
    """

    database: Database
    pool: asyncpg.Pool[Any]

    async def run(self, statement: str) -> list[str]:
        return [row[0] for row in await self.pool.fetch(statement)]


@asynccontextmanager
async def opened(request: pytest.FixtureRequest, kind: str, folder: Path) -> AsyncIterator[Store]:
    """Make a database of a kind, with the table in it."""
    if kind == "sqlite":
        store = SqliteStore(folder / "store.sqlite3")
        await store.run("PRAGMA journal_mode=WAL")
        await store.run(SCHEMA.format(number="INTEGER"))
        yield store
        return
    database: Database = request.getfixturevalue("new_postgresql")()
    async with asyncpg.create_pool(**database.credentials, min_size=1, max_size=4) as pool:
        store = PostgresqlStore(database, pool)
        await store.run(SCHEMA.format(number="SERIAL"))
        yield store


class Unit(Protocol):
    """What one request works with."""

    def atomic(self) -> AbstractAsyncContextManager[Scope]:
        """Open a transaction, or a savepoint in it."""

    async def insert(self, name: str, manager_id: int | None = None) -> None:
        """Write a row, at once."""


class Transactions(ABC):
    """The tests; `seen` has each event with whether its row was committed when its handler ran."""

    @abstractmethod
    def unit(self, store: Store) -> AbstractAsyncContextManager[Unit]:
        """Begin what one request works with."""

    @pytest.fixture(params=["sqlite", "postgresql"])
    async def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
        async with opened(request, request.param, tmp_path) as store:
            yield store

    @pytest.fixture
    async def unit_of_work(self, ready: Store) -> AsyncIterator[Unit]:
        async with self.unit(ready) as unit:
            yield unit

    @pytest.fixture
    def seen(self, ready: Store, default_bus: EventBus) -> list[tuple[str, bool]]:
        seen: list[tuple[str, bool]] = []

        @default_bus.on("person.created")
        async def look(name: str) -> None:
            seen.append((name, name in await ready.names()))

        return seen

    async def create(self, unit: Unit, name: str, manager_id: int | None = None) -> None:
        await unit.insert(name, manager_id)
        assert await emit("person.created", name=name) == ()

    # Commit and rollback

    async def test_events_go_out_once_the_row_is_committed(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async with unit_of_work.atomic() as scope:
            await self.create(unit_of_work, "ada")
            assert await ready.names() == set()
            assert seen == []
            assert scope.pending == ("person.created",)
        assert seen == [("ada", True)]
        assert scope.failures == ()

    @pytest.mark.usefixtures("seen")
    async def test_failures_of_handlers_undo_nothing(self, unit_of_work: Unit, ready: Store) -> None:
        @bus.on("person.created")
        def fail(name: str) -> None:
            raise LookupError(name)

        async with unit_of_work.atomic() as scope:
            await self.create(unit_of_work, "ada")
        assert [str(failure.error) for failure in scope.failures] == ["ada"]
        assert await ready.names() == {"ada"}

    async def test_what_is_rolled_back_has_no_event(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def fail() -> None:
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ada")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert seen == []
        assert await ready.names() == set()
        async with unit_of_work.atomic():
            await self.create(unit_of_work, "ben")
        assert seen == [("ben", True)]

    async def test_a_commit_that_fails_runs_nothing_and_leaves_the_connection_usable(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(Exception, match=r"(?i)foreign key"):
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ada", manager_id=99)
        assert seen == []
        assert caplog.messages == []  # its outcome is known, and raised
        async with unit_of_work.atomic():
            await self.create(unit_of_work, "ben")
        assert seen == [("ben", True)]
        assert await ready.names() == {"ben"}

    async def test_an_empty_block_is_no_matter(self, unit_of_work: Unit, seen: list[tuple[str, bool]]) -> None:
        async with unit_of_work.atomic(), unit_of_work.atomic():
            pass
        assert seen == []

    async def test_it_decorates_functions(self, seen: list[tuple[str, bool]], ready: Store) -> None:
        async with self.unit(ready) as unit:

            @unit.atomic()  # type: ignore[arg-type]  # contextlib's are decorators, too
            async def create(name: str) -> None:
                await self.create(unit, name)
                assert not seen

            await create("ada")
            seen_first, seen[:] = list(seen), []
            await create("ben")
        assert [*seen_first, *seen] == [("ada", True), ("ben", True)]

    # Savepoints

    async def test_an_inner_block_that_fails_loses_its_own_rows_and_events(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async with unit_of_work.atomic():
            await self.create(unit_of_work, "ada")
            with suppress(ZeroDivisionError):
                async with unit_of_work.atomic():
                    async with unit_of_work.atomic():
                        await self.create(unit_of_work, "ben")
                    raise ZeroDivisionError
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "cleo")
            assert seen == []
            assert await ready.names() == set()
        assert seen == [("ada", True), ("cleo", True)]
        assert await ready.names() == {"ada", "cleo"}

    async def test_an_outer_block_that_fails_takes_inner_ones_along(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        with suppress(ZeroDivisionError):
            async with unit_of_work.atomic():
                async with unit_of_work.atomic():
                    await self.create(unit_of_work, "ada")
                raise ZeroDivisionError
        assert seen == []
        assert await ready.names() == set()

    async def test_a_statement_may_fail_in_an_inner_block(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def fail() -> None:
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ben")
                await unit_of_work.insert("ada")

        async with unit_of_work.atomic():
            await self.create(unit_of_work, "ada")
            with pytest.raises(Exception, match=r"(?i)unique"):
                await fail()
            await self.create(unit_of_work, "cleo")
        assert seen == [("ada", True), ("cleo", True)]
        assert await ready.names() == {"ada", "cleo"}

    async def test_blocks_of_one_transaction_in_two_tasks_at_once_are_refused(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        is_inside, may_end = asyncio.Event(), asyncio.Event()

        async def stay_inside() -> None:
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ben")
                is_inside.set()
                await may_end.wait()

        async with unit_of_work.atomic():
            await self.create(unit_of_work, "ada")
            task = asyncio.create_task(stay_inside())
            await is_inside.wait()
            with pytest.raises(RuntimeError, match="while another task, or context, has an atomic"):
                async with unit_of_work.atomic():
                    await self.create(unit_of_work, "cleo")
            may_end.set()
            await task
        assert seen == [("ada", True), ("ben", True)]
        assert await ready.names() == {"ada", "ben"}

    # What would run too early

    async def test_a_deferred_block_around_everything_waits_for_its_own_end(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]]
    ) -> None:
        async with deferred():
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ada")
            async with unit_of_work.atomic():
                await self.create(unit_of_work, "ben")
            assert seen == []
        assert seen == [("ada", True), ("ben", True)]

    async def test_a_deferred_block_inside_waits_for_the_commit(
        self, unit_of_work: Unit, seen: list[tuple[str, bool]]
    ) -> None:
        async with unit_of_work.atomic():
            async with deferred():
                await self.create(unit_of_work, "ada")
            assert seen == []
        assert seen == [("ada", True)]

    async def test_handlers_may_open_transactions_and_emit(
        self, seen: list[tuple[str, bool]], ready: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        @bus.on("person.created")
        async def hire_an_assistant(name: str) -> None:
            if not name.startswith("assistant"):
                async with self.unit(ready) as own, own.atomic():
                    await self.create(own, f"assistant of {name}")
                    assert not any(each.startswith("assistant") for each in await ready.names())

        async with self.unit(ready) as unit, unit.atomic():
            await self.create(unit, "ada")
        assert seen == [("ada", True), ("assistant of ada", True)]
        assert caplog.messages == []

    # Cancellation

    async def test_cancelled_at_any_await_it_never_lies(
        self, seen: list[tuple[str, bool]], ready: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(name: str) -> None:
            async with self.unit(ready) as unit, unit.atomic():
                await self.create(unit, name)
                async with unit.atomic():
                    await self.create(unit, f"{name}, too")

        await work("the first, which opens connections")
        for place in range(1000):
            seen.clear()
            caplog.clear()
            names = {f"person {place}", f"person {place}, too"}
            run = Cancelling(work(f"person {place}"), place)

            async def task(run: Cancelling = run) -> None:
                await run

            with suppress(asyncio.CancelledError):
                await asyncio.create_task(task())
            if not run.was_reached:
                assert seen == [(name, True) for name in sorted(names)]
                break
            ran = {name for name, was_committed in seen if was_committed}
            assert len(ran) == len(seen)
            async with asyncio.timeout(60):  # no longer than a lock that was left behind
                await work(f"after {place}")
            committed = names & await ready.names()
            assert committed in (set(), names)
            assert ran <= committed
            said = [
                message for message in caplog.messages if "may have gone through" in message or "stopped" in message
            ]
            assert committed == ran or said
        else:
            pytest.fail("it never ended")
        assert place > 5

    # Many at once

    async def test_200_requests_at_once(self, seen: list[tuple[str, bool]], ready: Store) -> None:
        async def serve(number: int) -> None:
            async with self.unit(ready) as unit, unit.atomic():
                await self.create(unit, f"person {number}")
                if number % 5 == 0:
                    raise ZeroDivisionError
                with suppress(LookupError):
                    async with unit.atomic():
                        await self.create(unit, f"dropped {number}")
                        raise LookupError
                if number % 7 == 0:
                    await self.create(unit, f"orphan {number}", manager_id=10**6)

        results = await asyncio.gather(*map(serve, range(200)), return_exceptions=True)
        good = {f"person {number}" for number in range(200) if number % 5 and number % 7}
        assert [result is None for result in results] == [f"person {number}" in good for number in range(200)]
        assert await ready.names() == good
        assert sorted(seen) == sorted((name, True) for name in good)
