"""Order: which plugin comes first, whose a module is, and the plan of each event. Pure functions.

One key sorts the handlers of an event: (host before plugins; the plugin's rank; the module; the declaration).
The last part needs no value: declarations arrive in the order in which they were made, and sorting is stable.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events._record import Plan, Roster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

    from fastsoy_events._contract import Contract
    from fastsoy_events._model import Candidate, Handler, HandlerFailure, Plugin
    from fastsoy_events._record import Declaration

HOST = -1  # the rank of the host's handlers: before every plugin's

Placed: TypeAlias = tuple[int, "Declaration"]


def in_plugin_order(candidates: Iterable[Candidate], order: Sequence[str]) -> list[Candidate]:
    """Sort plugins: those named in `order` first, then by canonical distribution name, then by entry-point name.

    Args:
        candidates: what discovery found.
        order: names of plugins, of distributions (canonical), or `distribution:entry-point`.
    """

    def key(candidate: Candidate) -> tuple[int, str, str, str]:
        plugin = candidate.plugin
        place = next((place for place, name in enumerate(order) if plugin.goes_by(name)), len(order))
        return place, plugin.distribution, plugin.name, plugin.module

    return sorted(candidates, key=key)


def owner(module: str, roster: Roster) -> int:
    """Return the rank of the plugin with the longest claimed prefix of a module's name, or `HOST`."""
    while module:
        rank = roster.claims.get(module)
        if rank is not None:
            return rank
        module = module.rpartition(".")[0]
    return HOST


def owning_plugin(module: str, roster: Roster) -> Plugin | None:
    """Return the plugin that a module belongs to; None where that is the host."""
    rank = owner(module, roster)
    return None if rank == HOST else roster.plugins[rank]


def shadowed(files: Mapping[str, Sequence[str]], roster: Roster) -> frozenset[str]:
    """Return the module names that do not count, since their file was also imported under a better name.

    Args:
        files: each file with the names it was imported under, in that order.
        roster: a name that belongs to a plugin is better than one that does not; of several, the first plugin's.
    """

    def rank(module: str) -> int:
        found = owner(module, roster)
        return len(roster.plugins) if found == HOST else found

    return frozenset(
        name for names in files.values() if len(names) > 1 for name in names if name != min(names, key=rank)
    )


def serves(rank: int, roster: Roster) -> bool:
    """Tell whether what the host, or the plugin of a rank, declares takes part."""
    return rank == HOST or roster.plugins[rank].status == "loaded"


def _within(rank: int, module: str, roster: Roster) -> tuple[int, bool, str]:
    return (HOST, False, "") if rank == HOST else (rank, module != roster.plugins[rank].module, module)


def placed_contracts(
    contracts: Iterable[Contract], roster: Roster, without: Collection[str]
) -> list[tuple[int, Contract]]:
    """Return the contracts that take part, in the order of handlers, each with its owner's rank.

    Args:
        contracts: in the order in which they were declared.
        roster: only what the host, or a plugin whose status is `loaded`, declares takes part.
        without: modules that do not count.
    """
    ranked = ((owner(each.module, roster), each) for each in contracts if each.declared_in not in without)
    serving = [
        (rank, each)
        for rank, each in ranked
        if serves(rank, roster) and serves(owner(each.declared_in, roster), roster)
    ]
    return sorted(serving, key=lambda place: _within(place[0], place[1].module, roster))


def clashes(places: Iterable[tuple[int, Contract]]) -> Iterator[tuple[int, Contract, Contract]]:
    """Yield each contract that comes too late, with its owner's rank, and the contract that comes first.

    A plugin with a clash is to fail, so it comes first nowhere; the host's contracts come before all.

    Args:
        places: the contracts of all events, in the order of handlers, each with its owner's rank.
    """
    first: dict[str, Contract] = {}
    for rank, group in groupby(places, key=lambda place: place[0]):
        own: dict[str, Contract] = {}
        late: list[tuple[int, Contract, Contract]] = []
        for _, contract in group:
            earlier = first.get(contract.event) or own.setdefault(contract.event, contract)
            late += [] if earlier is contract else [(rank, contract, earlier)]
        yield from late
        if rank == HOST or not late:
            first |= own


