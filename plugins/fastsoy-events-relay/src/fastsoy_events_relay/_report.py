"""Everything that the relay logs, on the logger `fastsoy_events.relay`. Payloads are never logged."""

from __future__ import annotations

import logging

__all__ = ["logger", "shown"]

logger = logging.getLogger("fastsoy_events.relay")

_LONGEST = 200  # characters


def shown(text: object) -> str:
    """Return a text that somebody else wrote as it may stand in a log: on one line, and not too long."""
    line = str(text)
    line = line if line.isprintable() else ascii(line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
