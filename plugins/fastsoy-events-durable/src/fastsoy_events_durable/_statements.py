"""The statements that run for each publication, in SQLAlchemy Core; the adapters compile each of them once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Double,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from fastsoy_events_durable._model import Claimed
from fastsoy_events_durable._schema import claimable_at, now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import BindParameter, ColumnElement, Executable, Table
    from sqlalchemy.types import TypeEngine

_SECONDS: TypeEngine[float] = Double()
_ONE: ColumnElement[int] = literal_column("1", Integer())
_PROCESSING: ColumnElement[str] = literal_column("'processing'", Text())
_PUBLISHED: ColumnElement[str] = literal_column("'published'", Text())

_the: Callable[..., BindParameter[Any]] = partial(bindparam, required=True)


class Statements:
    """The statements on three tables; what they are given has names that begin with `the_`.

    Args:
        table: the publications.
        archive: those that were moved away.
        inbox: what has arrived from elsewhere.
    """

    def __init__(self, table: Table, archive: Table, inbox: Table) -> None:
        self._table = table
        self._archive = archive
        self._inbox = inbox
        self.insert = self._insert_statement()
        self.claim_next = self._claim_next_statement()
        self.settle = self._settle_statement()
        self.remove: Executable = delete(table).where(*self._is_mine()).returning(table.c.sequence)
        self.move = self._move_statement()
        self.arrive_on_sqlite = self._arrive_statement(sqlite)
        self.arrive_on_postgresql = self._arrive_statement(postgresql)

    def claim(self, owner: str, handlers: Collection[str], limit: int, lease: float) -> Executable:
        """Return what takes those that are due, or whose lease is over, for these handlers' ids, oldest first."""
        changed = update(self._table).values(status="processing", owner=owner, lease=now() + lease)
        return self._claiming(changed.where(self._table.c.sequence.in_(self._claimable(handlers, limit))))

    def _claimable(self, handlers: Collection[str], limit: int) -> Select[Any]:
        waiting = self._table.alias("waiting")
        earlier = self._table.alias("earlier")
        has_earlier = (
            select(_ONE)
            .where(
                earlier.c.done.is_(None),
                earlier.c.handler == waiting.c.handler,
                earlier.c.key == waiting.c.key,
                earlier.c.sequence < waiting.c.sequence,
            )
            .exists()
        )
        at = claimable_at(waiting)
        return (
            select(waiting.c.sequence)
            .where(
                waiting.c.done.is_(None),
                at <= now(),
                waiting.c.handler.in_(sorted(handlers)),
                waiting.c.key.is_(None) | ~has_earlier,
            )
            .order_by(at, waiting.c.sequence)
            .limit(limit)
            .with_for_update(of=waiting, skip_locked=True)
        )

    def _claiming(self, change: Any) -> Executable:
        statement: Executable = change.returning(*(self._table.c[name] for name in Claimed._fields))
        return statement

    def _is_claimed(self) -> tuple[Any, ...]:
        """Return the fence: what another worker has taken over has another owner."""
        table = self._table
        return (table.c.owner == _the("the_owner", type_=Text()), table.c.status == _PROCESSING)

    def _is_mine(self) -> tuple[Any, ...]:
        return (self._table.c.sequence == _the("the_sequence", type_=BigInteger()), *self._is_claimed())

    def _insert_statement(self) -> Executable:
        columns: dict[str, Any] = {name: _the(name) for name in ("event_id", "event", "handler", "key", "payload")}
        fixed: dict[str, Any] = {"status": _PUBLISHED, "attempts": literal_column("0")}
        return insert(self._table).values(**columns, **fixed, due=now(), created=now()).inline()

    def _claim_next_statement(self) -> Executable:
        table = self._table
        first = table.alias("first")
        number = (
            select(first.c.sequence)
            .where(
                first.c.done.is_(None),
                first.c.handler == _the("the_handler", type_=Text()),
                first.c.key == _the("the_key", type_=Text()),
            )
            .order_by(first.c.sequence)
            .limit(_ONE)
        )
        taken = {"owner": _the("the_owner", type_=Text()), "lease": now() + _the("the_lease", type_=_SECONDS)}
        is_due = claimable_at(table) <= now()
        claimed = update(table).where(table.c.sequence.in_(number), table.c.done.is_(None), is_due)
        return self._claiming(claimed.values(status=_PROCESSING, **taken))

    def _settle_statement(self) -> Executable:
        table = self._table
        sequence, charge = _the("the_sequence", type_=BigInteger()), _the("the_charge", type_=BigInteger())
        status = _the("the_status", type_=Text())
        is_charged = table.c.sequence == charge
        is_open = status == _PUBLISHED
        again = now() + _the("the_delay", type_=_SECONDS)
        attempts = case((is_charged, _ONE), else_=-_the("the_refund", type_=Integer()))
        return (
            update(table)
            .where(table.c.sequence.in_([sequence, charge]), *self._is_claimed())
            .values(
                status=case((is_charged, _PROCESSING), else_=status),
                attempts=table.c.attempts + attempts,
                due=case((is_charged, table.c.due), (is_open, again), else_=table.c.due),
                owner=case((is_charged, table.c.owner)),
                lease=case((is_charged, now() + _the("the_lease", type_=_SECONDS))),
                error=case((is_charged, table.c.error), else_=_the("the_error", type_=Text())),
                done=case((is_charged | is_open, None), else_=now()),
            )
            .returning(table.c.sequence)
        )

    def _move_statement(self) -> Executable:
        table = self._table
        changed: dict[str, Any] = {
            "status": literal_column("'completed'"),
            "owner": literal_column("NULL"),
            "lease": literal_column("NULL"),
            "error": literal_column("NULL"),
            "done": now(),
        }
        names = [column.name for column in self._archive.c]
        moved = select(*(changed.get(name, table.c[name]) for name in names)).where(*self._is_mine())
        return insert(self._archive).from_select(names, moved, include_defaults=False)

    def _arrive_statement(self, dialect: Any) -> Executable:
        key: dict[str, Any] = {name: _the(f"the_{name}") for name in ("consumer", "source", "event_id")}
        row = {**key, "created": now()}
        arrive = dialect.insert(self._inbox).values(row).on_conflict_do_nothing().returning(self._inbox.c.source)
        statement: Executable = arrive
        return statement
