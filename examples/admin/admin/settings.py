"""The settings, all from environment variables."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Settings", "SettingsError"]

_POSTGRESQL = ("postgres://", "postgresql://")


class SettingsError(ValueError):
    """A setting cannot be used; the text names it and its value, and says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set from outside.

    Args:
        database: the SQLite file, or the URL of a PostgreSQL database.
        full_departments: the numbers of the departments that have no free desk.
        traces: the file that spans are written to; None for nowhere.
        badges: the file that badges are printed to; None for no badges.
        broker: the URL of the message broker that other applications are at; None for none.
    """

    database: Path | str
    full_departments: frozenset[int]
    traces: Path | None = None
    badges: Path | None = None
    broker: str | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the variables `ADMIN_...`; the example's README has a table of them.

        Returns:
            The settings; without the variables `admin.sqlite3` in the working folder, and none of the rest.

        Raises:
            SettingsError: a department is no number.
        """
        database = os.environ.get("ADMIN_DATABASE") or "admin.sqlite3"
        return cls(
            database=database if database.startswith(_POSTGRESQL) else Path(database).resolve(),
            full_departments=_numbers("ADMIN_FULL_DEPARTMENTS"),
            traces=_file("ADMIN_TRACES"),
            badges=_file("ADMIN_BADGES"),
            broker=os.environ.get("ADMIN_BROKER") or None,
        )

    @property
    def connection(self) -> tuple[str, str | dict[str, object]]:
        """Return a name for the connection to the database, and what Tortoise's configuration says of it."""
        # Tortoise keeps each table's INSERT by the connection's name, so each kind of database has a name of its own.
        if isinstance(self.database, str):
            return "postgresql", self.database
        return "sqlite", {"engine": "tortoise.backends.sqlite", "credentials": {"file_path": str(self.database)}}

    async def check_database(self) -> None:
        """Open the database once, because what opens it later does not say which setting is wrong.

        Raises:
            SettingsError: it cannot be opened.
        """
        if isinstance(self.database, str):
            await _check_url(self.database)
        else:
            _check_file(self.database)


def _check_file(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise SettingsError(
            f"ADMIN_DATABASE is {str(file)!r}, which cannot be opened: {error}. "
            "Write the path of an SQLite file, or of a new file in a folder that exists"
        ) from error


async def _check_url(url: str) -> None:
    try:
        import asyncpg  # type: ignore[import-untyped]  # it has no types; here, since SQLite does without it
    except ImportError as error:
        raise SettingsError(
            f"ADMIN_DATABASE is {_shown(url)}, which needs asyncpg: install it, or write the path of an SQLite file"
        ) from error
    try:
        connection = await asyncpg.connect(url)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # A ValueError is about the text of the URL, and may quote it.
        reason = "" if isinstance(error, ValueError) else str(error)
        raise SettingsError(
            f"ADMIN_DATABASE is {_shown(url)}, which cannot be opened: {reason or type(error).__name__}. "
            "Start the server, or write the URL of a database that exists: postgresql://user:password@host/name"
        ) from error
    await connection.close()


def _shown(url: str) -> str:
    """Return a URL without user, password and options."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    return f"postgresql://{parts.hostname or ''}{parts.path}"


def _file(name: str) -> Path | None:
    file = os.environ.get(name)
    return Path(file).resolve() if file else None


def _numbers(name: str) -> frozenset[int]:
    text = os.environ.get(name, "")
    try:
        return frozenset(int(number) for number in text.split(",") if number.strip())
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: write numbers with commas between them, such as 2,3") from error
