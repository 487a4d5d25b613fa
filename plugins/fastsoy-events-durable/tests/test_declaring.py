"""What `Durable.on` takes, what it refuses, and how its handlers are listed."""

from __future__ import annotations

import importlib
from functools import partial
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_durable import Durable, DurableError, Retry

from fastsoy_events import RegistrationError, bus, emit

if TYPE_CHECKING:
    from pathlib import Path

    from fastsoy_events import EventBus


def ignore(**payload: object) -> None: ...


@pytest.fixture
def durable(empty_bus: EventBus, tmp_path: Path) -> Durable:
    """Return one whose database nobody opens."""
    return Durable(f"sqlite+aiosqlite:///{tmp_path / 'app.sqlite3'}")


def test_a_durable_handler_is_listed_like_any_other_with_its_id(durable: Durable) -> None:
    @durable.on("item.made", id="item.note")
    async def note(number: int, **rest: object) -> None: ...

    @bus.on("item.made")
    def count(number: int) -> None: ...

    @durable.on("item.made", id="item.write", tx=True, timeout=5)
    async def write(tx: object, number: int) -> None: ...

    first, second, third = bus.handlers("item.made")
    assert (first.module, first.qualname) == (note.__module__, note.__qualname__)
    assert (first.id, first.stable_id, first.label) == (
        "host:item.note",
        "item.note",
        f"{__name__}.{note.__qualname__} [item.note]",
    )
    assert first.source == f"{__file__}:{note.__code__.co_firstlineno}"
    assert [each.is_async for each in (first, second, third)] == [True, False, True]
    assert third.source == f"{__file__}:{write.__code__.co_firstlineno}"


def test_it_returns_the_callable_unchanged_and_its_signature_has_no_transaction(durable: Durable) -> None:
    import inspect

    async def write(tx: object, number: int = 1) -> None:
        """Write it."""

    assert durable.on("item.made", id="item.write", tx=True)(write) is write
    (handler,) = bus.handlers()
    assert str(inspect.signature(handler.function)) == "(number: 'int' = 1)"
    assert handler.function.__doc__ == "Write it."


def test_partials_methods_and_objects_are_known_by_what_they_are_made_of(durable: Durable) -> None:
    class Desk:
        async def note(self, number: int) -> None: ...

        def __call__(self, number: int) -> None: ...

    async def write(colour: str, number: int) -> None: ...

    durable.on("item.made", id="as.method")(Desk().note)
    durable.on("item.made", id="as.object")(Desk())
    durable.on("item.made", id="as.partial")(partial(write, colour="red"))
    prefix = "test_partials_methods_and_objects_are_known_by_what_they_are_made_of.<locals>."
    listed = [(handler.module, handler.qualname.removeprefix(prefix), handler.is_async) for handler in bus.handlers()]
    assert listed == [(__name__, "Desk.note", True), (__name__, "Desk", False), (__name__, "write", True)]


@pytest.mark.parametrize("bad", ["", "Mail", "mail send", "mail.", "mail..send", "1mail", "mail-send", None, 1])
def test_an_id_that_is_none_is_refused(durable: Durable, bad: Any) -> None:
    with pytest.raises(RegistrationError, match=r'needs an id in lower snake case, .* write id="mail.send", not id='):
        durable.on("item.made", id=bad)
    assert bus.handlers() == ()


def test_an_id_is_one_handlers_alone(durable: Durable) -> None:
    def first(number: int) -> None: ...

    def second(number: int) -> None: ...

    durable.on("item.made", id="item.note")(first)
    for event in ("item.made", "item.sold"):
        with pytest.raises(RegistrationError, match=r'id="item.note"\) cannot take .*second: .*first has that id'):
            durable.on(event, id="item.note")(second)
    assert len(bus.handlers()) == 1
    with bus.isolated():  # where the first does not take part
        durable.on("item.sold", id="item.note")(second)
        assert len(bus.handlers()) == 1


