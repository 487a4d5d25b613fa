"""What code that brings events in, or takes them elsewhere, builds on: receivers, `publish()` and the inbox."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from fastsoy_events_durable import DurableError, PayloadError, Retry, current_event_id

from fastsoy_events import RegistrationError, bus, deferred, emit

SOON = Retry(attempts=3, first=0.01, jitter=0.0)


def ignore(**payload: object) -> None: ...


@pytest.fixture
def forwarded(application: Any, seen: Any) -> Any:
    """Declare a receiver that fails at first."""

    @application.durable.receiver("relay.forward", retry=SOON)
    async def forward(event: str, event_id: str, payload: dict[str, object]) -> None:
        await seen.add((event, event_id, payload, current_event_id()))
        if len(seen.values) == 1:
            raise ConnectionError("no broker")

    return seen


async def test_what_is_published_is_delivered_to_its_receiver_and_tried_again(
    application: Any, forwarded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with application.durable.running(poll=60):
        event_id = await application.durable.publish("relay.forward", "item.made", {"number": 1}, event_id="abc")
        await forwarded.count(2)
    assert event_id == "abc"
    assert forwarded.values == [("item.made", "abc", {"number": 1}, "abc")] * 2
    assert await application.rows("handler || event || event_id || status || attempts") == [
        "relay.forwarditem.madeabccompleted2"
    ]
    assert "Durable receiver error: item.made / relay.forward" in caplog.messages


async def test_what_keeps_a_receiver_from_working_is_logged_once(
    sqlite: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    away = True

    @sqlite.durable.receiver("relay.forward", retry=Retry(attempts=9, first=0.001, jitter=0))
    async def forward(event: str, event_id: str, payload: dict[str, Any]) -> None:
        is_away = away
        await seen.add((is_away, payload["number"]))
        if is_away:
            raise ConnectionError("the broker is away")

    async with sqlite.durable.running(poll=60):
        for number in range(2):
            await sqlite.durable.publish("relay.forward", "item.made", {"number": number})
        await seen.until(lambda values: values.count((True, 0)) > 1 and values.count((True, 1)) > 1)
        away = False
        await seen.until(lambda values: {(False, 0), (False, 1)} <= set(values))
        away = True
        await sqlite.durable.publish("relay.forward", "item.made", {"number": 2})
        await seen.until(lambda values: (True, 2) in values)
        away = False
        await seen.until(lambda values: (False, 2) in values)
    errors = [record.getMessage() for record in caplog.records if record.exc_info and record.levelname == "ERROR"]
    assert errors == ["Durable receiver error: item.made / relay.forward"] * 2  # one for each time that it was away


async def test_what_is_published_joins_the_transaction_and_is_delivered_after_it(
    application: Any, forwarded: Any
) -> None:
    publish = application.durable.publish
    async with application.durable.running(poll=60):
        with suppress(ZeroDivisionError):
            async with application.unit() as unit, unit.atomic():
                await publish("relay.forward", "item.made", {"number": 1})
                raise ZeroDivisionError
        async with application.unit() as unit, unit.atomic():
            event_id = await publish("relay.forward", "item.made", {"number": 2})
            assert await application.rows() == []
        async with deferred():
            await publish("relay.forward", "item.made", {"number": 3})
        await forwarded.count(3)
    assert {payload["number"] for _, _, payload, _ in forwarded.values} == {2, 3}
    assert event_id == forwarded.values[0][1]


async def test_no_emit_reaches_a_receiver(application: Any, forwarded: Any) -> None:
    await emit("item.made", number=1)
    assert (bus.handlers(), await application.rows()) == ((), [])


async def test_a_receiver_has_an_id_of_its_own(sqlite: Any) -> None:
    sqlite.durable.receiver("relay.forward")(print)
    with pytest.raises(RegistrationError, match=r'receiver\("relay.forward"\) is taken'):
        sqlite.durable.receiver("relay.forward")
    with pytest.raises(RegistrationError, match="a receiver has that id"):
        sqlite.durable.on("item.made", id="relay.forward")(ignore)
    with pytest.raises(RegistrationError, match="needs an id in lower snake case"):
        sqlite.durable.receiver("Relay")
    with pytest.raises(DurableError, match=r'publish\("relay.back", ...\) has no receiver'):
        await sqlite.durable.publish("relay.back", "item.made", {})
    with pytest.raises(PayloadError, match=r"number has a builtins\.set"):
        await sqlite.durable.publish("relay.forward", "item.made", {"number": {1}})


# The inbox


async def test_an_event_that_arrives_twice_is_emitted_once(application: Any, seen: Any) -> None:
    application.durable.on("item.made", id="item.note")(lambda number: seen.add(number))
    ordinary: list[object] = []

    @bus.on("item.made")
    async def note(number: int) -> None:
        ordinary.append((number, await application.rows("handler")))

    async with application.durable.running(poll=60):
        for source, event_id in [("hr", "1"), ("hr", "1"), ("payroll", "1"), ("hr", "2")]:
            async with application.durable.inbox(source, event_id) as is_new:
                if is_new:
                    await emit("item.made", number=f"{source} {event_id}")
                    assert len(await application.rows()) == len(ordinary)
        await seen.count(3)
    assert seen.values == [number for number, _ in ordinary] == ["hr 1", "payroll 1", "hr 2"]
    assert [rows for _, rows in ordinary] == [["item.note"], ["item.note"] * 2, ["item.note"] * 3]


async def test_what_fails_is_as_if_it_had_not_arrived(application: Any) -> None:
    application.durable.on("item.made", id="item.note")(ignore)
    with suppress(ZeroDivisionError):
        async with application.durable.inbox("hr", "1") as is_new:
            assert is_new
            await emit("item.made", number=1)
            raise ZeroDivisionError
    assert await application.rows() == []
    async with application.durable.inbox("hr", "1") as is_new:
        assert is_new


async def test_of_two_that_arrive_at_once_one_is_new(application: Any) -> None:
    news: list[bool] = []

    async def receive() -> None:
        async with application.durable.inbox("hr", "1") as is_new:
            news.append(is_new)

    await asyncio.gather(*(receive() for _ in range(4)))
    assert sorted(news) == [False, False, False, True]


async def test_applications_that_have_one_database_receive_each_event_once_each(application: Any) -> None:
    billing = application.make(table="billing_publication")
    news: list[tuple[str, bool]] = []
    for durable, consumer in [(application.durable, "hr"), (billing, "billing"), (application.durable, "hr")]:
        async with durable.inbox("payroll", "1", consumer) as is_new:
            news.append((consumer, is_new))
    assert news == [("hr", True), ("billing", True), ("hr", False)]
