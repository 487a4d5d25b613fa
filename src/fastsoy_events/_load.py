"""Load: candidates become loaded plugins and failures. The only importer of plugins, and the owner of pluggy."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from time import perf_counter
from typing import TYPE_CHECKING

import pluggy

from fastsoy_events import hookspecs as own_hookspecs
from fastsoy_events.errors import PluginError
from fastsoy_events.hookspecs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from types import ModuleType

    from fastsoy_events._model import Candidate, Plugin

hookimpl = pluggy.HookimplMarker(PROJECT)
hookspec = pluggy.HookspecMarker(PROJECT)


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


def new_manager(hookspecs: Sequence[ModuleType | type] = ()) -> pluggy.PluginManager:
    """Return a plugin manager that knows the bus's and the host's hook specifications and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    for module in (own_hookspecs, *hookspecs):
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
    firsts: dict[str | int, int] = {}  # the rank of the first plugin that has a module, by name and by identity
    seconds: dict[int, int] = {}  # the ranks of those that have it again
    for rank, candidate in enumerate(candidates):
        plugin, module = candidate.plugin, None
        first = firsts.setdefault(plugin.module, rank)
        if plugin.status == "discovered" and first == rank:
            plugin, module = imported(candidate)
            first = firsts.setdefault(id(module), rank) if module else rank
        if plugin.status in ("discovered", "loaded") and first != rank:
            seconds[rank] = first
        elif module:
            modules[rank] = module
        plugins.append(plugin)
    for rank, module in reversed(modules.items()):  # pluggy calls what was registered last first
        plugins[rank] = _registered(plugins[rank], module, manager)
    for rank, first in seconds.items():
        plugins[rank] = _second(candidates[rank], plugins[first], modules.get(first), warnings)
    return Loaded(tuple(plugins), (*warnings, *_unknown_hooks(manager)))


def _second(candidate: Candidate, first: Plugin, module: ModuleType | None, warnings: list[str]) -> Plugin:
    """Settle a plugin whose module an earlier plugin has: it shares the earlier one's fate."""
    plugin = candidate.plugin
    if module is None or first.status != "loaded":
        return failed(plugin, f"its module belongs to {first.id}, which comes first and is {first.status}", None)
    warnings.append(
        f"{plugin.module} is named by two entry points, {first.id} and {plugin.id}: it is loaded once, and its "
        "handlers belong to the first. Remove one of the entry points"
    )
    return _resolved(replace(plugin, status="loaded"), module, candidate.attribute)


def failed(plugin: Plugin, reason: str, cause: BaseException | None) -> Plugin:
    """Return the plugin with the status `failed` and its error."""
    error = PluginError(
        reason,
        distribution=plugin.distribution,
        version=plugin.version,
        entry_point=plugin.name,
        module=plugin.module,
    )
    error.__cause__ = cause
    return replace(plugin, status="failed", error=error)


def imported(candidate: Candidate) -> tuple[Plugin, ModuleType | None]:
    """Import what an entry point names; the plugin is `loaded`, with its module, or `failed`.

    Args:
        candidate: with the status `discovered`.
    """
    plugin = candidate.plugin
    started = perf_counter()
    try:
        module = importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - isolation: whatever one import raises, the next plugin loads
        plugin = replace(plugin, import_seconds=perf_counter() - started)
        _begin_at_the_module(error)
        return failed(plugin, _reason_of_import(plugin.module, error), error), None
    plugin = replace(plugin, import_seconds=perf_counter() - started, status="loaded")
    plugin = _resolved(plugin, module, candidate.attribute)
    return plugin, module if plugin.status == "loaded" else None


def _begin_at_the_module(error: BaseException) -> None:
    """Leave the frames of the import system out of a traceback, if the module's code ran at all."""
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            error.__traceback__ = traceback
            return
        traceback = traceback.tb_next


def _resolved(plugin: Plugin, module: ModuleType, attribute: str) -> Plugin:
    """Look up what follows the colon of the entry point; it is not called."""
    try:
        reduce(getattr, attribute.split(".") if attribute else (), module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module's __getattr__ may raise anything
        reason = f"the module has no attribute {attribute}, which the entry point names ({short(error)})"
        return failed(plugin, reason, error)
    return plugin


def _reason_of_import(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return f"there is no such module ({short(error)}). Correct the entry point, or install the distribution anew"
    if isinstance(error, SystemExit):
        return f"importing it ended with {short(error)}: a module must not exit when it is imported"
    return f"importing it raised {short(error)}"


def short(error: BaseException) -> str:
    """Return the type and the text of an error that others have raised."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be put into words is one plugin's failure all the same
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _registered(plugin: Plugin, module: ModuleType, manager: pluggy.PluginManager) -> Plugin:
    try:
        manager.register(module, plugin.id)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - reading a module's attributes may raise anything
        if manager.has_plugin(plugin.id):
            manager.unregister(name=plugin.id)
        is_misfit = isinstance(error, pluggy.PluginValidationError)
        problem = "a hook implementation does not fit its specification" if is_misfit else "its hooks cannot be read"
        return failed(plugin, f"{problem}: {short(error)}", error)
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
