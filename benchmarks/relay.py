"""The relay: events a second through NATS, from one process to another, and what an emit costs meanwhile.

`python -m benchmarks.relay WAY URL EVENTS` measures one turn in fresh processes; `measure` runs many.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.competitors import KEYWORDS
from benchmarks.processes import reason_against
from benchmarks.summary import Summary, ratios, rotated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from faststream.nats.message import NatsBatchMessage

    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

EVENT = "employee.created"
DISTRIBUTION = "fastsoy-events-relay"
IN_FLIGHT = 100
AT_ONCE = 128  # messages that FastStream alone sends before it waits for the acknowledgements, as the relay does
FULL_EVENTS, QUICK_EVENTS = 10_000, 1000
MOST_ROUNDS = 7
PATIENCE = 20.0  # seconds for the server to start

METHOD = f"""\
One process emits, another one handles; a NATS server on the same machine keeps the events in a file. Each turn is two
fresh processes and a stream of its own. The seconds are from before the first emit until the last event's handler has
run. FastStream alone is the same without a bus and an envelope: {AT_ONCE} messages sent at a time, each with an id and
acknowledged by the server, in batches of {IN_FLIGHT} to a subscriber that parses the JSON and acknowledges each.
An emit: one handler that does nothing; the median of its microseconds while the relay's queue has room. Where the
broker is killed and started: the largest of three medians, which are before, while it is dead, and until it is back."""


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure the relay beside FastStream alone.

    Returns:
        `missing`, `events`, `through` (events a second) and `emit` (seconds), ready for JSON.
    """
    missing = {
        module: reason
        for module in ("fastsoy_events_relay", "faststream.nats")
        if (reason := reason_against(f"import {module}"))
    }
    if _program() is None:
        missing["nats-server"] = "not on the search path: Debian's package nats-server has it"
    rounds = min(settings.rounds, MOST_ROUNDS)
    events = FULL_EVENTS if rounds == MOST_ROUNDS else QUICK_EVENTS
    if missing:
        return {"missing": missing, "events": events, "through": {}, "emit": {}}
    progress.begin("relay", rounds * len(TURNS))
    samples: dict[str, list[float]] = {way: [] for way in TURNS}
    for number in range(rounds):
        for place in rotated(len(TURNS), number):
            way = list(TURNS)[place]
            samples[way].append(_turn(way, events))
            progress.step()
    return {"missing": {}, "events": events, **_summed_up(samples)}


def _summed_up(samples: dict[str, list[float]]) -> dict[str, Any]:
    through = {way: asdict(Summary.of(samples[way])) for way in THROUGH}
    ratio = asdict(ratios(samples["relay"], samples["FastStream alone"]))
    emits = {way: asdict(Summary.of(samples[way])) for way in EMITS}
    return {"through": through, "ratio": ratio, "emit": emits}


