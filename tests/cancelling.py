"""Cancels what is awaited at any place where it waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Cancelling:
    """Awaits a coroutine, and cancels the running task as the coroutine waits for the n-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], place: int) -> None:
        self._coroutine = coroutine
        self._left = place
        self.was_reached = False

    def __await__(self) -> Any:
        step: Callable[[], object] = lambda: self._coroutine.send(None)  # noqa: E731 - it changes
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            if self._left == 0:
                task = asyncio.current_task()
                assert task
                task.cancel()
                self.was_reached = True
            self._left -= 1
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                thrown = error
                step = lambda: self._coroutine.throw(thrown)  # noqa: B023, E731 - it is called before it changes
            else:
                step = lambda: self._coroutine.send(None)  # noqa: E731
