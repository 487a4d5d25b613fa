"""The options that several commands take: those that say what is loaded are written once, and given to each."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, TypeAlias, get_type_hints

import typer

from fastsoy_events.cli._host import Options

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EventGlob", "Json", "takes_options"]

Command: TypeAlias = "Callable[Concatenate[Options, ...], None]"

EventGlob: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="EVENT_GLOB", help="Only the events that match, such as 'employee.*'.")
]

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


def takes_options(*left_out: str) -> Callable[[Command], Callable[..., None]]:
    """Give a command the options that say what is loaded; it gets them as its first argument.

    Typer reads what a command takes from its signature, so they are written into it, after the command's own.

    Args:
        left_out: the options that this command does not have.
    """

    def decorate(command: Command) -> Callable[..., None]:
        own = _own_parameters(command)
        shared = [each for each in _SHARED if each.name not in left_out]

        def run(**arguments: Any) -> None:
            given = {each.name: arguments.pop(each.name) for each in shared}
            command(_gathered(**given), **arguments)

        run.__doc__ = command.__doc__
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # what inspect looks for
        return run

    return decorate


def _own_parameters(command: Command) -> list[inspect.Parameter]:
    """Return what a command takes besides the options that are shared, its annotations evaluated."""
    _, *own = inspect.signature(command).parameters.values()
    written = SimpleNamespace(__annotations__={each.name: each.annotation for each in own})
    hints = get_type_hints(written, command.__globals__, include_extras=True)
    return [each.replace(annotation=hints[each.name]) for each in own]


def _gathered(
    *,
    app: App = None,
    allow: Allow = None,
    disable: Disable = None,
    path: Folders = None,
    order: Order = None,
    traceback: Traceback = False,
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


_SHARED = tuple(inspect.signature(_gathered, eval_str=True).parameters.values())
