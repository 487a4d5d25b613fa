"""What a bus knows: one record of it, which `isolated()` sets aside whole."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fastsoy_events._dispatch import forget_emit, give_plan
from fastsoy_events._record import UNMADE, Roster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
    from types import ModuleType

    import pluggy

    from fastsoy_events._contract import Contract, Event
    from fastsoy_events._extend import Extension
    from fastsoy_events._model import LoadReport
    from fastsoy_events._record import Declaration, Execution, Failures, Plan
    from fastsoy_events._select import Arguments
    from fastsoy_events.errors import LockError, PluginLoadError

Declared: TypeAlias = "tuple[Declaration | Contract, Watched]"


class EventObjects:
    """A bus's event objects, held weakly: each has a plan that goes when the bus's own does.

    It takes no lock: tuples are replaced, never changed.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[weakref.ref[Event[...]], ...]] = {}

    def add(self, event: Event[...]) -> None:
        """Take an event object in; those that nobody holds any more go."""
        alive = (each for each in self._by_name.get(event.name, ()) if each() is not None)
        self._by_name[event.name] = (*alive, weakref.ref(event))

    def named(self, name: str) -> Iterator[Event[...]]:
        """Yield the event objects of one event."""
        return (event for each in self._by_name.get(name, ()) if (event := each()) is not None)

    def __iter__(self) -> Iterator[Event[...]]:
        return (event for name in list(self._by_name) for event in self.named(name))


class Watched(NamedTuple):
    """The latest known execution of a module that declares, and its `__spec__`, which dies when it executes again."""

    execution: Execution
    spec: weakref.ref[Any] | None

    def is_in_force(self) -> bool:
        """Tell whether the module that Python now has under this name is the one that declared."""
        return self.execution.is_in_force() and (self.spec is None or self.spec() is self.execution.spec)


class Asking:
    """Stands in the place of a bus's plans while emits are to be looked at: then each has to ask for its plan.

    Args:
        plans: the bus's plans.
        unless: tells that nobody wants to look at an emit that is made here and now.
    """

    def __init__(self, plans: Mapping[str, Plan], unless: Callable[[], bool]) -> None:
        self._plans = plans
        self._unless = unless

    def get(self, event: str, /) -> Plan | None:
        """Return UNMADE, or what the plans say."""
        plan = self._plans.get(event)
        return plan if self._unless() or not isinstance(event, str) else UNMADE  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed


class State:
    """All that a bus knows; `isolated()` sets it aside whole.

    Args:
        outer: the state that this one takes the place of; its hook specifications hold here too.
    """

    def __init__(self, outer: State | None = None) -> None:
        self.outer = outer
        self.has_ended = False
        self.event_objects: EventObjects = outer.event_objects if outer else EventObjects()
        self.declarations: dict[str, dict[Hashable, Declaration]] = {}
        self.contracts: dict[str, dict[Hashable, Contract]] = {}
        self.executions: dict[str, Watched] = {}
        self.executed_again: deque[str] = deque()
        self.files: dict[str, list[str]] = {}
        self.shadowed: frozenset[str] = frozenset()
        self.plans: dict[str, Plan] = {}
        self.wrapped: dict[str, Callable[..., Awaitable[Failures]] | None] = {}
        self.roster = Roster()
        self.hookspecs: tuple[ModuleType | type, ...] = outer.hookspecs if outer else ()
        self.extensions: Mapping[str, tuple[Extension, ...]] = {}
        self.manager: pluggy.PluginManager | None = None
        self.arguments: Arguments | None = None
        self.report: LoadReport | None = None
        self.load_error: LockError | PluginLoadError | None = None

    def keep(self, plan: Plan, *, give: bool) -> None:
        """Have emits of an event use a plan.

        Args:
            plan: the plan.
            give: to event objects too, which then ask nobody any more.
        """
        if plan.event in self.declarations:
            self.plans[plan.event] = plan
        else:
            self.plans.pop(plan.event, None)  # an emit by name is quickest to find nothing
        for each in self.event_objects.named(plan.event) if give else ():
            give_plan(each, plan)

    def forget_plan(self, event: str) -> None:
        """Have the plan of an event made anew when it is next needed."""
        self.plans[event] = UNMADE
        for each in self.event_objects.named(event):
            give_plan(each, UNMADE)

    def forget_emits(self) -> None:
        """Have every event object's `emit` made anew when it is next needed."""
        for each in self.event_objects:
            forget_emit(each)

    def forget_plans(self) -> None:
        """Have every plan made anew when it is next needed."""
        for event in list(self.plans):
            self.plans[event] = UNMADE
        self.wrapped.clear()
        for each in self.event_objects:
            self.plans[each.name] = UNMADE
            give_plan(each, UNMADE)


def watch(execution: Execution, state: State) -> weakref.ref[Any] | None:
    """Learn when a module executes again, even if it declares nothing then: its old `__spec__` dies."""
    if execution.spec is None:
        return None

    def again(_: object, has_ended: Callable[[], bool] = sys.is_finalizing) -> None:
        """Take no lock: it may run at any moment, in any thread. At the end of the interpreter, names are gone."""
        if not has_ended():
            state.executed_again.append(execution.module)
            state.forget_plans()

    return weakref.ref(execution.spec, again)


def declared_in(state: State) -> Iterator[Declared]:
    """Yield all that a state knows, handlers and contracts, each with the execution that declared it."""
    for declarations in state.declarations.values():
        for each in declarations.values():
            yield each, state.executions[each.declared_in]
    for contracts in state.contracts.values():
        for contract in contracts.values():
            yield contract, state.executions[contract.declared_in]
