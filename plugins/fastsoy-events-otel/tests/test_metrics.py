"""Metrics: emits, failures, and how long handlers take."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from fastsoy_events import deferred, emit, on

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Spans

    from fastsoy_events import PluginBus

    Measured: TypeAlias = Callable[[], dict[str, Any]]

BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

pytestmark = pytest.mark.usefixtures("traced")


def points(metric: dict[str, Any]) -> list[tuple[dict[str, Any], int]]:
    """Return a metric's attributes, each with how often they were measured."""
    found = metric["data"]["data_points"]
    return [(point["attributes"], point["count" if "count" in point else "value"]) for point in found]


def of_emit(**more: str) -> dict[str, str]:
    return {
        "messaging.system": "fastsoy_events",
        "messaging.operation.name": "emit",
        "messaging.destination.name": "employee.created",
        **more,
    }


def of_handler(function: Callable[..., object], **more: str) -> dict[str, str]:
    name = f"{function.__module__}.{function.__qualname__}"
    return {**of_emit(), "messaging.operation.name": "handle", "code.function.name": name, **more}


async def test_emits_are_counted_by_event(measured: Measured) -> None:
    for number in range(3):
        await emit("employee.created", employee_id=number)
    metric = measured()["fastsoy_events.emits"]
    assert metric["unit"] == "{emit}"
    assert points(metric) == [(of_emit(), 3)]
    assert metric["data"]["is_monotonic"]


async def test_handlers_are_timed_in_seconds_and_in_the_buckets_that_the_conventions_advise(measured: Measured) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None: ...

    @on("employee.created")
    def count(**_: object) -> None: ...

    for number in range(2):
        await emit("employee.created", employee_id=number)
    metric = measured()["messaging.process.duration"]
    assert metric["unit"] == "s"
    assert points(metric) == [(of_handler(greet), 2), (of_handler(count), 2)]
    for point in metric["data"]["data_points"]:
        assert point["explicit_bounds"] == BOUNDARIES


async def test_the_time_is_that_of_the_handler_and_not_of_the_whole_emit(measured: Measured) -> None:
    own: list[float] = []

    @on("employee.created")
    def count(**_: object) -> None:
        started = perf_counter()
        own.append(perf_counter() - started)

    started = perf_counter()
    await emit("employee.created")
    whole = perf_counter() - started
    [point] = measured()["messaging.process.duration"]["data"]["data_points"]
    assert own[0] <= point["sum"] <= whole


async def test_failures_are_counted_by_handler_and_error(measured: Measured) -> None:
    @on("employee.created")
    async def fail(**payload: object) -> None:
        raise LookupError if payload["employee_id"] == 1 else ValueError

    @on("employee.created")
    async def greet(**_: object) -> None: ...

    for number in (1, 2, 1):
        await emit("employee.created", employee_id=number)
    metrics = measured()
    lookup, value = (of_handler(fail, **{"error.type": name}) for name in ("LookupError", "ValueError"))
    assert metrics["fastsoy_events.handler.failures"]["unit"] == "{failure}"
    assert points(metrics["fastsoy_events.handler.failures"]) == [(lookup, 2), (value, 1)]
    assert points(metrics["messaging.process.duration"]) == [(lookup, 2), (of_handler(greet), 3), (value, 1)]
    assert points(metrics["fastsoy_events.emits"]) == [(of_emit(), 3)]


async def test_a_cancelled_emit_is_no_handlers_failure(measured: Measured) -> None:
    hangs = asyncio.Event()

    @on("employee.created")
    async def hang(**_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    emitting = asyncio.create_task(emit("employee.created"))
    await hangs.wait()
    emitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await emitting
    metrics = measured()
    cancelled = {"error.type": "asyncio.exceptions.CancelledError"}
    assert "fastsoy_events.handler.failures" not in metrics
    assert points(metrics["messaging.process.duration"]) == [(of_handler(hang, **cancelled), 1)]
    assert points(metrics["fastsoy_events.emits"]) == [(of_emit(**cancelled), 1)]


async def test_a_cancellation_that_leaks_out_of_a_handler_is_its_failure(measured: Measured) -> None:
    @on("employee.created")
    async def leak(**_: object) -> None:
        raise asyncio.CancelledError

    assert len(await emit("employee.created")) == 1
    leaked = of_handler(leak, **{"error.type": "asyncio.exceptions.CancelledError"})
    assert points(measured()["fastsoy_events.handler.failures"]) == [(leaked, 1)]


async def test_a_deferred_emit_is_counted_once_and_its_handlers_when_they_run(measured: Measured) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None:
        raise LookupError("no")

    async with deferred():
        await emit("employee.created")
        assert list(measured()) == ["fastsoy_events.emits"]
    metrics = measured()
    assert "fastsoy_events.emits" not in metrics
    failed = of_handler(greet, **{"error.type": "LookupError"})
    assert points(metrics["messaging.process.duration"]) == [(failed, 1)]
    assert points(metrics["fastsoy_events.handler.failures"]) == [(failed, 1)]


async def test_no_payload_is_in_any_span_or_metric(measured: Measured, spans: Spans, traced: PluginBus) -> None:
    @on("employee.created")
    async def greet(salary: str, **_: object) -> None: ...

    @on("employee.created")
    def fail(salary: str, **_: object) -> None:
        raise LookupError("no desk is free")

    @on("employee.created")
    async def misfit(employee_id: int) -> None: ...

    @on("employee.created", timeout=0.001)
    async def hang(salary: str, **_: object) -> None:
        await asyncio.Event().wait()

    payload = {"salary": "a secret", "nested": {"key": ["a secret"]}, "error": LookupError("a secret")}
    async with deferred():
        await emit("employee.created", **payload)
    assert len(await emit("employee.created", **payload)) == 3
    told = [span.to_json() for span in spans.ended()] + [str(metric) for metric in measured().values()]
    assert len(told) == 13
    assert "LookupError" in "".join(told)
    assert "a secret" not in "".join(told)
