"""The bus on which plugins declare: it takes entry points through discover, select, claim and load to their report.

Those stages are imported when they are first needed: many processes import a module that declares handlers, and only
one of them may ever load plugins.
"""

from __future__ import annotations

import os
import warnings
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from fastsoy_events import _order
from fastsoy_events._bus import EventBus
from fastsoy_events._record import Roster
from fastsoy_events._registry import VALIDATIONS
from fastsoy_events._state import declared_in
from fastsoy_events.errors import AlreadyLoadedError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    import pluggy

    from fastsoy_events._model import Candidate, Handler, HandlerFailure, LoadReport, Plugin
    from fastsoy_events._record import Declaration, Failures
    from fastsoy_events._registry import Validation
    from fastsoy_events._review import Review
    from fastsoy_events._select import Arguments, Selection
    from fastsoy_events._state import Declared
    from fastsoy_events.errors import LockError, PluginError


_PATIENCE_SECONDS = 60.0
_MOST_WRAPPED = 4096  # an application that makes up names has no end of them


class PluginBus(EventBus):
    """The bus on which plugins declare: there is one, `fastsoy_events.bus`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_loading = False
        self._obeys_locks = True  # the command that writes and compares locks looks at what they do not have, too
        self.validation = _wanted_validation(os.environ.get("FASTSOY_EVENTS_VALIDATE", ""))

    def _has_settled(self) -> bool:
        return self._state.report is not None

    # Extensions: what plugins do besides handling events

    async def startup(self) -> None:
        """Run the plugins' `fastsoy_events_startup` hooks, in plugin order; `events_lifespan` does so.

        Example:
            >>> import asyncio
            >>> from fastsoy_events import bus
            >>> asyncio.run(bus.startup())
        """
        await self._call_each("startup", reverse=False)

    async def shutdown(self) -> None:
        """Run the plugins' `fastsoy_events_shutdown` hooks, in reverse plugin order; `events_lifespan` does so.

        Example:
            >>> import asyncio
            >>> from fastsoy_events import bus
            >>> asyncio.run(bus.shutdown())
        """
        await self._call_each("shutdown", reverse=True)

    async def _call_each(self, hook: str, *, reverse: bool) -> None:
        extensions = self._state.extensions.get(hook, ())
        if extensions:
            from fastsoy_events import _extend

            await _extend.tell_and_await(extensions[::-1] if reverse else extensions, bus=self)

    def _extend(self) -> None:
        """Have the loaded plugins' extensions take part."""
        from fastsoy_events import _extend

        with self._lock:
            self._state.extensions = _extend.extensions_of(self._manager())
            self._use(self._state)

    def _is_always_watched(self) -> bool:
        return super()._is_always_watched() or "wrap_emit" in self._state.extensions

    def _around(
        self, places: Sequence[_order.Placed]
    ) -> Callable[[Declaration, Handler], Callable[..., object]] | None:
        guarded = super()._around(places)
        extensions = self._state.extensions.get("wrap_handler")
        if not extensions:
            return guarded
        from fastsoy_events import _extend

        def wrapped(declaration: Declaration, handler: Handler) -> Callable[..., object]:
            call = guarded(declaration, handler) if guarded else declaration.function
            return _extend.wrapped_handler(extensions, handler, call)

        return wrapped

    def _tell(self) -> Callable[[HandlerFailure], Awaitable[None]] | None:
        watchers = super()._tell()
        extensions = self._state.extensions.get("handler_failed")
        if not extensions:
            return watchers
        from fastsoy_events import _extend

        async def tell(failure: HandlerFailure) -> None:
            if watchers is not None:
                await watchers(failure)
            await _extend.tell_and_await(extensions, failure=failure)

        return tell

    def _wrapped_emit(self, event: str) -> Callable[..., Awaitable[Failures]] | None:
        extensions = self._state.extensions.get("wrap_emit")
        if not extensions:
            return None
        wrapped = self._state.wrapped
        try:
            return wrapped[event]
        except KeyError:
            from fastsoy_events import _extend

            call = _extend.wrapped_emit(extensions, event, partial(self._emit_unwrapped, event))
            if len(wrapped) >= _MOST_WRAPPED:
                wrapped.clear()
            wrapped[event] = call
            return call

    # Hooks

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks of the loaded plugins: `bus.hook.name(argument=...)` calls them in plugin order.

        Example:
            >>> from fastsoy_events import bus
            >>> bus.hook
            <pluggy...HookRelay object at ...>
        """
        return self._manager().hook

    def _manager(self) -> pluggy.PluginManager:
        from fastsoy_events._load import new_manager

        with self._lock:
            if self._state.manager is None:
                self._state.manager = new_manager(self._state.hookspecs)
            return self._state.manager

    def add_hookspecs(self, module: ModuleType | type) -> None:
        """Add the host's own hook specifications; do so before `load_plugins()`.

        Args:
            module: a module or class with functions marked by `fastsoy_events.hookspec`.

        Raises:
            ValueError: when it has none.
            pluggy.PluginValidationError: when a plugin is already loaded whose implementation does not fit.

        Example:
            >>> from fastsoy_events import bus, hookspec
            >>> class MenuHooks:
            ...     @hookspec
            ...     def menu_entries(self):
            ...         "Return the plugin's menu entries."
            >>> bus.add_hookspecs(MenuHooks)
            >>> bus.hook.menu_entries()
            []
        """
        with self._lock:
            if module not in self._state.hookspecs:
                self._try_hookspecs(module)
                self._manager().add_hookspecs(module)
                self._state.hookspecs += (module,)

    def _try_hookspecs(self, module: ModuleType | type) -> None:
        """Raise what adding would raise, on a manager of its own: pluggy would leave the bus's half changed."""
        from fastsoy_events._load import new_manager

        trial = new_manager((*self._state.hookspecs, module))
        for name, plugin in self._manager().list_name_plugin():
            trial.register(plugin, name)

    # Plugins

    def load_plugins(
        self,
        *,
        path: Sequence[str | os.PathLike[str]] | None = None,
        order: Sequence[str] = (),
        allowed: Collection[str] | None = None,
        disabled: Collection[str] = (),
        strict: bool = False,
        lock: str | os.PathLike[str] | None = None,
    ) -> LoadReport:
        """Find the plugins that are installed, import their modules, and let their handlers take part.

        A plugin that cannot be found or imported is logged, and loading goes on. Called again without arguments, or
        with the same ones, it returns the first report.

        Args:
            path: folders to look in instead of `sys.path`; they are put first on it while loading.
            order: plugins or distributions that go first, in this sequence.
            allowed: the distributions that may be imported; None for all. The environment variable
                `FASTSOY_EVENTS_ALLOWED`, names with commas between them, narrows it further.
            disabled: plugins or distributions that are not imported; `FASTSOY_EVENTS_DISABLED` adds to them.
            strict: raise when anything failed, after every plugin was tried.
            lock: a file that `fastsoy-events lock` wrote: only what it holds starts. `FASTSOY_EVENTS_LOCK` names one,
                too; where both are given, they must name the same. Before anything is imported, each plugin's
                distribution, version, entry point and module is compared; a plugin that the lock does not have is
                blocked, and a warning names it. After that the order of the plugins and, event by event, the
                contract and the handlers with their order and signatures are. The host's own are not, and neither
                are disabled plugins and those that are not allowed, which the host leaves out on purpose.

        Returns:
            What was found, what failed, and the fingerprint of the order.

        Raises:
            PluginLoadError: with `strict`, every failure in one group.
            LockError: with `lock`, where anything differs, a plugin fails, or the file cannot be used. No plugin's
                handlers take part then, and later calls raise it again.
            AlreadyLoadedError: when called again with other arguments, or by a plugin while it is imported.
            TypeError: where one name stands for a collection of names.

        Example:
            >>> from fastsoy_events import load_plugins
            >>> report = load_plugins()
            >>> report.failures
            ()
        """
        from fastsoy_events._select import Arguments

        arguments = Arguments.of(path, order, allowed, disabled, strict=strict, lock=lock)
        if not self._switching.acquire(timeout=_PATIENCE_SECONDS):
            raise AlreadyLoadedError(
                f"another thread has been loading plugins for {_PATIENCE_SECONDS:.0f} seconds, and may be waiting for "
                "this one: a plugin must not wait for load_plugins() in another thread, and no module may call it when "
                "it is imported. Call it once, from the host's start-up"
            )
        try:
            return self._load_once(arguments)
        finally:
            self._switching.release()

    def _load_once(self, arguments: Arguments) -> LoadReport:
        state = self._state
        if self._is_loading:
            raise AlreadyLoadedError(
                "load_plugins() was called by a module that it is importing. Call it once, from the host's start-up"
            )
        if state.report is None:
            return self._load(arguments)
        if arguments not in (type(arguments)(), state.arguments):
            changes = arguments.changes(state.arguments)
            raise AlreadyLoadedError(
                f"load_plugins() was called before, and now with other arguments: {changes}. "
                "Call it once with arguments; later calls without any return its report"
            )
        if state.load_error is not None:
            raise state.load_error.with_traceback(None)
        return state.report

    def plugins(self) -> tuple[Plugin, ...]:
        """List the plugins that `load_plugins()` found, in plugin order, with their handlers.

        Example:
            >>> from fastsoy_events import plugins
            >>> [plugin.name for plugin in plugins() if plugin.status == "failed"]
            []
        """
        with self._lock:
            return self._with_handlers(self._listed())

    def _with_handlers(self, listed: Iterable[tuple[int, Handler]]) -> tuple[Plugin, ...]:
        from dataclasses import replace

        by_rank: dict[int, list[Handler]] = {}
        for rank, handler in listed:
            by_rank.setdefault(rank, []).append(handler)
        plugins = self._state.roster.plugins
        return tuple(replace(plugin, handlers=tuple(by_rank.get(rank, ()))) for rank, plugin in enumerate(plugins))

    def _load(self, arguments: Arguments) -> LoadReport:
        from fastsoy_events import _discover, _load, _select

        found = _discover.scan(arguments.path)
        selection = _select.select(_order.in_plugin_order(found.candidates, arguments.order), arguments, os.environ)
        review = self._review(selection, arguments)
        selection = review.selection if review else selection
        manager = _load.new_manager(self._state.hookspecs)
        with self._lock:
            before = frozenset(self._state.executions)
        self._is_loading = True
        try:
            with _load.folders_first(arguments.path):
                remarks = [*found.warnings, *selection.warnings, *self._expect(selection.candidates)]
                loaded = _load.load(selection.candidates, manager)
        finally:
            self._is_loading = False
        self._state.arguments = arguments
        with self._lock if review else nullcontext():  # so that nobody meets a plugin which is then refused
            self._state.manager = manager
            remarks += [*loaded.warnings, *self._admit(loaded.plugins, before)]
            refusal = self._refusal(review) if review else None
            if refusal is None:
                self._extend()
        return self._reported(selection, remarks, arguments, refusal)

    def _expect(self, candidates: Sequence[Candidate]) -> list[str]:
        """Give the plugins' modules to them before any is imported, so that no handler takes part too early."""
        from fastsoy_events._claim import claims

        with self._lock:
            claimed = claims(candidates)
            self._state.roster = claimed.roster
            remarks = [
                remark for file, modules in claimed.files.items() for remark in self._prefer_one_name(file, modules)
            ]
            self._apply_roster()
        return remarks

    def _admit(self, plugins: tuple[Plugin, ...], before: frozenset[str]) -> list[str]:
        """Let the loaded plugins take part, and tell which modules no longer do that the host had imported before."""
        with self._lock:
            self._state.roster = Roster(plugins, self._state.roster.claims)
            self._take_in_earlier()
            self._apply_roster()
            remarks = self._settle_contracts()
            settled = self._state.roster
        owners = {module: rank for module in before if (rank := _order.owner(module, settled)) != _order.HOST}
        remarks += [
            f"Handlers that {module} declared before the plugins were loaded do not take part: the module belongs to "
            f"{settled.plugins[rank].id}, which is {settled.plugins[rank].status}"
            for module, rank in sorted(owners.items())
            if settled.plugins[rank].status != "loaded"
        ]
        return remarks + self._misfits()

    # Contracts

    def _settle_contracts(self) -> list[str]:
        """Fail each plugin that declares an event which comes earlier; return what is to be said of the host's."""
        state = self._state
        contracts = (each for declared in state.contracts.values() for each in declared.values())
        remarks: list[str] = []
        failed: dict[int, list[str]] = {}
        for rank, late, first in _order.clashes(_order.placed_contracts(contracts, state.roster, state.shadowed)):
            if rank == _order.HOST:
                remarks.append(late.clash_with(first))
            else:
                failed.setdefault(rank, []).append(late.clash_with(first))
        if failed:
            self._fail(failed)
        return remarks

    def _fail(self, reasons: Mapping[int, Sequence[str]]) -> None:
        """Fail plugins after their import: their handlers, contracts and hooks do not take part."""
        from fastsoy_events._load import failed

        plugins = list(self._state.roster.plugins)
        for rank, problems in reasons.items():
            plugins[rank] = failed(plugins[rank], "; ".join(problems), None)
        for rank, plugin in enumerate(plugins):
            owner = plugins[self._state.roster.claims.get(plugin.module, rank)]
            if plugin.status == "loaded" and owner.status == "failed":
                reason = f"its module belongs to {owner.id}, which comes first and is failed"
                plugins[rank] = failed(plugin, reason, None)
            if plugins[rank].status == "failed" and self._manager().has_plugin(plugin.id):
                self._manager().unregister(name=plugin.id)
        self._state.roster = Roster(tuple(plugins), self._state.roster.claims)
        self._apply_roster()

    def _misfits(self) -> list[str]:
        """Say which handlers cannot take what the contract of their event sends."""
        with self._lock:
            pairs = [(contract, self._placed(contract.name)) for contract in self.events()]
        if not pairs:
            return []
        from fastsoy_events._contract import misfit_of

        return [
            f"{each.module}.{each.qualname} at {each.source} does not fit {contract.name}: {misfit}"
            for contract, places in pairs
            for _, each in places
            if (misfit := misfit_of(each.function, contract))
        ]

    def _reported(
        self, selection: Selection, remarks: list[str], arguments: Arguments, refusal: LockError | None
    ) -> LoadReport:
        from fastsoy_events import _report

        remarks += [] if arguments.strict else [str(error) for error in selection.unknown]
        report = self._new_report(remarks)
        for failure in report.failures:
            _report.plugin_failed(failure)
        for remark in remarks:
            _report.warning(remark)
        self._state.report = report
        error: LockError | PluginLoadError | None = refusal
        if refusal is not None and report.failures:
            refusal.__cause__ = _load_error(report, report.failures)
        elif refusal is None and arguments.strict and (report.failures or selection.unknown):
            error = _load_error(report, [*report.failures, *selection.unknown])
        if refusal is None:
            self._announce(report.plugins)
        if error is not None:
            self._state.load_error = error
            raise error
        return report

    def _new_report(self, remarks: Sequence[str] = ()) -> LoadReport:
        from fastsoy_events._model import LoadReport

        with self._lock:
            listed = list(self._listed())
            plugins = self._with_handlers(listed)
        return LoadReport(
            plugins=plugins,
            failures=tuple(plugin.error for plugin in plugins if plugin.error),
            fingerprint=_order.fingerprint(handler for _, handler in listed),
            warnings=tuple(remarks),
        )

    # Locks

    def _review(self, selection: Selection, arguments: Arguments) -> Review | None:
        from fastsoy_events._select import lock_files, statuses

        files = lock_files(arguments, os.environ) if self._obeys_locks else ()
        if not files:
            return None
        from fastsoy_events._review import review

        return review(files, selection, statuses(arguments, os.environ))

    def _refusal(self, review: Review) -> LockError | None:
        """Return why what was loaded must not take part, and see to it that it does not."""
        error = review.verdict(self._new_report(), self.events())
        if error is not None:
            from dataclasses import replace

            plugins, claims = self._state.roster
            refused = (replace(each, status="blocked") if each.status == "loaded" else each for each in plugins)
            self._state.roster = Roster(tuple(refused), claims)
            self._state.manager = None
            self._apply_roster()
        return error

    def _announce(self, plugins: Iterable[Plugin]) -> None:
        """Tell the extensions what became of each plugin."""
        hooks = {"loaded": "plugin_loaded", "failed": "plugin_failed"}
        for plugin in plugins:
            extensions = self._state.extensions.get(hooks.get(plugin.status, ""), ())
            if extensions:
                from fastsoy_events import _extend

                _extend.tell(extensions, plugin=plugin)

    # What modules declared that were imported while the bus had another state

    def _take_in_earlier(self) -> None:
        """Let the plugins' modules take part that were imported before, and so did not declare anew."""
        for declaration, watched in list(self._earlier()):
            if watched.is_in_force() and _order.owner(declaration.module, self._state.roster) != _order.HOST:
                self._note(watched.execution)
                self._add(declaration)

    def _earlier(self) -> Iterator[Declared]:
        outer = self._state.outer
        while outer is not None:
            yield from declared_in(outer)
            outer = outer.outer
        yield from self._left.values()


