from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def test_the_database_is_in_the_working_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from admin.settings import Settings

    monkeypatch.delenv("ADMIN_DATABASE", raising=False)
    monkeypatch.delenv("ADMIN_FULL_DEPARTMENTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment() == Settings(
        database=(tmp_path / "admin.sqlite3").resolve(), full_departments=frozenset()
    )


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from admin.settings import Settings

    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / "a b?#%.sqlite3"))
    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "2, 3,")
    assert Settings.from_environment() == Settings(
        database=(tmp_path / "a b?#%.sqlite3").resolve(), full_departments=frozenset({2, 3})
    )


def test_a_department_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from admin.settings import Settings

    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "attic")
    with pytest.raises(ValueError, match="attic"):
        Settings.from_environment()
