from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsoy_events import ContractError, EventBus, Scope
from fastsoy_events._deferral import drop_since, flush_deferred, is_flushed_by_hand, is_nowhere, mark
from tests.cancelling import Cancelling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Generator

# What a block does with its emits


@pytest.fixture
def seen(fresh_bus: EventBus) -> list[object]:
    """Return what the handler of `made` has seen."""
    numbers: list[object] = []
    fresh_bus.on("item.made")(lambda number: numbers.append(number))
    return numbers


def made(bus: EventBus, number: object) -> Coroutine[Any, Any, object]:
    return bus.emit("item.made", number=number)


async def test_emits_wait_for_the_end_of_the_block_and_run_in_order(fresh_bus: EventBus, seen: list[object]) -> None:
    async with fresh_bus.deferred() as scope:
        for number in range(3):
            assert await made(fresh_bus, number) == ()
        assert scope.pending == ("item.made",) * 3
        assert seen == []
    assert seen == [0, 1, 2]
    assert scope.pending == ()
    await made(fresh_bus, 3)
    assert seen == [0, 1, 2, 3]


async def test_the_handlers_failures_are_the_scopes(fresh_bus: EventBus, seen: list[object]) -> None:
    @fresh_bus.on("item.made")
    async def fail(number: int) -> None:
        raise LookupError(number)

    async with fresh_bus.deferred() as scope:
        await made(fresh_bus, 1)
        await made(fresh_bus, 2)
    assert [str(failure.error) for failure in scope.failures] == ["1", "2"]
    assert seen == [1, 2]
    with pytest.raises(ExceptionGroup):
        scope.failures.raise_if_any()


def drive(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run what never has to wait, without an event loop, which no KeyboardInterrupt leaves whole."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_block_that_an_error_leaves_drops_its_emits(
    fresh_bus: EventBus, seen: list[object], error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fastsoy_events")

    async def fail() -> None:
        scope = fresh_bus.deferred()
        with suppress(error):
            async with scope:
                await made(fresh_bus, 1)
                raise error
        assert scope.pending == scope.failures == ()
        await made(fresh_bus, 2)

    drive(fail())
    assert seen == [2]
    assert caplog.messages == [f"Deferred events dropped, since their block ended with {error.__name__}: item.made"]


async def test_return_break_and_continue_end_a_block_well(fresh_bus: EventBus, seen: list[object]) -> None:
    async def leave() -> None:
        for number in range(3):
            async with fresh_bus.deferred():
                await made(fresh_bus, number)
                if number == 0:
                    continue
                if number == 1:
                    return

    await leave()
    assert seen == [0, 1]


@pytest.mark.parametrize("ending", ["athrow", "aclose", "exhaust"])
async def test_a_block_in_an_asynchronous_generator(fresh_bus: EventBus, seen: list[object], ending: str) -> None:
    async def generate() -> AsyncGenerator[None]:
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)
            yield

    generator = generate()
    await anext(generator)
    if ending == "athrow":
        with pytest.raises(LookupError):
            await generator.athrow(LookupError())
    elif ending == "aclose":
        await generator.aclose()
    else:
        assert await anext(generator, "done") == "done"
    assert seen == ([1] if ending == "exhaust" else [])
    assert is_nowhere()


async def test_a_block_is_entered_once(fresh_bus: EventBus) -> None:
    scope = fresh_bus.deferred()
    async with scope:
        with pytest.raises(RuntimeError, match=r"is entered once: call deferred\(\) for each block"):
            await scope.__aenter__()
    with pytest.raises(RuntimeError, match="is entered once"):
        await scope.__aenter__()


# Nesting


