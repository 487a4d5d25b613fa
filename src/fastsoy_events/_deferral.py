"""Deferral: emits that wait until the block around them has ended well."""

from __future__ import annotations

import sys
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import count
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from fastsoy_events import _report
from fastsoy_events._dispatch import goes_through
from fastsoy_events._record import Failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Iterator, Sequence
    from contextvars import Context
    from types import TracebackType

    from fastsoy_events._model import HandlerFailure

Start: TypeAlias = "Callable[[], Coroutine[Any, Any, Failures]]"

_innermost: ContextVar[Block | None] = ContextVar("fastsoy_events.deferred", default=None)
_by_hand: ContextVar[bool] = ContextVar("fastsoy_events.flushed_by_hand", default=False)
_numbers = count()


class Kept(NamedTuple):
    """An emit that waits, or what else belongs to an event.

    Args:
        number: tells which of two came first.
        event: the event's name.
        start: runs it.
        context: a copy of the context that it was emitted in.
        is_emit: whether it is an emit.
    """

    number: int
    event: str
    start: Start
    context: Context
    is_emit: bool


class Block:
    """Where emits wait, and which block is around it.

    Args:
        bus: whose emits wait.
        key: names what is committed; None for anything.
    """

    def __init__(self, bus: object, key: Hashable) -> None:
        self.bus = bus
        self.key = key
        self.outer: Block | None = None
        self.is_open = False
        self.kept: list[Kept] = []
        self._lock = Lock()  # threads that were started in the block emit into it

    def keep(self, *kept: Kept) -> bool:
        """Have something wait, and tell whether it does: not where the block has been closed meanwhile."""
        with self._lock:
            if self.is_open:
                self.kept += kept
            return self.is_open

    def take(self) -> list[Kept]:
        """Return what waits, in the order in which it was emitted, and keep it no longer."""
        with self._lock:
            taken, self.kept = self.kept, []
        return sorted(taken, key=itemgetter(0))  # an inner block hands over when it ends

    def drop_since(self, number: int) -> None:
        """Drop what was emitted after a mark."""
        with self._lock:
            self.kept = [kept for kept in self.kept if kept.number < number]

    def close(self) -> None:
        """Let nothing more wait here; what does so is still to be taken."""
        with self._lock:
            self.is_open = False

    def hand_over(self) -> bool:
        """Have what waits here wait in the block that goes on with it, and tell whether there is one."""
        while (heir := self.heir()) is not None:
            kept = self.take()
            if heir.keep(*kept):
                return True
            self.kept = kept
        return False

    def heir(self) -> Block | None:
        """Return the block around this one that goes on with what waits here: one of the same transaction."""
        return next((each for each in _open_from(self.outer) if each.takes_over(self)), None)

    def takes_over(self, inner: Block) -> bool:
        """Tell whether what waits in a block inside this one is to wait here, once that one has ended."""
        return self.bus is inner.bus and (inner.key is None or self.is_of(inner.key))

    def is_of(self, key: Hashable) -> bool:
        """Tell whether what is committed here includes what a key names."""
        return self.key is None or self.key == key


def _open_from(block: Block | None) -> Iterator[Block]:
    """Yield the blocks that are still open, from one of them outwards."""
    while block is not None:
        if block.is_open:
            yield block
        block = block.outer


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

    def __init__(self, bus: object, key: Hashable = None) -> None:
        self.failures = Failures()
        self._block = Block(bus, key)
        self._was_entered = False

    @property
    def pending(self) -> tuple[str, ...]:
        """Return the names of the events that wait here, in the order in which they were emitted."""
        return tuple(kept.event for kept in sorted(self._block.kept, key=itemgetter(0)) if kept.is_emit)

    @property
    def is_inner(self) -> bool:
        """Tell whether a block around this one takes over what waits here, once this one has ended well."""
        return self._block.heir() is not None

    def is_inside(self, other: Scope) -> bool:
        """Tell whether this block was entered inside another one, which is still open.

        Args:
            other: the other block.

        Returns:
            Whether it was.
        """
        return other._block in _open_from(self._block.outer)

    async def flush(self) -> Failures:
        """Run what waits here now, as the block's good end would; for tests whose transaction is rolled back.

        Returns:
            The handlers' failures, in order; `failures` has them, too.
        """
        block = self._block
        around = next(_open_from(block.outer), None)
        failures: list[HandlerFailure] = []
        try:
            await _run_all(block.take(), around, failures, is_by_hand=block.is_open)
        finally:
            self.failures = Failures((*self.failures, *failures))
        return Failures(failures)

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise RuntimeError("a deferred() block is entered once: call deferred() for each block")
        self._was_entered = True
        block = self._block
        block.outer = next(_open_from(_innermost.get()), None)
        block.is_open = True
        _innermost.set(block)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block = self._block
        block.close()
        block.outer = next(_open_from(block.outer), None)  # what has ended is not held on to
        if _innermost.get() is block:  # else blocks end in another order, or context, than they were entered in
            _innermost.set(block.outer)
        if kind is not None:
            _report.dropped(_names(block.take()), kind)
        elif not block.hand_over():
            await self.flush()


