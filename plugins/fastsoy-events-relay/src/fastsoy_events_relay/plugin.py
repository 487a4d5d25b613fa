"""What stands around emits; the entry point `relay` names this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastsoy_events import hookimpl
from fastsoy_events_relay._forwarding import forwarders_of
from fastsoy_events_relay._origin import current_event_id, handling, taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from fastsoy_events import Failures

__all__ = ["fastsoy_events_wrap_emit"]


@hookimpl
def fastsoy_events_wrap_emit(
    event: str, call: Callable[..., Awaitable[Failures]]
) -> Callable[..., Coroutine[Any, Any, Failures]]:
    """Forward an event's emits to the relays that are open at the time and forward it.

    Args:
        event: the event's name.
        call: runs its handlers, or keeps the emit until `deferred()` is done.
    """

    async def forward_and_emit(**payload: object) -> Failures:
        received = taken(event)
        forwarders = () if received else forwarders_of(event)
        if received:
            event_id = received.id
        elif forwarders:
            event_id = uuid4().hex
            for forwarder in forwarders:
                await forwarder.forward(event, event_id, payload)
        else:
            event_id = None
            if current_event_id() is None:
                return await call(**payload)
        with handling(event_id):
            return await call(**payload)

    return forward_and_emit
