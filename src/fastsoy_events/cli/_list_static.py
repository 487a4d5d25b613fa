"""The static half of the command `list`: what the plugins' sources say, and how it differs from what registers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from fastsoy_events import _discover, _order, _select, handlers
from fastsoy_events.cli import _host
from fastsoy_events.cli._globs import matches, no_match
from fastsoy_events.cli._layout import Column, Row, cell, show
from fastsoy_events.cli._output import Stop, say, write_json
from fastsoy_events.cli._tables import show_handlers
from fastsoy_events.inspection._static import DYNAMIC, Difference, StaticList, difference, static_list
from fastsoy_events.inspection.source._trees import survey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastsoy_events import Handler
    from fastsoy_events._select import Selection
    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.source._records import SourceHandler

_COLUMNS = (
    Column(title="only in", names_group=True),
    Column(title="event"),
    Column(title="handler", folds=True),
    Column(title="plugin"),
    Column(title="kind"),
    Column(title="source", folds=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found from sources alone.

    Args:
        listed: the handlers.
        selection: the plugins.
        warnings: what deserves a look about the installed distributions.
    """

    listed: StaticList
    selection: Selection
    warnings: tuple[str, ...]


def found_in_sources(options: Options) -> Found:
    """Find the plugins' handlers from source alone; no plugin is imported.

    Args:
        options: which plugins, as for `list`.

    Raises:
        Stop: an application is named, whose handlers no source of a plugin has.
    """
    if options.app is not None:
        raise Stop("--static lists what plugins' sources say, and the application is none: leave out --app")
    path = tuple(_host.prepare(options)) or None
    discovery = _discover.scan(path)
    candidates = _order.in_plugin_order(discovery.candidates, options.order)
    arguments = _select.Arguments(path=path, order=options.order)
    selection = _select.select(candidates, arguments, os.environ)
    listed = static_list(survey(selection.candidates, path))
    return Found(listed=listed, selection=selection, warnings=discovery.warnings)


def list_static(options: Options, event_glob: str | None, *, json: bool) -> None:
    """Write the list of handlers that the plugins' sources have.

    Args:
        options: which plugins, as for `list`.
        event_glob: only the events that match; None for all.
        json: as a JSON array.

    Raises:
        Stop: where no event matches; with the exit code 1 where a plugin's metadata is broken, or a source cannot be
            understood.
    """
    found = found_in_sources(options)
    _say_what_load_would(found)
    _say_what_is_left_out(found.listed, event_glob)
    shown = [each for each in found.listed.handlers if matches(each.event, event_glob)]
    if json:
        write_json([each.as_dict() for each in shown])
    elif shown:
        show_handlers(shown)
    if event_glob is not None and not shown:
        raise Stop(no_match(event_glob, sorted({each.event for each in found.listed.handlers})))
    if not shown:
        say("note", "no plugin's source has a handler")
    failed = any(candidate.plugin.error for candidate in found.selection.candidates)
    if failed or found.listed.unreadable:
        raise Stop(exit_code=1)


def _say_what_load_would(found: Found) -> None:
    for candidate in found.selection.candidates:
        if candidate.plugin.error is not None:
            say("error", str(candidate.plugin.error))
    for remark in (*found.warnings, *found.selection.warnings, *map(str, found.selection.unknown)):
        say("warning", remark)


def _say_what_is_left_out(listed: StaticList, event_glob: str | None) -> None:
    for unreadable in listed.unreadable:
        say("warning", f"{unreadable.file}: {unreadable.problem}. Whatever it declares or imports is missing here")
    say_whose_imports_are_unknown(listed.imports_unknown)
    for module, unreached in _by_module(listed.unreached).items():
        count = len(unreached)
        what = "1 handler does" if count == 1 else f"{count} handlers do"
        say("note", f"{what} not register: no module that a plugin loads imports {module}")
    hidden = [each for each in listed.handlers if each.found.event is None or each.found.is_deferred]
    if event_glob is not None and hidden and not matches(hidden[0].event, event_glob):
        say("note", f"{len(hidden)} more may match: their source does not tell the event. '{DYNAMIC}' lists them")


def say_whose_imports_are_unknown(modules: Iterable[str]) -> None:
    """Say which modules import what no source names.

    Args:
        modules: their names.
    """
    for name in modules:
        say("note", f"{name} imports modules that its source does not name: their handlers may be missing here")


def _by_module(found: Iterable[SourceHandler]) -> dict[str, list[SourceHandler]]:
    by_module: dict[str, list[SourceHandler]] = {}
    for each in found:
        by_module.setdefault(each.declared_in, []).append(each)
    return by_module


def show_difference(options: Options, event_glob: str | None, *, json: bool) -> None:
    """Load the plugins, and write how what registers differs from what their sources say.

    Args:
        options: which plugins, as for `list`.
        event_glob: only the events that match; None for all.
        json: as a JSON object.

    Raises:
        Stop: with the exit code 1 where something differs, or a plugin failed.
    """
    found = found_in_sources(options)  # before anything is imported
    report = _host.load(options)
    differing = difference(found.listed, handlers())
    shown = Difference(
        only_static=tuple(each for each in differing.only_static if matches(each.event, event_glob)),
        only_registered=tuple(each for each in differing.only_registered if matches(each.event, event_glob)),
    )
    if json:
        write_json(_as_dict(shown))
    elif shown:
        show(_COLUMNS, _rows(shown))
    if shown:
        raise Stop(exit_code=1)
    say("note", "what registers does not differ from what the sources say")
    _host.stop_if_any_failed(report)


def _as_dict(shown: Difference) -> dict[str, object]:
    return {
        "schema": 1,
        "only_static": [each.as_dict() for each in shown.only_static],
        "only_registered": [each.as_dict() for each in shown.only_registered],
    }


def _rows(shown: Difference) -> list[list[Row]]:
    sides = {"source": shown.only_static, "bus": shown.only_registered}
    return [
        [_row(side, each, is_first=not index) for index, each in enumerate(differing)]
        for side, differing in sides.items()
        if differing
    ]


def _row(side: str, handler: Handler, *, is_first: bool) -> Row:
    name = cell(handler.label)
    name.stylize("bold", len(handler.module) + 1)
    event, plugin, source = (
        cell(handler.event, "bold cyan"),
        cell(handler.plugin, "magenta"),
        cell(handler.source, "dim"),
    )
    kind = Text(handler.kind)
    heading = (("", cell(f"only in the {side}", "bold yellow")),) if is_first else ()
    facts = Text(", ").join([plugin, kind])
    return Row(
        cells=(cell(side, "bold yellow"), event, name, plugin, kind, source),
        block=(*heading, ("  ", event), ("    ", name), ("    ", facts), ("    ", source)),
    )
