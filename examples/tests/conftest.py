"""The example application, on an empty bus and a real SQLite file of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
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
PATIENCE = 60  # seconds for the server to say something, or to end


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """Make the application, on a bus that holds its own handlers alone until it starts."""
    from admin.app import create_app
    from admin.handlers import reserve_desk

    monkeypatch.setenv("ADMIN_DATABASE", str(tmp_path / "admin.sqlite3"))
    monkeypatch.setenv("ADMIN_FULL_DEPARTMENTS", "2")
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "fastsoy-hr,fastsoy-notify,fastsoy-audit")
    for name in ("FASTSOY_EVENTS_DISABLED", "FASTSOY_EVENTS_LOCK", "ADMIN_BADGES", "ADMIN_BROKER"):
        monkeypatch.delenv(name, raising=False)
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


@dataclass(slots=True)
class Server:
    """The application as a process of its own: `python -m admin`."""

    process: subprocess.Popen[str]
    lines: SimpleQueue[str]
    address: str = ""

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the server logs a line with a pattern; each line is looked at once."""
        seen: list[str] = []
        while True:
            try:
                seen.append(self.lines.get(timeout=PATIENCE))
            except Empty:
                pytest.fail(f"the server did not log {pattern}:\n{''.join(seen)}")
            if not seen[-1]:
                pytest.fail(f"the server ended, and did not log {pattern}:\n{''.join(seen)}")
            if found := re.search(pattern, seen[-1]):
                return found

    def hire(self, *names: str) -> list[int]:
        """Create employees in a new department, and return their numbers."""
        with httpx.Client(base_url=self.address, trust_env=False, timeout=PATIENCE) as client:
            department = client.post("/hr/departments", json={"name": "Sales"}).raise_for_status().json()["id"]
            bodies = [{"full_name": name, "department_id": department} for name in names]
            answers = [client.post("/hr/employees", json=body, headers={"X-Actor-Id": "7"}) for body in bodies]
        return [answer.raise_for_status().json()["id"] for answer in answers]

    def kill(self) -> None:
        """End it by SIGKILL: it notices nothing of it."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return what starts the application with some settings, as a process of its own; it accepts connections then.

    It may be told to do without a package, as if that were not installed.
    """
    unset = "ADMIN_", "FASTSOY_EVENTS_", "OTEL_"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    servers: list[tuple[Server, Thread]] = []

    def start(without: str = "", **settings: str) -> Server:
        code = f"import sys; sys.modules[{without!r}] = None; from admin.__main__ import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, "--port", "0"],
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
        server = Server(process, SimpleQueue())
        reader = Thread(target=_read, args=(process, server.lines))
        reader.start()
        servers.append((server, reader))
        server.address = server.expect(r"listening on (http://\S+)")[1]
        return server

    yield start
    for server, reader in servers:
        server.kill()
        reader.join()
        with server.process:
            pass


def _read(process: subprocess.Popen[str], lines: SimpleQueue[str]) -> None:
    assert process.stderr
    for line in process.stderr:
        lines.put(line)
    lines.put("")
