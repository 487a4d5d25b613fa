"""The command `check`: what deserves a look in the plugins, each with its place and what to do about it."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import Counter
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich.text import Text

from fastsoy_events import EventNameWarning, PluginError, UnknownPluginError
from fastsoy_events.cli._host import load
from fastsoy_events.cli._layout import cell, fold
from fastsoy_events.cli._options import Allow, App, Disable, Folders, Order, Traceback, options
from fastsoy_events.cli._output import Stop, is_plain, one_line, open_console, render, say, write
from fastsoy_events.inspection._check import check
from fastsoy_events.inspection._check_loaded import loaded
from fastsoy_events.inspection._findings import UnknownCodeError, chosen_codes

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from fastsoy_events import Plugin
    from fastsoy_events.inspection._findings import Finding

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_ON_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}
_TOLD_AS_FINDINGS = re.compile(r" is installed twice in .* is stale\.| is named by two entry points, | does not fit ")

_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
_Format: TypeAlias = Annotated[
    Literal["text", "json", "github"],
    typer.Option("--format", help="github: annotations that show in the files of a pull request."),
]
_Strict: TypeAlias = Annotated[bool, typer.Option("--strict", help="End with exit code 1 on warnings too.")]
_Select: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="CODES", help="Tell only these, such as FSE203 or FSE2; commas between. Repeatable."),
]
_Ignore: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="CODES", help="Tell all but these; commas between. Repeatable.")
]


def check_plugins(
    *,
    json: _Json = False,
    form: _Format = "text",
    strict: _Strict = False,
    select: _Select = None,
    ignore: _Ignore = None,
    app: App = None,
    allow: Allow = None,
    disable: Disable = None,
    path: Folders = None,
    order: Order = None,
    traceback: Traceback = False,
) -> None:
    """Look for what is wrong with plugins, handlers, emits and contracts."""
    codes = _chosen(select, ignore)
    folder = _working_folder()
    with _without_findings(traceback=traceback):
        report = load(options(app, allow, disable, path, order, traceback=traceback))
    folders = None if path is None else [str(Path(folder, each)) for each in path]
    host = (app or "").partition(":")[0]
    found = check(loaded(report, path=folders, app=host, folder=folder), codes)
    _write(found, "json" if json else form, folder)
    _summarise(found, report.plugins)
    fails = {"error", "warning"} if strict else {"error"}
    # A strict load of the application's own also fails for a name that fits no plugin.
    if any(each.severity in fails for each in found) or any(
        isinstance(each, UnknownPluginError) for each in report.failures
    ):
        raise Stop(exit_code=1)


def _chosen(select: Sequence[str] | None, ignore: Sequence[str] | None) -> frozenset[str]:
    try:
        return chosen_codes(_split(select), _split(ignore))
    except UnknownCodeError as error:
        raise Stop(str(error)) from error


def _split(given: Sequence[str] | None) -> list[str]:
    return [part for text in given or () for part in text.split(",") if part.strip() or "," not in text]


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""  # nothing lies below it then; loading says so where it needs one


@contextmanager
def _without_findings(*, traceback: bool) -> Generator[None]:
    """Keep what the loader logs from being said as a remark where it becomes a finding."""

    def is_no_finding(record: logging.LogRecord) -> bool:
        is_failure = any(isinstance(each, PluginError) for each in record.args or ())
        return traceback if is_failure else not _TOLD_AS_FINDINGS.search(record.getMessage())

    logger = logging.getLogger("fastsoy_events")
    logger.addFilter(is_no_finding)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EventNameWarning)
            yield
    finally:
        logger.removeFilter(is_no_finding)


# What is written


def _write(found: Sequence[Finding], form: str, folder: str) -> None:
    console = open_console()
    if form == "json":
        rows = [each.as_dict(folder) for each in found]
        write(console, dumps({"schema": 1, "findings": rows}, indent=2) + "\n")
    elif form == "github":
        workspace = os.environ.get("GITHUB_WORKSPACE") or folder
        write(console, "".join(f"{_annotation(each, workspace)}\n" for each in found))
    elif found and is_plain(console):
        write(console, "".join(f"{_line(each, folder)}\n" for each in found))
    elif found:
        render(console, *(part for each in found for part in _block(each, folder, console.width)))


def _line(each: Finding, folder: str) -> str:
    return one_line(f"{each.place(folder)}: {each.severity} {each.code}: {each.message} {each.fix}")


def _block(each: Finding, folder: str, width: int) -> list[Text]:
    head = Text.assemble(
        cell(each.place(folder), "cyan"), " ", (each.severity, _STYLES[each.severity]), " ", (each.code, "bold")
    )
    texts = [cell(each.message), cell(each.fix, "dim")]
    return [fold(head, width), *(_indented(text, width) for text in texts)]


def _indented(text: Text, width: int) -> Text:
    return Text("\n").join(Text("    ") + line for line in fold(text, max(width - 4, 1)).split("\n"))


def _annotation(each: Finding, workspace: str) -> str:
    """Return a finding as the workflow command of GitHub that annotates a line of a file."""
    file, _, line = each.place(workspace).rpartition(":")
    properties = {"file": file, "line": line, "title": f"{each.code} {each.severity}"}
    given = ",".join(f"{name}={_escaped(value, in_property=True)}" for name, value in properties.items())
    return f"::{_ON_GITHUB[each.severity]} {given}::{_escaped(one_line(f'{each.message} {each.fix}'))}"


def _escaped(text: str, *, in_property: bool = False) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C") if in_property else escaped


def _summarise(found: Sequence[Finding], plugins: Sequence[Plugin]) -> None:
    if not plugins:
        say("note", "no plugin was found: nothing declares an entry point in the group fastsoy.event_handlers")
        return
    counts = Counter(each.severity for each in sorted(found, key=lambda each: list(_STYLES).index(each.severity)))
    told = [f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()]
    number = len([plugin for plugin in plugins if plugin.status in ("loaded", "failed")])
    checked = f"{number} plugin{'' if number == 1 else 's'} checked"
    say("note", f"{checked}: {', '.join(told) or 'nothing found'}")
