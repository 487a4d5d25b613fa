"""SQLAlchemy: a transaction of an asynchronous session whose events go out once it has committed."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.event import listens_for
from sqlalchemy.exc import DBAPIError, ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, SessionTransaction, SessionTransactionOrigin

from fastsoy_events import deferred
from fastsoy_events._deferral import drop_since, mark
from fastsoy_events.contrib._transactions import ENDED_BY_HAND, IN_ERROR, OpenBlocks, committing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Hashable

    from fastsoy_events import Scope

__all__ = ["atomic", "current_session"]

_blocks: OpenBlocks[Session] = OpenBlocks()
_around: ContextVar[tuple[tuple[AsyncSession, Scope], ...]] = ContextVar(
    "fastsoy_events.sqlalchemy_sessions", default=()
)
_marks: WeakKeyDictionary[SessionTransaction, int] = WeakKeyDictionary()  # of savepoints that have not been released


@asynccontextmanager
async def atomic(session: AsyncSession | async_scoped_session[Any]) -> AsyncGenerator[Scope]:
    """Open a transaction; what is emitted inside runs once it has committed, and never if it has not.

    A transaction that the session has begun by itself, with a query before the block, is the block's: it commits at the
    end, too. Inside another `atomic()` of the same session it is a savepoint: if it fails, only its own rows and events
    are dropped. Events that are emitted inside `session.begin_nested()` share its fate as well.

    Args:
        session: the session, also a scoped one.

    Returns:
        An asynchronous context manager that gives the `Scope`: its `failures` has what the handlers did wrong.

    Raises:
        TypeError: for what is no `AsyncSession`.
        RuntimeError: inside `session.begin()`, or another transaction that the application commits, unless
            `deferred()` is around that; for a block that overlaps with another in the same session; and for one that
            ended well, although its transaction was ended inside, or can only be rolled back. Its events are dropped.

    Example:
        >>> async def hire(session, employee, emit):
        ...     async with atomic(session):
        ...         session.add(employee)
        ...         await session.flush()
        ...         await emit("employee.created", employee_id=employee.id)
    """
    own = session() if isinstance(session, async_scoped_session) else session
    if not isinstance(own, AsyncSession):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
        raise TypeError(f"atomic() takes an AsyncSession: not {own!r}")
    holder = own.sync_session
    async with deferred(key=_key(holder)) as scope:
        is_inner = holder in _blocks or _is_committed_elsewhere(own)
        if is_inner:
            _blocks.refuse_unseen(holder, scope, "session.begin(), or a connection,")
        with _blocks.holding(holder, scope):
            async with _committed(own, scope, is_savepoint=is_inner):
                with _within(own, scope):
                    yield scope


def current_session() -> AsyncSession | None:
    """Return the session of the innermost `atomic()` block around the running code, while its transaction is open.

    For code that is to write in the caller's transaction without being handed the session, as durable handlers are.

    Returns:
        The session; None outside of any block, and where the transaction has ended.

    Example:
        >>> current_session() is None
        True
    """
    around = reversed(_around.get())
    return next((session for session, scope in around if _blocks.has(session.sync_session, scope)), None)


@contextmanager
def _within(session: AsyncSession, scope: Scope) -> Generator[None]:
    """Have a session be the current one. No token resets it: a block may end in another context."""
    before = _around.get()
    _around.set((*before, (session, scope)))
    try:
        yield
    finally:
        _around.set(before)


def _key(session: Session) -> Hashable:
    return ("sqlalchemy", id(session))


def _is_committed_elsewhere(session: AsyncSession) -> bool:
    """Tell whether the application has opened a transaction; the session itself may have, too, and never commits it."""
    transaction = session.sync_session.get_transaction()
    has_begun = transaction is not None and transaction.origin is not SessionTransactionOrigin.AUTOBEGIN
    bind = session.sync_session.bind
    return has_begun or session.in_nested_transaction() or (isinstance(bind, Connection) and bind.in_transaction())


@asynccontextmanager
async def _committed(session: AsyncSession, scope: Scope, *, is_savepoint: bool) -> AsyncGenerator[None]:
    transaction = await session.run_sync(_begun, is_savepoint)
    try:
        yield
        await session.run_sync(_refuse_in_error, transaction)
        with committing(scope, is_savepoint=is_savepoint):
            await session.run_sync(_commit, transaction)
    except BaseException as error:
        await session.run_sync(_roll_back, transaction, error)
        raise
    transaction.__exit__(None, None, None)  # so that the session may be used for another


def _begun(session: Session, is_savepoint: bool) -> SessionTransaction:  # noqa: FBT001 - run_sync passes on no keywords
    """Begin as `with` does: then the session refuses to go on where the block itself ends the transaction."""
    begun = None if is_savepoint else session.get_transaction()
    if begun is None:
        begun = session.begin_nested() if is_savepoint else session.begin()
    return begun.__enter__()


def _commit(session: Session, transaction: SessionTransaction) -> None:
    try:
        transaction.commit()
    except ResourceClosedError as error:
        raise RuntimeError(ENDED_BY_HAND) from error
    except Exception:
        if not transaction.nested:
            _roll_back_on_sqlite(session)
        raise


def _roll_back(_: Session, transaction: SessionTransaction, error: BaseException) -> None:
    try:
        transaction.__exit__(type(error), error, error.__traceback__)
    except Exception as failure:  # noqa: BLE001 - what went wrong before counts
        error.add_note(f"Besides, it could not be rolled back: {failure!r}")


def _refuse_in_error(session: Session, transaction: SessionTransaction) -> None:
    """Raise where PostgreSQL would answer a commit with a roll-back, which is no error to it."""
    for connection in _connections(session) if transaction.is_active else ():
        if connection.dialect.name == "postgresql":
            try:
                connection.exec_driver_sql("SELECT 1")
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "25P02":
                    raise
                raise RuntimeError(IN_ERROR) from error


def _roll_back_on_sqlite(session: Session) -> None:
    """Roll back what SQLite keeps open after a commit that failed: the pool gives it to the next one as it is."""
    for connection in _connections(session):
        if connection.dialect.name == "sqlite" and not (connection.closed or connection.invalidated):
            connection.connection.rollback()


def _connections(session: Session) -> set[Connection]:
    transaction = session.get_transaction()
    # Its public `connections` is as young as SQLAlchemy 2.1.7.
    entries = transaction._connections.values() if transaction else ()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as said
    return {entry[0] for entry in entries}


# Savepoints, whoever makes them


@listens_for(Session, "after_transaction_create")
def _savepoint_made(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested and session in _blocks:
        _marks[transaction] = mark()
        for connection in _connections(session):
            _begin_on_sqlite(connection)


@listens_for(Session, "after_begin")
def _connection_joined(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.parent is None and session.in_nested_transaction() and session in _blocks:
        _begin_on_sqlite(connection)


@listens_for(Session, "after_commit")
def _savepoint_released(session: Session) -> None:
    released = session.get_nested_transaction()
    if released is not None:
        _marks.pop(released, None)


@listens_for(Session, "after_transaction_end")
def _savepoint_ended(session: Session, transaction: SessionTransaction) -> None:
    number = _marks.pop(transaction, None)
    if number is not None:  # it was not released
        drop_since(number, _key(session))


def _begin_on_sqlite(connection: Connection) -> None:
    """Begin the transaction that Python's driver begins no sooner than it writes: else a savepoint would commit."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and not driver.in_transaction:
        connection.exec_driver_sql("BEGIN")
