"""The testing kit without pytest's fixtures: plain `with` blocks, as any test runner can use them."""

from __future__ import annotations

import asyncio
import sys
import threading
from importlib.metadata import distribution
from typing import TYPE_CHECKING

import pytest

from fastsoy_events import (
    ContractError,
    EventBus,
    PluginError,
    PluginLoadError,
    UnknownPluginError,
    bus,
    deferred,
    emit,
    event,
    handlers,
    load_plugins,
    plugins,
)
from fastsoy_events.testing import captured, expected_failures, flush_deferred, narrowed, temporary_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Site

    from fastsoy_events.testing import CapturedEvents

HANDLER = """
    from fastsoy_events import on

    @on("employee.created")
    def {name}(**_): ...
"""


@event("desk.reserved")
def desk_reserved(*, employee_id: int, floor: int = 0) -> None:
    """A contract of the host's, which is this module."""


def message_of(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


# Narrowed


@pytest.fixture
def two_plugins(site: Site) -> Site:
    """Install two distributions: acme-mail with the plugins mail and archive, and zeta-stock with stock."""
    site.install(
        "acme-mail",
        {"mail": "acme_mail", "archive": "acme_archive"},
        {"acme_mail": HANDLER.format(name="send"), "acme_archive": HANDLER.format(name="keep")},
    )
    site.install("zeta-stock", {"stock": "zeta_stock"}, {"zeta_stock": HANDLER.format(name="count")})
    return site


def heard() -> list[str]:
    return [handler.qualname for handler in handlers("employee.created")]


def test_a_bus_that_is_narrowed_to_nothing_is_empty_and_loads_what_the_application_wants(two_plugins: Site) -> None:
    bus.on("employee.created")(print)
    with narrowed() as emptied:
        assert emptied is bus
        assert heard() == []
        load_plugins(allowed=["zeta-stock"])
        assert heard() == ["count"]
    assert heard() == ["print"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["acme-mail"], ["keep", "send"]),
        (["Acme_Mail", "stock"], ["keep", "send", "count"]),
        (["mail"], ["send"]),
        (("acme-mail:archive",), ["keep"]),
        ({"zeta.stock"}, ["count"]),
        ([], []),
    ],
)
def test_it_is_narrowed_to_plugins_and_distributions(two_plugins: Site, names: list[str], expected: list[str]) -> None:
    for _ in range(2):  # what was imported before takes part again
        with narrowed(plugins=names):
            assert heard() == expected


def test_what_is_left_out_is_not_even_imported(two_plugins: Site) -> None:
    two_plugins.install("broken", {"broken": "broken_module"}, {"broken_module": "raise RuntimeError('imported')"})
    with narrowed(["mail"]):
        assert "broken_module" not in sys.modules
        assert {plugin.name: plugin.status for plugin in plugins()} | {"mail": "loaded", "broken": "disabled"} == {
            plugin.name: plugin.status for plugin in plugins()
        }


def test_nothing_is_logged_of_what_is_left_out(two_plugins: Site, caplog: pytest.LogCaptureFixture) -> None:
    with narrowed(["mail"]):
        assert caplog.messages == []


def test_the_environment_does_not_narrow_further(two_plugins: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "zeta-stock")
    monkeypatch.setenv("FASTSOY_EVENTS_DISABLED", "mail")
    with narrowed(["mail"]):
        assert heard() == ["send"]
    with narrowed():
        load_plugins()
        assert heard() == ["count"]


def test_the_application_loads_as_it_always_has(two_plugins: Site) -> None:
    with narrowed(["mail"]):
        report = load_plugins(order=["zeta-stock"], disabled=["mail"], strict=True)
        assert [plugin.name for plugin in report.plugins if plugin.status == "loaded"] == ["mail"]
        assert heard() == ["send"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("acme-mial", "Did you mean 'acme-mail'?"), ("q", "Found: acme-mail, archive, mail, stock, zeta-stock")],
)
def test_an_unknown_name_is_refused_with_the_nearest(two_plugins: Site, name: str, hint: str) -> None:
    known = {each.name for each in bus.plugins()}
    with pytest.raises(UnknownPluginError, match=f"plugins names '{name}'.*") as caught, narrowed([name]):
        pytest.fail("not reached")
    if name != "q":
        assert hint in str(caught.value)
    assert {each.name for each in bus.plugins()} == known
    assert bus.validation == "off"


