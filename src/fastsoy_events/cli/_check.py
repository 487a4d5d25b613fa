"""The command `check`: what deserves a look in the plugins, each with its place and what to do about it."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from fastsoy_events import EventNameWarning, PluginError, UnknownPluginError
from fastsoy_events.cli._host import load, say_no_plugin_was_found
from fastsoy_events.cli._options import takes_options
from fastsoy_events.cli._output import Stop, counted, is_plain, one_line, open_console, render, say, write, write_json
from fastsoy_events.cli._remarks import SEVERITIES, finding_block, finding_line, folder_of_places
from fastsoy_events.inspection.check._check import check
from fastsoy_events.inspection.check._findings import UnknownCodeError, chosen_codes
from fastsoy_events.inspection.check._loaded import loaded

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from fastsoy_events import Plugin
    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.check._findings import Finding

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


@takes_options()
def check_plugins(
    options: Options,
    *,
    json: _Json = False,
    form: _Format = "text",
    strict: _Strict = False,
    select: _Select = None,
    ignore: _Ignore = None,
) -> None:
    """Look for what is wrong with plugins, handlers, emits and contracts."""
    codes = _chosen(select, ignore)
    folder = folder_of_places()
    with _without_findings(traceback=options.traceback):
        report = load(options)
    folders = [str(Path(folder, each)) for each in options.path] or None
    host = (options.app or "").partition(":")[0]
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
        write_json({"schema": 1, "findings": rows})
    elif form == "github":
        workspace = os.environ.get("GITHUB_WORKSPACE") or folder
        write(console, "".join(f"{_annotation(each, workspace)}\n" for each in found))
    elif found and is_plain(console):
        write(console, "".join(f"{finding_line(each, folder)}\n" for each in found))
    elif found:
        render(console, *(part for each in found for part in finding_block(each, folder, console.width)))


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
        say_no_plugin_was_found()
        return
    counts = Counter(each.severity for each in sorted(found, key=lambda each: list(SEVERITIES).index(each.severity)))
    told = [counted(count, severity) for severity, count in counts.items()]
    number = len([plugin for plugin in plugins if plugin.status in ("loaded", "failed")])
    say("note", f"{counted(number, 'plugin')} checked: {', '.join(told) or 'nothing found'}")
