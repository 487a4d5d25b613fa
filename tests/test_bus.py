"""The bus: separate buses, `isolated()`, what it lists, and what it keeps in memory."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import tracemalloc
import weakref
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Protocol

import pytest

import fastsoy_events
from fastsoy_events import (
    AlreadyLoadedError,
    EventBus,
    Failures,
    Handler,
    bus,
    handlers,
    hookspec,
    load_plugins,
    on,
    plugins,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Site(Protocol):
    """The part of the fixture `site` that is used here."""

    @property
    def folder(self) -> Path: ...

    def install(
        self, name: str, entry_points: Mapping[str, str], modules: Mapping[str, str], *, version: str = ...
    ) -> Path: ...


def emit(a_bus: EventBus, event: str, **payload: object) -> None:
    """Emit outside of any event loop, and let every failure through."""
    asyncio.run(a_bus.emit(event, **payload)).raise_if_any()


def ids(a_bus: EventBus = bus, event: str | None = None) -> list[str]:
    """Return the ids of the handlers that take part."""
    return [handler.id for handler in a_bus.handlers(event)]


def counting(name: str, event: str = "employee.created") -> str:
    """Return the source of a module with one handler that notes its calls."""
    return dedent(f"""
        from fastsoy_events import on

        @on("{event}")
        def {name}(calls):
            calls.append("{name}")
    """)


def calls_of(event: str = "employee.created") -> list[str]:
    """Emit on the default bus, and return what the handlers noted."""
    calls: list[str] = []
    emit(bus, event, calls=calls)
    return calls


# Buses


def test_buses_are_separate(fresh_bus: EventBus, default_bus: EventBus) -> None:
    calls: list[str] = []
    other = EventBus()
    fresh_bus.on("employee.created")(lambda: calls.append("fresh"))
    other.on("employee.created")(lambda: calls.append("other"))
    on("employee.created")(lambda: calls.append("default"))
    for each, name in ((fresh_bus, "fresh"), (other, "other"), (default_bus, "default")):
        calls.clear()
        emit(each, "employee.created")
        assert calls == [name]
        assert len(each.handlers()) == 1


def test_the_names_of_the_package_belong_to_the_default_bus(default_bus: EventBus) -> None:
    calls: list[int] = []
    assert default_bus is bus
    on("employee.created")(lambda: calls.append(1))
    asyncio.run(fastsoy_events.emit("employee.created")).raise_if_any()
    assert calls == [1]
    assert handlers() == bus.handlers()
    assert handlers("employee.created") == bus.handlers("employee.created")
    assert plugins() == bus.plugins() == ()


def test_one_function_may_be_a_handler_on_several_buses(fresh_bus: EventBus) -> None:
    other = EventBus()

    @fresh_bus.on("employee.created")
    @other.on("employee.created")
    def note() -> None: ...

    assert ids(fresh_bus) == ids(other) == [f"host:{__name__}:{note.__qualname__}"]


def test_a_bus_is_freed_with_its_handlers() -> None:
    class Listener:
        def hear(self) -> None: ...

    a_bus, listener = EventBus(), Listener()
    a_bus.on("employee.created")(listener.hear)
    emit(a_bus, "employee.created")
    references = [weakref.ref(a_bus), weakref.ref(listener)]
    del a_bus, listener
    gc.collect()
    assert [each() for each in references] == [None, None]


def test_a_module_may_be_executed_again_after_its_bus_is_gone(site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "from fastsoy_events import EventBus\nown = EventBus()\n@own.on('employee.created')\ndef f(): ...\n"
    )
    shop = importlib.import_module("shop")
    old = weakref.ref(shop.own)
    importlib.reload(shop)
    gc.collect()
    assert old() is None
    assert ids(shop.own) == ["host:shop:f"]


# Listing


def test_handlers_are_listed_by_event_and_in_order(fresh_bus: EventBus) -> None:
    def second() -> None: ...
    def first() -> None: ...

    for event in ("order.placed", "employee.created"):
        fresh_bus.on(event)(first)
        fresh_bus.on(event)(second)
    listed = [
        (handler.event, handler.position, handler.qualname.rpartition(".")[2]) for handler in fresh_bus.handlers()
    ]
    assert listed == [
        ("employee.created", 0, "first"),
        ("employee.created", 1, "second"),
        ("order.placed", 0, "first"),
        ("order.placed", 1, "second"),
    ]
    assert fresh_bus.handlers("order.placed") == fresh_bus.handlers()[2:]


def test_an_event_that_nobody_listens_to_lists_nothing(fresh_bus: EventBus) -> None:
    assert fresh_bus.handlers("employee.created") == ()
    assert fresh_bus.handlers() == ()


async def test_the_listing_and_the_dispatch_agree_after_each_registration(fresh_bus: EventBus) -> None:
    for number in range(1, 4):
        calls: list[int] = []
        fresh_bus.on("employee.created")(lambda calls, number=number: calls.append(number))
        assert len(fresh_bus.handlers("employee.created")) == number
        await fresh_bus.emit("employee.created", calls=calls)
        assert calls == list(range(1, number + 1))


def record(module: str, source: str) -> Handler:
    """Return the listing record of a handler."""
    return Handler(
        event="employee.created",
        position=0,
        plugin="mail",
        distribution="acme",
        version="1.0",
        module=module,
        qualname="Desk.greet",
        is_async=True,
        source=source,
        id=f"acme:mail:{module}:Desk.greet",
        function=print,
    )


def test_a_handler_can_be_a_row_of_a_table() -> None:
    assert record("acme.mail", "/srv/site/acme/mail.py:7").as_dict() == {
        "event": "employee.created",
        "position": 0,
        "id": "acme:mail:acme.mail:Desk.greet",
        "stable_id": "",
        "plugin": "mail",
        "distribution": "acme",
        "version": "1.0",
        "module": "acme.mail",
        "qualname": "Desk.greet",
        "handler": "acme.mail.Desk.greet",
        "kind": "async",
        "source": "/srv/site/acme/mail.py:7",
    }


@pytest.mark.parametrize(
    ("module", "source", "relative"),
    [
        ("acme.mail", "/srv/site/acme/mail.py:7", "acme/mail.py:7"),
        ("acme.mail", "/srv/acme/site/acme/mail/__init__.py:7", "acme/mail/__init__.py:7"),
        ("acme", "/srv/site/acme.py:7", "acme.py:7"),
        ("acme.mail", "/srv/site/functions.py:7", "functions.py:7"),
        ("__main__", "/srv/site/program.py:7", "program.py:7"),
        ("acme", "<string>:7", "<string>:7"),
        # The project's folder has the package's name, and the code of the handler is another package's.
        ("acme.mail", "/srv/acme/.venv/lib/python3.11/site-packages/other/mail.py:7", "mail.py:7"),
        ("acme.mail.more", "/srv/acme/mail/lib/site-packages/acme/mail/more.py:7", "acme/mail/more.py:7"),
    ],
)
def test_a_relative_source_shows_no_path_of_the_server(module: str, source: str, relative: str) -> None:
    assert record(module, source).as_dict(relative=True)["source"] == relative


def test_a_plugin_can_be_a_row_of_a_table(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme": counting("acme")}, version="2.0")
    site.install("zebra", {"audit": "zebra"}, {"zebra": "raise ValueError('no ink')"})
    load_plugins(path=[site.folder])
    loaded, failed = (plugin.as_dict() for plugin in plugins())
    assert loaded.pop("import_seconds") == plugins()[0].import_seconds
    assert loaded == {
        "name": "mail",
        "distribution": "acme",
        "version": "2.0",
        "module": "acme",
        "status": "loaded",
        "error": None,
        "handlers": 1,
    }
    assert (failed["status"], failed["handlers"]) == ("failed", 0)
    assert "ValueError: no ink" in str(failed["error"])


# Memory


async def test_names_that_nobody_listens_to_do_not_pile_up(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")(lambda: None)

    async def emit_many(made_up: str) -> None:
        for number in range(5_000):
            await fresh_bus.emit(f"{made_up}.number_{number}", number=number)
            assert fresh_bus.handlers(f"{made_up}.number_{number}") == ()

    await emit_many("warm_up")
    tracemalloc.start()
    try:
        await emit_many("made_up")
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Five thousand names alone are a quarter of a million bytes, and more with a plan for each.
    assert grown < 100_000


async def test_payloads_and_results_are_not_kept(fresh_bus: EventBus) -> None:
    class Order:
        pass

    fresh_bus.on("order.placed")(lambda order: order)
    order = Order()
    reference = weakref.ref(order)
    await fresh_bus.emit("order.placed", order=order)
    del order
    gc.collect()
    assert reference() is None


def test_what_a_module_declared_before_it_executed_again_is_freed(site: Site) -> None:
    (site.folder / "shop.py").write_text(counting("shop"))
    shop = importlib.import_module("shop")
    reference = weakref.ref(shop.shop)
    assert calls_of() == ["shop"]
    importlib.reload(shop)
    assert calls_of() == ["shop"]
    gc.collect()
    assert reference() is None


# isolated()


def test_isolated_empties_the_bus_and_restores_it(fresh_bus: EventBus) -> None:
    calls: list[str] = []
    fresh_bus.on("employee.created")(lambda: calls.append("outer"))
    before = fresh_bus.handlers()
    with fresh_bus.isolated() as inner:
        assert inner is fresh_bus
        assert fresh_bus.handlers() == ()
        emit(fresh_bus, "employee.created")
        assert calls == []
        fresh_bus.on("employee.created")(lambda: calls.append("inner"))
        emit(fresh_bus, "employee.created")
        assert calls == ["inner"]
    assert fresh_bus.handlers() == before
    calls.clear()
    emit(fresh_bus, "employee.created")
    assert calls == ["outer"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_isolated_restores_the_bus_after_an_error(error: type[BaseException], fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")(lambda: None)
    before = fresh_bus.handlers()

    def fail() -> None:
        with fresh_bus.isolated():
            fresh_bus.on("employee.created")(lambda: None)
            raise error

    with pytest.raises(error):
        fail()
    assert fresh_bus.handlers() == before


def test_isolated_nests(fresh_bus: EventBus) -> None:
    def note(name: str) -> list[str]:
        fresh_bus.on("employee.created")(lambda calls: calls.append(name))
        return [name]

    def called() -> list[str]:
        calls: list[str] = []
        emit(fresh_bus, "employee.created", calls=calls)
        return calls

    outer = note("outer")
    with fresh_bus.isolated():
        middle = note("middle")
        with fresh_bus.isolated():
            assert called() == []
            assert called() + note("inner") == called()
        assert called() == middle
    assert called() == outer


def test_isolated_can_be_used_again_and_starts_empty_each_time(fresh_bus: EventBus) -> None:
    for _ in range(2):
        with fresh_bus.isolated():
            assert fresh_bus.handlers() == ()
            fresh_bus.on("employee.created")(lambda: None)


def test_isolated_is_a_decorator_too(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")(lambda: None)

    @fresh_bus.isolated()
    def count() -> int:
        return len(fresh_bus.handlers())

    assert (count(), count(), len(fresh_bus.handlers())) == (0, 0, 1)


async def test_an_emit_that_began_before_goes_on_with_its_own_handlers(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    @fresh_bus.on("employee.created")
    async def first() -> None:
        with fresh_bus.isolated():
            assert await fresh_bus.emit("employee.created") == ()
        calls.append("first")

    fresh_bus.on("employee.created")(lambda: calls.append("second"))
    (await fresh_bus.emit("employee.created")).raise_if_any()
    assert calls == ["first", "second"]


def test_a_module_reloaded_in_isolation_leaves_nothing_stale_outside(site: Site) -> None:
    (site.folder / "shop.py").write_text(counting("shop"))
    shop = importlib.import_module("shop")
    with bus.isolated():
        importlib.reload(shop)
        assert calls_of() == ["shop"]
    # The module that Python has now declared inside: outside it has executed again, and so dropped what it had.
    assert calls_of() == []


def test_hook_specifications_stay_in_isolation(site: Site) -> None:
    class Specifications:
        @hookspec
        def menu_entries(self) -> Any: ...

    bus.add_hookspecs(Specifications)
    bus.add_hookspecs(Specifications)  # as often as one likes
    source = "from fastsoy_events import hookimpl\n@hookimpl\ndef menu_entries(): return 'acme'\n"
    site.install("acme", {"menu": "acme_menu"}, {"acme_menu": source})
    assert bus.hook.menu_entries() == []
    for _ in range(2):
        with bus.isolated():
            assert bus.hook.menu_entries() == []
            load_plugins(path=[site.folder])
            assert bus.hook.menu_entries() == ["acme"]
    assert bus.hook.menu_entries() == []


def install_two(site: Site) -> None:
    """Install two plugins, one of them with two modules."""
    site.install(
        "acme",
        {"mail": "acme.handlers"},
        {
            "acme.__init__": "",
            "acme.handlers": "from acme import more\n" + counting("acme"),
            "acme.more": counting("more"),
        },
    )
    site.install("zebra", {"audit": "zebra"}, {"zebra": counting("zebra")})


IN_ORDER = [
    "acme:mail:acme.handlers:acme",
    "acme:mail:acme.more:more",
    "zebra:audit:zebra:zebra",
]


def test_plugins_can_be_loaded_again_in_isolation_and_take_part_again(site: Site) -> None:
    install_two(site)
    first = load_plugins(path=[site.folder])
    modules = [sys.modules[name] for name in ("acme.handlers", "acme.more", "zebra")]
    assert ids() == IN_ORDER
    for _ in range(2):
        with bus.isolated():
            assert ids() == []
            assert plugins() == ()
            assert calls_of() == []
            again = load_plugins(path=[site.folder])
            assert ids() == IN_ORDER
            assert calls_of() == ["acme", "more", "zebra"]
            assert again.fingerprint == first.fingerprint
            with bus.isolated():
                load_plugins(path=[site.folder])
                assert ids() == IN_ORDER
    assert ids() == IN_ORDER
    assert load_plugins() is first
    assert modules == [sys.modules[name] for name in ("acme.handlers", "acme.more", "zebra")]


def test_other_arguments_may_be_given_in_isolation(site: Site) -> None:
    install_two(site)
    load_plugins(path=[site.folder])
    with bus.isolated():
        load_plugins(path=[site.folder], order=["zebra"], disabled=["mail"])
        assert ids() == ["zebra:audit:zebra:zebra"]
        with pytest.raises(AlreadyLoadedError):
            load_plugins(path=[site.folder])
    assert ids() == IN_ORDER


def test_plugins_first_imported_in_isolation_take_part_outside_once_they_are_loaded(site: Site) -> None:
    install_two(site)
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER
    assert ids() == []
    assert calls_of() == []
    load_plugins(path=[site.folder])
    assert ids() == IN_ORDER
    assert calls_of() == ["acme", "more", "zebra"]


def test_plugins_imported_before_isolation_but_never_loaded_take_part_in_it(site: Site) -> None:
    install_two(site)
    importlib.import_module("zebra")
    importlib.import_module("acme.more")
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER
        assert calls_of() == ["acme", "more", "zebra"]


def test_the_hosts_handlers_do_not_take_part_in_isolation(site: Site) -> None:
    install_two(site)
    on("employee.created")(lambda calls: calls.append("host"))
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER


def test_a_plugin_that_executed_again_in_isolation_takes_part_once(site: Site) -> None:
    install_two(site)
    load_plugins(path=[site.folder])
    with bus.isolated():
        importlib.reload(sys.modules["zebra"])
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER
        assert calls_of() == ["acme", "more", "zebra"]
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER
        assert calls_of() == ["acme", "more", "zebra"]


def test_a_plugin_imported_anew_in_isolation_takes_part_once(site: Site) -> None:
    install_two(site)
    load_plugins(path=[site.folder])
    for _ in range(2):
        del sys.modules["zebra"]
        with bus.isolated():
            load_plugins(path=[site.folder])
            assert ids() == IN_ORDER
            assert calls_of() == ["acme", "more", "zebra"]


def test_a_plugin_that_is_gone_takes_no_part_in_isolation(site: Site) -> None:
    install_two(site)
    load_plugins(path=[site.folder])
    sys.modules["zebra"] = importlib.import_module("textwrap")
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == IN_ORDER[:2]


def test_a_failed_plugins_handlers_come_back_neither_in_isolation_nor_after(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme": counting("acme") + "\nraise ValueError\n"})
    load_plugins(path=[site.folder])
    assert ids() == []
    with bus.isolated():
        load_plugins(path=[site.folder])
        assert ids() == []
    assert ids() == []


def test_overlapping_isolation_ends_with_the_first_state(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")(lambda: None)
    before = fresh_bus.handlers()
    first, second = fresh_bus.isolated(), fresh_bus.isolated()
    first.__enter__()
    second.__enter__()
    # As two tests in two threads, or two fixtures of different scopes, may end.
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert fresh_bus.handlers() == before


async def test_emits_on_the_default_bus_in_isolation_find_nobody(default_bus: EventBus) -> None:
    failures = await default_bus.emit("employee.created", employee_id=1)
    assert type(failures) is Failures
    assert failures == ()


# One handler by itself


async def test_one_handler_runs_as_an_emit_would_run_it(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[object] = []
    fresh_bus.on("item.made")(lambda number: seen.append(number))

    @fresh_bus.on("item.made", timeout=60)
    async def fail(**payload: object) -> None:
        seen.append(payload)
        raise LookupError("none")

    first, second = fresh_bus.handlers()
    assert await fresh_bus.run_handler(first, number=1) == ()
    (failure,) = await fresh_bus.run_handler(second, number=2)
    assert seen == [1, {"number": 2}]
    assert (failure.event, failure.handler, str(failure.error)) == ("item.made", second, "none")
    assert [record.getMessage() for record in caplog.records] == [f"Event handler error: item.made / {second.label}"]


async def test_a_handler_that_is_gone_cannot_be_run(fresh_bus: EventBus) -> None:
    fresh_bus.on("item.made")(print)
    (handler,) = fresh_bus.handlers()
    with (
        fresh_bus.isolated(),
        pytest.raises(LookupError, match=r"item.made has no handler .*print: take the record out"),
    ):
        await fresh_bus.run_handler(handler)


async def test_a_handler_is_run_by_itself_although_emits_are_wrapped_or_wait(fresh_bus: EventBus) -> None:
    seen: list[object] = []
    fresh_bus.on("item.made")(lambda number: seen.append(number))
    async with fresh_bus.deferred():
        await fresh_bus.run_handler(fresh_bus.handlers()[0], number=1)
        assert seen == [1]
