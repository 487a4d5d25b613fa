"""Outbound from the database: what waited there is sent when the durable handlers' dispatcher hands it over.

The dispatcher hands over one thing after the other, so that all durable handlers wait while it waits for the broker.
Hence, while the broker takes nothing, it does not wait: one event after each pause is tried, by the way.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from fastsoy_events_relay._engine import cancelled
from fastsoy_events_relay._errors import EnvelopeError, RefusedError, RelayError
from fastsoy_events_relay._outbound import letter_of
from fastsoy_events_relay._report import logger, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastsoy_events_relay._engine import Letter, Send
    from fastsoy_events_relay._settings import Settings
    from fastsoy_events_relay._tally import Tally

__all__ = ["Stored"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between the events that are tried while the broker takes nothing
PROBE_SECONDS = 0.2  # that the dispatcher waits for one of these


class Stored:
    """Sends events that waited in the database.

    Args:
        settings: the relay's.
        send: sends messages; the engine's.
        tally: counts what becomes of them.
    """

    def __init__(self, settings: Settings, send: Send, tally: Tally) -> None:
        self._settings = settings
        self._send = send
        self._tally = tally
        self._error: Exception | None = None  # why the broker takes nothing; None while it does
        self._pause = 0.0
        self._next_probe = 0.0
        self._probe: asyncio.Task[Exception | None] | None = None
        self._sent_late: set[str] = set()

    async def send(self, event: str, event_id: str, stored: Mapping[str, Any]) -> None:
        """Send an event; one that cannot be sent is logged, counted and done with.

        Args:
            event: its name.
            event_id: its id.
            stored: its payload as `data`, and the `time` of its emit.

        Raises:
            RelayError: when the broker does not take it; then it waits in the database further.
        """
        try:
            letter = letter_of(self._settings, event, event_id, stored["data"], stored["time"])
        except (EnvelopeError, RefusedError) as refusal:
            error: Exception | None = refusal
        else:
            error = await self._outcome(letter)
        if error is None:
            self._tally.forwarded += 1
        elif isinstance(error, EnvelopeError | RefusedError):
            self._tally.refused += 1
            logger.error("Event cannot be forwarded: %s, id %s: %s", shown(event), shown(event_id), shown(error))
        else:  # not itself: it may be one for all that waits, and its traceback would grow
            place, words = self._settings.place, f"{type(error).__name__}: {shown(error)}"
            raise RelayError(f"{place} has not taken an event: {words}")

    async def close(self) -> None:
        """End what runs."""
        await cancelled(self._probe)

    async def _outcome(self, letter: Letter) -> Exception | None:
        if letter.id in self._sent_late:
            self._sent_late.discard(letter.id)
            return None
        if self._error is None:
            return await self._sent(letter)
        if self._probe is not None or monotonic() < self._next_probe:
            return self._error
        return await self._probed(letter, self._error)

    async def _probed(self, letter: Letter, otherwise: Exception) -> Exception | None:
        """Send an event, and wait for a moment; where it arrives later than that, it is known when it comes again."""
        self._probe = probe = asyncio.create_task(self._sent(letter), name="fastsoy-events-relay: try an event")
        probe.add_done_callback(self._end_probe)
        await asyncio.wait([probe], timeout=PROBE_SECONDS)
        if probe.done():
            return probe.result()
        probe.add_done_callback(partial(self._note_late, letter.id))
        return otherwise

    def _end_probe(self, _: asyncio.Task[Exception | None]) -> None:
        self._probe = None

    def _note_late(self, event_id: str, probe: asyncio.Task[Exception | None]) -> None:
        if not probe.cancelled() and probe.result() is None:
            self._sent_late.add(event_id)

    async def _sent(self, letter: Letter) -> Exception | None:
        [error] = await self._send([letter])
        if error is None or isinstance(error, RefusedError):
            self._error, self._pause = None, 0.0
        else:
            self._error = error
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self._next_probe = monotonic() + self._pause
        return error
