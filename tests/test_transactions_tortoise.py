from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from tortoise import fields
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.exceptions import IntegrityError, ParamsError, TransactionManagementError
from tortoise.models import Model
from tortoise.transactions import in_transaction

from fastsoy_events import bus, deferred
from fastsoy_events.contrib.tortoise import atomic
from fastsoy_events.testing import flush_deferred

pytest.register_assert_rewrite("tests.databases")

from tests.databases import PostgresqlStore, SqliteStore, Store, Transactions, Unit, opened  # noqa: E402
from tests.postgresql import new_postgresql, postgresql_server  # noqa: E402, F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastsoy_events import EventBus


class Person(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)
    manager_id = fields.IntField(null=True)

    class Meta:
        table = "person"


class Work(Unit):
    def __init__(self, connection: str | None = None) -> None:
        self.connection = connection

    def atomic(self) -> Any:
        return atomic(self.connection)

    async def insert(self, name: str, manager_id: int | None = None) -> None:
        connection = get_connection(self.connection) if self.connection else None
        await Person.create(name=name, manager_id=manager_id, using_db=connection)


def configuration(store: Store) -> dict[str, object]:
    if isinstance(store, SqliteStore):
        return {"engine": "tortoise.backends.sqlite", "credentials": {"file_path": str(store.file)}}
    assert isinstance(store, PostgresqlStore)
    return {"engine": "tortoise.backends.asyncpg", "credentials": {**store.database.credentials, "maxsize": 5}}


@asynccontextmanager
async def connected(**stores: Store) -> AsyncIterator[None]:
    EXECUTOR_CACHE.clear()  # which has each table's INSERT by the connection's name, whatever database that is
    async with TortoiseContext() as context:
        await context.init(
            config={
                "connections": {name: configuration(store) for name, store in stores.items()},
                "apps": {"people": {"models": [__name__], "default_connection": next(iter(stores))}},
            }
        )
        yield


