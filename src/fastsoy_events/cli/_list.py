"""The command `list`: the handlers, in the order in which they run."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import handlers
from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._options import Allow, App, Disable, Folders, Json, Order, Traceback, options
from fastsoy_events.cli._output import Stop, say, write_json
from fastsoy_events.cli._tables import show_handlers

if TYPE_CHECKING:
    from collections.abc import Sequence

_EventGlob: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="EVENT_GLOB", help="Only the events that match, such as 'employee.*'.")
]


def list_handlers(
    event_glob: _EventGlob = None,
    *,
    json: Json = False,
    app: App = None,
    allow: Allow = None,
    disable: Disable = None,
    path: Folders = None,
    order: Order = None,
    traceback: Traceback = False,
) -> None:
    """List the handlers in the order in which they run."""
    report = load(options(app, allow, disable, path, order, traceback=traceback))
    listed = sorted(handlers(), key=lambda handler: (handler.event, handler.position))
    shown = [handler for handler in listed if event_glob is None or fnmatchcase(handler.event, event_glob)]
    if json:
        write_json([handler.as_dict() for handler in shown])
    elif shown:
        show_handlers(shown)
    if event_glob is not None and not shown:
        raise Stop(_no_match(event_glob, sorted({handler.event for handler in listed})))
    if not shown:
        say("note", "no handler is registered")
    stop_if_any_failed(report)


def _no_match(event_glob: str, events: Sequence[str]) -> str:
    message = f"no event matches {event_glob!r}"
    nearest = get_close_matches(event_glob.translate(dict.fromkeys(map(ord, "*?[]"))), events, n=1, cutoff=0.0)
    return f"{message}; the nearest is {nearest[0]!r}" if nearest else f"{message}: no handler is registered"
