"""A program that uses the relay; `conftest.py` starts it with its settings, as JSON.

It appends a line to a file for each event that it handles, so that what it did survives it, and it talks by lines:
`open` once its relay is, `at N` once the file has as many different lines as are asked for, `duplicates N` at its end.
Told `emit N M`, it emits the events from N to before M.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

settings: dict[str, Any] = json.loads(sys.argv[1])
sys.path[:0] = settings["path"]

from fastsoy_events_relay import Relay  # noqa: E402 - as above

from fastsoy_events import emit, load_plugins, on  # noqa: E402 - found only now

log = os.open(settings["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
handled = set(Path(settings["log"]).read_text("utf-8").split())
finished = asyncio.Event()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(number: int) -> None:
    handled.add(str(number))
    if len(handled) in settings.get("say_at", ()):
        say(f"at {len(handled)}")


def may_die(many: int) -> None:
    if many == settings.get("die_at"):
        os.kill(os.getpid(), settings["die_by"])


def declare() -> Any:
    """Declare the handler, and return what delivers to it, where it is a durable one."""
    if "durable" not in settings:

        @on("thing.made")
        async def handle(number: int, **_: object) -> None:
            os.write(log, f"{number}\n".encode())
            note(number)
            may_die(len(handled))

        return None
    from fastsoy_events_durable import Durable
    from sqlalchemy import text

    durable = Durable(settings["durable"])

    @durable.on("thing.made", id="effect.write", tx=True)
    async def write(tx: Any, number: int, **_: object) -> None:
        await tx.execute(text("INSERT INTO effect VALUES (:number)"), {"number": number})
        note(number)

    arrived: set[int] = set()

    @on("thing.made")
    async def arrive(number: int, **_: object) -> None:
        """Run when it is recorded that the event was received, and not yet acknowledged."""
        arrived.add(number)
        may_die(len(arrived))

    return durable


async def obey() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            _, first, last = line.split()
            for number in range(int(first), int(last)):
                await emit("thing.made", number=number)
    finally:
        transport.close()


async def main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, finished.set)
    durable = declare()
    async with AsyncExitStack() as stack:
        if durable is not None:
            await durable.migrate()
            stack.push_async_callback(durable.close)
            await stack.enter_async_context(durable.running(lease=1.5, poll=0.2))
        relay = await stack.enter_async_context(Relay(settings["url"], durable=durable, **settings["relay"]))
        obeying = asyncio.create_task(obey())
        say("open")
        await finished.wait()
        obeying.cancel()
        await asyncio.wait([obeying])
    say(f"duplicates {relay.counts.duplicates}")


load_plugins(path=settings["path"][:1], strict=True)
asyncio.run(main())
