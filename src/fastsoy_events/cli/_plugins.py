"""The command `plugins`: what was found, what became of each, and how long each took to import."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events.cli._host import load, say_no_plugin_was_found, stop_if_any_failed
from fastsoy_events.cli._options import Json, takes_options
from fastsoy_events.cli._output import Stop, say, write_json
from fastsoy_events.cli._tables import duration, show_plugins
from fastsoy_events.inspection._timing import timed_imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import Plugin
    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection._timing import ImportTimes

_SLOWEST = 5

_Timing: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--timing",
        help="Show how many modules each plugin was the first to import, and the slowest of them. "
        "What several plugins need counts to the first of them.",
    ),
]
_MaxImportMs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, help="End with exit code 1 when a plugin takes longer to import. Implies --timing."
    ),
]


@takes_options()
def list_plugins(
    options: Options,
    *,
    json: Json = False,
    timing: _Timing = False,
    max_import_ms: _MaxImportMs = None,
) -> None:
    """List the plugins and what became of each."""
    wants_times = timing or max_import_ms is not None
    with timed_imports() if wants_times else nullcontext() as times:
        report = load(options)
    if json:
        write_json([_as_dict(plugin, times) for plugin in report.plugins])
    elif report.plugins:
        show_plugins(report.plugins, times)
    if not report.plugins:
        say_no_plugin_was_found()
    if times is not None and max_import_ms is not None:
        _stop_if_any_is_slow(report.plugins, times, max_import_ms)
    stop_if_any_failed(report)


def _as_dict(plugin: Plugin, times: ImportTimes | None) -> dict[str, object]:
    if times is None:
        return {**plugin.as_dict()}
    modules = times.of(plugin)
    return {**plugin.as_dict(), "modules": len(modules), "slowest": [each.as_dict() for each in modules[:_SLOWEST]]}


def _stop_if_any_is_slow(plugins: Sequence[Plugin], times: ImportTimes, limit: int) -> None:
    slow = [plugin for plugin in plugins if plugin.import_seconds * 1000 > limit]
    for plugin in slow:
        modules = times.of(plugin)
        message = f"{plugin.id} took {duration(plugin.import_seconds)} to import, and {limit} ms are allowed"
        if modules:
            message += f"; the slowest of its modules was {modules[0].module}, {duration(modules[0].seconds)} alone"
        say("error", message)
    if slow:
        raise Stop(exit_code=1)
