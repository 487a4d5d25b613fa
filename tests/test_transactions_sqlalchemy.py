from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import ForeignKey, event, func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fastsoy_events import bus, deferred, emit
from fastsoy_events.contrib.sqlalchemy import atomic, current_session
from fastsoy_events.testing import flush_deferred

pytest.register_assert_rewrite("tests.databases")

from tests.databases import PostgresqlStore, SqliteStore, Store, Transactions, Unit, opened  # noqa: E402
from tests.postgresql import new_postgresql, postgresql_server  # noqa: E402, F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    manager_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))


class Work(Unit):
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    def atomic(self) -> Any:
        return atomic(self.session)

    async def insert(self, name: str, manager_id: int | None = None) -> None:
        self.session.add(Person(name=name, manager_id=manager_id))
        await self.session.flush()


@asynccontextmanager
async def connected(store: Store) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    engine = engine_of(store)
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


def engine_of(store: Store) -> AsyncEngine:
    if isinstance(store, SqliteStore):
        engine = create_async_engine(f"sqlite+aiosqlite:///{store.file}", connect_args={"timeout": 60})

        @event.listens_for(engine.sync_engine, "connect")
        def check_foreign_keys(connection: Any, _: object) -> None:
            connection.execute("PRAGMA foreign_keys=ON")

        return engine
    assert isinstance(store, PostgresqlStore)
    return create_async_engine(store.database.url)


async def in_a_task(ended: asyncio.Event | None = None) -> AsyncSession | None:
    if ended:
        await ended.wait()
    return current_session()


