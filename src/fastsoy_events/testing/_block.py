"""What all `with` blocks of the kit have in common: they watch a bus, and a failure that nobody expects is an error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from fastsoy_events.testing._watch import watching

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from fastsoy_events import EventBus, HandlerFailure
    from fastsoy_events.testing._watch import Watch

__tracebackhide__ = True  # a test that fails here fails at the line of its `with`

T = TypeVar("T")


class Block(ABC, Generic[T]):
    """A block that watches a bus; a class of its own, since `contextlib` would show in each failing test's traceback.

    Args:
        bus: the bus.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._unexpected: list[HandlerFailure] = []
        self._stack = ExitStack()  # what is open until the block ends

    def __enter__(self) -> T:
        try:
            return self._open(self._stack.enter_context(watching(self._bus, self)))
        except BaseException:
            self._stack.close()
            raise

    @abstractmethod
    def _open(self, watch: Watch) -> T:
        """Begin, and return what the block gives."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()
        self.judge(error)

    def judge(self, error: BaseException | None) -> None:
        """Raise what is wrong, or add it to the error that the block ends with."""
        verdict = self._verdict(error)
        self._unexpected.clear()
        if verdict is not None and error is None:
            raise verdict
        if verdict is not None and error is not None:
            error.add_note(f"Besides, {verdict}")

    def _verdict(self, error: BaseException | None) -> AssertionError | None:  # noqa: ARG002 - for those who expect
        """Return what is wrong, given what the block ends with."""
        return unexpected(self._unexpected) if self._unexpected else None

    def expects(self, failure: HandlerFailure) -> bool:  # noqa: ARG002 - likewise
        """Tell whether a failure is meant to happen."""
        return False

    def take(self, failure: HandlerFailure) -> None:
        """Take a failure that is expected, or that nobody else does."""
        self._unexpected.append(failure)


def unexpected(failures: Sequence[HandlerFailure]) -> AssertionError:
    """Return the error of a test in which handlers failed, with their own error as its cause."""
    count = "an event handler" if len(failures) == 1 else f"{len(failures)} event handlers"
    verdict = AssertionError(
        f"{count} failed, which the test does not expect:\n{listed(failures)}\n"
        "If it is meant to, write `with expected_failures():` around the emit (from fastsoy_events.testing)"
    )
    verdict.__cause__ = cause_of(failures)
    return verdict


def listed(failures: Sequence[HandlerFailure]) -> str:
    """Return failures one a line."""
    return "\n".join(f"  {failure}" for failure in failures)


def cause_of(failures: Sequence[HandlerFailure]) -> BaseException:
    """Return the error of a failure, or a group of several."""
    errors = [failure.error for failure in failures]
    return errors[0] if len(errors) == 1 else BaseExceptionGroup("event handlers failed", errors)
