"""The graph of plugins and events: who publishes what, who handles it, and where emits can go round in a cycle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from fastsoy_events.inspection.graph._cycles import components, shortest_cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fastsoy_events import Handler, Plugin
    from fastsoy_events.inspection._edges import Publication


class Party(NamedTuple):
    """Who publishes or handles: a plugin, or, where both texts are empty, the host.

    Args:
        distribution: the canonical name of its distribution.
        plugin: the entry point's name.
    """

    distribution: str
    plugin: str

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.plugin if self.distribution else "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One edge: from a party to the event that it publishes, or from an event to the party that handles it.

    Args:
        kind: which of the two.
        party: the party.
        event: the event's name.
        has_contract: for `publishes`, whether the party declares the event, or only emits it.
        positions: for `handles`, where the party's handlers stand in the event's dispatch order, 0 first.
        is_in_cycle: whether it is a part of a cycle.
    """

    kind: Literal["publishes", "handles"]
    party: Party
    event: str
    has_contract: bool = False
    positions: tuple[int, ...] = ()
    is_in_cycle: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return it as one of the `edges` in `fastsoy-events graph --json`."""
        row = {"kind": self.kind, **_as_dict(self.party), "event": self.event, "in_cycle": self.is_in_cycle}
        is_handled = self.kind == "handles"
        return row | ({"positions": list(self.positions)} if is_handled else {"contract": self.has_contract})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Parties and events among which emits can go round.

    Args:
        parties: the parties, in plugin order.
        events: the events, by name.
        example: a shortest way round, from party to event to party; it ends where it begins.
    """

    parties: tuple[Party, ...]
    events: tuple[str, ...]
    example: tuple[str, ...]

    def __str__(self) -> str:
        way = " > ".join(self.example)
        others = len(self.parties) - len(self.example) // 2
        return f"{way}, and {others} more plugins in cycles with them" if others else way

    def as_dict(self) -> dict[str, object]:
        """Return it as one of the `cycles` in `fastsoy-events graph --json`."""
        parties = [_as_dict(party) for party in self.parties]
        return {"example": list(self.example), "plugins": parties, "events": list(self.events)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Plugins and events.

    Args:
        parties: the host first, then plugins in plugin order; those without an edge are left out.
        events: by name.
        edges: by event; publishers before handlers.
        cycles: those that any of the edges is a part of.
    """

    parties: tuple[Party, ...]
    events: tuple[str, ...]
    edges: tuple[Edge, ...]
    cycles: tuple[Cycle, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as `fastsoy-events graph --json` prints it."""
        return {
            "schema": 1,
            "plugins": [_as_dict(party) for party in self.parties],
            "events": list(self.events),
            "edges": [edge.as_dict() for edge in self.edges],
            "cycles": [cycle.as_dict() for cycle in self.cycles],
        }


HOST = Party("", "")


def _as_dict(party: Party) -> dict[str, object]:
    return {"plugin": party.plugin, "distribution": party.distribution}


def drawn(
    plugins: Iterable[Plugin],
    publications: Iterable[Publication],
    handlers: Iterable[Handler],
    wanted: Callable[[str], bool] | None = None,
) -> Graph:
    """Put the graph together.

    Args:
        plugins: in plugin order.
        publications: who publishes what.
        handlers: those that take part, by event and in dispatch order.
        wanted: which events to show; None for all. Cycles are looked for among all of them.
    """
    order = [HOST, *(Party(plugin.distribution, plugin.name) for plugin in plugins)]
    publications, handlers = list(publications), list(handlers)
    edges = _edges(publications, handlers)
    cycles = _cycles(edges, _echoes(publications, handlers), order)
    marked = {(party, event) for cycle in cycles for party in cycle.parties for event in cycle.events}
    shown = [
        replace(edge, is_in_cycle=(edge.party, edge.event) in marked)
        for edge in edges
        if wanted is None or wanted(edge.event)
    ]
    parties, events = {edge.party for edge in shown}, dict.fromkeys(edge.event for edge in shown)
    return Graph(
        parties=tuple(party for party in order if party in parties),
        events=tuple(events),
        edges=tuple(shown),
        cycles=tuple(cycle for cycle in cycles if not events.keys().isdisjoint(cycle.events)),
    )


def _edges(publications: Iterable[Publication], handlers: Iterable[Handler]) -> list[Edge]:
    edges = [
        Edge(
            kind="publishes",
            party=Party(each.distribution, each.plugin),
            event=each.event,
            has_contract=each.has_contract,
        )
        for each in publications
    ]
    positions: dict[tuple[str, Party], list[int]] = {}
    for handler in handlers:
        party = Party(handler.distribution, handler.plugin)
        positions.setdefault((handler.event, party), []).append(handler.position)
    edges += [
        Edge(kind="handles", party=party, event=event, positions=tuple(places))
        for (event, party), places in positions.items()
    ]
    return sorted(edges, key=lambda edge: edge.event)  # it is stable: publishers stay before handlers


def _echoes(publications: Iterable[Publication], handlers: Iterable[Handler]) -> set[tuple[Party, str]]:
    """Return who handles an event with a function whose own body emits the same event."""
    emitting = {
        (Party(each.distribution, each.plugin), each.event, emit.module, emit.function)
        for each in publications
        for emit in each.emits
    }
    return {
        (party, handler.event)
        for handler in handlers
        if (party := Party(handler.distribution, handler.plugin))
        and (party, handler.event, handler.module, handler.qualname) in emitting
    }


def _cycles(edges: Sequence[Edge], echoes: Iterable[tuple[Party, str]], order: Sequence[Party]) -> list[Cycle]:
    """Return the cycles: among several parties, and of a handler that emits the event that it handles.

    That a plugin handles an event of its own is none: it takes a second plugin to send it round, or a handler that is
    seen to emit its event again.
    """
    ranks = {party: rank for rank, party in enumerate(order)}
    ways = _ways(edges)
    cycles = [_cycle(sorted(group, key=ranks.__getitem__), ways) for group in components(ways) if len(group) > 1]
    for party, event in sorted(echoes, key=lambda echo: (ranks[echo[0]], echo[1])):
        if not any(party in cycle.parties and event in cycle.events for cycle in cycles):
            cycles.append(Cycle(parties=(party,), events=(event,), example=(party.name, event, party.name)))
    return sorted(cycles, key=lambda cycle: ranks[cycle.parties[0]])


def _ways(edges: Iterable[Edge]) -> dict[Party, dict[Party, list[str]]]:
    """Return, for each party, to which others its emits go, and by which events."""
    publishers: dict[str, list[Party]] = {}
    ways: dict[Party, dict[Party, list[str]]] = {edge.party: {} for edge in edges}
    for edge in edges:
        if edge.kind == "publishes":
            publishers.setdefault(edge.event, []).append(edge.party)
            continue
        for publisher in publishers.get(edge.event, ()):
            if publisher != edge.party:
                ways[publisher].setdefault(edge.party, []).append(edge.event)
    return ways


def _cycle(parties: Sequence[Party], ways: Mapping[Party, Mapping[Party, Sequence[str]]]) -> Cycle:
    inside = {party: [after for after in ways[party] if after in parties] for party in parties}
    events = {event for party in parties for after in inside[party] for event in ways[party][after]}
    round_trip = shortest_cycle(parties[0], inside)
    example = [parties[0].name]
    for party, after in pairwise(round_trip):
        example += [ways[party][after][0], after.name]
    return Cycle(parties=tuple(parties), events=tuple(sorted(events)), example=tuple(example))
