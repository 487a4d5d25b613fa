"""The lifespan of an application: load, start, serve, end; and nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from fastsoy_events import LockError, PluginLoadError, bus, handlers, plugins
from fastsoy_events.contrib.starlette import events_lifespan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from conftest import Site

SEEN: list[str] = []

PLUGIN = """
    from fastsoy_events import bus, hookimpl, on

    @on("employee.created")
    def greet(**_): ...

    @hookimpl
    async def fastsoy_events_startup(bus): bus.seen.append("{name} up")

    @hookimpl
    async def fastsoy_events_shutdown(bus): bus.seen.append("{name} down")
"""


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    monkeypatch.setattr(bus, "seen", SEEN, raising=False)


@pytest.fixture
def two_plugins(site: Site) -> Site:
    for name in ("alpha", "beta"):
        site.install(name, {name: f"{name}_events"}, {f"{name}_events": PLUGIN.format(name=name)})
    return site


ONLY = ("alpha", "beta")


@asynccontextmanager
async def database(application: Starlette) -> AsyncGenerator[dict[str, str]]:
    assert handlers("employee.created"), "plugins are loaded before the application's own lifespan begins"
    SEEN.append("opened")
    yield {"database": "open"}
    SEEN.append("closed")


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
async def test_it_loads_then_opens_then_starts_and_ends_in_reverse(two_plugins: Site, kind: type[Starlette]) -> None:
    application = kind(lifespan=events_lifespan(database, allowed=ONLY))
    tasks = asyncio.all_tasks()
    async with application.router.lifespan_context(application) as state:
        assert state == {"database": "open"}
        assert SEEN == ["opened", "alpha up", "beta up"]
        SEEN.clear()
    assert SEEN == ["beta down", "alpha down", "closed"]
    assert asyncio.all_tasks() == tasks


async def test_it_logs_one_line(two_plugins: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fastsoy_events"):
        async with events_lifespan(allowed=ONLY, disabled=["beta"])(None) as state:
            assert state is None
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert re.fullmatch(r"1 plugins, 1 handlers, fingerprint [0-9a-f]{12}, loaded in \d+ ms", line)


async def test_an_application_may_start_again(two_plugins: Site) -> None:
    lifespan = events_lifespan(allowed=ONLY, order=["beta"])
    for _ in range(2):
        async with lifespan(None):
            assert [plugin.name for plugin in plugins() if plugin.status == "loaded"] == ["beta", "alpha"]
    assert SEEN == ["beta up", "alpha up", "alpha down", "beta down"] * 2


async def test_a_strict_start_fails_before_anything_opens(two_plugins: Site) -> None:
    two_plugins.install("broken", {"broken": "no_such_module"})
    with pytest.raises(PluginLoadError):
        async with events_lifespan(database, strict=True, allowed=[*ONLY, "broken"])(None):
            pytest.fail("it started")
    assert not SEEN


async def test_a_start_against_a_lock_that_does_not_hold_fails_before_anything_opens(
    two_plugins: Site, tmp_path: Path
) -> None:
    with pytest.raises(LockError, match=r"missing\.lock cannot be used"):
        async with events_lifespan(database, allowed=ONLY, lock=tmp_path / "missing.lock")(None):
            pytest.fail("it started")
    assert not SEEN


async def test_plugins_end_also_when_the_application_fails(two_plugins: Site) -> None:
    with pytest.raises(LookupError):
        async with events_lifespan(allowed=ONLY)(None):
            raise LookupError
    assert SEEN == ["alpha up", "beta up", "beta down", "alpha down"]
