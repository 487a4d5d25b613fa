"""The relay inside one process, with a real broker: what goes out, what comes in, and what is put aside."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Counts, Relay, RelayError, current_event_id

from fastsoy_events import EventNameWarning, deferred, emit, on

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastsoy_events import PluginBus

PATIENCE = 30  # seconds for what is to happen

pytestmark = pytest.mark.usefixtures("loaded")
nats_alone = pytest.mark.parametrize("kind", ["nats"], indirect=True)
redis_alone = pytest.mark.parametrize("kind", ["redis"], indirect=True)


class Handled:
    """What a handler was given, and a way to wait for more."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._more = asyncio.Event()

    def add(self, number: int) -> None:
        self.numbers.append(number)
        self._more.set()

    async def until(self, many: int) -> list[int]:
        async with asyncio.timeout(PATIENCE):
            while len(self.numbers) < many:
                self._more.clear()
                await self._more.wait()
        return self.numbers


@pytest.fixture
def handled(loaded: PluginBus) -> Handled:
    """Register a handler of `thing.made`."""
    found = Handled()

    @on("thing.made")
    async def handle(number: int, **_: object) -> None:
        found.add(number)

    return found


def envelope(number: int, **changes: object) -> bytes:
    """Return an event as another application sends it."""
    attributes = {
        "specversion": "1.0",
        "id": f"id-{number}",
        "source": "urn:elsewhere",
        "type": "thing.made",
        "data": {"number": number},
    }
    return json.dumps({**attributes, **changes}).encode()


async def sent(server: Any) -> list[dict[str, Any]]:
    return [json.loads(body) for body in await server.messages()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


# Out


async def test_an_event_goes_out_as_a_cloudevent_with_the_id_that_its_handlers_see(server: Any) -> None:
    seen: list[str | None] = []

    @on("thing.made")
    async def look(**_: object) -> None:
        seen.append(current_event_id())
        await emit("other.made")

    @on("other.made")
    async def look_inside(**_: object) -> None:
        seen.append(current_event_id())

    async with Relay(server.url, app="hr", forward=["thing.*"]) as relay:
        await emit("thing.made", number=1, name="Zoë")
        await emit("other.made")
    [event] = await sent(server)
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": seen[0],
        "source": "urn:fastsoy-events:hr",
        "type": "thing.made",
        "datacontenttype": "application/json",
        "data": {"number": 1, "name": "Zoë"},
    }
    assert seen == [event["id"], None, None]
    assert relay.counts == Counts(forwarded=1)
    assert current_event_id() is None


async def test_events_go_out_in_the_order_of_their_emits_also_without_a_handler(server: Any) -> None:
    async with Relay(server.url, app="hr", forward=["thing.*"]):
        for number in range(1000):
            await emit("thing.made", number=number)
    assert [event["data"]["number"] for event in await sent(server)] == list(range(1000))


async def test_only_what_was_committed_goes_out(server: Any) -> None:
    async with Relay(server.url, app="hr", forward=["thing.*"]) as relay:
        with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what is tested
            async with deferred():
                await emit("thing.made", number=1)
                raise RuntimeError("roll back")
        async with deferred():
            await emit("thing.made", number=2)
            assert relay.waiting == 0
    assert [event["data"] for event in await sent(server)] == [{"number": 2}]


async def test_an_event_of_another_thread_goes_out(server: Any, loaded: PluginBus) -> None:
    async with Relay(server.url, app="hr", forward=["thing.*"], when_full="wait", queue_size=1):
        for number in range(3):
            await asyncio.to_thread(loaded.emit_sync, "thing.made", number=number)
    assert [event["data"]["number"] for event in await sent(server)] == [0, 1, 2]


