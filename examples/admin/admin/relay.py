"""Events to and from other applications, by a message broker."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from fastsoy_events_relay import Relay

from admin.settings import SettingsError
from fastsoy_events import on

if TYPE_CHECKING:
    from fastsoy_events_durable import Durable

__all__ = ["note_payment", "relay_to"]

logger = logging.getLogger("admin")


# One for the process: it registers with `durable`, which takes it once. It may be opened again and again.
@cache
def relay_to(broker: str, durable: Durable | None) -> Relay:
    """Return what forwards this application's events, and emits here what others have forwarded.

    Args:
        broker: its URL.
        durable: the `Durable` in which events wait for the broker; None for the memory, which a crash empties.

    Raises:
        SettingsError: the URL is none of a broker.
    """
    try:
        return Relay(
            broker,
            app="admin",
            forward=["employee.*"],
            receive=["payroll.paid"],
            durable=durable,
            broker_absent="retry",
        )
    except ValueError:  # it may quote the URL, and that has a password
        raise SettingsError(
            "ADMIN_BROKER is no URL of a broker: write one such as nats://127.0.0.1:4222 or redis://127.0.0.1:6379"
        ) from None


@on("payroll.paid")
def note_payment(**_: object) -> None:
    """Note that an employee was paid, which another application says."""
    logger.info("payroll has paid an employee")
