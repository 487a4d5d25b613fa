"""The commands `lock` and `compare`: what was reviewed, as a file, and what differs from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import bus, events
from fastsoy_events._compare import difference
from fastsoy_events._lock import SCHEMA, as_text, lock_of, read
from fastsoy_events._review import without
from fastsoy_events._select import Arguments, statuses
from fastsoy_events.cli._host import load
from fastsoy_events.cli._options import takes_options
from fastsoy_events.cli._output import Stop, counted, is_plain, open_console, render, say, write, write_json
from fastsoy_events.cli._pages import Page
from fastsoy_events.cli._remarks import difference_block
from fastsoy_events.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import LoadReport
    from fastsoy_events._compare import Difference
    from fastsoy_events._lock import Lock, LockedPlugin
    from fastsoy_events.cli._host import Options

_FILE = Path("events.lock.json")

_File: TypeAlias = Annotated[
    Path | None, typer.Argument(metavar="FILE", help=f"With --check: the lock file to compare with; {_FILE} if none.")
]
_Check: TypeAlias = Annotated[
    bool, typer.Option("--check", help="Write nothing; end with exit code 1 where anything differs from the lock file.")
]
_Output: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help=f"Write this file, not {_FILE}.", show_default=False)
]
_Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the differences as one JSON object, not as lines.")
]
_Before: TypeAlias = Annotated[Path, typer.Argument(metavar="A", help="The lock file of the one image.")]
_Now: TypeAlias = Annotated[Path, typer.Argument(metavar="B", help="The lock file of the other.")]


@takes_options()
def lock_plugins(
    options: Options,
    file: _File = None,
    *,
    check: _Check = False,
    output: _Output = None,
    json: _Json = False,
) -> None:
    """Write a lock file of the plugins, contracts and handlers that are there, or check that it still holds."""
    _refuse_misuse(check=check, file=file, output=output, json=json)
    shown = (file if check else output) or _FILE
    page = Page(shown)  # now, since the application may change the working folder while it is imported
    before = _read(shown) if check else None
    bus._obeys_locks = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - it is about what a lock does not have
    report = load(options)
    found = lock_of(report, events())
    if before is None:
        _stop_if_any_failed(report)
        page.write(as_text(found))
        say("note", f"{shown} holds {_contents(found)}")
        return
    differences = difference(_without_what_is_left_out(before, report), found, report.failures)
    _show(differences, json=json)
    if differences:
        what_to_do = "Install what was reviewed; or review the differences, and run fastsoy-events lock"
        raise Stop(f"the plugins are not what {shown} holds. {what_to_do}", exit_code=1)
    say("note", f"the plugins are what {shown} holds")


def compare_locks(before: _Before, now: _Now, *, json: _Json = False) -> None:
    """Show in what two lock files differ, such as those of two images; end with exit code 1 where they do."""
    differences = difference(_read(before), _read(now))
    _show(differences, json=json)
    if differences:
        raise Stop(exit_code=1)
    say("note", f"{before} and {now} hold the same")


def _refuse_misuse(*, check: bool, file: Path | None, output: Path | None, json: bool) -> None:
    if check and output is not None:
        raise Stop("--check writes nothing: name the lock file to compare with after it, in place of --output")
    if not check and file is not None:
        raise Stop(f"to write {file}, use --output {file}; to compare with it, --check {file}")
    if not check and json:
        raise Stop("--json goes with --check: the lock file is JSON in any case")


def _read(file: Path) -> Lock:
    try:
        return read(str(file))
    except LockError as error:
        raise Stop(error.reason) from error


def _stop_if_any_failed(report: LoadReport) -> None:
    if report.failures:
        names = ", ".join(dict.fromkeys(failure.distribution for failure in report.failures))
        raise Stop(f"nothing was locked, since plugins failed: {names}. Repair or --disable them", exit_code=1)


def _without_what_is_left_out(before: Lock, report: LoadReport) -> Lock:
    """Leave out what is disabled or not allowed, as a load does that is held to the lock."""
    left_out = {each.id for each in report.plugins if each.status in ("disabled", "blocked")}
    status = statuses(Arguments(), os.environ)

    def leaves_out(each: LockedPlugin) -> bool:
        return each.id in left_out or status(each.as_plugin()) != "discovered"

    return without(before, leaves_out)


def _contents(lock: Lock) -> str:
    handlers = sum(len(event.handlers) for event in lock.events.values())
    counts = (len(lock.plugins), "plugin"), (len(lock.events), "event"), (handlers, "handler")
    return ", ".join(counted(count, noun) for count, noun in counts)


def _show(differences: Sequence[Difference], *, json: bool) -> None:
    console = open_console()
    if json:
        write_json({"schema": SCHEMA, "differences": [each.as_dict() for each in differences]})
    elif is_plain(console):
        write(console, "".join(f"{each}\n" for each in differences))
    else:
        render(console, *(difference_block(each, console.width) for each in differences))
