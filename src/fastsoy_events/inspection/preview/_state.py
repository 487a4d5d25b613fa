"""One side of a preview: what the sources say of all that is installed, or of all that would be."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastsoy_events import _order
from fastsoy_events._claim import claims
from fastsoy_events._load import folders_first
from fastsoy_events._lock import Lock, LockedContract, LockedEvent, LockedHandler, locked_plugin
from fastsoy_events._select import select
from fastsoy_events.errors import PluginError
from fastsoy_events.inspection._static import static_list
from fastsoy_events.inspection.check._gather import gathered
from fastsoy_events.inspection.preview._remarks import compiled_modules, is_cut
from fastsoy_events.inspection.source._trees import reached, survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastsoy_events._model import Plugin
    from fastsoy_events._select import Arguments, Selection
    from fastsoy_events.inspection._static import StaticHandler, StaticList
    from fastsoy_events.inspection.check._facts import System
    from fastsoy_events.inspection.preview._arrivals import Arrival, Side
    from fastsoy_events.inspection.source._trees import Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the sources say, without the wheels or with them.

    Args:
        selection: what was found, in plugin order.
        plugins: the plugins, in the same order; of those whose module is missing, the status is `failed`.
        doubts: why nobody can tell all that a plugin does, by its id.
        survey: the sources.
        system: what `check` looks at.
        listed: the handlers.
        warnings: what deserves a look about the installed distributions.
    """

    selection: Selection
    plugins: tuple[Plugin, ...]
    doubts: Mapping[str, str]
    survey: Survey
    system: System
    listed: StaticList
    warnings: tuple[str, ...]

    def problem_of(self, plugin: Plugin) -> str:
        """Return why a plugin cannot be loaded, or why nobody can tell all that it does; empty where all is well."""
        return plugin.error.reason if plugin.error else self.doubts.get(plugin.id, "")

    @property
    def owners(self) -> dict[str, str]:
        """Return the distribution that each module of the plugins belongs to."""
        return {module.name: tree.distribution for tree in self.survey.trees for module in tree.modules}


def state_of(side: Side, arguments: Arguments, wheels: Sequence[Arrival] = ()) -> State:
    """Read the sources of one side.

    Args:
        side: what is installed, or would be.
        arguments: which plugins take part, and in which order.
        wheels: those that are part of it.
    """
    candidates = _order.in_plugin_order(side.candidates, arguments.order)
    selection = select(candidates, arguments, os.environ)
    surveyed = survey(selection.candidates, arguments.path, sources=side.sources)
    compiled = frozenset[str]().union(*(compiled_modules(each.wheel) for each in wheels))
    plugins = tuple(_as_failed(plugin, surveyed, compiled) for plugin in surveyed.roster.plugins)
    with folders_first(arguments.path):
        claimed = {each.plugin.id: frozenset(claims([each], side.sources.locate).roster.claims) for each in candidates}
    return State(
        selection=selection,
        plugins=plugins,
        doubts=_doubts(plugins, surveyed, {each.distribution for each in wheels if is_cut(each.wheel)}),
        survey=surveyed,
        system=gathered(plugins, surveyed.trees, claims=claimed, installed=side.metadata),
        listed=static_list(surveyed),
        warnings=side.warnings,
    )


def _as_failed(plugin: Plugin, surveyed: Survey, compiled: frozenset[str]) -> Plugin:
    if plugin.status != "discovered" or plugin.module in surveyed.modules or plugin.module in compiled:
        return plugin
    error = PluginError(
        f"the module {plugin.module} cannot be found",
        distribution=plugin.distribution,
        version=plugin.version,
        entry_point=plugin.name,
        module=plugin.module,
    )
    return replace(plugin, status="failed", error=error)


def _doubts(plugins: Sequence[Plugin], surveyed: Survey, cut: set[str]) -> dict[str, str]:
    doubts: dict[str, str] = {}
    for plugin, tree in zip(plugins, surveyed.trees, strict=True):
        unreadable = [module for module in tree.modules if module.problem and module.name in tree.reached]
        if plugin.status != "discovered":
            continue
        if plugin.module not in surveyed.modules:
            doubts[plugin.id] = f"the module {plugin.module} is compiled code, which is not looked at"
        elif unreadable:
            doubts[plugin.id] = f"the source of {unreadable[0].name} cannot be looked at: {unreadable[0].problem}"
        elif tree.problem or plugin.distribution in cut:
            doubts[plugin.id] = tree.problem or "its wheel has more modules than are looked at"
    return doubts


# As a lock


def lock_of(state: State) -> Lock:
    """Return what the sources say in the form in which differences are told.

    Args:
        state: the side.
    """
    contracts = _contracts(state)
    handlers: dict[str, list[LockedHandler]] = {name: [] for name in contracts}
    for handler in state.listed.handlers:
        if handler.distribution:
            handlers.setdefault(handler.event, []).append(_locked_handler(handler))
    return Lock(
        fingerprint=None,
        plugins=tuple(locked_plugin(plugin) for plugin in state.plugins if plugin.status == "discovered"),
        events={
            name: LockedEvent(contract=contracts.get(name), handlers=tuple(handlers[name])) for name in sorted(handlers)
        },
    )


def _locked_handler(handler: StaticHandler) -> LockedHandler:
    return LockedHandler(
        id=handler.id,
        distribution=handler.distribution,
        version=handler.version,
        entry_point=handler.plugin,
        signature=f"{handler.kind} {handler.found.signature}",
        signature_hash="",
    )


def _contracts(state: State) -> dict[str, LockedContract]:
    """Return the first contract of each event, of the modules that are imported."""
    taking_part = [plugin for plugin in state.plugins if plugin.status == "discovered"]
    imported = reached([plugin.module for plugin in taking_part], state.survey.modules)
    contracts: dict[str, LockedContract] = {}
    for plugin, tree in zip(state.plugins, state.survey.trees, strict=True):
        for module in tree.modules if plugin.status == "discovered" else ():
            for each in module.contracts if module.name in imported else ():
                if each.event is not None:
                    contract = LockedContract(
                        distribution=plugin.distribution,
                        entry_point=plugin.name,
                        signature=each.signature,
                        contract_hash="",
                    )
                    contracts.setdefault(each.event, contract)
    return contracts
