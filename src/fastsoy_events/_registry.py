"""The registry: what a bus knows of handlers and contracts, and the plans that it makes of them.

All state is in one `State`; here it is changed and read. The public methods are in `_bus`.
"""

from __future__ import annotations

from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fastsoy_events import _declare, _order
from fastsoy_events._dispatch import NO_FAILURES, Dispatcher, run
from fastsoy_events._record import NOBODY, UNMADE, Declaration, Options, WrappedPlan
from fastsoy_events._state import Asking, State, Watched, watch
from fastsoy_events.errors import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
    from types import FrameType

    from fastsoy_events._contract import Contract
    from fastsoy_events._model import Handler, HandlerFailure, Plugin
    from fastsoy_events._record import Execution, Failures, Plan
    from fastsoy_events._state import Declared

Validation: TypeAlias = Literal["off", "warn", "raise"]
VALIDATIONS: tuple[Validation, ...] = ("off", "warn", "raise")
FailureWatcher: TypeAlias = "Callable[[HandlerFailure], None]"
Watcher: TypeAlias = "Callable[[str, Mapping[str, object]], bool]"  # sees an emit, and tells whether it ends there


class Registry(Dispatcher):
    """What `on` and `event` add to, and `emit` gets its plans from."""

    def __init__(self) -> None:
        self._validation: Validation = "off"
        self._defaults = Options()
        self._watchers: tuple[Watcher, ...] = ()
        self._failure_watchers: tuple[FailureWatcher, ...] = ()
        self._defers = False
        self._lock = RLock()
        self._switching = RLock()  # whoever holds it may rely on the state being the same one
        self._left: dict[tuple[str, Hashable], Declared] = {}
        self._use(State())

    def _use(self, state: State) -> None:
        self._state = state
        self._plans = Asking(state.plans, self._passes_by()) if self._is_watched() else state.plans
        state.forget_plans()

    def _watch(self, watchers: tuple[Watcher, ...], failure_watchers: tuple[FailureWatcher, ...]) -> None:
        """Have each emit and each failure seen; it is the testing kit that wants to."""
        with self._lock:
            self._watchers = watchers
            self._failure_watchers = failure_watchers
            self._use(self._state)

    def _is_watched(self) -> bool:
        """Tell whether any emit is to be looked at, besides running the event's handlers."""
        return self._defers or self._is_always_watched()

    def _is_always_watched(self) -> bool:
        return self._validation != "off" or bool(self._watchers)

    def _passes_by(self) -> Callable[[], bool]:
        """Return what tells that an emit, made here and now, is not to be looked at."""
        if self._is_always_watched():
            return lambda: False
        from fastsoy_events._deferral import is_nowhere

        return is_nowhere

    def _register(
        self, event: str, function: Callable[..., object], caller: FrameType, options: Options | None = None
    ) -> None:
        declaration, execution = _declare.declare(event, function, caller, options)
        if options is not None and options != Options(id=options.id):
            from fastsoy_events import _guard

            _guard.refuse_impossible(event, declaration.qualname, options, is_async=declaration.is_async)
        with self._lock:
            remarks = self._note(execution)
            self._add(declaration)
        warn(remarks)  # no lock is held: what the host logs with may ask the bus something

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
                del state.declarations[event]
                state.plans.pop(event, None)
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
            state.forget_plan(declared.event)  # so that its object has a plan even where nobody listens

    # Contracts

    def _add_new_contract(self, contract: Contract) -> None:
        state = self._state
        declared = state.contracts.get(contract.event, {})
        for key, each in list(declared.items()):
            if each.declared_in == contract.declared_in:
                if not self._is_typed_again(each, contract):
                    raise RegistrationError(contract.clash_with(each))
                del declared[key]
        if self._has_settled():
            places = _order.placed_contracts((*declared.values(), contract), state.roster, state.shadowed)
            in_force = [each for _, each in places]
            others = [each for each in in_force if each is not contract]
            if others and contract in in_force:
                raise RegistrationError(contract.clash_with(others[0]))
        self._add(contract)
        state.event_objects.add(contract.target)

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
        return _order.owning_plugin(module, self._state.roster)

    # Plans

    def _plan(self, event: str, payload: Mapping[str, object]) -> Plan:
        name = str.__str__(event)
        if not self._is_watched():
            return self._made_plan(name)
        if self._validation != "off":
            self._check(name, payload)
        ends_here = [watcher(name, payload) for watcher in self._watchers]  # all of them see it
        if any(ends_here):
            return NOBODY
        wrapped = self._wrapped_emit(name)
        if wrapped is not None:
            return WrappedPlan(name, wrapped)
        return NOBODY if self._has_deferred(name, payload) else self._made_plan(name)

    def _check(self, event: str, payload: Mapping[str, object]) -> None:
        with self._lock:
            contract = self._contract(event)
        if contract is None:
            return
        from fastsoy_events import _contract

        error = _contract.misfit_of_payload(contract.target, payload)
        if error is not None and self._validation == "raise":
            raise error
        if error is not None:
            warn([f"{error} (emitted at {_contract.emitter()})"])

    def _wrapped_emit(self, event: str) -> Callable[..., Awaitable[Failures]] | None:  # noqa: ARG002 - for plugins' buses
        """Return what is called in the place of an event's handlers; None where that is they themselves."""
        return None

    async def _emit_unwrapped(self, event: str, /, **payload: object) -> Failures:
        return NO_FAILURES if self._has_deferred(event, payload) else await run(self._made_plan(event), payload)

    def _has_deferred(self, event: str, payload: Mapping[str, object]) -> bool:
        if not self._defers:
            return False
        from fastsoy_events._deferral import keep_emit

        return keep_emit(self, event, partial(self._run_kept, event, payload))

    def _run_kept(self, event: str, payload: Mapping[str, object]) -> Coroutine[Any, Any, Failures]:
        return run(self._made_plan(event), payload)

    def _made_plan(self, event: str) -> Plan:
        plan = self._state.plans.get(event, NOBODY)
        if plan is not UNMADE:
            return plan
        with self._lock:
            self._settle()
            state = self._state
            places = self._placed(event)
            plan = _order.plan(event, places, state.roster, self._around(places), self._tell())
            state.keep(plan, give=not self._is_watched())
            if state.executed_again:
                state.forget_plans()
            return plan

    def _around(
        self, places: Sequence[_order.Placed]
    ) -> Callable[[Declaration, Handler], Callable[..., object]] | None:
        """Return what gives the callable that runs in a handler's place; None where each is the handler itself."""
        if self._defaults == Options() and not any(declaration.options for _, declaration in places):
            return None
        from fastsoy_events import _guard

        defaults = self._defaults

        def guarded(declaration: Declaration, handler: Handler) -> Callable[..., object]:
            own = declaration.options or Options()
            limits = Options(own.timeout or defaults.timeout, own.slow_after or defaults.slow_after, own.thread)
            return _guard.guarded(declaration.function, handler, limits)

        return guarded

    def _tell(self) -> Callable[[HandlerFailure], Awaitable[None]] | None:
        """Return what is awaited for each failure; None where nobody wants to know."""
        watchers = self._failure_watchers
        if not watchers:
            return None

        async def tell(failure: HandlerFailure) -> None:
            for watcher in watchers:
                watcher(failure)

        return tell

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


def warn(remarks: Sequence[str]) -> None:
    if remarks:
        from fastsoy_events import _report  # here, since logging takes longer to import than all of the bus

        for remark in remarks:
            _report.warning(remark)