async def test_two_that_have_one_id_all_the_same_do_not_start(sqlite: Any) -> None:
    sqlite.durable.on("item.made", id="item.note")(ignore)
    spec = ModuleSpec("elsewhere", None)
    elsewhere = {"durable": sqlite.durable, "ignore": ignore, "__name__": "elsewhere", "__spec__": spec}
    source = 'durable.on("item.sold", id="item.note")(ignore)'
    exec(source, elsewhere)  # noqa: S102 - a module
    with pytest.raises(DurableError, match="have the same id, and rows that are stored"):
        async with sqlite.durable.running():
            pass


def test_a_module_that_executes_again_declares_its_handlers_anew(
    durable: Durable, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import __main__

    monkeypatch.setattr(__main__, "durable_for_tests", durable, raising=False)
    source = (
        "from __main__ import durable_for_tests as durable\n"
        '@durable.on("item.made", id="item.note")\n'
        "async def note(number): ...\n"
    )
    (site / "acme_notes.py").write_text(source, encoding="utf-8")
    module = importlib.import_module("acme_notes")
    importlib.reload(module)
    (handler,) = bus.handlers()
    assert handler.id == "host:item.note"


def takes_one(tx: object) -> None: ...


def takes_nothing() -> None: ...


def takes_keywords(*, tx: object, number: int) -> None: ...


def takes_by_position(number: int, /) -> None: ...


def yields(number: int) -> Any:
    yield number


async def yields_later(number: int) -> Any:
    yield number


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (1, {}, "must stand above a function or be given a callable, not 1"),
        (yields, {}, "generator function yields: calling it would run none of its body"),
        (yields_later, {}, "generator function yields_later"),
        (takes_by_position, {}, "takes number by position only. Remove the /"),
        (takes_nothing, {"tx": True}, r"takes none by position: write \(tx, ...\) before its keywords"),
        (takes_keywords, {"tx": True}, r"takes none by position: write \(tx, ...\) before its keywords"),
        (takes_one, {"tx": True, "thread": True}, "the transaction belongs to the event loop. Remove one"),
        (takes_one, {"timeout": 1.0}, "while it runs, nothing can stop it"),
    ],
)
def test_what_could_never_be_delivered_is_refused(
    durable: Durable, function: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RegistrationError, match=reason):
        durable.on("item.made", id="item.note", **options)(function)
    assert bus.handlers() == ()


def test_a_method_in_the_body_of_its_class_is_refused(durable: Durable) -> None:
    with pytest.raises(RegistrationError, match=r"cannot take the method .*Desk\.note: nobody would pass its self"):

        class Desk:
            @durable.on("item.made", id="item.note")
            async def note(self, number: int) -> None: ...


def test_an_event_needs_a_name(durable: Durable) -> None:
    with pytest.raises(RegistrationError, match="takes the name of the event"):
        durable.on(1, id="item.note")  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    "settings",
    [{"attempts": 0}, {"first": 0.0}, {"factor": 0.5}, {"longest": -1.0}, {"jitter": 1.0}, {"first": float("nan")}],
)
def test_a_retry_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Retry takes attempts from 1"):
        Retry(**settings)


def test_waits_grow_up_to_the_longest_and_vary() -> None:
    exact = Retry(first=1.0, factor=3.0, longest=20.0, jitter=0.0)
    assert [exact.delay(attempts) for attempts in (1, 2, 3, 4, 10**6)] == [1.0, 3.0, 9.0, 20.0, 20.0]
    assert Retry(factor=1.0, jitter=0.0).delay(10**6) == 1.0
    varied = {Retry(first=10.0, jitter=0.2).delay(1) for _ in range(100)}
    assert len(varied) > 50
    assert 8.0 <= min(varied) <= max(varied) <= 12.0


def test_nothing_of_a_database_is_imported_by_the_plugin() -> None:
    import subprocess
    import sys

    program = (
        "import sys, fastsoy_events_durable.plugin; print([m for m in ('sqlalchemy', 'tortoise') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


async def test_emits_are_passed_on_where_nothing_is_durable(loaded: EventBus) -> None:
    seen: list[object] = []
    bus.on("item.made")(lambda **payload: seen.append(payload))
    assert await emit("item.made", number=object) == ()
    assert seen == [{"number": object}]