@pytest.mark.parametrize("names", ["acme-mail", 3, [3]])
def test_what_is_no_collection_of_names_is_refused(names: list[str]) -> None:
    with pytest.raises(TypeError, match="plugins takes the names of plugins: write plugins="):
        narrowed(names)


def test_a_plugin_that_cannot_be_loaded_is_an_error(site: Site) -> None:
    site.install("broken", {"broken": "broken_module"}, {"broken_module": "raise RuntimeError('no')"})
    with pytest.raises(PluginLoadError) as caught, narrowed(["broken"]):
        pytest.fail("not reached")
    assert isinstance(caught.value.exceptions[0].__cause__, RuntimeError)
    assert bus.plugins() == ()


def test_the_settings_of_the_bus_are_restored() -> None:
    def fail() -> None:
        with narrowed() as emptied:
            assert emptied.validation == "raise"
            emptied.validation = "warn"
            emptied.handler_timeout = emptied.slow_after = 1.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (bus.validation, bus.handler_timeout, bus.slow_after) == ("off", None, None)


def test_plugins_and_their_contracts_come_and_go(site: Site) -> None:
    contract = """
        from fastsoy_events import event

        @event("mail.sent")
        def mail_sent(*, mail_id: int) -> None: ...
    """
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": contract})
    for _ in range(2):
        with narrowed(["mail"]) as emptied:
            assert "mail.sent" in {each.name for each in emptied.events()}
            with pytest.raises(ContractError, match="mail_id is missing"):
                asyncio.run(emit("mail.sent"))
        with narrowed() as emptied:
            assert "mail.sent" not in {each.name for each in emptied.events()}


def test_contracts_of_the_host_stay_in_force() -> None:
    with narrowed():
        with pytest.raises(ContractError, match="did you mean employee_id"):
            asyncio.run(emit("desk.reserved", employe_id=1))
        with pytest.raises(ContractError, match="employee_id is missing"):
            asyncio.run(desk_reserved.emit())  # type: ignore[call-arg]
        assert not asyncio.run(desk_reserved.emit(employee_id=1))


# Captured


@pytest.fixture
def events() -> CapturedEvents:
    """Return a few captured events."""
    own = EventBus()
    with captured(bus=own) as emitted:
        for number in (1, 2):
            asyncio.run(own.emit("employee.created", employee_id=number, department_id=3))
        asyncio.run(own.emit("mail.sent", text="x" * 1000))
    return emitted


def test_it_is_a_sequence_of_names_and_payloads(events: CapturedEvents) -> None:
    assert len(events) == 3
    assert events[0] == ("employee.created", {"employee_id": 1, "department_id": 3})
    assert [name for name, _ in events] == ["employee.created", "employee.created", "mail.sent"]
    assert [each.payload["employee_id"] for each in events.named("employee.created")] == [1, 2]
    assert events[1:] == list(events)[1:]
    assert repr(events) == "<CapturedEvents: employee.created, employee.created, mail.sent>"
    events.clear()
    assert not events
    assert repr(events) == "<CapturedEvents: none>"


def test_each_way_to_emit_is_seen_at_once_and_in_order() -> None:
    async def work() -> list[int]:
        seen = []
        await emit("work.begun")
        async with deferred():
            await emit("work.deferred")
            seen.append(len(events))
            await asyncio.create_task(emit("task.made"))
            seen.append(len(events))
        await desk_reserved.emit(employee_id=1)
        thread = threading.Thread(target=bus.emit_sync, args=("thread.run",))
        await asyncio.to_thread(thread.start)
        await asyncio.to_thread(thread.join)
        seen.append(len(events))
        return seen

    with narrowed() as emptied, captured() as events:

        @emptied.on("work.begun")
        async def go_on(**_: object) -> None:
            await emit("work.nested")

        assert asyncio.run(work()) == [3, 4, 6]
    assert [each.name for each in events] == [
        "work.begun", "work.nested", "work.deferred", "task.made", "desk.reserved", "thread.run",
    ]  # fmt: skip
    assert events.named("desk.reserved")[0].payload == {"employee_id": 1, "floor": 0}


def test_what_is_emitted_after_the_block_is_not_seen() -> None:
    with captured() as events:
        pass
    asyncio.run(emit("employee.created"))
    assert not events
    assert bus._watchers == ()


