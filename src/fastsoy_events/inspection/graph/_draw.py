"""The graph as Mermaid and as DOT. Names are not trusted: each stands in a label alone, escaped for what reads it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from fastsoy_events.inspection.graph._graph import HOST
from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastsoy_events.inspection.graph._graph import Edge, Graph, Party

_KEY = "dotted: emitted without a contract; dashed: published by nobody known; numbers: places in the event's order"
_CYCLE = "red: emits can go round in a cycle"
_RED = "#c62828"
_IN_LABELS = frozenset(".,-_/")  # a space may make a list of Markdown of what stands before it
_IN_COMMENTS = _IN_LABELS | {" ", ">"}
_MERMAID_STYLES = {
    "plugin": "fill:#e3f2fd,stroke:#1565c0,color:#000",
    "event": "fill:#fff8e1,stroke:#b26a00,color:#000",
    "unpublished": "stroke-dasharray:4 3",
    "cycle": f"stroke:{_RED},stroke-width:3px",
}


def as_mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart.

    Args:
        graph: the graph.
    """
    return "".join(f"{line}\n" for line in _mermaid(graph))


def _mermaid(graph: Graph) -> Iterator[str]:
    names = _names(graph)
    yield "flowchart LR"
    yield f"  %% {_KEY}"
    for cycle in graph.cycles:
        yield f"  %% {_CYCLE}: {_for_mermaid(str(cycle), _IN_COMMENTS)}"
    for number, (distribution, parties) in enumerate(_clusters(graph)):
        yield f'  subgraph d{number}["{_for_mermaid(distribution)}"]'
        yield from (f'    {names[party]}["{_for_mermaid(party.plugin)}"]' for party in parties)
        yield "  end"
    if HOST in graph.parties:
        yield f'  {names[HOST]}{{{{"host"}}}}'
    yield from (f'  {names[event]}(["{_for_mermaid(event)}"])' for event in graph.events)
    if graph.cycles:
        yield f'  legend>"{_CYCLE}"]'
    yield from (f"  {_mermaid_edge(edge, names)}" for edge in graph.edges)
    yield from _mermaid_styles(graph, names)


def _names(graph: Graph) -> dict[Party | str, str]:
    parties: dict[Party | str, str] = {party: f"p{number}" for number, party in enumerate(graph.parties)}
    return parties | {event: f"e{number}" for number, event in enumerate(graph.events)}


def _clusters(graph: Graph) -> Iterator[tuple[str, list[Party]]]:
    plugins = sorted(party for party in graph.parties if party != HOST)
    for distribution, parties in groupby(plugins, key=lambda party: party.distribution):
        yield distribution, list(parties)


def _mermaid_edge(edge: Edge, names: dict[Party | str, str]) -> str:
    party, event = names[edge.party], names[edge.event]
    if edge.kind == "handles":
        return f'{event} -->|"{_places(edge)}"| {party}'
    return f"{party} {'-->' if edge.has_contract else '-.->'} {event}"


def _places(edge: Edge) -> str:
    return ", ".join(str(position + 1) for position in edge.positions)


def _mermaid_styles(graph: Graph, names: dict[Party | str, str]) -> Iterator[str]:
    classes = {
        "plugin": [names[party] for party in graph.parties],
        "event": [names[event] for event in graph.events],
        "unpublished": [names[event] for event in _unpublished(graph)],
        "cycle": [*_in_cycles(graph, names), *(["legend"] if graph.cycles else [])],
    }
    for name, members in classes.items():
        if members:
            yield f"  classDef {name} {_MERMAID_STYLES[name]}"
            yield f"  class {','.join(members)} {name}"
    red = [str(number) for number, edge in enumerate(graph.edges) if edge.is_in_cycle]
    if red:
        yield f"  linkStyle {','.join(red)} stroke:{_RED},stroke-width:3px"


def _unpublished(graph: Graph) -> list[str]:
    published = {edge.event for edge in graph.edges if edge.kind == "publishes"}
    return [event for event in graph.events if event not in published]


def _in_cycles(graph: Graph, names: dict[Party | str, str]) -> list[str]:
    marked = {node for edge in graph.edges if edge.is_in_cycle for node in (edge.party, edge.event)}
    return [name for node, name in names.items() if node in marked]


def _for_mermaid(text: str, plain: frozenset[str] = _IN_LABELS) -> str:
    """Return a text for a quoted label: what Mermaid, Markdown or HTML might read becomes a number."""
    line = shortened(text) or " "  # Mermaid refuses labels with nothing in them
    return "".join(each if each.isalnum() or each in plain else f"#{ord(each)};" for each in line)


def as_dot(graph: Graph) -> str:
    """Return the graph in DOT, the language of Graphviz.

    Args:
        graph: the graph.
    """
    return "".join(f"{line}\n" for line in _dot(graph))


def _dot(graph: Graph) -> Iterator[str]:
    names = _names(graph)
    marked, unpublished = set(_in_cycles(graph, names)), set(_unpublished(graph))
    yield "digraph events {"
    yield f"  // {_KEY}"
    yield '  graph [rankdir=LR, fontname=Helvetica, style=rounded, color="#9e9e9e"]'
    yield '  node [shape=box, style=filled, fontname=Helvetica, fillcolor="#e3f2fd", color="#1565c0"]'
    yield '  edge [fontname=Helvetica, fontsize=10, color="#616161"]'
    if graph.cycles:
        yield f'  label={_quoted(_CYCLE)}; fontcolor="{_RED}"'
    for number, (distribution, parties) in enumerate(_clusters(graph)):
        yield f'  subgraph cluster_{number} {{ label={_quoted(distribution)}; fontcolor="#424242"'
        yield from (f"    {_dot_node(names[party], party.plugin, marked)}" for party in parties)
        yield "  }"
    if HOST in graph.parties:
        yield f"  {_dot_node(names[HOST], 'host', marked, 'shape=hexagon')}"
    for event in graph.events:
        dashes = ",dashed" if event in unpublished else ""
        style = f'style="filled,rounded{dashes}", fillcolor="#fff8e1", color="#b26a00"'
        yield f"  {_dot_node(names[event], event, marked, style)}"
    yield from (f"  {_dot_edge(edge, names)}" for edge in graph.edges)
    yield "}"


def _dot_node(name: str, label: str, marked: set[str], style: str = "") -> str:
    red = f'color="{_RED}", penwidth=3' if name in marked else ""  # of two colours, the last one holds
    return f"{name} [{', '.join(filter(None, [f'label={_quoted(label)}', style, red]))}]"


def _dot_edge(edge: Edge, names: dict[Party | str, str]) -> str:
    party, event = names[edge.party], names[edge.event]
    start, end = (event, party) if edge.kind == "handles" else (party, event)
    facts = [
        f'label="{_places(edge)}"' if edge.kind == "handles" else "",
        "style=dashed" if edge.kind == "publishes" and not edge.has_contract else "",
        f'color="{_RED}", penwidth=3' if edge.is_in_cycle else "",
    ]
    written = ", ".join(filter(None, facts))
    return f"{start} -> {end} [{written}]" if written else f"{start} -> {end}"


def _quoted(text: str) -> str:
    """Return a text as a quoted label, in which Graphviz reads backslashes and HTML's entities."""
    line = shortened(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{line}"'
