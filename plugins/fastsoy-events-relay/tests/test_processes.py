"""Processes that are killed, end, or lose their broker: what is lost, and what comes twice."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Relay

from fastsoy_events import emit

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("loaded")

IN_FLIGHT = 100
MANY = 5000
PATIENCE = 30  # seconds
CONSUMER: dict[str, Any] = {
    "app": "payroll",
    "receive": ["thing.*"],
    "in_flight": IN_FLIGHT,
    "acknowledge_within": 1.0,
    "grace": 5.0,
}


def numbers(many: int) -> set[str]:
    return {str(number) for number in range(many)}


async def emit_all(url: str, first: int, last: int) -> None:
    async with Relay(url, app="hr", forward=["thing.*"]) as relay:
        for number in range(first, last):
            await emit("thing.made", number=number)
    assert relay.counts.forwarded == last - first


async def test_nothing_is_lost_when_a_consumer_is_killed(server: Any, worker: Callable[..., Any]) -> None:
    first = worker(server.url, die_at=MANY * 2 // 5, die_by=signal.SIGKILL, relay=CONSUMER)
    await emit_all(server.url, 0, MANY)
    assert await asyncio.to_thread(first.ended) == -signal.SIGKILL
    assert len(set(first.handled())) == MANY * 2 // 5

    second = worker(server.url, say_at=[MANY], relay=CONSUMER)
    await asyncio.to_thread(second.expect, f"at {MANY}")
    await asyncio.to_thread(second.stop)
    handled = second.handled()
    assert set(handled) == numbers(MANY)
    assert len(handled) - MANY <= IN_FLIGHT


async def test_nothing_is_lost_and_nothing_comes_twice_when_a_consumer_is_told_to_end(
    server: Any, worker: Callable[..., Any]
) -> None:
    await emit_all(server.url, 0, MANY)
    many = MANY * 2 // 5
    first = worker(server.url, say_at=[many], die_at=many, die_by=signal.SIGTERM, relay=CONSUMER)
    await asyncio.to_thread(first.expect, f"at {many}")
    assert await asyncio.to_thread(first.ended, within=CONSUMER["grace"]) == 0

    second = worker(server.url, say_at=[MANY], relay=CONSUMER)
    await asyncio.to_thread(second.expect, f"at {MANY}")
    await asyncio.to_thread(second.stop)
    assert sorted(second.handled(), key=int) == sorted(numbers(MANY), key=int)


async def test_what_was_emitted_while_the_broker_was_dead_arrives_when_it_is_back(
    server: Any, worker: Callable[..., Any]
) -> None:
    consumer = worker(server.url, say_at=[200, 1500], relay=CONSUMER)
    producer = worker(server.url, log="emitted", say_at=[1000], relay={"app": "hr", "forward": ["thing.*"]})
    producer.tell("emit 0 500")
    await asyncio.to_thread(consumer.expect, "at 200")
    server.kill()
    producer.tell("emit 500 1000")
    await asyncio.to_thread(producer.expect, "at 1000")
    server.start()
    producer.tell("emit 1000 1500")
    await asyncio.to_thread(consumer.expect, "at 1500")
    await asyncio.to_thread(producer.stop)
    await asyncio.to_thread(consumer.stop)
    assert sorted(consumer.handled(), key=int) == sorted(numbers(1500), key=int)


async def test_two_applications_that_forward_and_receive_the_same_events_hear_each_other_once(
    server: Any, worker: Callable[..., Any]
) -> None:
    both = {"forward": ["thing.*"], "receive": ["thing.*"]}
    hr = worker(server.url, log="hr", say_at=[200], relay={"app": "hr", **both})
    payroll = worker(server.url, log="payroll", say_at=[200], relay={"app": "payroll", **both})
    hr.tell("emit 0 100")
    payroll.tell("emit 100 200")
    for application in (hr, payroll):
        await asyncio.to_thread(application.expect, "at 200")
        await asyncio.to_thread(application.stop)
        assert sorted(application.handled(), key=int) == sorted(numbers(200), key=int)
    assert len(await server.messages()) == 200


async def test_two_workers_of_one_application_share_what_it_receives(server: Any, worker: Callable[..., Any]) -> None:
    few = {**CONSUMER, "in_flight": 10}
    one, another = worker(server.url, log="one", relay=few), worker(server.url, log="another", relay=few)
    other = worker(server.url, log="other", say_at=[500], relay={**few, "app": "audit"})
    await emit_all(server.url, 0, 500)
    await asyncio.to_thread(other.expect, "at 500")
    async with asyncio.timeout(PATIENCE):
        while len(one.handled()) + len(another.handled()) < 500:  # noqa: ASYNC110 - two processes, and each knows a part
            await asyncio.sleep(0.01)
    for each in (one, another, other):
        await asyncio.to_thread(each.stop)
    assert sorted([*one.handled(), *another.handled()], key=int) == sorted(numbers(500), key=int)
    assert sorted(other.handled(), key=int) == sorted(numbers(500), key=int)
