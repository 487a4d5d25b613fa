"""The tables: one for publications, one for those that were moved away, one for what has arrived from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, UniqueConstraint, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

INBOX = "fastsoy_events_inbox"


class now(FunctionElement[float]):  # noqa: N801 - named as SQL's functions are
    """The database's own time in seconds since 1970: the clocks of several machines need not agree."""

    type: TypeEngine[float] = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_on_sqlite(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_on_postgresql(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(extract(epoch FROM statement_timestamp()) AS double precision)"


def publications(name: str, metadata: MetaData) -> Table:
    """Return the table of publications, with its indexes.

    A row is open until `done`: both indexes hold open rows alone, so that what has been done makes nothing slower.
    """
    table = Table(
        name,
        metadata,
        _sequence(),
        *_columns(),
        UniqueConstraint("event_id", "handler", name=f"{name}_once"),
    )
    is_open = table.c.done.is_(None)
    Index(
        f"{name}_open",
        claimable_at(table),
        table.c.sequence,
        table.c.handler,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    is_in_order = is_open & table.c.key.is_not(None)
    Index(
        f"{name}_keys",
        table.c.handler,
        table.c.key,
        table.c.sequence,
        sqlite_where=is_in_order,
        postgresql_where=is_in_order,
    )
    return table


def archive(name: str, metadata: MetaData) -> Table:
    """Return the table that completed publications are moved to; without indexes, since nothing looks for them."""
    return Table(f"{name}_archive", metadata, Column("sequence", BigInteger, primary_key=True), *_columns())


def inbox(metadata: MetaData) -> Table:
    """Return the table of what has arrived from elsewhere; several applications may have one database."""
    return Table(
        INBOX,
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("event_id", Text, primary_key=True),
        Column("created", Double, nullable=False),
    )


def claimable_at(table: Any) -> ColumnElement[float]:
    """Return when an open row may be claimed: it is due, or the lease of whoever claimed it is over."""
    return func.coalesce(table.c.lease, table.c.due)


def _sequence() -> Column[int]:
    # SQLite counts up an INTEGER alone; with AUTOINCREMENT it gives no number twice, also where rows are deleted.
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Column("sequence", number, primary_key=True, autoincrement=True)


def _columns() -> tuple[Column[Any], ...]:
    return (
        Column("event_id", Text, nullable=False),
        Column("event", Text, nullable=False),
        Column("handler", Text, nullable=False),
        Column("key", Text),
        Column("payload", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("due", Double, nullable=False),
        Column("owner", Text),
        Column("lease", Double),
        Column("error", Text),
        Column("created", Double, nullable=False),
        Column("done", Double),
    )
