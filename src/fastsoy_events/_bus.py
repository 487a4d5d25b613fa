"""The bus: the only mutable state. Here declarations meet their order and dispatch; `_plugin_bus` adds the plugins."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Literal, ParamSpec, Self, TypeAlias, TypeVar, cast

from fastsoy_events import _declare, _order
from fastsoy_events._dispatch import Dispatcher
from fastsoy_events._record import UNMADE, Declaration
from fastsoy_events._state import State, Watched, declared_in, watch
from fastsoy_events.errors import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
    from types import FrameType

    from fastsoy_events._contract import Contract, Event
    from fastsoy_events._model import Handler, Plugin
    from fastsoy_events._record import Execution, Plan
    from fastsoy_events._state import Declared

Validation: TypeAlias = Literal["off", "warn", "raise"]
VALIDATIONS: tuple[Validation, ...] = ("off", "warn", "raise")
P = ParamSpec("P")
F = TypeVar("F", bound="Callable[..., object]")


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
        self._validation: Validation = "off"
        self._lock = RLock()
        self._switching = RLock()  # whoever holds it may rely on the state being the same one
        self._left: dict[tuple[str, Hashable], Declared] = {}
        self._use(State())

    def _use(self, state: State) -> None:
        self._state = state
        self._plans = state.plans
        state.forget_plans()

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
        name = _declare.checked_name(event, "on")
        _declare.warn_of_convention(name, stacklevel=3)

        def register(function: F) -> F:
            self._register(name, function, sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
            return function

        return register

    def _register(self, event: str, function: Callable[..., object], caller: FrameType) -> None:
        declaration, execution = _declare.declare(event, function, caller)
        with self._lock:
            remarks = self._note(execution)
            self._add(declaration)
        _warn(remarks)  # no lock is held: what the host logs with may ask the bus something

    def event(self, name: str) -> Callable[[Callable[P, None]], Event[P]]:
        """Declare the contract of an event: the decorated function's parameters are the keywords that an emit carries.

        The function itself never runs; its docstring says what the event means.

        Args:
            name: the event's name, `<aggregate>.<past-tense verb>` in lower snake case.

        Returns:
            The decorator, which gives an event object in the function's place: `.emit(...)` and `.on`.

        Raises:
            RegistrationError: a `TypeError`, for a name that is no `str`, and, from the decorator, for a function with
                other than keyword-only parameters, or with a body, and for an event that has a contract. Where two
                plugins declare one event, `load_plugins()` fails the one that comes later in the order.

        Example:
            >>> import asyncio
            >>> bus = EventBus()
            >>> @bus.event("employee.created")
            ... def employee_created(*, employee_id: int, created_by: int = 0) -> None:
            ...     "HR has created an employee."
            >>> employee_created
            <event employee.created (*, employee_id: int, created_by: int = 0)>
            >>> asyncio.run(employee_created.emit(employee_id=1))
            ()
        """
        checked = _declare.checked_name(name, "event")
        _declare.warn_of_convention(checked, stacklevel=3)

        def declare(function: Callable[P, None]) -> Event[P]:
            from fastsoy_events import _contract  # here, since most modules declare no contract

            caller = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
            contract, execution = _contract.declare(self, checked, function, caller)
            with self._lock:
                remarks = self._note(execution)
                self._add_new_contract(contract)
            _warn(remarks)
            return cast("Event[P]", contract.target)

        return declare

    def events(self) -> tuple[Event[...], ...]:
        """List the contracts in force, by the event's name.

        Example:
            >>> EventBus().events()
            ()
        """
        with self._lock:
            self._settle()
            declared = (self._contract(name) for name in sorted(self._state.contracts))
            return tuple(contract.target for contract in declared if contract)

    @property
    def validation(self) -> Validation:
        """Return whether emits are checked against contracts: `off` (the default), `warn` or `raise`.

        It is for development and tests. A mismatch is the emitter's error: it is logged as a warning, or raised as a
        `ContractError` before any handler runs. When off, it costs nothing.

        Example:
            >>> bus = EventBus()
            >>> bus.validation = "raise"
        """
        return self._validation

    @validation.setter
    def validation(self, wanted: Validation) -> None:
        if wanted not in VALIDATIONS:
            raise ValueError(f"validation is one of {', '.join(VALIDATIONS)}: not {wanted!r}")
        with self._lock:
            self._validation = wanted
            state: State | None = self._state
            while state is not None:
                state.forget_plans()
                for name in state.contracts if wanted != "off" else ():
                    state.plans.setdefault(name, UNMADE)  # so that each emit asks for its plan, and is checked
                state = state.outer
            for each in self._state.event_objects:
                from fastsoy_events._contract import forget_emit

                forget_emit(each)

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
        state.executions[execution.module] = Watched(execution, watch(execution, state))
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
        state = self._state
        for event, declared in list(state.declarations.items()):
            kept = {key: each for key, each in declared.items() if each.declared_in != module}
            if not kept:
                del state.declarations[event], state.plans[event]
            elif len(kept) < len(declared):
                state.declarations[event] = kept
        for event, contracts in list(state.contracts.items()):
            state.contracts[event] = {key: each for key, each in contracts.items() if each.declared_in != module}
        state.forget_plans()

    def _add(self, declared: Declaration | Contract) -> None:
        state = self._state
        if isinstance(declared, Declaration):
            state.declarations.setdefault(declared.event, {}).setdefault(declared.key, declared)
            state.forget_plan(declared.event)
        else:
            state.contracts.setdefault(declared.event, {}).setdefault(declared.key, declared)
            if self._validation != "off":
                state.forget_plan(declared.event)

    # Contracts

    def _add_new_contract(self, contract: Contract) -> None:
        declared = self._state.contracts.get(contract.event, {})
        for key, each in list(declared.items()):
            if each.declared_in == contract.declared_in and self._is_typed_again(each, contract):
                del declared[key]
            elif each.declared_in == contract.declared_in or (
                self._has_settled() and self._contract(contract.event) is each
            ):
                raise RegistrationError(contract.clash_with(each))
        self._add(contract)
        self._state.event_objects.add(contract.target)

    def _is_typed_again(self, before: Contract, now: Contract) -> bool:
        """Tell whether a contract replaces the one before: in an interactive program, nothing else can."""
        is_interactive = self._state.executions[now.declared_in].spec is None
        return is_interactive and before.target.qualname == now.target.qualname

    def _has_settled(self) -> bool:
        """Tell whether it is known which of two contracts comes first."""
        return True

    def _contract(self, event: str) -> Contract | None:
        state = self._state
        declared = state.contracts.get(event, {}).values()
        return next((contract for _, contract in _order.placed_contracts(declared, state.roster, state.shadowed)), None)

    def _owner(self, module: str) -> Plugin | None:
        roster = self._state.roster
        rank = _order.owner(module, roster)
        return None if rank == _order.HOST else roster.plugins[rank]

    # Plans

    def _plan(self, event: str, payload: Mapping[str, object]) -> Plan:
        if self._validation != "off":
            with self._lock:
                contract = self._contract(str.__str__(event))
            if contract is not None:
                self._check(contract.target, payload)
        return self._made_plan(event)

    def _check(self, contract: Event[...], payload: Mapping[str, object]) -> None:
        from fastsoy_events import _contract

        error = _contract.misfit_of_payload(contract, payload)
        if error is not None and self._validation == "raise":
            raise error
        if error is not None:
            _warn([f"{error} (emitted at {_contract.emitter()})"])

    def _made_plan(self, event: str) -> Plan:
        with self._lock:
            self._settle()
            state = self._state
            plan = _order.plan(str.__str__(event), self._placed(event), state.roster)
            if self._validation == "off" or self._contract(plan.event) is None:
                state.keep(plan)
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
