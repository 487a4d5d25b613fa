from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.postgresql import new_postgresql, postgresql_server  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.postgresql import Database


def test_the_database_is_in_the_working_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from admin.settings import Settings

    for name in ("DATABASE", "FULL_DEPARTMENTS", "TRACES", "BADGES", "BROKER"):
        monkeypatch.delenv(f"ADMIN_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment() == Settings(
        database=(tmp_path / "admin.sqlite3").resolve(), full_departments=frozenset()
    )


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from admin.settings import Settings

    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / "a b?#%.sqlite3"))
    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "2, 3,")
    monkeypatch.setenv("ADMIN_TRACES", "")
    monkeypatch.setenv("ADMIN_BADGES", str(tmp_path / "badges.txt"))
    monkeypatch.setenv("ADMIN_BROKER", "nats://127.0.0.1:4222")
    assert Settings.from_environment() == Settings(
        database=(tmp_path / "a b?#%.sqlite3").resolve(),
        full_departments=frozenset({2, 3}),
        badges=(tmp_path / "badges.txt").resolve(),
        broker="nats://127.0.0.1:4222",
    )


def test_a_department_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from admin.settings import Settings, SettingsError

    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "2,attic")
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment()
    assert str(refused.value) == (
        "ADMIN_FULL_DEPARTMENTS is '2,attic': write numbers with commas between them, such as 2,3"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere/x.db", "unable to open database file"),
        ("folder", "unable to open database file"),
        ("text", "file is not a database"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, reason: str
) -> None:
    from admin.settings import Settings, SettingsError

    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database" * 100, encoding="utf-8")
    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / name))
    with pytest.raises(SettingsError) as refused:
        await Settings.from_environment().check_database()
    assert str(refused.value) == (
        f"ADMIN_DATABASE is {str((tmp_path / name).resolve())!r}, which cannot be opened: {reason}. "
        "Write the path of an SQLite file, or of a new file in a folder that exists"
    )


async def test_a_database_that_is_there_or_can_be_made_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from admin.settings import Settings

    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / "a b?#%.sqlite3"))
    for _ in range(2):
        await Settings.from_environment().check_database()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
async def test_a_postgresql_database_that_is_there_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    new_postgresql: Callable[[], Database],  # noqa: F811
    scheme: str,
) -> None:
    from admin.settings import Settings

    database = new_postgresql()
    url = f"{scheme}://{database.credentials['user']}@/{database.name}?host={database.folder}"
    monkeypatch.setenv("ADMIN_DATABASE", url)
    settings = Settings.from_environment()
    assert settings.connection == ("postgresql", url)
    await settings.check_database()


@pytest.mark.parametrize(
    ("url", "shown", "reason"),
    [
        ("postgres://ada:secret@127.0.0.1:1/hr", "postgresql://127.0.0.1/hr", ".*"),
        ("postgresql://ada:secret@/hr?host=/nowhere&passfile=/nowhere", "postgresql:///hr", "No such file"),
        ("postgresql://ada:secret@127.0.0.1:port/hr", "postgresql://127.0.0.1/hr", "ValueError"),
        ("postgresql://ada:secret[@127.0.0.1/hr", "a URL that cannot be read", "ValueError"),
    ],
)
async def test_a_postgresql_database_that_cannot_be_reached_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, shown: str, reason: str
) -> None:
    from admin.settings import Settings, SettingsError

    monkeypatch.setenv("ADMIN_DATABASE", url)
    with pytest.raises(SettingsError, match=reason) as refused:
        await Settings.from_environment().check_database()
    assert str(refused.value).startswith(f"ADMIN_DATABASE is {shown}, which cannot be opened: ")
    assert str(refused.value).endswith(
        ". Start the server, or write the URL of a database that exists: postgresql://user:password@host/name"
    )
    assert "secret" not in str(refused.value)


async def test_postgresql_without_its_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from admin.settings import Settings, SettingsError

    monkeypatch.setenv("ADMIN_DATABASE", "postgresql://ada:secret@db/hr")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError) as refused:
        await Settings.from_environment().check_database()
    assert str(refused.value) == (
        "ADMIN_DATABASE is postgresql://db/hr, which needs asyncpg: install it, or write the path of an SQLite file"
    )
