"""What stands around emits and handlers; the entry point `otel` names this file."""

from __future__ import annotations

from inspect import isasyncgen, isawaitable, isgenerator
from typing import TYPE_CHECKING, Any

from fastsoy_events import hookimpl
from fastsoy_events_otel._telemetry import FAILURES_OF_EMIT, Running, count_failure, emitting, handling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastsoy_events import Failures, Handler, HandlerFailure

__all__ = ["fastsoy_events_handler_failed", "fastsoy_events_wrap_emit", "fastsoy_events_wrap_handler"]


@hookimpl
def fastsoy_events_wrap_emit(
    event: str, call: Callable[..., Awaitable[Failures]]
) -> Callable[..., Coroutine[Any, Any, Failures]]:
    """Put a span around an event's emits, and count them.

    Args:
        event: the event's name.
        call: runs its handlers, or keeps the emit until `deferred()` is done.
    """
    operation = emitting(event)

    async def emit_in_span(**payload: object) -> Failures:
        with Running(operation) as span:
            failures = await call(**payload)
            if failures:  # each is its handler's error, and taken care of: the emit itself has not failed
                span.set_attribute(FAILURES_OF_EMIT, len(failures))
            return failures

    return emit_in_span


@hookimpl
def fastsoy_events_wrap_handler(handler: Handler, call: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Put a span around a handler, and measure how long it takes.

    Args:
        handler: the handler.
        call: runs it, within its limits.
    """
    operation = handling(handler)

    async def handle_in_span(**payload: object) -> Any:
        with Running(operation):
            result = call(**payload)
            if isawaitable(result):
                return await result
            if isgenerator(result) or isasyncgen(result):  # the bus would refuse it, did it see it
                raise TypeError(
                    "the handler returned a generator, and nothing runs its body: let it return None or a coroutine"
                )
            return result

    return handle_in_span


@hookimpl
def fastsoy_events_handler_failed(failure: HandlerFailure) -> None:
    """Count a handler's failure.

    Args:
        failure: the handler, and what it raised.
    """
    count_failure(failure.handler, failure.error)
