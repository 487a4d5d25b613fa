"""What emits leave behind: nothing. Each test makes 100,000, and looks at memory and tasks before and after."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import tracemalloc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fastsoy_events import ContractError, EventBus, _dispatch, bus, emit, load_plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from conftest import Site

    Emits = Callable[[int], Awaitable[None]]

EMITS = 100_000
MOST_BLOCKS = 1_000
# Tracing makes all slow, so fewer emits are traced. A single pointer kept for each would be 80,000 bytes.
TRACED = 10_000
MOST_BYTES = 20_000


class Held(NamedTuple):
    """What the process holds at one moment."""

    blocks: int
    objects: int
    tasks: int
    threads: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        return cls(
            blocks=sys.getallocatedblocks(),
            objects=len(gc.get_objects()),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
        )


@contextmanager
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the log from pytest, which holds on to every record."""
    monkeypatch.setattr(logging.getLogger("fastsoy_events"), "filters", [lambda _: False])


@pytest.fixture
async def busy(fresh_bus: EventBus) -> AsyncIterator[EventBus]:
    """Return a bus with handlers of each kind, and see that they have run."""
    calls = dict.fromkeys(("coroutine", "function", "method"), 0)

    class Desk:
        async def __call__(self, **_: object) -> None:
            calls["method"] += 1

    @fresh_bus.on("employee.created")
    async def coroutine(employee_id: int, **_: object) -> None:
        calls["coroutine"] += 1

    @fresh_bus.on("employee.created")
    def function(employee_id: int, **_: object) -> dict[str, object]:
        calls["function"] += 1
        return {"employee_id": employee_id}

    fresh_bus.on("employee.created")(Desk())
    yield fresh_bus
    assert min(calls.values()) >= EMITS // 2


async def check(emits: Emits) -> None:
    """Have emits made, and compare what is held after some of them with what is held after many more."""
    await emits(TRACED)
    before = Held.now()
    await emits(EMITS)
    after = Held.now()
    assert after.blocks - before.blocks < MOST_BLOCKS
    assert after.objects - before.objects < MOST_BLOCKS
    assert (after.tasks, after.threads) == (before.tasks, before.threads)
    with traced():
        await emits(TRACED)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < MOST_BYTES


