"""The command `list`: the handlers, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import handlers
from fastsoy_events.cli._globs import matches, no_match
from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._options import EventGlob, Json, takes_options
from fastsoy_events.cli._output import Stop, say, write_json
from fastsoy_events.cli._tables import show_handlers

if TYPE_CHECKING:
    from fastsoy_events.cli._host import Options

_Static: TypeAlias = Annotated[
    bool, typer.Option("--static", help="List what the plugins' sources say, without importing any plugin.")
]
_Diff: TypeAlias = Annotated[
    bool, typer.Option("--diff", help="With --static: load the plugins, and show what differs from their sources.")
]


@takes_options()
def list_handlers(
    options: Options,
    event_glob: EventGlob = None,
    *,
    json: Json = False,
    static: _Static = False,
    diff: _Diff = False,
) -> None:
    """List the handlers in the order in which they run."""
    if diff and not static:
        raise Stop("--diff compares what registers with the sources: write --static --diff")
    if static:
        _list_static(options, event_glob, json=json, diff=diff)
        return
    report = load(options)
    listed = sorted(handlers(), key=lambda handler: (handler.event, handler.position))
    shown = [handler for handler in listed if matches(handler.event, event_glob)]
    if json:
        write_json([handler.as_dict() for handler in shown])
    elif shown:
        show_handlers(shown)
    if event_glob is not None and not shown:
        raise Stop(no_match(event_glob, sorted({handler.event for handler in listed})))
    if not shown:
        say("note", "no handler is registered")
    stop_if_any_failed(report)


def _list_static(options: Options, event_glob: str | None, *, json: bool, diff: bool) -> None:
    from fastsoy_events.cli._list_static import list_static, show_difference  # here: only this option parses sources

    (show_difference if diff else list_static)(options, event_glob, json=json)
