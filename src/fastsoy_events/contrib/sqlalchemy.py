"""SQLAlchemy: a transaction of an asynchronous session whose events go out once it has committed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastsoy_events import deferred

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy.ext.asyncio import AsyncSession

    from fastsoy_events import Scope

__all__ = ["atomic"]


@asynccontextmanager
async def atomic(session: AsyncSession) -> AsyncGenerator[Scope]:
    """Open a transaction; what is emitted inside runs once it has committed, and never if it has not.

    Inside a transaction of the same session it is a savepoint: if it fails, only its own events are dropped.

    Args:
        session: the session.

    Returns:
        An asynchronous context manager that gives the `Scope`: its `failures` has what the handlers did wrong.

    Example:
        >>> async def hire(session, employee, emit):
        ...     async with atomic(session):
        ...         session.add(employee)
        ...         await session.flush()
        ...         await emit("employee.created", employee_id=employee.id)
    """
    async with (
        deferred(key=("sqlalchemy", id(session))) as scope,
        session.begin_nested() if session.in_transaction() else session.begin(),
    ):
        yield scope
