"""Captured: what was emitted, and what a test says about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from fastsoy_events import bus as default_bus
from fastsoy_events.testing import _explain
from fastsoy_events.testing._block import Block

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager, ExitStack

    from fastsoy_events import EventBus
    from fastsoy_events.testing._watch import Watch

__tracebackhide__ = True  # a test that fails here fails at the line of its `assert_...`


class Emitted(NamedTuple):
    """One emit; it equals the tuple of its name and its payload.

    Args:
        name: the event's name.
        payload: its keywords.

    Example:
        >>> Emitted("employee.created", {"employee_id": 1}).payload["employee_id"]
        1
    """

    name: str
    payload: Mapping[str, Any]


class CapturedEvents(Sequence[Emitted]):
    """Everything that was emitted, in order: a sequence of `Emitted` that grows.

    An emit is seen at once, also inside `deferred()`, in other tasks and in other threads. One that does not fit its
    contract is none.

    Args:
        emitted: the list that grows.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import emit
        >>> from fastsoy_events.testing import captured
        >>> with captured() as events:
        ...     failures = asyncio.run(emit("employee.created", employee_id=1))
        >>> events.assert_emitted("employee.created", employee_id=1, times=1)
        (Emitted(name='employee.created', payload={'employee_id': 1}),)
    """

    def __init__(self, emitted: list[Emitted]) -> None:
        self._emitted = emitted

    @overload
    def __getitem__(self, place: int) -> Emitted: ...

    @overload
    def __getitem__(self, place: slice) -> list[Emitted]: ...

    def __getitem__(self, place: int | slice) -> Emitted | list[Emitted]:
        return self._emitted[place]

    def __len__(self) -> int:
        return len(self._emitted)

    def __repr__(self) -> str:
        return f"<CapturedEvents: {', '.join(each.name for each in self) or 'none'}>"

    def named(self, *names: str) -> tuple[Emitted, ...]:
        """Return the emits of one event, or of several.

        Args:
            names: the events' names.
        """
        return tuple(each for each in list(self) if each.name in names)

    def clear(self) -> None:
        """Forget what was emitted so far, such as while the test prepared."""
        self._emitted.clear()

    def assert_emitted(self, name: str, /, *, times: int | None = None, **payload: object) -> tuple[Emitted, ...]:
        """Check that an event was emitted.

        Args:
            name: the event's name.
            times: how often; None for once or more. For a payload with a keyword of this name, look into `named(...)`.
            payload: keywords and their values; the emit may carry more.

        Returns:
            The emits that fit, in order.

        Raises:
            AssertionError: with what was emitted instead, the nearest first.
        """
        found = self._fitting(name, payload)
        is_as_often = bool(found) if times is None else len(found) == times
        if not is_as_often:
            raise AssertionError(_explain.missing(name, payload, times, len(found), tuple(self)))
        return found

    def assert_not_emitted(self, name: str, /, **payload: object) -> None:
        """Check that an event was not emitted.

        Args:
            name: the event's name.
            payload: only an emit with these keywords and values counts.

        Raises:
            AssertionError: with what was emitted.
        """
        found = self._fitting(name, payload)
        if found:
            raise AssertionError(_explain.unwanted(name, payload, len(found), tuple(self)))

    def assert_order(self, names: Sequence[str]) -> None:
        """Check that events were emitted in an order; others may come between.

        Args:
            names: the events' names; one that is named twice was emitted twice.

        Raises:
            AssertionError: with what was emitted, and the first event that did not follow.
        """
        if isinstance(names, str) or not names:
            raise TypeError('assert_order() takes the names of events: write assert_order(["a.begun", "a.ended"])')
        emitted = tuple(self)
        rest = iter(emitted)
        for place, name in enumerate(names):
            if not any(each.name == name for each in rest):
                raise AssertionError(_explain.out_of_order(names, place, emitted))

    def _fitting(self, name: str, payload: Mapping[str, object]) -> tuple[Emitted, ...]:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
            raise TypeError(f'it takes the name of the event, such as "employee.created": not {name!r}')
        return tuple(each for each in self.named(name) if not _explain.differences(payload, each.payload))


def captured(*, mute: bool = False, bus: EventBus = default_bus) -> AbstractContextManager[CapturedEvents]:
    """Capture what is emitted in a block.

    In the block contracts are enforced, and the failure of a handler that the test does not expect is an error at its
    end.

    Args:
        mute: run no handler at all.
        bus: the bus.

    Returns:
        A context manager that gives the `CapturedEvents`.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import emit
        >>> with captured(mute=True) as events:
        ...     failures = asyncio.run(emit("employee.created", employee_id=1))
        >>> [each.name for each in events]
        ['employee.created']
    """
    return _Capturing(bus, mute=mute)


class _Capturing(Block[CapturedEvents]):
    def __init__(self, bus: EventBus, *, mute: bool) -> None:
        super().__init__(bus)
        self._mute = mute

    def _open(self, watch: Watch) -> CapturedEvents:
        if self._mute:
            self._stack.enter_context(watch.muting())
        return capture(self._stack, watch)


def capture(stack: ExitStack, watch: Watch) -> CapturedEvents:
    """Capture what is emitted until a stack is closed."""
    emitted: list[Emitted] = []
    stack.enter_context(watch.recording(lambda event, payload: emitted.append(Emitted(event, dict(payload)))))
    return CapturedEvents(emitted)
