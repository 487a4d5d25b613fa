"""Expected: the test says that a handler is to fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastsoy_events import bus as default_bus
from fastsoy_events.testing._block import Block, cause_of, listed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fastsoy_events import EventBus, HandlerFailure
    from fastsoy_events.testing._watch import Watch

__tracebackhide__ = True


def expected_failures(
    *errors: type[BaseException],
    event: str | None = None,
    match: str | None = None,
    times: int | None = None,
    bus: EventBus = default_bus,
) -> AbstractContextManager[list[HandlerFailure]]:
    """Expect handlers to fail in a block; it raises when none does, as `pytest.raises` would.

    Args:
        errors: what they raise; any error where none is given.
        event: the event that they handle; None for any.
        match: a regular expression that is found in the error's text; None for any.
        times: how many failures; None for one or more.
        bus: the bus.

    Returns:
        A context manager that gives the list of the failures, to which each is added when it happens.

    Raises:
        AssertionError: at the block's end, for failures too few or too many, and for others than those expected.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import bus, emit
        >>> from fastsoy_events.testing import expected_failures, narrowed
        >>> def refuse(**_): raise ValueError("no such employee")
        >>> with narrowed():
        ...     handler = bus.on("employee.created")(refuse)
        ...     with expected_failures(ValueError, match="no such") as failures:
        ...         result = asyncio.run(emit("employee.created", employee_id=-1))
        ...     print(*failures)
        employee.created / ...refuse: ValueError: no such employee
    """
    for error in errors:
        if not (isinstance(error, type) and issubclass(error, BaseException)):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
            raise TypeError(f"expected_failures() takes classes of errors, such as ValueError: not {error!r}")
    if times is not None and times < 1:
        raise ValueError(f"times is 1 or more: not {times}. A test expects no failure unless it says so")
    return _Expected(bus, errors, event, match, times)


class _Expected(Block["list[HandlerFailure]"]):
    def __init__(
        self, bus: EventBus, errors: tuple[type[BaseException], ...], event: str | None, match: str | None,
        times: int | None,
    ) -> None:  # fmt: skip
        super().__init__(bus)
        self._errors = errors
        self._event = event
        self._match = None if match is None else re.compile(match)
        self._times = times
        self._found: list[HandlerFailure] = []

    def _open(self, watch: Watch) -> list[HandlerFailure]:  # noqa: ARG002 - it needs none
        return self._found

    def expects(self, failure: HandlerFailure) -> bool:
        """Tell whether a failure is one of these."""
        is_wanted = isinstance(failure.error, self._errors or BaseException) and self._event in (None, failure.event)
        return is_wanted and (self._match is None or self._match.search(_text(failure.error)) is not None)

    def take(self, failure: HandlerFailure) -> None:
        """Take a failure that is expected, or that nobody else does."""
        (self._found if self.expects(failure) else self._unexpected).append(failure)

    def _verdict(self, error: BaseException | None) -> AssertionError | None:
        is_enough = bool(self._found) if self._times is None else len(self._found) == self._times
        if not self._unexpected and (is_enough or error is not None):
            return None
        happened = f"these did:\n{listed(self._found)}" if self._found else "none did"
        if self._unexpected:
            happened += f"\nand these failed otherwise:\n{listed(self._unexpected)}"
        verdict = AssertionError(f"{self._wanted()}: {happened}")
        verdict.__cause__ = cause_of(self._unexpected) if self._unexpected else None
        return verdict

    def _wanted(self) -> str:
        """Say in words what was expected."""
        event = f" of {self._event}" if self._event else ""
        kinds = f" with {' or '.join(each.__name__ for each in self._errors)}" if self._errors else ""
        text = f" whose text matches {self._match.pattern!r}" if self._match else ""
        times = f", {self._times} times" if self._times and self._times > 1 else ", once" if self._times else ""
        return f"a handler{event} was expected to fail{kinds}{text}{times}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be put into words matches nothing
        return ""
