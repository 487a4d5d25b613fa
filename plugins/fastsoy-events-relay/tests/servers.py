"""NATS and Redis servers of a test's own, each a process on a free port of 127.0.0.1, with its data in a folder.

Where a server's program is not installed, the tests that need it are skipped and say why; with `CI=true` they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import nats
import pytest
import redis.asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.js import JetStreamContext

PATIENCE = 20.0  # seconds for a server to start
FOLDERS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Server(ABC):
    """A server that can be killed, and started again with the data and the port that it had."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    scheme = ""
    program = ""
    package = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @abstractmethod
    def arguments(self) -> list[str]:
        """Return the program's arguments."""

    @abstractmethod
    async def put(self, body: bytes, event: str = "thing.made", stream: str = "fastsoy_events") -> None:
        """Put a message into a stream, as any program may."""

    @abstractmethod
    async def messages(self, stream: str = "fastsoy_events") -> list[bytes]:
        """Return all that a stream holds, in order."""

    @abstractmethod
    async def lose_everything(self) -> None:
        """Lose all data, as a server does that keeps nothing on disk."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether it answers yet."""

    def start(self) -> None:
        path = shutil.which(self.program, path=FOLDERS)
        if path is None:
            missing(
                f"{self.program} is not on the search path: install it, such as with `apt-get install {self.package}`"
            )
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen([path, *self.arguments()], stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{self.program} did not start:\n{(self.folder / 'log').read_text('utf-8', 'replace')}")
            time.sleep(0.01)  # there is nothing to wait on but the port

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _ask(self, words: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(words)
                return connection.recv(4096)
        except OSError:
            return b""


class Nats(Server):
    scheme = "nats"
    program = "nats-server"
    package = "nats-server"

    def arguments(self) -> list[str]:
        return ["--addr", "127.0.0.1", "--port", str(self.port), "--jetstream", "--store_dir", str(self.folder)]

    def answers(self) -> bool:
        return b"INFO" in self._ask(b"")

    async def lose_everything(self) -> None:
        self.kill()
        shutil.rmtree(self.folder / "jetstream")
        self.start()

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        client = await nats.connect(self.url)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def put(self, body: bytes, event: str = "thing.made", stream: str = "fastsoy_events") -> None:
        async with self.jetstream() as jetstream:
            await jetstream.publish(f"{stream}.{event}", body)

    async def messages(self, stream: str = "fastsoy_events") -> list[bytes]:
        async with self.jetstream() as jetstream:
            state = (await jetstream.stream_info(stream)).state
            if not state.messages:
                return []
            found = [await jetstream.get_msg(stream, each) for each in range(state.first_seq, state.last_seq + 1)]
            return [each.data or b"" for each in found]


class Redis(Server):
    scheme = "redis"
    program = "redis-server"
    package = "redis-server"

    def arguments(self) -> list[str]:
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--appendonly", "yes", "--save", "", "--daemonize", "no"),
        ]

    def answers(self) -> bool:
        return b"PONG" in self._ask(b"PING\r\n")

    async def lose_everything(self) -> None:
        async with self.client() as client:
            await client.flushall()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[redis.asyncio.Redis]:
        client = redis.asyncio.Redis(host="127.0.0.1", port=self.port)
        try:
            yield client
        finally:
            await client.aclose()

    async def put(self, body: bytes, event: str = "", stream: str = "fastsoy_events") -> None:  # noqa: ARG002 - it has no subjects
        async with self.client() as client:
            await client.xadd(stream, {"__data__": body})

    async def messages(self, stream: str = "fastsoy_events") -> list[bytes]:
        async with self.client() as client:
            return [fields[b"__data__"] for _, fields in await client.xrange(stream)]


KINDS: dict[str, type[Server]] = {"nats": Nats, "redis": Redis}


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
