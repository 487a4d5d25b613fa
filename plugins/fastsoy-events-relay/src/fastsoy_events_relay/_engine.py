"""What an engine does: it moves messages to and from one broker, and knows nothing of events."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from fastsoy_events_relay._settings import Settings

__all__ = ["Delivery", "Engine", "Letter", "Send", "Take", "cancelled", "ended_within", "engine_for"]


class Letter(NamedTuple):
    """A message to send.

    Args:
        event: the event's name, by which the broker may tell who wants it.
        id: the event's id.
        body: the message.
    """

    event: str
    id: str
    body: bytes


class Delivery(Protocol):
    """A message that was received, and waits to be acknowledged."""

    @property
    @abstractmethod
    def body(self) -> bytes:
        """Return the message."""

    @abstractmethod
    async def acknowledge(self) -> None:
        """Tell the broker that it is done with."""

    @abstractmethod
    async def postpone(self, seconds: float) -> None:
        """Have the broker deliver it again after a time."""

    @abstractmethod
    async def attempt(self) -> int:
        """Return how often it was delivered, this time included."""


if TYPE_CHECKING:
    Take: TypeAlias = Callable[[Delivery], Awaitable[None]]
    Send: TypeAlias = Callable[[Sequence[Letter]], Awaitable[Sequence[Exception | None]]]


class Engine(Protocol):
    """The way to one broker."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Tell whether the broker can be reached, as far as is known."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, create on the broker what is absent, and begin to receive."""

    @abstractmethod
    async def until_lost(self) -> None:
        """Return when the connection has ended for good, and has to be opened anew."""

    @abstractmethod
    async def stop_receiving(self) -> None:
        """Finish the message that is being handled, and give those that were not begun back to the broker."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection; quick, and without an error, also where the broker is gone."""

    @abstractmethod
    async def send(self, letters: Sequence[Letter]) -> Sequence[Exception | None]:
        """Send messages, and wait for the broker to acknowledge them.

        Returns:
            For each, None where it was acknowledged; a `RefusedError` where it never will be, or else why not now.
        """

    @abstractmethod
    async def bury(self, body: bytes) -> None:
        """Put a message among the dead letters.

        Raises:
            Exception: when the broker does not acknowledge it.
        """


def engine_for(settings: Settings, take: Take) -> Engine:
    """Return the engine for a URL; its broker's client is imported only then.

    Args:
        settings: the relay's.
        take: is given each message, one at a time.
    """
    if settings.engine == "nats":
        from fastsoy_events_relay._nats import NatsEngine

        return NatsEngine(settings, take)
    from fastsoy_events_relay._redis import RedisEngine

    return RedisEngine(settings, take)


async def ended_within(seconds: float, work: Awaitable[object]) -> None:
    """Await what closes something, but not for long, and whatever it raises: it is being left behind."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception:  # noqa: BLE001 - a broker that is gone makes every good-bye fail in its own way
        return


async def cancelled(*tasks: asyncio.Task[Any] | None) -> None:
    """End tasks, and wait until they have: a client may swallow a cancellation, so one is not always enough."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)
