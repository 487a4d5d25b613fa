"""Analyse: from sources to records of what they say about events. Nothing is imported, and nothing is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastsoy_events.inspection.source._draft import Draft
from fastsoy_events.inspection.source._handlers import handler_at
from fastsoy_events.inspection.source._parse import LARGEST_SOURCE, UnreadableSourceError, parsed
from fastsoy_events.inspection.source._records import SourceContract, SourceEmit, SourceModule
from fastsoy_events.inspection.source._resolve import Maker, Ours, Resolver, first_of
from fastsoy_events.inspection.source._values import Definition
from fastsoy_events.inspection.source._walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastsoy_events.inspection.source._draft import Site
    from fastsoy_events.inspection.source._records import SourceHandler
    from fastsoy_events.inspection.source._values import Value

__all__ = ["LARGEST_SOURCE", "analysed", "drafted", "resolved_together", "unreadable"]


def analysed(source: bytes, *, module: str, file: str, is_package: bool) -> SourceModule:
    r"""Tell what one source says, without looking into the modules that it imports.

    Args:
        source: its bytes.
        module: the module's dotted name.
        file: where it was read from, for people.
        is_package: whether it is a package's `__init__`.

    Returns:
        The record; with a `problem` where the source cannot be understood.

    Example:
        >>> source = b'from fastsoy_events import on\n@on("employee.created")\ndef greet(**payload): ...'
        >>> analysed(source, module="acme", file="acme.py", is_package=False).handlers[0].event
        'employee.created'
    """
    draft = drafted(source, module=module, file=file, is_package=is_package)
    return resolved_together({module: draft})[module]


def drafted(source: bytes, *, module: str, file: str, is_package: bool) -> Draft:
    """Note down what one source says, its names not resolved yet.

    Args:
        source: its bytes.
        module: the module's dotted name.
        file: where it was read from, for people.
        is_package: whether it is a package's `__init__`.
    """
    draft = Draft(name=module, file=file)
    try:
        Walk(draft, parsed(source), is_package=is_package).module()
    except UnreadableSourceError as error:
        return unreadable(module, file, str(error))
    except (RecursionError, MemoryError):
        return unreadable(module, file, "it is nested too deeply to be looked at")
    return draft


def unreadable(module: str, file: str, problem: str) -> Draft:
    """Return the draft of a source that cannot be read.

    Args:
        module: the module's dotted name.
        file: where it is.
        problem: why it cannot be read.
    """
    return Draft(name=module, file=file, problem=problem)


def resolved_together(drafts: Mapping[str, Draft]) -> dict[str, SourceModule]:
    """Resolve what modules say: constants, functions and event objects may come from one another.

    Args:
        drafts: the modules, by dotted name.
    """
    resolver = Resolver(drafts)
    entered = _entered(drafts.values(), resolver)
    return {name: _module(draft, drafts, resolver, entered) for name, draft in drafts.items()}


def _entered(drafts: Iterable[Draft], resolver: Resolver) -> frozenset[tuple[str, str]]:
    """Return the functions of other modules that a module calls while it is imported, by module and name."""
    found: set[tuple[str, str]] = set()
    for draft in drafts:
        for site in draft.sites:
            if not site.is_deferred:
                function = resolver.resolved(site.call.function)
                if isinstance(function, Definition) and not function.is_async and function.module != draft.name:
                    found.add((function.module, function.qualname))
    return frozenset(found)


def _module(
    draft: Draft, drafts: Mapping[str, Draft], resolver: Resolver, entered: frozenset[tuple[str, str]]
) -> SourceModule:
    handlers: list[SourceHandler] = []
    contracts: dict[tuple[int, str | None], SourceContract] = {}
    emits: dict[tuple[int, int, str | None], tuple[Site, SourceEmit]] = {}
    loads: list[Site] = []
    for site in draft.sites:
        function = resolver.resolved(site.call.function)
        match function:
            case Maker("on") if _is_applied(site):
                is_entered = (draft.name, site.function) in entered
                handlers.append(handler_at(site, function, draft, drafts, resolver, is_entered=is_entered))
            case Maker("event", event) if _is_applied(site):
                contract = _contract(site, event, draft, resolver)
                contracts.setdefault((contract.line, contract.event), contract)
            case Ours("emit"):
                emit = _emit(site, first_of(site.call), draft, resolver)
                emits.setdefault((site.line, site.column, emit.event), (site, emit))
            case Maker("emit", event):
                emit = _emit(site, event, draft, resolver)
                emits.setdefault((site.line, site.column, emit.event), (site, emit))
            case Ours("load_plugins"):
                loads.append(site)
            case _:
                pass
    return SourceModule(
        name=draft.name,
        file=draft.file,
        problem=draft.problem,
        handlers=tuple(handlers),
        contracts=tuple(contracts.values()),
        emits=tuple(_with_loading(*emits[key], loads) for key in sorted(emits, key=lambda each: each[:2])),
        imports=tuple(draft.imports),
        imports_unknown=draft.imports_unknown,
    )


def _is_applied(site: Site) -> bool:
    call = site.call
    return call.is_whole and len(call.arguments) == 1 and not call.keywords and not site.has_more


def _contract(site: Site, event: Value, draft: Draft, resolver: Resolver) -> SourceContract:
    target = resolver.resolved(site.call.arguments[0])
    definition = target if isinstance(target, Definition) else None
    return SourceContract(
        event=resolver.text(event),
        written=site.maker_written,
        module=definition.module if definition else draft.name,
        qualname=definition.qualname if definition else site.target_written,
        line=definition.line if definition else site.line,
        parameters=definition.parameters if definition else (),
        summary=definition.summary if definition else "",
    )


def _emit(site: Site, event: Value, draft: Draft, resolver: Resolver) -> SourceEmit:
    return SourceEmit(
        event=resolver.text(event),
        written=site.written,
        module=draft.name,
        function=site.function,
        line=site.line,
        is_used=site.is_used,
        keywords=tuple(name for name, _ in site.call.keywords),
        has_more=site.has_more,
    )


def _with_loading(site: Site, emit: SourceEmit, loads: Iterable[Site]) -> SourceEmit:
    """Tell whether an emit runs before the plugins are loaded."""
    place = site.line, site.column
    around = [(load.line, load.column) for load in loads if load.body == site.body]
    runs_when_imported = not site.function and not site.is_deferred and not any(each < place for each in around)
    return replace(emit, precedes_loading=runs_when_imported or any(each > place for each in around))
