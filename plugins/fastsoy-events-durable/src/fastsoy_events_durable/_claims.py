"""Claims: what a worker has claimed, which comes next, and what became of each, until that is written."""

from __future__ import annotations

import heapq
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from fastsoy_events_durable._model import Outcome
from fastsoy_events_durable._outage import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from fastsoy_events_durable._database import Connection
    from fastsoy_events_durable._model import Claimed, Retry
    from fastsoy_events_durable._store import Store


class Target(NamedTuple):
    """What delivers the publications of one handler.

    Args:
        id: the handler's stable id.
        tx: whether it runs inside the transaction that completes its publication.
        retry: how it is tried again.
        run: delivers one, and returns what it raised; it is given the transaction, or None.
    """

    id: str
    tx: bool
    retry: Retry
    run: Callable[[Claimed, object], Coroutine[Any, Any, BaseException | None]]


class Settings(NamedTuple):
    """How a dispatcher works.

    Args:
        batch: how many publications it claims at once.
        lease: for how many seconds nobody else takes what it has claimed; it is extended while the program lives.
        poll: seconds after which it looks for what others have stored.
        grace: seconds that a handler has at the end, before it is cancelled.
    """

    batch: int
    lease: float
    poll: float
    grace: float


class Claims:
    """What one worker has claimed.

    Args:
        store: the publications.
        settings: how the worker works.

    Attributes:
        charged: the one whose handler runs, or is to run next: its attempt counts.
        following: the one whose attempt is being charged.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.charged: Claimed | None = None
        self.following: Claimed | None = None
        self.targets: Mapping[str, Target] = {}
        self._store = store
        self._settings = settings
        self._owner = uuid4().hex
        self._queue: deque[Claimed] = deque()
        self._outcomes: list[Outcome] = []
        self._dues: list[float] = []  # a heap: when what has failed here is due again
        self._trail: deque[tuple[str, str]] = deque()  # the keys that the last ones have, for others wait for them
        self._followed = 0
        self._leaves_a_trail = False

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing left to run or to write."""
        return not (self._queue or self._outcomes or self.charged)

    async def fill(self) -> bool:
        """Claim what is due, and tell whether there was anything."""
        self._queue.extend(await self._claimed())
        return bool(self._queue)

    async def _claimed(self) -> list[Claimed]:
        """Claim what comes next for the keys of the last ones, as many as a batch has, and else whatever is due."""
        lease = self._settings.lease
        while self._trail and self._followed < self._settings.batch:
            handler, key = self._trail.popleft()
            claimed = await self._store.claim_next(self._owner, handler, key, lease) if handler in self.targets else []
            if claimed:
                self._followed += 1
                return claimed
        self._trail.clear()
        self._followed = 0
        if not self.targets:
            return []
        claimed = await self._store.claim(self._owner, self.targets, self._settings.batch, lease)
        self._leaves_a_trail = len(claimed) < self._settings.batch  # else there is enough besides
        return claimed

    def leave_trail(self, row: Claimed) -> None:
        """Note that others may wait for one that runs now."""
        if row.key is not None and self._leaves_a_trail:
            self._trail.append((row.handler, row.key))

    async def advance(self, *, is_ending: bool) -> None:
        """Write what became of the last ones and charge the next one's attempt."""
        while self._queue or self._outcomes:
            following = self.take(is_ending=is_ending)
            outcomes = self._outcomes
            try:
                written = await self._store.settle(
                    self._owner, outcomes, following and following.sequence, self._settings.lease
                )
            except BaseException:
                self.put_back()
                raise
            self._outcomes = []
            self._note(outcomes, written)
            self.charge(written)
            if following is None or self.charged is not None:
                return

    def take(self, *, is_ending: bool) -> Claimed | None:
        """Take the next one to run out of the queue; those that have had all their attempts are past that."""
        while self._queue and not is_ending:
            row = self._queue.popleft()
            if row.attempts < self.targets[row.handler].retry.attempts:
                self.following = row
                return row
            self._outcomes.append(_given_up(row, f"its process ended while attempt {row.attempts} ran"))
        return None

    def charge(self, written: set[int]) -> None:
        """Note that the attempt of the one that was taken has been charged, unless another worker has taken it over."""
        following, self.following = self.following, None
        self.charged = following if following is not None and following.sequence in written else None

    def put_back(self) -> None:
        """Have the one that was taken, if any, be the next again."""
        following, self.following = self.following, None
        if following is not None:
            self._queue.appendleft(following)

    def has_become(self, outcome: Outcome) -> None:
        """Note what became of one, to be written."""
        self._outcomes.append(outcome)

    async def complete(self, connection: Connection, row: Claimed, following: Claimed | None) -> set[int]:
        """Complete one in its handler's transaction, and charge the next one's attempt.

        Returns:
            The numbers of those that are this worker's still: without its own, the transaction is to be rolled back.
        """
        outcomes = [Outcome(row.sequence, "completed")]
        written = await self._store.write(
            connection, self._owner, outcomes, following and following.sequence, self._settings.lease
        )
        self._note(outcomes, written)
        return written

    def _note(self, outcomes: Iterable[Outcome], written: set[int]) -> None:
        for outcome in outcomes:
            if outcome.sequence not in written:
                logger.warning(
                    "Publication %d took longer than its lease, and another worker has taken it over: what became of "
                    "it here is not written. Give its handler a timeout, or running() a longer lease",
                    outcome.sequence,
                )
            elif outcome.status == "published":
                due = monotonic() + outcome.delay + 0.002  # a database may count in milliseconds
                heapq.heappush(self._dues, due)

    def wait(self) -> float:
        """Return for how many seconds there is nothing to do, as far as is known here."""
        now = monotonic()
        is_due = False
        while self._dues and self._dues[0] <= now:
            heapq.heappop(self._dues)
            is_due = True
        if is_due:
            return 0.0
        return min(self._settings.poll, self._dues[0] - now) if self._dues else self._settings.poll

    async def extend(self, *, is_slow: bool) -> None:
        """Extend the leases; give back what is not started where the handler that runs is slow."""
        waiting = [*self._queue]
        if is_slow:
            self._queue.clear()
            await self._store.release(self._owner, waiting)
            waiting = []
        waiting += [each for each in (self.charged, self.following) if each is not None]
        await self._store.extend(self._owner, [each.sequence for each in waiting], self._settings.lease)

    async def give_back(self) -> None:
        """Write what became of the last one, and leave the rest to others."""
        rest = [*self._queue]
        self._queue.clear()
        if self.charged is not None:
            self._outcomes.append(Outcome(self.charged.sequence, "published", refund=True))
            self.charged = None
        if self._outcomes:
            await self._store.settle(self._owner, self._outcomes, None, 0.0)
        await self._store.release(self._owner, rest)

    def failed(self, row: Claimed, error: BaseException) -> Outcome:
        """Return what becomes of one whose handler has failed: it is tried again, or has failed for good."""
        retry = self.targets[row.handler].retry
        attempts = row.attempts + 1
        text = f"{type(error).__name__}: {error}"
        if attempts >= retry.attempts:
            return _given_up(row._replace(attempts=attempts), text)
        delay = retry.delay(attempts)
        logger.info(
            "Durable handler %s failed in attempt %d of %d for %s: publication %d is tried again in %.1f s",
            row.handler,
            attempts,
            retry.attempts,
            row.event,
            row.sequence,
            delay,
        )
        return Outcome(row.sequence, "published", delay=delay, error=text)


def _given_up(row: Claimed, text: str) -> Outcome:
    logger.error(
        "Durable handler %s has failed for good: publication %d, event %s (%s), %d attempts. It is kept: once the "
        "cause is gone, `fastsoy-events durable retry %d` delivers it again",
        row.handler,
        row.sequence,
        row.event,
        row.event_id,
        row.attempts,
        row.sequence,
    )
    return Outcome(row.sequence, "failed", error=text)