def test_an_emitted_event_is_found_by_some_of_its_keywords(events: CapturedEvents) -> None:
    events.assert_emitted("employee.created")
    events.assert_emitted("employee.created", times=2)
    [found] = events.assert_emitted("employee.created", employee_id=2, times=1)
    assert found.payload == {"employee_id": 2, "department_id": 3}
    events.assert_not_emitted("employee.created", employee_id=3)
    events.assert_not_emitted("employee.created", boss_id=None)
    events.assert_not_emitted("mail.opened")
    events.assert_emitted("mail.opened", times=0)


def test_what_was_not_emitted_is_told_with_the_nearest(events: CapturedEvents) -> None:
    def check() -> None:
        events.assert_emitted("employee.created", employee_id=2, department_id=4, boss_id=None)

    assert message_of(check) == (
        "employee.created(employee_id=2, department_id=4, boss_id=None) was not emitted.\n"
        "The nearest is number 2:\n"
        "  department_id: expected 4, emitted 3\n"
        "  boss_id: expected None, emitted missing\n"
        "Emitted:\n"
        "  1. employee.created(employee_id=1, department_id=3)\n"
        "  2. employee.created(employee_id=2, department_id=3)\n"
        "  3. mail.sent(text='xxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx')"
    )


def test_a_misspelled_name_is_told_with_the_nearest(events: CapturedEvents) -> None:
    message = message_of(lambda: events.assert_emitted("employe.created"))
    assert message.startswith("employe.created was not emitted.\nDid you mean employee.created?\nEmitted:\n  1. ")


def test_too_few_and_too_many_are_told(events: CapturedEvents) -> None:
    message = message_of(lambda: events.assert_emitted("employee.created", times=3))
    assert message.startswith("employee.created was emitted 2 times, and 3 times expected.\nEmitted:\n")
    message = message_of(lambda: events.assert_emitted("employee.created", employee_id=1, times=2))
    assert "emitted once, and 2 times expected.\nThe nearest is number 2:\n  employee_id: expected 1, " in message
    message = message_of(lambda: events.assert_emitted("employee.created", department_id=3, times=1))
    assert "employee.created(department_id=3) was emitted 2 times, and once expected.\nEmitted:" in message


def test_what_should_not_be_emitted_is_told(events: CapturedEvents) -> None:
    message = message_of(lambda: events.assert_not_emitted("employee.created", department_id=3))
    assert message.startswith("employee.created(department_id=3) was emitted 2 times, and never expected.\nEmitted:\n")


def test_nothing_at_all_is_told() -> None:
    with captured() as events:
        pass
    assert message_of(lambda: events.assert_emitted("a.b")) == "a.b was not emitted.\nNothing was emitted."


def test_a_long_list_is_cut() -> None:
    with captured() as events:
        for _ in range(60):
            asyncio.run(emit("work.begun"))
    assert message_of(lambda: events.assert_emitted("a.b")).endswith("  50. work.begun()\n  ... and 10 more")


def test_order_lets_others_come_between(events: CapturedEvents) -> None:
    events.assert_order(["employee.created", "mail.sent"])
    events.assert_order(("employee.created", "employee.created"))
    message = message_of(lambda: events.assert_order(["employee.created", "mail.sent", "employee.created"]))
    assert message.startswith("employee.created was not emitted after employee.created > mail.sent.\nEmitted:\n")
    message = message_of(lambda: events.assert_order(["mail.send"]))
    assert message.startswith("mail.send was not emitted.\nDid you mean mail.sent?\n")


@pytest.mark.parametrize("names", ["employee.created", []])
def test_an_order_of_nothing_is_refused(events: CapturedEvents, names: list[str]) -> None:
    with pytest.raises(TypeError, match="takes the names of events"):
        events.assert_order(names)


def test_a_name_that_is_none_is_refused(events: CapturedEvents) -> None:
    for check in (events.assert_emitted, events.assert_not_emitted):
        with pytest.raises(TypeError, match="the name of the event"):
            check(desk_reserved)  # type: ignore[arg-type]


