"""The bus: the only mutable state. Here declarations meet their order and dispatch; `_plugin_bus` adds the plugins."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections import deque
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, TypeVar

from fastsoy_events import _declare, _order
from fastsoy_events._dispatch import Dispatcher
from fastsoy_events._record import UNMADE, Roster
from fastsoy_events.errors import EventNameWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
    from types import ModuleType

    import pluggy

    from fastsoy_events._model import Handler, LoadReport
    from fastsoy_events._record import Declaration, Execution, Plan
    from fastsoy_events._select import Arguments
    from fastsoy_events.errors import PluginLoadError

Declared: TypeAlias = "tuple[Declaration, Watched]"
F = TypeVar("F", bound="Callable[..., object]")


class Watched(NamedTuple):
    """The latest known execution of a module that declares, and its `__spec__`, which dies when it executes again."""

    execution: Execution
    spec: weakref.ref[Any] | None

    def is_in_force(self) -> bool:
        """Tell whether the module that Python now has under this name is the one that declared."""
        return self.execution.is_in_force() and (self.spec is None or self.spec() is self.execution.spec)


class State:
    """All that a bus knows; `isolated()` sets it aside whole.

    Args:
        outer: the state that this one takes the place of; its hook specifications hold here too.
    """

    def __init__(self, outer: State | None = None) -> None:
        self.outer = outer
        self.has_ended = False
        self.declarations: dict[str, dict[Hashable, Declaration]] = {}
        self.executions: dict[str, Watched] = {}
        self.executed_again: deque[str] = deque()
        self.files: dict[str, list[str]] = {}
        self.shadowed: frozenset[str] = frozenset()
        self.plans: dict[str, Plan] = {}
        self.roster = Roster()
        self.hookspecs: tuple[ModuleType | type, ...] = outer.hookspecs if outer else ()
        self.manager: pluggy.PluginManager | None = None
        self.arguments: Arguments | None = None
        self.report: LoadReport | None = None
        self.load_error: PluginLoadError | None = None

    def forget_plans(self) -> None:
        """Have every plan made anew when it is next needed."""
        for event in list(self.plans):
            self.plans[event] = UNMADE


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
        self._switching = RLock()  # whoever holds it may rely on the state being the same one
        self._left: dict[tuple[str, Hashable], Declared] = {}
        self._use(State())

    def _use(self, state: State) -> None:
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
                remarks = self._note(execution)
                self._add(declaration)
            _warn(remarks)  # no lock is held: what the host logs with may ask the bus something
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
            return tuple(handler for _, handler in self._listed(event))

    @contextmanager
    def isolated(self) -> Generator[Self]:
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
        with self._switching, self._lock:
            inner = State(outer=self._state)
            self._use(inner)
        try:
            yield self
        finally:
            with self._switching, self._lock:
                self._left = {key: each for key, each in self._left.items() if each[1].is_in_force()}
                self._left.update(
                    ((each[0].event, each[0].key), each)
                    for each in declared_in(inner)
                    if _order.owner(each[0].module, inner.roster) != _order.HOST
                )
                inner.has_ended = True
                self._use(_still_in_use(self._state))

    # Declarations. All of these hold the lock.

    def _note(self, execution: Execution) -> list[str]:
        """Take notice of a module that declares: if it executes again, forget what it declared before."""
        state = self._state
        self._settle()
        known = state.executions.get(execution.module)
        file = execution.file()
        if known is not None:
            if execution.spec is None or known.spec is None or known.spec() is execution.spec:
                return []
            if known.execution.file() == file:  # else another module has the same name by chance
                if known.is_in_force() and not execution.is_in_force():
                    return []  # a module that was imported anew meanwhile declares late
                self._forget(execution.module)
        state.executions[execution.module] = Watched(execution, _watch(execution, state))
        return self._prefer_one_name(file, [execution.module]) if file else []

    def _prefer_one_name(self, file: str, modules: Sequence[str]) -> list[str]:
        """Note under which names a file is imported, and return a warning where these are several."""
        state = self._state
        names = state.files.setdefault(file, [])
        new = [module for module in modules if module not in names]
        names += new
        if not new or len(names) == 1:
            return []
        self._apply_roster()
        return [
            f"{file} is imported under several names, {' and '.join(names)}: its handlers count once, under its "
            "plugin's own name if it has one, else under the first. Import it by one name only"
        ]

    def _apply_roster(self) -> None:
        state = self._state
        state.shadowed = _order.shadowed(state.files, state.roster)
        state.forget_plans()

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
        declared.setdefault(declaration.key, declaration)
        self._state.plans[declaration.event] = UNMADE

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

    def _listed(self, event: str | None = None) -> Iterator[tuple[int, Handler]]:
        """Yield the handlers that take part, each with its owner's rank."""
        self._settle()
        for name in sorted(self._state.declarations) if event is None else (event,):
            places = self._placed(name)
            handlers = _order.described(places, self._state.roster)
            yield from zip((rank for rank, _ in places), handlers, strict=True)


def _warn(remarks: Sequence[str]) -> None:
    if remarks:
        from fastsoy_events import _report  # here, since logging takes longer to import than all of the bus

        for remark in remarks:
            _report.warning(remark)


def _still_in_use(state: State) -> State:
    """Return the innermost state that has not ended: blocks in several threads may overlap."""
    while state.has_ended and state.outer is not None:
        state = state.outer
    return state


def _watch(execution: Execution, state: State) -> weakref.ref[Any] | None:
    """Learn when a module executes again, even if it declares nothing then: its old `__spec__` dies."""
    if execution.spec is None:
        return None

    def again(_: object) -> None:  # may run at any moment, in any thread: so it takes no lock
        state.executed_again.append(execution.module)
        state.forget_plans()

    return weakref.ref(execution.spec, again)


def declared_in(state: State) -> Iterator[Declared]:
    for declared in state.declarations.values():
        for declaration in declared.values():
            yield declaration, state.executions[declaration.declared_in]
