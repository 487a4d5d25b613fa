"""What emits, listings and isolation give. Read by the type checkers; never run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, assert_type

from fastsoy_events import (
    EventBus,
    Failures,
    Handler,
    HandlerFailure,
    LoadReport,
    Plugin,
    PluginBus,
    PluginError,
    bus,
    discover,
    emit,
    handlers,
    load_plugins,
    plugins,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path


async def use_emits() -> None:
    """Emit in every way."""
    assert_type(bus, PluginBus)
    # The checkers name the type of a coroutine differently: so both kinds are taken for what they share.
    coroutine: Coroutine[Any, Any, Failures] = emit("employee.created", employee_id=1, event=2, self=3)
    assert_type(await coroutine, Failures)
    of_its_own: Coroutine[Any, Any, Failures] = EventBus().emit("employee.created")
    assert_type(await of_its_own, Failures)
    assert_type(await bus.emit("employee.created", employee_id=1), Failures)
    assert_type(asyncio.create_task(emit("employee.created")), asyncio.Task[Failures])
    assert_type(asyncio.run(emit("employee.created")), Failures)


def use_failures(failures: Failures) -> None:
    """Look at what went wrong."""
    for failure in failures:
        assert_type(failure, HandlerFailure)
        assert_type(failure.event, str)
        assert_type(failure.handler, Handler)
        assert_type(failure.error, BaseException)
    assert_type(failures[0], HandlerFailure)
    failures.raise_if_any()


def use_isolation(own: EventBus) -> None:
    """Empty a bus for a while."""
    with own.isolated() as emptied:
        assert_type(emptied, EventBus)
    with bus.isolated():
        assert_type(load_plugins(), LoadReport)


def use_listings(folder: Path) -> None:
    """List what there is."""
    assert_type(handlers(), tuple[Handler, ...])
    assert_type(handlers("employee.created"), tuple[Handler, ...])
    assert_type(EventBus().handlers(), tuple[Handler, ...])
    assert_type(plugins(), tuple[Plugin, ...])
    assert_type(discover([folder, "more"]), tuple[Plugin, ...])
    report = load_plugins(path=[folder], order=("hr",), allowed={"acme"}, disabled=["notify"], strict=True)
    assert_type(report.plugins, tuple[Plugin, ...])
    assert_type(report.failures, tuple[PluginError, ...])
    assert_type(report.fingerprint, str)
