"""Several workers, and one that ends, dies or is too slow: leases, the fence around completion, and draining."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from fastsoy_events_durable import Retry

from fastsoy_events import bus, emit

ONCE = Retry(attempts=1)


async def test_several_workers_share_the_work_and_deliver_nothing_twice(application: Any, seen: Any) -> None:
    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)

    for number in range(60):
        await emit("item.made", number=number)
    running = [application.durable.running(batch=5, poll=60) for _ in range(3)]
    async with running[0], running[1], running[2]:
        await seen.count(60)
    assert sorted(seen.values) == list(range(60))
    assert await application.rows("status || attempts") == ["completed1"] * 60


async def test_what_a_worker_has_left_is_taken_up_once_its_lease_is_over(application: Any, seen: Any) -> None:
    application.durable.on("item.made", id="item.note")(lambda number: seen.add(number))
    for number in range(3):
        await emit("item.made", number=number)
    await application.change("status = 'processing', owner = 'gone', lease = due + 3600", "payload LIKE '%0%'")
    await application.change("status = 'processing', owner = 'gone', lease = due - 1", "payload LIKE '%1%'")
    async with application.durable.running(poll=0.01):
        assert await seen.count(2) == [1, 2]
        await application.change("lease = due - 1", "owner = 'gone'")
        await seen.count(3)
    assert await application.rows("status || attempts") == ["completed1"] * 3


async def test_what_ended_its_process_in_each_attempt_has_failed_and_is_not_run_again(
    application: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    application.durable.on("item.made", id="item.note", retry=Retry(attempts=3))(lambda number: seen.add(number))
    for number in range(3):
        await emit("item.made", number=number)
    died = "status = 'processing', owner = 'gone', lease = due - 1, attempts = "
    await application.change(f"{died} 3", "payload LIKE '%1%'")
    await application.change(f"{died} 2", "payload LIKE '%2%'")
    async with application.durable.running(poll=60):
        await seen.count(2)
    assert seen.values == [0, 2]
    assert await application.rows("status || attempts") == ["completed1", "failed3", "completed3"]
    (failed,) = await application.durable.failed()
    assert failed.error == "its process ended while attempt 3 ran"
    assert [message for message in caplog.messages if "failed for good" in message]


async def test_what_is_claimed_and_not_started_costs_no_attempt(application: Any, seen: Any) -> None:
    application.durable.on("item.made", id="item.note", retry=ONCE)(lambda number: seen.add(number))
    await emit("item.made", number=1)
    await application.change("status = 'processing', owner = 'gone', lease = due - 1")
    async with application.durable.running(poll=60):
        await seen.count(1)
    assert await application.rows("status || attempts") == ["completed1"]


async def test_with_tx_what_another_worker_took_over_meanwhile_is_rolled_back(
    application: Any, seen: Any, insert: Any, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if application.is_sqlite:
        pytest.skip("on SQLite, the transaction of the handler lets nobody else write meanwhile")

    @application.durable.on("person.hired", id="person.write", tx=True)
    async def write(tx: Any, name: str) -> None:
        await insert(tx, name)
        if not seen.values:
            await application.change("owner = 'another'")  # as it would once the lease is over
        await seen.add(name)

    async with application.durable.running(poll=0.01):
        await emit("person.hired", name="ada")
        await seen.count(1)
        await said.has("another worker has taken it over")
        assert await application.store.names() == set()
        assert await application.rows("status || owner") == ["processinganother"]
        await application.change("lease = due - 1")
        await seen.count(2)
    assert await application.store.names() == {"ada"}
    assert await application.rows("status || attempts") == ["completed2"]
    (message,) = caplog.messages
    assert "took longer than its lease, and another worker has taken it over" in message


async def test_without_tx_a_worker_that_was_too_slow_does_not_write_over_another(
    application: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @application.durable.on("item.made", id="item.note", retry=ONCE)
    async def note(number: int) -> None:
        await application.change("owner = 'another'", "payload LIKE '%1%'")
        await seen.add(number)

    async with application.durable.running(poll=60):
        for number in (1, 2):
            await emit("item.made", number=number)
        await seen.count(2)
    assert await application.rows("status || coalesce(owner, '')") == ["processinganother", "completed"]
    assert "another worker has taken it over" in caplog.text


async def test_leases_are_extended_while_a_handler_runs(application: Any, seen: Any) -> None:
    may_end = asyncio.Event()

    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)
        await may_end.wait()

    async with application.durable.running(poll=60, lease=0.3):
        await emit("item.made", number=1)
        await seen.count(1)
        await application.until("lease", (await application.rows("lease")).__ne__)
        may_end.set()
    assert await application.rows("status || attempts") == ["completed1"]


async def test_what_a_slow_handler_holds_up_is_given_to_others(application: Any, seen: Any) -> None:
    may_end = asyncio.Event()

    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)
        if number == 0:
            await may_end.wait()

    for number in range(3):
        await emit("item.made", number=number)
    async with application.durable.running(poll=60, lease=3.0):
        await seen.count(1)
        async with application.durable.running(poll=0.01):
            await seen.count(3)
        assert seen.values == [0, 1, 2]
        may_end.set()
    assert await application.rows("status || attempts") == ["completed1"] * 3


# Ordinary handlers of what a delivery with tx=True has emitted


@pytest.fixture
def may_go_on(application: Any, seen: Any) -> asyncio.Event:
    """Declare a handler whose delivery ends with an ordinary one that waits, and store it, and a mail behind it."""
    may_go_on = asyncio.Event()

    @application.durable.on("item.made", id="item.count", tx=True)
    async def count(tx: Any, number: int) -> None:
        await emit("item.counted", number=number)

    @bus.on("item.counted")
    async def wait(number: int) -> None:
        await seen.add("counted")
        await may_go_on.wait()

    @application.durable.on("mail.due", id="mail.send", retry=ONCE)
    async def mail(number: int) -> None:
        await seen.add("mail")

    return may_go_on


async def test_while_they_run_the_next_ones_lease_is_extended(
    application: Any, seen: Any, may_go_on: asyncio.Event
) -> None:
    await emit("item.made", number=1)
    await emit("mail.due", number=1)
    leases = "CASE handler WHEN 'mail.send' THEN lease END"
    async with application.durable.running(poll=60, lease=0.3):
        await seen.count(1)
        await application.until(leases, (await application.rows(leases)).__ne__)
        assert await application.rows("status || attempts") == ["completed1", "processing1"]
        may_go_on.set()
        await seen.count(2)
    assert seen.values == ["counted", "mail"]
    assert await application.rows("status || attempts") == ["completed1"] * 2


async def test_where_they_outlast_the_grace_what_is_done_stays_done_and_the_next_one_costs_no_attempt(
    application: Any, seen: Any, may_go_on: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    await emit("item.made", number=1)
    await emit("mail.due", number=1)
    async with application.durable.running(poll=60, grace=0.01):
        await seen.count(1)
    assert await application.rows("status || attempts || coalesce(owner, '')") == ["completed1", "published0"]
    assert caplog.messages == ["Deferred events were stopped by CancelledError while item.counted ran"]
    async with application.durable.running(poll=60):
        await seen.count(2)
    assert seen.values == ["counted", "mail"]
    assert await application.rows("status || attempts") == ["completed1"] * 2


async def test_cancelled_while_its_session_closes_what_comes_next_costs_no_attempt(sqlite: Any, seen: Any) -> None:
    may_close = asyncio.Event()

    @sqlite.durable.on("item.made", id="item.count", tx=True)
    async def count(tx: Any, number: int) -> None:
        async def close() -> None:
            await seen.add("committed")
            await may_close.wait()
            await close_session()

        close_session, tx.close = tx.close, close

    sqlite.durable.on("mail.due", id="mail.send", retry=ONCE)(lambda number: seen.add(number))
    await emit("item.made", number=1)
    await emit("mail.due", number=1)
    async with sqlite.durable.running(poll=60, grace=0.01):
        await seen.count(1)
        asyncio.get_running_loop().call_later(0.2, may_close.set)  # after the grace
    assert await sqlite.rows("status || attempts || coalesce(owner, '')") == ["completed1", "published0"]
    async with sqlite.durable.running(poll=60):
        await seen.count(2)
    assert seen.values == ["committed", 1]


async def test_at_the_end_what_they_hold_up_is_not_started(
    application: Any, seen: Any, may_go_on: asyncio.Event
) -> None:
    await emit("item.made", number=1)
    await emit("mail.due", number=1)
    async with application.durable.running(poll=60):
        await seen.count(1)
        asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    assert seen.values == ["counted"]
    assert await application.rows("status || attempts || coalesce(owner, '')") == ["completed1", "published0"]


# The end


async def test_at_the_end_the_handler_that_runs_comes_to_its_end_and_the_rest_is_left(
    application: Any, seen: Any
) -> None:
    may_end = asyncio.Event()

    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)
        await may_end.wait()

    for number in range(3):
        await emit("item.made", number=number)
    async with application.durable.running(poll=60):
        await seen.count(1)
        asyncio.get_running_loop().call_later(0.05, may_end.set)
    assert seen.values == [0]
    assert await application.rows("status || attempts || coalesce(owner, '')") == [
        "completed1",
        "published0",
        "published0",
    ]
    assert not [task for task in asyncio.all_tasks() if "durable" in task.get_name()]


@pytest.mark.parametrize("tx", [False, True])
async def test_a_handler_that_outlasts_the_grace_is_cancelled_and_given_back_without_a_charge(
    application: Any, seen: Any, tx: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @application.durable.on("item.made", id="item.note", tx=tx)
    async def note(*tx: object, number: int) -> None:
        await seen.add(number)
        if len(seen.values) == 1:
            await asyncio.Event().wait()

    await emit("item.made", number=1)
    async with application.durable.running(poll=60, grace=0.01):
        await seen.count(1)
    assert await application.rows("status || attempts || coalesce(owner, '')") == ["published0"]
    (row,) = await application.rows("sequence")
    assert f"Durable handler item.note was cancelled, since the program ends: publication {row} is given back" in (
        caplog.messages
    )
    async with application.durable.running(poll=60):
        await seen.count(2)
    assert await application.rows("status || attempts") == ["completed1"]


async def test_a_program_that_is_cancelled_gives_back_what_it_has(application: Any, seen: Any) -> None:
    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)
        await asyncio.Event().wait()

    async def serve() -> None:
        async with application.durable.running(poll=60, grace=60):
            await asyncio.Event().wait()

    for number in range(2):
        await emit("item.made", number=number)
    program = asyncio.create_task(serve())
    await seen.count(1)
    program.cancel()
    await asyncio.sleep(0)  # it waits for the handler now
    program.cancel()
    with suppress(asyncio.CancelledError):
        await program
    assert await application.rows("status || attempts || coalesce(owner, '')") == ["published0"] * 2
    assert not [task for task in asyncio.all_tasks() if "durable" in task.get_name()]


async def test_a_program_that_fails_still_drains(sqlite: Any, seen: Any) -> None:
    sqlite.durable.on("item.made", id="item.note")(lambda number: seen.add(number))
    with suppress(ZeroDivisionError):
        async with sqlite.durable.running(poll=60):
            await emit("item.made", number=1)
            await seen.count(1)
            raise ZeroDivisionError
    assert await sqlite.rows("status") == ["completed"]


# Outages


async def test_a_database_that_fails_is_waited_for_and_said_so_once(
    application: Any, seen: Any, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @application.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add(number)
        if number == 1:
            await application.store.run("ALTER TABLE fastsoy_events_publication RENAME TO gone")

    async with application.durable.running(poll=0.01):
        await emit("item.made", number=1)
        await seen.count(1)
        await said.has("since their database failed")
        await application.store.run("ALTER TABLE gone RENAME TO fastsoy_events_publication")
        await said.has("answers again")
        assert await application.rows("status") == ["completed"]
        await emit("item.made", number=2)
        await seen.count(2)
    assert seen.values == [1, 2]  # what ran before the outage is written as done after it
    first, second = caplog.messages
    assert first.startswith("Durable handlers wait, since their database failed: ")
    assert "Durable handlers go on: " in second
