"""One process of an application with two durable handlers, which the tests tell what to do, and kill.

Its one argument is JSON. Then each line that it reads is a command, answered with `ok` once it is done. In between the
handlers write a line for each delivery: what is on the pipe outlives the process.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastsoy_events_durable import Retry

from fastsoy_events import emit, load_plugins

if TYPE_CHECKING:
    from application import Application

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
application: Application = importlib.import_module(f"on_{OPTIONS['orm']}").make(
    OPTIONS, Retry(attempts=OPTIONS["attempts"], first=0.01)
)
durable = application.durable


def say(line: str) -> None:
    """Write a line at once and whole: nothing of it waits in this process."""
    os.write(1, f"{line}\n".encode())


async def act(number: int, action: str) -> None:
    """Do what the event asks for, if it means this process."""
    name, _, deed = action.partition(":")
    if name not in {OPTIONS["name"], "any"}:
        return
    if deed == "exit":
        os._exit(9)
    say(f"{deed} {number}")
    if deed == "hold":
        await asyncio.Event().wait()
    elif deed == "pause":
        await asyncio.to_thread(sys.stdin.readline)


@durable.on("person.created", id="mail.send")
async def mail(number: int, before: str = "", after: str = "", **_: object) -> None:
    await act(number, before)
    say(f"mailed {number}")
    await act(number, after)


@durable.on("person.created", id="audit.write", tx=True)
async def audit(tx: Any, number: int, audit: str = "", **_: object) -> None:
    await application.insert(tx, "audit", str(number))
    await act(number, audit)


# Commands


async def publish(first: int, last: int, each: int, **actions: str) -> None:
    """Publish what nobody has published before, so many events in each transaction."""
    published = await application.names()
    missing = [number for number in range(first, last + 1) if str(number) not in published]
    for start in range(0, len(missing), each):
        async with application.atomic() as transaction:
            for number in missing[start : start + each]:
                await application.insert(transaction, "person", str(number))
                await emit("person.created", number=number, **actions)


async def roll_back(number: int) -> None:
    with suppress(ZeroDivisionError):
        async with application.atomic() as transaction:
            await application.insert(transaction, "person", str(number))
            await emit("person.created", number=number)
            raise ZeroDivisionError


async def stay_in_transaction(number: int) -> None:
    async with application.atomic() as transaction:
        await application.insert(transaction, "person", str(number))
        await emit("person.created", number=number)
        say(f"in the transaction with {await application.publications(transaction)}")
        await asyncio.Event().wait()


async def emit_outside(number: int, **actions: str) -> None:
    await emit("person.created", number=number, **actions)


async def deliver() -> None:
    """Deliver until nothing is open."""
    async with durable.running(**OPTIONS["settings"]):
        await all_done()


async def publish_and_deliver(first: int, last: int, each: int) -> None:
    async with durable.running(**OPTIONS["settings"]):
        await publish(first, last, each)
        await all_done()


async def all_done() -> None:
    while any(count.status in {"published", "processing"} for count in await durable.counts()):  # noqa: ASYNC110 - it is others who change it
        await asyncio.sleep(0.05)


COMMANDS = {
    function.__name__: function
    for function in (publish, roll_back, stay_in_transaction, emit_outside, deliver, publish_and_deliver)
}


async def main() -> None:
    load_plugins(allowed=["fastsoy-events-durable"], strict=True)
    async with application.opened():
        await durable.migrate()
        say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments = json.loads(line)
            await COMMANDS[name](**arguments)
            say("ok")


if __name__ == "__main__":
    asyncio.run(main())
