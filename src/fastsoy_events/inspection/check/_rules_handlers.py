"""Rules on handlers: what they take, how they run, and that each is registered once. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from fastsoy_events.inspection.check._findings import Spot, finding

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from fastsoy_events.inspection.check._facts import ContractFact, HandlerFact, System
    from fastsoy_events.inspection.check._findings import Finding
    from fastsoy_events.inspection.source._records import SourceHandler, SourceModule


def parameters(system: System) -> Iterator[Finding]:
    """Find handlers that cannot take what their event carries, or could not once it carries more."""
    contract_of = system.contract_finder()
    for handler in system.handlers:
        contract = contract_of(handler.event, handler.distribution)
        misfits = [] if contract is None else [*_misfits(handler, contract)]
        yield from misfits
        is_own = contract is not None and contract.distribution == handler.distribution
        if not handler.takes_any and not is_own and not any(each.code == "FSE203" for each in misfits):
            message = (
                f"{handler.name}{handler.signature} has no **kwargs, so every emit fails there once "
                f"{handler.event} carries one keyword more."
            )
            yield finding("FSE201", handler.spot, message, handler=handler.name)


def _misfits(handler: HandlerFact, contract: ContractFact) -> Iterator[Finding]:
    signatures = f"{handler.name}{handler.signature} against {contract.name}{contract.signature}"
    for keyword in handler.required:
        if keyword not in contract.sent:
            nearest = get_close_matches(keyword, contract.sent, n=1)
            yield finding(
                "FSE202",
                handler.spot,
                f"{handler.name} requires {keyword}, which the contract of {handler.event} never sends ({signatures}).",
                advice=(
                    f"Write {nearest[0]}, give {keyword} a default, or take it away"
                    if nearest
                    else f"Give {keyword} a default, take it away, or have {contract.name} declare it"
                ),
            )
        elif keyword in contract.defaults:
            default = contract.defaults[keyword]
            message = f"{handler.name} requires {keyword}, which an emit of {handler.event} by name may leave out."
            yield finding(
                "FSE204",
                handler.spot,
                message,
                keyword=keyword,
                default=default or f"that {contract.name} has",
                handler=handler.name,
            )
    missing = [] if handler.takes_any else [name for name in contract.sent if name not in handler.taken]
    if missing:
        keywords = ", ".join(missing)
        message = (
            f"{handler.name} does not take {keywords}, which the contract of {handler.event} sends ({signatures})."
        )
        yield finding("FSE203", handler.spot, message, keyword=keywords, handler=handler.name)


def speed(system: System) -> Iterator[Finding]:
    """Find handlers that hold up the event loop, or may."""
    for handler in system.handlers:
        for call in handler.blocking:
            message = f"{handler.name} calls {call.name}, and while that waits, nothing else runs."
            yield finding("FSE206", handler.spot._replace(line=call.line), message, call=call.name)
        if handler.is_async is False and not handler.blocking:
            message = f"{handler.name} is synchronous: whatever it waits for, everything else waits for too."
            name = handler.name.rpartition(".")[2]
            advice = f"Write async def {name}" if name.isidentifier() else "Register an asynchronous function instead"
            yield finding("FSE205", handler.spot, message, advice=advice)


def registrations(system: System) -> Iterator[Finding]:
    """Find handlers that are registered twice for one event."""
    yield from _registered(system)
    sources = ((tree.id, module) for tree in system.trees for module in tree.modules)
    yield from _in_sources(sources)


def _registered(system: System) -> Iterator[Finding]:
    """Find handlers that tell nobody apart: with one id, or with one definition."""
    first: dict[Hashable, HandlerFact] = {}
    for handler in system.handlers:
        if not handler.identifier:
            continue
        by_id = first.setdefault((handler.event, handler.identifier.partition("#")[0]), handler)
        by_place = first.setdefault((handler.event, handler.spot), handler)
        if by_id is not handler:
            message = f"{handler.name} is the name of several handlers of {handler.event}, which only #2 tells apart."
            advice = f"Give the function at {system.place(handler.spot)} a name of its own"
            yield finding("FSE207", handler.spot, message, advice=advice)
        elif by_place is not handler:
            names = f"{by_place.name} and as {handler.name}"
            message = (
                f"The function at {system.place(handler.spot)} is registered for {handler.event} twice, as {names}."
            )
            yield finding("FSE207", handler.spot, message, advice="Register it once")


def _in_sources(sources: Iterable[tuple[str, SourceModule]]) -> Iterator[Finding]:
    """Find functions that `on` is applied to again for the same event, which the bus passes over in silence."""
    first: dict[Hashable, SourceHandler] = {}
    for plugin, module in sources:
        for each in module.handlers:
            if each.event is None or each.identity is None or not each.is_certain:
                continue
            earlier = first.setdefault((plugin, each.event, each.identity), each)
            if earlier is not each:
                message = f"{each.module}.{each.qualname} is registered for {each.event} twice, and runs once."
                spot = Spot(each.file or module.file, each.line)
                yield finding("FSE207", spot, message, advice="Remove one of the two registrations")
