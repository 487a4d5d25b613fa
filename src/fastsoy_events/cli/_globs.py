"""Which events are asked for, and what to say where none is."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def matches(event: str, event_glob: str | None) -> bool:
    """Tell whether an event is asked for; all are, where there is no pattern."""
    return event_glob is None or fnmatchcase(event, event_glob)


def no_match(event_glob: str, events: Sequence[str]) -> str:
    """Return what to say where no event matches a pattern.

    Args:
        event_glob: the pattern.
        events: the events that there are.
    """
    message = f"no event matches {event_glob!r}"
    nearest = get_close_matches(event_glob.translate(dict.fromkeys(map(ord, "*?[]"))), events, n=1, cutoff=0.0)
    return f"{message}; the nearest is {nearest[0]!r}" if nearest else f"{message}: no handler is registered"
