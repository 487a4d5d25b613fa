from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from fastsoy_hr import service
from fastsoy_hr.errors import NotFoundError, StateConflictError
from fastsoy_hr.models import TRANSITIONS, Employee, EmployeeState, StateChange
from tortoise.transactions import in_transaction

from fastsoy_events.contrib.tortoise import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from fastsoy_events import EventBus

pytestmark = pytest.mark.usefixtures("empty_bus", "database")


async def hire() -> Employee:
    department = await service.create_department(name="Sales")
    return await service.create_employee(full_name="Ada Brook", department_id=department.id, created_by=7)


def committed(file: Path, statement: str) -> list[tuple[object, ...]]:
    """Read through a connection of its own, which sees only what is committed."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchall()


async def test_creating_emits_after_the_commit(empty_bus: EventBus, database: Path) -> None:
    seen: list[object] = []

    @empty_bus.on("employee.created")
    def look(**payload: object) -> None:
        seen.extend([payload, committed(database, "SELECT id, state FROM hr_employee")])

    employee = await hire()
    assert seen == [
        {"employee_id": employee.id, "department_id": employee.department_id, "created_by": 7},
        [(employee.id, "onboarding")],
    ]


async def test_changing_the_state_emits_after_the_commit(empty_bus: EventBus, database: Path) -> None:
    employee = await hire()
    seen: list[object] = []

    @empty_bus.on("employee.status_changed")
    def look(**payload: object) -> None:
        seen.extend([payload, committed(database, "SELECT state FROM hr_employee")])

    changed = await service.change_state(employee.id, EmployeeState.ACTIVE, actor_id=8)
    assert changed.state is EmployeeState.ACTIVE
    assert seen == [
        {"employee_id": employee.id, "from_state": "onboarding", "to_state": "active", "actor_id": 8},
        [("active",)],
    ]
    [step] = await service.state_history(employee.id)
    assert (step.from_state, step.to_state, step.actor_id) == (EmployeeState.ONBOARDING, EmployeeState.ACTIVE, 8)


async def test_inside_a_transaction_of_the_callers_its_end_decides(empty_bus: EventBus, database: Path) -> None:
    seen: list[object] = []
    empty_bus.on("employee.created")(lambda **_: seen.append(committed(database, "SELECT state FROM hr_employee")))

    async def hire_and_fail() -> None:
        async with atomic():
            await hire()
            raise LookupError

    with pytest.raises(LookupError):
        await hire_and_fail()
    assert not seen
    assert not await Employee.exists()
    async with atomic():
        await hire()
        assert not seen
    assert seen == [[("onboarding",)]]


async def test_of_several_calls_in_one_transaction_each_may_fail_alone(empty_bus: EventBus, database: Path) -> None:
    seen: list[object] = []

    @empty_bus.on("employee.created")
    @empty_bus.on("employee.status_changed")
    async def look(**payload: object) -> None:
        seen.append((payload.get("to_state", "created"), committed(database, "SELECT state FROM hr_employee")))

    async with atomic():
        employee = await hire()
        with pytest.raises(NotFoundError):
            await service.create_employee(full_name="Ben Castle", department_id=99, created_by=7)
        await service.change_state(employee.id, EmployeeState.ACTIVE, actor_id=8)
        with pytest.raises(StateConflictError):
            await service.change_state(employee.id, EmployeeState.ONBOARDING, actor_id=8)
        assert committed(database, "SELECT state FROM hr_employee") == []
    assert seen == [("created", [("active",)]), ("active", [("active",)])]


async def test_a_transaction_whose_commit_cannot_be_seen_is_refused(database: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Write atomic\(\) there, too"):
        async with in_transaction():
            await hire()
    assert committed(database, "SELECT name FROM hr_department") == []


async def test_the_payload_holds_plain_values(empty_bus: EventBus) -> None:
    types: set[type] = set()

    @empty_bus.on("employee.created")
    @empty_bus.on("employee.status_changed")
    def look(**payload: object) -> None:
        types.update(map(type, payload.values()))

    await service.change_state((await hire()).id, EmployeeState.ACTIVE, actor_id=8)
    assert types == {int, str}


async def test_a_failing_handler_does_not_undo_anything(empty_bus: EventBus) -> None:
    @empty_bus.on("employee.created")
    def fail(**_: object) -> None:
        raise RuntimeError

    employee = await hire()
    assert await Employee.filter(id=employee.id).exists()


async def test_an_unknown_department_is_refused(empty_bus: EventBus) -> None:
    calls: list[dict[str, object]] = []
    empty_bus.on("employee.created")(lambda **payload: calls.append(payload))
    with pytest.raises(NotFoundError, match="There is no department 99"):
        await service.create_employee(full_name="Ada Brook", department_id=99, created_by=7)
    assert not calls
    assert not await Employee.all().count()


async def test_an_unknown_employee_is_refused() -> None:
    with pytest.raises(NotFoundError, match="There is no employee 99"):
        await service.change_state(99, EmployeeState.ACTIVE, actor_id=8)


@pytest.mark.parametrize("from_state", EmployeeState)
@pytest.mark.parametrize("to_state", EmployeeState)
async def test_only_the_table_of_transitions_is_allowed(from_state: EmployeeState, to_state: EmployeeState) -> None:
    employee = await hire()
    await Employee.filter(id=employee.id).update(state=from_state)
    if to_state in TRANSITIONS[from_state]:
        assert (await service.change_state(employee.id, to_state, actor_id=8)).state is to_state
    else:
        with pytest.raises(StateConflictError, match=f"from {from_state.value} to {to_state.value}"):
            await service.change_state(employee.id, to_state, actor_id=8)
    expected = to_state if to_state in TRANSITIONS[from_state] else from_state
    assert (await service.find_employee(employee.id)).state is expected


async def test_of_two_concurrent_changes_one_wins(empty_bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    employee = await hire()
    await service.change_state(employee.id, EmployeeState.ACTIVE, actor_id=8)
    events: list[object] = []
    empty_bus.on("employee.status_changed")(lambda **payload: events.append(payload["to_state"]))
    both_have_read = asyncio.Barrier(2)
    find_employee = service.find_employee

    async def find_together(employee_id: int) -> Employee:
        found = await find_employee(employee_id)
        await both_have_read.wait()
        return found

    monkeypatch.setattr(service, "find_employee", find_together)
    wanted = (EmployeeState.ON_LEAVE, EmployeeState.LEFT)
    results = await asyncio.gather(
        *(service.change_state(employee.id, state, actor_id=8) for state in wanted), return_exceptions=True
    )
    [winner] = [result for result in results if isinstance(result, Employee)]
    [loser] = [result for result in results if isinstance(result, StateConflictError)]
    assert "somebody else has changed the state" in str(loser)
    assert events == [winner.state.value]
    assert (await find_employee(employee.id)).state is winner.state
    assert await StateChange.filter(employee_id=employee.id).count() == 2
