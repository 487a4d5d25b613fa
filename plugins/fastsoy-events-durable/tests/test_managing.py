"""What a person does with what is stored."""

from __future__ import annotations

from traceback import format_exception
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_durable import Durable, DurableError, Retry, durables
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from fastsoy_events import emit

if TYPE_CHECKING:
    from pathlib import Path


def ignore(**payload: object) -> None: ...


async def test_rows_are_counted_by_handler_and_status(application: Any, seen: Any) -> None:
    @application.durable.on("item.made", id="item.note", retry=Retry(attempts=1))
    async def note(number: int) -> None:
        await seen.add(number)
        if number == 1:
            raise LookupError

    for number in range(3):
        await emit("item.made", number=number)
    (before,) = await application.durable.counts()
    assert before[:3] == ("item.note", "published", 3)
    assert before.oldest == min(await application.rows("created"))
    async with application.durable.running(poll=60):
        await seen.count(3)
    counts = await application.durable.counts()
    assert [count[:3] for count in counts] == [("item.note", "completed", 2), ("item.note", "failed", 1)]


async def test_failed_ones_are_listed_newest_first_without_their_payload(application: Any) -> None:
    application.durable.on("item.made", id="item.note")(ignore)
    for number in range(3):
        await emit("item.made", number=number)
    await application.change("status = 'failed', done = created, error = 'no'")
    listed = await application.durable.failed(limit=2)
    first, second, third = await application.rows("sequence")
    assert [(each.sequence, each.status, each.error) for each in listed] == [
        (third, "failed", "no"),
        (second, "failed", "no"),
    ]
    assert "payload" not in listed[0]._fields
    assert first < second < third


async def test_what_completed_long_ago_is_purged_in_chunks(application: Any) -> None:
    application.durable.on("item.made", id="item.note")(ignore)
    for number in range(7):
        await emit("item.made", number=number)
    await application.change("status = 'completed', done = created - 100", "payload NOT LIKE '%6%'")
    await application.change("status = 'completed', done = created", "payload LIKE '%0%'")
    await application.change("status = 'failed'", "payload LIKE '%1%'")
    async with application.durable.inbox("hr", "1"):
        pass
    purge = application.durable.purge(older_than=50, chunk=2)
    assert [deleted async for deleted in purge] == [2, 2]
    assert await application.rows("status") == ["completed", "failed", "published"]
    async with application.durable.inbox("hr", "1") as is_new:
        assert not is_new
    assert [deleted async for deleted in application.durable.purge(older_than=-1)] == [1]
    async with application.durable.inbox("hr", "1") as is_new:
        assert is_new


async def test_what_was_archived_long_ago_is_purged_too(application: Any) -> None:
    durable = application.make(completion="archive")
    await durable.migrate()
    columns = "sequence, event_id, event, handler, payload, status, attempts, due, created, done"
    await application.store.run(
        f"INSERT INTO fastsoy_events_publication_archive ({columns}) "  # noqa: S608 - the test's own
        "VALUES (1, 'a', 'item.made', 'item.note', '{}', 'completed', 1, 1, 1, 1) RETURNING sequence"
    )
    assert [deleted async for deleted in durable.purge(older_than=50)] == [1]


async def test_the_tables_are_made_once_and_again_is_no_matter(application: Any) -> None:
    await application.durable.migrate()
    await application.durable.migrate()
    assert await application.rows() == []


async def test_where_they_are_there_nobody_needs_the_right_to_make_them(limited: Any, seen: Any) -> None:
    limited.durable.on("item.made", id="item.note")(lambda number: seen.add(number))
    async with limited.durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(1)
    assert await limited.rows("status") == ["completed"]


async def test_on_sqlite_readers_do_not_wait_and_commits_reach_the_disk(sqlite: Any) -> None:
    assert await sqlite.store.run("PRAGMA journal_mode") == ["wal"]
    async with sqlite.unit() as unit, unit.atomic():
        rows = await unit.session.connection()
        assert (await rows.exec_driver_sql("PRAGMA synchronous")).scalar() == 2


# Which database it is


async def test_a_url_will_do_and_its_password_is_not_shown(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'app.sqlite3'}"
    durable = Durable(url)
    await durable.migrate()
    assert (await durable.counts(), durable.label) == ((), url)
    assert durable in durables()
    await durable.close()
    for url in ("postgresql+asyncpg://ada:secret@db/app", "postgresql+asyncpg://db/app?password=secret"):
        assert "secret" not in Durable(url).label


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgres://app:S3CRET@db/hr", r"postgres:// is none: write postgresql\+asyncpg://$"),
        ("postgresql://app:S3CRET@db/hr", r"postgresql:// is none: write postgresql\+asyncpg://$"),
        ("sqlite:///S3CRET.sqlite3", r"sqlite:// is none: write sqlite\+aiosqlite://$"),
        ("sqlite+pysqlite:///S3CRET.sqlite3", r"sqlite\+pysqlite:// is none: write sqlite\+aiosqlite://$"),
        ("none://app:S3CRET@db/hr", r"none:// is none: write postgresql\+asyncpg://$"),
        ("postgresql+asyncpg//app:S3CRET@db/hr", "cannot be read as one"),
        ("postgresql+asyncpg://app:a@b:S3CRET@db/hr", "write @, : and / in there as %40"),
        ("no url with S3CRET", "a URL of SQLAlchemy is wanted, such as sqlite"),
    ],
)
def test_a_url_that_will_not_do_is_not_quoted(url: str, advice: str) -> None:
    with pytest.raises(DurableError, match=advice) as raised:
        Durable(url)
    assert "S3CRET" not in "".join(format_exception(raised.value))


async def test_an_engine_of_the_applications_is_left_open(sqlite: Any) -> None:
    await sqlite.durable.close()
    await sqlite.durable.migrate()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite+aiosqlite://", "a database in memory, which keeps nothing"),
        ("sqlite+aiosqlite:///:memory:", "a database in memory, which keeps nothing"),
        (create_engine("sqlite:///app.sqlite3"), "takes an AsyncEngine, or a URL such as .*: not a Engine"),
    ],
)
def test_what_can_keep_nothing_is_refused(url: Any, reason: str) -> None:
    with pytest.raises(DurableError, match=reason):
        Durable(url)


async def test_an_engine_in_memory_is_refused_as_well() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    with pytest.raises(DurableError, match="a database in memory"):
        Durable(engine)
    await engine.dispose()


async def test_tortoise_that_is_not_open_says_what_to_do(loaded: object) -> None:
    durable = Durable.tortoise("default")
    with pytest.raises(
        DurableError, match=r"Tortoise's connection default is not there: call Tortoise.init\(\) before"
    ):
        await durable.counts()


def test_completion_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="completion is one of update, delete, archive: not 'keep'"):
        Durable("sqlite+aiosqlite:///app.sqlite3", completion="keep")  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("settings", [{"batch": 0}, {"lease": 0.0}, {"poll": -1.0}, {"grace": -1.0}])
async def test_running_refuses_times_that_cannot_be(sqlite: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"running\(\) takes a batch from 1"):
        async with sqlite.durable.running(**settings):
            pass