async def test_an_inner_block_hands_its_emits_over_and_a_failing_one_drops_its_own(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    async with fresh_bus.deferred() as outer:
        await made(fresh_bus, 1)
        async with fresh_bus.deferred() as inner:
            await made(fresh_bus, 2)
            assert inner.is_inner
            assert not outer.is_inner
        with suppress(LookupError):
            async with fresh_bus.deferred():
                async with fresh_bus.deferred():
                    await made(fresh_bus, 3)
                raise LookupError
        await made(fresh_bus, 4)
        assert seen == []
        assert len(outer.pending) == 3
    assert seen == [1, 2, 4]
    assert inner.failures == ()


async def test_an_outer_block_that_fails_drops_what_inner_ones_handed_over(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    with suppress(LookupError):
        async with fresh_bus.deferred():
            async with fresh_bus.deferred():
                await made(fresh_bus, 1)
            raise LookupError
    assert seen == []


async def test_the_order_is_that_of_the_emits_whichever_block_ends_first(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    has_emitted, may_end = asyncio.Event(), asyncio.Event()

    async def inner() -> None:
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)
            has_emitted.set()
            await may_end.wait()
            await made(fresh_bus, 3)

    async with fresh_bus.deferred():
        task = asyncio.create_task(inner())
        await has_emitted.wait()
        await made(fresh_bus, 2)
        may_end.set()
        await task
        await made(fresh_bus, 4)
    assert seen == [1, 2, 3, 4]


async def test_what_handlers_emit_meanwhile_is_dispatched_at_once_depth_first(fresh_bus: EventBus) -> None:
    log: list[str] = []

    @fresh_bus.on("item.made")
    async def first(number: int) -> None:
        log.append(f"first {number}")
        await fresh_bus.emit("item.sent", number=number)

    @fresh_bus.on("item.made")
    async def second(number: int) -> None:
        log.append(f"second {number}")

    @fresh_bus.on("item.sent")
    async def sent(number: int) -> None:
        log.append(f"sent {number}")
        async with fresh_bus.deferred():
            await fresh_bus.emit("item.gone", number=number)
            log.append(f"going {number}")

    fresh_bus.on("item.gone")(lambda number: log.append(f"gone {number}"))
    async with fresh_bus.deferred():
        await made(fresh_bus, 1)
        await made(fresh_bus, 2)
    one = ["first 1", "sent 1", "going 1", "gone 1", "second 1"]
    assert log == one + [line.replace("1", "2") for line in one]


async def test_blocks_of_two_transactions_do_not_wait_for_each_other(fresh_bus: EventBus, seen: list[object]) -> None:
    async with fresh_bus.deferred(key="one"):
        await made(fresh_bus, "one")
        async with fresh_bus.deferred(key="other"):
            await made(fresh_bus, "other")
            async with fresh_bus.deferred(key="one"):
                await made(fresh_bus, "one again")
        assert seen == ["other"]
    assert seen == ["other", "one", "one again"]


async def test_a_block_without_a_key_takes_over_and_hands_over_everything(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    async with fresh_bus.deferred():
        async with fresh_bus.deferred(key="one"):
            async with fresh_bus.deferred():
                await made(fresh_bus, 1)
            await made(fresh_bus, 2)
        async with fresh_bus.deferred(key="other"):
            await made(fresh_bus, 3)
        assert seen == []
    assert seen == [1, 2, 3]


async def test_what_handlers_emit_joins_another_transaction_that_is_still_open(fresh_bus: EventBus) -> None:
    log: list[str] = []
    fresh_bus.on("item.sent")(lambda: log.append("sent"))

    @fresh_bus.on("item.made")
    async def write_in_the_outer_transaction_too() -> None:
        async with fresh_bus.deferred(key="outer"):
            await fresh_bus.emit("item.sent")
        log.append("made")

    with suppress(LookupError):
        async with fresh_bus.deferred(key="outer"):
            async with fresh_bus.deferred(key="inner"):
                await fresh_bus.emit("item.made")
            assert log == ["made"]
            raise LookupError
    assert log == ["made"]
    async with fresh_bus.deferred(key="outer"):
        async with fresh_bus.deferred(key="inner"):
            await fresh_bus.emit("item.made")
        assert log == ["made", "made"]
    assert log == ["made", "made", "sent"]


async def test_each_bus_has_blocks_of_its_own(fresh_bus: EventBus, seen: list[object]) -> None:
    other = EventBus()
    others: list[object] = []
    other.on("item.made")(lambda number: others.append(number))
    async with fresh_bus.deferred():
        await made(other, 1)
        assert others == [1]
        async with other.deferred() as inner:
            await made(fresh_bus, 2)
            await made(other, 3)
            assert not inner.is_inner
        assert (seen, others) == ([], [1, 3])
    assert (seen, others) == ([2], [1, 3])


async def test_a_block_knows_which_ones_it_is_inside(fresh_bus: EventBus) -> None:
    outer, inner, other = (fresh_bus.deferred(key=each) for each in ("outer", "inner", "other"))
    async with outer:
        async with inner:
            assert inner.is_inside(outer)
            assert not inner.is_inside(inner)
            assert not outer.is_inside(inner)
        async with other:
            assert other.is_inside(outer)
            assert not other.is_inside(inner)


async def test_what_was_emitted_in_a_savepoint_can_be_dropped_without_the_rest(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    async with fresh_bus.deferred(key="one"), fresh_bus.deferred(), fresh_bus.deferred(key="other"):
        await made(fresh_bus, "other before")
        async with fresh_bus.deferred(key="one"):
            await made(fresh_bus, "before")
            place = mark()
            await made(fresh_bus, "after")
            async with fresh_bus.deferred(key="other"):
                await made(fresh_bus, "other after")
                async with fresh_bus.deferred():
                    await made(fresh_bus, "after, in a block for anything")
                    drop_since(place, "one")
                    await made(fresh_bus, "later")
        assert seen == []
    assert seen == ["other before", "before", "other after", "later"]


# Contexts


async def test_each_event_runs_in_a_copy_of_the_context_it_was_emitted_in(fresh_bus: EventBus) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    log: list[tuple[int, str]] = []

    @fresh_bus.on("item.made")
    async def look(number: int) -> None:
        log.append((number, request.get()))
        request.set("a handler's")
        await asyncio.sleep(0)
        log.append((number, request.get()))

    async with fresh_bus.deferred():
        await made(fresh_bus, 1)
        token = request.set("inside")
        await made(fresh_bus, 2)
        await made(fresh_bus, 3)
        request.reset(token)
    assert request.get() == "none"
    assert log == [
        *((1, "none"), (1, "a handler's")),
        *((2, "inside"), (2, "a handler's")),
        *((3, "inside"), (3, "a handler's")),
    ]


async def test_what_a_handler_sets_holds_for_the_tasks_and_threads_that_it_starts(fresh_bus: EventBus) -> None:
    request: ContextVar[str] = ContextVar("request")
    log: list[str] = []

    async def append() -> None:
        log.append(request.get())

    @fresh_bus.on("item.made")
    async def start(number: int) -> None:
        request.set(f"handler {number}")
        async with asyncio.TaskGroup() as group:
            group.create_task(append())
        log.append(await asyncio.to_thread(request.get))

    async with fresh_bus.deferred():
        request.set("emitter")
        await made(fresh_bus, 1)
    assert log == ["handler 1", "handler 1"]
    assert request.get() == "emitter"


async def test_handlers_run_in_the_task_that_leaves_the_block(fresh_bus: EventBus) -> None:
    tasks: list[object] = []

    @fresh_bus.on("item.made")
    async def look(**_: object) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    async with fresh_bus.deferred():
        await asyncio.create_task(made(fresh_bus, 1))
    assert tasks == [asyncio.current_task()] * 2


async def test_a_block_may_be_left_in_another_context_than_it_was_entered_in(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    """As a fixture is whose two halves are run by two tasks."""

    @asynccontextmanager
    async def fixture() -> AsyncGenerator[Scope]:
        async with fresh_bus.deferred() as scope:
            await made(fresh_bus, 1)
            yield scope

    manager, emitters = fixture(), copy_context()
    scope = await asyncio.create_task(manager.__aenter__(), context=emitters)
    await made(fresh_bus, "outside")
    await asyncio.create_task(made(fresh_bus, 2), context=emitters)
    assert seen == ["outside"]
    await asyncio.create_task(manager.__aexit__(None, None, None))
    assert seen == ["outside", 1, 2]
    await asyncio.create_task(made(fresh_bus, 3), context=emitters)
    assert seen == ["outside", 1, 2, 3]
    assert emitters.run(is_nowhere)
    assert scope.pending == ()


# Tasks and threads


async def test_a_task_that_was_started_inside_belongs_to_the_block_while_it_is_open(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    has_ended = asyncio.Event()

    async def outlive() -> None:
        await made(fresh_bus, 1)
        await has_ended.wait()
        await made(fresh_bus, 2)
        assert is_nowhere()
        async with fresh_bus.deferred() as own:
            await made(fresh_bus, 3)
            assert not own.is_inner
            assert seen == [1, 2]

    async with fresh_bus.deferred() as scope:
        task = asyncio.create_task(outlive())
        await asyncio.sleep(0)
        assert scope.pending == ("item.made",)
        assert seen == []
    assert seen == [1]
    has_ended.set()
    await task
    assert seen == [1, 2, 3]


async def test_a_task_whose_block_has_ended_joins_the_one_around_it(fresh_bus: EventBus, seen: list[object]) -> None:
    has_ended = asyncio.Event()

    async def outlive() -> None:
        await has_ended.wait()
        await made(fresh_bus, 1)
        async with fresh_bus.deferred() as own:
            await made(fresh_bus, 2)
            assert own.is_inner

    async with fresh_bus.deferred() as outer:
        async with fresh_bus.deferred():
            task = asyncio.create_task(outlive())
        has_ended.set()
        await task
        assert len(outer.pending) == 2
        assert seen == []
    assert seen == [1, 2]


async def test_a_task_that_emits_while_the_block_flushes_is_dispatched_at_once(fresh_bus: EventBus) -> None:
    log: list[int] = []
    is_flushing, has_emitted = asyncio.Event(), asyncio.Event()

    @fresh_bus.on("item.made")
    async def look(number: int) -> None:
        log.append(number)
        if number == 1:
            is_flushing.set()
            await has_emitted.wait()

    async def emit_late() -> None:
        await is_flushing.wait()
        await made(fresh_bus, 3)
        has_emitted.set()

    async with fresh_bus.deferred():
        task = asyncio.create_task(emit_late())
        await made(fresh_bus, 1)
        await made(fresh_bus, 2)
    await task
    assert log == [1, 3, 2]


async def test_blocks_may_end_in_another_order_than_they_were_entered_in(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        scopes = [fresh_bus.deferred() for _ in order]
        for number, scope in enumerate(scopes):
            await scope.__aenter__()
            await made(fresh_bus, number)
        for number in order:
            await scopes[number].__aexit__(None, None, None)
        assert sorted(seen, key=str) == [0, 1, 2]
        seen.clear()
        assert is_nowhere()


async def test_what_waits_goes_to_the_nearest_block_that_is_still_open(fresh_bus: EventBus, seen: list[object]) -> None:
    outer, middle, inner = (fresh_bus.deferred() for _ in range(3))
    for number, scope in enumerate((outer, middle, inner)):
        await scope.__aenter__()
        await made(fresh_bus, number)
    await middle.__aexit__(LookupError, LookupError(), None)
    await made(fresh_bus, 3)
    await inner.__aexit__(None, None, None)
    await made(fresh_bus, 4)
    assert seen == []
    await outer.__aexit__(None, None, None)
    assert seen == [0, 2, 3, 4]


async def test_a_chain_of_tasks_each_started_in_the_last_ones_block_holds_on_to_no_block(fresh_bus: EventBus) -> None:
    blocks: list[weakref.ref[Scope]] = []
    done = asyncio.Event()

    async def next_one(left: int, before: asyncio.Event) -> None:
        await before.wait()
        async with fresh_bus.deferred() as scope:
            blocks.append(weakref.ref(scope))
            await made(fresh_bus, left)
            own = asyncio.Event()
            task = asyncio.create_task(next_one(left - 1, own)) if left else None
        del scope
        own.set()
        if task is None:
            gc.collect()
            assert sum(block() is not None for block in blocks) == 0
            assert is_nowhere()
            done.set()
        else:
            running.append(task)

    running: list[asyncio.Task[None]] = []
    start = asyncio.Event()
    start.set()
    await next_one(20, start)
    await done.wait()
    await asyncio.gather(*running)


async def test_a_loop_of_overlapping_blocks_holds_on_to_none(fresh_bus: EventBus) -> None:
    kept: list[weakref.ref[Scope]] = []
    for _ in range(20):
        first, second = fresh_bus.deferred(), fresh_bus.deferred()
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        await second.__aexit__(None, None, None)
        kept += [weakref.ref(first), weakref.ref(second)]
        del first, second
    gc.collect()
    assert [each for each in kept if each() is not None] == []


async def test_200_requests_at_once_never_mix(fresh_bus: EventBus) -> None:
    request: ContextVar[int] = ContextVar("request")
    log: dict[int, list[tuple[str, int]]] = {number: [] for number in range(200)}

    @fresh_bus.on("item.made")
    async def look(number: int, step: str) -> None:
        await asyncio.sleep(0)
        log[request.get()].append((step, number))

    async def serve(number: int) -> None:
        request.set(number)
        async with fresh_bus.deferred():
            await fresh_bus.emit("item.made", number=number, step="first")
            await asyncio.sleep(0)
            with suppress(LookupError):
                async with fresh_bus.deferred():
                    await fresh_bus.emit("item.made", number=number, step="dropped")
                    await asyncio.sleep(0)
                    raise LookupError
            await fresh_bus.emit("item.made", number=number, step="second")
            if number % 3 == 0:
                raise ZeroDivisionError

    results = await asyncio.gather(*map(serve, range(200)), return_exceptions=True)
    assert [isinstance(result, ZeroDivisionError) for result in results] == [number % 3 == 0 for number in range(200)]
    assert log == {number: [("first", number), ("second", number)] if number % 3 else [] for number in range(200)}


async def test_an_emit_in_a_thread_joins_the_block_that_the_thread_was_started_in(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    async with fresh_bus.deferred() as scope:
        await asyncio.to_thread(fresh_bus.emit_sync, "item.made", number=1)
        assert scope.pending == ("item.made",)
        thread = threading.Thread(target=fresh_bus.emit_sync, args=["item.made"], kwargs={"number": "no context"})
        thread.start()
        thread.join()
        assert seen == ["no context"]
    assert seen == ["no context", 1]


# Cancellation


async def test_cancellation_during_the_flush_says_what_did_not_run(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    is_running = asyncio.Event()
    log: list[int] = []

    @fresh_bus.on("item.made")
    async def hang(number: int) -> None:
        log.append(number)
        if number == 1:
            is_running.set()
            await asyncio.Event().wait()

    async def work() -> None:
        async with fresh_bus.deferred():
            await made(fresh_bus, 0)
            await made(fresh_bus, 1)
            await made(fresh_bus, 2)
            await fresh_bus.emit("item.sent")

    task = asyncio.create_task(work())
    await is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [0, 1]
    assert caplog.messages == [
        "Deferred events were stopped by CancelledError while item.made ran; these did not run: item.made, item.sent"
    ]


async def test_cancellation_during_the_last_event_names_no_others(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("item.made")
    async def stop(number: int) -> None:
        if number == 1:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(0)

    async def work() -> None:
        async with fresh_bus.deferred() as scope:
            scopes.append(scope)
            fresh_bus.on("item.made")(fail)
            await made(fresh_bus, 0)
            await made(fresh_bus, 1)

    def fail(number: int) -> None:
        raise LookupError(number)

    scopes: list[Scope] = []
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())
    assert caplog.messages[-1] == "Deferred events were stopped by CancelledError while item.made ran"
    assert [str(failure.error) for failure in scopes[0].failures] == ["0"]


async def test_cancelled_at_any_await_a_block_runs_all_none_or_says_so(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    @fresh_bus.on("item.made")
    @fresh_bus.on("item.sent")
    async def look(event: str) -> None:
        await asyncio.sleep(0)
        log.append(event)
        await asyncio.sleep(0)

    async def work() -> None:
        async with fresh_bus.deferred():
            await asyncio.sleep(0)
            await fresh_bus.emit("item.made", event="item.made")
            async with fresh_bus.deferred():
                await asyncio.sleep(0)
                await fresh_bus.emit("item.sent", event="item.sent")
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    for place in range(100):
        log.clear()
        caplog.clear()
        run = Cancelling(work(), place)

        async def task(run: Cancelling = run) -> None:
            await run

        with suppress(asyncio.CancelledError):
            await asyncio.create_task(task())
        assert is_nowhere()
        if not run.was_reached:
            assert log == ["item.made", "item.sent"]
            break
        unrun = caplog.messages[0].partition("these did not run: ")[2].split() if caplog.messages else []
        ran = caplog.messages[0].partition(" while ")[2].partition(" ran")[0] if caplog.messages else ""
        assert not log or {*log, ran, *unrun} == {"item.made", "item.sent"}
        assert bool(log) <= bool(caplog.messages)
    else:
        pytest.fail("it never ended")
    assert place == 8  # four awaits inside, four in the handlers


async def test_a_timeout_around_the_block_drops_what_waits(fresh_bus: EventBus, seen: list[object]) -> None:
    async def work() -> None:
        async with asyncio.timeout(0), fresh_bus.deferred():
            await made(fresh_bus, 1)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()
    assert seen == []
    assert is_nowhere()


async def test_a_timeout_around_the_block_may_stop_the_flush(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    limit = asyncio.timeout(None)

    @fresh_bus.on("item.made")
    async def hang(number: int) -> None:
        limit.reschedule(0)
        await asyncio.Event().wait()

    async def work() -> None:
        async with limit, fresh_bus.deferred():
            await made(fresh_bus, 1)
            await made(fresh_bus, 2)

    with pytest.raises(TimeoutError):
        await work()
    assert caplog.messages == [
        "Deferred events were stopped by CancelledError while item.made ran; these did not run: item.made"
    ]


@pytest.mark.parametrize("limit", ["asyncio", "anyio", "handler"])
async def test_a_timeout_inside_a_handler_is_that_handlers_failure(fresh_bus: EventBus, limit: str) -> None:
    log: list[int] = []

    async def hang(number: int) -> None:
        if limit == "asyncio":
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        elif limit == "anyio":
            with anyio.fail_after(0):
                await anyio.sleep_forever()
        await asyncio.Event().wait()

    fresh_bus.on("item.made", timeout=1e-9 if limit == "handler" else None)(hang)
    fresh_bus.on("item.made")(lambda number: log.append(number))
    async with fresh_bus.deferred() as scope:
        await made(fresh_bus, 1)
        await made(fresh_bus, 2)
    assert [isinstance(failure.error, TimeoutError) for failure in scope.failures] == [True, True]
    assert log == [1, 2]


async def test_task_groups_and_cancel_scopes_around_inside_and_in_handlers(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    @fresh_bus.on("item.made")
    async def fan_out(number: object) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fresh_bus.emit, "item.sent")
            group.start_soon(anyio.sleep, 0)
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await anyio.lowlevel.checkpoint()
        assert cancelled.cancelled_caught

    sent: list[object] = []
    fresh_bus.on("item.sent")(lambda: sent.append(None))
    async with anyio.create_task_group() as outer:
        async with fresh_bus.deferred() as scope:
            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(made, fresh_bus, number)
            assert seen == []
        outer.start_soon(made, fresh_bus, 3)
        with anyio.CancelScope() as left:
            async with fresh_bus.deferred():
                await made(fresh_bus, "cancelled")
                left.cancel()
                await anyio.lowlevel.checkpoint()
    assert sorted(map(str, seen)) == ["0", "1", "2", "3"]
    assert len(sent) == 4
    assert scope.failures == ()


async def test_a_handlers_clean_up_runs_when_the_flush_is_cancelled(fresh_bus: EventBus) -> None:
    log: list[str] = []
    is_running = asyncio.Event()

    @fresh_bus.on("item.made")
    async def hang(number: int) -> None:
        try:
            is_running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def work() -> None:
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)

    task = asyncio.create_task(work())
    await is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cleaned up"]


def test_a_flush_that_is_closed_half_way_closes_its_handler(fresh_bus: EventBus) -> None:
    log: list[str] = []

    class Wait:
        def __await__(self) -> Any:
            yield

    @fresh_bus.on("item.made")
    async def wait(number: int) -> None:
        try:
            await Wait()
        except GeneratorExit:
            log.append("closed")
            raise

    async def work() -> None:
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)

    coroutine = work()
    coroutine.send(None)
    coroutine.close()
    assert log == ["closed"]


async def test_an_error_that_goes_through_leaves_no_cycle_behind(fresh_bus: EventBus) -> None:
    class Large:
        pass

    @fresh_bus.on("item.made")
    async def hold(number: int) -> None:
        large = Large()
        held.append(weakref.ref(large))
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(0)

    async def work() -> None:
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)

    held: list[weakref.ref[Large]] = []
    gc.collect()
    gc.disable()
    try:
        task = asyncio.create_task(work())
        with suppress(asyncio.CancelledError):
            await task
        del task
        await asyncio.sleep(0)
        assert held[0]() is None
    finally:
        gc.enable()


# Flushed by hand


async def test_a_scope_can_be_flushed_by_hand_and_then_fail(fresh_bus: EventBus) -> None:
    log: list[object] = []

    @fresh_bus.on("item.made")
    async def react(number: int) -> None:
        log.append(number)
        await fresh_bus.emit("item.sent", number=number)
        async with fresh_bus.deferred():
            await fresh_bus.emit("item.sent", number=-number)
        assert is_flushed_by_hand()
        raise LookupError(number)

    fresh_bus.on("item.sent")(lambda number: log.append(("sent", number)))
    with suppress(ZeroDivisionError):
        async with fresh_bus.deferred() as scope:
            await made(fresh_bus, 1)
            failures = await scope.flush()
            assert [str(failure.error) for failure in failures] == ["1"]
            assert log == [1, ("sent", 1), ("sent", -1)]
            assert await scope.flush() == ()
            await made(fresh_bus, 2)
            raise ZeroDivisionError
    assert scope.failures == failures
    assert log == [1, ("sent", 1), ("sent", -1)]
    assert not is_flushed_by_hand()


async def test_what_was_flushed_by_hand_does_not_run_again_at_the_end(fresh_bus: EventBus) -> None:
    by_hand: list[tuple[object, bool]] = []
    fresh_bus.on("item.made")(lambda number: by_hand.append((number, is_flushed_by_hand())))
    async with fresh_bus.deferred() as scope:
        await made(fresh_bus, 1)
        await scope.flush()
        await made(fresh_bus, 2)
    assert by_hand == [(1, True), (2, False)]


async def test_all_blocks_around_can_be_flushed_by_hand_in_the_order_of_the_emits(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    other = EventBus()
    other.on("item.made")(lambda number: seen.append(("other", number)))

    @fresh_bus.on("item.made")
    async def react(number: int) -> None:
        await fresh_bus.emit("item.sent", number=number)

    fresh_bus.on("item.sent")(lambda number: seen.append(("sent", number)))
    assert await flush_deferred() == ()
    with suppress(LookupError):
        async with fresh_bus.deferred(), other.deferred():
            async with fresh_bus.deferred(key="one"):
                await made(fresh_bus, 1)
                await made(other, 2)
                async with fresh_bus.deferred(key="two"):
                    await made(fresh_bus, 3)
                    await flush_deferred()
                    assert seen == [1, ("sent", 1), ("other", 2), 3, ("sent", 3)]
            raise LookupError
    assert len(seen) == 5


# What else looks at emits


async def test_event_objects_and_validation_work_inside(fresh_bus: EventBus) -> None:
    @fresh_bus.event("item.made")
    def item_made(*, number: int) -> None:
        """An item was made."""

    log: list[int] = []
    item_made.on(lambda number: log.append(number))
    await item_made.emit(number=1)  # so that it has a plan before the first block
    fresh_bus.validation = "raise"
    async with fresh_bus.deferred():
        await item_made.emit(number=2)
        with pytest.raises(ContractError):
            await fresh_bus.emit("item.made", nmber=3)
        assert log == [1]
    assert log == [1, 2]


async def test_handlers_that_register_inside_take_part(fresh_bus: EventBus, seen: list[object]) -> None:
    late: list[object] = []
    async with fresh_bus.deferred():
        await made(fresh_bus, 1)
        fresh_bus.on("item.made")(lambda number: late.append(number))
        await fresh_bus.emit("item.unheard")
    assert seen == late == [1]


async def test_the_payload_is_what_it_was_at_the_emit(fresh_bus: EventBus, seen: list[object]) -> None:
    payload: dict[str, Any] = {"number": 1}
    async with fresh_bus.deferred():
        await fresh_bus.emit("item.made", **payload)
        payload["number"] = 2
    assert seen == [1]


# What it costs those who do not use it


def test_before_the_first_block_a_bus_finds_its_plans_in_a_dictionary(fresh_bus: EventBus) -> None:
    assert type(fresh_bus._plans) is dict
    scope = fresh_bus.deferred()
    assert type(fresh_bus._plans) is not dict
    assert type(EventBus()._plans) is dict
    del scope


def test_emits_without_a_block_never_come_near_deferral() -> None:
    program = """
import asyncio, sys
from fastsoy_events import bus, event, on
@event("item.made")
def item_made(*, number: int) -> None: "An item was made."
@on("item.made")
async def look(number): print(number)
async def main():
    await bus.emit("item.made", number=1)
    await item_made.emit(number=2)
asyncio.run(main())
print("fastsoy_events._deferral" in sys.modules, type(bus._plans) is dict)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "2", "False", "True"]


async def test_outside_of_any_block_an_emit_still_finds_its_plan(fresh_bus: EventBus, seen: list[object]) -> None:
    async with fresh_bus.deferred():
        await made(fresh_bus, 1)
    plan = fresh_bus._plans.get("item.made")
    assert plan is fresh_bus._state.plans["item.made"]
    assert plan is not None
    assert plan.functions


async def test_tortoise_that_is_half_imported_or_not_in_use_is_left_alone(
    fresh_bus: EventBus, seen: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (None, threading):
        monkeypatch.setitem(sys.modules, "tortoise.context", module)
        async with fresh_bus.deferred():
            await made(fresh_bus, 1)
    assert seen == [1, 1]


# Against a model


@dataclass
class Block:
    """A block, as the model sees it."""

    outer: Block | None
    key: str | None
    kept: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Model:
    """What is to happen, said the short way: no tasks, no contexts, no bus."""

    log: list[str] = field(default_factory=list)
    emitted: int = 0

    def emit(self, name: str, block: Block | None) -> None:
        self.emitted += 1
        if block:
            block.kept.append((self.emitted, name))
        else:
            self.run(name, None)

    def run(self, name: str, around: Block | None) -> None:
        self.log.append(name)
        if len(name) < 4 and name.endswith(("3", "4")):
            self.emit(f"{name}r", around)

    def end(self, block: Block, *, fails: bool) -> None:
        heir = block.outer
        while heir and None not in (heir.key, block.key) and heir.key != block.key:
            heir = heir.outer
        if heir and not fails:
            heir.kept += block.kept
        elif not fails:
            for _, name in sorted(block.kept):
                self.run(name, block.outer)

    def do(self, steps: list[Any], block: Block | None) -> None:
        for step in steps:
            if isinstance(step, int):
                self.emit(str(step), block)
            else:
                inner = Block(block, step["key"])
                self.do(step["steps"], inner)
                self.end(inner, fails=step["fails"])


async def really_do(bus: EventBus, steps: list[Any]) -> None:
    for step in steps:
        if isinstance(step, int):
            await bus.emit("item.made", name=str(step))
        elif step["task"]:
            await asyncio.create_task(really_open(bus, step))
        else:
            await really_open(bus, step)


async def really_open(bus: EventBus, step: dict[str, Any]) -> None:
    with suppress(ZeroDivisionError):
        async with bus.deferred(key=step["key"]):
            await really_do(bus, step["steps"])
            await asyncio.sleep(0)
            if step["fails"]:
                raise ZeroDivisionError


def blocks_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "steps": st.lists(inner, max_size=5),
            "key": st.sampled_from([None, "one", "other"]),
            "fails": st.booleans(),
            "task": st.booleans(),
        }
    )


TREES = st.lists(st.recursive(st.integers(0, 4), lambda inner: blocks_of(inner), max_leaves=20), max_size=6)


@given(TREES)
def test_any_tree_of_blocks_does_as_the_model(steps: list[Any]) -> None:
    bus, model, log = EventBus(), Model(), list[str]()

    @bus.on("item.made")
    async def look(name: str) -> None:
        log.append(name)
        await asyncio.sleep(0)
        if len(name) < 4 and name.endswith(("3", "4")):
            await bus.emit("item.made", name=f"{name}r")

    async def main() -> None:
        await really_do(bus, steps)
        assert is_nowhere()

    asyncio.run(main())
    model.do(steps, None)
    assert log == model.log


@given(st.lists(TREES, min_size=2, max_size=5))
def test_trees_that_grow_at_the_same_time_do_as_each_would_alone(trees: list[list[Any]]) -> None:
    request: ContextVar[int] = ContextVar("request")
    bus = EventBus()
    logs: dict[int, list[str]] = {number: [] for number in range(len(trees))}

    @bus.on("item.made")
    async def look(name: str) -> None:
        await asyncio.sleep(0)
        logs[request.get()].append(name)
        if len(name) < 4 and name.endswith(("3", "4")):
            await bus.emit("item.made", name=f"{name}r")

    async def serve(number: int) -> None:
        request.set(number)
        await really_do(bus, trees[number])

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(len(trees)):
                group.create_task(serve(number))

    asyncio.run(main())
    for number, steps in enumerate(trees):
        model = Model()
        model.do(steps, None)
        assert logs[number] == model.log


# What belongs to an event, and is not its handlers


async def test_work_runs_at_once_outside_of_any_block_and_what_it_raises_is_raised(fresh_bus: EventBus) -> None:
    ran = []

    async def work() -> None:
        ran.append("work")

    async def fail() -> None:
        raise LookupError("no such table")

    await fresh_bus.defer("item.made", work)
    assert ran == ["work"]
    with pytest.raises(LookupError, match="no such table"):
        await fresh_bus.defer("item.made", fail)
    async with fresh_bus.deferred():
        pass
    await fresh_bus.defer("item.made", work)
    assert ran == ["work", "work"]


async def test_work_in_a_block_runs_among_the_emits_in_the_context_of_the_call(
    fresh_bus: EventBus, seen: list[object]
) -> None:
    request: ContextVar[str] = ContextVar("request")

    async def work() -> None:
        seen.append(request.get())

    request.set("first")
    async with fresh_bus.deferred() as scope:
        await made(fresh_bus, 1)
        await fresh_bus.defer("item.made", work)
        request.set("second")
        await made(fresh_bus, 2)
        assert scope.pending == ("item.made", "item.made")  # the emits
        assert seen == []
    assert seen == [1, "first", 2]


async def test_work_is_dropped_with_its_block(fresh_bus: EventBus, seen: list[object]) -> None:
    async def work() -> None:
        seen.append("work")

    with suppress(ZeroDivisionError):
        async with fresh_bus.deferred():
            await fresh_bus.defer("item.made", work)
            raise ZeroDivisionError
    assert seen == []


async def test_deferred_work_that_fails_is_logged_and_stops_nothing(
    fresh_bus: EventBus, seen: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise LookupError("no such table")

    async with fresh_bus.deferred() as scope:
        await fresh_bus.defer("item.made", fail)
        await made(fresh_bus, 1)
    assert (seen, scope.failures) == ([1], ())
    (record,) = caplog.records
    assert record.getMessage() == "What was deferred with the event has failed: item.made"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_a_block_that_is_cancelled_in_its_deferred_work_says_what_did_not_run(
    fresh_bus: EventBus, seen: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()

    async def hang() -> None:
        began.set()
        await asyncio.Event().wait()

    async def hire() -> None:
        async with fresh_bus.deferred():
            await fresh_bus.defer("item.kept", hang)
            await made(fresh_bus, 1)

    task = asyncio.create_task(hire())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == []
    assert [record.getMessage() for record in caplog.records] == [
        "Deferred events were stopped by CancelledError while item.kept ran; these did not run: item.made"
    ]


def test_no_emit_of_a_thread_is_lost_when_the_block_closes_at_that_moment(fresh_bus: EventBus) -> None:
    seen: list[int] = []
    fresh_bus.on("item.made")(lambda number: seen.append(number))
    has_begun, most = threading.Event(), 2_000

    async def emit_all() -> None:
        for number in range(most):
            await made(fresh_bus, number)
            has_begun.set()

    async def main() -> None:
        async with fresh_bus.deferred():
            thread = threading.Thread(target=copy_context().run, args=[asyncio.run, emit_all()])
            thread.start()
            has_begun.wait()
        while thread.is_alive():
            async with fresh_bus.deferred():
                await asyncio.to_thread(thread.join, 0.001)

    asyncio.run(main())
    assert sorted(seen) == list(range(most))


async def test_a_block_that_was_never_entered_is_in_no_other_and_has_nothing_to_run(fresh_bus: EventBus) -> None:
    scope = fresh_bus.deferred()
    async with fresh_bus.deferred() as other:
        assert not scope.is_inner
        assert not scope.is_inside(other)
        assert (scope.pending, await scope.flush(), scope.failures) == ((), (), ())


async def test_what_waits_is_listed_in_the_order_of_the_emits(fresh_bus: EventBus) -> None:
    async with fresh_bus.deferred() as scope:
        for event in ("item.sold", "item.made", "item.packed"):
            await fresh_bus.emit(event)
        assert scope.pending == ("item.sold", "item.made", "item.packed")


async def test_entering_a_block_again_is_refused_with_what_to_do(fresh_bus: EventBus) -> None:
    scope = fresh_bus.deferred()
    async with scope:
        pass
    with pytest.raises(RuntimeError) as caught:
        await scope.__aenter__()
    assert str(caught.value) == "a deferred() block is entered once: call deferred() for each block"


def test_what_drives_a_flush_by_hand_answers_the_handler_that_asks(fresh_bus: EventBus) -> None:
    answers: list[object] = []

    class Question:
        def __await__(self) -> Generator[str, object, object]:
            return (yield "question")

    @fresh_bus.on("item.made")
    async def ask() -> None:
        answers.append(await Question())
        answers.append(await Question())

    async def make() -> None:
        async with fresh_bus.deferred():
            await fresh_bus.emit("item.made")

    making = make()
    assert making.send(None) == "question"
    assert making.send("first answer") == "question"
    with pytest.raises(StopIteration):
        making.send("second answer")
    assert answers == ["first answer", "second answer"]


async def test_what_finds_the_block_around_just_closed_runs_at_once(fresh_bus: EventBus, seen: list[object]) -> None:
    ends: list[Scope] = []

    class Transaction:
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            """Is asked while the inner block looks for one that takes over: in that moment, the outer block ends."""
            if ends:
                drive(ends.pop().__aexit__(None, None, None))
            return True

    outer = fresh_bus.deferred(key=Transaction())
    await outer.__aenter__()
    async with fresh_bus.deferred(key="inner"):
        await made(fresh_bus, 1)
        await made(fresh_bus, 2)
        ends.append(outer)
    assert ends == []
    assert seen == [1, 2]
