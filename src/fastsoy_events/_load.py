"""Load: candidates become loaded plugins and failures. The only importer of plugins, and the owner of pluggy."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from time import perf_counter
from typing import TYPE_CHECKING

import pluggy

from fastsoy_events._model import Roster, canonical_name
from fastsoy_events.errors import PluginError, UnknownPluginError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from fastsoy_events._model import Candidate, Plugin

PROJECT = "fastsoy_events"

hookimpl = pluggy.HookimplMarker(PROJECT)
hookspec = pluggy.HookspecMarker(PROJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What `load_plugins` was called with, in one form so that two calls can be compared."""

    path: tuple[str, ...] | None = None
    order: tuple[str, ...] = ()
    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    strict: bool = False

    @classmethod
    def of(
        cls,
        path: Sequence[str | os.PathLike[str]] | None,
        order: Sequence[str],
        allowed: Collection[str] | None,
        disabled: Collection[str],
        *,
        strict: bool,
    ) -> Arguments:
        """Check and normalise the arguments.

        Raises:
            TypeError: where one value stands for several, or a set for a sequence.
        """
        for argument, value in {"path": path, "order": order, "allowed": allowed, "disabled": disabled}.items():
            if isinstance(value, str | bytes | os.PathLike):
                raise TypeError(f"{argument} takes several values: write {argument}=[{value!r}]")
        if isinstance(order, set | frozenset):
            raise TypeError(f"order takes a sequence, for a set has no order: write order={sorted(order)}")
        return cls(
            path=None if path is None else tuple(os.path.abspath(folder) for folder in path),  # noqa: PTH100 - sys.path holds texts
            order=tuple(order),
            allowed=None if allowed is None else frozenset(allowed),
            disabled=frozenset(disabled),
            strict=strict,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which candidates may be imported.

    Args:
        candidates: in plugin order, with the status `disabled` or `blocked` where that holds.
        warnings: one for each blocked distribution.
        unknown: one for each name that fits nothing found.
    """

    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    unknown: tuple[UnknownPluginError, ...]


def select(candidates: Sequence[Candidate], arguments: Arguments, environment: Mapping[str, str]) -> Selection:
    """Apply `allowed` and `disabled`, and the environment variables that narrow them.

    Args:
        candidates: in plugin order.
        arguments: of the call.
        environment: where `FASTSOY_EVENTS_ALLOWED` and `FASTSOY_EVENTS_DISABLED` may stand.
    """
    names = {
        "order": set(arguments.order),
        "allowed": set(arguments.allowed or ()),
        "disabled": set(arguments.disabled),
        "FASTSOY_EVENTS_ALLOWED": _names_in(environment, "FASTSOY_EVENTS_ALLOWED"),
        "FASTSOY_EVENTS_DISABLED": _names_in(environment, "FASTSOY_EVENTS_DISABLED"),
    }
    allowed = [names["allowed"]] if arguments.allowed is not None else []
    if "FASTSOY_EVENTS_ALLOWED" in environment:
        allowed.append(names["FASTSOY_EVENTS_ALLOWED"])
    disabled = names["disabled"] | names["FASTSOY_EVENTS_DISABLED"]
    chosen = [_narrowed(candidate, allowed, disabled) for candidate in candidates]
    blocked = dict.fromkeys(each.plugin.distribution for each in chosen if each.plugin.status == "blocked")
    return Selection(
        candidates=tuple(chosen),
        warnings=tuple(
            f"Plugins of {name} are blocked: they are installed, but {name} is not among the allowed distributions. "
            "Allow it or uninstall it"
            for name in blocked
        ),
        unknown=tuple(_unknown(names, candidates)),
    )


def _names_in(environment: Mapping[str, str], variable: str) -> set[str]:
    return {name for text in environment.get(variable, "").split(",") if (name := text.strip())}


def _narrowed(candidate: Candidate, allowed: Sequence[Collection[str]], disabled: Collection[str]) -> Candidate:
    plugin = candidate.plugin
    if any(plugin.goes_by(name) for name in disabled):
        return replace(candidate, plugin=replace(plugin, status="disabled", error=None))
    if any(plugin.distribution not in map(canonical_name, names) for names in allowed):
        return replace(candidate, plugin=replace(plugin, status="blocked", error=None))
    return candidate


def _unknown(names: Mapping[str, Collection[str]], candidates: Sequence[Candidate]) -> Iterator[UnknownPluginError]:
    plugins = [candidate.plugin for candidate in candidates]
    distributions = {plugin.distribution for plugin in plugins}
    for where, given in names.items():
        only_distributions = "allowed" in where.lower()
        known = distributions if only_distributions else distributions | {plugin.name for plugin in plugins}
        for name in sorted(given):
            if canonical_name(name) in distributions:
                continue
            if not only_distributions and any(plugin.goes_by(name) for plugin in plugins):
                continue
            nearest = get_close_matches(name, sorted(known), n=1)
            kind = "distribution" if only_distributions else "plugin or distribution"
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Found: {', '.join(sorted(known)) or 'none'}."
            yield UnknownPluginError(f"{where} names {name!r}, but no {kind} of that name was found. {hint}", name=name)


@contextmanager
def folders_first(path: Sequence[str] | None) -> Generator[None]:
    """Put folders first on `sys.path` for a while."""
    importlib.invalidate_caches()  # a distribution may have been installed since this process started
    added = list(path or ())
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            if folder in sys.path:
                sys.path.remove(folder)


def roster(candidates: Sequence[Candidate]) -> Roster:
    """Find out which modules each plugin may call its own, without importing any of its code.

    Args:
        candidates: in plugin order; of several with the same prefix, the first has it.
    """
    claims: dict[str, int] = {}
    for rank, candidate in enumerate(candidates):
        if _is_dotted_name(candidate.plugin.module):
            for prefix in _prefixes(candidate.plugin.module):
                claims.setdefault(prefix, rank)
    return Roster(tuple(candidate.plugin for candidate in candidates), claims)


def _is_dotted_name(module: str) -> bool:
    return all(part.isidentifier() for part in module.split("."))


def _prefixes(module: str) -> tuple[str, ...]:
    spec = _found_spec(module)
    parent = module.rpartition(".")[0]
    if not parent or (spec is not None and spec.submodule_search_locations is not None):
        return (module,)
    parent_spec = _found_spec(parent)
    if parent_spec is None or _is_namespace(parent_spec):
        return (module,)
    return (module, parent)


def files(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return the files of the plugins' entry modules, each with the module's name."""
    found: dict[str, list[str]] = {}
    for module in dict.fromkeys(candidate.plugin.module for candidate in candidates):
        spec = _found_spec(module) if _is_dotted_name(module) else None
        if spec is not None and spec.has_location and spec.origin:
            found.setdefault(os.path.realpath(spec.origin), []).append(module)
    return found


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.submodule_search_locations is not None and not spec.has_location


def _found_spec(module: str) -> ModuleSpec | None:
    """Find a module's spec as an import would, but run none of its parents' code."""
    spec: ModuleSpec | None = None
    path: Sequence[str] | None = None
    name = ""
    for part in module.split("."):
        if spec is not None:
            if spec.submodule_search_locations is None:
                return None
            if _is_namespace(spec):
                importlib.import_module(name)  # it holds no code, and its path is computed only once it is imported
            path = getattr(sys.modules.get(name), "__path__", spec.submodule_search_locations)
        name = f"{name}.{part}" if name else part
        spec = _spec_from_finders(name, path)
        if spec is None:
            return None
    return spec


def _spec_from_finders(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # noqa: BLE001, S112 - a finder that raises here raises again, and is reported, at the import
            continue
        if spec is not None:
            return spec
    return None


def new_manager(hookspecs: Sequence[ModuleType | type] = ()) -> pluggy.PluginManager:
    """Return a plugin manager that knows the host's hook specifications and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    for module in hookspecs:
        manager.add_hookspecs(module)
    return manager


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the candidates.

    Args:
        plugins: in plugin order.
        warnings: what deserves a look although nothing failed.
    """

    plugins: tuple[Plugin, ...]
    warnings: tuple[str, ...]


def load(candidates: Sequence[Candidate], manager: pluggy.PluginManager) -> Loaded:
    """Import the modules of all candidates with the status `discovered`, and register them for the host's hooks.

    Args:
        candidates: in plugin order.
        manager: the bus's plugin manager.
    """
    warnings: list[str] = []
    plugins: list[Plugin] = []
    modules: dict[int, ModuleType] = {}
    first_of_module: dict[str, int] = {}
    for rank, candidate in enumerate(candidates):
        plugin = candidate.plugin
        first = plugins[first_of_module[plugin.module]] if plugin.module in first_of_module else None
        first_of_module.setdefault(plugin.module, rank)
        if plugin.status != "discovered":
            plugins.append(plugin)
        elif first is not None:
            plugins.append(_second(plugin, first, warnings))
        else:
            loaded, module = _imported(candidate)
            plugins.append(loaded)
            if module is not None:
                modules[rank] = module
    for rank, module in reversed(modules.items()):  # pluggy calls what was registered last first
        plugins[rank] = _registered(plugins[rank], module, manager)
    warnings += _unknown_hooks(manager)
    return Loaded(tuple(plugins), tuple(warnings))


def _second(plugin: Plugin, first: Plugin, warnings: list[str]) -> Plugin:
    """Settle a plugin whose module an earlier plugin has: it shares the earlier one's fate."""
    if first.status == "loaded":
        warnings.append(
            f"{plugin.module} is named by two entry points, {first.id} and {plugin.id}: it is loaded "
            "once, and its handlers belong to the first. Remove one of the entry points"
        )
        return replace(plugin, status="loaded")
    return _failed(plugin, f"its module belongs to {first.id}, which comes first and is {first.status}", None)


def _failed(plugin: Plugin, reason: str, cause: BaseException | None) -> Plugin:
    error = PluginError(
        reason,
        distribution=plugin.distribution,
        version=plugin.version,
        entry_point=plugin.name,
        module=plugin.module,
    )
    error.__cause__ = cause
    return replace(plugin, status="failed", error=error)


def _imported(candidate: Candidate) -> tuple[Plugin, ModuleType | None]:
    plugin = candidate.plugin
    started = perf_counter()
    try:
        module = importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - isolation: whatever one import raises, the next plugin loads
        plugin = replace(plugin, import_seconds=perf_counter() - started)
        return _failed(plugin, _reason_of_import(plugin.module, error), error), None
    plugin = replace(plugin, import_seconds=perf_counter() - started, status="loaded")
    try:
        reduce(getattr, candidate.attribute.split(".") if candidate.attribute else (), module)
    except Exception as error:  # noqa: BLE001 - a module's __getattr__ may raise anything
        reason = f"the module has no attribute {candidate.attribute}, which the entry point names ({_short(error)})"
        return _failed(plugin, reason, error), None
    return plugin, module


def _reason_of_import(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return f"there is no such module ({_short(error)}). Correct the entry point, or install the distribution anew"
    if isinstance(error, SystemExit):
        return f"importing it ended with {_short(error)}: a module must not exit when it is imported"
    return f"importing it raised {_short(error)}"


def _short(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _registered(plugin: Plugin, module: ModuleType, manager: pluggy.PluginManager) -> Plugin:
    try:
        manager.register(module, plugin.id)
    except Exception as error:  # noqa: BLE001 - reading a module's attributes may raise anything
        if manager.has_plugin(plugin.id):
            manager.unregister(name=plugin.id)
        return _failed(plugin, f"a hook implementation does not fit its specification: {_short(error)}", error)
    return plugin


def _unknown_hooks(manager: pluggy.PluginManager) -> Iterator[str]:
    callers: dict[str, pluggy.HookCaller] = {
        name: caller for name, caller in vars(manager.hook).items() if not name.startswith("_")
    }
    known = sorted(name for name, caller in callers.items() if caller.has_spec())
    for name, caller in sorted(callers.items()):
        for implementation in [] if caller.has_spec() else caller.get_hookimpls():
            if not implementation.optionalhook:
                nearest = get_close_matches(name, known, n=1)
                hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
                yield (
                    f"{implementation.plugin_name} implements the hook {name!r}, which no hook specification knows, "
                    f"so nobody calls it.{hint}"
                )