class TestTortoise(Transactions):
    @pytest.fixture
    async def ready(self, store: Store) -> AsyncIterator[Store]:
        async with connected(default=store):
            yield store

    @asynccontextmanager
    async def unit(self, store: Store) -> AsyncIterator[Unit]:  # noqa: ARG002 - there is but one
        yield Work()

    # Which transaction it is

    async def test_the_only_connection_is_the_same_with_and_without_its_name(
        self, seen: list[tuple[str, bool]]
    ) -> None:
        for outer, inner in ((None, "default"), ("default", None)):
            seen.clear()
            async with atomic(outer):
                async with atomic(inner) as scope:
                    await self.create(Work(inner), f"{outer} {inner}")
                    assert scope.is_inner
                assert seen == []
            assert seen == [(f"{outer} {inner}", True)]

    @pytest.mark.parametrize("others", ["sqlite", "postgresql"])
    async def test_transactions_of_two_connections_are_independent(
        self, request: pytest.FixtureRequest, tmp_path: Path, store: Store, others: str, default_bus: EventBus
    ) -> None:
        seen: list[tuple[str, bool, bool]] = []
        (tmp_path / "other").mkdir()
        async with opened(request, others, tmp_path / "other") as other, connected(one=store, other=other):

            @default_bus.on("person.created")
            async def look(name: str) -> None:
                seen.append((name, name in await store.names(), name in await other.names()))
                await Work("other").insert(f"note of {name}")

            with suppress(ZeroDivisionError):
                async with atomic("one"):
                    await self.create(Work("one"), "ada")
                    async with atomic("other") as inner:
                        await self.create(Work("other"), "ben")
                        assert not inner.is_inner
                    assert seen == [("ben", False, True)]
                    with suppress(LookupError):
                        async with atomic("other"):
                            await self.create(Work("other"), "cleo")
                            raise LookupError
                    raise ZeroDivisionError
            async with atomic("one"):
                await self.create(Work("one"), "dora")
                async with atomic("other"), atomic("one"):
                    await self.create(Work("one"), "emil")
                assert len(seen) == 1
            assert seen == [("ben", False, True), ("dora", True, False), ("emil", True, False)]
            assert await store.names() == {"dora", "emil"}
            assert await other.names() == {"ben", "note of ben", "note of dora", "note of emil"}

    async def test_of_several_connections_one_must_be_named(self, store: Store) -> None:
        async with connected(one=store, other=store):
            with pytest.raises(ParamsError, match="you should specify"):
                async with atomic():
                    pytest.fail("it was entered")

    async def test_another_database_under_the_same_name_is_another_transaction(
        self, store: Store, request: pytest.FixtureRequest, tmp_path: Path, default_bus: EventBus
    ) -> None:
        seen: list[str] = []
        default_bus.on("person.created")(lambda name: seen.append(name))
        (tmp_path / "other").mkdir()
        kind = "sqlite" if isinstance(store, SqliteStore) else "postgresql"
        async with opened(request, kind, tmp_path / "other") as other, connected(same=store):
            async with atomic():
                await self.create(Work(), "ada")
                async with connected(same=other), atomic():
                    await self.create(Work(), "ben")
                assert seen == ["ben"]
            assert seen == ["ben", "ada"]

    # Tortoise's own transactions

    async def test_a_transaction_of_tortoises_own_around_is_refused(self, seen: list[tuple[str, bool]]) -> None:
        with pytest.raises(RuntimeError, match=r"that in_transaction\(\) has opened.*Write atomic\(\) there, too"):
            async with in_transaction(), atomic():
                pytest.fail("it was entered")
        async with atomic():
            await self.create(Work(), "ada")
        assert seen == [("ada", True)]

    async def test_with_deferred_around_it_may_be_tortoises_own(
        self, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        @bus.on("person.created")
        async def note(name: str) -> None:
            await Work().insert(f"note of {name}")
            async with in_transaction():
                await Work().insert(f"another of {name}")

        async with deferred() as scope:
            async with in_transaction():
                await self.create(Work(), "ada")
            async with in_transaction():
                async with atomic():
                    await self.create(Work(), "ben")
                with suppress(LookupError):
                    async with atomic():
                        await self.create(Work(), "cleo")
                        raise LookupError
            assert seen == []
        assert scope.failures == ()
        assert seen == [("ada", True), ("ben", True)]
        assert await ready.names() == {
            *("ada", "note of ada", "another of ada"),
            *("ben", "note of ben", "another of ben"),
        }

    async def test_in_a_test_that_rolls_back_events_can_be_run_by_hand(
        self, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        @bus.on("person.created")
        async def hire_an_assistant(name: str) -> None:
            if not name.startswith("assistant"):
                async with atomic():
                    await self.create(Work(), f"assistant of {name}")

        with suppress(ZeroDivisionError):
            async with in_transaction(), deferred():
                async with atomic():
                    await self.create(Work(), "ada")
                assert seen == []
                assert await flush_deferred() == ()
                assert seen == [("ada", False), ("assistant of ada", False)]
                assert await Person.all().count() == 2
                raise ZeroDivisionError
        assert await ready.names() == set()

    @pytest.mark.usefixtures("seen")
    async def test_handlers_are_not_in_the_transaction_that_has_ended(self, ready: Store) -> None:
        """A rival's transaction has the connection by then, and is rolled back: what handlers write is not."""
        is_running, is_inside = asyncio.Event(), asyncio.Event()

        @bus.on("person.created")
        async def note(name: str) -> None:
            is_running.set()
            await is_inside.wait()
            await Work().insert(f"note of {name}")

        async def rival() -> None:
            async with in_transaction():
                await Work().insert("rival")
                is_inside.set()
                await is_running.wait()
                for _ in range(10):
                    await Person.all().count()
                raise ZeroDivisionError

        async def work() -> None:
            async with atomic() as scope:
                task = asyncio.create_task(rival(), context=outside.copy())
                running.append(task)
                await self.create(Work(), "ada")
            assert scope.failures == ()

        outside, running = copy_context(), list[asyncio.Task[None]]()
        await work()
        with suppress(ZeroDivisionError):
            await running[0]
        assert await ready.names() == {"ada", "note of ada"}

    # What ends in another way than it seems to

    @pytest.mark.parametrize("how", ["commit", "rollback"])
    async def test_a_transaction_that_the_block_ends_itself_is_an_error(
        self, seen: list[tuple[str, bool]], how: str
    ) -> None:
        for depth in (1, 2):
            with pytest.raises(Exception) as raised:  # noqa: PT011 - in a savepoint it is the database's
                await self.ended_by_hand(how, depth)
            if depth == 1:
                assert "committed or rolled back inside the block" in str(raised.value)
            assert seen == []
        async with atomic():
            await self.create(Work(), "ben")
        assert seen == [("ben", True)]

    async def ended_by_hand(self, how: str, depth: int) -> None:
        async with atomic():
            if depth > 1:
                await self.ended_by_hand(how, depth - 1)
            else:
                await self.create(Work(), "ada")
                connection: Any = get_connection("default")
                await getattr(connection, how)()

    async def test_an_error_that_the_block_caught_may_have_rolled_everything_back(
        self, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        await ready.run("INSERT INTO person (name) VALUES ('ada')")

        async def catch() -> None:
            async with atomic():
                await self.create(Work(), "ben")
                with suppress(IntegrityError):
                    await Work().insert("ada")

        if isinstance(ready, SqliteStore):  # there only the statement failed
            await catch()
            assert seen == [("ben", True)]
            return
        with pytest.raises(RuntimeError, match="its error was caught, so PostgreSQL can only roll back"):
            await catch()
        assert seen == []
        assert await ready.names() == {"ada"}
        async with atomic():
            with pytest.raises(RuntimeError, match="can only roll back"):
                await catch()
            await self.create(Work(), "cleo")
        assert seen == [("cleo", True)]

    @pytest.mark.parametrize("store", ["sqlite"], indirect=True)
    async def test_sqlite_may_roll_back_by_itself(self, seen: list[tuple[str, bool]], ready: Store) -> None:
        await ready.run("CREATE TABLE strict (name VARCHAR(100) UNIQUE ON CONFLICT ROLLBACK)")

        async def work() -> None:
            async with atomic():
                await self.create(Work(), "ada")
                for _ in range(2):
                    with suppress(IntegrityError):
                        await get_connection("default").execute_query("INSERT INTO strict VALUES ('ben')")

        with pytest.raises(RuntimeError, match="committed or rolled back inside the block"):
            await work()
        assert seen == []
        assert await ready.names() == set()

    async def test_an_error_of_tortoises_rolls_back_as_any_other(
        self, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        with suppress(TransactionManagementError):
            async with atomic():
                await self.create(Work(), "ada")
                raise TransactionManagementError
        async with atomic():
            await self.create(Work(), "ben")
        assert seen == [("ben", True)]
        assert await ready.names() == {"ben"}

    async def test_a_task_that_outlives_its_transaction_is_told_so(self, seen: list[tuple[str, bool]]) -> None:
        async def outlive() -> None:
            await has_ended.wait()
            async with atomic():
                pytest.fail("it was entered")

        has_ended = asyncio.Event()
        async with atomic():
            task = asyncio.create_task(outlive())
            await self.create(Work(), "ada")
        has_ended.set()
        with pytest.raises(RuntimeError, match="start the task after the block"):
            await task
        assert seen == [("ada", True)]

    @pytest.mark.parametrize("store", ["postgresql"], indirect=True)
    async def test_the_error_of_the_block_counts_even_if_the_connection_is_lost(
        self, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def lose(*, fails: bool) -> None:
            async with atomic():
                await self.create(Work(), "ada")
                await disconnect(ready)
                if fails:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as raised:
            await lose(fails=True)
        assert "could not be rolled back" in raised.value.__notes__[0]
        with pytest.raises(Exception, match=r"(?i)connection"):
            await lose(fails=False)
        assert seen == []
        async with atomic():
            await self.create(Work(), "ben")
        assert seen == [("ben", True)]


async def disconnect(store: Store) -> None:
    """Have the server close every connection but the store's own."""
    await store.run(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction'"
    )
