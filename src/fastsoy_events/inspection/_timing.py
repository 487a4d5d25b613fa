"""Times the imports of plugins: which modules run for the first time, for which plugin, and how long each takes alone.

While it records, the loaders that run modules from files and archives report when each begins and ends. Nothing but the
command line does this: it costs every import a little.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from threading import local
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar
from zipimport import zipimporter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from fastsoy_events import Plugin

_Token = TypeVar("_Token")

_IMPORTS_PLUGINS = "fastsoy_events._load"
_IMPORT_SYSTEM = "<frozen importlib._bootstrap_external>"
_RUN_MODULES = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader, zipimporter)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleTime:
    """One module that ran for the first time.

    Args:
        module: its dotted name.
        seconds: how long it took, without the modules that it imported.
    """

    module: str
    seconds: float

    def as_dict(self) -> dict[str, str | float]:
        """Return it as a value of `slowest` in `fastsoy-events plugins --timing --json`."""
        return {"module": self.module, "milliseconds": round(self.seconds * 1000, 3)}


@dataclass(slots=True, eq=False)
class _Run:
    module: str
    plugin: str
    started: float
    others: float = 0.0


class _Stack(local):
    """The modules that the current thread is running, the innermost last."""

    def __init__(self) -> None:
        self.runs: list[_Run] = []


class ImportTimes:
    """What ran while plugins were imported.

    A module counts to the plugin that was being imported when it ran, whoever else imports it later. Modules that run
    in other threads meanwhile count to that plugin too, since most likely it started them.
    """

    def __init__(self) -> None:
        self._plugin = ""
        self._stack = _Stack()
        self._finished: list[tuple[str, ModuleTime]] = []  # appending is atomic, and all that threads share

    def of(self, plugin: Plugin) -> tuple[ModuleTime, ...]:
        """Return the modules that ran for the first time because of a plugin, the slowest first.

        Args:
            plugin: a plugin from the report of the load.

        Returns:
            None where it was not imported, or where everything it needs had been imported before.
        """
        seconds: dict[str, float] = {}
        if plugin.import_seconds:  # a second plugin with the same module has no import of its own
            for name, each in self._finished:
                if name == plugin.module:
                    seconds[each.module] = seconds.get(each.module, 0.0) + each.seconds
        times = (ModuleTime(module=module, seconds=took) for module, took in seconds.items())
        return tuple(sorted(times, key=lambda each: (-each.seconds, each.module)))

    def begin_import(self, name: str, package: str | None = None) -> bool:
        """Take note that a plugin is about to be imported, if it is the loader that imports something."""
        del package
        caller = sys._getframe(2).f_globals.get("__name__")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no other way tells who calls
        if caller != _IMPORTS_PLUGINS:
            return False
        self._plugin = name
        return True

    def end_import(self, is_plugin: bool) -> None:  # noqa: FBT001  (what begin_import returned)
        """Take note that the plugin was imported."""
        if is_plugin:
            self._plugin = ""

    def begin_run(self, loader: object, module: ModuleType) -> _Run | None:
        """Take note that a module is about to run."""
        del loader
        return self._begin(module.__name__)

    def begin_creation(self, loader: object, spec: ModuleSpec) -> _Run | None:
        """Take note that an extension module is about to be created, in which most of them do all their work."""
        del loader
        return self._begin(spec.name)

    def _begin(self, module: str) -> _Run | None:
        if not self._plugin:
            return None
        run = _Run(module, self._plugin, perf_counter())
        self._stack.runs.append(run)
        return run

    def end_run(self, run: _Run | None) -> None:
        """Take note that a module has run, well or not."""
        if run is None:
            return
        seconds = perf_counter() - run.started
        self._stack.runs.remove(run)
        if self._stack.runs:
            self._stack.runs[-1].others += seconds
        self._finished.append((run.plugin, ModuleTime(module=run.module, seconds=seconds - run.others)))


@contextmanager
def timed_imports() -> Generator[ImportTimes]:
    """Record which modules run while plugins are imported, for the length of a `with` block.

    Yields:
        The times, complete when the block ends. The import system is as before then.
    """
    times = ImportTimes()
    import_module = _reporting(importlib.import_module, times.begin_import, times.end_import, file=importlib.__file__)
    create = _reporting(ExtensionFileLoader.create_module, times.begin_creation, times.end_run)
    with ExitStack() as stack:
        stack.enter_context(_replaced(importlib, "import_module", import_module))
        stack.enter_context(_replaced(ExtensionFileLoader, "create_module", create))
        for loader in _RUN_MODULES:
            run = _reporting(loader.exec_module, times.begin_run, times.end_run)
            stack.enter_context(_replaced(loader, "exec_module", run))
        yield times


def _reporting(
    original: Callable[..., object],
    begin: Callable[..., _Token],
    end: Callable[[_Token], None],
    *,
    file: str = _IMPORT_SYSTEM,
) -> Callable[..., object]:
    """Return a function that does the same, and reports when it begins and ends."""

    def reporting(*arguments: Any, **keywords: Any) -> object:  # pragma: no cover - it runs under another file's name
        token = begin(*arguments, **keywords)
        try:
            return original(*arguments, **keywords)
        finally:
            end(token)

    # Tracebacks and the `stacklevel` of warnings leave out frames of the import system, which they tell by their file.
    reporting.__code__ = reporting.__code__.replace(co_filename=file)
    return reporting


@contextmanager
def _replaced(owner: ModuleType | type, name: str, replacement: object) -> Generator[None]:
    is_own = name in vars(owner)
    restore = partial(setattr, owner, name, getattr(owner, name)) if is_own else partial(delattr, owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        if vars(owner).get(name) is replacement:  # else a plugin has replaced it in its turn, and means that to last
            restore()
