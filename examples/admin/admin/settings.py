"""The settings, all from environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set from outside.

    Args:
        database: the SQLite file.
        full_departments: the numbers of the departments that have no free desk.
    """

    database: Path
    full_departments: frozenset[int]

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `ADMIN_DATABASE` (a path) and `ADMIN_FULL_DEPARTMENTS` (numbers with commas between them).

        Returns:
            The settings; without the variables `admin.sqlite3` in the working folder, and no full department.

        Raises:
            ValueError: a department is no number.
        """
        return cls(
            database=Path(os.environ.get("ADMIN_DATABASE") or "admin.sqlite3").resolve(),
            full_departments=frozenset(
                int(number) for number in os.environ.get("ADMIN_FULL_DEPARTMENTS", "").split(",") if number.strip()
            ),
        )