def _turn(way: str, events: int) -> float:
    with _server() as server:
        command = [sys.executable, "-m", "benchmarks.relay", way, server.url, str(events)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - made here
    if finished.returncode:
        raise RuntimeError(finished.stderr.strip().rpartition("\n")[2] or f"exit code {finished.returncode}")
    return float(finished.stdout)


# The server


def _program() -> str | None:
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")


class _Server:
    """A NATS server that can be killed, and started again with the data and the port that it had."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port = listener.getsockname()[1]
        self._arguments = ["--addr", "127.0.0.1", "--port", str(self._port), "--jetstream", "--store_dir", folder]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [_program() or "", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - made here
        _wait_for(self._port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def _server() -> Generator[_Server]:
    with tempfile.TemporaryDirectory(prefix="benchmark-nats-") as folder:
        server = _Server(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _wait_for(port: int) -> None:
    until = monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if monotonic() > until:
                raise
            sleep(0.01)
        else:
            return


# One turn: the relay


def _load() -> None:
    from fastsoy_events import load_plugins

    logging.disable(logging.ERROR)  # that the other plugins are blocked, and that no broker is there
    load_plugins(allowed=[DISTRIBUTION], strict=True)


async def _relay_receives(url: str, events: int) -> None:
    from fastsoy_events_relay import Relay

    from fastsoy_events import on

    _load()
    done = asyncio.Event()
    handled = 0

    @on(EVENT)
    async def handle(**_: object) -> None:
        nonlocal handled
        handled += 1
        if handled == events:
            done.set()

    async with Relay(url, app="payroll", receive=[EVENT], in_flight=IN_FLIGHT):
        await _tell_and_wait(done)


async def _relay_sends(url: str, events: int) -> float:
    from fastsoy_events_relay import Relay

    from fastsoy_events import emit

    _load()
    async with Relay(url, app="hr", forward=["employee.*"], queue_size=events):
        receiver = await _receiver("relay", url, events)
        started = perf_counter()
        for _ in range(events):
            await emit(EVENT, **KEYWORDS)
        return await _seconds_until_done(receiver, started)


# One turn: FastStream alone


async def _alone_receives(url: str, events: int) -> None:
    from faststream import AckPolicy
    from faststream.nats import JStream, NatsBroker, PullSub
    from nats.js.api import DeliverPolicy

    done = asyncio.Event()
    handled = 0
    broker = NatsBroker(url, logger=None, apply_types=False)

    async def itself(message: NatsBatchMessage) -> NatsBatchMessage:
        return message

    @broker.subscriber(
        "alone.>",
        durable="payroll",
        stream=JStream("alone", subjects=["alone.>"]),
        deliver_policy=DeliverPolicy.ALL,
        pull_sub=PullSub(batch_size=IN_FLIGHT, timeout=0.2, batch=True),
        ack_policy=AckPolicy.MANUAL,
        decoder=itself,
    )
    async def handle(batch: NatsBatchMessage) -> None:
        nonlocal handled
        for message in batch.raw_message:
            json.loads(message.data)
            await message.ack()
            handled += 1
        if handled == events:
            done.set()

    await broker.start()
    await _tell_and_wait(done)
    await broker.stop()


async def _alone_sends(url: str, events: int) -> float:
    from faststream.nats import NatsBroker

    broker = NatsBroker(url, logger=None, apply_types=False)
    await broker.start()
    receiver = await _receiver("FastStream alone", url, events)
    started = perf_counter()
    for first in range(0, events, AT_ONCE):
        await asyncio.gather(*(_publish(broker) for _ in range(min(AT_ONCE, events - first))))
    seconds = await _seconds_until_done(receiver, started)
    await broker.stop()
    return seconds


async def _publish(broker: Any) -> None:
    headers = {"Nats-Msg-Id": uuid4().hex}
    await broker.publish(json.dumps(KEYWORDS).encode(), f"alone.{EVENT}", headers=headers, stream="alone", timeout=5)


# What both have in common


async def _tell_and_wait(done: asyncio.Event) -> None:
    print("open", flush=True)
    await done.wait()
    print("done", flush=True)


async def _receiver(way: str, url: str, events: int) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "benchmarks.relay", f"{way}: receive", url, str(events)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    await _expect(process, b"open\n")
    return process


async def _seconds_until_done(receiver: asyncio.subprocess.Process, started: float) -> float:
    await _expect(receiver, b"done\n")
    seconds = perf_counter() - started
    await receiver.wait()
    return seconds


async def _expect(process: asyncio.subprocess.Process, line: bytes) -> None:
    said = await process.stdout.readline() if process.stdout else b""
    if said != line:
        raise RuntimeError(f"the receiver said {said!r} in place of {line!r}")


# What an emit costs


def _handle() -> None:
    from fastsoy_events import on

    @on(EVENT)
    async def handle(**_: object) -> None: ...


async def _samples(events: int) -> list[float]:
    from fastsoy_events import emit

    samples: list[float] = []
    for number in range(events):
        started = perf_counter()
        await emit(EVENT, **KEYWORDS)
        samples.append(perf_counter() - started)
        if number % 10 == 0:
            await asyncio.sleep(0)  # as an application that also does other things
    return samples


async def _emit_alone(url: str, events: int) -> float:  # noqa: ARG001 - as the others are called
    _load()
    _handle()
    return median(await _samples(events))


async def _emit_forwarded(url: str, events: int) -> float:
    from fastsoy_events_relay import Relay

    _load()
    settings: dict[str, Any] = {"app": "hr", "forward": ["employee.*"], "queue_size": events, "grace": 0.1}
    async with Relay(url, broker_absent="retry", connect_timeout=1.0, **settings):
        _handle()
        return median(await _samples(events))


async def _emit_into_nothing(url: str, events: int) -> float:  # noqa: ARG001 - as the others are called
    """Measure with a broker that has never been there: a port on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return await _emit_forwarded(f"nats://127.0.0.1:{reserved.getsockname()[1]}", events)


async def _emit_across_a_restart(url: str, events: int) -> float:  # noqa: ARG001 - it needs a server that it may kill
    from fastsoy_events_relay import Relay

    _load()
    _handle()
    settings: dict[str, Any] = {"app": "hr", "forward": ["employee.*"], "queue_size": 1_000_000, "grace": 0.1}
    with _server() as server:
        async with Relay(server.url, **settings) as relay:
            before = await _samples(events)
            server.kill()
            dead = await _samples(events)
            while relay.is_connected:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            starting = asyncio.create_task(asyncio.to_thread(server.start))
            until_back: list[float] = []
            while not (starting.done() and relay.is_connected):
                until_back += await _samples(100)
                await asyncio.sleep(0.01)
    return max(map(median, (before, dead, until_back)))


def _as_rate(sends: Callable[[str, int], Awaitable[float]]) -> Callable[[str, int], Awaitable[float]]:
    async def rate(url: str, events: int) -> float:
        return events / await sends(url, events)

    return rate


THROUGH = {"relay": _as_rate(_relay_sends), "FastStream alone": _as_rate(_alone_sends)}
EMITS = {
    "no relay": _emit_alone,
    "broker there": _emit_forwarded,
    "broker dead": _emit_into_nothing,
    "broker killed and started": _emit_across_a_restart,
}
TURNS: dict[str, Callable[[str, int], Awaitable[float]]] = {**THROUGH, **EMITS}
RECEIVERS = {"relay: receive": _relay_receives, "FastStream alone: receive": _alone_receives}


async def _main(way: str, url: str, events: int) -> None:
    if way in RECEIVERS:
        await RECEIVERS[way](url, events)
    else:
        print(await TURNS[way](url, events))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
