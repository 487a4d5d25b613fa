"""What is stored is delivered: to the right handler, with the right payload, and written as done."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from fastsoy_events_durable import Durable, Retry, current_event_id

from fastsoy_events import HandlerTimeout, bus, emit

ONCE = Retry(attempts=1)
SOON = Retry(attempts=3, first=0.01, jitter=0.0)
request: ContextVar[str] = ContextVar("request", default="none")


def ignore(**payload: object) -> None: ...


def takes_colour(colour: str) -> None: ...


async def test_what_a_transaction_has_stored_is_delivered_after_its_commit(application: Any, seen: Any) -> None:
    @application.durable.on("person.created", id="mail.send")
    async def mail(name: str, **rest: object) -> None:
        await seen.add((name, rest, name in await application.store.names(), current_event_id()))

    async with application.durable.running(poll=60):  # else it would be found anyway, but late
        async with application.unit() as unit, unit.atomic():
            await unit.insert("ada")
            await emit("person.created", name="ada", tags=["a", {"b": None}])
        await seen.count(1)
    (event_id,) = await application.rows("event_id")
    assert seen.values == [("ada", {"tags": ["a", {"b": None}]}, True, event_id)]
    assert await application.rows() == ["mail.send completed"]
    assert await application.rows("attempts") == [1]
    open_values = await application.rows(
        "coalesce(owner, '') || coalesce(cast(lease AS text), '') || coalesce(error, '')"
    )
    assert open_values == [""]
    assert await application.rows("done >= created") == [True]


async def test_what_was_stored_before_is_delivered_at_the_start_in_its_order(application: Any, seen: Any) -> None:
    @application.durable.on("person.created", id="mail.send")
    async def mail(name: str) -> None:
        await seen.add(name)

    names = [f"person {number}" for number in range(25)]
    for name in names:
        await emit("person.created", name=name)
    async with application.durable.running(batch=10, poll=60):
        assert await seen.count(25) == names


async def test_handlers_of_every_kind_are_delivered_to(sqlite: Any, seen: Any) -> None:
    durable: Durable = sqlite.durable
    loop = asyncio.get_running_loop()

    def tell(value: object) -> None:
        asyncio.run_coroutine_threadsafe(seen.add(value), loop)

    class Desk:
        async def note(self, number: int) -> None:
            await seen.add(("method", number))

        async def __call__(self, number: int) -> None:
            await seen.add(("object", number))

    durable.on("item.made", id="as.plain")(lambda number: tell(("plain", number)))

    @durable.on("item.made", id="as.threaded", thread=True)
    def note_in_thread(number: int) -> None:
        tell((threading.current_thread() is not threading.main_thread(), current_event_id() is not None))

    durable.on("item.made", id="as.method")(Desk().note)
    durable.on("item.made", id="as.object")(Desk())
    durable.on("item.made", id="as.coroutine")(lambda number: seen.add(("coroutine", number)))
    async with durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(5)
    expected = [("plain", 1), (True, True), ("method", 1), ("object", 1), ("coroutine", 1)]
    assert sorted(map(str, seen.values)) == sorted(map(str, expected))
    assert await sqlite.rows("status") == ["completed"] * 5


async def test_each_delivery_has_a_context_and_a_task_of_its_own(sqlite: Any, seen: Any) -> None:
    @sqlite.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        await seen.add((request.get(), asyncio.current_task()))
        request.set(f"left by {number}")

    async with sqlite.durable.running(poll=60):
        for number in range(3):
            await emit("item.made", number=number)
        await seen.count(3)
    assert {value for value, _ in seen.values} == {"none"}
    assert len({task for _, task in seen.values}) == 3


# Inside the completing transaction


async def test_with_tx_it_writes_in_the_transaction_that_completes_its_row(
    application: Any, seen: Any, insert: Any
) -> None:
    @application.durable.on("person.hired", id="person.write", tx=True)
    async def write(tx: Any, name: str) -> None:
        await insert(tx, name)
        await emit("person.created", name=name)
        await seen.add((await application.store.names(), await application.rows("status")))

    ordinary: list[Any] = []

    @bus.on("person.created")
    async def note(name: str) -> None:
        ordinary.append((name, name in await application.store.names()))

    @application.durable.on("person.created", id="mail.send")
    async def mail(name: str) -> None:
        await seen.add(name)

    async with application.durable.running(poll=60):
        await emit("person.hired", name="ada")
        await seen.count(2)
    assert seen.values == [(set(), ["processing"]), "ada"]
    assert ordinary == [("ada", True)]
    assert await application.store.names() == {"ada"}
    assert await application.rows() == ["person.write completed", "mail.send completed"]


async def test_with_tx_a_failure_rolls_back_what_it_wrote_and_it_is_tried_again(
    application: Any, seen: Any, insert: Any
) -> None:
    @application.durable.on("person.hired", id="person.write", tx=True, retry=SOON)
    async def write(tx: Any, name: str) -> None:
        await insert(tx, name)
        await seen.add(name)
        if len(seen.values) < 3:
            raise LookupError(name)

    async with application.durable.running(poll=60):
        await emit("person.hired", name="ada")
        await seen.count(3)
    assert await application.store.names() == {"ada"}
    assert await application.rows("status || ' ' || attempts") == ["completed 3"]


async def test_with_tx_a_commit_that_fails_is_a_failure_of_the_handler(
    application: Any, seen: Any, insert: Any
) -> None:
    @application.durable.on("person.hired", id="person.write", tx=True, retry=ONCE)
    async def write(tx: Any, name: str) -> None:
        await insert(tx, name, manager_id=99)
        await seen.add(name)

    async with application.durable.running(poll=60):
        await emit("person.hired", name="ada")
        await seen.count(1)
    assert await application.store.names() == set()
    (row,) = await application.durable.failed()
    assert "foreign key" in str(row.error).lower()


# Failures


async def test_what_fails_is_tried_again_until_it_completes(
    application: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @application.durable.on("person.created", id="mail.send", retry=SOON)
    async def mail(name: str) -> None:
        await seen.add(current_event_id())
        if len(seen.values) < 3:
            raise LookupError("no mail server")

    async with application.durable.running(poll=60):
        await emit("person.created", name="ada")
        await seen.count(3)
    assert len(set(seen.values)) == 1
    assert await application.rows("handler || ' ' || status || ' ' || attempts") == ["mail.send completed 3"]
    assert (
        caplog.messages.count(f"Event handler error: person.created / {__name__}.{mail.__qualname__} [mail.send]") == 2
    )


async def test_what_fails_for_good_is_kept_with_its_error_and_others_go_on(
    application: Any, seen: Any, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @application.durable.on("person.created", id="mail.send", retry=Retry(attempts=2, first=0.01))
    async def mail(name: str) -> None:
        if name == "zoe":
            raise LookupError("no such\0address \ud800")
        await seen.add(name)

    async with application.durable.running(poll=60):
        for name in ("zoe", "ben"):
            await emit("person.created", name=name)
        await seen.count(1)
        await said.has("failed for good")
    (failed,) = await application.durable.failed()
    assert (failed.handler, failed.event, failed.attempts, failed.error) == (
        "mail.send",
        "person.created",
        2,
        "LookupError: no such\\0address \\ud800",
    )
    (message,) = [each for each in caplog.messages if "failed for good" in each]
    assert f"publication {failed.sequence}, event person.created ({failed.event_id}), 2 attempts" in message
    assert f"`fastsoy-events durable retry {failed.sequence}`" in message
    assert "zoe" not in message


async def test_what_failed_is_delivered_again_with_all_its_attempts_when_asked_to(application: Any, seen: Any) -> None:
    is_broken = True

    @application.durable.on("person.created", id="mail.send", retry=ONCE)
    async def mail(name: str) -> None:
        await seen.add(name)
        if is_broken:
            raise LookupError

    for name in ("ada", "ben", "cleo"):
        await emit("person.created", name=name)
    async with application.durable.running(poll=60):
        await seen.count(3)
    assert await application.rows("status") == ["failed"] * 3
    first, second, _ = [each.sequence for each in reversed(await application.durable.failed())]
    assert await application.durable.retry([first, second, first, 10**6]) == 2
    is_broken = False
    async with application.durable.running(poll=60):
        await seen.count(5)
    assert seen.values[3:] == ["ada", "ben"]
    assert await application.rows("status") == ["completed", "completed", "failed"]
    assert await application.durable.retry() == 1
    assert await application.rows("status || attempts") == ["completed1", "completed1", "published0"]


async def test_a_handler_that_takes_too_long_has_failed(sqlite: Any, seen: Any, said: Any) -> None:
    @sqlite.durable.on("item.made", id="item.note", timeout=0.01, retry=ONCE)
    async def note(number: int) -> None:
        await seen.add(number)
        await asyncio.Event().wait()

    async with sqlite.durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(1)
        await said.has("failed for good")
    (failed,) = await sqlite.durable.failed()
    assert failed.error == f"{HandlerTimeout.__name__}: cancelled after 0.01 s"


async def test_a_handler_that_cancels_itself_has_failed(sqlite: Any, seen: Any) -> None:
    @sqlite.durable.on("item.made", id="item.note", retry=ONCE)
    async def note(number: int) -> None:
        await seen.add(number)
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.Event().wait()

    async with sqlite.durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(1)
    assert await sqlite.rows("status || ' ' || error") == ["failed CancelledError: "]


async def test_a_payload_that_the_handler_does_not_take_fails_like_any_other(sqlite: Any, said: Any) -> None:
    sqlite.durable.on("item.made", id="item.note", retry=ONCE)(takes_colour)
    await emit("item.made", number=1)
    async with sqlite.durable.running(poll=60):
        await said.has("failed for good")
    assert "unexpected keyword argument 'number'" in str((await sqlite.durable.failed())[0].error)


# What becomes of the rows


@pytest.mark.parametrize(
    ("completion", "left", "moved"), [("delete", [], None), ("archive", [], ["item.note completed"])]
)
@pytest.mark.parametrize("tx", [False, True])
async def test_what_completes_may_be_deleted_or_moved_away(
    application: Any, seen: Any, completion: str, left: list[str], moved: list[str] | None, tx: bool
) -> None:
    durable = application.make(completion=completion)

    @durable.on("item.made", id="item.note", tx=tx, retry=SOON)
    async def note(*tx: object, number: int) -> None:
        await seen.add(number)
        if len(seen.values) == 1:
            raise LookupError

    await durable.migrate()
    async with durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(2)
    assert await application.rows() == left
    if moved is not None:
        assert await application.rows(table="fastsoy_events_publication_archive") == moved
        archive = "payload || ' ' || attempts || ' ' || coalesce(error, 'none') || ' ' || coalesce(owner, 'none')"
        assert await application.rows(archive, "fastsoy_events_publication_archive") == ['{"number":1} 2 none none']


async def test_tables_may_have_another_name_and_several_objects_one_database(application: Any, seen: Any) -> None:
    other = application.make(table="second_publication")
    application.durable.on("item.made", id="item.note")(lambda number: seen.add(("first", number)))
    other.on("item.made", id="item.note")(lambda number: seen.add(("second", number)))
    async with application.durable.running(poll=60), other.running(poll=60):
        async with application.unit() as unit, unit.atomic():
            await emit("item.made", number=1)
        await seen.count(2)
    assert sorted(seen.values) == [("first", 1), ("second", 1)]
    assert await application.rows() == await application.rows(table="second_publication") == ["item.note completed"]


async def test_objects_of_several_plugins_on_one_table_do_not_call_each_others_handlers_orphans(
    application: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    other, elsewhere = application.make(), application.make(table="second_publication")
    application.durable.on("item.made", id="item.note")(lambda number: seen.add(("first", number)))
    other.on("item.made", id="item.count")(lambda number: seen.add(("second", number)))
    elsewhere.on("person.left", id="mail.farewell")(ignore)
    await emit("item.made", number=1)
    assert await application.durable.orphans() == await other.orphans() == ()
    await application.change("handler = 'mail.farewell'", "handler = 'item.count'")
    (orphan,) = await application.durable.orphans()
    assert orphan.handler == "mail.farewell"
    await application.change("handler = 'item.count'", "handler = 'mail.farewell'")
    async with application.durable.running(poll=60):
        await seen.count(1)
        async with other.running(poll=60):
            await seen.count(2)
    assert seen.values == [("first", 1), ("second", 1)]
    assert caplog.messages == []


# Nested emits


async def test_a_handler_that_emits_its_own_event_is_delivered_to_again_and_not_at_once(sqlite: Any, seen: Any) -> None:
    inside: list[int] = []

    @sqlite.durable.on("item.made", id="item.note")
    async def note(number: int) -> None:
        inside.append(number)
        if number < 3:
            assert await emit("item.made", number=number + 1) == ()
        assert inside.pop() == number
        await seen.add((number, current_event_id()))

    async with sqlite.durable.running(poll=60):
        await emit("item.made", number=1)
        await seen.count(3)
    assert [number for number, _ in seen.values] == [1, 2, 3]
    assert len({event_id for _, event_id in seen.values}) == 3


async def test_a_handler_that_is_no_longer_registered_is_an_orphan_that_is_named_and_kept(
    application: Any, seen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with bus.isolated():
        from fastsoy_events import load_plugins  # the plugin again, in this emptied bus

        load_plugins(disabled=["otel", "hr", "notify", "audit", "relay"])
        application.durable.on("person.left", id="mail.farewell")(ignore)
        await emit("person.left", name="ada")
    application.durable.on("person.created", id="mail.send")(lambda name: seen.add(name))
    await emit("person.created", name="ben")
    async with application.durable.running(poll=0.01):
        await seen.count(1)
    assert await application.rows() == ["mail.farewell published", "mail.send completed"]
    (orphan,) = await application.durable.orphans()
    assert (orphan.handler, orphan.event, orphan.publications) == ("mail.farewell", "person.left", 1)
    (warning,) = [message for message in caplog.messages if message.startswith("Nobody handles")]
    assert "mail.farewell (person.left, 1): it is kept, and not delivered" in warning
