"""The bus: the only mutable state, and the only place where the stages meet."""

from __future__ import annotations

import logging
import os
import sys
import warnings
import weakref
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from fastsoy_events import _claim, _declare, _discover, _load, _order, _select
from fastsoy_events._dispatch import Dispatcher
from fastsoy_events._model import Handler, LoadReport, Plan, Plugin, Roster
from fastsoy_events.errors import AlreadyLoadedError, EventNameWarning, PluginError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Sequence
    from types import ModuleType

    import pluggy

    from fastsoy_events._model import Candidate, Declaration, Execution
    from fastsoy_events._select import Arguments, Selection

_Declared: TypeAlias = "tuple[Declaration, _Watched]"
F = TypeVar("F", bound="Callable[..., object]")

logger = logging.getLogger("fastsoy_events")


@dataclass(frozen=True, slots=True)
class _Watched:
    """The latest known execution of a module that declares, and its `__spec__`, which dies when it executes again."""

    execution: Execution
    spec: weakref.ref[Any] | None

    def is_in_force(self) -> bool:
        """Tell whether the module that Python now has under this name is the one that declared."""
        module = sys.modules.get(self.execution.module)
        return getattr(module, "__dict__", None) is self.execution.namespace and (
            self.spec is None or self.spec() is self.execution.spec
        )


@dataclass(slots=True)
class _State:
    """All that a bus knows; `isolated()` sets it aside whole."""

    declarations: dict[str, dict[Hashable, Declaration]] = field(default_factory=dict)
    executions: dict[str, _Watched] = field(default_factory=dict)
    executed_again: deque[str] = field(default_factory=deque)
    files: dict[str, list[str]] = field(default_factory=dict)
    shadowed: frozenset[str] = frozenset()
    plans: dict[str, Plan | None] = field(default_factory=dict)
    roster: Roster = field(default_factory=Roster)
    manager: pluggy.PluginManager = field(default_factory=_load.new_manager)
    arguments: _select.Arguments | None = None
    report: LoadReport | None = None
    outer: _State | None = None
    has_ended: bool = False

    def forget_plans(self) -> None:
        """Have every plan made anew when it is next needed."""
        for event in list(self.plans):
            self.plans[event] = None


