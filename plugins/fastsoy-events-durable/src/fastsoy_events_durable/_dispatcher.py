"""The dispatcher: it claims what is due, runs the handlers one after the other, and writes what became of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from fastsoy_events import deferred
from fastsoy_events_durable._claims import Claims
from fastsoy_events_durable._model import Outcome
from fastsoy_events_durable._outage import Outage, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fastsoy_events_durable._claims import Settings, Target
    from fastsoy_events_durable._model import Claimed
    from fastsoy_events_durable._store import Store

_PATIENCE = 5.0  # seconds for what has been cancelled to write that it has
_ORPHANS_EVERY = 60.0  # seconds; only so often does it look for what nobody delivers


class _Undone(Exception):  # noqa: N818 - it never reaches anybody
    """Rolls a delivery's transaction back."""


class Dispatcher:
    """Delivers one database's publications in one process.

    Args:
        store: the publications.
        targets: returns what delivers, as it is registered now.
        known: returns the ids of what delivers, here or in another dispatcher of this process.
        settings: how it works.

    Attributes:
        loop: the event loop that it works in.
    """

    def __init__(
        self,
        store: Store,
        targets: Callable[[], Mapping[str, Target]],
        known: Callable[[], Collection[str]],
        settings: Settings,
    ) -> None:
        self._store = store
        self._targets = targets
        self._known = known
        self._settings = settings
        self._claims = Claims(store, settings)
        self._outage = Outage(store.database.label)
        self._handling: asyncio.Task[Outcome | None] | None = None
        self.loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_ending = False
        self._is_in_transaction = False
        self._has_cancelled = False
        self._orphans: frozenset[str] = frozenset()
        self._orphans_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    # Its life

    def start(self) -> None:
        """Begin to deliver."""
        for work, name in ((self._run, "dispatcher"), (self._keep, "leases")):
            self._tasks.append(asyncio.create_task(work(), name=f"fastsoy-events-durable {name}"))

    def wake(self) -> None:
        """Tell it, from any thread, that there may be something to deliver."""
        with suppress(RuntimeError):  # the loop has been closed
            self.loop.call_soon_threadsafe(self._wake.set)

    async def end(self) -> None:
        """Claim no more, let the handler that runs come to its end, or else cancel it, and give back the rest."""
        tasks = set(self._tasks)
        self._is_ending = True
        self._wake.set()
        try:
            _, running = await asyncio.wait({self._tasks[0]}, timeout=self._settings.grace)
            if running:
                self._cancel_handler()
                await asyncio.wait({self._tasks[0]}, timeout=max(self._settings.grace, _PATIENCE))
            self._ended.set()
            await asyncio.wait(tasks, timeout=max(self._settings.grace, _PATIENCE))
        finally:
            self._cancel_handler()
            while tasks:  # a driver that is cancelled may raise another error, and so end no task
                for task in tasks:
                    task.cancel()
                _, tasks = await asyncio.wait(tasks, timeout=_PATIENCE)

    def _cancel_handler(self) -> None:
        if self._handling is not None:
            self._has_cancelled = True
            self._handling.cancel()

    async def _run(self) -> None:
        try:
            while not self._is_ending:
                self._wake.clear()
                try:
                    found = await self._round()
                except Exception as error:
                    if _is_cancelled():
                        raise
                    await self._wait(self._outage.began(error))  # whatever a database raises, it is tried again
                else:
                    self._outage.ended()
                    if not found:
                        await self._wait(self._claims.wait())
        finally:
            await self._give_back()

    async def _wait(self, seconds: float) -> None:
        if not self._is_ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _give_back(self) -> None:
        try:
            await self._claims.give_back()
        except Exception as error:  # noqa: BLE001 - the leases will end
            self._outage.began(error)

    # Leases

    async def _keep(self) -> None:
        """Extend the leases of what is claimed; give back what a slow handler holds up, for others to take."""
        before: Claimed | None = None
        while not await self._has_ended(self._settings.lease / 3):
            charged = self._claims.charged
            is_slow = charged is not None and charged is before and self._handling is not None
            before = charged
            if not self._is_in_the_way():
                try:
                    await self._claims.extend(is_slow=is_slow)
                except Exception as error:
                    if _is_cancelled():
                        raise
                    logger.debug("Leases could not be extended: %r", error)  # the dispatcher notices, and says so

    async def _has_ended(self, seconds: float) -> bool:
        """Wait for some seconds, or for the end: no statement is to be cancelled half-way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()

    def _is_in_the_way(self) -> bool:
        """Tell whether the handler that runs has the only transaction that may write; nobody else can claim either."""
        return self._is_in_transaction and self._store.database.is_sqlite

    # Delivering

    async def _round(self) -> bool:
        """Claim what is due, unless some of it is left, and deliver it. Tell whether there was anything."""
        claims = self._claims
        if claims.is_empty:
            claims.targets = self._targets()
            await self._look_for_orphans()
            if not await claims.fill():
                return False
        while not claims.is_empty:
            if claims.charged is None:
                await claims.advance(is_ending=self._is_ending)
                self._outage.ended()
            if claims.charged is None or self._is_ending:
                break
            await self._deliver(claims.charged)
        return True

    async def _look_for_orphans(self) -> None:
        if monotonic() < self._orphans_at:
            return
        found = await self._store.orphans(self._known())
        self._orphans_at = monotonic() + _ORPHANS_EVERY
        new = [each for each in found if each.handler not in self._orphans]
        if new:
            logger.warning(
                "Nobody handles what is stored for %s: it is kept, and not delivered. Install or load what registers "
                "these ids; `fastsoy-events durable orphans` lists them",
                ", ".join(f"{each.handler} ({each.event}, {each.publications})" for each in new),
            )
        self._orphans = frozenset(each.handler for each in found)

    async def _deliver(self, row: Claimed) -> None:
        """Run one publication's handler, in a task of its own: it can be cancelled, and its context is its own."""
        target = self._claims.targets[row.handler]
        self._claims.leave_trail(row)
        work = self._in_transaction(row, target) if target.tx else self._by_itself(row, target)
        self._handling = task = asyncio.create_task(work, name=f"fastsoy-events-durable {row.handler}")
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            _, running = await asyncio.wait({task}, timeout=max(self._settings.grace, _PATIENCE))
            if running:
                logger.warning("Durable handler %s does not let itself be cancelled: it is left behind", row.handler)
            raise
        finally:
            self._handling = None
        outcome = self._failed(row, asyncio.CancelledError()) if task.cancelled() else task.result()
        if outcome is not None:
            self._claims.has_become(outcome)
        if self._claims.charged is row:  # else it has completed, and the next one is charged
            self._claims.charged = None

    def _failed(self, row: Claimed, error: BaseException) -> Outcome:
        if not self._has_cancelled:
            return self._claims.failed(row, error)
        logger.warning(
            "Durable handler %s was cancelled, since the program ends: publication %d is given back",
            row.handler,
            row.sequence,
        )
        return Outcome(row.sequence, "published", refund=True)

    async def _by_itself(self, row: Claimed, target: Target) -> Outcome:
        error = await target.run(row, None)
        return Outcome(row.sequence, "completed") if error is None else self._failed(row, error)

    async def _in_transaction(self, row: Claimed, target: Target) -> Outcome | None:
        """Run a handler in the transaction that completes its publication, then ordinary handlers of what it emitted.

        These may take longer than a lease: before they begin, it is noted what the transaction has written.
        """
        outcome: Outcome | None = None
        is_over = False
        try:
            async with deferred():
                outcome = await self._complete(row, target)
                is_over = True
        except asyncio.CancelledError:
            if not is_over:
                raise  # else the bus has said what did not run
        return outcome

    async def _complete(self, row: Claimed, target: Target) -> Outcome | None:
        """Run a handler, complete its publication and charge the next one's attempt, in one transaction."""
        claims = self._claims
        error: BaseException | None = None
        has_begun = False
        try:
            async with self._store.database.atomic() as transaction:
                has_begun = self._is_in_transaction = True
                error = await target.run(row, transaction.tx)
                if error is not None:
                    raise _Undone  # noqa: TRY301 - it is the block that has to see it
                following = claims.take(is_ending=self._is_ending)
                written = await claims.complete(transaction.connection, row, following)
                if row.sequence not in written:
                    raise _Undone  # noqa: TRY301 - likewise
            claims.charge(written)
        except _Undone:
            pass  # what the handler raised, or that another worker has taken the publication over, is known
        except Exception as failure:
            if not has_begun:
                raise
            error = failure
        finally:
            self._is_in_transaction = False
            claims.put_back()
        return None if error is None else self._failed(row, error)


def _is_cancelled() -> bool:
    """Tell whether the running task is being cancelled, whatever error a driver has made of that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
