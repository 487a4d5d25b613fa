"""Tortoise ORM: a transaction whose events go out once it has committed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tortoise.backends.base.client import NestedTransactionContext, TransactionalDBClient
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError
from tortoise.transactions import in_transaction

from fastsoy_events import deferred
from fastsoy_events.contrib._transactions import ENDED_BY_HAND, IN_ERROR, OpenBlocks, committing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tortoise.backends.base.client import BaseDBAsyncClient, TransactionContext

    from fastsoy_events import Scope

__all__ = ["atomic"]

_blocks: OpenBlocks[BaseDBAsyncClient] = OpenBlocks()


@asynccontextmanager
async def atomic(connection: str | None = None) -> AsyncGenerator[Scope]:
    """Open a transaction; what is emitted inside runs once it has committed, and never if it has not.

    Inside another `atomic()` on the same connection it is a savepoint: if it fails, only its own rows and events are
    dropped. On another connection it is a transaction of its own. It decorates a function, too: `@atomic()`.

    Args:
        connection: the name of the connection; None where the application has one.

    Returns:
        An asynchronous context manager that gives the `Scope`: its `failures` has what the handlers did wrong.

    Raises:
        RuntimeError: inside Tortoise's own `in_transaction()`, unless `deferred()` is around that; for a block that
            overlaps with another task's in the same transaction; and for one that ended well, although its transaction
            was ended inside, or can only be rolled back. Its events are dropped then.

    Example:
        >>> async def hire(Employee, emit):
        ...     async with atomic():
        ...         employee = await Employee.create(name="Ada")
        ...         await emit("employee.created", employee_id=employee.id)
    """
    transaction = in_transaction(connection)
    connections = get_connections()
    name = connection or next(iter(connections.db_config))
    async with deferred(key=("tortoise", id(connections), name)) as scope:
        holder = connections.get(name)
        if isinstance(holder, TransactionalDBClient):
            _refuse_ended(holder)
            _blocks.refuse_unseen(holder, scope, "in_transaction()")
        async with _committed(transaction, scope) as client:
            holder = holder if isinstance(transaction, NestedTransactionContext) else client
            with _blocks.holding(holder, scope):
                yield scope


def _refuse_ended(holder: TransactionalDBClient) -> None:
    if holder._finalized:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - nothing public tells
        raise RuntimeError(
            "atomic() was entered in a task that was started inside a transaction which has ended since, and whose "
            "connection the task still has: start the task after the block"
        )


@asynccontextmanager
async def _committed(transaction: TransactionContext, scope: Scope) -> AsyncGenerator[TransactionalDBClient]:
    """Do what Tortoise's own context manager does, and what it leaves undone.

    Cancelled while it begins, it keeps its connection, for which others then wait without end. On SQLite, a transaction
    whose commit fails stays open there, and becomes part of the next one.
    """
    client = await _begun(transaction)
    is_savepoint = isinstance(transaction, NestedTransactionContext)
    try:
        yield client
        await _refuse_to_commit(client)
        with committing(scope, is_savepoint=is_savepoint):
            await (client.release_savepoint() if is_savepoint else client.commit())
    except BaseException as error:
        await _roll_back(transaction, error)
        raise
    if not is_savepoint:
        with committing(scope, is_savepoint=False):
            await transaction.__aexit__(None, None, None)  # it gives the connection back, and no more


async def _begun(transaction: TransactionContext) -> TransactionalDBClient:
    try:
        return await transaction.__aenter__()
    except BaseException as error:
        if hasattr(transaction, "token"):  # it holds a connection already
            await _roll_back(transaction, error)
        raise


async def _roll_back(transaction: TransactionContext, error: BaseException) -> None:
    try:
        # For some errors Tortoise would not roll back, were it told their type.
        await transaction.__aexit__(BaseException, error, error.__traceback__)
    except Exception as failure:  # noqa: BLE001 - what went wrong before counts
        error.add_note(f"Besides, it could not be rolled back: {failure!r}")


async def _refuse_to_commit(client: Any) -> None:  # a client, which Tortoise has types for in part
    """Raise where a commit would do nothing, or roll back, and not say so."""
    if client._finalized:  # noqa: SLF001 - nothing public tells
        raise RuntimeError(ENDED_BY_HAND)
    if client.capabilities.dialect == "sqlite":
        async with client.acquire_connection() as connection:
            if not connection.in_transaction:
                raise RuntimeError(ENDED_BY_HAND)
    elif client.capabilities.dialect == "postgres":
        try:
            await client.execute_query("SELECT 1")
        except TransactionManagementError as error:
            raise RuntimeError(IN_ERROR) from error
