"""The command `preview`: what installing wheels would do, read from the wheels alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events._select import Arguments
from fastsoy_events.cli._host import prepare
from fastsoy_events.cli._layout import cell
from fastsoy_events.cli._list_static import say_whose_imports_are_unknown
from fastsoy_events.cli._options import takes_options
from fastsoy_events.cli._output import Stop, is_plain, one_line, open_console, render, say, write, write_json
from fastsoy_events.cli._preview_json import as_document
from fastsoy_events.cli._remarks import difference_block, finding_block, finding_line, folder_of_places, hanging
from fastsoy_events.inspection.preview._preview import preview
from fastsoy_events.inspection.preview._wheels import WheelError, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.preview._arrivals import Arrival
    from fastsoy_events.inspection.preview._preview import Preview

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


@takes_options("app", "traceback")
def preview_wheels(
    options: Options,
    wheels: _Wheels,
    *,
    json: _Json = False,
) -> None:
    """Show what installing wheels would add, remove and reorder, without installing or importing them."""
    arguments = Arguments(path=tuple(prepare(options)) or None, order=options.order)
    try:
        with opened(wheels) as archives:
            found = preview(archives, arguments)
    except WheelError as error:
        for reason in error.reasons:
            say("error", reason)
        raise Stop from error
    _say_what_deserves_a_look(found)
    if json:
        write_json(as_document(found, folder_of_places()))
    else:
        _show(found, folder_of_places())
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
    say_whose_imports_are_unknown(name for name in after.listed.imports_unknown if name not in known)


# What is written


def _show(found: Preview, folder: str) -> None:
    console = open_console()
    if is_plain(console):
        lines = [
            *(one_line(_of_wheel(each)) for each in found.arrivals),
            *map(str, found.differences),
            *(finding_line(each, folder) for each in found.findings),
        ]
        write(console, "".join(f"{line}\n" for line in lines))
        return
    width = console.width
    wheels = [hanging(cell(_of_wheel(each), "bold"), width) for each in found.arrivals]
    findings = [part for each in found.findings for part in finding_block(each, folder, width)]
    render(console, *wheels, *(difference_block(each, width) for each in found.differences), *findings)


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