class EventBus(Dispatcher):
    """An event bus of its own, beside the default one on which plugins declare.

    Example:
        >>> import asyncio
        >>> bus = EventBus()
        >>> @bus.on("employee.created")
        ... async def greet(employee_id, **kwargs):
        ...     print("welcome", employee_id)
        >>> asyncio.run(bus.emit("employee.created", employee_id=1))
        welcome 1
        ()
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._left: dict[tuple[str, Hashable], _Declared] = {}
        self._use(_State())

    def _use(self, state: _State) -> None:
        self._state = state
        self._plans = state.plans

    def on(self, event: str) -> Callable[[F], F]:
        """Register the decorated callable as a handler of an event, and return it unchanged.

        It stacks: one callable may handle several events. References are strong. There are no wildcards.

        Args:
            event: the event's name, `<aggregate>.<past-tense verb>` in lower snake case.

        Returns:
            The decorator.

        Raises:
            RegistrationError: a `TypeError`, for a name that is no `str`, and, from the decorator, for what is not
                callable, generator functions and positional-only parameters.

        Example:
            >>> bus = EventBus()
            >>> @bus.on("employee.created")
            ... async def greet(employee_id, **kwargs): ...
        """
        name = _declare.checked_name(event)
        if not _declare.follows_convention(name):
            message = f"{name!r} is not of the form '<aggregate>.<past-tense verb>', such as 'employee.created'"
            warnings.warn(message, EventNameWarning, stacklevel=2)

        def register(function: F) -> F:
            caller = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
            declaration, execution = _declare.declare(name, function, caller)
            with self._lock:
                self._note(execution)
                self._add(declaration)
            return function

        return register

    def handlers(self, event: str | None = None) -> tuple[Handler, ...]:
        """List the handlers that take part, by event and in dispatch order.

        Args:
            event: only this event's; None for all events, sorted by name.

        Example:
            >>> EventBus().handlers("employee.created")
            ()
        """
        with self._lock:
            self._settle()
            names = sorted(self._state.declarations) if event is None else (event,)
            return tuple(handler for name in names for handler in self._described(name))

    @contextmanager
    def isolated(self) -> Generator[EventBus]:
        """Empty the bus for the length of a `with` block, and restore it afterwards; for tests.

        It is one bus for all threads, so all of them see it empty. Hook specifications stay. In the block,
        `load_plugins()` may be called again: the handlers of plugins imported before take part again.

        Returns:
            A context manager that gives the bus.

        Example:
            >>> bus = EventBus()
            >>> with bus.isolated():
            ...     bus.handlers()
            ()
        """
        with self._lock:
            inner = self._inner_state(self._state)
            self._use(inner)
        try:
            yield self
        finally:
            with self._lock:
                self._left.update(
                    ((each[0].event, _declare.identity(each[0].function)), each)
                    for each in _declared(inner)
                    if _order.owner(each[0].module, inner.roster) != _order.HOST
                )
                inner.has_ended = True
                self._use(_still_in_use(self._state))

    def _inner_state(self, outer: _State) -> _State:
        return _State(outer=outer)

    # Declarations. All of these hold the lock.

    def _note(self, execution: Execution) -> None:
        """Take notice of a module that declares: if it executes again, forget what it declared before."""
        state = self._state
        self._settle()
        known = state.executions.get(execution.module)
        if known is not None:
            if execution.spec is None or known.spec is None or known.spec() is execution.spec:
                return
            self._forget(execution.module)
        state.executions[execution.module] = _Watched(execution, _watch(execution, state))
        if execution.file:
            names = state.files.setdefault(execution.file, [])
            if execution.module not in names:
                names.append(execution.module)
                self._prefer_one_name(execution.file, names)

    def _prefer_one_name(self, file: str, names: Sequence[str]) -> None:
        if len(names) > 1:
            state = self._state
            state.shadowed = _order.shadowed(state.files, state.roster)
            state.forget_plans()
            logger.warning(
                "%s is imported under several names, %s: its handlers count once, under its plugin's own name if it "
                "has one, else under the first. Import it by one name only",
                file,
                " and ".join(names),
            )

    def _settle(self) -> None:
        """Forget what modules that have executed again declared before."""
        again = self._state.executed_again
        while again:
            module = again.popleft()
            known = self._state.executions.get(module)
            if known is not None and known.spec is not None and known.spec() is None:
                del self._state.executions[module]
                self._forget(module)

    def _forget(self, module: str) -> None:
        declarations = self._state.declarations
        for event, declared in list(declarations.items()):
            kept = {key: each for key, each in declared.items() if each.declared_in != module}
            if not kept:
                del declarations[event], self._state.plans[event]
            elif len(kept) < len(declared):
                declarations[event] = kept
        self._state.forget_plans()

    def _add(self, declaration: Declaration) -> None:
        declared = self._state.declarations.setdefault(declaration.event, {})
        declared.setdefault(_declare.identity(declaration.function), declaration)
        self._state.plans[declaration.event] = None

    # Plans

    def _plan(self, event: str) -> Plan:
        with self._lock:
            self._settle()
            state = self._state
            plan = _order.plan(str.__str__(event), self._placed(event), state.roster)
            state.plans[plan.event] = plan
            if state.executed_again:
                state.forget_plans()
            return plan

    def _placed(self, event: str) -> list[_order.Placed]:
        state = self._state
        declared = state.declarations.get(event, {}).values()
        return _order.placed(declared, state.roster, state.shadowed)

    def _described(self, event: str) -> tuple[Handler, ...]:
        return _order.described(self._placed(event), self._state.roster)


def _still_in_use(state: _State) -> _State:
    """Return the innermost state that has not ended: blocks in several threads may overlap."""
    while state.has_ended and state.outer is not None:
        state = state.outer
    return state


def _watch(execution: Execution, state: _State) -> weakref.ref[Any] | None:
    """Learn when a module executes again, even if it declares nothing then: its old `__spec__` dies."""
    if execution.spec is None:
        return None

    def again(_: object) -> None:  # may run at any moment, in any thread: so it takes no lock
        state.executed_again.append(execution.module)
        state.forget_plans()

    return weakref.ref(execution.spec, again)


def _declared(state: _State) -> Iterator[_Declared]:
    for declared in state.declarations.values():
        for declaration in declared.values():
            yield declaration, state.executions[declaration.declared_in]


class PluginBus(EventBus):
    """The bus on which plugins declare: there is one, `fastsoy_events.bus`."""

    def __init__(self) -> None:
        super().__init__()
        self._loading_lock = RLock()
        self._is_loading = False
        self._hookspecs: list[ModuleType | type] = []

    # Hooks

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks of the loaded plugins: `bus.hook.name(argument=...)` calls them in plugin order.

        Example:
            >>> from fastsoy_events import bus
            >>> bus.hook
            <pluggy._hooks.HookRelay object at ...>
        """
        return self._state.manager.hook

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
            if module not in self._hookspecs:
                self._state.manager.add_hookspecs(module)
                self._hookspecs.append(module)

    # Plugins

    def load_plugins(
        self,
        *,
        path: Sequence[str | os.PathLike[str]] | None = None,
        order: Sequence[str] = (),
        allowed: Collection[str] | None = None,
        disabled: Collection[str] = (),
        strict: bool = False,
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

        Returns:
            What was found, what failed, and the fingerprint of the order.

        Raises:
            PluginLoadError: with `strict`, every failure in one group.
            AlreadyLoadedError: when called again with other arguments, or by a plugin while it is imported.
            TypeError: where one name stands for a collection of names.

        Example:
            >>> from fastsoy_events import load_plugins
            >>> report = load_plugins()
            >>> report.failures
            ()
        """
        arguments = _select.Arguments.of(path, order, allowed, disabled, strict=strict)
        with self._loading_lock:
            if self._is_loading:
                raise AlreadyLoadedError(
                    "load_plugins() was called by a module that it is importing. Call it once, from the host's start-up"
                )
            state = self._state
            if state.report is None:
                return self._load(arguments)
            if arguments not in (_select.Arguments(), state.arguments):
                raise AlreadyLoadedError(
                    f"load_plugins() was called before, with {state.arguments}, and cannot be called again with "
                    f"{arguments}. Call it once with arguments; later calls without any return its report"
                )
            return state.report

    def plugins(self) -> tuple[Plugin, ...]:
        """List the plugins that `load_plugins()` found, in plugin order, with their handlers.

        Example:
            >>> from fastsoy_events import plugins
            >>> [plugin.name for plugin in plugins() if plugin.status == "failed"]
            []
        """
        with self._lock:
            self._settle()
            roster = self._state.roster
            by_rank: dict[int, list[Handler]] = {}
            for event in sorted(self._state.declarations):
                places = self._placed(event)
                for (rank, _), handler in zip(places, _order.described(places, roster), strict=True):
                    by_rank.setdefault(rank, []).append(handler)
            return tuple(
                replace(plugin, handlers=tuple(by_rank.get(rank, ()))) for rank, plugin in enumerate(roster.plugins)
            )

    def _load(self, arguments: Arguments) -> LoadReport:
        found = _discover.scan(arguments.path)
        selection = _select.select(_order.in_plugin_order(found.candidates, arguments.order), arguments, os.environ)
        manager = _load.new_manager(self._hookspecs)
        self._is_loading = True
        try:
            with _load.folders_first(arguments.path):
                self._expect(selection.candidates)
                loaded = _load.load(selection.candidates, manager)
        finally:
            self._is_loading = False
        self._state.manager = manager
        self._state.arguments = arguments
        self._admit(loaded.plugins)
        return self._reported(selection, [*found.warnings, *selection.warnings, *loaded.warnings], arguments)

    def _expect(self, candidates: Sequence[Candidate]) -> None:
        """Give the plugins' modules to them before any is imported, so that no handler takes part too early."""
        with self._lock:
            state = self._state
            state.roster = _claim.roster(candidates)
            for file, modules in _claim.files(candidates).items():
                names = state.files.setdefault(file, [])
                new = [module for module in modules if module not in names]
                names += new
                if new:
                    self._prefer_one_name(file, names)
            self._apply_roster()

    def _admit(self, plugins: tuple[Plugin, ...]) -> None:
        with self._lock:
            self._state.roster = Roster(plugins, self._state.roster.claims)
            self._take_in_earlier()
            self._apply_roster()

    def _apply_roster(self) -> None:
        state = self._state
        state.shadowed = _order.shadowed(state.files, state.roster)
        state.forget_plans()

    def _reported(self, selection: Selection, remarks: list[str], arguments: Arguments) -> LoadReport:
        failures: list[PluginError] = [plugin.error for plugin in self._state.roster.plugins if plugin.error]
        for failure in failures:
            logger.error("%s", failure, exc_info=failure.__cause__)
        remarks += [] if arguments.strict else [str(error) for error in selection.unknown]
        for remark in remarks:
            logger.warning("%s", remark)
        report = LoadReport(
            plugins=self.plugins(),
            failures=tuple(failures),
            fingerprint=_order.fingerprint(self.handlers()),
            warnings=tuple(remarks),
        )
        if arguments.strict and (failures or selection.unknown):
            error = PluginLoadError("plugins could not be loaded", [*failures, *selection.unknown])
            error.report = report
            raise error
        self._state.report = report
        return report

    # What modules declared that were imported while the bus had another state

    def _inner_state(self, outer: _State) -> _State:
        return _State(outer=outer, manager=_load.new_manager(self._hookspecs))

    def _take_in_earlier(self) -> None:
        """Let the plugins' modules take part that were imported before, and so did not declare anew."""
        for declaration, watched in list(self._earlier()):
            if watched.is_in_force() and _order.owner(declaration.module, self._state.roster) != _order.HOST:
                self._note(watched.execution)
                self._add(declaration)

    def _earlier(self) -> Iterator[_Declared]:
        outer = self._state.outer
        while outer is not None:
            yield from _declared(outer)
            outer = outer.outer
        yield from self._left.values()


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
    found = _discover.scan(_select.Arguments.of(path, (), None, (), strict=False).path)
    plugins = tuple(candidate.plugin for candidate in _order.in_plugin_order(found.candidates, ()))
    for plugin in plugins:
        if plugin.error is not None:
            logger.error("%s", plugin.error)
    for warning in found.warnings:
        logger.warning("%s", warning)
    return plugins