@nats_alone
async def test_what_cannot_be_sent_is_logged_without_its_value_and_the_emit_goes_on(
    server: Any, handled: Handled, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.warns(EventNameWarning):

        @on("strange name")
        async def handle(**_: object) -> None:
            handled.add(-1)

    async with Relay(server.url, app="hr", forward=["*"], largest=1000) as relay:
        assert not await emit("thing.made", number=1, secret={"hunter2"})
        assert not await emit("thing.made", number=2, secret="hunter2" * 200)
        assert not await emit("strange name")
        await emit("thing.made", number=4)
    assert handled.numbers == [1, 2, -1, 4]
    assert relay.counts == Counts(forwarded=1, refused=3)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records if record.levelno == logging.ERROR] == [
        "thing.made: the payload is not JSON: secret is or holds what JSON cannot say, in a set",
        "thing.made: it has 1617 bytes, and Relay(largest=...) allows 1000",
        "strange name: the name has other characters than letters, digits, _, - and single dots",
    ]
    assert "hunter2" not in caplog.text


@nats_alone
async def test_a_message_that_the_broker_will_never_take_does_not_stop_the_others(server: Any) -> None:
    async with Relay(server.url, app="hr", forward=["thing.*"], largest=5_000_000) as relay:
        await emit("thing.made", number=1, text="x" * 2_000_000)
        await emit("thing.made", number=2)
    assert [event["data"]["number"] for event in await sent(server)] == [2]
    assert relay.counts == Counts(forwarded=1, refused=1)


# Without a broker


async def test_a_broker_that_is_absent_is_a_clear_error(absent_server: Any) -> None:
    relay = Relay(absent_server.url, app="hr", forward=["thing.*"], connect_timeout=1.0)
    with pytest.raises(RelayError, match=rf"server at {absent_server.url} within 1.0 s: .*[Cc]onnect.*broker_absent"):
        await relay.__aenter__()
    assert not relay.is_connected
    assert not await emit("thing.made", number=1)


async def test_a_relay_may_open_without_its_broker_and_sends_what_waited(absent_server: Any, handled: Handled) -> None:
    url = absent_server.url
    async with Relay(url, app="hr", forward=["thing.*"], broker_absent="retry", connect_timeout=1.0) as relay:
        for number in range(10):
            assert not await emit("thing.made", number=number)
        assert (handled.numbers, relay.waiting, relay.is_connected) == (list(range(10)), 10, False)
        absent_server.start()
        await until(lambda: relay.is_connected)
    assert [event["data"]["number"] for event in await sent(absent_server)] == list(range(10))


