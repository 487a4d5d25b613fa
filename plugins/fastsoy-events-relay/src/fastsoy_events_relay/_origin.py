"""Where an event comes from: what was received is not forwarded, and what its handlers emit is."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

__all__ = ["Received", "current_event_id", "handling", "receiving", "taken"]

T = TypeVar("T")


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


def receiving(token: Received) -> AbstractContextManager[None]:
    """Lay a token down for the emit inside the block."""
    return _having(_received, token)


def taken(event: str) -> Received | None:
    """Take the token, where the emit of an event is the one that it was laid down for: there is one for each.

    So what the event's handlers emit, be it an event of the same name, is an event of its own.
    """
    token = _received.get()
    if token is None or token.event != event:
        return None
    _received.set(None)
    return token


def handling(event_id: str | None) -> AbstractContextManager[None]:
    """Have `current_event_id()` return an id inside the block."""
    return _having(_event_id, event_id)


@contextmanager
def _having(variable: ContextVar[T | None], value: T | None) -> Generator[None]:
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)
