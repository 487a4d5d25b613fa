"""The commands, on real databases; those that import an application, or have a terminal, in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from textwrap import dedent
from time import time
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import pytest
from fastsoy_events_durable.commands import app
from typer.testing import CliRunner

from tests.command_line import environment, shown_on_terminal
from tests.postgresql import new_postgresql, postgresql_server  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgresql import Database

COMMAND = (sys.executable, "-P", "-c", "from fastsoy_events_durable.commands import app; app()")
ENVIRONMENT = "FASTSOY_EVENTS_DURABLE_URL"
URL = "sqlite+aiosqlite:///shop.sqlite3"
DAY = 86400
SECRET = "correct-horse"  # noqa: S105 - that it is nowhere shown is the test
INSERT = """
INSERT INTO fastsoy_events_publication
    (event_id, event, handler, key, payload, status, attempts, due, error, created, done)
VALUES ('{event_id}', 'order.placed', '{handler}', {key}, '{payload}', '{status}', {attempts}, 0, {error}, {created},
    {done})
"""
SHOP = """
    from fastsoy_events import on
    from fastsoy_events_durable import Durable

    print("the shop says hello")
    durable = Durable("sqlite+aiosqlite:///shop.sqlite3")

    @durable.on("order.placed", id="mail.send")
    async def mail(**payload): ...
"""


class Result(Protocol):
    """What became of a command."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a command in a process of its own."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder with an application and its database."""

    folder: Path

    def run(self, *arguments: str) -> Result:
        """Run a command that imports no application in this process: starting one takes longer than all else."""
        if "--app" in arguments:
            return self.run_alone(*arguments)
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(app, arguments, env={ENVIRONMENT: None}, catch_exceptions=False)

    def run_alone(self, *arguments: str, **changes: str) -> Result:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=surroundings(changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ended(exit_code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    def say(self, *arguments: str) -> str:
        """Run what must go well, and return its output."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.say(*arguments, "--json"))
        assert next(iter(document.items())) == ("schema", 1)
        return document

    def on_terminal(self, *arguments: str, types: str = "") -> str:
        """Return what a command shows on a terminal, where somebody types something."""
        changed = surroundings({"TERM": "xterm-256color"})
        return shown_on_terminal([*COMMAND, *arguments], self.folder, changed, width=100, types=types)

    def write(self, module: str, source: str) -> None:
        (self.folder / f"{module}.py").write_text(dedent(source), encoding="utf-8")

    def query(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "shop.sqlite3")) as connection, connection:
            return list(connection.execute(statement))

    def store(self, status: str, handler: str = "mail.send", **columns: Any) -> None:
        self.query(insertion(status, handler, **columns))

    def statuses(self) -> list[tuple[int, str]]:
        return self.query("SELECT sequence, status FROM fastsoy_events_publication ORDER BY sequence")


def surroundings(changes: dict[str, str]) -> dict[str, str]:
    return environment({"FASTSOY_EVENTS_ALLOWED": "fastsoy-events-durable", **changes})


def insertion(
    status: str, handler: str = "mail.send", *, age: float = 0, error: str = "NULL", key: str = "NULL"
) -> str:
    created = time() - age
    is_over = status in {"completed", "failed"}
    return INSERT.format(
        event_id=os.urandom(16).hex(),
        handler=handler,
        key=key,
        payload=json.dumps({"note": SECRET}),
        status=status,
        attempts=5 if status == "failed" else 0,
        error=error,
        created=created,
        done=created if is_over else "NULL",
    )


@pytest.fixture
def empty(tmp_path: Path) -> Shop:
    """Return a folder with an application that has no database yet."""
    shop = Shop(tmp_path)
    shop.write("shop", SHOP)
    return shop


@pytest.fixture
def shop(empty: Shop) -> Shop:
    empty.say("migrate", "--url", URL)
    return empty


# status


def test_status_counts_by_handler_and_status(shop: Shop) -> None:
    for status in ("published", "processing", "completed", "completed", "failed"):
        shop.store(status, age=60)
    shop.store("completed", "audit.write")
    lines = [re.split(" {2,}", line) for line in shop.say("status", "--app", "shop").splitlines()]
    assert lines[0] == ["handler", "published", "processing", "completed", "failed", "oldest open"]
    assert lines[1] == ["audit.write", "0", "0", "1", "0", "-"]
    assert lines[2][:5] == ["mail.send", "1", "1", "2", "1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", lines[2][5])


