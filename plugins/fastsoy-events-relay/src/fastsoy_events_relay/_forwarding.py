"""Which relays are open: the wrapper around an event's emits is made once, and relays come and go."""

from __future__ import annotations

from abc import abstractmethod
from threading import Lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Forwarder", "close", "forwarders_of", "open_for"]


class Forwarder(Protocol):
    """A relay, as an emit sees it."""

    @abstractmethod
    def forwards(self, event: str) -> bool:
        """Tell whether it forwards an event."""

    @abstractmethod
    async def forward(self, event: str, event_id: str, payload: Mapping[str, object]) -> None:
        """Forward one emit."""


_lock = Lock()
_open: tuple[Forwarder, ...] = ()


def open_for(forwarder: Forwarder) -> None:
    """Have emits forwarded from now on."""
    global _open
    with _lock:
        _open = (*_open, forwarder)


def close(forwarder: Forwarder) -> None:
    """Have emits forwarded no longer."""
    global _open
    with _lock:
        _open = tuple(each for each in _open if each is not forwarder)


def forwarders_of(event: str) -> tuple[Forwarder, ...]:
    """Return the open relays that forward an event."""
    return tuple(each for each in _open if each.forwards(event)) if _open else ()
