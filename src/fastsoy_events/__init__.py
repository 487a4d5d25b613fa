"""fastsoy-events: an in-process event bus whose handlers are found through entry points.

Importing this package scans and loads nothing: `load_plugins()` does, when the host starts.
"""

from typing import TYPE_CHECKING

from fastsoy_events._bus import EventBus
from fastsoy_events._plugin_bus import PluginBus, discover
from fastsoy_events._record import Failures
from fastsoy_events.errors import (
    AlreadyLoadedError,
    ContractError,
    EmitDepthError,
    EventNameWarning,
    EventsError,
    HandlerError,
    HandlerTimeout,
    LockError,
    PluginError,
    PluginLoadError,
    RegistrationError,
    UnknownPluginError,
)

if TYPE_CHECKING:
    from fastsoy_events._contract import Event
    from fastsoy_events._deferral import Scope
    from fastsoy_events._load import hookimpl, hookspec
    from fastsoy_events._model import Handler, HandlerFailure, LoadReport, Plugin

__all__ = [
    "AlreadyLoadedError",
    "ContractError",
    "EmitDepthError",
    "Event",
    "EventBus",
    "EventNameWarning",
    "EventsError",
    "Failures",
    "Handler",
    "HandlerError",
    "HandlerFailure",
    "HandlerTimeout",
    "LoadReport",
    "LockError",
    "Plugin",
    "PluginBus",
    "PluginError",
    "PluginLoadError",
    "RegistrationError",
    "Scope",
    "UnknownPluginError",
    "bus",
    "deferred",
    "discover",
    "emit",
    "emit_sync",
    "event",
    "events",
    "handlers",
    "hookimpl",
    "hookspec",
    "load_plugins",
    "on",
    "plugins",
]

bus = PluginBus()
deferred = bus.deferred
on = bus.on
emit = bus.emit
emit_sync = bus.emit_sync
event = bus.event
events = bus.events
handlers = bus.handlers
load_plugins = bus.load_plugins
plugins = bus.plugins


_LATE = {
    "Event": "_contract",
    "Handler": "_model",
    "HandlerFailure": "_model",
    "LoadReport": "_model",
    "Plugin": "_model",
    "Scope": "_deferral",
    "hookimpl": "_load",
    "hookspec": "_load",
}


def __getattr__(name: str) -> object:
    """Import what only some applications ask for when they do: the records for listing, and pluggy's markers."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value
