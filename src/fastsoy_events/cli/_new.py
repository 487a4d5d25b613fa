"""The command `new`: makes a plugin package to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events.cli._output import Stop, open_console, say, write, write_json
from fastsoy_events.inspection._scaffold import ScaffoldError, create, named

if TYPE_CHECKING:
    from fastsoy_events.inspection._scaffold import Project

_Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Its distribution's name, such as acme-payroll.")]
_Into: TypeAlias = Annotated[
    Path,
    typer.Option(metavar="FOLDER", exists=True, file_okay=False, help="Make it in this folder."),
]
_Events: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="EVENT",
        help="Declare this event, such as payroll.closed, and not the one that the name suggests. Repeatable.",
    ),
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON object, not text.")]


def make_package(
    name: _Name,
    *,
    into: _Into = Path(),
    event: _Events = None,
    json: _Json = False,
) -> None:
    """Make a plugin package: its metadata, an event, a handler, a test. Nothing is overwritten."""
    try:
        project = named(name, event or ())
        made = create(project, into)
    except ScaffoldError as error:
        raise Stop(str(error)) from error
    folder = into / project.name
    if json:
        write_json(_as_dict(project, folder, made))
    else:
        write(open_console(), "".join(f"{file}\n" for file in made))
    enter = f"cd {shlex.quote(str(folder))}"
    say("note", f"next: {enter} && python -m pip install --editable . --group test && python -m pytest")


def _as_dict(project: Project, folder: Path, made: tuple[Path, ...]) -> dict[str, object]:
    return {
        "schema": 1,
        "name": project.name,
        "package": project.package,
        "entry_point": project.entry_point,
        "events": list(project.events),
        "folder": str(folder),
        "files": [str(file) for file in made],
    }
