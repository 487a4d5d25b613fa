"""The settings, all from environment variables."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings", "SettingsError"]


class SettingsError(ValueError):
    """A setting cannot be used; the text names it and its value, and says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set from outside.

    Args:
        database: the SQLite file.
        full_departments: the numbers of the departments that have no free desk.
        traces: the file that spans are written to; None for nowhere.
    """

    database: Path
    full_departments: frozenset[int]
    traces: Path | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `ADMIN_DATABASE`, `ADMIN_FULL_DEPARTMENTS` (numbers with commas between them) and `ADMIN_TRACES`.

        Returns:
            The settings; without the variables `admin.sqlite3` in the working folder, no full department, no traces.

        Raises:
            SettingsError: a department is no number.
        """
        return cls(
            database=Path(os.environ.get("ADMIN_DATABASE") or "admin.sqlite3").resolve(),
            full_departments=_numbers("ADMIN_FULL_DEPARTMENTS"),
            traces=Path(traces).resolve() if (traces := os.environ.get("ADMIN_TRACES")) else None,
        )

    def check_database(self) -> None:
        """Open the database once, because SQLite alone does not say which file it could not open.

        Raises:
            SettingsError: it cannot be opened.
        """
        try:
            with closing(sqlite3.connect(self.database)) as connection:
                connection.execute("PRAGMA schema_version")
        except sqlite3.Error as error:
            raise SettingsError(
                f"ADMIN_DATABASE is {str(self.database)!r}, which cannot be opened: {error}. "
                "Write the path of an SQLite file, or of a new file in a folder that exists"
            ) from error


def _numbers(name: str) -> frozenset[int]:
    text = os.environ.get(name, "")
    try:
        return frozenset(int(number) for number in text.split(",") if number.strip())
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: write numbers with commas between them, such as 2,3") from error
