"""Events that wait in the database: while the broker takes nothing, no other durable handler waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Counts, Relay, RelayError, _nats, _redis, _stored
from fastsoy_events_relay._settings import Patterns, Settings
from fastsoy_events_relay._stored import Stored
from fastsoy_events_relay._tally import Tally

from fastsoy_events import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fastsoy_events_relay._engine import Letter

pytestmark = pytest.mark.usefixtures("loaded_with_durable")

PATIENCE = 30  # seconds for what is to happen
SOON = 8  # seconds; less than redis-py waits for an answer by itself
MANY = 20


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_durable_handlers_go_on_while_the_broker_hangs(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastsoy_events_durable import Durable

    for engine in (_nats, _redis):
        monkeypatch.setattr(engine, "SEND_TIMEOUT", 0.5)  # so that one after the other would take longer than SOON
    durable = Durable(f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    mailed = asyncio.Event()

    @durable.on("mail.due", id="mail.send")
    async def mail() -> None:
        mailed.set()

    await durable.migrate()
    async with Relay(server.url, app="hr", forward=["thing.*"], durable=durable) as relay, durable.running(poll=0.1):
        server.process.send_signal(signal.SIGSTOP)
        for number in range(MANY):
            await emit("thing.made", number=number)
        await emit("mail.due")
        try:
            await asyncio.wait_for(mailed.wait(), SOON)
        finally:
            server.process.send_signal(signal.SIGCONT)
        await until(lambda: relay.counts.forwarded == MANY)
    await durable.close()
    numbers = {json.loads(body)["data"]["number"] for body in await server.messages()}
    assert numbers == set(range(MANY))


@pytest.mark.parametrize("kind", ["nats"], indirect=True)
async def test_what_can_never_be_sent_is_done_with(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from fastsoy_events_durable import Durable

    durable = Durable(f"sqlite+aiosqlite:///{tmp_path}/app.sqlite3")
    await durable.migrate()
    settings: dict[str, Any] = {"app": "hr", "forward": ["thing.*"], "largest": 5_000_000}
    async with Relay(server.url, durable=durable, **settings) as relay, durable.running(poll=0.1):
        await emit("thing.made", text="x" * 2_000_000)  # more than the server takes
        await durable.publish("relay.hr", "thing made", {"time": "", "data": {}}, event_id="id-1")
        await until(lambda: relay.counts.refused == 2)
        await emit("thing.made", text="x")
        await until(lambda: relay.counts.forwarded == 1)
    assert relay.counts == Counts(forwarded=1, refused=2)
    assert {(each.handler, each.status, each.publications) for each in await durable.counts()} == {
        ("relay.hr", "completed", 3)
    }
    await durable.close()
    large, strange = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert large.startswith("Event cannot be forwarded: thing.made, id ")
    assert large.endswith(": it is larger than the server takes in one message")
    assert strange.startswith("Event cannot be forwarded: thing made, id id-1: the name has other characters")
    assert "xxx" not in caplog.text


# The way to the broker, by hand


class Broker:
    """Takes what is sent, or says why not, once it is told to."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._error: Exception | None = None
        self._is_there = asyncio.Event()

    def answers(self, error: Exception | None) -> None:
        self._error = error
        self._is_there.set()

    def hangs(self) -> None:
        self._is_there.clear()

    async def send(self, letters: Sequence[Letter]) -> Sequence[Exception | None]:
        self.ids += [each.id for each in letters]
        await self._is_there.wait()
        return [self._error] * len(letters)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(_stored, "FIRST_PAUSE", 0.0)  # so that the next event is tried at once
    return Broker()


@pytest.fixture
def stored(broker: Broker) -> Stored:
    settings = Settings(
        url="nats://127.0.0.1",
        app="hr",
        forward=Patterns(["*"]),
        receive=Patterns([]),
        broker_absent="retry",
        connect_timeout=1.0,
        when_full="drop",
        queue_size=1,
        in_flight=1,
        acknowledge_within=1.0,
        redeliver=0,
        unknown="ignore",
        remember=0,
        largest=1000,
        grace=1.0,
        stream="events",
        stream_length=1,
        options={},
    )
    return Stored(settings, broker.send, Tally())


async def send(stored: Stored, event_id: str) -> None:
    await stored.send("thing.made", event_id, {"data": {}, "time": "2026-01-01T00:00:00Z"})


async def test_one_event_at_a_time_is_tried_while_the_broker_takes_nothing(
    broker: Broker, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stored, "PROBE_SECONDS", 0.01)
    broker.answers(ConnectionError("gone"))
    with pytest.raises(RelayError, match=r"^nats://127\.0\.0\.1 has not taken an event: ConnectionError: gone$"):
        await send(stored, "1")
    broker.hangs()
    for event_id in ("2", "3", "4"):
        with pytest.raises(RelayError, match="gone"):
            await send(stored, event_id)
    assert broker.ids == ["1", "2"]
    await stored.close()


async def test_an_event_that_was_taken_late_is_not_sent_again(
    broker: Broker, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stored, "PROBE_SECONDS", 0.01)
    broker.answers(ConnectionError("gone"))
    with pytest.raises(RelayError):
        await send(stored, "1")
    broker.hangs()
    with pytest.raises(RelayError):
        await send(stored, "2")
    probe = stored._probe
    assert probe
    broker.answers(None)
    await asyncio.wait([probe])
    await send(stored, "2")
    await send(stored, "1")
    assert broker.ids == ["1", "2", "1"]


async def test_events_are_sent_one_after_the_other_again_once_one_was_taken(broker: Broker, stored: Stored) -> None:
    broker.answers(ConnectionError("gone"))
    with pytest.raises(RelayError):
        await send(stored, "1")
    broker.answers(None)
    for event_id in ("1", "2", "3"):
        await send(stored, event_id)
    assert broker.ids == ["1", "1", "2", "3"]


async def test_the_pause_between_events_that_are_tried_grows(
    broker: Broker, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stored, "FIRST_PAUSE", 0.5)
    now = 100.0
    monkeypatch.setattr(_stored, "monotonic", lambda: now)
    broker.answers(ConnectionError("gone"))
    tried: list[float] = []
    for tenths in range(400):
        now = 100.0 + tenths / 10
        before = len(broker.ids)
        with pytest.raises(RelayError):
            await send(stored, str(tenths))
        if len(broker.ids) > before:
            tried.append(round(now - 100.0, 1))
    assert tried == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5]
