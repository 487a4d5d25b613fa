"""Receiving: what code that brings events in, or takes them elsewhere, builds on."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from fastsoy_events import RegistrationError
from fastsoy_events_durable import _publish
from fastsoy_events_durable._declare import checked_id
from fastsoy_events_durable._deliver import Receiver
from fastsoy_events_durable._manage import Managed
from fastsoy_events_durable._model import Publication
from fastsoy_events_durable._payload import encoded
from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence

    from fastsoy_events_durable._deliver import Receive
    from fastsoy_events_durable._dispatcher import Dispatcher
    from fastsoy_events_durable._model import Retry

R = TypeVar("R", bound="Receive")

_ANOTHER_LOOP = (
    "nothing was stored in {}: its connections belong to another event loop than the one that emits, as emit_sync() in "
    "a thread has one of its own. Open running() in the application's loop, and the rows are stored there; or emit "
    "there, by asyncio.run_coroutine_threadsafe(emit(...), loop)"
)


class Receiving(Managed):
    """Publications that no emit of this program made, or that leave it."""

    _dispatchers: list[Dispatcher]
    _receivers: dict[str, Receiver]
    _retry: Retry

    @abstractmethod
    def _has_handler(self, handler_id: str) -> bool:
        """Tell whether a handler on the bus has an id."""

    def _wake(self) -> None:
        """Tell the dispatchers that there may be something to deliver."""
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    def receiver(self, handler_id: str, *, retry: Retry | None = None) -> Callable[[R], R]:
        """Register an `async` callable that takes `(event, event_id, payload)` as what `publish()` stores for.

        It is not on the bus: no emit reaches it. It is for code that takes events elsewhere, such as to a broker.

        Args:
            handler_id: its stable id.
            retry: how it is tried again; None for that of this object.

        Returns:
            The decorator, which returns the callable unchanged.

        Raises:
            RegistrationError: for an id that is none or is taken.

        Example:
            >>> from fastsoy_events_durable import Durable
            >>> durable = Durable("sqlite+aiosqlite:///app.sqlite3")
            >>> @durable.receiver("relay.forward")
            ... async def forward(event, event_id, payload): ...
        """
        own_id = checked_id(handler_id)
        if own_id in self._receivers or self._has_handler(own_id):
            raise RegistrationError(f'receiver("{own_id}") is taken: give it an id of its own')

        def register(function: R) -> R:
            self._receivers[own_id] = Receiver(own_id, function, retry or self._retry)
            return function

        return register

    # Storing

    async def publish(self, handler_id: str, event: str, payload: Mapping[str, object], *, event_id: str = "") -> str:
        """Store a publication for a receiver, as an emit does for its handlers.

        It joins the transaction that is open around the call; else, inside `deferred()`, it is stored when the block
        has ended well.

        Args:
            handler_id: the receiver's.
            event: the event's name.
            payload: the event's keywords.
            event_id: the event's id; a new one where it is empty.

        Returns:
            The event's id.

        Raises:
            DurableError: where nobody has that id; a `PayloadError` for what is no JSON.

        Example:
            >>> async def forward(durable, employee_id):
            ...     await durable.publish("relay.forward", "employee.created", {"employee_id": employee_id})
        """
        if handler_id not in self._receivers:
            raise DurableError(f'publish("{handler_id}", ...) has no receiver: register it with receiver() first')
        own_id = event_id or uuid4().hex
        await self._store(event, [Publication(own_id, event, handler_id, None, encoded(event, payload))])
        await _publish.defer(event, self._wake_up)
        return own_id

    async def _store(self, event: str, publications: Sequence[Publication]) -> None:
        await self._in_its_loop(self._store_or_defer, event, publications)

    async def _store_or_defer(self, event: str, publications: Sequence[Publication]) -> None:
        connection = self._database.joined()
        if connection is not None:
            await self._publications.insert(connection, publications)
        else:
            await _publish.defer(event, self._store_alone, publications)

    async def _store_alone(self, publications: Sequence[Publication]) -> None:
        await self._in_its_loop(self._insert, publications)

    async def _insert(self, publications: Sequence[Publication]) -> None:
        async with self._database.transaction() as connection:
            await self._publications.insert(connection, publications)

    async def _in_its_loop(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        """Do something in the event loop of `running()`: a connection works in one loop, and a thread has another.

        Raises:
            DurableError: without `running()`, where the database's connections belong to another loop.
        """
        here = asyncio.get_running_loop()
        loops = [each.loop for each in self._dispatchers if not each.loop.is_closed()]
        if loops and here not in loops:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(*arguments), loops[-1]))
            return
        if self._database.loop not in {None, here}:
            raise DurableError(_ANOTHER_LOOP.format(self.label))
        try:
            await work(*arguments)
        except RuntimeError as error:
            if "loop" not in str(error).lower():
                raise
            raise DurableError(_ANOTHER_LOOP.format(self.label)) from error

    @asynccontextmanager
    async def inbox(self, source: str, event_id: str, consumer: str = "") -> AsyncGenerator[bool]:
        """Open a transaction that records the arrival of an event from elsewhere.

        What is emitted inside has its rows in the same transaction, and ordinary handlers run once it has committed. So
        an event that arrives twice is emitted once; what the block raises undoes the record.

        Args:
            source: where it comes from.
            event_id: its id there.
            consumer: who receives it, such as the application's name: applications that have one database receive each
                event once each.

        Returns:
            An asynchronous context manager that gives whether it is the first time.

        Example:
            >>> async def receive(durable, emit, message):
            ...     async with durable.inbox(message.source, message.id) as is_new:
            ...         if is_new:
            ...             await emit(message.event, **message.payload)
        """
        async with self._database.atomic() as transaction:
            yield await self._publications.arrive(transaction.connection, consumer, source, event_id)

    async def _wake_up(self) -> None:
        self._wake()
