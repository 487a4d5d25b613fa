"""Extension hooks: what a plugin does besides handling events, called one by one in plugin order, and isolated."""

from __future__ import annotations

import asyncio
import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fastsoy_events import bus, deferred, emit, event, hookspecs, load_plugins

if TYPE_CHECKING:
    from conftest import Site

SEEN: list[str] = []
"""What plugins under test have noted, in order."""


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(bus, "seen", SEEN, raising=False)


def install(site: Site, name: str, source: str) -> None:
    head = "from fastsoy_events import bus, hookimpl, on\n"
    site.install(name, {name: f"{name}_events"}, {f"{name}_events": head + inspect.cleandoc(source)})


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


GREETS = """
    @on("employee.created")
    async def greet(**payload):
        bus.seen.append("greet")
        return payload
"""


async def test_plugins_wrap_handlers_in_plugin_order_once_for_each_handler(site: Site) -> None:
    install(site, "greeter", GREETS)
    for name in ("beta", "alpha"):
        source = f"""
            @hookimpl
            def fastsoy_events_wrap_handler(handler, call):
                bus.seen.append("{name} wraps " + handler.qualname)
                async def wrapped(**payload):
                    bus.seen.append("{name} before")
                    result = await call(**payload)
                    bus.seen.append("{name} after")
                    return result
                return wrapped
        """
        install(site, name, source)
    load_plugins(path=[site.folder])
    assert not SEEN
    assert not await emit("employee.created", employee_id=1)
    around = ["beta before", "alpha before", "greet", "alpha after", "beta after"]
    assert ["alpha wraps greet", "beta wraps greet", *around] == SEEN
    SEEN.clear()
    await emit("employee.created", employee_id=1)
    assert around == SEEN


