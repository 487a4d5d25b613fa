"""What this package raises."""

from __future__ import annotations

from fastsoy_events import EventsError

__all__ = ["EnvelopeError", "RefusedError", "RelayError"]


class RelayError(EventsError):
    """The relay cannot start: no broker answers, or it is not set up as the relay needs it."""


class EnvelopeError(EventsError):
    """A message is not a CloudEvent that can be emitted; the text says why, and nothing of what it carries."""


class RefusedError(EventsError):
    """The broker will never take this message, however often it is sent."""
