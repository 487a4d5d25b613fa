"""What the worker does with its database; `on_sqlalchemy` and `on_tortoise` do it, of which a process imports one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fastsoy_events_durable import Durable


class Application(ABC):
    """An application with a database."""

    durable: Durable

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[None]:
        """Open the database."""

    @abstractmethod
    def atomic(self) -> AbstractAsyncContextManager[Any]:
        """Open a transaction; gives what `insert` takes."""

    @abstractmethod
    async def insert(self, transaction: Any, table: str, name: str) -> None:
        """Write a row with a name."""

    @abstractmethod
    async def publications(self, transaction: Any) -> int:
        """Count the publications that a transaction sees."""

    @abstractmethod
    async def names(self) -> set[str]:
        """Return the persons that are committed."""