class TestSQLAlchemy(Transactions):
    @pytest.fixture
    async def ready(self, store: Store) -> AsyncIterator[Store]:
        async with connected(store) as self.sessions:
            yield store

    @asynccontextmanager
    async def unit(self, store: Store) -> AsyncIterator[Unit]:  # noqa: ARG002 - there is but one
        async with self.sessions() as session:
            yield Work(session)

    @pytest.fixture
    async def session(self, ready: Store) -> AsyncIterator[AsyncSession]:  # noqa: ARG002 - which opens the database
        async with self.sessions() as session:
            yield session

    # The session that code without one finds

    async def test_the_session_of_the_innermost_open_block_is_the_current_one(
        self, session: AsyncSession, ready: Store
    ) -> None:
        found: list[object] = []
        bus.on("person.created")(lambda **_: found.append(current_session()))
        assert current_session() is None
        async with self.sessions() as other, atomic(session):
            assert current_session() is session
            await emit("person.created")
            if not isinstance(ready, SqliteStore):  # which lets one write at a time
                async with atomic(other):
                    assert current_session() is other
            async with atomic(session):
                assert current_session() is session
            assert await asyncio.create_task(in_a_task()) is session
            assert current_session() is session
        assert current_session() is None
        assert found == [None]  # the handlers run in a copy of the context, and after the commit

    async def test_a_task_that_outlives_the_block_has_no_current_session(self, session: AsyncSession) -> None:
        ended = asyncio.Event()
        async with atomic(session):
            task = asyncio.create_task(in_a_task(ended))
        async with atomic(session):  # another transaction of the same session, which the task has no part in
            ended.set()
            assert await task is None

    # Which transaction it is

    async def test_what_a_session_has_begun_by_itself_is_the_blocks(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        assert await count(session) == 0
        session.add(Person(name="added before"))
        assert session.in_transaction()
        async with atomic(session):
            await self.create(Work(session), "ada")
            async with atomic(session) as inner:
                await self.create(Work(session), "ben")
                assert inner.is_inner
            assert seen == []
        assert not session.in_transaction()
        assert seen == [("ada", True), ("ben", True)]
        assert await ready.names() == {"added before", "ada", "ben"}
        assert await count(session) == 3
        with suppress(ZeroDivisionError):
            async with atomic(session):
                await self.create(Work(session), "cleo")
                raise ZeroDivisionError
        assert not session.in_transaction()
        assert len(seen) == 2
        assert len(await ready.names()) == 3

    async def test_a_session_that_never_begins_by_itself(self, seen: list[tuple[str, bool]]) -> None:
        async with self.sessions(autobegin=False) as own:
            for name in ("ada", "ben"):
                async with atomic(own):
                    await self.create(Work(own), name)
        assert seen == [("ada", True), ("ben", True)]

    async def test_transactions_of_two_sessions_are_independent(
        self, session: AsyncSession, tmp_path: Path, seen: list[tuple[str, bool]], request: pytest.FixtureRequest
    ) -> None:
        (tmp_path / "other").mkdir()
        async with (
            opened(request, "sqlite", tmp_path / "other") as other,
            connected(other) as sessions,
            sessions() as own,
        ):
            names: list[set[str]] = []

            @bus.on("person.created")
            async def look(name: str) -> None:
                names.append(await other.names())

            with suppress(ZeroDivisionError):
                async with atomic(session):
                    await self.create(Work(session), "ada")
                    async with atomic(own) as inner:
                        await self.create(Work(own), "ben")
                        assert not inner.is_inner
                    assert [name for name, _ in seen] == ["ben"]
                    raise ZeroDivisionError
            assert [name for name, _ in seen] == ["ben"]
            assert names == [{"ben"}]

    async def test_a_scoped_session_is_a_session(self, seen: list[tuple[str, bool]]) -> None:
        scoped = async_scoped_session(self.sessions, scopefunc=lambda: None)
        async with atomic(scoped):
            scoped.add(Person(name="ada"))
            await emit("person.created", name="ada")
            async with atomic(scoped()) as inner:
                assert inner.is_inner
            assert seen == []
        assert seen == [("ada", True)]
        await scoped.remove()

    async def test_what_is_no_session_is_refused(self, session: AsyncSession) -> None:
        for other in (session.sync_session, session.bind, None):
            with pytest.raises(TypeError, match=r"atomic\(\) takes an AsyncSession: not "):
                async with atomic(other):  # type: ignore[arg-type]  # that is the test
                    pytest.fail("it was entered")

    @pytest.mark.usefixtures("seen")
    async def test_handlers_may_use_the_same_session(self, session: AsyncSession, ready: Store) -> None:
        @bus.on("person.created")
        async def note(name: str) -> None:
            async with atomic(session):
                await Work(session).insert(f"note of {name}")

        async with atomic(session) as scope:
            await self.create(Work(session), "ada")
        assert scope.failures == ()
        assert await ready.names() == {"ada", "note of ada"}

    # Transactions of the application's own

    async def test_a_transaction_that_the_application_commits_is_refused(
        self, session: AsyncSession, seen: list[tuple[str, bool]]
    ) -> None:
        async def enter(session: AsyncSession) -> None:
            async with atomic(session):
                pytest.fail("it was entered")

        refused = pytest.raises(RuntimeError, match=r"that session.begin\(\), or a connection, has opened, and whose")
        async with session.begin():
            with refused:
                await enter(session)
        async with self.sessions.begin() as own:
            with refused:
                await enter(own)
        async with session.begin_nested():
            with refused:
                await enter(session)
        await session.rollback()
        assert session.bind is not None
        async with session.bind.begin() as connection, AsyncSession(connection) as own:
            with refused:
                await enter(own)
        async with atomic(session):
            await self.create(Work(session), "ada")
        assert seen == [("ada", True)]

    async def test_with_deferred_around_it_the_application_may_commit(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async with deferred():
            async with session.begin():
                async with atomic(session):
                    await self.create(Work(session), "ada")
                    with suppress(LookupError):
                        async with atomic(session):
                            await self.create(Work(session), "ben")
                            raise LookupError
                async with atomic(session):
                    await self.create(Work(session), "cleo")
            assert seen == []
        assert seen == [("ada", True), ("cleo", True)]
        assert await ready.names() == {"ada", "cleo"}

    async def test_in_a_test_that_rolls_back_events_can_be_run_by_hand(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        assert session.bind is not None
        async with session.bind.connect() as connection:
            outer = await connection.begin()
            async with AsyncSession(connection, join_transaction_mode="create_savepoint") as own, deferred():

                @bus.on("person.created")
                async def hire_an_assistant(name: str) -> None:
                    if not name.startswith("assistant"):
                        async with atomic(own):
                            await self.create(Work(own), f"assistant of {name}")

                async with atomic(own):
                    await self.create(Work(own), "ada")
                assert seen == []
                assert await flush_deferred() == ()
                assert await count(own) == 2
                assert [name for name, _ in seen] == ["ada", "assistant of ada"]
            await outer.rollback()
        assert await ready.names() == set()

    # Savepoints that the application makes itself

    @pytest.mark.parametrize("with_query", [False, True])
    async def test_events_share_the_fate_of_the_savepoint_they_were_emitted_in(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store, *, with_query: bool
    ) -> None:
        work = Work(session)
        async with atomic(session):
            if with_query:
                await count(session)
            async with session.begin_nested():
                await self.create(work, "ada")
                with suppress(LookupError):
                    async with session.begin_nested():
                        await self.create(work, "ben")
                        async with atomic(session), deferred():
                            await self.create(work, "cleo")
                        raise LookupError
                await self.create(work, "dora")
            savepoint = await session.begin_nested()
            await self.create(work, "emil")
            await savepoint.rollback()
            async with atomic(session):
                with suppress(LookupError):
                    async with session.begin_nested(), session.begin_nested():
                        await self.create(work, "finn")
                        raise LookupError
                await self.create(work, "gil")
            assert seen == []
        assert [name for name, _ in seen] == ["ada", "dora", "gil"]
        assert await ready.names() == {"ada", "dora", "gil"}

    async def test_a_flush_that_fails_in_a_savepoint_drops_what_was_emitted_in_it(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async with atomic(session):
            await self.create(Work(session), "ada")
            with suppress(IntegrityError):
                async with session.begin_nested():
                    await self.create(Work(session), "ben")
                    await self.create(Work(session), "ada")
            await self.create(Work(session), "cleo")
        assert seen == [("ada", True), ("cleo", True)]
        assert await ready.names() == {"ada", "cleo"}

    async def test_what_is_flushed_at_the_end_of_an_inner_block_may_fail(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def fail() -> None:
            async with atomic(session):
                session.add(Person(name="ada"))
                await emit("person.created", name="ada again")

        async with atomic(session):
            await self.create(Work(session), "ada")
            with pytest.raises(IntegrityError):
                await fail()
            await self.create(Work(session), "ben")
        assert seen == [("ada", True), ("ben", True)]
        assert await ready.names() == {"ada", "ben"}

    async def test_a_savepoint_of_one_session_leaves_the_events_of_another_alone(
        self, session: AsyncSession, seen: list[tuple[str, bool]], tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        (tmp_path / "other").mkdir()
        async with (
            opened(request, "sqlite", tmp_path / "other") as other,
            connected(other) as sessions,
            sessions() as own,
            atomic(own),
        ):
            with suppress(LookupError):
                async with atomic(session), session.begin_nested():
                    async with deferred(key="nothing of these"):
                        await emit("person.created", name="at once")
                    await emit("person.created", name="ada")
                    raise LookupError
            await self.create(Work(own), "ben")
        assert [name for name, _ in seen] == ["at once", "ben"]

    @pytest.mark.parametrize("own_savepoint", [False, True])
    async def test_on_sqlite_a_savepoint_is_inside_the_transaction_even_if_nothing_was_written_before(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store, *, own_savepoint: bool
    ) -> None:
        for queries in (0, 1):
            with suppress(ZeroDivisionError):
                async with atomic(session):
                    for _ in range(queries):
                        await count(session)
                    async with session.begin_nested() if own_savepoint else atomic(session):
                        await self.create(Work(session), "ada")
                    raise ZeroDivisionError
            assert await ready.names() == set()
            assert seen == []

    @pytest.mark.parametrize("store", ["sqlite"], indirect=True)
    async def test_on_sqlite_a_block_without_savepoints_locks_nothing_before_it_writes(
        self, session: AsyncSession, seen: list[tuple[str, bool]]
    ) -> None:
        async with atomic(session):
            await count(session)
            raw = await (await session.connection()).get_raw_connection()
            driver: Any = raw.driver_connection
            assert not driver.in_transaction
            await self.create(Work(session), "ada")
            assert driver.in_transaction
        assert seen == [("ada", True)]

    # What ends in another way than it seems to

    @pytest.mark.parametrize("how", ["commit", "rollback", "close", "reset"])
    @pytest.mark.parametrize("depth", [1, 2])
    async def test_a_transaction_that_the_block_ends_itself_is_an_error(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store, how: str, depth: int
    ) -> None:
        async def end_by_hand(depth: int) -> None:
            async with atomic(session):
                if depth > 1:
                    await end_by_hand(depth - 1)
                else:
                    await self.create(Work(session), "ada")
                    await getattr(session, how)()

        with pytest.raises(RuntimeError, match="committed or rolled back inside the block"):
            await end_by_hand(depth)
        assert seen == []
        assert not session.in_transaction()
        async with atomic(session):
            await self.create(Work(session), "ben")
        assert seen == [("ben", True)]
        assert await ready.names() == ({"ada", "ben"} if how == "commit" else {"ben"})

    async def test_after_the_block_has_ended_its_transaction_the_session_refuses_to_go_on(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def go_on() -> None:
            async with atomic(session):
                await session.rollback()
                await self.create(Work(session), "ada")

        for queries in (0, 1):
            for _ in range(queries):
                await count(session)
            with pytest.raises(InvalidRequestError, match="closed transaction inside context manager"):
                await go_on()
        assert seen == []
        assert await ready.names() == set()

    async def test_a_flush_that_failed_rolls_everything_back_even_if_its_error_was_caught(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def catch() -> None:
            async with atomic(session):
                await self.create(Work(session), "ada")
                with suppress(IntegrityError):
                    await self.create(Work(session), "ada")

        with pytest.raises(PendingRollbackError, match="rolled back due to a previous exception during flush"):
            await catch()
        assert seen == []
        assert await ready.names() == set()
        async with atomic(session):
            await self.create(Work(session), "ben")
        assert seen == [("ben", True)]

    async def test_a_statement_that_failed_may_have_rolled_everything_back(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        await ready.run("INSERT INTO person (name) VALUES ('ada')")

        async def catch() -> None:
            async with atomic(session):
                await self.create(Work(session), "ben")
                with suppress(IntegrityError):
                    await session.execute(insert(Person).values(name="ada"))

        if isinstance(ready, SqliteStore):  # there only the statement failed
            await catch()
            assert seen == [("ben", True)]
            return
        with pytest.raises(RuntimeError, match="its error was caught, so PostgreSQL can only roll back"):
            await catch()
        assert seen == []
        assert await ready.names() == {"ada"}
        async with atomic(session):
            with pytest.raises(RuntimeError, match="can only roll back"):
                await catch()
            await self.create(Work(session), "cleo")
        assert seen == [("cleo", True)]

    async def test_the_error_of_the_block_counts_even_if_the_roll_back_fails(
        self, session: AsyncSession, seen: list[tuple[str, bool]]
    ) -> None:
        async def fail() -> None:
            async with atomic(session):
                await self.create(Work(session), "ada")
                raise ZeroDivisionError

        def fail_too(*_: object) -> None:
            raise LookupError("as a listener of the application's may")

        event.listen(session.sync_session, "after_soft_rollback", fail_too)
        with pytest.raises(ZeroDivisionError) as raised:
            await fail()
        assert raised.value.__notes__ == [
            'Besides, it could not be rolled back: LookupError("as a listener of the application\'s may")'
        ]
        assert seen == []

    @pytest.mark.parametrize("store", ["postgresql"], indirect=True)
    async def test_the_error_of_the_block_counts_even_if_the_connection_is_lost(
        self, session: AsyncSession, seen: list[tuple[str, bool]], ready: Store
    ) -> None:
        async def lose(*, fails: bool) -> None:
            async with atomic(session):
                await self.create(Work(session), "ada")
                await ready.run(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state = 'idle in transaction'"
                )
                if fails:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await lose(fails=True)
        with pytest.raises(DBAPIError):
            await lose(fails=False)
        assert seen == []
        async with atomic(session):
            await self.create(Work(session), "ben")
        assert seen == [("ben", True)]


async def count(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Person)) or 0
