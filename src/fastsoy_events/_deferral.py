"""Deferral: emits that wait until the block around them has ended well."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from functools import partial
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from fastsoy_events import _report
from fastsoy_events._record import Failures

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Hashable, Mapping
    from contextvars import Context, Token
    from types import TracebackType

    from fastsoy_events._model import HandlerFailure

Run: TypeAlias = "Callable[[str, Mapping[str, object]], Coroutine[Any, Any, Failures]]"

_innermost: ContextVar[Scope | None] = ContextVar("fastsoy_events.deferred", default=None)
_numbers = count()


class _Kept(NamedTuple):
    """An emit that waits.

    Args:
        number: tells which of two came first.
        event: the event's name.
        payload: its keywords.
        context: a copy of the context that it was emitted in.
    """

    number: int
    event: str
    payload: Mapping[str, object]
    context: Context


class Scope:
    """A block whose emits wait until it has ended well: what `async with deferred() as scope` gives.

    Attributes:
        failures: what the handlers did wrong, in order, once they have run; a block inside another leaves that to it.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import EventBus
        >>> bus = EventBus()
        >>> @bus.on("employee.created")
        ... def greet(employee_id): print("welcome", employee_id)
        >>> async def hire():
        ...     async with bus.deferred() as scope:
        ...         await bus.emit("employee.created", employee_id=1)
        ...         print("stored")
        ...     return scope.failures
        >>> asyncio.run(hire())
        stored
        welcome 1
        ()
    """

    def __init__(self, run: Run, key: Hashable = None) -> None:
        self.failures = Failures()
        self._run = run
        self._key = key
        self._outer: Scope | None = None
        self._entered: Token[Scope | None] | None = None
        self._is_open = False
        self._kept: list[_Kept] = []

    @property
    def pending(self) -> tuple[str, ...]:
        """Return the names of the events that wait here, in the order in which they were emitted."""
        return tuple(kept.event for kept in sorted(self._kept, key=itemgetter(0)))

    async def flush(self) -> Failures:
        """Run what waits here now, as the block's good end would; for tests whose transaction is rolled back.

        Returns:
            The handlers' failures, in order.
        """
        waiting = sorted(self._kept, key=itemgetter(0))
        self._kept.clear()
        failures: list[HandlerFailure] = []
        for place, kept in enumerate(waiting):
            kept.context.run(_innermost.set, None)  # what its handlers emit is not kept again
            try:
                failures += await _InContext(kept.context, self._run(kept.event, kept.payload))
            except BaseException as error:
                _tell_unrun(waiting[place:], error)
                raise
        return Failures(failures)

    async def __aenter__(self) -> Self:
        if self._entered is not None:
            raise RuntimeError("a deferred() block is entered once: call deferred() for each block")
        self._outer = _innermost.get()
        self._entered = _innermost.set(self)
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        if self._entered is not None and _innermost.get() is self:
            _innermost.set(self._outer)
        heir = self._heir()
        if kind is not None:
            _report.dropped(self.pending, kind)
            self._kept.clear()
        elif heir is not None:
            heir._kept += self._kept  # noqa: SLF001 - it is one of these itself
            self._kept.clear()
        else:
            self.failures = await self.flush()

    def _heir(self) -> Scope | None:
        """Return the block around this one that goes on with what waits here: one of the same transaction."""
        scope = self._outer
        while scope is not None and not scope._takes_over(self):  # noqa: SLF001 - likewise
            scope = scope._outer  # noqa: SLF001 - likewise
        return scope

    def _takes_over(self, inner: Scope) -> bool:
        is_of_same = self._key is None or inner._key is None or self._key == inner._key
        return self._is_open and self._run == inner._run and is_of_same

    def keep(self, event: str, payload: Mapping[str, object]) -> None:
        """Have an emit wait."""
        self._kept.append(_Kept(next(_numbers), event, payload, copy_context()))


def nearest(run: Run) -> Scope | None:
    """Return the innermost block that is still open, of the bus that runs its events so; None outside of any."""
    scope = _innermost.get()
    while scope is not None and not (scope._is_open and scope._run == run):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
        scope = scope._outer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
    return scope


def is_nowhere() -> bool:
    """Tell whether the running code is in no block at all; quicker than to look for the right one."""
    return _innermost.get() is None


class _InContext:
    """Awaits a coroutine in a context of its own, and in the awaiting task: a new task would be another emitter."""

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Failures]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Failures]:
        step: Callable[[], object] = partial(self._coroutine.send, None)
        while True:
            try:
                awaited = self._context.run(step)
            except StopIteration as end:
                result: Failures = end.value
                return result
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in is the coroutine's to handle
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)


def _tell_unrun(waiting: list[_Kept], error: BaseException) -> None:
    first, *others = (kept.event for kept in waiting)
    rest = f"; these did not run: {', '.join(others)}" if others else ""
    _report.warning(f"Deferred events were stopped by {type(error).__name__} while {first} ran{rest}")
