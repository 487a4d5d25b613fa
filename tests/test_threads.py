"""Threads: handlers may be registered in one thread while event loops in others dispatch."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import pytest

from fastsoy_events import EventBus, RegistrationError, bus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from fastsoy_events import Event

PATIENCE = 60.0  # seconds, after which a thread that waits gives up: only a failing test gets there


class Site(Protocol):
    """The part of the fixture `site` that is used here."""

    @property
    def folder(self) -> Path: ...


@pytest.fixture(autouse=True)
def _restless_threads() -> Generator[None]:
    """Let the interpreter switch between threads as often as it can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def together(*functions: Callable[[], object]) -> list[object]:
    """Run functions in a thread each, all beginning at the same moment, and return what they return."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], object]) -> object:
        barrier.wait(PATIENCE)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(run, function) for function in functions]]


def called(a_bus: EventBus, event: str = "number.given") -> list[object]:
    """Emit in an event loop of its own, and return what the handlers noted."""
    calls: list[object] = []
    asyncio.run(a_bus.emit(event, calls=calls)).raise_if_any()
    return calls


def noting(number: int) -> Callable[[list[object]], None]:
    """Return a new handler."""

    def note(calls: list[object]) -> None:
        calls.append(number)

    return note


def test_handlers_registered_in_several_threads_while_others_dispatch_all_run_once(fresh_bus: EventBus) -> None:
    registering = threading.Semaphore(0)
    done = threading.Event()
    remaining = [4]
    lock = threading.Lock()

    def register(first: int) -> None:
        for number in range(first, first + 100):
            fresh_bus.on("number.given")(noting(number))
            registering.release()
        with lock:
            remaining[0] -= 1
            if not remaining[0]:
                done.set()
                registering.release(2)  # one for each thread that dispatches, so that neither waits for ever

    def dispatch() -> list[list[object]]:
        async def emit_until_done() -> list[list[object]]:
            seen: list[list[object]] = []
            while not done.is_set():
                assert registering.acquire(timeout=PATIENCE)
                calls: list[object] = []
                (await fresh_bus.emit("number.given", calls=calls)).raise_if_any()
                seen.append(calls)
            return seen

        return asyncio.run(emit_until_done())

    *_, first, second = together(*(lambda start=start: register(start * 100) for start in range(4)), dispatch, dispatch)
    for seen in (first, second):
        assert isinstance(seen, list)
        for earlier, later in pairwise(seen):
            assert later[: len(earlier)] == earlier  # nothing lost, and the order of declaration stays
        assert all(max(Counter(calls).values(), default=1) == 1 for calls in seen)
    calls = called(fresh_bus)
    assert sorted(calls, key=str) == sorted(range(400), key=str)
    for start in range(4):
        own = [call for call in calls if isinstance(call, int) and call // 100 == start]
        assert own == sorted(own, key=int)
    assert [handler.position for handler in fresh_bus.handlers("number.given")] == list(range(400))


def test_one_function_registered_by_several_threads_at_once_is_one_handler(fresh_bus: EventBus) -> None:
    handler = noting(1)
    together(*[lambda: fresh_bus.on("number.given")(handler)] * 8)
    assert called(fresh_bus) == [1]


def test_many_events_registered_by_several_threads_are_all_listed(fresh_bus: EventBus) -> None:
    def register(thread: int) -> None:
        for number in range(50):
            fresh_bus.on(f"number.given_{number}")(noting(thread))

    def listen() -> None:
        known: set[str] = set()
        for _ in range(50):
            listed = [f"{handler.event} {handler.id}" for handler in fresh_bus.handlers()]
            assert len(set(listed)) == len(listed)
            assert known <= set(listed)
            known = set(listed)

    together(*(lambda thread=thread: register(thread) for thread in range(3)), listen)
    for number in range(50):
        assert sorted(called(fresh_bus, f"number.given_{number}"), key=str) == [0, 1, 2]
    assert len(fresh_bus.handlers()) == 150


def test_a_handler_runs_in_every_emit_that_begins_after_its_registration(fresh_bus: EventBus) -> None:
    registered = threading.Semaphore(0)
    emitted = threading.Semaphore(0)

    def register() -> None:
        for number in range(200):
            fresh_bus.on("number.given")(noting(number))
            registered.release()
            assert emitted.acquire(timeout=PATIENCE)

    def dispatch() -> None:
        for number in range(200):
            assert registered.acquire(timeout=PATIENCE)
            assert called_in(loop) == list(range(number + 1))
            emitted.release()

    def called_in(loop: asyncio.AbstractEventLoop) -> list[object]:
        calls: list[object] = []
        loop.run_until_complete(fresh_bus.emit("number.given", calls=calls)).raise_if_any()
        return calls

    loop = asyncio.new_event_loop()
    together(register, dispatch)
    loop.close()


def test_a_handler_registered_by_another_thread_during_a_dispatch_waits_for_the_next_emit(
    fresh_bus: EventBus,
) -> None:
    inside, registered = threading.Event(), threading.Event()

    @fresh_bus.on("number.given")
    def wait(calls: list[object]) -> None:
        inside.set()
        assert registered.wait(PATIENCE)
        calls.append("waited")

    fresh_bus.on("number.given")(noting(1))

    def register() -> None:
        assert inside.wait(PATIENCE)
        fresh_bus.on("number.given")(noting(2))  # the dispatch that is under way holds no lock
        registered.set()

    assert together(lambda: called(fresh_bus), register)[0] == ["waited", 1]
    assert called(fresh_bus) == ["waited", 1, 2]


def test_event_loops_in_several_threads_dispatch_at_the_same_time(fresh_bus: EventBus) -> None:
    meeting = threading.Barrier(3)
    for number in range(3):
        fresh_bus.on("number.given")(noting(number))

    @fresh_bus.on("number.given")
    async def meet(calls: list[object]) -> None:
        meeting.wait(PATIENCE)  # each thread is inside its dispatch before any goes on

    fresh_bus.on("number.given")(noting(3))
    assert together(*[lambda: called(fresh_bus)] * 3) == [[0, 1, 2, 3]] * 3


def test_a_failure_in_one_thread_is_none_in_another(fresh_bus: EventBus) -> None:
    @fresh_bus.on("number.given")
    def fail(number: int) -> None:
        if number == 1:
            raise ValueError

    def emit(number: int) -> int:
        return sum(len(asyncio.run(fresh_bus.emit("number.given", number=number))) for _ in range(50))

    assert together(*(lambda number=number: emit(number) for number in range(3))) == [0, 50, 0]


def test_a_module_that_is_reloaded_while_others_dispatch_has_at_most_one_handler_at_any_time(site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "from fastsoy_events import on\n@on('number.given')\ndef note(calls): calls.append('shop')\n"
    )
    shop = importlib.import_module("shop")
    bus.on("number.given")(noting(1))
    reloaded = threading.Event()

    def reload() -> None:
        for _ in range(30):
            importlib.reload(shop)
        reloaded.set()

    def dispatch() -> None:
        for _ in range(2_000):
            calls = called(bus)
            assert calls.count(1) == 1
            assert calls.count("shop") <= 1
            if reloaded.is_set():
                return

    together(reload, dispatch, dispatch)
    assert sorted(map(str, called(bus))) == ["1", "shop"]


def test_modules_imported_by_several_threads_register_once_each(site: Site) -> None:
    for number in range(13):
        (site.folder / f"shop_{number}.py").write_text(
            f"from fastsoy_events import on\n@on('number.given')\ndef note(calls): calls.append({number})\n"
        )
    importlib.invalidate_caches()

    # Coverage looks at `sys.path` anew when it first sees a new file, and takes modules out of `sys.modules` meanwhile.
    importlib.import_module("shop_12")

    def import_each(numbers: range) -> None:
        for number in numbers:
            importlib.import_module(f"shop_{number}")

    together(*(lambda first=first: import_each(range(first, first + 4)) for first in (0, 4, 8)), lambda: called(bus))
    assert sorted(called(bus), key=str) == sorted(range(13), key=str)


# Event objects


def numbers_given(a_bus: EventBus) -> Event[...]:
    """Declare a contract: one keyword, the list that handlers note their calls in."""

    @a_bus.event("number.given")
    def number_given(*, calls: list[object]) -> None: ...

    return number_given


def called_by(contract: Event[...]) -> list[object]:
    """Emit by the object in an event loop of its own, and return what the handlers noted."""
    calls: list[object] = []
    asyncio.run(contract.emit(calls=calls)).raise_if_any()
    return calls


def test_handlers_registered_in_several_threads_while_others_emit_by_object_all_run_once(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    registering = threading.Semaphore(0)

    def register(first: int) -> None:
        for number in range(first, first + 50):
            number_given.on(noting(number))
            registering.release()

    def dispatch() -> list[list[object]]:
        seen: list[list[object]] = []
        for _ in range(100):  # of two hundred
            assert registering.acquire(timeout=PATIENCE)
            seen.append(called_by(number_given))
        return seen

    *_, first, second = together(*(lambda start=start: register(start * 50) for start in range(4)), dispatch, dispatch)
    for seen in (first, second):
        assert isinstance(seen, list)
        for earlier, later in pairwise(seen):
            assert later[: len(earlier)] == earlier  # nothing lost, and the order of declaration stays
        assert all(max(Counter(calls).values(), default=1) == 1 for calls in seen)
    assert sorted(called_by(number_given), key=str) == sorted(range(200), key=str)


def test_a_handler_runs_in_every_emit_by_object_that_begins_after_its_registration(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    registered, emitted = threading.Semaphore(0), threading.Semaphore(0)

    def register() -> None:
        for number in range(100):
            fresh_bus.on("number.given")(noting(number))
            registered.release()
            assert emitted.acquire(timeout=PATIENCE)

    def dispatch() -> None:
        for number in range(100):
            assert registered.acquire(timeout=PATIENCE)
            assert called_by(number_given) == list(range(number + 1))
            emitted.release()

    together(register, dispatch)


def test_isolation_in_one_thread_leaves_no_stale_plan_to_emits_by_object_in_others(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting("outer"))
    done = threading.Event()

    def isolate() -> None:
        for number in range(100):
            with fresh_bus.isolated():
                number_given.on(noting(number))
                assert called_by(number_given) == [number]
        done.set()

    def dispatch() -> None:
        for _ in range(2_000):
            assert len(called_by(number_given)) <= 1
            if done.is_set():
                return

    together(isolate, dispatch, dispatch)
    assert called_by(number_given) == ["outer"]


def test_validation_that_is_switched_while_others_emit_by_object_loses_no_call(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting(1))
    switched = threading.Event()

    def switch() -> None:
        for _ in range(100):
            for fresh_bus.validation in ("raise", "warn", "off"):
                assert called_by(number_given) == [1]
        switched.set()

    def dispatch() -> None:
        for _ in range(2_000):
            assert called_by(number_given) == [1]
            if switched.is_set():
                return

    together(switch, dispatch, dispatch)


def test_a_contract_whose_module_is_reloaded_while_others_emit_by_it_is_always_one(site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "from fastsoy_events import event, on\n"
        "@event('number.given')\ndef number_given(*, calls): ...\n"
        "@on('number.given')\ndef note(calls): calls.append('shop')\n"
    )
    shop = importlib.import_module("shop")
    first = shop.number_given
    bus.on("number.given")(noting(1))
    reloaded = threading.Event()

    def reload() -> None:
        for _ in range(30):
            importlib.reload(shop)
            assert bus.events() == (shop.number_given,)
        reloaded.set()

    def dispatch() -> None:
        for _ in range(2_000):
            for each in (first, shop.number_given):
                calls = called_by(each)
                assert calls.count(1) == 1
                assert calls.count("shop") <= 1
            assert len(bus.events()) <= 1
            if reloaded.is_set():
                return

    together(reload, dispatch, dispatch)
    assert sorted(map(str, called_by(first))) == sorted(map(str, called_by(shop.number_given))) == ["1", "shop"]


def test_of_the_contracts_that_several_threads_declare_for_one_event_one_counts(fresh_bus: EventBus) -> None:
    def declare() -> Event[...] | None:
        try:
            return numbers_given(fresh_bus)
        except RegistrationError:
            return None

    declared = [each for each in together(*[declare] * 8) if each is not None]
    assert list(fresh_bus.events()) == declared
    assert len(declared) == 1
