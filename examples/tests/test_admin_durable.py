"""The application with a durable handler: its process is killed, and what it had promised happens all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.postgresql import new_postgresql, postgresql_server  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgresql import Database

OPEN = "published", "processing"
NAMES = "Ada Brook", "Ben Castle", "Cleo Dale"


class Place(NamedTuple):
    """A database: as the application is told of it, and as SQLAlchemy is."""

    setting: str
    url: str


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        file = tmp_path / "admin.sqlite3"
        return Place(str(file), f"sqlite+aiosqlite:///{file}")
    made: Database = request.getfixturevalue("new_postgresql")()
    where = f"{made.credentials['user']}@/{made.name}?host={made.folder}"
    return Place(f"postgresql://{where}", f"postgresql+asyncpg://{where}")


def badges_in(url: str) -> dict[str, int]:
    """Return how many badges the database knows of in each state, as the command line says."""
    command = [sys.executable, "-m", "fastsoy_events", "durable", "status", "--json", "--url", url]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    [row] = found["handlers"]
    assert row.pop("handler") == "badge.print"
    return {status: count for status, count in row.items() if status in {*OPEN, "completed", "failed"} and count}


def test_a_badge_is_printed_once_although_the_server_was_killed(
    serve: Callable[..., Any], database: Place, tmp_path: Path
) -> None:
    badges = tmp_path / "printer" / "badges.txt"
    settings = {"ADMIN_DATABASE": database.setting, "ADMIN_BADGES": str(badges)}
    server = serve(**settings)
    employees = server.hire(*NAMES)
    server.kill()
    assert set(found := badges_in(database.url)) <= set(OPEN)
    assert sum(found.values()) == len(NAMES)

    badges.parent.mkdir()
    server = serve(**settings)
    for _ in employees:
        server.expect("a badge is printed")
    server.stop()
    assert sorted(badges.read_text("utf-8").splitlines()) == [f"badge for employee {number}" for number in employees]
    assert badges_in(database.url) == {"completed": len(NAMES)}


def test_without_a_printer_nothing_is_stored(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve(ADMIN_DATABASE=str(tmp_path / "admin.sqlite3"))
    server.hire(*NAMES)
    server.stop()
    command = [sys.executable, "-m", "fastsoy_events", "durable", "status"]
    url = f"sqlite+aiosqlite:///{tmp_path}/admin.sqlite3"
    result = subprocess.run([*command, "--url", url], capture_output=True, text=True, check=False)
    assert "the database has no table of publications" in result.stderr
