"""The command `why`: for each handler of an event, the parts of its sort key and what would move it."""

from __future__ import annotations

from difflib import get_close_matches
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.cells import cell_len
from rich.text import Text

from fastsoy_events import bus, events, handlers
from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._layout import cell, fold
from fastsoy_events.cli._options import takes_options
from fastsoy_events.cli._output import Stop, counted, is_plain, open_console, render, say, write, write_json
from fastsoy_events.cli._sources import surveyed
from fastsoy_events.inspection._why import explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection._left_out import LeftOut
    from fastsoy_events.inspection._why import Explanation, Place, SortKey

    _Line: TypeAlias = tuple[str, Text]

_WIDTH = 80

_Event: TypeAlias = Annotated[str, typer.Argument(metavar="EVENT", help="The name of an event.")]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON object, not text.")]


@takes_options()
def explain_order(
    options: Options,
    event: _Event,
    *,
    json: _Json = False,
) -> None:
    """Tell why the handlers of an event run in their order, and what would change it."""
    report = load(options)
    are_all_loaded = all(plugin.status == "loaded" for plugin in report.plugins)
    explanation = explain(bus, event, () if are_all_loaded else surveyed(report).trees)
    names = {handler.event for handler in handlers()} | {contract.name for contract in events()}
    if event not in names and not explanation.left_out:
        raise Stop(_unknown(event, sorted(names)))
    if json:
        write_json(explanation.as_dict())
    else:
        _show(explanation)
    if not explanation.places:
        say("note", f"no handler of {event} takes part")
    stop_if_any_failed(report)


def _unknown(event: str, names: Sequence[str]) -> str:
    nearest = get_close_matches(event, names, n=1, cutoff=0.0)
    hint = f"; the nearest is {nearest[0]!r}" if nearest else ": no handler is registered, and no contract declared"
    return f"no event is named {event!r}{hint}"


def _show(explanation: Explanation) -> None:
    console = open_console()
    lines = _lines(explanation)
    if is_plain(console):
        write(console, "".join(f"{line}\n" for mark, text in lines for line in _wrapped(mark, text.plain)))
    else:
        render(console, *(folded for mark, text in lines for folded in _folded(mark, text, console.width)))


def _wrapped(mark: str, text: str) -> list[str]:
    """Break a line after its words alone, so that every name can be searched for."""
    indent = " " * len(mark)
    lines = wrap(
        text, _WIDTH, initial_indent=mark, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.rstrip() for line in lines] or [""]


def _folded(mark: str, text: Text, width: int) -> Iterator[Text]:
    first, *others = fold(text, max(width - cell_len(mark), 1)).split("\n")
    yield Text(mark) + first
    for other in others:
        yield Text(" " * len(mark)) + other


def _lines(explanation: Explanation) -> Iterator[_Line]:
    title = f": {counted(len(explanation.places), 'handler')}, sorted by host, plugin, module, declaration"
    yield "", Text.assemble((cell(explanation.event).plain, "bold cyan"), title)
    if explanation.order:
        yield "", Text.assemble("order: ", cell(", ".join(explanation.order)))
    for place in explanation.places:
        yield "", Text()
        yield from _place_lines(place)
    if explanation.left_out:
        yield "", Text()
        yield "", Text("Not taking part:")
    for each in explanation.left_out:
        yield from _left_out_lines(each)


def _place_lines(place: Place) -> Iterator[_Line]:
    key, handler = place.key, place.handler
    yield f"{handler.position + 1:>2}  ", _handler_name(handler.module, handler.label)
    if handler.distribution:
        yield _fact("plugin", f"{key.rank + 1} of {key.plugins}: {handler.plugin} ({handler.distribution}), {_by(key)}")
        yield _fact("module", _among_modules(key))
        yield _fact("declaration", f"{key.declaration} in its module, line {key.line}")
    else:
        yield _fact("host", "before every plugin")
        yield _fact("declaration", f"{key.declaration} of the host's, line {key.line}")
    if place.reason:
        yield _fact(f"after {handler.position}", place.reason)
    if place.move:
        yield _fact("to move it", place.move)


def _by(key: SortKey) -> str:
    return f"named in the order: {key.order_name}" if key.order_name else "by distribution and entry point"


def _among_modules(key: SortKey) -> str:
    is_entry = key.module == key.entry_module
    return "the entry point's own" if is_entry else f"by name, after the entry point's own, {key.entry_module}"


def _left_out_lines(each: LeftOut) -> Iterator[_Line]:
    yield "    ", _handler_name(each.module, f"{each.module}.{each.qualname}")
    yield _fact("because", each.reason)


def _fact(name: str, text: str) -> _Line:
    return f"      {name:<13}", cell(text)


def _handler_name(module: str, label: str) -> Text:
    name = cell(label)
    name.stylize("bold", len(module) + 1)
    return name