async def check_bound(emits: Emits) -> None:
    """Have emits made each of which is of a new kind: something may be kept of some kinds, but not of all."""
    await emits(EMITS // 5)
    before = Held.now()
    await emits(EMITS)
    after = Held.now()
    assert after.blocks - before.blocks < EMITS
    assert after.objects - before.objects < EMITS


async def test_emits_by_name(busy: EventBus) -> None:
    async def emits(count: int) -> None:
        for number in range(count):
            await busy.emit("employee.created", employee_id=number)

    await check(emits)


async def test_emits_by_an_event_object(busy: EventBus) -> None:
    @busy.event("employee.created")
    def employee_created(*, employee_id: int, created_by: int = 0) -> None: ...

    async def emits(count: int) -> None:
        for number in range(count):
            await employee_created.emit(employee_id=number)

    await check(emits)


async def test_emits_that_are_checked(busy: EventBus) -> None:
    @busy.event("employee.created")
    def employee_created(*, employee_id: int, created_by: int = 0) -> None: ...

    busy.validation = "raise"

    async def emits(count: int) -> None:
        for number in range(count // 2):
            await employee_created.emit(employee_id=number)
            await busy.emit("employee.created", employee_id=number)
            if number % 100 == 0:
                with pytest.raises(ContractError):
                    await busy.emit("employee.created", employee=number)

    await check(emits)


async def test_emits_whose_handlers_fail(busy: EventBus) -> None:
    @busy.on("employee.created")
    async def fail(employee_id: int) -> None:
        raise LookupError(employee_id)

    @busy.on("employee.created")
    async def leak_a_cancellation(employee_id: int) -> None:
        raise asyncio.CancelledError(employee_id)

    async def emits(count: int) -> None:
        for number in range(count):
            assert len(await busy.emit("employee.created", employee_id=number)) == 2

    await check(emits)


async def test_emits_whose_handlers_have_limits(fresh_bus: EventBus) -> None:
    calls = 0

    @fresh_bus.on("employee.created", timeout=60, slow_after=60)
    async def handle(employee_id: int) -> None:
        nonlocal calls
        calls += 1

    @fresh_bus.on("employee.created", slow_after=1e-9)
    def crawl(employee_id: int) -> None:
        sum(range(10))

    async def emits(count: int) -> None:
        for number in range(count):
            assert await fresh_bus.emit("employee.created", employee_id=number) == ()
            if number % 100 == 0:
                await asyncio.sleep(0)  # asyncio keeps a timer that was cancelled until its loop has a turn

    await check(emits)
    assert calls == EMITS + 2 * TRACED


async def test_emits_whose_handlers_emit(busy: EventBus) -> None:
    @busy.on("employee.hired")
    async def create(employee_id: int) -> None:
        await busy.emit("employee.created", employee_id=employee_id)

    async def emits(count: int) -> None:
        for number in range(count):
            await busy.emit("employee.hired", employee_id=number)

    await check(emits)


async def test_emits_in_deferred_blocks(busy: EventBus) -> None:
    async def emits(count: int) -> None:
        for number in range(count // 2):
            async with busy.deferred() as scope:
                await busy.emit("employee.created", employee_id=number)
                async with busy.deferred():
                    await busy.emit("employee.created", employee_id=number)
            assert scope.failures == ()

    await check(emits)


async def test_emits_in_deferred_blocks_that_fail(fresh_bus: EventBus) -> None:
    calls = 0

    @fresh_bus.on("employee.created")
    def handle(**_: object) -> None:
        nonlocal calls
        calls += 1

    async def emits(count: int) -> None:
        for number in range(count // 2):
            with suppress(ZeroDivisionError):
                async with fresh_bus.deferred():
                    await fresh_bus.emit("employee.created", employee_id=number)
                    async with fresh_bus.deferred():
                        await fresh_bus.emit("employee.created", employee_id=number)
                    raise ZeroDivisionError

    await check(emits)
    assert calls == 0


async def test_emits_in_tasks_that_outlive_their_deferred_block(busy: EventBus) -> None:
    async def emits(count: int) -> None:
        for number in range(count // 2):
            async with busy.deferred():
                await busy.emit("employee.created", employee_id=number)
                task = asyncio.create_task(busy.emit("employee.created", employee_id=number))
            await task

    await check(emits)


async def test_work_that_belongs_to_events(busy: EventBus) -> None:
    [handler, *_] = busy.handlers("employee.created")

    async def fail() -> None:
        raise LookupError

    async def emits(count: int) -> None:
        for number in range(count // 2):
            async with busy.deferred():
                await busy.defer("employee.created", fail)
                await busy.emit("employee.created", employee_id=number)
            assert await busy.run_handler(handler, employee_id=number) == ()

    await check(emits)


async def test_names_that_are_made_up(busy: EventBus) -> None:
    async def emits(count: int) -> None:
        for number in range(count // 2):
            await busy.emit(f"made_up.number_{number}", number=number)
            await busy.emit("employee.created", employee_id=number)

    await check(emits)


async def test_names_that_are_made_up_in_deferred_blocks(busy: EventBus) -> None:
    async def emits(count: int) -> None:
        for number in range(count // 2):
            async with busy.deferred():
                await busy.emit(f"made_up.number_{number}", number=number)
                await busy.emit("employee.created", employee_id=number)

    await check(emits)


WRAPS = """
    from fastsoy_events import hookimpl

    @hookimpl
    def fastsoy_events_wrap_emit(event, call):
        async def wrapped(**payload):
            return await call(**payload)
        return wrapped
"""


async def test_names_that_are_made_up_while_a_plugin_wraps_emits(site: Site) -> None:
    site.install("wraps", {"wraps": "wraps_emits"}, {"wraps_emits": WRAPS})
    load_plugins(path=[site.folder])
    calls = 0

    @bus.on("employee.created")
    async def handle(number: int) -> None:
        nonlocal calls
        calls += 1

    async def emits(count: int) -> None:
        for number in range(count):
            await emit(f"made_up.number_{number}", number=number)
        await emit("employee.created", number=count)

    await check_bound(emits)
    assert calls == 2


async def test_keywords_that_are_made_up(busy: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch, "_loops", {})  # which this fills, and others want to find room in

    async def emits(count: int) -> None:
        for number in range(count):
            await busy.emit("employee.created", employee_id=number, **{f"made_up_{number}": number})

    await check_bound(emits)


async def test_handlers_that_come_and_go() -> None:
    """Tests of an application do this: a bus that is emptied for each, with handlers of its own."""
    tests = 2_000

    async def emits(count: int) -> None:
        for _ in range(count * tests // EMITS):
            with bus.isolated():

                @bus.event("employee.created")
                def employee_created(*, employee_id: int) -> None: ...

                @bus.on("employee.created")
                async def handle(employee_id: int) -> None: ...

                for number in range(EMITS // tests):
                    await employee_created.emit(employee_id=number)

    await check(emits)