def test_status_as_json(shop: Shop) -> None:
    shop.store("published")
    [row] = shop.json("status", "--app", "shop")["handlers"]
    assert list(row) == ["database", "handler", "published", "processing", "completed", "failed", "oldest_open"]
    assert {**row, "oldest_open": None} == {
        "database": URL,
        "handler": "mail.send",
        "published": 1,
        "processing": 0,
        "completed": 0,
        "failed": 0,
        "oldest_open": None,
    }


def test_an_empty_table_is_no_error(shop: Shop) -> None:
    for command in ("status", "failed"):
        result = shop.run(command, "--url", URL)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.startswith("note: nothing ")
    assert shop.json("failed", "--url", URL) == {"schema": 1, "failed": []}


def test_a_terminal_gets_a_table(shop: Shop) -> None:
    shop.store("published")
    assert "─" in shop.on_terminal("status", "--url", URL)


# failed


def test_failed_lists_the_newest_first_without_payloads_and_without_escape_sequences(shop: Shop) -> None:
    shop.store("failed", error="'ValueError: one'")
    shop.store("published")
    shop.store("failed", error="'ValueError: \x1b[31mtwo\nlines'", key="'17'")
    shown = shop.say("failed", "--url", URL)
    _, *lines = [re.split(" {2,}", line) for line in shown.splitlines()]
    assert [line[0] for line in lines] == ["3", "1"]
    assert lines[0][1:5] == ["mail.send", "order.placed", "17", "5"]
    assert lines[0][-1] == "ValueError: [31mtwo lines"
    assert SECRET not in shown


def test_failed_as_json_has_no_more_than_asked_for(shop: Shop) -> None:
    for _ in range(3):
        shop.store("failed")
    rows = shop.json("failed", "--url", URL, "--limit", "2")["failed"]
    assert [row["sequence"] for row in rows] == [3, 2]
    assert list(rows[0]) == [
        "database",
        "sequence",
        "event_id",
        "event",
        "handler",
        "key",
        "attempts",
        "error",
        "created",
        "done",
    ]


# retry


def test_retry_takes_numbers_or_all(shop: Shop) -> None:
    for status in ("failed", "failed", "failed", "completed"):
        shop.store(status)
    assert shop.json("retry", "2", "--url", URL) == {"schema": 1, "retried": 1, "unknown": []}
    assert shop.statuses() == [(1, "failed"), (2, "published"), (3, "failed"), (4, "completed")]
    result = shop.run("retry", "--all", "--url", URL)
    assert result.stderr == "note: 2 publications will be delivered again\n"
    assert shop.statuses() == [(1, "published"), (2, "published"), (3, "published"), (4, "completed")]
    assert shop.query("SELECT DISTINCT attempts FROM fastsoy_events_publication WHERE status = 'published'") == [(0,)]


def test_retry_names_what_has_not_failed_and_retries_the_rest(shop: Shop) -> None:
    for status in ("failed", "completed"):
        shop.store(status)
    result = shop.run("retry", "1", "2", "99", "--url", URL)
    assert result.exit_code == 2
    assert "nothing that failed has the number 2, 99" in result.stderr
    assert shop.statuses() == [(1, "published"), (2, "completed")]


@pytest.mark.parametrize("arguments", [[], ["1", "--all"]])
def test_retry_has_to_know_which(shop: Shop, arguments: list[str]) -> None:
    shop.store("failed")
    result = shop.run("retry", *arguments, "--url", URL)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "or --all" in result.stderr
    assert shop.statuses() == [(1, "failed")]


# purge


def test_purge_deletes_only_what_completed_long_ago(shop: Shop) -> None:
    for status in ("completed", "failed", "published", "processing"):
        shop.store(status, age=40 * DAY)
    shop.store("completed", age=20 * DAY)
    assert shop.json("purge", "--older-than", "30d", "--yes", "--url", URL) == {"schema": 1, "deleted": 1}
    assert [number for number, _ in shop.statuses()] == [2, 3, 4, 5]


