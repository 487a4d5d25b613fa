"""The command `preview`: what installing wheels would do, read from the wheels alone."""

from __future__ import annotations

import json as encoder
from collections import Counter
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.text import Text

from fastsoy_events._select import Arguments
from fastsoy_events.cli._check import (
    _block,  # pyright: ignore[reportPrivateUsage] - findings look as those of check do
    _line,  # pyright: ignore[reportPrivateUsage] - likewise
    _working_folder,  # pyright: ignore[reportPrivateUsage] - likewise
)
from fastsoy_events.cli._layout import cell, fold
from fastsoy_events.cli._list_static import _folders  # pyright: ignore[reportPrivateUsage] - the same options
from fastsoy_events.cli._lock import _on_terminal  # pyright: ignore[reportPrivateUsage] - as lock shows differences
from fastsoy_events.cli._options import Allow, Disable, Folders, Order, options
from fastsoy_events.cli._output import Stop, is_plain, one_line, open_console, render, say, write
from fastsoy_events.cli._preview_json import as_document
from fastsoy_events.inspection._preview import preview
from fastsoy_events.inspection._wheels import WheelError, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events.inspection._arrivals import Arrival
    from fastsoy_events.inspection._preview import Preview

_Wheels: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="WHEEL...", help="The .whl files; several are looked at as installed together.")
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, not lines.")]

_COUNTED = (  # what a summary tells, each with the kinds of differences that it counts
    ("plugin added", "plugins added", ("plugin-added",)),
    ("plugin removed", "plugins removed", ("plugin-removed",)),
    ("handler added", "handlers added", ("handler-added",)),
    ("handler removed", "handlers removed", ("handler-removed",)),
    ("handler moved", "handlers moved", ("handler-moved",)),
    ("contract added", "contracts added", ("contract-added",)),
    ("contract changed", "contracts changed", ("contract-removed", "contract-changed", "contract-moved")),
)


def preview_wheels(
    wheels: _Wheels,
    *,
    json: _Json = False,
    allow: Allow = None,
    disable: Disable = None,
    path: Folders = None,
    order: Order = None,
) -> None:
    """Show what installing wheels would add, remove and reorder, without installing or importing them."""
    asked = options(None, allow, disable, path, order, traceback=False)
    arguments = Arguments(path=_folders(asked), order=asked.order)
    try:
        with opened(wheels) as archives:
            found = preview(archives, arguments)
    except WheelError as error:
        for reason in error.reasons:
            say("error", reason)
        raise Stop from error
    _say_what_deserves_a_look(found)
    if json:
        write(open_console(), encoder.dumps(as_document(found, _working_folder()), indent=2) + "\n")
    else:
        _show(found, _working_folder())
    say("note", _summary(found))
    if not found.is_good:
        raise Stop(exit_code=1)


def _say_what_deserves_a_look(found: Preview) -> None:
    for arrival, remarks in zip(found.arrivals, found.remarks, strict=True):
        for remark in remarks:
            say("warning", f"{arrival.wheel.file}: {remark}")
    after = found.after
    for warning in (*after.warnings, *after.selection.warnings, *map(str, after.selection.unknown)):
        say("warning", warning)
    for plugin, problem in found.problems:
        say("error", f"{plugin.id.removesuffix(':')} may not do what is shown here: {problem}")
    distributions = {arrival.distribution for arrival in found.arrivals}
    for plugin in after.plugins:
        if plugin.distribution in distributions and plugin.status in ("disabled", "blocked"):
            say("note", f"{plugin.id} is {plugin.status}, so what it would do does not show here")
    known = set(found.before.listed.imports_unknown)
    for name in after.listed.imports_unknown:
        if name not in known:
            say("note", f"{name} imports modules that its source does not name: their handlers may be missing here")


# What is written


def _show(found: Preview, folder: str) -> None:
    console = open_console()
    if is_plain(console):
        lines = [
            *(one_line(_of_wheel(each)) for each in found.arrivals),
            *map(str, found.differences),
            *(_line(each, folder) for each in found.findings),
        ]
        write(console, "".join(f"{line}\n" for line in lines))
        return
    width = console.width
    wheels = [_hanging(cell(_of_wheel(each), "bold"), width) for each in found.arrivals]
    findings = [part for each in found.findings for part in _block(each, folder, width)]
    render(console, *wheels, *(_on_terminal(each, width) for each in found.differences), *findings)


def _hanging(line: Text, width: int) -> Text:
    return Text("\n  ").join(fold(line, max(width - 2, 1)).split("\n"))


def _of_wheel(arrival: Arrival) -> str:
    return f"{arrival.wheel.file}: {f'{arrival.distribution} {arrival.version}'.strip()}, {arrival.change}"


def _summary(found: Preview) -> str:
    kinds: Counter[str] = Counter(each.kind for each in found.differences)
    counts = [(sum(kinds[kind] for kind in counted), singular, plural) for singular, plural, counted in _COUNTED]
    counts += [(count, f"new {severity}", f"new {severity}s") for severity, count in _severities(found)]
    told = _told(counts)
    if not told:
        return "nothing would change for the plugins" if not found.differences else "no handler would change"
    return f"installed, that would be: {', '.join(told)}"


def _severities(found: Preview) -> list[tuple[str, int]]:
    counts = Counter(each.severity for each in found.findings)
    return [(severity, counts[severity]) for severity in ("error", "warning", "note")]


def _told(counts: Sequence[tuple[int, str, str]]) -> list[str]:
    return [f"{count} {singular if count == 1 else plural}" for count, singular, plural in counts if count]
