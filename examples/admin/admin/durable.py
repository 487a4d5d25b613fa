"""Where events wait that must be handled after a crash, too: the application's own database."""

from __future__ import annotations

from fastsoy_events_durable import Durable

from admin.settings import Settings

__all__ = ["durable"]

# The connection is opened later, when the application starts; its name is known by now.
durable = Durable.tortoise(Settings.from_environment().connection[0])
