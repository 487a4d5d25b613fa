"""What the transactions of both ORMs have in common: what is refused, and what is said where an outcome is unknown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from fastsoy_events import _report
from fastsoy_events._deferral import is_flushed_by_hand

if TYPE_CHECKING:
    from collections.abc import Generator

    from fastsoy_events import Scope

T = TypeVar("T")

ENDED_BY_HAND = (
    "the transaction of atomic() was committed or rolled back inside the block, so its events were dropped: let the "
    "block commit at its end, and raise to roll back"
)
IN_ERROR = (
    "a statement inside atomic() has failed and its error was caught, so PostgreSQL can only roll back: put another "
    "atomic() around that statement, inside the try, so that no more than its savepoint is rolled back"
)


class OpenBlocks(Generic[T]):
    """The atomic() blocks that are open, by what holds their transaction: outermost first, each inside the last."""

    def __init__(self) -> None:
        self._scopes: WeakKeyDictionary[T, list[Scope]] = WeakKeyDictionary()

    def __contains__(self, holder: T) -> bool:
        return bool(self._scopes.get(holder))

    def has(self, holder: T, scope: Scope) -> bool:
        """Tell whether a block is among them, rather than a later one of the same holder."""
        return scope in self._scopes.get(holder, ())

    @contextmanager
    def holding(self, holder: T, scope: Scope) -> Generator[None]:
        """Have a block be among them."""
        scopes = self._scopes.setdefault(holder, [])
        scopes.append(scope)
        try:
            yield
        finally:
            scopes.remove(scope)

    def refuse_unseen(self, holder: T, scope: Scope, opener: str) -> None:
        """Refuse a block in a transaction that no block around it commits: its events would run too early.

        Args:
            holder: has an open transaction.
            scope: the block's, which has been entered.
            opener: what opens a transaction that is not an atomic() block's.

        Raises:
            RuntimeError: with what to write instead.
        """
        scopes = self._scopes.get(holder)
        if scopes and not scope.is_inside(scopes[-1]):
            raise RuntimeError(
                "atomic() was entered while another task, or context, has an atomic() block open in the same "
                "transaction: a savepoint cannot end before one that was made in it. Run these one after the other, "
                "or give each a transaction of its own"
            )
        if not scopes and not scope.is_inner and not is_flushed_by_hand():
            raise RuntimeError(
                f"atomic() was entered in a transaction that {opener} has opened, and whose commit it cannot see: its "
                "events would run too early. Write atomic() there, too, or put `async with deferred():` around that"
            )


@contextmanager
def committing(scope: Scope, *, is_savepoint: bool) -> Generator[None]:
    """Say which events do not run where a commit is stopped half-way: it may have gone through all the same."""
    try:
        yield
    except BaseException as error:
        if scope.pending and not is_savepoint and not isinstance(error, Exception):
            _report.warning(
                f"A commit was stopped by {type(error).__name__} and may have gone through; these events do not run: "
                f"{', '.join(scope.pending)}"
            )
        raise
