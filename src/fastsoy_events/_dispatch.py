"""Dispatch: a plan and a payload become failures. Each handler runs in turn, and no failure stops the next one."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from fastsoy_events._model import Failures, HandlerFailure
from fastsoy_events.errors import EmitDepthError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from fastsoy_events._model import Plan

logger = logging.getLogger("fastsoy_events")

NO_FAILURES = Failures()


async def dispatch(plan: Plan, payload: Mapping[str, object]) -> Failures:
    """Await each handler of a plan in turn.

    Args:
        plan: the event's handlers.
        payload: passed to each of them as keywords.

    Returns:
        What the handlers did wrong, in dispatch order.
    """
    failures: list[HandlerFailure] = []
    for position, (function, is_async) in enumerate(plan.steps):
        try:
            result: Any = function(**payload)
            if is_async or (result is not None and inspect.isawaitable(result)):
                await result
        except CancelledError as error:
            if _is_being_cancelled():
                raise
            failures.append(_logged(plan, position, error))
        except (RecursionError, EmitDepthError) as error:
            failures.append(_logged(plan, position, _settled(error)))
        except Exception as error:  # noqa: BLE001 - isolation: whatever one handler raises is logged, and the next runs
            failures.append(_logged(plan, position, error))
    return Failures(failures) if failures else NO_FAILURES


async def refuse(event: object) -> Failures:
    """Raise what an emit with a name that is no `str` deserves, once it is awaited.

    Raises:
        TypeError: always.
    """
    raise TypeError(f'emit() takes the name of the event: write emit("employee.created", ...), not emit({event!r})')


def _logged(plan: Plan, position: int, error: BaseException) -> HandlerFailure:
    handler = plan.describe(position)
    name = f"{handler.module}.{handler.qualname}"
    logger.error(
        "Event handler error: %s / %s",
        plan.event,
        name,
        exc_info=error,
        extra={
            "event": plan.event,
            "handler": name,
            "plugin": handler.plugin,
            "distribution": handler.distribution,
        },
    )
    return HandlerFailure(plan.event, handler, error)


def _is_being_cancelled() -> bool:
    """Tell a cancellation of the emitting task from a CancelledError that leaked out of a handler."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs here: whoever drives this coroutine by hand threw it in
        return True
    return task is None or task.cancelling() > 0


# Nested emits are not counted: that would cost every emit something. They are read from the stack, once it has run out.


def _settled(error: RecursionError | EmitDepthError) -> Exception:
    """Return what to record for an exhausted stack; while an outer emit is there to do so, raise to unwind to it."""
    here = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the only record of nested emits
    if isinstance(error, RecursionError):
        cycle = _cycle_on_stack(here, error)
        if not cycle:
            return error
        error = EmitDepthError(cycle)
    if any(_event_of(frame) is not None for frame in _outwards(here.f_back)):
        raise error from None
    return _shortened(error)


def _outwards(frame: FrameType | None) -> list[FrameType]:
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _event_of(frame: FrameType) -> str | None:
    """Return the event that a frame dispatches, if it is one of `dispatch`."""
    return frame.f_locals["plan"].event if frame.f_code is dispatch.__code__ else None


def _cycle_on_stack(here: FrameType, error: RecursionError) -> tuple[str, ...]:
    """Return the events from one emit to its first repetition, if it is nested emits that exhausted the stack.

    That is so when they span a third of the recursion limit or more: a handler that exhausts the stack by itself,
    or in code written in C, below a few nested emits is an ordinary failure.
    """
    frames = _outwards(here)[::-1]
    traceback = error.__traceback__ and error.__traceback__.tb_next
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    emits = [(place, event) for place, frame in enumerate(frames) if (event := _event_of(frame)) is not None]
    if not emits or (emits[-1][0] - emits[0][0]) * 3 < sys.getrecursionlimit():
        return ()
    events = [event for _, event in emits]
    for start, event in enumerate(events):
        if event in events[start + 1 :]:
            return tuple(events[start : events.index(event, start + 1) + 1])
    return ()


def _shortened(error: EmitDepthError) -> EmitDepthError:
    """Cut the traceback off where the second emit begins: the rest repeats hundreds of times."""
    error.__context__ = None
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        if traceback.tb_next.tb_frame.f_code is dispatch.__code__:
            traceback.tb_next = None
        traceback = traceback.tb_next
    return error
