"""The commands `list` and `plugins`: what each takes, shows and ends with."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import handlers
from fastsoy_events.cli._host import Options, load
from fastsoy_events.cli._output import Stop, is_plain, open_console, say, stop_unwritable, write, write_json
from fastsoy_events.cli._tables import show_handlers, show_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import LoadReport

_EventGlob: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="EVENT_GLOB", help="Only the events that match, such as 'employee.*'.")
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects, not a table.")]
_App: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE[:ATTRIBUTE]",
        help="Import this application first, so that its own handlers show. The attribute is not called.",
    ),
]
_Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="DIST", help="Import this distribution's plugins and no others. Repeatable."),
]
_Disable: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Leave out this plugin or distribution. Repeatable.")
]
_Folders: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Look for plugins in this folder, not on sys.path. Repeatable.",
    ),
]
_Order: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Put this plugin or distribution first. Repeatable.")
]
_Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show the tracebacks of errors.")]


def run() -> None:
    """Run the command with the arguments of the process.

    Raises:
        Stop: where it ends otherwise than well.
        SystemExit: 0 when all went well, 2 on wrong usage.
    """
    # Typer frames its help and its usage errors, which belongs on a terminal only.
    plain = is_plain(open_console()) or is_plain(open_console(stderr=True))
    app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None if plain else "rich")
    app.callback()(_root)
    app.command("list")(_list)
    app.command("plugins")(_plugins)
    try:
        typer.main.get_command(app).main(sys.argv[1:], prog_name="fastsoy-events")
    except OSError as error:
        if error.filename is not None:
            raise
        # Typer writes its help and its usage errors itself.
        stop_unwritable(sys.stdout, error)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        write(open_console(), f"fastsoy-events {version('fastsoy-events')}\n")
        raise typer.Exit


def _root(
    *,
    print_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the installed version."),
    ] = False,
) -> None:
    """Show which handlers run for which event, in which order, and which plugin brought them."""


def _list(
    event_glob: _EventGlob = None,
    *,
    json: _Json = False,
    app: _App = None,
    allow: _Allow = None,
    disable: _Disable = None,
    path: _Folders = None,
    order: _Order = None,
    traceback: _Traceback = False,
) -> None:
    """List the handlers in the order in which they run."""
    report = load(_options(app, allow, disable, path, order, traceback=traceback))
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
    _stop_if_any_failed(report)


def _plugins(
    *,
    json: _Json = False,
    app: _App = None,
    allow: _Allow = None,
    disable: _Disable = None,
    path: _Folders = None,
    order: _Order = None,
    traceback: _Traceback = False,
) -> None:
    """List the plugins and what became of each."""
    report = load(_options(app, allow, disable, path, order, traceback=traceback))
    if json:
        write_json([plugin.as_dict() for plugin in report.plugins])
    elif report.plugins:
        show_plugins(report.plugins)
    if not report.plugins:
        say("note", "no plugin was found: nothing declares an entry point in the group fastsoy.event_handlers")
    _stop_if_any_failed(report)


def _options(
    app: str | None,
    allow: list[str] | None,
    disable: list[str] | None,
    path: list[Path] | None,
    order: list[str] | None,
    *,
    traceback: bool,
) -> Options:
    return Options(
        app=app,
        allow=tuple(allow or ()),
        disable=tuple(disable or ()),
        path=tuple(path or ()),
        order=tuple(order or ()),
        traceback=traceback,
    )


def _no_match(event_glob: str, events: Sequence[str]) -> str:
    message = f"no event matches {event_glob!r}"
    nearest = get_close_matches(event_glob.translate(dict.fromkeys(map(ord, "*?[]"))), events, n=1, cutoff=0.0)
    return f"{message}; the nearest is {nearest[0]!r}" if nearest else f"{message}: no handler is registered"


def _stop_if_any_failed(report: LoadReport) -> None:
    if report.failures:
        raise Stop(exit_code=1)
