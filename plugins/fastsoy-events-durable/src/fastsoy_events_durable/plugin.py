"""What stands around emits; the entry point `durable` names this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastsoy_events import hookimpl
from fastsoy_events_durable._publish import storing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastsoy_events import Failures

__all__ = ["fastsoy_events_wrap_emit"]


@hookimpl
def fastsoy_events_wrap_emit(
    event: str, call: Callable[..., Awaitable[Failures]]
) -> Callable[..., Coroutine[Any, Any, Failures]]:
    """Store an event's emits for its durable handlers, before `deferred()` keeps them and ordinary handlers run.

    Args:
        event: the event's name.
        call: runs its handlers, or keeps the emit until `deferred()` is done.
    """
    return storing(event, call)
