"""Where an event comes from: what was received is not forwarded, and what its handlers emit is."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Received", "current_event_id", "handling", "receiving", "taken"]


class Received(NamedTuple):
    """A token for the one emit that a received event causes.

    Args:
        event: the event's name.
        id: the event's id, as its sender gave it.
    """

    event: str
    id: str


_received: ContextVar[Received | None] = ContextVar("fastsoy_events_relay.received", default=None)
_event_id: ContextVar[str | None] = ContextVar("fastsoy_events_relay.event_id", default=None)


def current_event_id() -> str | None:
    """Return the id under which the event was forwarded or received whose handler is running.

    It is the same in every application and at every delivery, so that handlers may tell by it what comes again.

    Returns:
        The id; None where the event is neither forwarded nor received.

    Example:
        >>> current_event_id() is None
        True
    """
    return _event_id.get()


@contextmanager
def receiving(token: Received) -> Generator[None]:
    """Lay a token down for the emit inside the block."""
    before = _received.get()
    _received.set(token)
    try:
        yield
    finally:
        _received.set(before)


def taken(event: str) -> Received | None:
    """Take the token, where the emit of an event is the one that it was laid down for: there is one for each.

    So what the event's handlers emit, be it an event of the same name, is an event of its own.
    """
    token = _received.get()
    if token is None or token.event != event:
        return None
    _received.set(None)
    return token


@contextmanager
def handling(event_id: str | None) -> Generator[None]:
    """Have `current_event_id()` return an id inside the block."""
    before = _event_id.get()
    _event_id.set(event_id)
    try:
        yield
    finally:
        _event_id.set(before)
