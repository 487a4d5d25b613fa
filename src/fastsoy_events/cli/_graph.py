"""The command `graph`: from plugins to events to plugins, as a drawing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import handlers
from fastsoy_events.cli._globs import matches, no_match
from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._options import EventGlob, takes_options
from fastsoy_events.cli._output import Stop, open_console, say, write, write_json
from fastsoy_events.cli._sources import say_what_is_dynamic, who_publishes
from fastsoy_events.inspection.graph._draw import as_dot, as_mermaid
from fastsoy_events.inspection.graph._graph import drawn

if TYPE_CHECKING:
    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.graph._graph import Graph

_MOST_EDGES = 500
_MOST_CHARACTERS = 50_000
_TOO_LARGE = (
    "Mermaid refuses drawings this large unless its maxEdges and maxTextSize are raised: narrow it with EVENT_GLOB, or "
    "take --format dot"
)


class GraphFormat(StrEnum):
    """The language in which the graph is written."""

    MERMAID = "mermaid"
    DOT = "dot"


_Format: TypeAlias = Annotated[
    GraphFormat | None,
    typer.Option("--format", help="Mermaid, or the DOT of Graphviz.", show_default="mermaid"),
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON object, not a drawing.")]


@takes_options()
def draw_graph(
    options: Options,
    event_glob: EventGlob = None,
    *,
    form: _Format = None,
    json: _Json = False,
) -> None:
    """Draw which plugin publishes which event, and which plugins handle it."""
    if json and form is not None:
        raise Stop(f"--json prints no drawing, and --format {form} asks for one: give one of them")
    report = load(options)
    found = who_publishes(options, report)
    graph = drawn(report.plugins, found.published.known, handlers(), lambda event: matches(event, event_glob))
    if event_glob is not None and not graph.events:
        everything = drawn(report.plugins, found.published.known, handlers())
        raise Stop(no_match(event_glob, everything.events))
    if json:
        write_json(graph.as_dict())
    else:
        _draw(graph, form or GraphFormat.MERMAID)
    say_what_is_dynamic(found)
    for cycle in graph.cycles:
        say("note", f"emits can go round in a cycle: {cycle}")
    stop_if_any_failed(report)


def _draw(graph: Graph, form: GraphFormat) -> None:
    text = as_mermaid(graph) if form is GraphFormat.MERMAID else as_dot(graph)
    write(open_console(), text)
    if not graph.events:
        say("note", "no event is published, and none is handled")
    if form is GraphFormat.MERMAID and (len(graph.edges) > _MOST_EDGES or len(text) > _MOST_CHARACTERS):
        say("note", _TOO_LARGE)
