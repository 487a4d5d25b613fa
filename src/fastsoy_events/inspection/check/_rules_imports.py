"""The rule that everything rests on: no business module imports another. Pure; nothing is imported to find it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events.inspection.check._findings import Spot, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastsoy_events.inspection.check._facts import System
    from fastsoy_events.inspection.check._findings import Finding
    from fastsoy_events.inspection.source._records import SourceImport, SourceModule, SourceTree


def imports(system: System) -> Iterator[Finding]:
    """Find imports of modules that belong to a plugin of another distribution, also those inside of functions."""
    owners = _owners(system)
    for tree in system.trees:
        for module in tree.modules:
            for each in module.imports:
                yield from _of_import(each, module, tree, owners)


def _owners(system: System) -> Mapping[str, str]:
    """Return whose each module is; none where two distributions say that it is theirs."""
    owners: dict[str, str] = {}
    for tree in (*system.trees, *system.unseen):
        for name in (tree.entry_module, *(module.name for module in tree.modules)):
            owners[name] = tree.distribution
    with_plugins = {plugin.distribution for plugin in system.plugins}
    beside: dict[str, set[str]] = {}
    for each in system.installed:
        for name in each.modules if each.distribution in with_plugins else ():
            beside.setdefault(name, set()).add(each.distribution)
    only = {name: next(iter(distributions)) for name, distributions in beside.items() if len(distributions) == 1}
    return {**only, **owners}


def _of_import(
    each: SourceImport, module: SourceModule, tree: SourceTree, owners: Mapping[str, str]
) -> Iterator[Finding]:
    told: set[str] = set()
    modules = [name for name in (f"{each.module}.{name}" for name in each.names) if name in owners]
    for name in (*modules, each.module):
        other = _owner(name, owners)
        if other in ("", tree.distribution) or other in told:
            continue
        told.add(other)
        code, reason = ("FSE502", ", if only for its types") if each.for_types_only else ("FSE501", "")
        message = f"{module.name} of {tree.distribution} imports {name}, which is part of {other}{reason}."
        yield finding(code, Spot(module.file, each.line), message, other=other, distribution=tree.distribution)


def _owner(module: str, owners: Mapping[str, str]) -> str:
    while module and module not in owners:
        module = module.rpartition(".")[0]
    return owners.get(module, "")
