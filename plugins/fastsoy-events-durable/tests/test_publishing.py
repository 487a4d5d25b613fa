"""What an emit stores, and when."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import json
import uuid
from contextlib import suppress
from enum import Enum
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_durable import Durable, DurableError, PayloadError, current_event_id

from fastsoy_events import bus, deferred, emit, load_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from fastsoy_events import EventBus


def ignore(**payload: object) -> None: ...


@pytest.fixture
def mailed(application: Any) -> list[Any]:
    """Declare two durable handlers, which never run here, and an ordinary one."""

    @application.durable.on("person.created", id="mail.send")
    async def mail(name: object) -> None: ...

    @application.durable.on("person.created", id="audit.write")
    def audit(name: object) -> None: ...

    ordinary: list[Any] = []

    @bus.on("person.created")
    async def note(name: object) -> None:
        ordinary.append((name, await application.rows("handler"), current_event_id()))

    return ordinary


BOTH = ["mail.send published", "audit.write published"]
NAMES = ["mail.send", "audit.write"]


async def test_in_a_transaction_the_rows_are_committed_with_it_and_ordinary_handlers_wait(
    application: Any, mailed: list[Any]
) -> None:
    async with application.unit() as unit, unit.atomic():
        await unit.insert("ada")
        assert await emit("person.created", name="ada") == ()
        assert (await application.rows(), mailed) == ([], [])
    assert await application.rows() == BOTH
    event_ids = await application.rows("event_id")
    assert mailed == [("ada", NAMES, event_ids[0])]
    assert len(set(event_ids)) == 1
    assert await application.rows("payload") == ['{"name":"ada"}'] * 2
    assert await application.rows("attempts") == [0, 0]


async def test_what_is_rolled_back_has_no_rows(application: Any, mailed: list[Any]) -> None:
    with suppress(ZeroDivisionError):
        async with application.unit() as unit, unit.atomic():
            await unit.insert("ada")
            await emit("person.created", name="ada")
            raise ZeroDivisionError
    assert (await application.rows(), await application.store.names(), mailed) == ([], set(), [])


async def test_a_savepoint_that_fails_takes_its_own_rows_along(application: Any, mailed: list[Any]) -> None:
    async with application.unit() as unit, unit.atomic():
        await emit("person.created", name="ada")
        with suppress(ZeroDivisionError):
            async with unit.atomic():
                await emit("person.created", name="ben")
                raise ZeroDivisionError
        async with unit.atomic():
            await emit("person.created", name="cleo")
    assert await application.rows("payload") == ['{"name":"ada"}'] * 2 + ['{"name":"cleo"}'] * 2


async def test_outside_of_a_transaction_the_rows_are_there_before_ordinary_handlers_run(
    application: Any, mailed: list[Any]
) -> None:
    assert await emit("person.created", name="ada") == ()
    assert [seen for _, seen, _ in mailed] == [NAMES]
    assert await application.rows() == BOTH


async def test_in_a_deferred_block_the_rows_are_stored_at_its_good_end(application: Any, mailed: list[Any]) -> None:
    async with deferred():
        await emit("person.created", name="ada")
        assert await application.rows() == []
    assert [seen for _, seen, _ in mailed] == [NAMES]
    with suppress(ZeroDivisionError):
        async with deferred():
            await emit("person.created", name="ben")
            raise ZeroDivisionError
    assert await application.rows("payload") == ['{"name":"ada"}'] * 2


async def test_each_emit_has_an_id_of_its_own(application: Any, mailed: list[Any]) -> None:
    for _ in range(2):
        await emit("person.created", name="ada")
    assert len(set(await application.rows("event_id"))) == 2
    assert current_event_id() is None


async def test_events_without_durable_handlers_store_nothing(application: Any, mailed: list[Any]) -> None:
    seen: list[Any] = []
    bus.on("person.left")(lambda **payload: seen.append((payload, current_event_id())))
    await emit("person.left", name={1, 2})
    assert seen == [({"name": {1, 2}}, None)]
    assert await application.rows() == []


async def test_rows_that_cannot_be_written_fail_the_transaction(application: Any, mailed: list[Any]) -> None:
    await application.store.run("ALTER TABLE fastsoy_events_publication RENAME TO gone")

    async def hire() -> None:
        async with application.unit() as unit, unit.atomic():
            await unit.insert("ada")
            await emit("person.created", name="ada")

    with pytest.raises(Exception, match="fastsoy_events_publication"):
        await hire()
    with pytest.raises(Exception, match="fastsoy_events_publication") as raised:
        await emit("person.created", name="ben")
    assert "`fastsoy-events durable migrate`" in "".join(raised.value.__notes__)
    assert (await application.store.names(), mailed) == (set(), [])


async def test_rows_that_cannot_be_written_show_no_payload(
    application: Any, mailed: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    secret = uuid.uuid4().hex
    await application.store.run("ALTER TABLE fastsoy_events_publication RENAME TO gone")
    async with deferred():
        await emit("person.created", name=secret)
    assert "What was deferred with the event has failed: person.created" in caplog.messages
    assert secret not in caplog.text
    with pytest.raises(Exception, match="fastsoy_events_publication") as raised:
        async with application.unit() as unit, unit.atomic():
            await emit("person.created", name=secret)
    assert secret not in "".join(format_exception(raised.value))


# Payloads


class Colour(Enum):
    RED = "red"


class Itself(list[Any]):
    pass


ITSELF: list[Any] = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datetime.date(2026, 1, 1), "name has a datetime.date"),
        ([decimal.Decimal(1)], "name has a decimal.Decimal"),
        ({"id": uuid.UUID(int=1)}, "name has a uuid.UUID"),
        (b"ada", "name has a builtins.bytes"),
        ({1, 2}, "name has a builtins.set"),
        (Colour.RED, "name has a .*Colour"),
        (float("nan"), "name has nan, which JSON has no number for"),
        ([float("inf")], "name has inf, which JSON has no number for"),
        ({1: "a"}, "name has a dictionary with a key of type int"),
        ({"a": {None: 1}}, "name has a dictionary with a key of type NoneType"),
        (ITSELF, "name is nested too deep, or contains itself"),
    ],
)
async def test_a_payload_that_is_no_json_is_refused_before_anything_happens(
    sqlite: Any, value: object, reason: str
) -> None:
    ordinary: list[Any] = []
    sqlite.durable.on("person.created", id="mail.send")(ignore)
    bus.on("person.created")(lambda name: ordinary.append(name))

    async def hire() -> None:
        async with sqlite.unit() as unit, unit.atomic():
            await unit.insert("ada")
            await emit("person.created", name=value)

    message = rf'emit\("person.created"\) cannot be kept .*: {reason}\. Emit what JSON has'
    with pytest.raises(PayloadError, match=message):
        await hire()
    assert (await sqlite.rows(), await sqlite.store.names(), ordinary) == ([], set(), [])


@pytest.mark.parametrize("value", ["", "\0", "é\ud800", 2**70, -0.5, [1, [None, True]], {"a": {"b": []}}, {}, None])
async def test_json_comes_back_as_it_was(application: Any, mailed: list[Any], value: object) -> None:
    await emit("person.created", name=value)
    (payload, _) = await application.rows("payload")
    assert json.loads(payload) == {"name": value}


async def test_tuples_become_lists(application: Any, mailed: list[Any]) -> None:
    await emit("person.created", name=("ada", ("ben",)))
    (payload, _) = await application.rows("payload")
    assert json.loads(payload) == {"name": ["ada", ["ben"]]}


# Threads


async def test_a_thread_stores_in_the_event_loop_of_running(application: Any, seen: Any) -> None:
    application.durable.on("item.made", id="item.note")(lambda number: seen.add(number))

    def emit_in_a_block() -> None:
        async def emit_later() -> None:
            async with deferred():
                await emit("item.made", number=2)

        asyncio.run(emit_later())

    async with application.durable.running(poll=60):
        for _ in range(2):  # which leaves the connections as they were
            await emit("item.made", number=0)
            await asyncio.to_thread(bus.emit_sync, "item.made", number=1)
            await asyncio.to_thread(emit_in_a_block)
        await seen.count(6)
    assert sorted(seen.values) == [0, 0, 1, 1, 2, 2]
    assert await application.rows("status || attempts") == ["completed1"] * 6


async def test_what_a_thread_emits_joins_the_transaction_that_it_was_started_in(application: Any) -> None:
    application.durable.on("item.made", id="item.note")(ignore)
    async with application.durable.running(poll=60):
        with suppress(ZeroDivisionError):
            async with application.unit() as unit, unit.atomic():
                await asyncio.to_thread(bus.emit_sync, "item.made", number=1)
                raise ZeroDivisionError
    assert await application.rows() == []


async def test_without_running_a_thread_is_told_what_to_do(application: Any) -> None:
    if application.is_sqlite or "Tortoise" in application.durable.label:
        pytest.skip("any event loop may use SQLite's connections, and Tortoise opens others")
    application.durable.on("item.made", id="item.note")(ignore)
    await emit("item.made", number=1)
    with pytest.raises(DurableError, match=r"belong to another event loop .* Open running\(\)"):
        await asyncio.to_thread(bus.emit_sync, "item.made", number=2)
    await emit("item.made", number=3)
    assert await application.rows("payload") == ['{"number":1}', '{"number":3}']


# What takes part


async def test_without_the_plugin_an_emit_is_a_failure_and_nothing_runs(
    empty_bus: EventBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    durable = Durable(f"sqlite+aiosqlite:///{tmp_path / 'app.sqlite3'}")
    ran: list[str] = []
    durable.on("person.created", id="mail.send")(lambda name: ran.append(name))
    (failure,) = await emit("person.created", name="ada")
    assert isinstance(failure.error, DurableError)
    assert "nothing stored for the durable handler mail.send: the plugin durable" in str(failure.error)
    assert "Call load_plugins() before the first emit" in caplog.text
    with pytest.raises(DurableError, match=r"the plugin durable .* is not loaded, .*: call load_plugins\(\) before"):
        async with durable.running():
            pass
    assert ran == []
    await durable.close()


PLUGIN = """
from __main__ import durable_for_tests as durable

@durable.on("person.created", id="acme.mail")
async def mail(name): ...
"""


async def test_handlers_of_a_plugin_that_is_disabled_get_no_rows(
    sqlite: Any, installed: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import __main__

    monkeypatch.setattr(__main__, "durable_for_tests", sqlite.durable, raising=False)
    (site / "acme_mail.py").write_text(PLUGIN, encoding="utf-8")
    info = site / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[fastsoy.event_handlers]\nmail = acme_mail\n", encoding="utf-8")
    import acme_mail  # type: ignore[import-not-found]  # noqa: F401 - laid down above: something else imports it

    with bus.isolated():
        load_plugins(path=[installed, site], disabled=["acme"], strict=True)
        await emit("person.created", name="ada")
        assert await sqlite.rows() == []
    with bus.isolated():
        load_plugins(path=[installed, site], strict=True)
        (handler,) = bus.handlers("person.created")
        assert (handler.id, handler.source) == ("acme:mail:acme.mail", f"{site / 'acme_mail.py'}:4")
        await emit("person.created", name="ada")
        assert await sqlite.rows() == ["acme.mail published"]