class Stubborn:
    """Can be neither compared nor shown."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __repr__(self) -> str:
        raise ValueError


class array(Stubborn):  # noqa: N801 - as one that `reprlib` shows in a way of its own
    """Can be shown even less."""


@pytest.mark.parametrize("kind", [Stubborn, array])
def test_values_may_be_hard_to_compare_and_to_show(kind: type[Stubborn]) -> None:
    value = kind()
    with captured() as events:
        asyncio.run(emit("work.begun", with_=value))
    events.assert_emitted("work.begun", with_=value)
    assert f"with_=<{kind.__name__}" in message_of(lambda: events.assert_emitted("work.begun", with_=kind()))


def test_muted_no_handler_runs_and_nothing_is_kept() -> None:
    async def work() -> None:
        async with deferred() as scope:
            assert not await emit("work.begun", number=1)
            assert scope.pending == ()

    with narrowed() as emptied:
        ran: list[int] = []
        emptied.on("work.begun")(lambda number: ran.append(number))
        with captured(mute=True) as events:
            asyncio.run(work())
        assert ran == []
        events.assert_emitted("work.begun", number=1, times=1)
        asyncio.run(emit("work.begun", number=2))
        assert ran == [2]


# Failures


def refuse(**_: object) -> None:
    raise ValueError("refused")


def exhaust(**_: object) -> None:
    raise KeyError("exhausted")


@pytest.fixture
def failing_bus() -> EventBus:
    own = EventBus()
    own.on("work.refused")(refuse)
    own.on("work.exhausted")(exhaust)
    return own


def test_a_failure_is_an_error_at_the_end_of_the_block_with_the_handlers_own_as_its_cause(
    failing_bus: EventBus,
) -> None:
    with pytest.raises(AssertionError) as caught, captured(bus=failing_bus):
        assert asyncio.run(failing_bus.emit("work.refused"))
    assert str(caught.value) == (
        "an event handler failed, which the test does not expect:\n"
        f"  work.refused / {refuse.__module__}.refuse: ValueError: refused\n"
        "If it is meant to, write `with expected_failures():` around the emit (from fastsoy_events.testing)"
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_several_failures_are_one_error(failing_bus: EventBus) -> None:
    def fail() -> None:
        with captured(bus=failing_bus):
            asyncio.run(failing_bus.emit("work.refused"))
            asyncio.run(failing_bus.emit("work.exhausted"))

    with pytest.raises(AssertionError, match="2 event handlers failed") as caught:
        fail()
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert [type(error) for error in group.exceptions] == [ValueError, KeyError]


def test_a_cancellation_that_leaks_out_of_a_handler_is_a_failure_like_others(failing_bus: EventBus) -> None:
    @failing_bus.on("work.refused")
    def leak(**_: object) -> None:
        raise asyncio.CancelledError

    with pytest.raises(AssertionError) as caught, captured(bus=failing_bus):
        asyncio.run(failing_bus.emit("work.refused"))
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)


def test_an_error_of_the_block_itself_comes_first(failing_bus: EventBus) -> None:
    def fail() -> None:
        with captured(bus=failing_bus):
            asyncio.run(failing_bus.emit("work.refused"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    [note] = caught.value.__notes__
    assert note.startswith("Besides, an event handler failed, which the test does not expect:\n")


def test_the_innermost_block_has_the_failure(failing_bus: EventBus) -> None:
    with captured(bus=failing_bus):
        with pytest.raises(AssertionError), captured(bus=failing_bus):
            asyncio.run(failing_bus.emit("work.refused"))
        asyncio.run(failing_bus.emit("work.begun"))


def test_an_expected_failure_is_none(failing_bus: EventBus) -> None:
    with captured(bus=failing_bus), expected_failures(bus=failing_bus) as failures:
        asyncio.run(failing_bus.emit("work.refused"))
        assert [failure.handler.qualname for failure in failures] == ["refuse"]
    assert isinstance(failures[0].error, ValueError)


def test_it_may_be_expected_further_out(failing_bus: EventBus) -> None:
    with expected_failures(ValueError, bus=failing_bus), captured(bus=failing_bus) as events:
        asyncio.run(failing_bus.emit("work.refused"))
    events.assert_emitted("work.refused")


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ((), {}, "a handler was expected to fail: none did"),
        ((OSError,), {"times": 1}, "a handler was expected to fail with OSError, once: none did"),
        (
            (OSError, KeyError),
            {"event": "a.b", "match": "x", "times": 2},
            "a handler of a.b was expected to fail with OSError or KeyError whose text matches 'x', 2 times: none did",
        ),
    ],
)
def test_an_expected_failure_that_does_not_happen_is_an_error(
    arguments: tuple[type[Exception], ...], options: dict[str, object], expected: str
) -> None:
    def check() -> None:
        with expected_failures(*arguments, **options):  # type: ignore[arg-type]
            pass

    assert message_of(check) == expected


def test_another_failure_than_the_expected_one_is_an_error(failing_bus: EventBus) -> None:
    def fail() -> None:
        with expected_failures(ValueError, event="work.refused", match="^re", times=2, bus=failing_bus):
            asyncio.run(failing_bus.emit("work.refused"))
            asyncio.run(failing_bus.emit("work.exhausted"))

    with pytest.raises(AssertionError) as caught, captured(bus=failing_bus):
        fail()
    assert str(caught.value) == (
        "a handler of work.refused was expected to fail with ValueError whose text matches '^re', 2 times: these did:\n"
        f"  work.refused / {refuse.__module__}.refuse: ValueError: refused\n"
        "and these failed otherwise:\n"
        f"  work.exhausted / {refuse.__module__}.exhaust: KeyError: 'exhausted'"
    )
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_inside_a_block_that_expects_failures_goes_through() -> None:
    with pytest.raises(ZeroDivisionError) as caught, expected_failures():
        raise ZeroDivisionError
    assert not hasattr(caught.value, "__notes__")


def test_an_error_that_cannot_be_put_into_words_matches_no_text(failing_bus: EventBus) -> None:
    class WordlessError(Exception):
        def __str__(self) -> str:
            raise ValueError

    @failing_bus.on("work.begun")
    def fail(**_: object) -> None:
        raise WordlessError

    with pytest.raises(AssertionError, match="these failed otherwise"), expected_failures(match="x", bus=failing_bus):
        asyncio.run(failing_bus.emit("work.begun"))


def test_nonsense_is_refused() -> None:
    with pytest.raises(TypeError, match="takes classes of errors, such as ValueError: not 'ValueError'"):
        expected_failures("ValueError")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="times is 1 or more: not 0"):
        expected_failures(times=0)


def test_who_else_is_told_of_failures_still_is(site: Site) -> None:
    source = """
        from fastsoy_events import bus, hookimpl, on

        told = []

        @on("employee.created")
        def fail(**_): raise ValueError

        @hookimpl
        def fastsoy_events_handler_failed(failure): told.append(failure.handler.qualname)
    """
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    with narrowed(["mail"]), expected_failures(ValueError, times=1):
        asyncio.run(emit("employee.created"))
    assert sys.modules["acme_mail"].told == ["fail"]


def test_a_bus_is_let_go_of_whatever_order_blocks_end_in(failing_bus: EventBus) -> None:
    first, second = captured(bus=failing_bus), captured(bus=failing_bus)
    first.__enter__()
    events = second.__enter__()
    first.__exit__(None, None, None)
    asyncio.run(failing_bus.emit("work.begun"))
    events.assert_emitted("work.begun")
    second.__exit__(None, None, None)
    assert failing_bus._watchers == ()
    assert "_tell" not in vars(failing_bus)
    assert asyncio.run(failing_bus.emit("work.refused"))


def test_a_handler_that_outlives_the_block_fails_nobody(failing_bus: EventBus) -> None:
    @failing_bus.on("work.slow")
    async def wait(*, has_begun: asyncio.Event, may_end: asyncio.Event) -> None:
        has_begun.set()
        await may_end.wait()
        raise ValueError

    async def work() -> int:
        has_begun, may_end = asyncio.Event(), asyncio.Event()
        with captured(bus=failing_bus):
            emitting = asyncio.create_task(failing_bus.emit("work.slow", has_begun=has_begun, may_end=may_end))
            await has_begun.wait()
        may_end.set()
        return len(await emitting)

    assert asyncio.run(work()) == 1


# Deferred


async def hire(name: str) -> None:
    """Stand for code under test that has a transaction of its own."""
    async with deferred():
        await emit("employee.created", name=name)


def test_what_waits_is_run_by_hand_where_the_test_rolls_back() -> None:
    hired: list[str] = []

    class RollbackError(Exception):
        pass

    async def test() -> None:
        async with deferred():
            await hire("Ada")
            assert hired == []
            assert not await flush_deferred()
            assert hired == ["Ada"]
            await hire("Bob")
            raise RollbackError

    with narrowed() as emptied, captured() as events:
        emptied.on("employee.created")(lambda name: hired.append(name))
        with pytest.raises(RollbackError):
            asyncio.run(test())
    assert hired == ["Ada"]
    assert [each.payload["name"] for each in events] == ["Ada", "Bob"]


def test_a_failure_of_what_waited_is_one_of_the_test() -> None:
    async def test() -> None:
        async with deferred():
            await hire("Ada")
            assert len(await flush_deferred()) == 1

    with narrowed() as emptied, expected_failures(ValueError, times=1):
        emptied.on("employee.created")(refuse)
        asyncio.run(test())


def test_where_nothing_waits_nothing_happens() -> None:
    assert asyncio.run(flush_deferred()) == ()


# Temporary plugins


def test_a_temporary_plugin_is_a_real_distribution() -> None:
    with narrowed(), temporary_plugins() as install:
        plugin = install(
            name="Acme.Mail", module="acme.mail.handlers", source=HANDLER.format(name="send"), version="2.0",
            entry_point="mail",
        )  # fmt: skip
        assert (plugin.id, plugin.version, plugin.status) == ("acme-mail:mail", "2.0", "loaded")
        assert [handler.source.rpartition("/")[2] for handler in plugin.handlers] == ["handlers.py:4"]
        found = distribution("acme-mail")
        assert found.version == "2.0"
        assert [(each.name, each.value) for each in found.entry_points] == [("mail", "acme.mail.handlers")]
        files = found.files or []
        assert "acme/mail/__init__.py" in map(str, files)
        for file in files:
            contents = file.read_binary()
            assert file.hash is None or (file.hash.mode, file.size) == ("sha256", len(contents))


def test_several_are_loaded_one_by_one_beside_those_that_are_there(two_plugins: Site) -> None:
    with narrowed(["mail"]) as emptied, temporary_plugins() as install:
        emptied.on("employee.created")(print)
        install(name="acme-a", module="acme.a", source=HANDLER.format(name="first"))
        install(name="acme-b", module="acme.b", source=HANDLER.format(name="second"))
        assert heard() == ["print", "first", "second", "send"]
        assert load_plugins(order=["acme-b"]).plugins == plugins()


def test_they_are_gone_afterwards() -> None:
    path, modules = list(sys.path), set(sys.modules)
    for name in ("first", "second"):  # of one name, but not the same code
        with narrowed(), temporary_plugins() as install:
            install(name="acme-mail", module="acme.mail", source=HANDLER.format(name=name))
            assert heard() == [name]
    assert heard() == []
    assert sys.path == path
    assert {name for name in set(sys.modules) - modules if name.startswith("acme")} == set()
    with narrowed(), pytest.raises(UnknownPluginError), narrowed(["acme-mail"]):
        pytest.fail("not reached")


def test_the_error_of_a_broken_source_is_raised_and_others_load(caplog: pytest.LogCaptureFixture) -> None:
    with narrowed(), temporary_plugins() as install:
        with pytest.raises(PluginError, match=r"acme-bad 1\.0\.0 .* importing it raised ZeroDivisionError") as caught:
            install(name="acme-bad", module="acme_bad", source="1 / 0")
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(PluginError, match="SyntaxError"):
            install(name="acme-worse", module="acme_worse", source="def")
        assert install(name="acme-good", module="acme_good", source="").status == "loaded"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "acme mail"}, "name consists of letters"),
        ({"name": "../acme"}, "name consists of letters"),
        ({"entry_point": ""}, "entry_point consists of letters"),
        ({"entry_point": "a\nb"}, "entry_point consists of letters"),
        ({"module": "acme-mail"}, "module is a dotted name"),
        ({"module": ".acme"}, "module is a dotted name"),
        ({"module": "../acme"}, "module is a dotted name"),
        ({"version": "one"}, "'one'"),
        ({"module": "asyncio"}, "a module asyncio is imported already"),
        ({"module": "asyncio.acme"}, "a module asyncio is imported already"),
        ({"name": "Acme_First", "module": "acme_second"}, "Acme_First is installed already"),
        ({"module": "acme_first"}, "a module acme_first is imported already"),
    ],
)
def test_a_plugin_that_cannot_be_is_refused(changes: dict[str, str], problem: str) -> None:
    with narrowed(), temporary_plugins() as install:
        install(name="acme-first", module="acme_first", source="")
        with pytest.raises(ValueError, match=problem):
            install(**{"name": "acme-mail", "module": "acme_mail", "source": "", **changes})  # type: ignore[arg-type]


def test_they_are_for_a_narrowed_bus_only() -> None:
    with pytest.raises(RuntimeError, match="open `with narrowed"):
        temporary_plugins()
