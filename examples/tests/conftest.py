"""The example application, on an empty bus and a real SQLite file of its own."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from fastsoy_events import bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI

    Running = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]

FOLDER = Path(__file__).resolve().parents[1] / "admin"
sys.path.insert(0, str(FOLDER))


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """Make the application, on a bus that holds its own handlers alone until it starts."""
    from admin.app import create_app
    from admin.handlers import reserve_desk

    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / "admin.sqlite3"))
    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "2")
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "fastsoy-hr,fastsoy-notify,fastsoy-audit")
    for name in ("DISABLED", "LOCK"):
        monkeypatch.delenv(f"FASTSOY_EVENTS_{name}", raising=False)
    with bus.isolated():
        # The module was imported before the bus was emptied, so it does not declare by itself.
        bus.on("employee.created")(reserve_desk)
        yield create_app()


@pytest.fixture
def running() -> Running:
    """Return what starts the application, talks to it and stops it."""

    @asynccontextmanager
    async def run(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        async with application.router.lifespan_context(application):
            transport = httpx.ASGITransport(application)
            headers = {"X-Actor-Id": "7"}
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client:
                yield client

    return run


@pytest.fixture
async def client(application: FastAPI, running: Running) -> AsyncIterator[httpx.AsyncClient]:
    """Start the application for one test."""
    async with running(application) as opened:
        yield opened