@nats_alone
async def test_a_full_queue_drops_what_comes_and_says_so_once(
    absent_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay(
        absent_server.url, app="hr", forward=["thing.*"], broker_absent="retry", queue_size=10, grace=0.1
    )  # fmt: skip
    async with relay:
        for number in range(25):
            await emit("thing.made", number=number)
        assert (relay.waiting, relay.counts.dropped) == (10, 15)
    assert relay.counts.dropped == 25
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [
        "Event not forwarded: thing.made: 10 events wait for the broker. Further ones are dropped too, and counted, "
        "until there is room",
        f"10 events were not forwarded: broker {absent_server.url} did not take them within 0.1 s of the relay's end",
    ]


@nats_alone
async def test_a_full_queue_may_have_the_emits_wait(absent_server: Any) -> None:
    async with Relay(
        absent_server.url, app="hr", forward=["thing.*"], broker_absent="retry", when_full="wait", queue_size=2
    ) as relay:
        emitting = [asyncio.create_task(emit("thing.made", number=number)) for number in range(5)]
        await asyncio.wait(emitting[:2])
        assert [task.done() for task in emitting] == [True, True, False, False, False]
        absent_server.start()
        await asyncio.gather(*emitting)
    assert sorted(event["data"]["number"] for event in await sent(absent_server)) == [0, 1, 2, 3, 4]
    assert relay.counts == Counts(forwarded=5)


@nats_alone
async def test_a_server_without_jetstream_is_told_apart(absent_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent_server, "arguments", lambda: ["--addr", "127.0.0.1", "--port", str(absent_server.port)])
    absent_server.start()
    with pytest.raises(RelayError, match="has no JetStream: start nats-server with -js"):
        await Relay(absent_server.url, app="hr", forward=["thing.*"]).__aenter__()


async def test_a_relay_needs_its_plugin(server: Any, empty_bus: PluginBus) -> None:
    with empty_bus.isolated(), pytest.raises(RelayError, match=r"call load_plugins\(\) before"):
        await Relay(server.url, app="hr", forward=["thing.*"]).__aenter__()


@nats_alone
async def test_a_relay_is_opened_once_at_a_time(server: Any) -> None:
    relay = Relay(server.url, app="hr", forward=["thing.*"])
    async with relay:
        with pytest.raises(RelayError, match="is open already"):
            await relay.__aenter__()
    async with relay:
        await emit("thing.made", number=1)
    assert len(await sent(server)) == 1


# In


async def test_bad_messages_are_put_aside_and_good_ones_among_them_are_handled(server: Any, handled: Handled) -> None:
    @on("strict.made")
    async def strict(**_: object) -> None: ...

    async with Relay(server.url, app="hr", receive=["thing.*"], largest=2000) as relay:
        bad = [
            b"{not json",
            b"\xff\x00binary",
            b"[1, 2]",
            envelope(2, specversion="0.3"),
            envelope(3, data=[1]),
            envelope(4, type="thing.unknown"),
            envelope(5, data={"text": "x" * 3000}),
        ]
        await server.put(envelope(0))
        for place, body in enumerate(bad):
            await server.put(body)
            await server.put(envelope(10 + place))
        assert await handled.until(1 + len(bad)) == [0, *range(10, 10 + len(bad))]
    letters = [json.loads(body) for body in await server.messages("fastsoy_events_dead")]
    assert [letter["reason"].partition(":")[0] for letter in letters] == [
        "it is not JSON",
        "it is not UTF-8",
        "it is JSON, but not an object",
        "its specversion is not 1.0",
        "its data is not a JSON object, whose members would be the keywords of an emit",
        "nothing here handles thing.unknown",
        f"it has {len(bad[-1])} bytes, and 2000 are allowed",
    ]
    assert [letter["size"] for letter in letters] == [len(body) for body in bad]
    assert (letters[0]["body"], letters[0]["app"], letters[1]["body_base64"]) == ("{not json", "hr", "/wBiaW5hcnk=")
    assert len(letters[-1]["body"]) == 2000
    assert relay.counts == Counts(received=8, dead_lettered=7)


@redis_alone
async def test_an_entry_that_some_other_program_has_written_is_put_aside(server: Any, handled: Handled) -> None:
    async with Relay(server.url, app="hr", receive=["thing.*"]):
        async with server.client() as client:
            await client.xadd("fastsoy_events", {"field": b"\xffvalue"})
        await server.put(envelope(1))
        assert await handled.until(1) == [1]
    [letter] = [json.loads(body) for body in await server.messages("fastsoy_events_dead")]
    assert letter["body"] == '{"field": "\\ufffdvalue"}'


async def test_what_does_not_fit_its_contract_is_put_aside(server: Any, handled: Handled, loaded: PluginBus) -> None:
    @loaded.event("thing.made")
    def thing_made(*, number: int) -> None:
        """Say that a thing was made."""

    loaded.validation = "raise"
    async with Relay(server.url, app="hr", receive=["thing.*"]) as relay:
        await server.put(envelope(1, data={"count": 1}))
        await server.put(envelope(2))
        assert await handled.until(1) == [2]
    assert relay.counts == Counts(received=1, dead_lettered=1)


async def test_what_is_not_for_this_application_is_acknowledged_and_left(server: Any, handled: Handled) -> None:
    async with Relay(server.url, app="hr", receive=["thing.made", "order.placed"], unknown="ignore") as relay:
        await server.put(envelope(1, source="urn:fastsoy-events:hr"))
        await server.put(envelope(2, type="thing.unmade"), "thing.unmade")
        await server.put(envelope(3, type="order.placed"), "order.placed")
        await server.put(envelope(4))
        await server.put(envelope(4))
        await server.put(envelope(5))
        assert await handled.until(2) == [4, 5]
    assert relay.counts == Counts(received=2, skipped=3, duplicates=1)
    assert await server.messages("fastsoy_events_dead") == []


async def test_an_event_that_a_received_one_causes_goes_out_though_it_has_the_same_name(server: Any) -> None:
    handled = Handled()
    ids: list[str | None] = []

    @on("thing.made")
    async def make_another(number: int, **_: object) -> None:
        ids.append(current_event_id())
        if number < 2:
            await emit("thing.made", number=number + 1)
        handled.add(number)

    async with Relay(server.url, app="hr", forward=["thing.*"], receive=["thing.*"]) as relay:
        await server.put(envelope(0))
        assert await handled.until(3) == [2, 1, 0]
    events = await sent(server)
    assert [(event["source"], event["data"]["number"]) for event in events] == [
        ("urn:elsewhere", 0),
        ("urn:fastsoy-events:hr", 1),
        ("urn:fastsoy-events:hr", 2),
    ]
    assert ids == [event["id"] for event in events]
    assert (relay.counts.received, relay.counts.forwarded) == (1, 2)


async def test_context_variables_of_one_event_are_not_seen_by_the_next(server: Any) -> None:
    from contextvars import ContextVar

    variable: ContextVar[int] = ContextVar("variable", default=-1)
    handled = Handled()

    @on("thing.made")
    async def handle(number: int, **_: object) -> None:
        handled.add(variable.get())
        variable.set(number)

    async with Relay(server.url, app="hr", receive=["thing.*"]):
        for number in range(3):
            await server.put(envelope(number))
        assert await handled.until(3) == [-1, -1, -1]


async def test_failures_may_be_delivered_again_and_end_among_the_dead_letters(server: Any) -> None:
    handled = Handled()
    last = asyncio.Event()

    @on("thing.made")
    async def fail(number: int, **_: object) -> None:
        handled.add(number)
        if number == 1 and handled.numbers.count(1) < 3:
            raise LookupError("not yet")
        if number == 2:
            raise LookupError("never")

    @on("thing.ended")
    async def end(**_: object) -> None:
        last.set()

    async with Relay(server.url, app="hr", receive=["thing.*"], redeliver=2, acknowledge_within=0.3) as relay:
        for number in range(3):
            await server.put(envelope(number))
        await until(lambda: relay.counts.dead_lettered == 1 and handled.numbers.count(1) == 3)
        await server.put(envelope(9, type="thing.ended"), "thing.ended")
        await asyncio.wait_for(last.wait(), PATIENCE)
    assert sorted(handled.numbers) == [0, 1, 1, 1, 2, 2, 2]
    [letter] = [json.loads(body) for body in await server.messages("fastsoy_events_dead")]
    assert (letter["reason"], json.loads(letter["body"])["id"]) == ("handlers failed in each of 3 deliveries", "id-2")
    assert relay.counts == Counts(received=8, redelivered=4, dead_lettered=1)


async def test_a_failure_of_what_stands_around_emits_is_delivered_again(
    server: Any, handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastsoy_events_relay import _inbound, plugin

    monkeypatch.setattr(_inbound, "FIRST_PAUSE", 0.05)
    refusals = iter([ConnectionError("the database is away")])
    forwarders_of = plugin.taken

    def refuse_once(event: str) -> Any:
        for error in refusals:
            raise error
        return forwarders_of(event)

    monkeypatch.setattr(plugin, "taken", refuse_once)
    async with Relay(server.url, app="hr", receive=["thing.*"], acknowledge_within=0.3) as relay:
        await server.put(envelope(1))
        assert await handled.until(1) == [1]
    assert relay.counts == Counts(received=1, redelivered=1)


async def test_a_slow_handler_keeps_its_message(server: Any) -> None:
    handled = Handled()

    @on("thing.made")
    async def handle(number: int, **_: object) -> None:
        handled.add(number)
        await asyncio.sleep(1.5 if number == 0 else 0)

    settings: dict[str, Any] = {"app": "hr", "receive": ["thing.*"], "acknowledge_within": 0.6}
    async with Relay(server.url, **settings) as one, Relay(server.url, **settings) as another:
        for number in range(3):
            await server.put(envelope(number))
        await handled.until(3)
        await server.put(envelope(3))
        await handled.until(4)
    assert sorted(handled.numbers) == [0, 1, 2, 3]
    assert one.counts.received + another.counts.received == 4


# What the broker has


@nats_alone
async def test_a_stream_that_exists_is_left_as_its_owner_has_set_it_up(server: Any) -> None:
    from nats.js.api import StreamConfig

    async with server.jetstream() as jetstream:
        await jetstream.add_stream(
            StreamConfig(name="fastsoy_events", subjects=["fastsoy_events.>", "x.>"], max_age=60)
        )
        async with Relay(server.url, app="hr", forward=["thing.*"], receive=["thing.*"]):
            await emit("thing.made", number=1)
        config = (await jetstream.stream_info("fastsoy_events")).config
    assert (config.subjects, config.max_age) == (["fastsoy_events.>", "x.>"], 60)


@nats_alone
async def test_a_stream_that_does_not_fit_is_refused(server: Any) -> None:
    from nats.js.api import StreamConfig

    async with server.jetstream() as jetstream:
        await jetstream.add_stream(StreamConfig(name="fastsoy_events", subjects=["x.>"]))
    with pytest.raises(RelayError, match=r"does not hold the subjects fastsoy_events\.>: add them"):
        await Relay(server.url, app="hr", forward=["thing.*"]).__aenter__()


async def test_other_patterns_hold_from_the_next_start_on(server: Any, handled: Handled) -> None:
    @on("other.made")
    async def handle(number: int) -> None:
        handled.add(number)

    async with Relay(server.url, app="hr", receive=["thing.made"]):
        await server.put(envelope(1))
        await handled.until(1)
    async with Relay(server.url, app="hr", receive=["other.*"]):
        await server.put(envelope(2, type="other.made"), "other.made")
        assert await handled.until(2) == [1, 2]


async def test_what_the_broker_has_lost_is_made_anew(
    server: Any, handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastsoy_events_relay import _nats, _redis

    monkeypatch.setattr(_nats, "TEND_SECONDS", 0.1)
    monkeypatch.setattr(_redis, "TEND_SECONDS", 0.1)
    elsewhere = Relay(server.url, app="payroll", forward=["thing.*"])
    async with elsewhere, Relay(server.url, app="hr", receive=["thing.*"]):
        await emit("thing.made", number=1)
        await handled.until(2)
        await server.lose_everything()
        await emit("thing.made", number=2)
        assert await handled.until(4) == [1, 1, 2, 2]


@nats_alone
async def test_another_time_to_acknowledge_within_holds_from_the_next_start_on(server: Any, handled: Handled) -> None:
    for seconds in (7.0, 9.0):
        async with (
            Relay(server.url, app="hr", receive=["thing.*"], acknowledge_within=seconds),
            server.jetstream() as it,
        ):
            assert (await it.consumer_info("fastsoy_events", "hr")).config.ack_wait == seconds


@nats_alone
async def test_a_consumer_of_another_kind_is_refused(server: Any, handled: Handled) -> None:
    from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

    async with server.jetstream() as jetstream:
        await jetstream.add_stream(StreamConfig(name="fastsoy_events", subjects=["fastsoy_events.>"]))
        await jetstream.add_consumer(
            "fastsoy_events", ConsumerConfig(durable_name="hr", deliver_subject="x", ack_policy=AckPolicy.NONE)
        )
    with pytest.raises(RelayError, match=r"the consumer hr of the stream fastsoy_events .* is not one of the relay's"):
        await Relay(server.url, app="hr", receive=["thing.*"]).__aenter__()


@nats_alone
async def test_a_connection_that_has_ended_for_good_is_opened_anew(server: Any, handled: Handled) -> None:
    async with Relay(server.url, app="hr", forward=["other.*"], receive=["thing.*"]) as relay:
        await server.put(envelope(1))
        await handled.until(1)
        engine: Any = relay._engine
        await engine._client.close()  # as nats-py does at an error that the server declares final
        await server.put(envelope(2))
        assert await handled.until(2) == [1, 2]
        await emit("other.made")
    assert relay.counts.forwarded == 1


@redis_alone
async def test_a_consumer_that_has_nothing_left_is_forgotten(server: Any, handled: Handled) -> None:
    async with Relay(server.url, app="hr", receive=["thing.*"]):
        await server.put(envelope(1))
        await handled.until(1)
    async with server.client() as client:
        assert await client.xinfo_consumers("fastsoy_events", "hr") == []


def test_the_package_imports_no_brokers_client(installed: Any) -> None:
    import subprocess
    import sys

    program = "import sys, fastsoy_events_relay.plugin; print({'nats', 'redis', 'faststream'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"
