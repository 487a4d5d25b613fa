"""The commands, and how the program runs one of them: each stands in a file of its own."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from fastsoy_events.cli._catalog import write_catalog
from fastsoy_events.cli._check import check_plugins
from fastsoy_events.cli._graph import draw_graph
from fastsoy_events.cli._list import list_handlers
from fastsoy_events.cli._lock import compare_locks, lock_plugins
from fastsoy_events.cli._new import make_package
from fastsoy_events.cli._output import Stop, is_plain, open_console, stop_unwritable, write
from fastsoy_events.cli._plugins import list_plugins
from fastsoy_events.cli._preview import preview_wheels
from fastsoy_events.cli._why import explain_order
from fastsoy_events.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_handlers,
    "plugins": list_plugins,
    "check": check_plugins,
    "catalog": write_catalog,
    "graph": draw_graph,
    "why": explain_order,
    "lock": lock_plugins,
    "compare": compare_locks,
    "preview": preview_wheels,
    "new": make_package,
}


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
    for name, command in _COMMANDS.items():
        app.command(name)(command)
    if _may_be_added(arguments := sys.argv[1:]):
        from fastsoy_events.cli._added import added

        for name, commands in added(_first_word(arguments), _COMMANDS):
            app.add_typer(commands, name=name)
    try:
        typer.main.get_command(app).main(arguments, prog_name="fastsoy-events")
    except OSError as error:
        if error.filename is not None or _first_word(arguments) not in {None, *_COMMANDS}:
            raise  # of a file, or of a command that another package brings
        # Typer writes its help and its usage errors itself.
        stop_unwritable(sys.stdout, error)
    except LockError as error:  # of FASTSOY_EVENTS_LOCK: every command that loads plugins obeys it
        details = "".join(f"  {each}\n" for each in error.differences)
        raise Stop(error.reason, exit_code=1 if error.differences else 2, details=details) from error


def _first_word(arguments: Sequence[str]) -> str | None:
    """Return the name of the command that is asked for; None where the program itself is to answer."""
    word = next(iter(arguments), None)
    return None if word is None or word.startswith("-") else word


def _may_be_added(arguments: Sequence[str]) -> bool:
    """Tell whether the commands of other packages matter: where one may be meant, or all are to be shown."""
    word = _first_word(arguments)
    return not arguments or "--help" in arguments if word is None else word not in _COMMANDS


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
