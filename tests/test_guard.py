"""Limits: a handler over its time is cancelled, a slow one is named, a blocking one leaves the event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fastsoy_events import EventBus, HandlerTimeout, RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1e-6  # seconds: over before anything can happen
NOTHING = 1e-12  # seconds: whatever runs takes longer
NEVER = 3600.0

USER: ContextVar[str] = ContextVar("user")


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "fastsoy_events" and each.levelno == level]


async def hang(**_: object) -> None:
    await asyncio.Event().wait()


async def test_a_handler_over_its_time_is_cancelled_and_has_failed(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    @fresh_bus.on("employee.created", timeout=NOW)
    async def wait(**_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("wait")

    fresh_bus.on("employee.created")(lambda **_: ends.append("next"))
    [failure] = await fresh_bus.emit("employee.created", employee_id=1)
    assert isinstance(failure.error, HandlerTimeout)
    assert isinstance(failure.error, TimeoutError)
    assert failure.error.seconds == NOW
    assert failure.handler.qualname.endswith("wait")
    assert ends == ["wait", "next"]
    assert "in wait\n    await asyncio.Event().wait()" in caplog.text, "the log shows where it hung"
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_handler_within_its_time_is_left_alone(fresh_bus: EventBus) -> None:
    @fresh_bus.on("employee.created", timeout=NEVER, slow_after=NEVER)
    async def quick(employee_id: int) -> int:
        return employee_id

    assert not await fresh_bus.emit("employee.created", employee_id=1)


async def test_a_timeout_of_the_handlers_own_is_its_own(fresh_bus: EventBus) -> None:
    error = TimeoutError("the mail server")

    @fresh_bus.on("employee.created", timeout=NEVER)
    async def send(**_: object) -> None:
        raise error

    [failure] = await fresh_bus.emit("employee.created")
    assert failure.error is error


async def test_the_cancellation_of_the_emitter_passes_through_a_timeout(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created", timeout=NEVER)(hang)
    emitting = asyncio.create_task(fresh_bus.emit("employee.created"))
    await asyncio.sleep(0)
    emitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await emitting


async def test_the_bus_has_a_default_which_a_handler_may_overrule(fresh_bus: EventBus) -> None:
    release = asyncio.Event()
    fresh_bus.on("employee.created")(hang)

    @fresh_bus.on("employee.created", timeout=math.inf)
    async def patient(**_: object) -> None:
        asyncio.get_running_loop().call_soon(release.set)
        await release.wait()

    fresh_bus.on("employee.created")(lambda **_: None)
    fresh_bus.handler_timeout = NOW
    [failure] = await fresh_bus.emit("employee.created")
    assert failure.handler.qualname == "hang"
    assert fresh_bus.handler_timeout == NOW
    fresh_bus.handler_timeout = None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await fresh_bus.emit("employee.created")


async def test_a_slow_handler_is_named_once(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    def slow(**_: object) -> None: ...

    async def slow_too(**_: object) -> None:
        raise LookupError

    fresh_bus.on("employee.created", slow_after=NOTHING)(slow)
    fresh_bus.on("employee.created", slow_after=NOTHING)(slow_too)
    fresh_bus.on("employee.created", slow_after=NEVER)(lambda **_: None)
    [failure] = await fresh_bus.emit("employee.created", note="s3cret")
    assert isinstance(failure.error, LookupError)
    first, second = logged(caplog, logging.WARNING)
    assert first.startswith(f"Slow event handler: employee.created / {__name__}.")
    assert ".slow took " in first
    assert first.endswith(" s, more than 1e-12 s")
    assert ".slow_too took " in second
    assert "s3cret" not in caplog.text


async def test_the_bus_has_a_default_for_slow_too(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    fresh_bus.on("employee.created")(lambda **_: None)
    await fresh_bus.emit("employee.created")
    fresh_bus.slow_after = NOTHING
    await fresh_bus.emit("employee.created")
    assert fresh_bus.slow_after == NOTHING
    assert len(logged(caplog, logging.WARNING)) == 1


async def test_a_handler_with_a_thread_leaves_the_loop_and_keeps_the_context(fresh_bus: EventBus) -> None:
    seen: list[object] = []
    loops_thread = threading.get_ident()
    go_on = threading.Event()

    @fresh_bus.on("employee.created", thread=True)
    def block(employee_id: int) -> None:
        assert go_on.wait(NEVER)
        seen.extend([employee_id, USER.get(), threading.get_ident() != loops_thread])

    fresh_bus.on("employee.created")(lambda **_: seen.append("next"))
    USER.set("ada")
    asyncio.get_running_loop().call_soon(go_on.set)  # only a loop that is free gets here
    assert not await fresh_bus.emit("employee.created", employee_id=7)
    assert seen == [7, "ada", True, "next"]


async def test_a_thread_over_its_time_is_left_and_that_is_logged(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, ended = threading.Event(), threading.Event()

    @fresh_bus.on("employee.created", thread=True, timeout=NOW)
    def block(**_: object) -> None:
        go_on.wait(NEVER)
        ended.set()

    [failure] = await fresh_bus.emit("employee.created")
    assert isinstance(failure.error, HandlerTimeout)
    [warning] = logged(caplog, logging.WARNING)
    assert warning.endswith("block still runs in its thread, which nothing can stop")
    go_on.set()
    assert await asyncio.to_thread(ended.wait, NEVER)


async def test_a_failure_in_a_thread_is_the_handlers(fresh_bus: EventBus) -> None:
    @fresh_bus.on("employee.created", thread=True)
    def fail(**_: object) -> None:
        raise LookupError("no desk")

    [failure] = await fresh_bus.emit("employee.created")
    assert isinstance(failure.error, LookupError)


async def asynchronous(**_: object) -> None: ...
def plain(**_: object) -> None: ...


class AsyncObject:
    async def __call__(self, **_: object) -> None: ...


@pytest.mark.parametrize(
    "handler", [asynchronous, partial(asynchronous), AsyncObject()], ids=["def", "partial", "object"]
)
def test_an_async_handler_gets_no_thread(fresh_bus: EventBus, handler: Callable[..., Any]) -> None:
    with pytest.raises(RegistrationError, match=r"thread=True.*it runs on the event loop\. Remove thread=True"):
        fresh_bus.on("employee.created", thread=True)(handler)
    assert not fresh_bus.handlers()


@pytest.mark.parametrize("handler", [plain, partial(plain), lambda **_: None])
def test_a_plain_handler_on_the_loop_gets_no_timeout(fresh_bus: EventBus, handler: Callable[..., Any]) -> None:
    with pytest.raises(RegistrationError, match=r"nothing can stop it\. Write async def, or add thread=True"):
        fresh_bus.on("employee.created", timeout=2.0)(handler)
    assert not fresh_bus.handlers()


@pytest.mark.parametrize("seconds", [0, -1, True, math.nan, -math.inf, "2", b"2", [2]])
@pytest.mark.parametrize("name", ["timeout", "slow_after"])
def test_what_is_no_duration_is_refused(fresh_bus: EventBus, name: str, seconds: Any) -> None:
    limits: dict[str, Any] = {name: seconds}
    with pytest.raises(RegistrationError, match=f"takes {name} in seconds, more than 0: write {name}=2.0, not "):
        fresh_bus.on("employee.created", **limits)
    default = {"timeout": "handler_timeout"}.get(name, name)
    with pytest.raises(ValueError, match="a number of seconds more than 0, or None, is wanted"):
        setattr(fresh_bus, default, seconds)
    assert getattr(fresh_bus, default) is None


async def test_a_plain_handler_is_called_itself(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")(plain)
    fresh_bus.on("employee.left", slow_after=NEVER)(plain)
    await fresh_bus.emit("employee.created")
    await fresh_bus.emit("employee.left")
    assert fresh_bus._state.plans["employee.created"].functions == (plain,)
    assert fresh_bus._state.plans["employee.left"].functions != (plain,)


# Code that is not asynchronous


def test_emit_sync_runs_the_handlers_to_their_end(fresh_bus: EventBus) -> None:
    seen: list[object] = []

    @fresh_bus.on("employee.created")
    async def greet(employee_id: int) -> None:
        await asyncio.sleep(0)
        seen.append(employee_id)

    @fresh_bus.on("employee.created")
    def fail(**_: object) -> float:
        return 1 / 0

    [failure] = fresh_bus.emit_sync("employee.created", employee_id=3)
    assert isinstance(failure.error, ZeroDivisionError)
    assert seen == [3]


async def test_emit_sync_refuses_where_a_loop_runs_and_says_what_to_do(fresh_bus: EventBus) -> None:
    with pytest.raises(RuntimeError, match=r'write await emit\("employee.created", ...\)'):
        fresh_bus.emit_sync("employee.created")
    assert not await asyncio.to_thread(fresh_bus.emit_sync, "employee.created", self=1, event=2)
