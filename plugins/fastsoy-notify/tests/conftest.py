"""A real database, and a bus that holds nothing but what a test puts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tortoise.context import tortoise_test_context

from fastsoy_events import bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastsoy_events import EventBus


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Path]:
    """Open an empty SQLite file with the module's tables."""
    file = tmp_path / "notify.sqlite3"
    async with tortoise_test_context(["fastsoy_notify.models"], f"sqlite://{file}", "fastsoy_notify"):
        yield file


@pytest.fixture
def empty_bus() -> Iterator[EventBus]:
    """Empty the default bus for one test."""
    with bus.isolated() as emptied:
        yield emptied