def test_purge_deletes_nothing_that_nobody_has_confirmed(shop: Shop) -> None:
    shop.store("completed", age=DAY)
    result = shop.run("purge", "--older-than", "1h", "--url", URL)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: nothing was deleted: add --yes to delete without being asked\n",
    )
    assert "[y/N]" in shop.on_terminal("purge", "--older-than", "1h", "--url", URL, types="n\n")
    assert shop.statuses() == [(1, "completed")]
    shown = shop.on_terminal("purge", "--older-than", "1h", "--url", URL, types="y\n")
    assert "1 publication deleted" in shown
    assert shop.statuses() == []


def test_purge_shows_on_a_terminal_how_far_it_is(shop: Shop) -> None:
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
    columns = "event_id, event, handler, payload, status, attempts, due, created, done"
    shop.query(
        f"{numbers} INSERT INTO fastsoy_events_publication ({columns}) "  # noqa: S608 - nothing here is anybody's input
        "SELECT i, 'order.placed', 'mail.send', '{}', 'completed', 1, 0, 0, 0 FROM n"
    )
    shown = shop.on_terminal("purge", "--older-than", "0s", "--yes", "--url", URL)
    assert "deleted: 2,500" in shown
    assert "2500 publications deleted" in shown


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", ""])
def test_purge_takes_an_age_with_a_unit(shop: Shop, age: str) -> None:
    shop.store("completed", age=DAY)
    result = shop.run("purge", "--older-than", age, "--yes", "--url", URL)
    assert result.exit_code == 2
    assert "such as 30d" in result.stderr
    assert shop.statuses() == [(1, "completed")]


# orphans


def test_orphans_are_what_neither_application_nor_plugin_declares(shop: Shop) -> None:
    for handler in ("mail.send", "letter.print", "letter.print"):
        shop.store("published", handler)
    shop.store("completed", "fax.send")
    for options in (["--app", "shop"], ["--app", "shop", "--url", URL]):
        [orphan] = shop.json("orphans", *options)["orphans"]
        assert (orphan["handler"], orphan["event"], orphan["publications"]) == ("letter.print", "order.placed", 2)
    assert shop.say("orphans", "--app", "shop").splitlines()[1].startswith("letter.print  order.placed  2  ")


def test_plugins_may_have_an_object_each_for_one_database(shop: Shop) -> None:
    shop.write("two", SHOP.replace("mail.send", "letter.print").replace("print(", "import shop; print("))
    for handler in ("mail.send", "letter.print", "fax.send"):
        shop.store("published", handler)
    assert [row["handler"] for row in shop.json("orphans", "--app", "two")["orphans"]] == ["fax.send"]
    assert len(shop.json("status", "--app", "two")["handlers"]) == 3


def test_orphans_need_the_application(shop: Shop) -> None:
    result = shop.run("orphans", "--url", URL)
    assert result.exit_code == 2
    assert "give --app MODULE" in result.stderr


# migrate


def test_migrate_makes_the_tables_and_may_be_run_again(empty: Shop) -> None:
    assert empty.json("migrate", "--app", "shop") == {"schema": 1, "databases": [URL]}
    assert empty.run("migrate", "--url", URL).stderr == f"note: the tables are there: {URL}\n"
    tables = {name for (name,) in empty.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"fastsoy_events_publication", "fastsoy_events_inbox"} <= tables


# Which database


def test_the_url_may_stand_in_the_environment_where_nobody_else_reads_it(shop: Shop) -> None:
    shop.store("published")
    assert "mail.send" in shop.run_alone("status", **{ENVIRONMENT: URL}).stdout


def test_the_table_may_have_another_name(empty: Shop) -> None:
    empty.say("migrate", "--url", URL, "--table", "outbox")
    assert empty.json("status", "--url", URL, "--table", "outbox") == {"schema": 1, "handlers": []}
    assert "`fastsoy-events durable migrate` makes it" in empty.run("status", "--url", URL).stderr


def test_what_the_application_prints_is_no_result(shop: Shop) -> None:
    result = shop.run("status", "--app", "shop", "--json")
    assert json.loads(result.stdout) == {"schema": 1, "handlers": []}
    assert "the shop says hello" in result.stderr


def test_numbers_of_several_databases_are_refused(shop: Shop) -> None:
    shop.write(
        "two", 'import shop\nfrom fastsoy_events_durable import Durable\nother = Durable("sqlite+aiosqlite:///o.db")'
    )
    shop.store("failed")
    result = shop.run("retry", "1", "--app", "two")
    assert result.exit_code == 2
    assert "choose one by --url" in result.stderr
    assert shop.statuses() == [(1, "failed")]


