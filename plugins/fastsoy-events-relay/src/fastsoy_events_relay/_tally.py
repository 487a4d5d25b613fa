"""What a relay has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a relay has done since it was opened.

    Args:
        forwarded: events that the broker has acknowledged.
        dropped: events that were not forwarded: the queue was full, or the relay was closed before they were sent.
        refused: events that cannot be forwarded: their payload is not JSON or too large, or their name cannot be sent.
        received: events that were received and emitted.
        skipped: messages that are none of this application's business: its own, or not among what it receives.
        duplicates: messages that were received before, and were not emitted again.
        redelivered: deliveries given back to the broker, to be delivered again.
        dead_lettered: messages that were put aside among the dead letters.

    Example:
        >>> Counts(forwarded=2).forwarded
        2
    """

    forwarded: int = 0
    dropped: int = 0
    refused: int = 0
    received: int = 0
    skipped: int = 0
    duplicates: int = 0
    redelivered: int = 0
    dead_lettered: int = 0


class Tally:
    """Counts; one number for each field of `Counts`."""

    def __init__(self) -> None:
        self.forwarded = 0
        self.dropped = 0
        self.refused = 0
        self.received = 0
        self.skipped = 0
        self.duplicates = 0
        self.redelivered = 0
        self.dead_lettered = 0

    def snapshot(self) -> Counts:
        """Return the numbers as they are now."""
        return Counts(**vars(self))
