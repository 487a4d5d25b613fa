"""What the running code is part of: an emit whose publications are stored, or a delivery."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Emitted(NamedTuple):
    """An emit whose publications are stored, or wait with it.

    Args:
        event_id: of the emit.
    """

    event_id: str


class Delivery(NamedTuple):
    """A publication that is being delivered.

    Args:
        event_id: of the emit.
        subscription: whose function is to run.
        tx: what it is given first; None where it does not ask for it.
    """

    event_id: str
    subscription: object
    tx: object = None


running: ContextVar[Emitted | Delivery | None] = ContextVar("fastsoy_events_durable.running", default=None)


def current_event_id() -> str | None:
    """Return the id of the event that the running handler handles: the same one at each attempt.

    It is what to hand on where something else removes duplicates, such as a mail provider's idempotency key.

    Returns:
        The id; None outside of handlers, and in those of events that have no durable handler.

    Example:
        >>> current_event_id() is None
        True
    """
    now = running.get()
    return now and now.event_id
