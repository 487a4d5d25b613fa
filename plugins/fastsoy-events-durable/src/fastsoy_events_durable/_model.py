"""The records that the parts hand each other: frozen, and ignorant of every database."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["published", "processing", "completed", "failed"]
Completion: TypeAlias = Literal["update", "delete", "archive"]

COMPLETIONS: tuple[Completion, ...] = ("update", "delete", "archive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a durable handler that fails is tried, and how long it waits in between.

    Args:
        attempts: how often it runs at most; a run whose process died counts.
        first: seconds until the second attempt.
        factor: by how much each further wait is longer than the one before.
        longest: seconds that no wait exceeds, jitter aside.
        jitter: by what part of itself a wait may be shorter or longer, so that not all come back at once.

    Raises:
        ValueError: for what cannot be: fewer than one attempt, or times that are not above 0.

    Example:
        >>> Retry(attempts=3, first=2.0, jitter=0.0).delay(2)
        4.0
    """

    attempts: int = 5
    first: float = 1.0
    factor: float = 2.0
    longest: float = 300.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1 or not (self.first > 0 and self.factor >= 1 and self.longest > 0 and 0 <= self.jitter < 1):
            raise ValueError(
                "Retry takes attempts from 1, first and longest above 0 s, factor from 1 and jitter from 0 to below 1: "
                f"not {self!r}"
            )

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after an attempt.

        Args:
            attempts: how many there were, that one included.
        """
        wait = min(self.first, self.longest)
        if (attempts - 1) * math.log(self.factor) > math.log(self.longest / wait):  # a power would be too large a float
            wait = self.longest
        else:
            wait *= self.factor ** (attempts - 1)
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - no secret


class Publication(NamedTuple):
    """What is to be stored: one event for one handler.

    Args:
        event_id: of the emit; all its publications have it.
        event: the event's name.
        handler: the handler's stable id.
        key: what it is kept in order by; None for no order.
        payload: JSON.
    """

    event_id: str
    event: str
    handler: str
    key: str | None
    payload: str


class Claimed(NamedTuple):
    """A publication that a dispatcher has claimed.

    Args:
        sequence: its number in the table.
        event_id: of the emit.
        event: the event's name.
        handler: the handler's stable id.
        key: what it is kept in order by; None for no order.
        payload: JSON.
        attempts: how often the handler has been started for it.
    """

    sequence: int
    event_id: str
    event: str
    handler: str
    key: str | None
    payload: str
    attempts: int


class Outcome(NamedTuple):
    """What became of a publication, to be written.

    Args:
        sequence: the publication's number.
        status: `completed`; `published`, to be tried again; or `failed`.
        delay: seconds until it is tried again.
        error: what the handler raised; None where it has completed.
        refund: whether the attempt does not count, since it was the end of the program that stopped it.
    """

    sequence: int
    status: Literal["completed", "published", "failed"]
    delay: float = 0.0
    error: str | None = None
    refund: bool = False


class Stored(NamedTuple):
    """A publication as it is listed; the payload is left out. Times are seconds since 1970.

    Args:
        sequence: its number in the table: what `retry` takes.
        event_id: of the emit.
        event: the event's name.
        handler: the handler's stable id.
        key: what it is kept in order by; None for no order.
        status: `published`, `processing`, `completed` or `failed`.
        attempts: how often the handler has been started for it.
        due: when it may be delivered.
        error: what the handler raised last; None where it has not failed.
        created: when it was stored.
        done: when it completed or failed for good; None before.
    """

    sequence: int
    event_id: str
    event: str
    handler: str
    key: str | None
    status: Status
    attempts: int
    due: float
    error: str | None
    created: float
    done: float | None


class Count(NamedTuple):
    """How many publications of one handler have one status.

    Args:
        handler: the handler's stable id.
        status: `published`, `processing`, `completed` or `failed`.
        publications: how many.
        oldest: when the oldest of them was stored, in seconds since 1970.
    """

    handler: str
    status: Status
    publications: int
    oldest: float


class Orphan(NamedTuple):
    """Open publications whose handler nobody registers: they are kept, and not delivered.

    Args:
        handler: the handler's stable id.
        event: the event's name.
        publications: how many.
        oldest: when the oldest of them was stored, in seconds since 1970.
    """

    handler: str
    event: str
    publications: int
    oldest: float
