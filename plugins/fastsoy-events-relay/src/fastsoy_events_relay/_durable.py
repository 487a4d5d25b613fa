"""What the relay asks of a database, where the application has one that keeps events: a `Durable` does all of it."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = ["Durable", "Endless", "handler_id_of"]


class Durable(Protocol):
    """A `fastsoy_events_durable.Durable`, as far as the relay uses it."""

    @abstractmethod
    def receiver(
        self, handler_id: str, *, retry: Any
    ) -> Callable[[Callable[[str, str, dict[str, Any]], Awaitable[None]]], object]:
        """Register what is called with each event that is published for an id, until it returns."""

    @abstractmethod
    async def publish(self, handler_id: str, event: str, payload: Mapping[str, object], *, event_id: str) -> object:
        """Keep an event for an id, in the transaction that is open."""

    @abstractmethod
    def inbox(self, source: str, event_id: str, *, consumer: str) -> AbstractAsyncContextManager[bool]:
        """Open a transaction that records an event; it gives False where a consumer's was recorded before."""


class Endless(NamedTuple):
    """How an event is tried again that the broker does not take: for ever, since it is the broker that is away."""

    attempts: int = 1_000_000_000
    first: float = 1.0
    longest: float = 30.0

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after an attempt."""
        wait = min(self.longest, self.first * 2.0 ** min(attempts - 1, 30))
        return wait * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def handler_id_of(app: str) -> str:
    """Return the id under which an application's events wait in the database to be forwarded."""
    return f"relay.{app.replace('-', '_')}"
