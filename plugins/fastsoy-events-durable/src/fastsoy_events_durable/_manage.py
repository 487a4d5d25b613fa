"""Managing: what a person, or the command line, does with what is stored."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from fastsoy_events_durable._claims import Target
    from fastsoy_events_durable._database import Database
    from fastsoy_events_durable._model import Count, Orphan, Stored
    from fastsoy_events_durable._store import Store


class Managed:
    """What one database holds, to be looked at and put right."""

    _database: Database
    _publications: Store

    @abstractmethod
    def _targets(self) -> Mapping[str, Target]:
        """Return what delivers, by the handlers' ids."""

    @abstractmethod
    def _known(self) -> Collection[str]:
        """Return the ids of all handlers whose publications may be in the table."""

    @property
    def _place(self) -> tuple[str, str]:
        """Return the database and the table: plugins may have an object each for the same."""
        return self.label, self._publications.table

    @property
    def label(self) -> str:
        """Return what the database is called: its URL without the password, or Tortoise's name of the connection.

        Example:
            >>> from fastsoy_events_durable import Durable
            >>> Durable("sqlite+aiosqlite:///app.sqlite3").label
            'sqlite+aiosqlite:///app.sqlite3'
        """
        return self._database.label

    async def migrate(self) -> None:
        """Create the tables and their indexes where they are absent; `running()` does so, too.

        Example:
            >>> async def prepare(durable):
            ...     await durable.migrate()
        """
        await self._publications.migrate()

    async def counts(self) -> tuple[Count, ...]:
        """Count the publications by handler and status.

        Example:
            >>> async def backlog(durable):
            ...     return sum(each.publications for each in await durable.counts() if each.status == "published")
        """
        return tuple(await self._publications.counts())

    async def failed(self, *, limit: int = 100) -> tuple[Stored, ...]:
        """List those that failed for good, newest first.

        Args:
            limit: how many at most.

        Example:
            >>> async def show(durable):
            ...     for each in await durable.failed():
            ...         print(each.sequence, each.handler, each.error)
        """
        return tuple(await self._publications.failed(limit))

    async def retry(self, sequences: Collection[int] | None = None) -> int:
        """Have failed publications be delivered again, with all their attempts.

        One with a key is then delivered after those that came later and are done.

        Args:
            sequences: their numbers, as `failed()` has them; None for all of them.

        Returns:
            How many there were.

        Example:
            >>> async def once_the_mail_server_is_back(durable):
            ...     return await durable.retry()
        """
        return await self._publications.retry(sequences)

    def purge(self, *, older_than: float, chunk: int = 1000) -> AsyncIterator[int]:
        """Delete what has completed, and the record of what has arrived, a while ago. What has failed is kept.

        Args:
            older_than: how long ago, in seconds.
            chunk: how many rows a transaction deletes at most.

        Returns:
            An asynchronous iterator that gives, after each transaction, how many rows it deleted.

        Example:
            >>> async def tidy(durable):
            ...     return sum([deleted async for deleted in durable.purge(older_than=30 * 86400)])
        """
        return self._publications.purge(older_than, chunk)

    async def orphans(self) -> tuple[Orphan, ...]:
        """Count the open publications whose handler nobody registers here.

        Example:
            >>> async def show(durable):
            ...     print(*await durable.orphans())
        """
        return tuple(await self._publications.orphans(self._known()))

    async def close(self) -> None:
        """Close the connections of the engine, where it was made from a URL here.

        Example:
            >>> import asyncio
            >>> from fastsoy_events_durable import Durable
            >>> asyncio.run(Durable("sqlite+aiosqlite:///app.sqlite3").close())
        """
        await self._database.close()
