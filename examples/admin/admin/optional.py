"""What the settings switch on. Each part needs a package that the application does without otherwise."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from admin.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from fastsoy_events_durable import Durable

    from admin.settings import Settings

__all__ = ["switched_on"]

# Seconds until another server takes up what one that was killed had begun.
LEASE = 5.0


def switched_on(settings: Settings) -> list[Callable[[], AbstractAsyncContextManager[object]]]:
    """Import what the settings ask for, by which it declares its handlers.

    Args:
        settings: which may name a printer for badges, and a message broker.

    Returns:
        What the lifespan is to have open, in that order.

    Raises:
        SettingsError: a package is not installed, or the broker's URL is none.
    """
    parts: list[Callable[[], AbstractAsyncContextManager[object]]] = []
    durable = _durable() if settings.badges or settings.broker else None
    if durable is not None:
        parts.append(partial(durable.running, lease=LEASE))
    if settings.badges is not None:
        _require("fastsoy_events_durable", setting="ADMIN_BADGES")
        from admin import badges  # noqa: F401 - a module that nobody imports declares nothing
    if settings.broker is not None:
        _require("fastsoy_events_relay", setting="ADMIN_BROKER")
        from admin.relay import relay_to

        relay = relay_to(settings.broker, durable)
        parts.append(lambda: relay)
    return parts


def _durable() -> Durable | None:
    """Return where events wait, if the package for that is installed."""
    if find_spec("fastsoy_events_durable") is None:
        return None
    from admin.durable import durable

    return durable


def _require(package: str, *, setting: str) -> None:
    if find_spec(package) is None:
        raise SettingsError(
            f"{setting} is set, which needs {package.replace('_', '-')}: install it, or unset the variable"
        )
