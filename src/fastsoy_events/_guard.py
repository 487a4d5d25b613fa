"""Guard: handlers that hang or crawl. All is decided when a plan is made, so that a plain handler pays nothing."""

from __future__ import annotations

import asyncio
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastsoy_events import _report
from fastsoy_events._dispatch import can_be_awaited
from fastsoy_events._record import Options
from fastsoy_events.errors import HandlerTimeout, RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastsoy_events._model import Handler

_PLAIN = Options()


def checked_limits(event: str, timeout: float | None, slow_after: float | None, *, thread: bool) -> Options | None:
    """Return what `@on` was told, or None where it is nothing.

    Raises:
        RegistrationError: with what to write instead.
    """
    for name, seconds in (("timeout", timeout), ("slow_after", slow_after)):
        if seconds is not None and not is_duration(seconds):
            raise RegistrationError(
                f'@on("{event}") takes {name} in seconds, more than 0: write {name}=2.0, not {name}={seconds!r}'
            )
    limits = Options(timeout, slow_after, thread)
    return None if limits == _PLAIN else limits


def is_duration(seconds: object) -> bool:
    """Tell whether something is a number of seconds above 0; infinity stands for no limit."""
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= inf


def refuse_impossible(event: str, qualname: str, limits: Options, *, is_async: bool) -> None:
    """Refuse limits that a handler of its kind cannot keep.

    Raises:
        RegistrationError: with what to write instead.
    """
    if limits.thread and is_async:
        raise RegistrationError(
            f'@on("{event}", thread=True) cannot take the async function {qualname}: it runs on the event loop. Remove '
            "thread=True, or write a plain def"
        )
    if limits.timeout is not None and not is_async and not limits.thread:
        raise RegistrationError(
            f'@on("{event}", timeout=...) cannot take the plain function {qualname}: while it runs, nothing can stop '
            "it. Write async def, or add thread=True"
        )


def guarded(function: Callable[..., Any], handler: Handler, limits: Options) -> Callable[..., Any]:
    """Return a callable that runs a handler within its limits; the handler itself where it has none.

    Args:
        function: the handler's callable.
        handler: its record.
        limits: the handler's own, with the bus's defaults filled in.
    """
    call: Callable[..., Any] = _in_thread(function) if limits.thread else function
    if limits.timeout is not None and limits.timeout != inf and (handler.is_async or limits.thread):
        call = _within(call, handler, limits.timeout, in_thread=limits.thread)
    if limits.slow_after is not None and limits.slow_after != inf:
        call = _timed(call, handler, limits.slow_after)
    return call


def _in_thread(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def in_thread(**payload: object) -> Any:
        result = await asyncio.to_thread(function, **payload)
        return await result if can_be_awaited(result) else result

    return in_thread


def _within(
    call: Callable[..., Any], handler: Handler, seconds: float, *, in_thread: bool
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def within(**payload: object) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                result = call(**payload)
                return await result if can_be_awaited(result) else result
        except TimeoutError as error:
            if not limit.expired():
                raise  # the handler's own
            if in_thread:
                _report.warning(f"{_name(handler)} still runs in its thread, which nothing can stop")
            raise HandlerTimeout(seconds) from error.__cause__  # which shows where it hung

    return within


def _name(handler: Handler) -> str:
    return f"{handler.event} / {handler.label}"


def _timed(call: Callable[..., Any], handler: Handler, seconds: float) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def timed(**payload: object) -> Any:
        started = perf_counter()
        try:
            result = call(**payload)
            return await result if can_be_awaited(result) else result
        finally:
            took = perf_counter() - started
            if took > seconds:
                _report.warning(f"Slow event handler: {_name(handler)} took {took:.3f} s, more than {seconds:g} s")

    return timed
