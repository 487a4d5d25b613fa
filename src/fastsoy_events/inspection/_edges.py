"""Who publishes which event: from the contracts in force, and from the emits in the sources of what is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events import _order
from fastsoy_events.inspection.source._analyse import resolved_together
from fastsoy_events.inspection.source._places import InstalledSources
from fastsoy_events.inspection.source._trees import MOST_MODULES, draft_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastsoy_events import Event, Plugin
    from fastsoy_events._record import Roster
    from fastsoy_events.inspection.source._records import SourceEmit, SourceModule, SourceTree

_Publisher: TypeAlias = tuple[str, str]  # the distribution and the entry point; empty for the host
_Key: TypeAlias = tuple[str, str, str]  # the event, and its publisher

HOST: _Publisher = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One edge from a publisher to an event.

    Args:
        event: the event's name.
        plugin: the name of the publisher's entry point; empty for the host.
        distribution: the canonical name of its distribution; empty for the host.
        has_contract: whether it declares the event.
        emits: where its source emits the event.
    """

    event: str
    plugin: str
    distribution: str
    has_contract: bool
    emits: tuple[SourceEmit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publications:
    """Who publishes what.

    Args:
        known: by event; of several publishers, who declares it comes first, then the host, then plugins in their order.
        dynamic: the emits of which the source does not tell the event's name.
    """

    known: tuple[Publication, ...]
    dynamic: tuple[SourceEmit, ...]


def publications(
    contracts: Iterable[Event[...]],
    plugins: Sequence[Plugin],
    trees: Iterable[SourceTree],
    host: Iterable[SourceModule] = (),
) -> Publications:
    """Gather the edges from publishers to events.

    Args:
        contracts: those in force.
        plugins: in plugin order; only those that are loaded publish anything.
        trees: the sources of the plugins.
        host: the sources of the host's modules.
    """
    sources = [(HOST, module) for module in host] + _of_loaded(plugins, trees)
    emits: dict[_Key, list[SourceEmit]] = {}
    for publisher, module in sources:
        for emit in module.emits:
            if emit.event is not None:
                emits.setdefault((emit.event, *publisher), []).append(emit)
    declared = {(each.name, each.distribution, each.plugin) for each in contracts}
    ranks = {(plugin.distribution, plugin.name): rank for rank, plugin in enumerate(plugins)} | {HOST: _order.HOST}
    keys = sorted({*declared, *emits}, key=lambda key: (key[0], key not in declared, ranks[key[1:]]))
    return Publications(
        known=tuple(_publication(key, emits.get(key, ()), has_contract=key in declared) for key in keys),
        dynamic=tuple(emit for _, module in sources for emit in module.emits if emit.event is None),
    )


def _of_loaded(plugins: Iterable[Plugin], trees: Iterable[SourceTree]) -> list[tuple[_Publisher, SourceModule]]:
    loaded = {(each.distribution, each.name) for each in plugins if each.status == "loaded"}
    own = [((tree.distribution, tree.plugin), tree) for tree in trees]
    return [(publisher, module) for publisher, tree in own if publisher in loaded for module in tree.modules]


def _publication(key: _Key, emits: Sequence[SourceEmit], *, has_contract: bool) -> Publication:
    event, distribution, plugin = key
    return Publication(
        event=event, plugin=plugin, distribution=distribution, has_contract=has_contract, emits=tuple(emits)
    )


def host_modules(app: str, roster: Roster) -> tuple[SourceModule, ...]:
    """Read the sources of the application, without running any of it.

    Args:
        app: the dotted name of a module of the application; its outermost package is the application.
        roster: what belongs to plugins, and so not to the host.
    """
    sources = InstalledSources().below(app.partition(".")[0])
    own = (found for found in sources if _order.owner(found.module, roster) == _order.HOST)
    drafts = {found.module: draft_of(found)[0] for found in islice(own, MOST_MODULES)}
    return tuple(resolved_together(drafts).values())
