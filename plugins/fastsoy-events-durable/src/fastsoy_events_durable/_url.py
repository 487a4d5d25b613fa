"""URLs of databases: what is wrong with one is said without quoting it, since it may have a password in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.ext.asyncio import create_async_engine

from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["EXAMPLES", "engine_of", "shown", "url_of"]

EXAMPLES = "sqlite+aiosqlite:///app.sqlite3 or postgresql+asyncpg://user@host/name"
_SCHEMES = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+asyncpg", "postgresql": "postgresql+asyncpg"}


def url_of(given: URL | str) -> URL:
    """Return a URL as SQLAlchemy has it.

    Raises:
        DurableError: for what is none, and for a scheme whose driver would block.
    """
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):  # whose text may have a part of the password
        raise DurableError(
            f"a URL of SQLAlchemy is wanted, such as {EXAMPLES}, and what was given cannot be read as one. It is not "
            "shown, since it may have a password in it: write @, : and / in there as %40, %3A and %2F"
        ) from None
    if url.drivername in _SCHEMES:
        raise DurableError(
            f"an asynchronous engine is wanted, and {url.drivername}:// is none: write {_SCHEMES[url.drivername]}://"
        )
    return url


def engine_of(given: URL | str) -> AsyncEngine:
    """Return a new engine for a URL.

    Raises:
        DurableError: likewise, and where the driver is not installed.
    """
    url = url_of(given)
    try:
        return create_async_engine(url, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise DurableError(
            f"the driver {error.name} is not installed: pip install 'fastsoy-events-durable[sqlite]', or [postgresql]"
        ) from error
    except (ArgumentError, InvalidRequestError) as error:
        scheme = _SCHEMES.get(url.get_backend_name(), "postgresql+asyncpg")
        raise DurableError(
            f"an asynchronous engine of SQLite or PostgreSQL is wanted, and {url.drivername}:// is none: write "
            f"{scheme}://"
        ) from error


def shown(url: URL) -> str:
    """Return a URL without its password, wherever that stands."""
    secret = [name for name in url.query if "pass" in name.lower()]
    return url.difference_update_query(secret).render_as_string(hide_password=True)
