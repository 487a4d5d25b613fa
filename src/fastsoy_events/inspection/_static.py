"""The static list: what the plugins' sources alone say they register, in the bus's order, and how it differs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fastsoy_events import _order
from fastsoy_events._model import Handler
from fastsoy_events._record import Declaration, Options, Roster
from fastsoy_events.inspection.source._trees import reached

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from fastsoy_events.inspection.source._records import SourceHandler, SourceModule
    from fastsoy_events.inspection.source._trees import Survey

DYNAMIC = "dynamic"
"""What stands for an event, or for a kind, that the source does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticHandler(Handler):
    """A handler that was found in a source, as the bus would list it.

    Args:
        found: what the source says.
    """

    found: SourceHandler

    @property
    def kind(self) -> Literal["async", "sync", "dynamic"]:  # type: ignore[override]  # here the source may not tell
        """Return `async` or `sync`: how the handler is declared; `dynamic` where the source does not tell."""
        if self.found.is_async is None:
            return "dynamic"
        return "async" if self.is_async else "sync"

    @property
    def is_certain(self) -> bool:
        """Tell whether loading the plugin is sure to register it just so."""
        return self.found.is_certain and not self.found.is_deferred and self.found.event is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticList:
    """What the plugins' sources say.

    Args:
        handlers: by event and in dispatch order; those whose event the source does not tell come last, under `dynamic`.
        unreached: handlers in modules that no plugin imports, as far as the source tells: they do not register.
        unreadable: modules that are imported, but whose source cannot be understood.
        imports_unknown: the names of modules that import what the source does not name.
    """

    handlers: tuple[StaticHandler, ...]
    unreached: tuple[SourceHandler, ...] = ()
    unreadable: tuple[SourceModule, ...] = ()
    imports_unknown: tuple[str, ...] = ()


class _StandIn:
    """Stands for a callable that nobody has made."""

    def __call__(self) -> None:
        """Do nothing."""


def static_list(survey: Survey) -> StaticList:
    """Return the handlers that the plugins' sources say they register, in the order in which the bus would run them.

    Those of plugins that are failed, disabled or blocked are left out. A handler in a function that no import is seen
    to call may register or not, so it counts as dynamic.

    Args:
        survey: what the sources say.
    """
    plugins = tuple(
        replace(plugin, status="loaded") if plugin.status == "discovered" else plugin
        for plugin in survey.roster.plugins
    )
    roster = Roster(plugins, survey.roster.claims)
    modules = survey.modules
    entries = [plugin.module for plugin in plugins if plugin.status == "loaded"]
    imported = reached(entries, modules)
    serving = [module for name, module in modules.items() if _order.serves(_order.owner(name, roster), roster)]
    registering = [module for module in serving if module.name in imported]
    return StaticList(
        handlers=_in_order(
            [each for module in registering for each in module.handlers if not _is_of_program(each)], roster
        ),
        unreached=tuple(each for module in serving if module.name not in imported for each in module.handlers),
        unreadable=tuple(module for module in registering if module.problem),
        imports_unknown=tuple(module.name for module in registering if module.imports_unknown),
    )


def _is_of_program(handler: SourceHandler) -> bool:
    """Tell whether it registers only where the module is run as a program."""
    return handler.is_deferred and not handler.function


def _in_order(found: Iterable[SourceHandler], roster: Roster) -> tuple[StaticHandler, ...]:
    stand_ins: dict[Hashable, _StandIn] = defaultdict(_StandIn)
    by_event: dict[str | None, list[tuple[Declaration, SourceHandler]]] = {}
    for each in found:
        event = None if each.is_deferred else each.event
        declaration = Declaration(
            event=DYNAMIC if event is None else event,
            function=stand_ins[each.identity],
            module=each.module,
            qualname=each.qualname,
            declared_in=each.declared_in,
            is_async=bool(each.is_async),
            location=f"{each.file}:{each.line}",
            options=Options(id=each.stable_id) if each.stable_id else None,
        )
        by_event.setdefault(event, []).append((declaration, each))
    told = sorted(event for event in by_event if event is not None)
    events: list[str | None] = [*told, *([None] if None in by_event else [])]
    return tuple(handler for event in events for handler in _of_event(by_event[event], roster))


