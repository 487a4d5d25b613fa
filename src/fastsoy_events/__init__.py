"""fastsoy-events: an in-process event bus whose handlers are found through entry points.

Importing this package scans and loads nothing: `load_plugins()` does, when the host starts.
"""

from fastsoy_events._bus import EventBus, PluginBus, discover
from fastsoy_events._load import hookimpl, hookspec
from fastsoy_events._model import Failures, Handler, HandlerFailure, LoadReport, Plugin
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
