"""Rules on plugins: that each is loaded, registers something, and is told apart from every other. Pure."""

from __future__ import annotations

import re
from collections import Counter
from traceback import extract_tb
from typing import TYPE_CHECKING

from fastsoy_events.inspection.check._findings import Spot, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastsoy_events import Plugin
    from fastsoy_events.inspection.check._facts import ContractFact, System
    from fastsoy_events.inspection.check._findings import Finding
    from fastsoy_events.inspection.check._installed import Metadata
    from fastsoy_events.inspection.source._records import SourceModule, SourceTree

_AT_LINE = re.compile(r"line (?P<line>\d+): ")
_FOR_TESTS = re.compile(r"(?:^|\.)(?:conftest|testing|tests?|test_\w*)(?:\.|$)")
_CORE = "fastsoy_events"
_MARKER = "hookimpl"


class _Places:
    """Where plugins are, each found by its id."""

    def __init__(self, system: System) -> None:
        self._trees = {tree.id: tree for tree in system.trees}
        self._folders: dict[str, list[Metadata]] = {}
        for each in system.installed:
            self._folders.setdefault(each.distribution, []).append(each)

    def of_failure(self, plugin: Plugin) -> Spot:
        """Return where the import of a plugin failed, as near as its own files tell."""
        cause = plugin.error.__cause__ if plugin.error else None
        tree = self._trees.get(plugin.id)
        files = {module.file for module in tree.modules} if tree else set[str]()
        if isinstance(cause, SyntaxError) and cause.filename in files:
            return Spot(cause.filename, cause.lineno or 1)
        frames = extract_tb(None if cause is None else cause.__traceback__)
        own = [frame for frame in frames if frame.filename in files]
        return Spot(own[-1].filename, own[-1].lineno or 1) if own else self.of_entry(plugin)

    def of_entry(self, plugin: Plugin) -> Spot:
        """Return the beginning of a plugin's entry module, or else the line that declares the entry point."""
        tree = self._trees.get(plugin.id)
        if tree and tree.modules and tree.modules[0].name == plugin.module:
            return Spot(tree.modules[0].file, 1)
        return self.of_declaration(plugin)

    def of_declaration(self, plugin: Plugin) -> Spot:
        """Return the line of `entry_points.txt` that declares a plugin."""
        folders = self._folders.get(plugin.distribution, [])
        found = next((each for each in folders if each.version == plugin.version), folders[0] if folders else None)
        if found is None:
            return Spot(f"{plugin.distribution}/entry_points.txt", 1)
        return Spot(found.file("entry_points.txt"), found.line_of(plugin.name))


def failures(system: System) -> Iterator[Finding]:
    """Find plugins that failed; one that failed only because of another finding is not told twice."""
    places = _Places(system)
    late_contracts = _late_contracts(system)
    without_metadata = {each.distribution for each in system.installed if each.is_empty}
    for plugin in system.plugins:
        error, late = plugin.error, late_contracts.get(plugin.id, ())
        if error is None or (late and error.__cause__ is None) or places.of_failure(plugin) in late:
            continue
        if not plugin.module and plugin.distribution in without_metadata:
            continue
        name = f"The plugin {plugin.id}" if plugin.name else f"The distribution {plugin.distribution}"
        yield finding("FSE401", places.of_failure(plugin), f"{name} failed: {error.reason.removesuffix('.')}.")


def _late_contracts(system: System) -> Mapping[str, Sequence[Spot]]:
    """Return the places of contracts whose event has one already, by the id of the plugin that declares them."""
    first: dict[str, ContractFact] = {}
    late: dict[str, list[Spot]] = {}
    for each in system.contracts:
        if first.setdefault(each.event, each) is not each:
            late.setdefault(each.plugin, []).append(each.spot)
    return late


# What a plugin registers


def registering(system: System) -> Iterator[Finding]:
    """Find entry points that register nothing: no handler, no contract, no hook, and no emit either."""
    places = _Places(system)
    busy = {each.plugin for each in system.handlers} | {each.plugin for each in system.contracts} | system.with_hooks
    busy |= {each.plugin for each in system.emits} | _perhaps_with_hooks(system)
    named = Counter(plugin.module for plugin in system.looked_at)
    for plugin in system.looked_at:
        if plugin.status != "failed" and plugin.id not in busy and named[plugin.module] == 1:
            message = (
                f"The entry point {plugin.id} registers nothing: {plugin.module} has no handler, contract or hook."
            )
            yield finding("FSE402", places.of_entry(plugin), message, module=plugin.module)


