"""What the store needs of a database; `_sqlalchemy` and `_tortoise` give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import Executable, Table

Row: TypeAlias = "Sequence[Any]"


class Connection(Protocol):
    """An open transaction."""

    async def execute(self, statement: Executable, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        """Run a statement, and return its rows, if it has any."""
        ...


class Atomic(NamedTuple):
    """A transaction whose events go out once it has committed.

    Args:
        connection: the transaction.
        tx: what handlers with `tx=True` are given: an `AsyncSession`, or Tortoise's client.
    """

    connection: Connection
    tx: object


class Database(Protocol):
    """A database of the application's."""

    @property
    def label(self) -> str:
        """Return what it is called in messages; no password."""
        ...

    @property
    def is_sqlite(self) -> bool:
        """Tell whether one transaction at a time writes."""
        ...

    @property
    def loop(self) -> AbstractEventLoop | None:
        """Return the only event loop in which its connections work; None where any will do, or none is open yet."""
        ...

    async def create(self, tables: Sequence[Table]) -> None:
        """Create tables and their indexes where they are absent."""
        ...

    def joined(self) -> Connection | None:
        """Return the transaction of this database that is open around the running code."""
        ...

    def transaction(self, *, reads: bool = False) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction of its own, which writes, or merely reads."""
        ...

    def atomic(self) -> AbstractAsyncContextManager[Atomic]:
        """Open a transaction with `atomic()`, which writes."""
        ...

    async def close(self) -> None:
        """Close what was opened here."""
        ...
