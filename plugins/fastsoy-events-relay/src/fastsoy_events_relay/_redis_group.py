"""One application's consumer group of a Redis stream: what was delivered, and to whom it goes next."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from redis.exceptions import RedisError, ResponseError

from fastsoy_events_relay._engine import cancelled
from fastsoy_events_relay._report import logger, shown

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from fastsoy_events_relay._settings import Settings

__all__ = ["Group"]

FORGOTTEN_MILLISECONDS = 24 * 3600 * 1000  # a consumer that has not shown up for so long is gone


class Group:
    """The group, as one consumer of it sees it.

    An entry that was delivered is pending, at its consumer, until it is acknowledged. One that has been idle there for
    `acknowledge_within` may be claimed by any consumer.

    Args:
        settings: the relay's.
        client: the way to Redis.
    """

    def __init__(self, settings: Settings, client: Redis) -> None:
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._client = client
        self._stream = settings.stream
        self._name = settings.app
        self._in_flight = settings.in_flight
        self.idle = max(1, round(settings.acknowledge_within * 1000))  # milliseconds
        self._postponed: set[bytes] = set()
        self._handled: list[bytes] = []
        self._acknowledging: asyncio.Task[None] | None = None

    async def create(self) -> bool:
        """Create the group where there is none, at the stream's beginning; tell whether it was absent."""
        try:
            await self._client.xgroup_create(self._stream, self._name, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            return False
        return True

    async def forget_consumers(self) -> None:
        """Delete consumers of processes that have ended long ago, once others have taken over what they had."""
        for consumer in await self._client.xinfo_consumers(self._stream, self._name):
            if consumer["pending"] == 0 and consumer["idle"] > FORGOTTEN_MILLISECONDS:
                await self._client.xgroup_delconsumer(self._stream, self._name, consumer["name"])

    # One entry

    def note_delivered(self, entry: bytes) -> None:
        """Note that an entry is in hand, be it for the first time or again."""
        self._postponed.discard(entry)

    async def acknowledge(self, entry: bytes) -> None:
        """Acknowledge an entry, soon: those that are handled while Redis answers go together."""
        self._handled.append(entry)
        if self._acknowledging is None or self._acknowledging.done():
            self._acknowledging = asyncio.create_task(self._acknowledge(), name="fastsoy-events-relay: acknowledge")
        if 2 * len(self._handled) >= self._in_flight:
            await asyncio.wait([self._acknowledging])

    async def _acknowledge(self) -> None:
        while self._handled:
            entries, self._handled = self._handled, []
            try:
                await self._client.xack(self._stream, self._name, *entries)
            except (RedisError, OSError, TimeoutError) as error:
                logger.debug("Messages could not be acknowledged, and will come again: %s", shown(error))

    async def postpone(self, entry: bytes, seconds: float) -> None:
        """Have an entry become idle, and so be claimed, after a time."""
        self._postponed.add(entry)
        await self._set_idle([entry], max(0, self.idle - round(seconds * 1000)))

    async def attempt(self, entry: bytes) -> int:
        """Return how often an entry was delivered."""
        found = await self._pending(entry, entry, 1)
        return int(found[0]["times_delivered"]) if found else 1

    # All that this consumer has

    async def keep(self) -> None:
        """Keep what is in hand from being claimed."""
        entries = await self._in_hand()
        self._postponed.intersection_update(entries)
        await self._set_idle([each for each in entries if each not in self._postponed], 0)

    async def leave(self) -> None:
        """Let others claim at once what was not begun, and delete the consumer where it has nothing."""
        if self._acknowledging is not None:
            await asyncio.wait([self._acknowledging])
        entries = await self._in_hand()
        await self._set_idle([each for each in entries if each not in self._postponed], self.idle)
        if not entries:
            await self._client.xgroup_delconsumer(self._stream, self._name, self.consumer)

    async def close(self) -> None:
        """End what runs, whether or not Redis answers."""
        await cancelled(self._acknowledging)

    async def _in_hand(self) -> list[bytes]:
        return [each["message_id"] for each in await self._pending("-", "+", 2 * self._in_flight)]

    async def _pending(self, first: bytes | str, last: bytes | str, most: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._client.xpending_range(
            self._stream, self._name, first, last, most, self.consumer
        )
        return found

    async def _set_idle(self, entries: list[Any], milliseconds: int) -> None:
        if entries:
            await self._client.xclaim(
                self._stream, self._name, self.consumer, 0, entries, idle=milliseconds, justid=True
            )
