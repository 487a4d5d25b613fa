"""Outages: how long to wait for a database that does not answer, and what is said of it."""

from __future__ import annotations

import logging
from time import monotonic

_LONGEST = 30.0

logger = logging.getLogger("fastsoy_events.durable")


class Outage:
    """Whether a database answers; it is logged once when it stops, and once when it is back.

    Args:
        label: what the database is called.
        first: seconds until it is tried again for the first time; each further wait is twice as long, up to 30 s.
    """

    def __init__(self, label: str, first: float = 0.1) -> None:
        self._label = label
        self._first = first
        self._wait = first
        self._began: float | None = None

    def began(self, error: Exception) -> float:
        """Note that the database did not answer, and return the seconds to wait."""
        if self._began is None:
            self._began = monotonic()
            logger.error(
                "Durable handlers wait, since their database failed: %s: %s: %s. It is tried again until it answers",
                self._label,
                type(error).__name__,
                error,
                exc_info=error,
            )
        wait, self._wait = self._wait, min(self._wait * 2, _LONGEST)
        return wait

    def ended(self) -> None:
        """Note that the database answers."""
        if self._began is not None:
            logger.warning(
                "Durable handlers go on: %s answers again, after %.1f s", self._label, monotonic() - self._began
            )
            self._began = None
            self._wait = self._first
