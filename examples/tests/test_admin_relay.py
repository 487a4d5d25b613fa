"""The application and another one, payroll, that know each other by a broker alone: a real NATS server."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastsoy_events_relay import Relay

from fastsoy_events import bus, emit, load_plugins, on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

PATIENCE = 60  # seconds
SERVERS = Path(__file__).resolve().parents[2] / "plugins" / "fastsoy-events-relay" / "tests" / "servers.py"


def module_of_servers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("admin_relay_servers", SERVERS)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Any]:
    """Return a NATS server that does not run yet."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = module_of_servers().Nats(folder)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Queue[dict[str, object]]]:
    """Make this process payroll, which handles new employees; return what it hears of them."""
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "fastsoy-events-relay")
    for name in ("DISABLED", "LOCK"):
        monkeypatch.delenv(f"FASTSOY_EVENTS_{name}", raising=False)
    queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    with bus.isolated():

        @on("employee.created")
        async def hear(**payload: object) -> None:
            queue.put_nowait(payload)

        load_plugins(strict=True)
        yield queue


@pytest.mark.parametrize("without", ["", "fastsoy_events_durable"])
async def test_another_application_hears_of_employees_and_is_heard(
    serve: Callable[..., Any], broker: Any, heard: asyncio.Queue[dict[str, object]], without: str
) -> None:
    disabled = without.replace("_", "-")
    server = await asyncio.to_thread(serve, without, ADMIN_BROKER=broker.url, FASTSOY_EVENTS_DISABLED=disabled)
    [before] = await asyncio.to_thread(server.hire, "Ada Brook")  # there is no broker yet
    broker.start()
    payroll = Relay(broker.url, app="payroll", forward=["payroll.*"], receive=["employee.*"])
    async with payroll, asyncio.timeout(PATIENCE):
        [after] = await asyncio.to_thread(server.hire, "Ben Castle")
        payloads = [await heard.get(), await heard.get()]
        assert sorted(payloads, key=lambda payload: str(payload["employee_id"])) == [
            {"employee_id": before, "department_id": 1, "created_by": 7},
            {"employee_id": after, "department_id": 2, "created_by": 7},
        ]
        await emit("payroll.paid", employee_id=after)
        await asyncio.to_thread(server.expect, "payroll has paid an employee")
    await asyncio.to_thread(server.stop)
    assert heard.empty()


async def test_a_broker_outage_and_a_crash_together_lose_nothing(
    serve: Callable[..., Any], broker: Any, heard: asyncio.Queue[dict[str, object]]
) -> None:
    server = await asyncio.to_thread(serve, ADMIN_BROKER=broker.url)
    [employee] = await asyncio.to_thread(server.hire, "Ada Brook")
    server.kill()
    broker.start()
    await asyncio.to_thread(serve, ADMIN_BROKER=broker.url)
    async with Relay(broker.url, app="payroll", receive=["employee.*"]), asyncio.timeout(PATIENCE):
        assert (await heard.get())["employee_id"] == employee
