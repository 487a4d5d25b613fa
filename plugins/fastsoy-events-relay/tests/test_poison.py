"""Messages that cannot be emitted: they end among the dead letters, and do not keep the others from being handled."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Counts, Relay, _inbound, plugin

from fastsoy_events import on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("loaded_with_durable")

PATIENCE = 30  # seconds for what is to happen


def envelope(place: int, event: str = "thing.made", **payload: object) -> bytes:
    attributes = {"specversion": "1.0", "id": f"id-{place}", "source": "urn:elsewhere", "type": event}
    return json.dumps({**attributes, "data": payload}).encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def reasons(server: Any) -> list[str]:
    return [json.loads(body)["reason"] for body in await server.messages("fastsoy_events_dead")]


@asynccontextmanager
async def durable_handler(database: Path, numbers: list[int]) -> AsyncIterator[Any]:
    """Have the events' numbers noted by a durable handler."""
    from fastsoy_events_durable import Durable

    durable = Durable(f"sqlite+aiosqlite:///{database}")

    @durable.on("thing.made", id="thing.note", key="number")
    async def note(number: int) -> None:
        numbers.append(number)

    await durable.migrate()
    try:
        yield durable
    finally:
        await durable.close()


async def test_a_payload_that_durable_handlers_refuse_is_put_aside_at_once(server: Any, tmp_path: Path) -> None:
    numbers: list[int] = []
    async with durable_handler(tmp_path / "app.sqlite3", numbers) as durable:
        async with Relay(server.url, app="hr", receive=["thing.*"], durable=durable) as relay, durable.running():
            for number in range(20):
                await server.put(envelope(number, count=1))  # it lacks the key
            await server.put(envelope(20, number=20))
            await until(lambda: numbers == [20])
        assert relay.counts == Counts(received=1, dead_lettered=20)
    assert len(await reasons(server)) == 20


async def test_a_message_that_fails_again_and_again_is_put_aside_in_the_end(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, numbers = plugin.taken, []

    def taken(event: str) -> Any:
        if event == "thing.poisoned":
            raise LookupError("nobody knows why")
        return take(event)

    @on("thing.made")
    @on("thing.poisoned")
    async def handle(number: int) -> None:
        numbers.append(number)

    monkeypatch.setattr(plugin, "taken", taken)
    monkeypatch.setattr(_inbound, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(_inbound, "MOST_ATTEMPTS", 3)
    async with Relay(server.url, app="hr", receive=["thing.*"], acknowledge_within=0.5) as relay:
        await server.put(envelope(1, "thing.poisoned", number=1), "thing.poisoned")
        await server.put(envelope(2, number=2))
        await until(lambda: relay.counts.dead_lettered == 1 and numbers == [2])
    assert relay.counts == Counts(received=1, redelivered=2, dead_lettered=1)
    assert await reasons(server) == ["it could not be emitted in 3 deliveries: LookupError"]


async def test_no_message_is_put_aside_because_the_database_is_away(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_inbound, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(_inbound, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(_inbound, "MOST_ATTEMPTS", 2)
    numbers: list[int] = []
    database = tmp_path / "app.sqlite3"
    async with durable_handler(database, numbers) as durable:
        settings: dict[str, Any] = {"app": "hr", "receive": ["thing.*"], "acknowledge_within": 0.5}
        async with Relay(server.url, durable=durable, **settings) as relay, durable.running(poll=0.1):
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("DROP TABLE fastsoy_events_inbox")
            await server.put(envelope(1, number=1))
            await until(lambda: relay.counts.redelivered >= 4)
            await durable.migrate()
            await until(lambda: numbers == [1])
        assert (relay.counts.received, relay.counts.dead_lettered) == (1, 0)
