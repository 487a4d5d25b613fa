"""Durable: what applications use. It declares handlers, stores what is emitted for them, and delivers it."""

from __future__ import annotations

import sys
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from fastsoy_events import RegistrationError, bus
from fastsoy_events_durable import _publish
from fastsoy_events_durable._declare import (
    Subscription,
    checked_id,
    qualname,
    refuse_impossible,
    stand_in,
    subscription_of,
)
from fastsoy_events_durable._model import COMPLETIONS, Retry
from fastsoy_events_durable._receive import Receiving
from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from fastsoy_events import Handler
    from fastsoy_events_durable._claims import Target
    from fastsoy_events_durable._database import Database
    from fastsoy_events_durable._model import Completion

F = TypeVar("F", bound="Callable[..., object]")

_TABLE = "fastsoy_events_publication"

_made: list[weakref.ref[Durable]] = []


class Durable(Receiving):
    """Durable handlers, whose publications are kept in one database.

    Args:
        engine: an `AsyncEngine` of SQLAlchemy, or its URL (`sqlite+aiosqlite:///app.sqlite3`,
            `postgresql+asyncpg://...`): then the engine is made here, and `close()` ends it. Emits join a transaction
            of the same engine, or of one with the same URL.
        table: the name of the table.
        completion: what becomes of a row that completes: `update` marks it, `delete` deletes it, `archive` moves it to
            the table whose name ends in `_archive`.
        retry: how handlers that fail are tried again, where they have no `retry` of their own.

    Raises:
        DurableError: for another database than SQLite in a file or PostgreSQL, and where its driver is not installed.

    Example:
        >>> durable = Durable("sqlite+aiosqlite:///app.sqlite3")
        >>> @durable.on("employee.created", id="mail.send")
        ... async def mail(employee_id, **kwargs): ...
    """

    def __init__(
        self,
        engine: AsyncEngine | URL | str,
        *,
        table: str = _TABLE,
        completion: Completion = "update",
        retry: Retry | None = None,
    ) -> None:
        from fastsoy_events_durable._sqlalchemy import SQLAlchemy

        self._set_up(SQLAlchemy(engine), table, completion, retry)

    @classmethod
    def tortoise(
        cls,
        connection: str = "default",
        *,
        table: str = _TABLE,
        completion: Completion = "update",
        retry: Retry | None = None,
    ) -> Durable:
        """Return durable handlers whose publications are kept where a connection of Tortoise ORM leads to.

        Args:
            connection: its name; it need not be open yet.
            table: the name of the table.
            completion: what becomes of a row that completes: `update`, `delete` or `archive`.
            retry: how handlers that fail are tried again.

        Raises:
            DurableError: where Tortoise ORM is not installed.

        Example:
            >>> Durable.tortoise("default").label
            "Tortoise's connection default"
        """
        from fastsoy_events_durable._tortoise import Tortoise

        durable = cls.__new__(cls)
        durable._set_up(Tortoise(connection), table, completion, retry)  # noqa: SLF001 - its own
        return durable

    def _set_up(self, database: Database, table: str, completion: Completion, retry: Retry | None) -> None:
        from fastsoy_events_durable._store import Store

        if completion not in COMPLETIONS:
            raise ValueError(f"completion is one of {', '.join(COMPLETIONS)}: not {completion!r}")
        self._database = database
        self._publications = Store(database, table, completion)
        self._retry = retry or Retry()
        self._subscriptions: dict[str, Subscription] = {}
        self._events: set[str] = set()
        self._receivers = {}
        self._dispatchers = []
        _made.append(weakref.ref(self))

    # Declaring

    def on(
        self,
        event: str,
        *,
        id: str,  # noqa: A002 - the field's word, as the bus has it
        tx: bool = False,
        key: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        slow_after: float | None = None,
        thread: bool = False,
    ) -> Callable[[F], F]:
        """Register the decorated callable as a durable handler of an event, and return it unchanged.

        Each emit stores a row for it, in the emitter's transaction or one of its own. It runs later, in a process that
        is in `running()`: at least once, and with `tx=True` exactly once as far as that transaction reaches.

        Args:
            event: the event's name.
            id: what its rows know it by: lower snake case with dots, such as `mail.send`. It never changes, although
                the handler may be renamed or moved, and is one handler's alone.
            tx: run it inside the transaction that completes its row, and give it that as its first argument: an
                `AsyncSession`, or Tortoise's client. What it does there is done once. It is not to take long.
            key: a keyword of the payload; events with the same value are delivered one after the other, in the order in
                which they were stored, and wait for one that is tried again. None for no order.
            retry: how it is tried again; None for that of this object.
            timeout: seconds after which it is cancelled, and has failed; None for the bus's `handler_timeout`.
            slow_after: seconds; a warning names a handler which took longer.
            thread: run a plain function in a thread, so that it may block.

        Returns:
            The decorator.

        Raises:
            RegistrationError: a `TypeError`, for what the bus refuses, an id that is none or is taken, and, with `tx`,
                a callable that takes nothing by position.

        Example:
            >>> durable = Durable("sqlite+aiosqlite:///app.sqlite3")
            >>> @durable.on("employee.created", id="audit.write", tx=True)
            ... async def audit(tx, employee_id, **kwargs): ...
        """
        own_id = checked_id(id)
        register_on_bus = bus.on(event, id=own_id, timeout=timeout, slow_after=slow_after, thread=thread, stacklevel=2)

        def register(function: F) -> F:
            caller = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
            refuse_impossible(event, function, caller, tx=tx, thread=thread)
            subscription = Subscription(
                durable=self,
                event=event,
                id=own_id,
                function=function,
                tx=tx,
                key=key,
                retry=retry or self._retry,
                spec=caller.f_globals.get("__spec__"),
            )
            self._refuse_taken(subscription)
            register_on_bus(stand_in(subscription, caller.f_globals.get("__name__", "__main__"), self._wake))
            self._subscriptions[own_id] = subscription
            self._events.add(event)
            _publish.expect(event)
            return function

        return register

    def _refuse_taken(self, new: Subscription) -> None:
        known = self._subscriptions.get(new.id)
        takes_part = known is not None and any(found is known for _, found in self._handlers(known.event))
        if new.id in self._receivers or (known is not None and takes_part and known.spec is new.spec):
            owner = qualname(known.function) if known else "a receiver"
            raise RegistrationError(
                f'on("{new.event}", id="{new.id}") cannot take {qualname(new.function)}: {owner} has that id, and rows '
                "that are stored would be delivered to the wrong one. Give it an id of its own"
            )

    # Delivering

    @asynccontextmanager
    async def running(
        self, *, batch: int = 100, lease: float = 30.0, poll: float = 1.0, grace: float = 10.0
    ) -> AsyncGenerator[None]:
        """Deliver while the block is open; it belongs into the application's lifespan, after `load_plugins()`.

        What a process that died has left is taken up once its lease is over. Several processes may do so at once. At
        the end, the handler that runs may come to its own end, and what is not started is left to others.

        Args:
            batch: how many publications it claims at once.
            lease: seconds for which nobody else takes what it has claimed; it is extended while the program lives.
            poll: seconds after which it looks for what other processes have stored.
            grace: seconds that a handler has at the end before it is cancelled, and delivered again elsewhere.

        Returns:
            An asynchronous context manager.

        Raises:
            DurableError: where the plugin is not loaded, so that nothing would be stored.
            ValueError: for times that are not above 0.

        Example:
            >>> from contextlib import asynccontextmanager
            >>> @asynccontextmanager
            ... async def lifespan(app, durable):
            ...     async with durable.running():
            ...         yield
        """
        from fastsoy_events_durable._claims import Settings
        from fastsoy_events_durable._dispatcher import Dispatcher

        if batch < 1 or min(lease, poll) <= 0 or grace < 0:
            raise ValueError("running() takes a batch from 1, lease and poll above 0 s, and grace from 0 s")
        self._refuse_unready()
        await self.migrate()
        dispatcher = Dispatcher(self._publications, self._targets, self._known, Settings(batch, lease, poll, grace))
        self._dispatchers.append(dispatcher)
        dispatcher.start()
        try:
            yield
        finally:
            self._dispatchers.remove(dispatcher)
            await dispatcher.end()

    def _refuse_unready(self) -> None:
        plugin = f"{__package__}.plugin"
        if not any(each.module == plugin and each.status == "loaded" for each in bus.plugins()):
            raise DurableError(
                "running() was entered, and the plugin durable of fastsoy-events-durable is not loaded, so that no "
                "emit would be stored: call load_plugins() before, and do not disable or block it"
            )
        taken: dict[str, Handler] = {}
        for handler, subscription in self._all_handlers():
            other = taken.setdefault(subscription.id, handler)
            if other is not handler:
                raise DurableError(
                    f"{other.label} and {handler.label} have the same id, and rows that are stored would be delivered "
                    "to the wrong one: give one of them an id of its own"
                )

    def _targets(self) -> dict[str, Target]:
        from fastsoy_events_durable import _deliver

        targets = {each.id: _deliver.to_receiver(each) for each in self._receivers.values()}
        targets |= {each.id: _deliver.to_handler(handler, each) for handler, each in self._all_handlers()}
        return targets

    def _known(self) -> set[str]:
        same = [each for each in durables() if each._place == self._place]  # noqa: SLF001 - its own
        return {handler_id for each in same for handler_id in each._targets()}  # noqa: SLF001 - likewise

    def _all_handlers(self) -> Iterator[tuple[Handler, Subscription]]:
        for event in sorted(self._events):
            yield from self._handlers(event)

    def _handlers(self, event: str) -> Iterator[tuple[Handler, Subscription]]:
        """Yield this object's handlers of an event that take part."""
        for handler in bus.handlers(event):
            subscription = subscription_of(handler.function)
            if subscription is not None and subscription.durable is self:
                yield handler, subscription

    def _has_handler(self, handler_id: str) -> bool:
        return handler_id in self._subscriptions


def durables() -> tuple[Durable, ...]:
    """Return every `Durable` object that lives, in the order in which they were made.

    Example:
        >>> durables()[-1:] is not None
        True
    """
    return tuple(durable for each in _made if (durable := each()) is not None)
