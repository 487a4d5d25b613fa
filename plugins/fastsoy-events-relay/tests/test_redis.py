"""Redis over a connection that breaks at the worst moment: what was read, or acknowledged, and nobody was told."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Relay

from fastsoy_events import on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.usefixtures("loaded"), pytest.mark.parametrize("kind", ["redis"], indirect=True)]

PATIENCE = 30  # seconds for what is to happen


class Breaking:
    """A way to a server that breaks a connection where certain words would pass it, as often as is asked for.

    Args:
        port: the server's.
    """

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._words = b""
        self._left = 0
        self._has_broken = asyncio.Event()
        self._connections: list[asyncio.Task[None]] = []

    def break_at(self, words: bytes, times: int) -> None:
        self._words, self._left = words, times
        self._has_broken.clear()

    async def broken(self) -> None:
        """Wait until it has broken so many."""
        await asyncio.wait_for(self._has_broken.wait(), PATIENCE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Breaking]:
        listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            listener.close()
            await asyncio.wait(self._connections)

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(asyncio.create_task(self._stand_between(reader, writer)))

    async def _stand_between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [self._pass_on(reader, far_writer), self._pass_on(far_reader, writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, far_writer):
            each.close()
        await asyncio.wait(tasks)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while words := await reader.read(65536):
                if self._left and self._words in words:
                    self._left -= 1
                    if not self._left:
                        self._has_broken.set()
                    return
                writer.write(words)
                await writer.drain()


class Handled:
    """What a handler was given, and a way to wait for it."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._is_new = asyncio.Event()

        @on("thing.made")
        async def handle(number: int, **_: object) -> None:
            self.numbers.append(number)
            self._is_new.set()

    async def until(self, *numbers: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while set(self.numbers) != set(numbers):
                self._is_new.clear()
                await self._is_new.wait()


def envelope(number: int) -> bytes:
    attributes = {"specversion": "1.0", "id": f"id-{number}", "source": "urn:elsewhere", "type": "thing.made"}
    return json.dumps({**attributes, "data": {"number": number}}).encode()


async def nothing_is_pending(server: Any) -> None:
    async with server.client() as client, asyncio.timeout(PATIENCE):
        while (await client.xpending("fastsoy_events", "hr"))["pending"]:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_what_was_read_and_never_arrived_is_handled_while_the_process_lives(server: Any) -> None:
    handled = Handled()
    async with Breaking(server.port).open() as breaking:
        async with Relay(breaking.url, app="hr", receive=["thing.*"], acknowledge_within=0.5) as relay:
            await server.put(envelope(0))
            await handled.until(0)
            breaking.break_at(b"__data__", times=1)
            await server.put(envelope(1))
            await breaking.broken()
            await server.put(envelope(2))
            await handled.until(0, 1, 2)
            await nothing_is_pending(server)
        assert relay.counts.received == 3


async def test_what_could_not_be_acknowledged_is_acknowledged_later(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fastsoy_events.relay")
    handled = Handled()
    async with Breaking(server.port).open() as breaking:
        async with Relay(breaking.url, app="hr", receive=["thing.*"], acknowledge_within=1.0) as relay:
            breaking.break_at(b"XACK", times=1000)
            await server.put(envelope(0))
            async with asyncio.timeout(PATIENCE):
                while "could not be acknowledged" not in caplog.text:  # noqa: ASYNC110 - nothing else tells of it
                    await asyncio.sleep(0.01)
            breaking.break_at(b"XACK", times=0)
            await nothing_is_pending(server)
        assert (handled.numbers, relay.counts.received) == ([0], 1)
