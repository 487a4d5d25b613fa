"""Inbound: each message is checked, emitted and acknowledged, one after the other."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from fastsoy_events import EventsError, bus
from fastsoy_events_relay._envelope import Envelope, now, opened
from fastsoy_events_relay._errors import EnvelopeError
from fastsoy_events_relay._origin import Received, receiving
from fastsoy_events_relay._report import logger, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastsoy_events import Failures
    from fastsoy_events_relay._durable import Durable
    from fastsoy_events_relay._engine import Delivery
    from fastsoy_events_relay._settings import Settings
    from fastsoy_events_relay._tally import Tally

__all__ = ["Inbound", "dead_letter"]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a message is delivered again that could not be emitted
MOST_ATTEMPTS = 10  # deliveries of such a message, which is some minutes


class _Undone(Exception):  # noqa: N818 - it never reaches anybody
    """Rolls a transaction back."""


class _Memory:
    """The last events that were handled, by source and id."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[tuple[str, str], None] = {}

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._known

    def add(self, key: tuple[str, str]) -> None:
        if self._most:
            self._known[key] = None
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]


class Inbound:
    """Takes what the engine receives.

    Args:
        settings: the relay's.
        bury: puts a message among the dead letters; the engine's.
        tally: counts what becomes of the messages.
        durable: keeps which events were received; None for the memory.
    """

    def __init__(
        self,
        settings: Settings,
        bury: Callable[[bytes], Awaitable[None]],
        tally: Tally,
        durable: Durable | None,
    ) -> None:
        self._settings = settings
        self._bury = bury
        self._tally = tally
        self._durable = durable
        self._memory = _Memory(settings.remember)
        self._turn = asyncio.Lock()

    async def take(self, delivery: Delivery) -> None:
        """Handle one message; messages that come meanwhile wait for it.

        It runs in a task of its own, so that context variables which handlers set end with it.
        """
        async with self._turn:
            await asyncio.create_task(self._handle(delivery), name="fastsoy-events-relay: handle a message")

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._judge(delivery)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the message is not lost and the next one is handled
            await self._put_off(delivery, error)

    async def _put_off(self, delivery: Delivery, error: Exception) -> None:
        """Have a message delivered again, unless it has been so often enough to say that it is the message's fault."""
        attempt = 1
        with suppress(Exception):  # the broker is away: the first pause does
            attempt = await delivery.attempt()
            if attempt >= MOST_ATTEMPTS and await self._has_database():
                await self._dead_letter(
                    delivery, f"it could not be emitted in {attempt} deliveries: {type(error).__name__}"
                )
                await self._acknowledge(delivery)
                return
        pause = min(FIRST_PAUSE * 2 ** min(attempt - 1, 30), LONGEST_PAUSE)
        logger.error("A message was not handled, and will be delivered again: %s", shown(error), exc_info=error)
        await self._postpone(delivery, pause)

    async def _has_database(self) -> bool:
        """Tell whether events can be recorded: while they cannot, it is no message's fault that it is not emitted."""
        if self._durable is None:
            return True
        app = self._settings.app
        with suppress(_Undone):
            async with self._durable.inbox(self._settings.source, "whether the database answers", consumer=app):
                raise _Undone
        return True

    async def _judge(self, delivery: Delivery) -> None:
        try:
            envelope = opened(delivery.body, self._settings.largest)
        except EnvelopeError as error:
            await self._dead_letter(delivery, str(error))
            await self._acknowledge(delivery)
            return
        if envelope.source == self._settings.source or not self._settings.receive.fit(envelope.event):
            self._tally.skipped += 1
            await self._acknowledge(delivery)
        elif not bus.handlers(envelope.event):
            await self._nobody(delivery, envelope)
        else:
            await self._emit_or_bury(delivery, envelope)

    async def _emit_or_bury(self, delivery: Delivery, envelope: Envelope) -> None:
        """Emit what was received; what can never be, goes to the dead letters at once."""
        try:
            if self._durable is None:
                await self._emit_once(delivery, envelope)
            else:
                await self._emit_in_transaction(delivery, envelope, self._durable)
        except EventsError as error:
            if not isinstance(error, TypeError):  # as a ContractError is, and the PayloadError of durable handlers
                raise
            await self._dead_letter(delivery, shown(error))
            await self._acknowledge(delivery)

    async def _nobody(self, delivery: Delivery, envelope: Envelope) -> None:
        if self._settings.unknown == "dead-letter":
            await self._dead_letter(delivery, f"nothing here handles {shown(envelope.event)}")
        else:
            self._tally.skipped += 1
        await self._acknowledge(delivery)

    async def _emit_once(self, delivery: Delivery, envelope: Envelope) -> None:
        key = envelope.source, envelope.id
        if key in self._memory:
            self._tally.duplicates += 1
            await self._acknowledge(delivery)
            return
        failures = await self._emit(envelope)
        if failures and self._settings.redeliver:
            if await delivery.attempt() <= self._settings.redeliver:
                await self._postpone(delivery, self._settings.acknowledge_within)
                return
            await self._dead_letter(delivery, f"handlers failed in each of {self._settings.redeliver + 1} deliveries")
        self._memory.add(key)
        await self._acknowledge(delivery)

    async def _emit_in_transaction(self, delivery: Delivery, envelope: Envelope, durable: Durable) -> None:
        async with durable.inbox(envelope.source, envelope.id, consumer=self._settings.app) as is_new:
            if is_new:
                await self._emit(envelope)
            else:
                self._tally.duplicates += 1
        await self._acknowledge(delivery)

    async def _emit(self, envelope: Envelope) -> Failures:
        with receiving(Received(envelope.event, envelope.id)):
            failures = await bus.emit(envelope.event, **envelope.payload)
        self._tally.received += 1
        return failures

    async def _acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that a message is done with; where it is away, it delivers it again, as a duplicate."""
        try:
            await delivery.acknowledge()
        except Exception as error:  # noqa: BLE001 - what was emitted must not count as not handled
            logger.debug("A message could not be acknowledged: %s", shown(error))

    async def _postpone(self, delivery: Delivery, seconds: float) -> None:
        self._tally.redelivered += 1
        try:
            await delivery.postpone(seconds)
        except Exception as error:  # noqa: BLE001 - the broker delivers it again all the same, when it is back
            logger.debug("A message could not be given back: %s", shown(error))

    async def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Put a message aside. It is to be acknowledged after that: where this raises, it is delivered again."""
        await self._bury(dead_letter(self._settings, delivery.body, reason))
        self._tally.dead_lettered += 1
        logger.warning("A message went to the dead letters in %s: %s", self._settings.dead_stream, reason)


def dead_letter(settings: Settings, body: bytes, reason: str) -> bytes:
    """Return what is kept of a message that cannot be handled: the message itself, up to a size, and why.

    Args:
        settings: the relay's.
        body: the message.
        reason: why.
    """
    kept = body[: settings.largest]
    letter: dict[str, object] = {"app": settings.app, "reason": reason, "time": now(), "size": len(body)}
    try:
        text = kept.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        letter["body"] = text
    else:
        letter["body_base64"] = base64.b64encode(kept).decode("ascii")
    return json.dumps(letter, ensure_ascii=False, separators=(",", ":")).encode()
