from __future__ import annotations

from datetime import date

import httpx
import pytest
from fastapi import FastAPI
from fastsoy_audit.models import AuditEntry
from fastsoy_audit.router import router

from fastsoy_events import emit, handlers, load_plugins

pytestmark = pytest.mark.usefixtures("empty_bus")

CREATED = {"employee_id": 17, "department_id": 3, "created_by": 7}
CHANGED = {"employee_id": 17, "from_state": "onboarding", "to_state": "active", "actor_id": 8}


@pytest.fixture(autouse=True)
def loaded(empty_bus: object) -> None:
    load_plugins(allowed=["fastsoy-audit"], strict=True)


def test_the_plugin_handles_both_events() -> None:
    assert [(handler.event, handler.id) for handler in handlers()] == [
        ("employee.created", "fastsoy-audit:audit:fastsoy_audit.handlers:record_created"),
        ("employee.status_changed", "fastsoy-audit:audit:fastsoy_audit.handlers:record_status_changed"),
    ]


@pytest.mark.usefixtures("database")
async def test_both_events_are_recorded_whole() -> None:
    assert not await emit("employee.created", **CREATED)
    assert not await emit("employee.status_changed", **CHANGED)
    entries = await AuditEntry.all().order_by("id")
    assert [(entry.event, entry.payload) for entry in entries] == [
        ("employee.created", CREATED),
        ("employee.status_changed", CHANGED),
    ]
    assert entries[0].recorded_at <= entries[1].recorded_at


@pytest.mark.usefixtures("database")
async def test_any_keyword_and_any_value_is_recorded() -> None:
    first_day = date(2031, 4, 1)
    assert not await emit("employee.created", **CREATED, event="hired", self=1, payload=[1], first_day=first_day)
    assert (await AuditEntry.get()).payload == {
        **CREATED,
        "event": "hired",
        "self": 1,
        "payload": [1],
        "first_day": "2031-04-01",
    }


@pytest.mark.usefixtures("database")
async def test_entries_can_be_read() -> None:
    await emit("employee.created", **CREATED)
    await emit("employee.status_changed", **CHANGED)
    application = FastAPI()
    application.include_router(router)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        rows = (await client.get("/audit/entries")).json()
        part = (await client.get("/audit/entries", params={"after": rows[0]["id"], "limit": 1})).json()
    assert [(row["event"], row["payload"]) for row in rows] == [
        ("employee.created", CREATED),
        ("employee.status_changed", CHANGED),
    ]
    assert part == rows[1:]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("after", "status"), [(-1, 422), (0, 200), (2**31 - 1, 200), (2**31, 422), (10**20, 422)])
async def test_a_number_that_no_database_holds_is_refused(after: int, status: int) -> None:
    application = FastAPI()
    application.include_router(router)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.get("/audit/entries", params={"after": after})).status_code == status
