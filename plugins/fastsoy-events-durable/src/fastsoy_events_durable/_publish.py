"""Publishing: what stands around every emit, and stores what durable handlers are to get of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastsoy_events import bus
from fastsoy_events_durable._context import Emitted, running
from fastsoy_events_durable._declare import subscription_of
from fastsoy_events_durable._model import Publication
from fastsoy_events_durable._payload import encoded, key_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from fastsoy_events import Failures
    from fastsoy_events_durable._declare import Subscription
    from fastsoy_events_durable._durable import Durable

_events: set[str] = set()


def expect(event: str) -> None:
    """Have an event's emits be looked at: it has a durable handler."""
    _events.add(event)


def storing(event: str, call: Callable[..., Awaitable[Failures]]) -> Callable[..., Coroutine[Any, Any, Failures]]:
    """Return what an event's emits call: it stores the emit for durable handlers, then goes on.

    Args:
        event: the event's name.
        call: runs its handlers, or keeps the emit until `deferred()` is done.
    """

    async def emit_durably(**payload: object) -> Failures:
        subscriptions = _subscriptions(event) if event in _events else ()
        if not subscriptions:
            return await call(**payload)
        emitted = Emitted(uuid4().hex)
        for durable, publications in _publications(event, emitted.event_id, subscriptions, payload).items():
            await durable._store(event, publications)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package
        token = running.set(emitted)
        try:
            return await call(**payload)
        finally:
            running.reset(token)

    return emit_durably


def _subscriptions(event: str) -> list[Subscription]:
    """Return the durable handlers that take part; those of a plugin that is disabled do not."""
    return [
        subscription
        for handler in bus.handlers(event)
        if (subscription := subscription_of(handler.function)) is not None
    ]


def _publications(
    event: str, event_id: str, subscriptions: list[Subscription], payload: Mapping[str, object]
) -> dict[Durable, list[Publication]]:
    """Return what is to be stored in each database; what cannot be stored in one raises before any has."""
    text = encoded(event, payload)
    stored: dict[Durable, list[Publication]] = {}
    for each in subscriptions:
        key = key_of(event, each.key, payload)
        stored.setdefault(each.durable, []).append(Publication(event_id, event, each.id, key, text))
    return stored


async def defer(event: str, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
    """Run something when an event's handlers would run: at once, or when the outermost block has ended well."""
    await bus.defer(event, partial(function, *arguments))
