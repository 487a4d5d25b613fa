"""Rules on events: how they are named, who publishes and who hears them, and that each has one contract. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from fastsoy_events._declare import follows_convention
from fastsoy_events.inspection.check._findings import finding
from fastsoy_events.inspection.check._names import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastsoy_events.inspection.check._facts import ContractFact, EmitFact, HandlerFact, System
    from fastsoy_events.inspection.check._findings import Finding, Spot
    from fastsoy_events.inspection.source._records import SourceTree

_LONGEST = 100  # characters; longer names are nobody's slip
_MOST_SHOWN = 3
_SHORT = 4  # letters; shorter parts of names are too often one letter apart


def names(system: System) -> Iterator[Finding]:
    """Find names that break the convention."""
    uses = [
        *((each.event, each.spot, f"{each.name} is registered for") for each in system.handlers),
        *((each.event, each.spot, f"{each.name} declares") for each in system.contracts),
        *((each.event, each.spot, f"{each.name} emits") for each in system.emits if each.event),
    ]
    for event, spot, use in uses:
        if not follows_convention(event):
            yield _of_name(event, spot, use)


def _of_name(event: str, spot: Spot, use: str) -> Finding:
    message = f"{use} {event!r}, which is not of the form '<aggregate>.<past-tense verb>' in lower snake case."
    better = suggestion(event)
    advice = f"Write {better!r}" if better else "Name what it happened to and what happened, as in 'employee.created'"
    return finding("FSE101", spot, message, advice=advice)


# Who publishes


@dataclass(frozen=True, slots=True)
class _Published:
    """What is published.

    Args:
        contracts: the names of the events with a contract.
        events: those that are emitted by name as well.
        is_complete: whether the sources tell the name of each event that is emitted.
    """

    contracts: frozenset[str]
    events: frozenset[str]
    is_complete: bool

    def of_aggregate(self, event: str) -> list[str]:
        """Return what is published under the aggregate of an event."""
        aggregate = event.rpartition(".")[0]
        return [name for name in self.events if name.rpartition(".")[0] == aggregate]


def publishing(system: System) -> Iterator[Finding]:
    """Find handlers of events that nobody publishes, and emits of events that nobody declares."""
    published = _published(system)
    nearest = _Nearest(published.events)
    for handler in system.handlers:
        if handler.event not in published.events and follows_convention(handler.event):
            yield from _of_unpublished(handler, published, nearest.of(handler.event), system)
    declared = _Nearest(published.contracts)
    for emit in system.emits:
        if follows_convention(emit.event) and (near := declared.of(emit.event)):
            message = f"{emit.name} emits {emit.event}, which has no contract; did you mean {near}?"
            yield finding("FSE102", emit.spot, message, nearest=near)


def _published(system: System) -> _Published:
    unseen = [module for tree in system.unseen for module in tree.modules]
    contracts = {each.event for each in system.contracts}
    contracts.update(each.event for module in unseen for each in module.contracts if each.event)
    emits = [*(each.emit for each in system.emits), *(each for module in unseen for each in module.emits)]
    near = _Nearest(contracts)
    named = {each.event for each in emits if each.event and not near.of(each.event)}
    return _Published(frozenset(contracts), frozenset(contracts | named), all(each.event for each in emits))


def _of_unpublished(handler: HandlerFact, published: _Published, near: str, system: System) -> Iterator[Finding]:
    event, spot = handler.event, handler.spot
    if near:
        message = f"{handler.name} is registered for {event}, which nobody publishes; did you mean {near}?"
        yield finding("FSE102", spot, message, nearest=near)
    elif not published.is_complete:
        return
    elif of_aggregate := published.of_aggregate(event):
        message = f"{handler.name} is registered for {event}, which is not among the events of its aggregate."
        first = get_close_matches(event, of_aggregate, n=_MOST_SHOWN) or sorted(of_aggregate)
        yield finding("FSE103", spot, message, event=event, published=", ".join(first[:_MOST_SHOWN]))
    elif published.events and system.is_whole:
        yield finding("FSE104", spot, f"{handler.name} is registered for {event}, which nobody publishes.", event=event)


class _Nearest(dict[str, str]):
    """The names that are one slip of the pen away from one of the given ones: a letter too many or too few, or a swap.

    A letter in the place of another is no slip: an order is picked, then packed.
    """

    def __init__(self, events: Iterable[str]) -> None:
        short = [event for event in sorted(events, reverse=True) if len(event) <= _LONGEST]
        super().__init__((slip, event) for event in short for slip in _slips(event))
        self._events = frozenset(short)
        self._aggregates = {event.rpartition(".")[0] for event in short}

    def of(self, event: str) -> str:
        """Return what an event's name was probably meant to be; empty where nothing is near."""
        with_one_less = (slip for slip in _slips(event[: _LONGEST + 1]) if slip in self._events)
        near = self.get(event) or next(with_one_less, "")
        aggregate = event.rpartition(".")[0]
        is_another = aggregate in self._aggregates and aggregate != near.rpartition(".")[0]
        return "" if event in self._events or is_another else near


