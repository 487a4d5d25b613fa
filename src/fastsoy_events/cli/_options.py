"""The options that several commands take; each command repeats them, since typer offers them in no other way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from fastsoy_events.cli._host import Options

__all__ = ["Allow", "App", "Disable", "Folders", "Json", "Order", "Traceback", "options"]

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects, not a table.")]
App: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE[:ATTRIBUTE]",
        help="Import this application first, so that its own handlers show. The attribute is not called.",
    ),
]
Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="DIST", help="Import this distribution's plugins and no others. Repeatable."),
]
Disable: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Leave out this plugin or distribution. Repeatable.")
]
Folders: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Look for plugins in this folder, not on sys.path. Repeatable.",
    ),
]
Order: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Put this plugin or distribution first. Repeatable.")
]
Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show the tracebacks of errors.")]


def options(
    app: str | None,
    allow: list[str] | None,
    disable: list[str] | None,
    path: list[Path] | None,
    order: list[str] | None,
    *,
    traceback: bool,
) -> Options:
    """Gather what a command was given; typer gives None where an option does not stand."""
    return Options(
        app=app,
        allow=tuple(allow or ()),
        disable=tuple(disable or ()),
        path=tuple(path or ()),
        order=tuple(order or ()),
        traceback=traceback,
    )
