"""Tortoise ORM: the store's statements, compiled by SQLAlchemy, on one of the application's connections."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from fastsoy_events_durable._compiled import Compiler
from fastsoy_events_durable._database import Atomic
from fastsoy_events_durable.errors import DurableError

try:
    from tortoise.backends.base.client import TransactionalDBClient
    from tortoise.connection import get_connections
    from tortoise.exceptions import ConfigurationError

    from fastsoy_events.contrib.tortoise import atomic
except ModuleNotFoundError as error:
    raise DurableError(
        "Durable.tortoise() needs Tortoise ORM: pip install 'fastsoy-events-durable[tortoise]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sqlalchemy import Dialect, Executable, Table
    from tortoise.backends.base.client import BaseDBAsyncClient

    from fastsoy_events_durable._database import Connection, Row

_DIALECTS: dict[str, Dialect] = {
    "tortoise.backends.sqlite": sqlite.dialect(paramstyle="qmark"),
    "tortoise.backends.asyncpg": postgresql.asyncpg.dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
}
_IS_THERE = "SELECT 1 WHERE to_regclass($1) IS NOT NULL"
_quoted = _DIALECTS["tortoise.backends.asyncpg"].identifier_preparer.quote_identifier
# Tortoise has begun a transaction that takes SQLite's lock no sooner than it writes, and has done nothing in it yet.
_BEGIN_TO_WRITE = ("COMMIT", "BEGIN IMMEDIATE")


class Tortoise:
    """A database that Tortoise ORM has a connection to.

    Args:
        name: the connection's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._compilers = {engine: Compiler(dialect) for engine, dialect in _DIALECTS.items()}

    @property
    def label(self) -> str:
        """Return the name of the connection."""
        return f"Tortoise's connection {self._name}"

    @property
    def is_sqlite(self) -> bool:
        """Tell whether one transaction at a time writes."""
        return self._client().capabilities.dialect == "sqlite"

    def _client(self) -> BaseDBAsyncClient:
        """Return the connection, or the transaction that is open on it around the running code.

        Raises:
            DurableError: where there is none.
        """
        try:
            return get_connections().get(self._name)
        except (ConfigurationError, RuntimeError) as error:
            raise DurableError(
                f"{self.label} is not there: call Tortoise.init() before, in the same context. A command that runs "
                "outside of the application takes --url instead"
            ) from error

    def _compiler(self, client: BaseDBAsyncClient) -> Compiler:
        for each in type(client).__mro__:
            engine = each.__module__.rpartition(".")[0]
            if engine in self._compilers:
                return self._compilers[engine]
        raise DurableError(
            f"Durable keeps its rows in SQLite or, through asyncpg, in PostgreSQL, and {self.label} is a "
            f"{type(client).__qualname__} of {type(client).__module__}"
        )

    @property
    def loop(self) -> None:
        """Return nothing: in another event loop, Tortoise opens another connection, and warns."""

    async def create(self, tables: Sequence[Table]) -> None:
        """Create tables and indexes where they are absent."""
        async with self.transaction() as connection:
            if not self.is_sqlite:
                await connection.run("SELECT pg_advisory_xact_lock(7305809140)")  # one worker at a time
            for table in tables:
                await self._create_one(connection, table.name, CreateTable(table, if_not_exists=True))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    await self._create_one(connection, str(index.name), CreateIndex(index, if_not_exists=True))

    async def _create_one(self, connection: _InClient, name: str, statement: Executable) -> None:
        """Create a table or an index; PostgreSQL would ask for the right to do so where it is there already, too."""
        if self.is_sqlite or not await connection.run(_IS_THERE, [_quoted(name)]):
            await connection.execute(statement)

    def joined(self) -> Connection | None:
        """Return the transaction that is open around the running code, `atomic()`'s or Tortoise's own."""
        client = self._client()
        is_open = isinstance(client, TransactionalDBClient) and not client._finalized  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - nothing public tells
        return _InClient(client, self._compiler(client)) if is_open else None

    @asynccontextmanager
    async def transaction(self, *, reads: bool = False) -> AsyncGenerator[_InClient]:  # noqa: ARG002 - as every adapter has it
        """Open a transaction of its own."""
        async with self._in_transaction() as client:
            yield client

    @asynccontextmanager
    async def atomic(self) -> AsyncGenerator[Atomic]:
        """Open a transaction with `atomic()`."""
        is_outermost = self.joined() is None
        async with self._in_transaction() as client:
            if self.is_sqlite and is_outermost:
                for each in _BEGIN_TO_WRITE:
                    await client.run(each)
            yield Atomic(client, client.client)

    @asynccontextmanager
    async def _in_transaction(self) -> AsyncGenerator[_InClient]:
        self._client()  # or it is said what to do
        async with atomic(self._name):
            client = self._client()
            yield _InClient(client, self._compiler(client))

    async def close(self) -> None:
        """Do nothing: the application has opened the connection."""


class _InClient:
    def __init__(self, client: BaseDBAsyncClient, compiler: Compiler) -> None:
        self.client = client
        self._compiler = compiler

    async def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        text, values = self._compiler.compiled(statement, parameters)
        return await self.run(text, values)

    async def run(self, text: str, values: list[Any] | None = None) -> Sequence[Row]:
        client: Any = self.client  # Tortoise has types for it in part
        rows: list[dict[str, Any]] = await client.execute_query_dict(text, values)
        return [tuple(row.values()) for row in rows]
