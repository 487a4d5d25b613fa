"""Gather what the rules of `check` look at.

Of a loaded plugin and of the host, what registered is the truth, and the source adds what a running function does not
show. Of every other plugin there is only the source.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING

from fastsoy_events._contract import keywords_of
from fastsoy_events.inspection.check._facts import LOOKED_AT, ContractFact, EmitFact, HandlerFact, System
from fastsoy_events.inspection.check._findings import Spot
from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fastsoy_events import Event, Handler, Plugin
    from fastsoy_events.inspection.check._installed import Metadata
    from fastsoy_events.inspection.source._records import Parameter, SourceModule, SourceTree


def gathered(
    plugins: Sequence[Plugin],
    trees: Iterable[SourceTree],
    *,
    handlers: Iterable[Handler] = (),
    events: Iterable[Event[...]] = (),
    host: Sequence[SourceModule] = (),
    has_host: bool = False,
    imported: frozenset[str] | None = None,
    with_hooks: frozenset[str] = frozenset(),
    claims: Mapping[str, frozenset[str]] | None = None,
    installed: Sequence[Metadata] = (),
    folder: str = "",
) -> System:
    """Bring into one form what registered and what the sources say.

    Args:
        plugins: in plugin order, whatever their status; `discovered` where they were not loaded.
        trees: the sources of the plugins.
        handlers: those that take part.
        events: the contracts in force.
        host: the sources of the application.
        has_host: whether the application was looked at.
        imported: the modules that are imported; None where nothing was.
        with_hooks: the ids of the plugins that implement a hook.
        claims: the modules that each plugin would call its own if it were alone, by its id.
        installed: the metadata of what is installed.
        folder: places in messages are told relative to it.
    """
    status = {plugin.id: plugin.status for plugin in plugins}
    trees = tuple(trees)
    seen = tuple(tree for tree in trees if status.get(tree.id) in LOOKED_AT)
    sources = [(tree.id, tree.distribution, module) for tree in seen for module in tree.modules]
    sources += [("", "", module) for module in host]
    only_sources = [source for source in sources if source[0] and status[source[0]] != "loaded"]
    return System(
        plugins=tuple(plugins),
        trees=seen,
        handlers=(*_registered(handlers, [module for *_, module in sources]), *_handlers_in(only_sources)),
        contracts=(*map(_contract_in_force, events), *_contracts_in(only_sources)),
        emits=tuple(
            EmitFact(emit=emit, spot=Spot(module.file, emit.line), plugin=plugin, distribution=distribution)
            for plugin, distribution, module in sources
            for emit in module.emits
        ),
        unseen=tuple(tree for tree in trees if status.get(tree.id) not in LOOKED_AT),
        has_host=has_host,
        imported=imported,
        with_hooks=with_hooks,
        claims=claims or {},
        installed=tuple(installed),
        folder=folder,
    )


def _spot_of(source: str) -> Spot:
    """Return the spot that `file:line` names."""
    file, _, line = source.rpartition(":")
    return Spot(file, int(line)) if file and line.isdigit() else Spot(source, 1)


# What registered


def _registered(handlers: Iterable[Handler], modules: Iterable[SourceModule]) -> Iterator[HandlerFact]:
    blocking = {(each.module, each.line): each.blocking for module in modules for each in module.handlers}
    for handler in handlers:
        spot = _spot_of(handler.source)
        required, taken, takes_any = keywords_of(handler.function)
        yield HandlerFact(
            event=handler.event,
            name=f"{handler.module}.{handler.qualname}",
            spot=spot,
            plugin=f"{handler.distribution}:{handler.plugin}" if handler.distribution else "",
            distribution=handler.distribution,
            is_async=handler.is_async,
            required=required,
            taken=taken,
            takes_any=takes_any,
            signature=_shown(partial(_without_return, handler.function), otherwise="(...)"),
            blocking=blocking.get((handler.module, spot.line), ()),
            identifier=handler.id,
        )


def _without_return(function: Callable[..., object]) -> str:
    signature = inspect.signature(function, follow_wrapped=False)
    return str(signature.replace(return_annotation=signature.empty))


def _shown(show: Callable[[], str], *, otherwise: str) -> str:
    """Return a signature, or a default, as people write it."""
    try:
        return shortened(show())
    except Exception:  # noqa: BLE001 - many callables written in C tell no signature, and objects may raise anything
        return otherwise


def _contract_in_force(event: Event[...]) -> ContractFact:
    parameters = event.signature.parameters.values()
    return ContractFact(
        event=event.name,
        name=f"{event.module}.{event.qualname}",
        spot=_spot_of(event.source),
        plugin=f"{event.distribution}:{event.plugin}" if event.distribution else "",
        distribution=event.distribution,
        required=tuple(each.name for each in parameters if each.default is each.empty),
        defaults={
            each.name: _shown(partial(repr, each.default), otherwise="...")
            for each in parameters
            if each.default is not each.empty
        },
        signature=_shown(partial(str, event.signature), otherwise="(...)"),
    )


# What only the source tells


def _handlers_in(sources: Iterable[tuple[str, str, SourceModule]]) -> Iterator[HandlerFact]:
    for plugin, distribution, module in sources:
        for each in module.handlers:
            if each.event is not None and not each.is_deferred:
                yield HandlerFact(
                    event=each.event,
                    name=f"{each.module}.{each.qualname}",
                    spot=Spot(each.file or module.file, each.line),
                    plugin=plugin,
                    distribution=distribution,
                    is_async=each.is_async,
                    required=_required(each.parameters),
                    taken=frozenset(parameter.name for parameter in each.parameters),
                    takes_any=each.takes_any,
                    signature=each.signature,
                    blocking=each.blocking,
                )


def _contracts_in(sources: Iterable[tuple[str, str, SourceModule]]) -> Iterator[ContractFact]:
    for plugin, distribution, module in sources:
        for each in module.contracts:
            if each.event is not None:
                yield ContractFact(
                    event=each.event,
                    name=f"{each.module}.{each.qualname}",
                    spot=Spot(module.file, each.line),
                    plugin=plugin,
                    distribution=distribution,
                    required=_required(each.parameters),
                    defaults={parameter.name: "" for parameter in each.parameters if not parameter.is_required},
                    signature=each.signature,
                )


def _required(parameters: Iterable[Parameter]) -> tuple[str, ...]:
    return tuple(each.name for each in parameters if each.is_required)