def placed(declarations: Iterable[Declaration], roster: Roster, without: Collection[str]) -> list[Placed]:
    """Return one event's declarations that take part, in dispatch order, each with its owner's rank.

    Args:
        declarations: in the order in which they were made.
        roster: only what the host, or a plugin whose status is `loaded`, owns and has declared takes part.
        without: modules whose handlers do not count.

    Returns:
        Each callable once: where several modules declared it, at the first of its places.
    """
    keyed: list[tuple[tuple[int, bool, str], tuple[int, bool, str], Declaration]] = []
    for declaration in declarations:
        module, declared_in = declaration.module, declaration.declared_in
        rank = owner(module, roster)
        declarer = rank if declared_in == module else owner(declared_in, roster)
        if declared_in not in without and serves(rank, roster) and serves(declarer, roster):
            # What other modules declared for a plugin's comes in their order, not in that of their imports.
            key = _within(HOST if rank == HOST else declarer, declared_in, roster)
            keyed.append((_within(rank, module, roster), key, declaration))
    once: dict[Hashable, Placed] = {}
    for (rank, _, _), _, declaration in sorted(keyed, key=lambda each: each[:2]):
        once.setdefault(declaration.identity, (rank, declaration))
    return list(once.values())


def described(places: Iterable[Placed], roster: Roster) -> tuple[Handler, ...]:
    """Return the listing records of one event's handlers."""
    from fastsoy_events._model import Handler  # here, since dispatch needs none of them

    seen: Counter[str] = Counter()
    handlers: list[Handler] = []
    for position, (rank, declaration) in enumerate(places):
        plugin = None if rank == HOST else roster.plugins[rank]
        stable_id = declaration.options.id if declaration.options else ""
        name = stable_id or f"{declaration.module}:{declaration.qualname}"
        identifier = f"{plugin.id if plugin else 'host'}:{name}"
        seen[identifier] += 1
        handlers.append(
            Handler(
                event=declaration.event,
                position=position,
                plugin=plugin.name if plugin else "",
                distribution=plugin.distribution if plugin else "",
                version=plugin.version if plugin else "",
                module=declaration.module,
                qualname=declaration.qualname,
                is_async=declaration.is_async,
                source=declaration.source,
                id=identifier if seen[identifier] == 1 else f"{identifier}#{seen[identifier]}",
                stable_id=stable_id,
                function=declaration.function,
            )
        )
    return tuple(handlers)


def plan(
    event: str,
    places: Sequence[Placed],
    roster: Roster,
    around: Callable[[Declaration, Handler], Callable[..., object]] | None = None,
    tell: Callable[[HandlerFailure], Awaitable[None]] | None = None,
) -> Plan:
    """Freeze one event's handlers for dispatch.

    Args:
        event: the event's name.
        places: its handlers, in dispatch order.
        roster: the plugins.
        around: gives what is called in a handler's place; None where that is the handler itself.
        tell: is awaited for each failure; None where nobody wants to know.
    """
    declarations = [declaration for _, declaration in places]

    @cache
    def handlers() -> tuple[Handler, ...]:
        return described(((owner(each.module, roster), each) for each in declarations), roster)

    if around is None:
        functions = tuple(each.function for each in declarations)
    else:
        functions = tuple(map(around, declarations, handlers()))

    @cache
    def records() -> dict[int, Handler]:
        return {id(function): handler for function, handler in zip(functions, handlers(), strict=True)}

    def describe(function: Callable[..., object]) -> Handler:
        return records()[id(function)]

    return Plan(event, functions, describe, tell)


def fingerprint(handlers: Iterable[Handler]) -> str:
    """Return a short hash over the ordered ids of all plugins' handlers, event by event.

    Args:
        handlers: by event, in dispatch order; the host's are left out.
    """
    from hashlib import sha256  # here, since only loading plugins needs it

    lines = (f"{handler.event}\t{handler.id}\n" for handler in handlers if handler.distribution)
    return sha256("".join(lines).encode(errors="backslashreplace")).hexdigest()[:12]
