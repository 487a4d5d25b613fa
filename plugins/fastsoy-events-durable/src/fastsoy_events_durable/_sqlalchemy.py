"""SQLAlchemy: the store's statements on the application's asynchronous engine."""

from __future__ import annotations

from asyncio import get_running_loop
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL
from sqlalchemy.event import listen
from sqlalchemy.exc import StatementError, UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import NullPool

from fastsoy_events.contrib.sqlalchemy import atomic, current_session
from fastsoy_events_durable._compiled import Compiler
from fastsoy_events_durable._database import Atomic
from fastsoy_events_durable._url import EXAMPLES, engine_of, shown
from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

    import sqlalchemy
    from sqlalchemy import Engine, Executable, Pool, Table
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.orm import Session

    from fastsoy_events_durable._database import Connection, Row

_DIALECTS = ("sqlite", "postgresql")
_IN_MEMORY = (None, "", ":memory:")


class SQLAlchemy:
    """A database that SQLAlchemy has an engine for.

    Args:
        engine: the engine, or the URL to make one of.

    Raises:
        DurableError: for what is no asynchronous engine of SQLite or PostgreSQL, and where its driver is missing.
    """

    def __init__(self, engine: AsyncEngine | URL | str) -> None:
        self._is_own = not isinstance(engine, AsyncEngine)
        if not isinstance(engine, (AsyncEngine, URL, str)):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
            raise DurableError(
                f"Durable takes an AsyncEngine, or a URL such as {EXAMPLES}: not a {type(engine).__name__}"
            )
        self._engine = engine if isinstance(engine, AsyncEngine) else engine_of(engine)
        dialect = self._engine.dialect.name
        if dialect not in _DIALECTS:
            raise DurableError(f"Durable keeps its rows in SQLite or PostgreSQL, and {self.label} is neither")
        self.is_sqlite = dialect == "sqlite"
        self._compiler = Compiler(self._engine.dialect)
        if self.is_sqlite:
            if self._engine.url.database in _IN_MEMORY:
                raise DurableError(
                    "Durable was given a database in memory, which keeps nothing, and whose one connection all "
                    "transactions would share: give it a file, such as sqlite+aiosqlite:///app.sqlite3"
                )
            listen(self._engine.sync_engine, "connect", _synchronise)
        else:
            listen(self._engine.sync_engine, "connect", self._connected)
        self._opened_in: tuple[Pool, AbstractEventLoop] | None = None

    @property
    def label(self) -> str:
        """Return the engine's URL, without its password."""
        return shown(self._engine.url)

    @property
    def loop(self) -> AbstractEventLoop | None:
        """Return the event loop that the pool's connections were opened in, while it lives.

        In another one they would not merely fail: what comes after may be lost without an error.
        """
        pool, loop = self._opened_in or (None, None)
        is_shared = pool is self._engine.pool and not isinstance(pool, NullPool)
        return loop if is_shared and loop is not None and not loop.is_closed() else None

    def _connected(self, _connection: object, _record: object) -> None:
        self._opened_in = self._engine.pool, get_running_loop()

    async def create(self, tables: Sequence[Table]) -> None:
        """Create tables and indexes where they are absent; on SQLite, have readers and the writer not wait."""
        async with self._engine.connect() as connection:
            if self.is_sqlite:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                await connection.run_sync(_begin_to_write)
            else:
                await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7305809140)")  # one worker at a time
            await connection.run_sync(tables[0].metadata.create_all, tables=list(tables))
            await connection.commit()

    def joined(self) -> Connection | None:
        """Return the transaction of the innermost `atomic()` block, where it is of this database."""
        session = current_session()
        if session is None:
            return None
        try:
            bind = session.sync_session.get_bind()
        except UnboundExecutionError:  # it has one for each model
            return None
        engine = bind.engine
        is_same = engine is self._engine.sync_engine or engine.url == self._engine.url
        return _InSession(session, bind, self._compiler) if is_same else None

    @asynccontextmanager
    async def transaction(self, *, reads: bool = False) -> AsyncGenerator[Connection]:
        """Open a transaction of its own."""
        async with self._engine.begin() as connection:
            driver: Any = None
            if self.is_sqlite and not reads:
                driver = (await connection.get_raw_connection()).driver_connection
            with _writing(driver):
                yield _InTransaction(connection, self._compiler)

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Atomic]:
        """Open a transaction with `atomic()`, in a session of its own."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session, atomic(session):
            if self.is_sqlite:
                await (await session.connection()).run_sync(_begin_to_write)
            yield Atomic(_InSession(session, self._engine.sync_engine, self._compiler), session)

    async def close(self) -> None:
        """Close the connections of an engine that was made here."""
        if self._is_own:
            await self._engine.dispose()


def _synchronise(connection: Any, _record: object) -> None:
    """Have SQLite write a commit to the disk before it is done."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


@contextmanager
def _writing(driver: Any) -> Generator[None]:
    """Have Python's driver begin a transaction as one that writes, when it comes to the first statement."""
    level: str | None = driver and driver.isolation_level
    if driver is None or level is None:  # it is no SQLite, or the application begins its transactions by itself
        yield
        return
    driver.isolation_level = "IMMEDIATE"
    try:
        yield
    finally:
        driver.isolation_level = level


def _begin_to_write(connection: sqlalchemy.Connection) -> None:
    """Take SQLite's lock at once: a transaction that begins with reading could not write after another one has."""
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        return
    adapted: Any = connection.connection.dbapi_connection
    if connection.dialect.driver == "aiosqlite":  # one thing for its thread to do, instead of three
        adapted.run_async(_immediately)
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _immediately(connection: Any) -> None:
    await connection.execute("BEGIN IMMEDIATE")


class _InTransaction:
    def __init__(self, connection: AsyncConnection, compiler: Compiler) -> None:
        self._connection = connection
        self._compiler = compiler

    async def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        return await self._connection.run_sync(_rows, self._compiler, statement, parameters)


class _InSession:
    def __init__(self, session: AsyncSession, bind: Engine | sqlalchemy.Connection, compiler: Compiler) -> None:
        self._session = session
        self._bind = bind
        self._compiler = compiler

    async def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        return await self._session.run_sync(_rows_in_session, self._bind, self._compiler, statement, parameters)


def _rows(
    connection: sqlalchemy.Connection,
    compiler: Compiler,
    statement: Executable,
    parameters: Mapping[str, object] | None,
) -> Sequence[Row]:
    """Run a statement.

    On SQLite, one that runs for each publication goes straight to the driver: SQLAlchemy would have its thread do four
    things where one is enough, and each takes longer than what SQLite has to do.
    """
    if parameters is not None and connection.dialect.driver == "aiosqlite":
        text, values = compiler.compiled(statement, parameters)
        driver: Any = connection.connection.dbapi_connection
        rows: Sequence[Row] = driver.run_async(partial(_fetched, text, values))
        return rows
    try:
        result = connection.execute(statement, parameters)
    except StatementError as error:
        error.hide_parameters = True  # a payload is among them, and errors are logged
        raise
    return [tuple(row) for row in result] if result.returns_rows else ()


async def _fetched(text: str, values: list[Any], connection: Any) -> Sequence[Row]:
    rows: Sequence[Row] = await connection.execute_fetchall(text, values)
    return rows


def _rows_in_session(
    session: Session,
    bind: Engine | sqlalchemy.Connection,
    compiler: Compiler,
    statement: Executable,
    parameters: Mapping[str, object] | None,
) -> Sequence[Row]:
    return _rows(session.connection(bind_arguments={"bind": bind}), compiler, statement, parameters)