def _of_event(found: Sequence[tuple[Declaration, SourceHandler]], roster: Roster) -> Iterable[StaticHandler]:
    places = _order.placed([declaration for declaration, _ in found], roster, ())
    sources = {id(declaration): source for declaration, source in found}
    for (_, declaration), handler in zip(places, _order.described(places, roster), strict=True):
        fields = {name: getattr(handler, name) for name in Handler.__slots__}
        yield StaticHandler(**fields, found=sources[id(declaration)])


# What really registers


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the sources differ from what the bus registered.

    Args:
        only_static: what the source is sure about, and the bus does not have just so.
        only_registered: what the bus has, and nothing in the sources explains.
    """

    only_static: tuple[StaticHandler, ...]
    only_registered: tuple[Handler, ...]

    def __bool__(self) -> bool:
        return bool(self.only_static or self.only_registered)


def difference(static: StaticList, registered: Iterable[Handler]) -> Difference:
    """Compare the static list with what the bus registered; the host's handlers are left out.

    Two entries are the same where event, id and kind agree; a kind that the source does not tell agrees with both. An
    entry of which the source is not sure (dynamic, under a condition, in a function) is never a difference by itself,
    and it explains what the bus has: of the same module and name, or of the same plugin where the source does not tell
    which callable it is. So does a handler in a module that nobody is seen to import, where some module of the
    plugins imports what its source does not name. Where the same handlers of an event come in another order, those
    out of place differ.

    Args:
        static: what the sources say.
        registered: what the bus lists, in dispatch order.
    """
    real = [handler for handler in registered if handler.distribution]
    known = {(each.event, each.id): each for each in static.handlers if each.distribution}
    agreed = {
        (each.event, each.id)
        for each in real
        if (source := known.get((each.event, each.id))) is not None and source.kind in (each.kind, DYNAMIC)
    }
    agreed -= _out_of_place(static, real, agreed)
    doubtful = _Doubtful(static)
    return Difference(
        only_static=tuple(each for key, each in known.items() if key not in agreed and each.is_certain),
        only_registered=tuple(
            each for each in real if (each.event, each.id) not in agreed and not doubtful.explains(each)
        ),
    )


def _out_of_place(static: StaticList, real: Sequence[Handler], agreed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    def sequence(handlers: Iterable[Handler]) -> dict[str, list[tuple[str, str]]]:
        by_event: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for each in handlers:
            if (each.event, each.id) in agreed:
                by_event[each.event].append((each.event, each.id))
        return by_event

    expected = sequence(each for each in static.handlers if each.distribution)
    return {
        key
        for event, keys in sequence(real).items()
        for key, other in zip(keys, expected[event], strict=True)
        if key != other
    }


class _Doubtful:
    """The entries of which the sources are not sure."""

    def __init__(self, static: StaticList) -> None:
        doubtful = [(each.found, each.plugin, each.distribution) for each in static.handlers if not each.is_certain]
        self._named = [(each.module, each.qualname, each.event) for each, _, _ in doubtful]
        if static.imports_unknown:
            self._named += [(each.module, each.qualname, each.event) for each in static.unreached]
        self._unnamed = {
            (plugin, distribution, each.event) for each, plugin, distribution in doubtful if each.is_async is None
        }

    def explains(self, handler: Handler) -> bool:
        """Tell whether one of them may be a handler that the bus has."""
        return any(
            (handler.module, handler.qualname, event) in self._named
            or (handler.plugin, handler.distribution, event) in self._unnamed
            for event in (handler.event, None)
        )