async def test_a_wrapped_handler_is_listed_and_fails_under_its_own_name(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    source = """
        @on("employee.created")
        def fail(**_): raise LookupError("no desk")
        @hookimpl
        def fastsoy_events_wrap_handler(call):
            return lambda **payload: call(**payload)
    """
    install(site, "desk", source)
    load_plugins(path=[site.folder])
    [failure] = await emit("employee.created")
    assert failure.handler.id == "desk:desk:desk_events:fail"
    assert errors(caplog) == ["Event handler error: employee.created / desk_events.fail"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [("raise LookupError('no')", "LookupError: no"), ("return 3", "returns something to be called, or None: not 3")],
)
async def test_a_plugin_that_cannot_wrap_a_handler_leaves_it_as_it_is(
    site: Site, caplog: pytest.LogCaptureFixture, body: str, problem: str
) -> None:
    install(site, "greeter", GREETS)
    install(site, "broken", f"@hookimpl\ndef fastsoy_events_wrap_handler(handler):\n    {body}")
    load_plugins(path=[site.folder])
    assert not await emit("employee.created")
    assert SEEN == ["greet"]
    assert errors(caplog) == ["Event extension error: fastsoy_events_wrap_handler / broken:broken"]
    assert problem in caplog.text


NOTES_EMITS = """
    @hookimpl
    def fastsoy_events_wrap_emit(event, call):
        async def noted(**payload):
            bus.seen.append(f"emit {event} {payload}")
            failures = await call(**payload)
            bus.seen.append(f"{len(failures)} failures")
            return failures
        return noted if event != "nobody.cares" else None
"""


async def test_a_plugin_wraps_emits_also_where_nobody_listens(site: Site) -> None:
    install(site, "notes", NOTES_EMITS)
    load_plugins(path=[site.folder])
    assert not await emit("employee.left", employee_id=1)
    assert not await emit("nobody.cares")
    assert SEEN == ["emit employee.left {'employee_id': 1}", "0 failures"]


async def test_an_emit_by_event_object_is_wrapped_as_one_by_name_is(site: Site) -> None:
    @event("employee.left")
    def employee_left(*, employee_id: int) -> None:
        """Somebody left."""

    await employee_left.emit(employee_id=1)
    kept = employee_left.emit
    install(site, "notes", NOTES_EMITS)
    load_plugins(path=[site.folder])
    await employee_left.emit(employee_id=2)
    await kept(employee_id=3)
    assert SEEN[::2] == ["emit employee.left {'employee_id': 2}", "emit employee.left {'employee_id': 3}"]


async def test_wrapped_emits_are_seen_before_they_are_deferred(site: Site) -> None:
    install(site, "greeter", GREETS)
    install(site, "notes", NOTES_EMITS)
    load_plugins(path=[site.folder])
    async with deferred():
        await emit("employee.created", n=1)
        SEEN.append("end of the block")
    assert SEEN == ["emit employee.created {'n': 1}", "0 failures", "end of the block", "greet"]


async def test_what_a_wrapped_emit_raises_reaches_the_emitter_and_nothing_runs(site: Site) -> None:
    install(site, "greeter", GREETS)
    source = """
        @hookimpl
        def fastsoy_events_wrap_emit(event, call):
            async def refuse(**payload):
                raise PermissionError(event)
            return refuse
    """
    install(site, "guard", source)
    load_plugins(path=[site.folder])
    with pytest.raises(PermissionError, match=r"employee\.created"):
        await emit("employee.created")
    assert not SEEN


async def test_plugins_learn_of_each_failure_once_all_handlers_have_run(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    source = """
        @on("employee.created")
        async def fail(**_): raise LookupError("first")
        @on("employee.created")
        def last(**_): bus.seen.append("last handler")
        @hookimpl
        async def fastsoy_events_handler_failed(failure):
            bus.seen.append(f"{failure.handler.qualname}: {failure.error}")
    """
    install(site, "alpha", source)
    install(site, "beta", "@hookimpl\ndef fastsoy_events_handler_failed(): raise RuntimeError('unwell')")
    install(site, "gamma", "@hookimpl\ndef fastsoy_events_handler_failed(failure): bus.seen.append('gamma')")
    load_plugins(path=[site.folder])
    [failure] = await emit("employee.created")
    assert isinstance(failure.error, LookupError)
    assert SEEN == ["last handler", "fail: first", "gamma"]
    assert errors(caplog) == [
        "Event handler error: employee.created / alpha_events.fail",
        "Event extension error: fastsoy_events_handler_failed / beta:beta",
    ]


def test_plugins_learn_what_became_of_each_plugin_in_plugin_order(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    source = """
        @hookimpl
        def fastsoy_events_plugin_loaded(plugin): bus.seen.append(f"{plugin.name} {plugin.status}")
        @hookimpl
        def fastsoy_events_plugin_failed(plugin): bus.seen.append(f"{plugin.name} failed: {plugin.error.reason}")
    """
    install(site, "watcher", source)
    install(site, "alpha", GREETS)
    install(site, "broken", "raise LookupError('no')")
    install(site, "late", "@hookimpl\nasync def fastsoy_events_plugin_loaded(plugin): ...")
    load_plugins(path=[site.folder])
    assert SEEN == [
        "alpha loaded",
        "broken failed: importing it raised LookupError: no",
        "late loaded",
        "watcher loaded",
    ]
    late = "Event extension error: fastsoy_events_plugin_loaded / late:late"
    assert errors(caplog)[1:] == [late, late, late]
    assert "is called where nothing can be awaited: write a plain def" in caplog.text


async def test_plugins_start_in_order_and_end_in_reverse(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("beta", "alpha"):
        source = f"""
            @hookimpl
            async def fastsoy_events_startup(bus): bus.seen.append("{name} up")
            @hookimpl
            def fastsoy_events_shutdown(bus): bus.seen.append("{name} down"); raise OSError("{name}")
        """
        install(site, name, source)
    load_plugins(path=[site.folder])
    await bus.startup()
    await bus.shutdown()
    assert SEEN == ["alpha up", "beta up", "beta down", "alpha down"]
    assert errors(caplog) == [
        "Event extension error: fastsoy_events_shutdown / beta:beta",
        "Event extension error: fastsoy_events_shutdown / alpha:alpha",
    ]


async def test_a_cancellation_passes_through_an_extension(site: Site) -> None:
    install(site, "slow", "import asyncio\n@hookimpl\nasync def fastsoy_events_startup(): await asyncio.Event().wait()")
    install(site, "zeta", "@hookimpl\ndef fastsoy_events_startup(): bus.seen.append('zeta')")
    load_plugins(path=[site.folder])
    starting = asyncio.create_task(bus.startup())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not SEEN


async def test_extensions_of_plugins_that_failed_or_were_isolated_take_no_part(site: Site) -> None:
    install(site, "alpha", "@hookimpl\ndef fastsoy_events_startup(): bus.seen.append('alpha')")
    install(site, "broken", "@hookimpl\ndef fastsoy_events_startup(): bus.seen.append('broken')\nraise OSError")
    with bus.isolated():
        load_plugins(path=[site.folder])
        await bus.startup()
        assert SEEN == ["alpha"]
    await bus.startup()
    assert SEEN == ["alpha"]


def test_every_hook_is_documented_and_tested() -> None:
    root = Path(__file__).resolve().parent.parent
    here = Path(__file__).read_text(encoding="utf-8")
    page = (root / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    for name in hookspecs.__all__:
        assert inspect.getdoc(getattr(hookspecs, name)), name
        assert here.count(name) > 0, f"no test names {name}"
        assert page.count(f"`{name}`") == 1, f"docs/reference/hooks.md does not have {name}"
