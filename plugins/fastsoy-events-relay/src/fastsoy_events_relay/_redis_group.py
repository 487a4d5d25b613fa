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
    from collections.abc import Callable

    from redis.asyncio import Redis

    from fastsoy_events_relay._settings import Settings

__all__ = ["Group"]

FORGOTTEN_MILLISECONDS = 24 * 3600 * 1000  # a consumer that has not shown up for so long is gone
PAGE = 1000  # pending entries that are asked for at once


class Group:
    """The group, as one consumer of it sees it.

    An entry that was delivered is pending, at its consumer, until it is acknowledged. One that has been idle there for
    `acknowledge_within` may be claimed by any consumer. Only what is in hand is kept from becoming idle: an entry whose
    reply was lost with a connection is pending too, but nobody knows of it here, and so it has to be claimed.

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
        self._in_hand: set[bytes] = set()
        self._handled: list[bytes] = []  # in hand still, until Redis has acknowledged that they are acknowledged
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

    def watch(self) -> None:
        """Note each batch as soon as its reply is read: FastStream shows its entries one after the other."""
        parse: Callable[..., Any] = self._client.response_callbacks["XREADGROUP"]

        def noted(response: Any, **options: Any) -> Any:
            batches = parse(response, **options)
            for _, entries in batches:
                self._in_hand.update(entry for entry, *_ in entries)
            return batches

        self._client.set_response_callback("XREADGROUP", noted)

    # One entry

    def note_delivered(self, entry: bytes) -> None:
        """Note that an entry is in hand, be it for the first time or again."""
        self._in_hand.add(entry)

    async def acknowledge(self, entry: bytes) -> None:
        """Acknowledge an entry, soon: those that are handled while Redis answers go together."""
        self._handled.append(entry)
        acknowledging = self._begin_to_acknowledge()
        if 2 * len(self._handled) >= self._in_flight:
            await asyncio.wait([acknowledging])

    def _begin_to_acknowledge(self) -> asyncio.Task[None]:
        if self._acknowledging is None or self._acknowledging.done():
            self._acknowledging = asyncio.create_task(self._acknowledge(), name="fastsoy-events-relay: acknowledge")
        return self._acknowledging

    async def _acknowledge(self) -> None:
        while self._handled:
            entries, self._handled = self._handled, []
            try:
                await self._client.xack(self._stream, self._name, *entries)
            except (RedisError, OSError, TimeoutError) as error:
                self._handled = entries + self._handled
                logger.debug("Messages could not be acknowledged, which is tried again: %s", shown(error))
                return
            self._in_hand.difference_update(entries)

    async def postpone(self, entry: bytes, seconds: float) -> None:
        """Have an entry become idle, and so be claimed, after a time."""
        self._in_hand.discard(entry)
        await self._set_idle([entry], max(0, self.idle - round(seconds * 1000)))

    async def attempt(self, entry: bytes) -> int:
        """Return how often an entry was delivered."""
        found = await self._pending(entry, entry, 1)
        return int(found[0]["times_delivered"]) if found else 1

    # All that is in hand

    async def keep(self) -> None:
        """Keep what is in hand from being claimed."""
        if self._handled:
            self._begin_to_acknowledge()
        await self._set_idle(await self._still_mine(), 0)

    async def leave(self) -> None:
        """Let others claim at once what was not begun, and delete the consumer where it has nothing."""
        if self._handled:
            self._begin_to_acknowledge()
        if self._acknowledging is not None:
            await asyncio.wait([self._acknowledging])
        await self._set_idle(await self._still_mine(), self.idle)
        if not await self._pending("-", "+", 1):  # with what it has, it would take it away from everybody
            await self._client.xgroup_delconsumer(self._stream, self._name, self.consumer)

    async def close(self) -> None:
        """End what runs, whether or not Redis answers."""
        await cancelled(self._acknowledging)

    async def _still_mine(self) -> list[bytes]:
        """Return what is in hand and was not claimed by somebody else meanwhile."""
        if not self._in_hand:
            return []
        first, last = min(self._in_hand, key=_place), max(self._in_hand, key=_place)
        found: list[bytes] = []
        page = await self._pending(first, last, PAGE)
        while page:
            found += [each["message_id"] for each in page]
            page = await self._pending(b"(" + found[-1], last, PAGE) if len(page) == PAGE else []
        return [each for each in found if each in self._in_hand]

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


def _place(entry: bytes) -> tuple[int, ...]:
    return tuple(map(int, entry.split(b"-")))
