"""The worker's application on Tortoise ORM."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from application import Application
from fastsoy_events_durable import Durable
from tortoise import fields
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.models import Model

from fastsoy_events.contrib.tortoise import atomic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastsoy_events_durable import Retry


class Person(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)

    class Meta:
        table = "person"


class OnTortoise(Application):
    def __init__(self, options: dict[str, Any], retry: Retry) -> None:
        self.connection = options["connection"]
        self.durable = Durable.tortoise("default", retry=retry)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with TortoiseContext() as context:
            connections = {"default": self.connection}
            await context.init(config={"connections": connections, "apps": {"people": {"models": [__name__]}}})
            yield

    @asynccontextmanager
    async def atomic(self) -> AsyncIterator[Any]:
        async with atomic():
            yield get_connection("default")

    async def insert(self, transaction: Any, table: str, name: str) -> None:
        await transaction.execute_query(f"INSERT INTO {table} (name) VALUES ('{name}')")  # noqa: S608 - it is a number

    async def publications(self, transaction: Any) -> int:
        [row] = await transaction.execute_query_dict("SELECT count(*) AS number FROM fastsoy_events_publication")
        return int(row["number"])

    async def names(self) -> set[str]:
        return {person.name for person in await Person.all()}


make = OnTortoise