# What looks for the block of the running code


def keep_emit(bus: object, event: str, start: Start) -> bool:
    """Have an emit wait in the innermost open block of a bus, and tell whether there is one."""
    return _keep(bus, event, start, is_emit=True)


def keep_work(bus: object, event: str, function: Callable[[], Awaitable[object]]) -> bool:
    """Have something wait that belongs to an event, likewise."""
    return _keep(bus, event, partial(_run_work, event, function), is_emit=False)


def _keep(bus: object, event: str, start: Start, *, is_emit: bool) -> bool:
    while (block := _nearest(bus)) is not None:
        if block.keep(Kept(next(_numbers), event, start, copy_context(), is_emit)):
            return True
    return False


def _nearest(bus: object) -> Block | None:
    """Return a bus's innermost block that is still open; None outside of any."""
    innermost = _innermost.get()
    if innermost is not None and not innermost.is_open:  # a task outlives the block that it was started in
        innermost = next(_open_from(innermost), None)
        _innermost.set(innermost)  # emits outside of any block are quick again
    return next((block for block in _open_from(innermost) if block.bus is bus), None)


def is_nowhere() -> bool:
    """Tell whether the running code is in no block at all; quicker than to look for the right one."""
    return _innermost.get() is None


def is_flushed_by_hand() -> bool:
    """Tell whether the running code is a handler of an event that a test runs before any commit."""
    return _by_hand.get()


async def flush_deferred() -> Failures:
    """Run what waits in the blocks around the running code, as their good end would; for tests that roll back.

    Returns:
        The handlers' failures, in order.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import EventBus
        >>> bus = EventBus()
        >>> @bus.on("employee.created")
        ... def greet(employee_id): print("welcome", employee_id)
        >>> async def test():
        ...     async with bus.deferred():
        ...         await bus.emit("employee.created", employee_id=1)
        ...         await flush_deferred()
        ...         print("rolled back")
        >>> asyncio.run(test())
        welcome 1
        rolled back
    """
    waiting = [kept for block in _open_from(_innermost.get()) for kept in block.take()]
    failures: list[HandlerFailure] = []
    await _run_all(sorted(waiting, key=itemgetter(0)), None, failures, is_by_hand=True)
    return Failures(failures)


def mark() -> int:
    """Return what tells emits before it from those after it."""
    return next(_numbers)


def drop_since(number: int, key: Hashable) -> None:
    """Drop what was emitted after a mark in the blocks around that wait for what a key names: it was rolled back."""
    for block in _open_from(_innermost.get()):
        if block.is_of(key):
            block.drop_since(number)


# What runs that has waited


async def _run_all(
    waiting: Sequence[Kept], around: Block | None, failures: list[HandlerFailure], *, is_by_hand: bool
) -> None:
    settings: list[tuple[ContextVar[Any], object]] = [(_innermost, around), (_by_hand, is_by_hand), *_connections()]
    for place, kept in enumerate(waiting):
        for variable, value in settings:
            kept.context.run(variable.set, value)
        try:
            failures += await _InContext(kept.context, kept.start())
        except BaseException as error:
            _tell_unrun(_names(waiting[place:]), error)
            raise


async def _run_work(event: str, function: Callable[[], Awaitable[object]]) -> Failures:
    try:
        await function()
    except BaseException as error:
        if goes_through(error):
            raise
        _report.work_failed(event, error)
    return Failures()


def _names(waiting: Iterable[Kept]) -> list[str]:
    return [kept.event for kept in waiting]


def _connections() -> Iterable[tuple[ContextVar[Any], object]]:
    """Return what has Tortoise use the connections of here, where the transaction has ended.

    Tortoise keeps the open transaction in the context, so that it is in that of each emit; there a handler would write
    through a connection that was given back, and by now may be in another's transaction.
    """
    get_context = getattr(sys.modules.get("tortoise.context"), "get_current_context", None)
    current = get_context and get_context()
    storage: ContextVar[Any] | None = getattr(current and current.connections, "_storage_var", None)
    return [] if storage is None else [(storage, storage.get())]


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
            finally:
                del step  # it may hold an error, whose traceback holds this frame
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in is the coroutine's to handle
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, sent)


def _tell_unrun(events: Sequence[str], error: BaseException) -> None:
    first, *others = events
    rest = f"; these did not run: {', '.join(others)}" if others else ""
    _report.warning(f"Deferred events were stopped by {type(error).__name__} while {first} ran{rest}")
