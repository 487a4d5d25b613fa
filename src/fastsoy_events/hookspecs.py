"""The bus's own hook specifications: what a plugin may do besides handling events.

A loaded plugin's module implements those that it needs, marked with `hookimpl`. Implementations are called one by one
in plugin order, and awaited where they can be. One that raises is logged, and the next one is called; `wrap_emit`
aside, whose errors reach the emitter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastsoy_events._model import Handler, HandlerFailure, Plugin
    from fastsoy_events._plugin_bus import PluginBus
    from fastsoy_events._record import Failures

__all__ = [
    "fastsoy_events_handler_failed",
    "fastsoy_events_plugin_failed",
    "fastsoy_events_plugin_loaded",
    "fastsoy_events_shutdown",
    "fastsoy_events_startup",
    "fastsoy_events_wrap_emit",
    "fastsoy_events_wrap_handler",
]

PROJECT = "fastsoy_events"

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def fastsoy_events_wrap_handler(handler: Handler, call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Put something around a handler, once for each handler, when the event is first emitted.

    Args:
        handler: the handler's record.
        call: what runs it: it takes the payload's keywords, and may return something to be awaited. It is the handler
            itself, or what a plugin before this one has put around it.

    Returns:
        What is to be called in its place; None to leave it as it is.
    """


@_hookspec
def fastsoy_events_wrap_emit(
    event: str, call: Callable[..., Awaitable[Failures]]
) -> Callable[..., Awaitable[Failures]] | None:
    """Put something around the emits of an event, once for each event name, also where nobody listens.

    It is asked again where plugins are loaded anew, and where an application makes up thousands of names. What it puts
    there sees an emit before `deferred()` keeps it. What it raises reaches the emitter.

    Args:
        event: the event's name.
        call: an `async` callable that takes the payload's keywords and returns the failures.

    Returns:
        An `async` callable to be called in its place; None to leave it as it is.
    """


@_hookspec
def fastsoy_events_plugin_loaded(plugin: Plugin) -> None:
    """Learn of a plugin that was loaded, once all were tried.

    Args:
        plugin: the plugin, with its handlers.
    """


@_hookspec
def fastsoy_events_plugin_failed(plugin: Plugin) -> None:
    """Learn of a plugin that failed, once all were tried.

    Args:
        plugin: the plugin, with its error.
    """


@_hookspec
def fastsoy_events_handler_failed(failure: HandlerFailure) -> Awaitable[None] | None:
    """Learn of a handler's failure, once all handlers of the emit have run.

    Args:
        failure: the event, the handler and the error.
    """


@_hookspec
def fastsoy_events_startup(bus: PluginBus) -> Awaitable[None] | None:
    """Start what the plugin needs while the application runs: `await bus.startup()` calls it.

    Args:
        bus: the bus.
    """


@_hookspec
def fastsoy_events_shutdown(bus: PluginBus) -> Awaitable[None] | None:
    """End what `fastsoy_events_startup` has started; plugins are called in reverse order.

    Args:
        bus: the bus.
    """
