"""The bus, as its users see it; `_registry` keeps what is declared, `_plugin_bus` adds the plugins."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar, cast

from fastsoy_events import _declare, _order
from fastsoy_events._dispatch import run
from fastsoy_events._record import Options, Plan
from fastsoy_events._registry import VALIDATIONS, Registry, warn
from fastsoy_events._state import State, declared_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Hashable

    from fastsoy_events._contract import Event
    from fastsoy_events._deferral import Scope
    from fastsoy_events._model import Handler
    from fastsoy_events._record import Failures
    from fastsoy_events._registry import Validation

P = ParamSpec("P")
F = TypeVar("F", bound="Callable[..., object]")


class EventBus(Registry):
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

    def on(
        self,
        event: str,
        *,
        timeout: float | None = None,
        slow_after: float | None = None,
        thread: bool = False,
        id: str | None = None,  # noqa: A002 - the field's word, and nothing here needs the builtin
        stacklevel: int = 1,
    ) -> Callable[[F], F]:
        """Register the decorated callable as a handler of an event, and return it unchanged.

        It stacks: one callable may handle several events. References are strong. There are no wildcards.

        Args:
            event: the event's name, `<aggregate>.<past-tense verb>` in lower snake case.
            timeout: seconds after which the handler is cancelled, and has failed with a `HandlerTimeout`; None for the
                bus's `handler_timeout`, `math.inf` for none. Not for a plain function, unless it has a thread.
            slow_after: seconds; a warning is logged that names a handler which took longer. None for the bus's
                `slow_after`.
            thread: run a plain function in a thread, with the emitter's context variables, so that it may block. The
                next handler waits for it all the same.
            id: what the handler is known by in locks, and wherever else it is to be found again, although it may be
                renamed or moved: lower snake case, such as `mail.send`. None for its module and name.
            stacklevel: as that of `warnings.warn`: 2 for a decorator that applies `on` in its caller's place.

        Returns:
            The decorator.

        Raises:
            RegistrationError: a `TypeError`, for a name that is no `str`, for times and ids that are none, and, from
                the decorator, for what is not callable, generator functions, positional-only parameters, and a timeout
                or thread that the handler cannot have.

        Example:
            >>> bus = EventBus()
            >>> @bus.on("employee.created")
            ... async def greet(employee_id, **kwargs): ...
        """
        name = _declare.checked_name(event, "on")
        _declare.warn_of_convention(name, stacklevel=stacklevel + 2)
        options: Options | None = None
        if timeout is not None or slow_after is not None or thread:
            from fastsoy_events import _guard  # here, since few handlers have limits, and it needs asyncio

            options = _guard.checked_limits(name, timeout, slow_after, thread=thread)
        if id is not None:
            options = (options or Options())._replace(id=_declare.checked_id(name, id))

        def register(function: F) -> F:
            self._register(name, function, sys._getframe(stacklevel), options)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
            return function

        return register

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
            remarks: list[str] = []
            try:
                with self._lock:
                    remarks = self._note(execution)
                    self._add_new_contract(contract)
            finally:
                warn(remarks)
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
        self._set(wanted, self._defaults)

    @property
    def handler_timeout(self) -> float | None:
        """Return the seconds after which a handler is cancelled that has no `timeout` of its own; None for no limit.

        It holds for `async def` handlers and for those with a thread: nothing can stop another.

        Example:
            >>> bus = EventBus()
            >>> bus.handler_timeout = 10.0
        """
        return self._defaults.timeout

    @handler_timeout.setter
    def handler_timeout(self, seconds: float | None) -> None:
        self._set_default("timeout", seconds)

    @property
    def slow_after(self) -> float | None:
        """Return the seconds after which a handler is slow that has no `slow_after` of its own; None for no limit.

        Example:
            >>> bus = EventBus()
            >>> bus.slow_after = 0.5
        """
        return self._defaults.slow_after

    @slow_after.setter
    def slow_after(self, seconds: float | None) -> None:
        self._set_default("slow_after", seconds)

    def _set_default(self, name: str, seconds: float | None) -> None:
        from fastsoy_events import _guard

        if seconds is not None and not _guard.is_duration(seconds):
            raise ValueError(f"a number of seconds more than 0, or None, is wanted: not {seconds!r}")
        self._set(self._validation, self._defaults._replace(**{name: seconds}))  # type: ignore[arg-type]  # one of the two

    def _set(self, validation: Validation, defaults: Options) -> None:
        with self._lock:
            self._validation = validation
            self._defaults = defaults
            self._use(self._state)
            self._state.forget_emits()

    def deferred(self, *, key: Hashable = None) -> Scope:
        """Open a block whose emits wait until it has ended well; it belongs around a transaction.

        A block that raises, or is cancelled, drops its emits. A block inside another hands its emits to it when it ends
        well; the outermost runs them, in the order in which they were emitted, each in a copy of the context it was
        emitted in. Handlers that emit meanwhile are not kept again. A task started in a block belongs to it while it is
        open.

        Args:
            key: names what is committed, such as a connection: a block with a key hands its emits only to a block
                around it with the same key, or without one.

        Returns:
            An asynchronous context manager that gives itself; `failures` has what the handlers did wrong.

        Example:
            >>> bus = EventBus()
            >>> async def hire():
            ...     async with bus.deferred():
            ...         await bus.emit("employee.created", employee_id=1)
        """
        from fastsoy_events._deferral import Scope

        with self._lock:
            if not self._defers:
                self._defers = True
                self._use(self._state)
        return Scope(self, key)

    async def defer(self, event: str, function: Callable[[], Awaitable[object]]) -> None:
        """Run what belongs to an event when the event's handlers would run: for extensions that keep or forward events.

        Outside of any `deferred()` block it runs at once. In one it waits among the emits, is dropped as they are, and
        runs in a copy of the context of the call.

        Args:
            event: what it belongs to; names it in logs.
            function: an `async` callable without arguments.

        Raises:
            BaseException: what the function raises outside of any block. In one it is logged, and what waits behind it
                runs all the same.

        Example:
            >>> import asyncio
            >>> bus = EventBus()
            >>> async def forward(): print("forwarded")
            >>> async def hire():
            ...     async with bus.deferred():
            ...         await bus.defer("employee.created", forward)
            ...         print("stored")
            >>> asyncio.run(hire())
            stored
            forwarded
        """
        if self._defers:
            from fastsoy_events._deferral import keep_work

            if keep_work(self, event, function):
                return
        await function()

    async def run_handler(self, handler: Handler, /, **payload: object) -> Failures:
        """Run one handler, as an emit of its event would: within its limits, its failure logged and returned.

        Args:
            handler: its record, out of `handlers()`.
            payload: passed to it as keywords, unchanged.

        Returns:
            Its failure, or nothing.

        Raises:
            LookupError: where the bus has no such handler any more.

        Example:
            >>> import asyncio
            >>> bus = EventBus()
            >>> @bus.on("employee.created")
            ... def greet(employee_id): print("welcome", employee_id)
            >>> asyncio.run(bus.run_handler(bus.handlers()[0], employee_id=1))
            welcome 1
            ()
        """
        plan = self._made_plan(handler.event)
        for function in plan.functions:
            if plan.describe(function).id == handler.id:
                return await run(Plan(plan.event, (function,), plan.describe, plan.tell), payload)
        raise LookupError(f"{handler.event} has no handler {handler.id}: take the record out of bus.handlers()")

    def emit_sync(self, event: str, /, **payload: object) -> Failures:
        """Emit from code that is not asynchronous: run the event's handlers to their end in an event loop of their own.

        Args:
            event: the event's name.
            payload: passed to each handler as keywords, unchanged.

        Returns:
            The handlers' failures, as from `emit`.

        Raises:
            RuntimeError: in a thread where an event loop runs.

        Example:
            >>> EventBus().emit_sync("employee.created", employee_id=1)
            ()
        """
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            is_running = False  # what the handlers raise is not to show this error as its context
        else:
            is_running = True
        if not is_running:
            return asyncio.run(self.emit(event, **payload))
        raise RuntimeError(
            f'emit_sync("{event}") was called where an event loop runs, which it would stop: write '
            f'await emit("{event}", ...). In a plain function that cannot await, make it async, or call it through '
            "asyncio.to_thread()"
        )

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

        It is one bus for all threads, so all of them see it empty. Hook specifications stay, and so do `validation`,
        `handler_timeout` and `slow_after`; what the block sets of these is undone at its end. In the block,
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
            before = self._validation, self._defaults
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
                self._set(*before)


def _still_in_use(state: State) -> State:
    """Return the innermost state that has not ended: blocks in several threads may overlap."""
    while state.has_ended and state.outer is not None:
        state = state.outer
    return state
