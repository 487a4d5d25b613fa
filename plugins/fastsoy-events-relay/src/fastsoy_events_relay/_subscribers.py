"""What FastStream's subscribers need besides being started: an end in good order, and somebody who looks after them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastsoy_events_relay._engine import cancelled, ended_within

__all__ = ["STOP_SECONDS", "is_alive", "stopped"]

STOP_SECONDS = 0.1  # that FastStream waits for a message, which it was waited for already


def is_alive(subscriber: Any) -> bool:
    """Tell whether a subscriber of FastStream goes on: it stops for good at some errors, and tells nobody."""
    return bool(subscriber.running) and any(not task.done() for task in subscriber.tasks)


async def stopped(subscriber: Any, seconds: float) -> None:
    """Stop a subscriber of FastStream: let it finish the message in hand, and cancel it when that takes too long.

    FastStream itself cancels its tasks at once, which may leave connections open, and does not wait for them.
    """
    subscriber.running = False
    tasks = list(subscriber.tasks)
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    await ended_within(seconds, subscriber.stop())
    await cancelled(*tasks)
