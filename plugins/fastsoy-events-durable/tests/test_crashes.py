"""Real processes, killed as the kernel kills them: what must not be lost, and what must not happen twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite("tests.databases")

from tests.databases import PostgresqlStore, SqliteStore, Store, opened  # noqa: E402
from tests.postgresql import new_postgresql, postgresql_server  # noqa: E402, F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PROGRAM = Path(__file__).parent / "programs" / "worker.py"
AUDIT = "CREATE TABLE audit (name VARCHAR(100) NOT NULL)"
OPEN = "SELECT event_id FROM fastsoy_events_publication WHERE status IN ('published', 'processing')"
LONGEST = 120  # seconds that a process may live: then something hangs
EVENTS = 1000
KILLS = (100, 400, 700)  # after how many mails

EVERYWHERE = [(orm, kind) for orm in ("sqlalchemy", "tortoise") for kind in ("sqlite", "postgresql")]
on_each = pytest.mark.parametrize(("orm", "kind"), EVERYWHERE)
on_one_of_each = pytest.mark.parametrize(("orm", "kind"), [EVERYWHERE[0], EVERYWHERE[3]])
on_the_others = pytest.mark.parametrize(("orm", "kind"), [EVERYWHERE[1], EVERYWHERE[2]])
with_two_workers = pytest.mark.parametrize(("orm", "kind"), [each for each in EVERYWHERE if each[1] == "postgresql"])


@dataclass(slots=True)
class Worker:
    """A process of the application.

    Args:
        process: the process.
        log: the file that has what it said of errors.
        lines: what it has written so far.
    """

    process: subprocess.Popen[str]
    log: Path
    lines: list[str] = field(default_factory=list)

    def tell(self, command: str, **arguments: object) -> None:
        """Send a command, and do not wait."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        self.process.stdin.flush()

    def read(self) -> bool:
        """Wait for a line; there is none once the process has died."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line:
            self.lines.append(line.rstrip("\n"))
        return bool(line)

    def read_until(self, line: str) -> None:
        while self.read():
            if self.lines[-1] == line:
                return
        pytest.fail(f"the process ended without {line!r}:\n{self.log.read_text(encoding='utf-8')}")

    def do(self, command: str, **arguments: object) -> None:
        """Send a command, and wait until it is done."""
        self.tell(command, **arguments)
        self.read_until("ok")

    def kill(self) -> None:
        """Kill it; what it wrote before can still be read."""
        self.process.kill()
        while self.read():
            pass
        assert self.process.wait() == -signal.SIGKILL

    def end(self) -> None:
        """Let it come to its end, which it must do well."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait() == 0, self.log.read_text(encoding="utf-8")

    def mailed(self) -> list[int]:
        return [int(line.split()[1]) for line in self.lines if line.startswith("mailed ")]


@pytest.fixture
async def store(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request, kind, tmp_path) as store:
        await store.run(AUDIT)
        yield store


