"""The columns of `list` and of `plugins`, and what they show of a handler and of a plugin."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from fastsoy_events.cli._layout import Column, Row, cell, show
from fastsoy_events.cli._output import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import Handler, Plugin
    from fastsoy_events.inspection._timing import ImportTimes, ModuleTime

_HANDLER_COLUMNS = (
    Column(title="#", justify="right"),
    Column(title="event", names_group=True),
    Column(title="handler", folds=True),
    Column(title="plugin"),
    Column(title="distribution version", folds=True),
    Column(title="kind"),
    Column(title="source", folds=True),
)
_PLUGIN_COLUMNS = (
    Column(title="name"),
    Column(title="distribution version", folds=True),
    Column(title="module", folds=True),
    Column(title="status"),
    Column(title="import time", justify="right"),
    Column(title="handlers", justify="right"),
    Column(title="error", folds=True),
)
_TIMING_COLUMNS = (
    Column(title="modules", justify="right"),
    Column(title="slowest module", folds=True),
)
_STATUS_STYLES = {"loaded": "green", "failed": "bold red", "disabled": "yellow", "blocked": "magenta"}


def show_handlers(handlers: Sequence[Handler]) -> None:
    """Write the table of handlers to stdout.

    Args:
        handlers: the handlers, by event and in dispatch order.
    """
    groups = groupby(handlers, key=lambda handler: handler.event)
    show(_HANDLER_COLUMNS, [[_handler_row(handler) for handler in group] for _, group in groups])


def show_plugins(plugins: Sequence[Plugin], times: ImportTimes | None = None) -> None:
    """Write the table of plugins to stdout.

    Args:
        plugins: the plugins, in plugin order.
        times: what ran while they were imported; None where nobody asked.
    """
    columns = _PLUGIN_COLUMNS if times is None else (*_PLUGIN_COLUMNS[:-1], *_TIMING_COLUMNS, _PLUGIN_COLUMNS[-1])
    show(columns, [[_plugin_row(plugin, None if times is None else times.of(plugin))] for plugin in plugins])


def _handler_row(handler: Handler) -> Row:
    number = str(handler.position + 1)
    event = cell(handler.event, "bold cyan")
    name = cell(handler.label)
    name.stylize("bold", len(handler.module) + 1)
    plugin = cell(handler.plugin, "magenta") if handler.distribution else Text("host", style="italic")
    distribution = _distribution(handler.distribution, handler.version)
    origin = Text(", ").join([plugin, *([distribution] if handler.distribution else []), Text(handler.kind)])
    source = cell(handler.source, "dim")
    mark = f"{number:>3}  "
    indent = " " * len(mark)
    block = ((mark, name), (indent, origin), (indent, source))
    return Row(
        cells=(Text(number), event, name, plugin, distribution, Text(handler.kind), source),
        block=block if handler.position else (("", event), *block),
    )


def _plugin_row(plugin: Plugin, modules: Sequence[ModuleTime] | None) -> Row:
    name = cell(plugin.name, "bold")
    distribution = _distribution(plugin.distribution, plugin.version)
    module = cell(plugin.module)
    status = Text(plugin.status, style=_STATUS_STYLES.get(plugin.status, ""))
    seconds = duration(plugin.import_seconds)
    count = len(plugin.handlers)
    error = cell("" if plugin.error is None else plugin.error.reason, "red")
    timing = () if modules is None else (Text(str(len(modules))), _slowest(modules))
    facts = [distribution, module]
    if plugin.status == "loaded":
        facts.append(Text(f"imported in {seconds}, {counted(count, 'handler')}"))
    if modules:
        facts.append(Text.assemble(f"{counted(len(modules), 'module')}, the slowest ", _slowest(modules)))
    if plugin.error is not None:
        facts.append(error)
    return Row(
        cells=(name, distribution, module, status, Text(seconds), Text(str(count)), *timing, error),
        block=(("", name + Text("  ") + status), *(("  ", fact) for fact in facts)),
    )


def _slowest(modules: Sequence[ModuleTime]) -> Text:
    return cell(f"{modules[0].module} {duration(modules[0].seconds)}" if modules else "")


def _distribution(name: str, version: str) -> Text:
    text = cell(f"{name} {version}".strip())
    text.stylize("dim", len(name))
    return text


def duration(seconds: float) -> str:
    """Return a time in a unit that suits it; a dash for none."""
    if not seconds:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