def _load_error(report: LoadReport, errors: Sequence[PluginError]) -> PluginLoadError:
    names = ", ".join(dict.fromkeys(error.distribution for error in errors))
    error = PluginLoadError(f"plugins could not be loaded: {names}", errors)
    error.report = report
    return error


def _wanted_validation(variable: str) -> Validation:
    for validation in VALIDATIONS:
        if variable.strip().lower() in (validation, ""):
            return validation
    # No error: the import of this package would fail, and no program could say so in a line of its own.
    warnings.warn(
        f"FASTSOY_EVENTS_VALIDATE is {variable!r}, so emits are not checked: set it to one of {', '.join(VALIDATIONS)}",
        RuntimeWarning,
        stacklevel=2,
    )
    return "off"


def discover(path: Sequence[str | os.PathLike[str]] | None = None) -> tuple[Plugin, ...]:
    """Find the plugins that are installed, without importing any.

    Args:
        path: folders to look in; None for `sys.path`.

    Returns:
        The plugins in plugin order, with the status `discovered`, or `failed`, and logged, where metadata is broken.

    Raises:
        TypeError: where one folder stands for a collection of folders.

    Example:
        >>> from fastsoy_events import discover
        >>> discover(path=[])
        ()
    """
    from fastsoy_events import _discover
    from fastsoy_events._installed import as_folders

    found = _discover.scan(as_folders(path))
    plugins = tuple(candidate.plugin for candidate in _order.in_plugin_order(found.candidates, ()))
    errors = [plugin.error for plugin in plugins if plugin.error is not None]
    if errors or found.warnings:
        from fastsoy_events import _report  # here, since logging takes longer to import than a scan

        for error in errors:
            _report.plugin_failed(error)
        for warning in found.warnings:
            _report.warning(warning)
    return plugins
