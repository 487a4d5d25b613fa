"""The worker's application on SQLAlchemy."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from application import Application
from fastsoy_events_durable import Durable
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from fastsoy_events.contrib.sqlalchemy import atomic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastsoy_events_durable import Retry


class OnSQLAlchemy(Application):
    def __init__(self, options: dict[str, Any], retry: Retry) -> None:
        self.engine = create_async_engine(options["url"])
        self.durable = Durable(self.engine, retry=retry)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        yield
        await self.engine.dispose()

    @asynccontextmanager
    async def atomic(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.engine) as session, atomic(session):
            yield session

    async def insert(self, transaction: AsyncSession, table: str, name: str) -> None:
        statement = text(f"INSERT INTO {table} (name) VALUES (:name)")  # noqa: S608 - the tables are the tests' own
        await transaction.execute(statement, {"name": name})

    async def publications(self, transaction: AsyncSession) -> int:
        count = await transaction.execute(text("SELECT count(*) FROM fastsoy_events_publication"))
        return int(count.scalar_one())

    async def names(self) -> set[str]:
        async with self.engine.connect() as connection:
            return set((await connection.execute(text("SELECT name FROM person"))).scalars())


make = OnSQLAlchemy
