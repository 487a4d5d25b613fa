"""Trees: the sources of everything that each plugin may call its own, read and analysed without importing any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastsoy_events._claim import claims
from fastsoy_events._load import folders_first
from fastsoy_events._order import owner
from fastsoy_events.inspection.source._analyse import LARGEST_SOURCE, drafted, resolved_together, unreadable
from fastsoy_events.inspection.source._parse import UnreadableSourceError
from fastsoy_events.inspection.source._places import InstalledSources
from fastsoy_events.inspection.source._records import SourceModule, SourceTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastsoy_events._model import Candidate
    from fastsoy_events._record import Roster
    from fastsoy_events.inspection.source._draft import Draft
    from fastsoy_events.inspection.source._places import Found, Sources

MOST_MODULES = 5_000  # of one plugin
MOST_BYTES = 32 << 20  # of one plugin's sources
_BYTES_A_REPEATED_NODE = 100  # what takes time counts, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the sources of all plugins say.

    Args:
        roster: the plugins, in plugin order, and the modules that each may call its own.
        trees: one for each plugin, in the same order.
    """

    roster: Roster
    trees: tuple[SourceTree, ...]

    @property
    def modules(self) -> dict[str, SourceModule]:
        """Return the modules of all plugins, by dotted name."""
        return {module.name: module for tree in self.trees for module in tree.modules}


def trees(candidates: Sequence[Candidate], path: Sequence[str] | None = None) -> tuple[SourceTree, ...]:
    """Return the source trees of plugins that are installed.

    Args:
        candidates: the plugins, in plugin order.
        path: the folders to look in first, as `load_plugins` would.

    Returns:
        One tree for each candidate, in the same order.
    """
    return survey(candidates, path).trees


def survey(
    candidates: Sequence[Candidate], path: Sequence[str] | None = None, *, sources: Sources | None = None
) -> Survey:
    """Read and analyse the sources of plugins. None of them is imported.

    Args:
        candidates: the plugins, in plugin order.
        path: the folders to look in first, as `load_plugins` would.
        sources: where modules are; wherever an import would find them, unless it is given.
    """
    with folders_first(path):
        return _surveyed(candidates, InstalledSources() if sources is None else sources)


def _surveyed(candidates: Sequence[Candidate], sources: Sources) -> Survey:
    roster = claims(candidates, sources.locate).roster
    shelves = [_Shelf() for _ in candidates]
    for prefix, rank in sorted(roster.claims.items()):
        for found in sources.below(prefix):
            if owner(found.module, roster) == rank and not shelves[rank].take(found):
                break
    modules = resolved_together({name: draft for shelf in shelves for name, draft in shelf.drafts.items()})
    return Survey(
        roster=roster,
        trees=tuple(_tree(candidate, shelf, modules) for candidate, shelf in zip(candidates, shelves, strict=True)),
    )


class _Shelf:
    """The drafts of one plugin's modules, as many as the bounds allow."""

    def __init__(self) -> None:
        self.drafts: dict[str, Draft] = {}
        self.problem = ""
        self._bytes = 0

    def take(self, found: Found) -> bool:
        """Read a module, unless it was read before; tell whether there may be more."""
        if found.module in self.drafts:
            return True
        if len(self.drafts) >= MOST_MODULES or self._bytes >= MOST_BYTES:
            self.problem = f"only the first {len(self.drafts)} modules were looked at: there are too many, or too large"
            return False
        draft, size = draft_of(found)
        self.drafts[found.module] = draft
        self._bytes += size + draft.repeated * _BYTES_A_REPEATED_NODE
        return True


def draft_of(found: Found) -> tuple[Draft, int]:
    """Read a module, and return its draft with the bytes of its source; a draft without anything where none is read.

    Args:
        found: the module.
    """
    try:
        source = found.read(LARGEST_SOURCE + 1)
    except UnreadableSourceError as error:
        return unreadable(found.module, found.file, str(error)), 0
    return drafted(source, module=found.module, file=found.file, is_package=found.is_package), len(source)


def _tree(candidate: Candidate, shelf: _Shelf, modules: Mapping[str, SourceModule]) -> SourceTree:
    plugin = candidate.plugin
    own = sorted(shelf.drafts, key=lambda name: (name != plugin.module, name))
    problem = shelf.problem
    if not problem and plugin.module not in modules:
        problem = f"the module {plugin.module} cannot be found" if plugin.module else "no module is named"
    return SourceTree(
        distribution=plugin.distribution,
        plugin=plugin.name,
        entry_module=plugin.module,
        modules=tuple(modules[name] for name in own),
        reached=reached([plugin.module], modules) & frozenset(own),
        problem=problem,
    )


def reached(entries: Iterable[str], modules: Mapping[str, SourceModule]) -> frozenset[str]:
    """Return the modules that importing some imports, directly or not, as far as the source tells.

    Args:
        entries: the modules that are imported.
        modules: all that are known, by dotted name.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        for module in _with_packages(name):
            if module in modules and module not in found:
                found.add(module)
                waiting += _imported_by(modules[module])
    return frozenset(found)


def _with_packages(module: str) -> list[str]:
    parts = module.split(".")[:_DEEPEST]
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


_DEEPEST = 100


def _imported_by(module: SourceModule) -> Iterable[str]:
    for each in module.imports:
        if not each.for_types_only and not each.is_deferred:
            yield each.module
            yield from (f"{each.module}.{name}" for name in each.names)