def _perhaps_with_hooks(system: System) -> set[str]:
    """Return the ids of the plugins that nobody has imported, and whose source may implement a hook."""
    not_imported = {plugin.id for plugin in system.plugins if plugin.status == "discovered"}
    return not_imported & {
        tree.id
        for tree in system.trees
        for module in tree.modules
        for each in module.imports
        if each.module == _CORE and (not each.names or _MARKER in each.names)
    }


def reaching(system: System) -> Iterator[Finding]:
    """Find modules with handlers or contracts that no entry point reaches, so that they silently do not exist."""
    reached = frozenset[str]().union(*(tree.reached for tree in system.trees))
    loaded = {plugin.id for plugin in system.plugins if plugin.status == "loaded"}
    for tree in system.trees:
        is_loaded = system.imported is not None and tree.id in loaded
        if is_loaded or not any(module.imports_unknown for module in tree.modules):
            yield from _out_of_reach(tree, system.imported if is_loaded and system.imported else reached)


def _out_of_reach(tree: SourceTree, reached: frozenset[str]) -> Iterator[Finding]:
    for module in tree.modules:
        is_for_tests = _FOR_TESTS.search(module.name)
        if module.name not in reached and not is_for_tests and (declares := _declared_on_import(module)):
            message = f"{module.name} {declares}, but importing {tree.entry_module} does not import it."
            yield finding("FSE403", _first(module), message, module=module.name, entry_module=tree.entry_module)


def _declared_on_import(module: SourceModule) -> str:
    heard = dict.fromkeys(each.event or each.written for each in module.handlers if not each.is_deferred)
    declared = dict.fromkeys(each.event or each.written for each in module.contracts)
    parts = (
        f"has handlers of {', '.join(heard)}" if heard else "",
        f"declares {', '.join(declared)}" if declared else "",
    )
    return " and ".join(filter(None, parts))


def _first(module: SourceModule) -> Spot:
    lines = [each.line for each in module.handlers if not each.is_deferred] + [each.line for each in module.contracts]
    return Spot(module.file, min(lines))


def reading(system: System) -> Iterator[Finding]:
    """Find sources that cannot be looked at, unless that is why their plugin failed."""
    places = _Places(system)
    failed = {places.of_failure(plugin).file for plugin in system.plugins if plugin.error is not None}
    for module in (module for tree in system.trees for module in tree.modules):
        if module.problem and module.file not in failed:
            line = _AT_LINE.match(module.problem)
            problem = module.problem[line.end() :] if line else module.problem
            message = f"The source of {module.name} cannot be looked at: {problem}."
            yield finding("FSE406", Spot(module.file, int(line["line"]) if line else 1), message)
    for tree in system.trees:
        if tree.problem and tree.modules and tree.modules[0].name == tree.entry_module:
            message = f"Not all of {tree.id} was looked at: {tree.problem}."
            yield finding("FSE406", Spot(tree.modules[0].file, 1), message)


# What tells plugins apart


def claiming(system: System) -> Iterator[Finding]:
    """Find modules that two plugins claim; whatever they register belongs to the first of them."""
    places = _Places(system)
    first: dict[str, Plugin] = {}
    for plugin in system.looked_at:
        for module in sorted(system.claims.get(plugin.id, ()), key=len, reverse=True):
            owner = first.setdefault(module, plugin)
            if owner is not plugin and (module == plugin.module or owner.distribution != plugin.distribution):
                yield _of_claim(module, plugin, owner, places)
                break


def _of_claim(module: str, plugin: Plugin, owner: Plugin, places: _Places) -> Finding:
    message = f"{owner.id} and {plugin.id} both claim {module}, and what it registers belongs to the first."
    advice = "Remove one of the two entry points" if module == plugin.module else "Give each its own package"
    return finding("FSE404", places.of_declaration(plugin), message, advice=advice)


def naming(system: System) -> Iterator[Finding]:
    """Find entry points of one name in two distributions."""
    places = _Places(system)
    first: dict[str, Plugin] = {}
    for plugin in system.looked_at:
        owner = first.setdefault(plugin.name, plugin)
        if plugin.name and owner.distribution != plugin.distribution:
            message = f"{owner.id} and {plugin.id} have one name, so whatever names {plugin.name} means both."
            yield finding("FSE405", places.of_declaration(plugin), message, plugin=plugin.id)
