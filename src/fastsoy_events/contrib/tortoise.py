"""Tortoise ORM: a transaction whose events go out once it has committed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tortoise.transactions import in_transaction

from fastsoy_events import deferred

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastsoy_events import Scope

__all__ = ["atomic"]


@asynccontextmanager
async def atomic(connection: str | None = None) -> AsyncGenerator[Scope]:
    """Open a transaction; what is emitted inside runs once it has committed, and never if it has not.

    Inside another one on the same connection it is a savepoint: if it fails, only its own events are dropped.

    Args:
        connection: the name of the connection; None where the application has one.

    Returns:
        An asynchronous context manager that gives the `Scope`: its `failures` has what the handlers did wrong.

    Example:
        >>> async def hire(Employee, emit):
        ...     async with atomic():
        ...         employee = await Employee.create(name="Ada")
        ...         await emit("employee.created", employee_id=employee.id)
    """
    async with deferred(key=("tortoise", connection)) as scope, in_transaction(connection):
        yield scope
