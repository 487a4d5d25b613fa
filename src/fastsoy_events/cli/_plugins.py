"""The command `plugins`: what was found, and what became of each."""

from __future__ import annotations

from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._options import Allow, App, Disable, Folders, Json, Order, Traceback, options
from fastsoy_events.cli._output import say, write_json
from fastsoy_events.cli._tables import show_plugins


def list_plugins(
    *,
    json: Json = False,
    app: App = None,
    allow: Allow = None,
    disable: Disable = None,
    path: Folders = None,
    order: Order = None,
    traceback: Traceback = False,
) -> None:
    """List the plugins and what became of each."""
    report = load(options(app, allow, disable, path, order, traceback=traceback))
    if json:
        write_json([plugin.as_dict() for plugin in report.plugins])
    elif report.plugins:
        show_plugins(report.plugins)
    if not report.plugins:
        say("note", "no plugin was found: nothing declares an entry point in the group fastsoy.event_handlers")
    stop_if_any_failed(report)
