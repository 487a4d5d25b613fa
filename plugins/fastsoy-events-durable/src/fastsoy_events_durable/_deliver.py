"""Delivering one publication: to a handler on the bus, or to a receiver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from fastsoy_events import bus
from fastsoy_events_durable._claims import Target
from fastsoy_events_durable._context import Delivery, running
from fastsoy_events_durable._outage import logger
from fastsoy_events_durable._payload import decoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastsoy_events import Handler
    from fastsoy_events_durable._declare import Subscription
    from fastsoy_events_durable._model import Claimed, Retry

Receive: TypeAlias = "Callable[[str, str, dict[str, Any]], Awaitable[object]]"


@dataclass(frozen=True, slots=True)
class Receiver:
    """What takes publications that `publish()` stores.

    Args:
        id: its stable id.
        function: takes the event's name, its id and its payload.
        retry: how it is tried again.
        troubles: what it last failed with, until it succeeds; it is logged once.
    """

    id: str
    function: Receive
    retry: Retry
    troubles: set[str] = field(default_factory=set)


def to_handler(handler: Handler, subscription: Subscription) -> Target:
    """Return what delivers to a handler, within its limits, and with its failure logged as in an emit."""

    async def run(row: Claimed, tx: object) -> BaseException | None:
        running.set(Delivery(row.event_id, subscription, tx))  # in this delivery's own task
        try:
            failures = await bus.run_handler(handler, **decoded(row.payload))
        except Exception as error:  # noqa: BLE001 - a handler that is gone by now, or a payload that is no JSON
            return error
        return failures[0].error if failures else None

    return Target(subscription.id, subscription.tx, subscription.retry, run)


def to_receiver(receiver: Receiver) -> Target:
    """Return what delivers to a receiver."""

    async def run(row: Claimed, _: object) -> BaseException | None:
        running.set(Delivery(row.event_id, receiver))
        try:
            await receiver.function(row.event, row.event_id, decoded(row.payload))
        except Exception as error:  # noqa: BLE001 - it is tried again
            _tell(row, receiver, error)
            return error
        receiver.troubles.clear()
        return None

    return Target(receiver.id, tx=False, retry=receiver.retry, run=run)


def _tell(row: Claimed, receiver: Receiver, error: Exception) -> None:
    """Log a receiver's failure: whatever else waits for it would fail with the same, such as a broker that is away."""
    trouble = f"{type(error).__name__}: {error}"
    level = logging.DEBUG if trouble in receiver.troubles else logging.ERROR
    logger.log(level, "Durable receiver error: %s / %s", row.event, receiver.id, exc_info=error)
    receiver.troubles.clear()
    receiver.troubles.add(trouble)
