"""With durable handlers: nothing is lost while the broker is away, and nothing has its effect twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Relay
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from fastsoy_events import EventsError, emit
from fastsoy_events.contrib.sqlalchemy import atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("loaded_with_durable")

MANY = 250
PATIENCE = 30  # seconds


def effects(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM effect")]


async def test_a_consumer_that_is_killed_before_it_acknowledges_has_the_effect_of_each_event_once(
    server: Any, worker: Callable[..., Any], tmp_path: Path
) -> None:
    database = tmp_path / "effects.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE effect (number INTEGER)")
    settings: dict[str, Any] = {
        "durable": f"sqlite+aiosqlite:///{database}",
        "relay": {"app": "payroll", "receive": ["thing.*"], "acknowledge_within": 1.0},
    }
    first = worker(server.url, die_at=MANY * 2 // 5, die_by=signal.SIGKILL, **settings)
    async with Relay(server.url, app="hr", forward=["thing.*"]):
        for number in range(MANY):
            await emit("thing.made", number=number)
    assert await asyncio.to_thread(first.ended) == -signal.SIGKILL
    done = set(effects(database))
    assert len(done) < MANY

    second = worker(server.url, say_at=[MANY - len(done)], **settings)
    await asyncio.to_thread(second.expect, f"at {MANY - len(done)}")
    await asyncio.to_thread(second.stop)
    assert sorted(effects(database)) == list(range(MANY))
    word, many = second.said().split()
    assert word == "duplicates"
    assert int(many) > 0  # what had been recorded and not acknowledged


def envelope(number: int) -> bytes:
    attributes = {"specversion": "1.0", "id": f"id-{number}", "source": "urn:elsewhere", "type": "thing.made"}
    return json.dumps({**attributes, "data": {"number": number}}).encode()


async def test_an_event_that_comes_twice_has_its_effect_once_in_each_application_of_one_database(
    server: Any, tmp_path: Path
) -> None:
    from fastsoy_events_durable import Durable

    durable = Durable(f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    numbers: list[int] = []

    @durable.on("thing.made", id="thing.note")
    async def note(number: int) -> None:
        numbers.append(number)

    await durable.migrate()
    hr, payroll = (Relay(server.url, app=app, receive=["thing.*"], durable=durable) for app in ("hr", "payroll"))
    async with hr, payroll, durable.running(poll=0.1):
        for number in (1, 1, 2):
            await server.put(envelope(number))
        async with asyncio.timeout(PATIENCE):
            while len(numbers) < 4:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
    await durable.close()
    assert sorted(numbers) == [1, 1, 2, 2]  # both applications are in this process, and have this handler
    for each in (hr, payroll):
        assert (each.counts.received, each.counts.duplicates) == (2, 1)


async def test_what_was_committed_goes_out_when_the_broker_is_back(absent_server: Any, tmp_path: Path) -> None:
    from fastsoy_events_durable import Durable

    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    durable = Durable(engine)
    await durable.migrate()
    relay = Relay(
        absent_server.url,
        app="human-resources",
        forward=["thing.*"],
        durable=durable,
        broker_absent="retry",
        connect_timeout=1.0,
    )
    async with relay, durable.running(poll=0.1):
        with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what is tested
            async with AsyncSession(engine) as session, atomic(session):
                await emit("thing.made", number=1)
                raise RuntimeError("roll back")
        async with AsyncSession(engine) as session, atomic(session):
            await emit("thing.made", number=2)
        await emit("thing.made", number=3)
        absent_server.start()
        async with asyncio.timeout(PATIENCE):
            while relay.counts.forwarded < 2:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
    await engine.dispose()
    events = [json.loads(body) for body in await absent_server.messages()]
    assert sorted(event["data"]["number"] for event in events) == [2, 3]
    assert {event["source"] for event in events} == {"urn:fastsoy-events:human-resources"}


@pytest.mark.parametrize("kind", ["nats"], indirect=True)
async def test_what_cannot_be_sent_fails_the_emit_as_it_fails_that_of_a_durable_handler(
    absent_server: Any, tmp_path: Path
) -> None:
    from fastsoy_events_durable import Durable

    durable = Durable(f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    await durable.migrate()
    relay = Relay(absent_server.url, app="hr", forward=["thing.*"], durable=durable, broker_absent="retry", grace=0.1)
    async with relay:
        with pytest.raises(EventsError, match="the payload is not JSON: number is or holds what JSON cannot say"):
            await emit("thing.made", number={1, 2})
    await durable.close()
