"""Order within one handler, where it is asked for by key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastsoy_events_durable import PayloadError, Retry

from fastsoy_events import emit

SOON = Retry(attempts=3, first=0.01, jitter=0.0)


def ignore(**payload: object) -> None: ...


async def test_events_with_a_key_wait_for_one_that_is_tried_again_and_others_do_not(
    application: Any, seen: Any
) -> None:
    tries: list[int] = []

    @application.durable.on("item.moved", id="item.follow", key="item", retry=Retry(attempts=3, first=0.2, jitter=0.0))
    async def follow(item: int, place: int) -> None:
        tries.append(place)
        if place == 0 and tries.count(0) < 3:
            raise LookupError
        await seen.add((item, place))

    for item, place in [(1, 0), (1, 1), (2, 2), (1, 3), (2, 4)]:
        await emit("item.moved", item=item, place=place)
    async with application.durable.running(poll=60):
        await seen.count(5)
    assert [place for item, place in seen.values if item == 1] == [0, 1, 3]
    assert seen.values[:2] == [(2, 2), (2, 4)]
    assert await application.rows("key") == ["1", "1", "2", "1", "2"]


async def test_one_that_failed_for_good_holds_up_nothing(application: Any, seen: Any) -> None:
    @application.durable.on("item.moved", id="item.follow", key="item", retry=Retry(attempts=1))
    async def follow(item: int, place: int) -> None:
        if place == 0:
            raise LookupError
        await seen.add(place)

    for place in range(3):
        await emit("item.moved", item=1, place=place)
    async with application.durable.running(poll=60):
        assert await seen.count(2) == [1, 2]
    assert await application.rows("status") == ["failed", "completed", "completed"]


async def test_several_workers_keep_the_order_of_each_key(application: Any, seen: Any) -> None:
    busy: set[int] = set()

    @application.durable.on("item.moved", id="item.follow", key="item")
    async def follow(item: int, place: int) -> None:
        assert item not in busy
        busy.add(item)
        await asyncio.sleep(0)
        await seen.add((item, place))
        busy.remove(item)

    for place in range(30):
        await emit("item.moved", item=place % 3, place=place)
    running = [application.durable.running(batch=4, poll=0.01) for _ in range(3)]
    async with running[0], running[1], running[2]:
        await seen.count(30)
    for item in range(3):
        assert [place for each, place in seen.values if each == item] == list(range(item, 30, 3))


async def test_what_is_being_delivered_elsewhere_holds_up_its_key(application: Any, seen: Any) -> None:
    application.durable.on("item.moved", id="item.follow", key="item")(lambda item, place: seen.add((item, place)))
    for item, place in [(1, 0), (1, 1), (2, 2)]:
        await emit("item.moved", item=item, place=place)
    await application.change("status = 'processing', owner = 'another', lease = due + 3600", "payload LIKE '%:0}'")
    async with application.durable.running(poll=0.01):
        assert await seen.count(1) == [(2, 2)]
        await application.change("lease = due - 1", "owner = 'another'")
        assert await seen.count(3) == [(2, 2), (1, 0), (1, 1)]


async def test_the_order_is_each_handlers_own(application: Any, seen: Any) -> None:
    @application.durable.on("item.moved", id="item.follow", key="item", retry=SOON)
    async def follow(item: int) -> None:
        raise LookupError

    application.durable.on("item.moved", id="item.note", key="item")(lambda item: seen.add(item))
    for _ in range(2):
        await emit("item.moved", item=1)
    async with application.durable.running(poll=60):
        assert await seen.count(2) == [1, 1]


@pytest.mark.parametrize(
    ("value", "key"),
    [("a", "a"), (1, "1"), (None, None), ({"b": 1, "a": [None]}, '{"a": [null], "b": 1}'), (True, "true"), ("", "")],
)
async def test_a_key_is_any_json_and_null_keeps_no_order(sqlite: Any, value: object, key: str | None) -> None:
    sqlite.durable.on("item.moved", id="item.follow", key="item")(ignore)
    await emit("item.moved", item=value)
    assert await sqlite.rows("key") == [key]


async def test_an_emit_that_lacks_the_key_is_refused(sqlite: Any) -> None:
    sqlite.durable.on("item.moved", id="item.follow", key="item")(ignore)
    with pytest.raises(PayloadError, match=r'emit\("item.moved"\) lacks item, which a durable handler has as its key'):
        await emit("item.moved", place=1)
    assert await sqlite.rows() == []
