from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from fastsoy_hr.router import router

from fastsoy_events import load_plugins, plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("empty_bus", "database")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    application = FastAPI()
    application.include_router(router)
    transport = httpx.ASGITransport(application)
    headers = {"X-Actor-Id": "7"}
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as opened:
        yield opened


async def hire(client: httpx.AsyncClient, full_name: str = "Ada Brook") -> int:
    department = (await client.post("/hr/departments", json={"name": "Sales"})).json()
    answer = await client.post("/hr/employees", json={"full_name": full_name, "department_id": department["id"]})
    assert answer.status_code == 201
    assert answer.json()["state"] == "onboarding"
    number: int = answer.json()["id"]
    return number


async def test_an_employee_goes_through_the_states(client: httpx.AsyncClient) -> None:
    employee = await hire(client)
    for state in ("active", "on_leave", "active", "left"):
        answer = await client.post(f"/hr/employees/{employee}/state", json={"state": state})
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert (await client.get(f"/hr/employees/{employee}")).json()["state"] == "left"
    steps = (await client.get(f"/hr/employees/{employee}/states")).json()
    assert [step["to_state"] for step in steps] == ["active", "on_leave", "active", "left"]
    assert {step["actor_id"] for step in steps} == {7}


async def test_a_state_that_cannot_follow_is_a_conflict(client: httpx.AsyncClient) -> None:
    employee = await hire(client)
    answer = await client.post(f"/hr/employees/{employee}/state", json={"state": "on_leave"})
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "An employee cannot go from onboarding to on_leave; what can follow is: active, left."
    )
    await client.post(f"/hr/employees/{employee}/state", json={"state": "left"})
    answer = await client.post(f"/hr/employees/{employee}/state", json={"state": "active"})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "An employee cannot go from left to active; nothing can follow it."


async def test_what_does_not_exist_is_not_found(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/hr/employees", json={"full_name": "Ada Brook", "department_id": 99}),
        await client.post("/hr/employees/99/state", json={"state": "active"}),
        await client.get("/hr/employees/99"),
        await client.get("/hr/employees/99/states"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]
    assert answers[0].json() == {"detail": "There is no department 99."}


async def test_a_change_needs_an_actor_and_a_known_state(client: httpx.AsyncClient) -> None:
    employee = await hire(client)
    address = f"/hr/employees/{employee}/state"
    assert (await client.post(address, json={"state": "retired"})).status_code == 422
    client.headers.pop("X-Actor-Id")
    assert (await client.post(address, json={"state": "active"})).status_code == 422


async def test_employees_are_listed_in_parts(client: httpx.AsyncClient) -> None:
    numbers = [await hire(client, name) for name in ("Ada Brook", "Ben Castle", "Cleo Dale")]
    part = (await client.get("/hr/employees", params={"after": numbers[0], "limit": 1})).json()
    assert [row["full_name"] for row in part] == ["Ben Castle"]
    assert len((await client.get("/hr/employees")).json()) == 3


@pytest.mark.parametrize("number", ["-1", "0", str(2**31), str(10**20), "1" * 5000])
async def test_a_number_that_no_database_holds_is_refused(client: httpx.AsyncClient, number: str) -> None:
    employee = {"full_name": "Ada Brook", "department_id": 1}
    answers = [
        await client.get(f"/hr/employees/{number}"),
        await client.get(f"/hr/employees/{number}/states"),
        await client.post(f"/hr/employees/{number}/state", json={"state": "active"}),
        await client.post("/hr/employees", json=employee, headers={"X-Actor-Id": number}),
        await client.post("/hr/employees", json={**employee, "department_id": number}),
        await client.get("/hr/employees", params={"after": "-1" if number == "0" else number}),
    ]
    assert [answer.status_code for answer in answers] == [422] * 6


async def test_the_largest_number_is_merely_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/hr/employees/{2**31 - 1}")).status_code == 404
    assert (await client.get("/hr/employees", params={"after": 2**31 - 1})).json() == []


@pytest.mark.parametrize(
    ("address", "body", "field"),
    [
        ("/hr/departments", r'{"name": "\ud800"}', "name"),
        ("/hr/employees", r'{"full_name": "\ud800", "department_id": 1}', "full_name"),
        ("/hr/employees", r'{"full_name": "Ada Brook", "department_id": "\ud800"}', "department_id"),
        ("/hr/employees", r'{"\ud800": "Ada Brook", "department_id": 1}', "full_name"),
        ("/hr/employees", '{"full_name": NaN, "department_id": 1}', "full_name"),
        ("/hr/employees", '{"full_name": "Ada Brook", "department_id": 1e999}', "department_id"),
        ("/hr/employees/1/state", r'{"state": "\ud800"}', "state"),
    ],
)
async def test_what_cannot_be_sent_back_as_json_is_refused_and_the_field_named(
    client: httpx.AsyncClient, address: str, body: str, field: str
) -> None:
    answer = await client.post(address, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["body", field]]


def test_the_entry_point_is_found_and_declares_no_handler() -> None:
    load_plugins(allowed=["fastsoy-hr"], strict=True)
    [hr] = [plugin for plugin in plugins() if plugin.status == "loaded"]
    assert (hr.name, hr.distribution, hr.module, hr.handlers) == ("hr", "fastsoy-hr", "fastsoy_hr.plugin", ())