@pytest.fixture
def start(orm: str, store: Store, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Return what starts a process: its name, and what `running()` takes."""
    with ExitStack() as stack:

        def start(name: str = "a", *, attempts: int = 5, **settings: float) -> Worker:
            options = {"name": name, "orm": orm, "attempts": attempts, "settings": settings, **database_of(store)}
            log = tmp_path / "log.txt"
            return stack.enter_context(started(options, log))

        yield start


def database_of(store: Store) -> dict[str, object]:
    if isinstance(store, SqliteStore):
        connection = {"engine": "tortoise.backends.sqlite", "credentials": {"file_path": str(store.file)}}
        return {"url": f"sqlite+aiosqlite:///{store.file}", "connection": connection}
    assert isinstance(store, PostgresqlStore)
    database = store.database
    return {
        "url": database.url,
        "connection": {"engine": "tortoise.backends.asyncpg", "credentials": {**database.credentials, "maxsize": 5}},
    }


@contextmanager
def started(options: dict[str, Any], log: Path) -> Iterator[Worker]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTSOY_EVENTS_")}
    with (
        log.open("a", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=kept,
        ) as process,
    ):
        timer = Timer(LONGEST, process.kill)
        timer.start()
        try:
            worker = Worker(process, log)
            worker.read_until("ready")
            yield worker
        finally:
            timer.cancel()
            process.kill()


async def names(store: Store, table: str) -> Counter[str]:
    return Counter(await store.run(f"SELECT name FROM {table}"))  # noqa: S608 - the tests' own tables


# Killed while it works


@on_each
async def test_killed_three_times_it_loses_nothing_and_what_is_in_the_database_happens_once(
    store: Store, start: Callable[..., Worker]
) -> None:
    mailed: list[int] = []
    for mails in KILLS:
        worker = start(lease=1.0)
        worker.tell("publish_and_deliver", first=1, last=EVENTS, each=10)
        while len(mailed) + len(worker.mailed()) < mails and worker.read():
            pass
        worker.kill()
        assert await store.run(OPEN)  # it was killed amid its work
        mailed += worker.mailed()
    worker = start(lease=1.0)
    worker.do("publish_and_deliver", first=1, last=EVENTS, each=10)
    mailed += worker.mailed()
    worker.end()
    everyone = range(1, EVENTS + 1)
    assert await names(store, "person") == Counter(map(str, everyone))
    assert await names(store, "audit") == Counter(map(str, everyone))
    assert set(mailed) == set(everyone)
    assert len(mailed) - EVENTS <= len(KILLS)


@on_each
async def test_only_what_was_committed_is_delivered(store: Store, start: Callable[..., Worker]) -> None:
    worker = start()
    worker.do("roll_back", number=1)
    worker.do("emit_outside", number=2)
    assert len(await store.run(OPEN)) == 2  # one row for each handler, and nothing has run
    worker.tell("stay_in_transaction", number=3)
    worker.read_until("in the transaction with 4")  # which has its own two as well
    worker.kill()
    assert worker.mailed() == []
    assert len(await store.run(OPEN)) == 2
    survivor = start()
    survivor.do("deliver")
    survivor.end()
    assert survivor.mailed() == [2]
    assert await names(store, "person") == Counter()
    assert await names(store, "audit") == Counter(["2"])


def mailed_around_a_kill(start: Callable[..., Worker], **holds: str) -> list[int]:
    """Kill a worker that delivers three events where it holds, have another one go on, and return what both mailed."""
    worker = start("a", lease=0.5)
    worker.do("publish", first=1, last=3, each=3, **holds)
    worker.tell("deliver")
    worker.read_until("hold 1")
    worker.kill()
    survivor = start("b", lease=0.5)
    survivor.do("deliver")
    survivor.end()
    return sorted(worker.mailed() + survivor.mailed())


@on_one_of_each
async def test_killed_between_an_effect_outside_and_its_note_it_has_that_effect_once_more(
    store: Store, start: Callable[..., Worker]
) -> None:
    mailed = mailed_around_a_kill(start, after="a:hold")
    assert mailed == [1, 1, 2, 3]
    assert await names(store, "audit") == Counter(["1", "2", "3"])


@on_the_others
async def test_killed_between_an_effect_in_the_database_and_its_commit_it_has_that_effect_once(
    store: Store, start: Callable[..., Worker]
) -> None:
    mailed = mailed_around_a_kill(start, audit="a:hold")
    assert await names(store, "audit") == Counter(["1", "2", "3"])
    assert mailed == [1, 2, 3]


@on_one_of_each
async def test_a_payload_that_kills_its_process_fails_while_the_others_complete(
    store: Store, start: Callable[..., Worker]
) -> None:
    worker = start(attempts=3)
    worker.do("publish", first=1, last=6, each=6)
    worker.do("publish", first=7, last=7, each=1, before="any:exit")
    worker.do("publish", first=8, last=20, each=13)
    worker.end()
    deaths, mailed = 0, list[int]()
    for _ in range(10):
        worker = start(attempts=3, lease=0.3)
        worker.tell("deliver")
        while worker.read() and worker.lines[-1] != "ok":
            pass
        mailed += worker.mailed()
        if worker.lines[-1] == "ok":
            worker.end()
            break
        assert worker.process.wait() == 9
        deaths += 1
    assert deaths == 3
    assert sorted(mailed) == [number for number in range(1, 21) if number != 7]
    assert await names(store, "audit") == Counter(map(str, range(1, 21)))
    failed = "SELECT handler || ' ' || attempts FROM fastsoy_events_publication WHERE status = 'failed'"
    assert await store.run(failed) == ["mail.send 3"]
    assert await store.run(OPEN) == []


# Several workers


@with_two_workers
async def test_of_two_workers_the_one_that_is_not_killed_finishes(store: Store, start: Callable[..., Worker]) -> None:
    worker, survivor = start("a", lease=1.0, batch=5), start("b", lease=1.0, batch=5)
    worker.do("publish", first=1, last=200, each=50, before="a:hold")
    worker.tell("deliver")
    worker.read_until("hold 1")
    survivor.tell("deliver")
    while len(survivor.mailed()) < 199 and survivor.read():  # all but what the other one keeps its lease of
        pass
    worker.kill()
    survivor.read_until("ok")
    survivor.end()
    assert sorted(worker.mailed() + survivor.mailed()) == list(range(1, 201))
    assert await names(store, "audit") == Counter(map(str, range(1, 201)))


@with_two_workers
async def test_a_handler_whose_lease_has_ended_leaves_no_second_effect(
    store: Store, start: Callable[..., Worker]
) -> None:
    frozen, other = start("a", lease=0.5), start("b", lease=0.5)
    frozen.do("publish", first=1, last=1, each=1, audit="a:pause")
    frozen.tell("deliver")
    frozen.read_until("pause 1")  # written, in a transaction that nobody has committed
    frozen.process.send_signal(signal.SIGSTOP)
    other.do("deliver")
    assert await names(store, "audit") == Counter(["1"])
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.process.stdin
    frozen.process.stdin.write("\n")
    frozen.process.stdin.flush()
    frozen.read_until("ok")
    frozen.end()
    other.end()
    assert await names(store, "audit") == Counter(["1"])
    assert "longer than its lease" in frozen.log.read_text(encoding="utf-8")