def _slips(event: str) -> Iterator[str]:
    """Yield a name with one letter left out, or swapped with the next, in each of its longer parts."""
    for at, letter in enumerate(event):
        begin, end = event.rfind(".", 0, at) + 1, event.find(".", at)
        if letter != "." and (len(event) if end < 0 else end) - begin > _SHORT:
            yield event[:at] + event[at + 1 :]
            if event[at + 1 : at + 2] not in ("", ".", letter):
                yield event[:at] + event[at + 1] + letter + event[at + 2 :]


# Who hears


def hearing(system: System) -> Iterator[Finding]:
    """Find contracts of events that nobody hears, where there is somebody who could."""
    heard = {each.event for each in system.handlers} | _heard_in(system.unseen)
    for contract in system.contracts if system.is_whole else ():
        if contract.event not in heard:
            message = f"{contract.name} declares {contract.event}, which no handler is registered for."
            yield finding("FSE105", contract.spot, message, event=contract.event)


def _heard_in(trees: Iterable[SourceTree]) -> set[str]:
    return {each.event for tree in trees for module in tree.modules for each in module.handlers if each.event}


# Contracts


def contracts(system: System) -> Iterator[Finding]:
    """Find events with two contracts; of plugins that are loaded, each contract is in force."""
    first: dict[str, ContractFact] = {}
    for contract in system.contracts:
        earlier = first.setdefault(contract.event, contract)
        if earlier is not contract and earlier.spot != contract.spot:
            place = system.place(earlier.spot)
            message = f"{contract.name} declares {contract.event}, which {earlier.name} at {place} declares already."
            yield finding("FSE106", contract.spot, message)


def emits_of_contracts(system: System) -> Iterator[Finding]:
    """Find emits that do not carry what the contract of their event says."""
    contract_of = system.contract_finder()
    for emit in system.emits:
        contract = contract_of(emit.event, emit.distribution)
        if contract is not None and (problems := _problems(emit, contract)):
            message = (
                f"{emit.name} emits {emit.event} other than its contract says: {'; '.join(problems)} "
                f"(the contract is {contract.name}{contract.signature})."
            )
            yield finding("FSE303", emit.spot, message, contract=contract.name)


def _problems(emit: EmitFact, contract: ContractFact) -> list[str]:
    given = emit.emit.keywords
    missing = [] if emit.emit.has_more else [name for name in contract.required if name not in given]
    problems = [f"{name} is missing" for name in missing]
    for name in given:
        if name not in contract.sent:
            nearest = get_close_matches(name, contract.sent, n=1)
            problems.append(f"{name} is unknown" + "".join(f", did you mean {match}?" for match in nearest))
    return problems
