from __future__ import annotations

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsoy_events import handlers, plugins

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import httpx
    import pytest
    from fastapi import FastAPI

    Running = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]

CREATED = [
    "admin.handlers.reserve_desk",
    "fastsoy_audit.handlers.record_created",
    "fastsoy_notify.handlers.send_welcome",
]
CHANGED = ["fastsoy_audit.handlers.record_status_changed"]


async def post(client: httpx.AsyncClient, path: str, expected: int = 201, **body: object) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == expected, answer.text
    decoded: dict[str, Any] = answer.json()
    return decoded


async def test_creating_an_employee_reaches_every_module(client: httpx.AsyncClient, tmp_path: Path) -> None:
    department = await post(client, "/hr/departments", name="Sales")
    employee = await post(client, "/hr/employees", full_name="Ada Brook", department_id=department["id"])
    await post(client, f"/hr/employees/{employee['id']}/state", 200, state="active")

    [message] = (await client.get("/notify/messages")).json()
    assert (message["employee_id"], message["subject"]) == (employee["id"], "Welcome")
    assert message["sent_at"] is not None
    created, changed = (await client.get("/audit/entries")).json()
    assert created["event"] == "employee.created"
    assert created["payload"] == {"employee_id": employee["id"], "department_id": department["id"], "created_by": 7}
    assert changed["event"] == "employee.status_changed"
    assert changed["payload"] == {
        "employee_id": employee["id"],
        "from_state": "onboarding",
        "to_state": "active",
        "actor_id": 7,
    }
    with closing(sqlite3.connect(tmp_path / "admin.sqlite3")) as connection:
        assert connection.execute("SELECT state FROM hr_employee").fetchall() == [("active",)]
        assert connection.execute("SELECT count(*) FROM audit_entry").fetchall() == [(2,)]


async def test_a_refused_state_emits_nothing(client: httpx.AsyncClient) -> None:
    department = await post(client, "/hr/departments", name="Sales")
    employee = await post(client, "/hr/employees", full_name="Ada Brook", department_id=department["id"])
    refused = await post(client, f"/hr/employees/{employee['id']}/state", 409, state="on_leave")
    assert "cannot go from onboarding to on_leave" in refused["detail"]
    assert [row["event"] for row in (await client.get("/audit/entries")).json()] == ["employee.created"]


async def test_a_failing_handler_leaves_the_response_and_the_others_alone(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await post(client, "/hr/departments", name="Sales")
    full = await post(client, "/hr/departments", name="Attic")
    assert full["id"] == 2
    await post(client, "/hr/employees", full_name="Cleo Dale", department_id=full["id"])
    failures = [record for record in caplog.records if record.name == "fastsoy_events"]
    assert [record.getMessage() for record in failures] == [
        "Event handler error: employee.created / admin.handlers.reserve_desk"
    ]
    assert failures[0].exc_info is not None
    assert isinstance(failures[0].exc_info[1], LookupError)
    assert len((await client.get("/notify/messages")).json()) == 1
    assert len((await client.get("/audit/entries")).json()) == 1


async def test_the_handlers_are_listed_in_order_and_without_paths(client: httpx.AsyncClient) -> None:
    answer = await client.get("/events/handlers")
    rows = answer.json()
    assert [row["handler"] for row in rows] == CREATED + CHANGED
    assert [row["position"] for row in rows] == [0, 1, 2, 0]
    assert rows == [handler.as_dict(relative=True) for handler in handlers()]
    assert set(rows[0]) == {
        *("event", "position", "id", "plugin", "distribution", "version", "module", "qualname"),
        *("handler", "kind", "source", "stable_id"),
    }
    for row in rows:
        assert re.fullmatch(re.escape(row["module"].replace(".", "/")) + r"\.py:\d+", row["source"])
    for handler in handlers():
        assert str(Path(handler.source).parent) not in answer.text


async def test_one_line_at_start_up_says_what_was_found(
    application: FastAPI, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fastsoy_events")
    async with running(application):
        pass
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert re.fullmatch(r"3 plugins, 4 handlers, fingerprint [0-9a-f]+, loaded in \d+ ms", line)


async def test_the_application_can_start_more_than_once(application: FastAPI, running: Running) -> None:
    paths: list[object] = []
    for name in ("Sales", "Attic", "Cellar"):
        async with running(application) as client:
            await post(client, "/hr/departments", name=name)
            document = (await client.get("/openapi.json")).json()
            paths.append(document["paths"])
            assert len(application.state.mounted) == 3
    assert paths[0] == paths[1] == paths[2]
    assert len(handlers()) == 4


async def test_two_applications_follow_each_other(application: FastAPI, running: Running) -> None:
    from admin.app import create_app

    async with running(application) as client:
        await post(client, "/hr/departments", name="Sales")
    async with running(create_app()) as client:
        assert (await post(client, "/hr/departments", name="Attic"))["id"] == 2


async def test_without_plugins_it_still_serves(
    application: FastAPI, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "")
    async with running(application) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert [row["handler"] for row in (await client.get("/events/handlers")).json()] == CREATED[:1]
        assert (await client.get("/hr/employees")).status_code == 404


async def test_a_disabled_module_is_not_there(
    application: FastAPI, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTSOY_EVENTS_DISABLED", "notify")
    async with running(application) as client:
        assert [row["plugin"] for row in (await client.get("/events/handlers")).json()] == ["", "audit", "audit"]
        assert (await client.get("/notify/messages")).status_code == 404
        department = await post(client, "/hr/departments", name="Sales")
        await post(client, "/hr/employees", full_name="Ada Brook", department_id=department["id"])
        assert len((await client.get("/audit/entries")).json()) == 1
    status = {plugin.name: plugin.status for plugin in plugins()}
    assert status.items() >= {"audit": "loaded", "hr": "loaded", "notify": "disabled", "otel": "blocked"}.items()
    assert not {plugin.name for plugin in plugins() if plugin.status == "loaded"} - {"audit", "hr"}
