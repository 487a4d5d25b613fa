"""Outbound: a bounded queue, and one task that sends what is in it. An emit never waits for the broker."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

from fastsoy_events_relay._engine import Letter
from fastsoy_events_relay._envelope import sealed
from fastsoy_events_relay._errors import RefusedError
from fastsoy_events_relay._report import logger, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastsoy_events_relay._engine import Send
    from fastsoy_events_relay._settings import Settings
    from fastsoy_events_relay._tally import Tally

__all__ = ["Outbound", "letter_of"]

MOST_AT_ONCE = 128
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts while the broker takes nothing
_SENDABLE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def letter_of(settings: Settings, event: str, event_id: str, payload: Mapping[str, object], time: str) -> Letter:
    """Return an event as it is sent.

    Args:
        settings: the relay's.
        event: the event's name.
        event_id: unique among the events of this application.
        payload: the keywords of the emit.
        time: when it was emitted.

    Raises:
        EnvelopeError: for a payload that is not JSON.
        RefusedError: for a name that cannot be sent, and for what is too large.
    """
    if not _SENDABLE.fullmatch(event):
        raise RefusedError("the name has other characters than letters, digits, _, - and single dots")
    body = sealed(event=event, event_id=event_id, source=settings.source, payload=payload, time=time)
    if len(body) > settings.largest:
        raise RefusedError(f"it has {len(body)} bytes, and Relay(largest=...) allows {settings.largest}")
    return Letter(event, event_id, body)


class Outbound:
    """What waits to be sent.

    Args:
        settings: the relay's.
        send: sends messages; the engine's.
        tally: counts what becomes of them.
    """

    def __init__(self, settings: Settings, send: Send, tally: Tally) -> None:
        self._settings = settings
        self._send = send
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Letter] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._drained = asyncio.Event()
        self._is_dropping = False
        self._is_closed = False
        self._failing_since: float | None = None

    def __len__(self) -> int:
        return len(self._queue)

    async def put(self, letter: Letter) -> None:
        """Have a message sent; from any thread and event loop. Whether it waits where there is no room is a setting."""
        if self._settings.when_full == "wait" and self._is_full:
            await self._wait_for_room()
        if self._is_closed or self._is_full:
            self._drop(letter)
            return
        self._queue.append(letter)
        self._call(self._filled.set)

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= self._settings.queue_size

    def _call(self, function: Callable[[], object]) -> None:
        """Call what belongs to the relay's event loop from whichever is running."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:  # a plain coroutine that somebody drives by hand
            running = None
        if running is self._loop:
            function()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    async def _wait_for_room(self) -> None:
        if asyncio.get_running_loop() is self._loop:
            await self._until_room()
        elif not self._loop.is_closed():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._until_room(), self._loop))

    async def _until_room(self) -> None:
        while self._is_full and not self._is_closed:
            self._room.clear()
            await self._room.wait()

    def _drop(self, letter: Letter) -> None:
        self._tally.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            reason = "the relay is closed" if self._is_closed else f"{len(self._queue)} events wait for the broker"
            logger.error(
                "Event not forwarded: %s: %s. Further ones are dropped too, and counted, until there is room",
                shown(letter.event), reason,
            )  # fmt: skip

    async def run(self) -> None:
        """Send what is put in, in that order, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            if not self._queue:
                self._drained.set()
                self._filled.clear()
                await self._filled.wait()
                self._drained.clear()
            if await self._send_some():
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _send_some(self) -> bool:
        """Send the first of the queue; tell whether the broker took them all, or refused them for good."""
        letters = list(islice(self._queue, MOST_AT_ONCE))
        results = await self._send(letters)
        left: list[Letter] = []
        why: Exception | None = None
        for letter, error in zip(letters, results, strict=True):
            if error is None:
                self._tally.forwarded += 1
            elif isinstance(error, RefusedError):
                self.refuse(letter.event, error)
            else:
                left.append(letter)
                why = why or error
        for _ in letters:
            self._queue.popleft()
        self._queue.extendleft(reversed(left))
        self._make_room()
        self._note_outage(why)
        return not left

    def _make_room(self) -> None:
        if not self._is_full:
            self._room.set()
        if len(self._queue) <= self._settings.queue_size // 2:
            self._is_dropping = False

    def refuse(self, event: str, error: Exception) -> None:
        """Log and count an event that can never be forwarded."""
        self._tally.refused += 1
        logger.error("Event cannot be forwarded: %s: %s", shown(event), shown(error))

    def _note_outage(self, error: Exception | None) -> None:
        """Log once that the broker takes nothing, and once that it does again."""
        if error is not None and self._failing_since is None:
            self._failing_since = monotonic()
            logger.warning(
                "Broker %s takes no events: %s. They wait, %s at most, and are sent again and again",
                self._settings.place, shown(error) or type(error).__name__, self._settings.queue_size,
            )  # fmt: skip
        elif error is None and self._failing_since is not None:
            seconds = monotonic() - self._failing_since
            self._failing_since = None
            logger.warning("Broker %s takes events again, after %.1f s", self._settings.place, seconds)

    async def finish(self, seconds: float) -> None:
        """Wait until everything is sent, but no longer than a time; what is left then is lost, and counted."""
        if self._queue:
            self._drained.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._drained.wait()
            except TimeoutError:
                pass
        self._is_closed = True
        self._room.set()

    def abandon(self) -> None:
        """Count what was not sent, once nothing sends any more."""
        left = len(self._queue)
        self._queue.clear()
        if left:
            self._tally.dropped += left
            logger.error(
                "%d events were not forwarded: broker %s did not take them within %s s of the relay's end",
                left, self._settings.place, self._settings.grace,
            )  # fmt: skip
