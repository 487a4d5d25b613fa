"""fastsoy-events: an in-process event bus whose handlers are found through entry points.

Importing this package scans and loads nothing: `load_plugins()` does, when the host starts.
"""

from typing import TYPE_CHECKING

from fastsoy_events._bus import EventBus
from fastsoy_events._model import Failures, Handler, HandlerFailure, LoadReport, Plugin
from fastsoy_events._plugin_bus import PluginBus, discover
from fastsoy_events.errors import (
    AlreadyLoadedError,
    EmitDepthError,
    EventNameWarning,
    EventsError,
    HandlerError,
    PluginError,
    PluginLoadError,
    RegistrationError,
    UnknownPluginError,
)

if TYPE_CHECKING:
    from fastsoy_events._load import hookimpl, hookspec

__all__ = [
    "AlreadyLoadedError",
    "EmitDepthError",
    "EventBus",
    "EventNameWarning",
    "EventsError",
    "Failures",
    "Handler",
    "HandlerError",
    "HandlerFailure",
    "LoadReport",
    "Plugin",
    "PluginBus",
    "PluginError",
    "PluginLoadError",
    "RegistrationError",
    "UnknownPluginError",
    "bus",
    "discover",
    "emit",
    "handlers",
    "hookimpl",
    "hookspec",
    "load_plugins",
    "on",
    "plugins",
]

bus = PluginBus()
on = bus.on
emit = bus.emit
handlers = bus.handlers
load_plugins = bus.load_plugins
plugins = bus.plugins


def __getattr__(name: str) -> object:
    """Import pluggy's markers when they are first asked for: an application without hooks never pays for them."""
    if name in {"hookimpl", "hookspec"}:
        from fastsoy_events import _load

        return getattr(_load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