TORTOISE = """
    from fastsoy_events_durable import Durable
    durable = Durable.tortoise("default")

    @durable.on("order.placed", id="mail.send")
    async def mail(**payload): ...
"""


def test_an_application_on_tortoise_needs_the_url_beside_it(shop: Shop) -> None:
    shop.write("turtle", TORTOISE)
    shop.store("published", "letter.print")
    result = shop.run("status", "--app", "turtle")
    assert result.exit_code == 2
    assert "takes --url" in result.stderr
    [orphan] = shop.json("orphans", "--app", "turtle", "--url", URL)["orphans"]
    assert orphan["handler"] == "letter.print"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--app MODULE of the application, or --url"),
        (["--app", "nowhere"], "No module named 'nowhere'"),
        (["--app", "shop:missing"], "has no attribute 'missing'"),
        (["--app", "leaving"], "SystemExit"),
        (["--app", "json"], "makes a Durable object"),
        (["--url", f"postgresql://me:{SECRET}@host/shop"], "postgresql:// is none: write postgresql+asyncpg://"),
        (["--url", f"postgres://me:{SECRET}@host/shop"], "postgres:// is none: write postgresql+asyncpg://"),
        (["--url", f"postgresql+psycopg2://me:{SECRET}@host/shop"], "is not installed"),
        (["--url", f"postgresql+asyncpg://me:a@b:{SECRET}@host/shop"], "%40"),
        (["--url", f"no url with {SECRET}"], "a URL of SQLAlchemy is wanted"),
        (["--url", f"mysql+aiomysql://me:{SECRET}@host/shop"], "is not installed"),
        (["--url", "sqlite+aiosqlite://"], "in memory"),
        (["--url", "sqlite+aiosqlite:///missing.sqlite3"], "there is no file missing.sqlite3"),
        (["--url", "sqlite+aiosqlite:///shop.py"], "file is not a database"),
        (["--url", "sqlite+aiosqlite:///empty.sqlite3"], "`fastsoy-events durable migrate` makes it"),
    ],
)
def test_what_cannot_be_managed_is_said_in_one_line(empty: Shop, arguments: list[str], said: str) -> None:
    empty.write("leaving", "raise SystemExit(3)")
    (empty.folder / "empty.sqlite3").touch()
    result = empty.run("status", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert SECRET not in result.stderr
    assert "Traceback" not in result.stderr
    assert not (empty.folder / "missing.sqlite3").exists()


def test_a_database_that_is_down_is_an_error_without_its_password(empty: Shop) -> None:
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        url = f"postgresql+asyncpg://me:{SECRET}@127.0.0.1:{port}/shop"
        result = empty.run("status", "--url", url, "--traceback")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: the database does not answer")
    assert "Traceback" in result.stderr
    assert SECRET not in result.stderr


def test_a_reader_that_leaves_is_no_error(shop: Shop) -> None:
    for _ in range(3):
        shop.store("failed")
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [*COMMAND, "failed", "--url", URL],
        cwd=shop.folder,
        env=surroundings({}),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode == 0


# PostgreSQL


async def store_in(database: Database, *statuses: str) -> None:
    connection = await asyncpg.connect(**database.credentials)
    for status in statuses:
        await connection.execute(insertion(status, age=40 * DAY))
    await connection.close()


def test_all_of_it_on_postgresql(empty: Shop, request: pytest.FixtureRequest) -> None:
    database: Database = request.getfixturevalue("new_postgresql")()
    at = ["--url", database.url]
    assert "`fastsoy-events durable migrate` makes it" in empty.run("status", *at).stderr
    empty.say("migrate", *at)
    asyncio.run(store_in(database, "failed", "failed", "completed", "published"))
    [row] = empty.json("status", *at)["handlers"]
    assert [row[name] for name in ("published", "processing", "completed", "failed")] == [1, 0, 1, 2]
    assert [each["sequence"] for each in empty.json("failed", *at)["failed"]] == [2, 1]
    assert empty.json("retry", "1", *at)["retried"] == 1
    assert empty.json("purge", "--older-than", "30d", "--yes", *at)["deleted"] == 1
    assert empty.json("orphans", "--app", "shop", *at) == {"schema": 1, "orphans": []}
    [row] = empty.json("status", *at)["handlers"]
    assert [row[name] for name in ("published", "processing", "completed", "failed")] == [2, 0, 0, 1]
