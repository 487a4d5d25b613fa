"""200 requests at once through the application, beside handlers that fail at random, hang, and crawl."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from fastapi import APIRouter, HTTPException
from fastsoy_audit.models import AuditEntry
from fastsoy_hr import service

from fastsoy_events import HandlerTimeout, bus
from fastsoy_events.contrib.tortoise import atomic
from tests.postgresql import new_postgresql, postgresql_server  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import httpx
    from fastapi import FastAPI

    from tests.postgresql import Database

    Running = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]

REQUESTS = 200
SEED = 20_310_401
DEPARTMENTS = (1, 2)  # the second has no free desk, so that the application's own handler fails there
NOWHERE = 999
# What asyncpg says, and does, where a handler was cancelled just as its transaction began.
RESET = "Resetting connection with an active transaction"


class Store(ABC):
    """The application's database, seen from outside."""

    @abstractmethod
    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows that are committed."""

    @abstractmethod
    async def check_idle(self) -> None:
        """Fail where a connection still has a transaction open."""

    @abstractmethod
    async def check_closed(self) -> None:
        """Fail where a connection is still open."""


@dataclass(frozen=True, slots=True)
class SqliteStore(Store):
    """An SQLite file."""

    file: Path

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(query).fetchall()

    async def check_idle(self) -> None:
        with closing(sqlite3.connect(self.file, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")  # refused while anybody writes
            connection.execute("ROLLBACK")

    async def check_closed(self) -> None:
        # The last connection that is closed takes the write-ahead log with it.
        assert [each.name for each in self.file.parent.iterdir()] == [self.file.name]


@dataclass(frozen=True, slots=True)
class PostgresqlStore(Store):
    """A PostgreSQL database."""

    database: Database

    async def run(self, query: str, database: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(**{**self.database.credentials, "database": database})
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self.run(query, self.database.name)

    async def check_idle(self) -> None:
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        states = await self.rows(f"SELECT DISTINCT state FROM pg_stat_activity WHERE {others}")  # noqa: S608 - a constant
        assert states == [("idle",)]

    async def check_closed(self) -> None:
        # Refused while anybody is connected; the server itself waits for those that are about to be gone.
        await self.run(f"DROP DATABASE {self.database.name}", "postgres")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest, application: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """Have the application use one kind of database."""
    application.include_router(router)
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "admin.sqlite3")
    database: Database = request.getfixturevalue("new_postgresql")()
    credentials = database.credentials
    monkeypatch.setenv("ADMIN_DATABASE", f"postgresql://{credentials['user']}@/{database.name}?host={database.folder}")
    return PostgresqlStore(database)


# What goes wrong

router = APIRouter()


@router.post("/fruitless-hires")
async def hire_in_vain(full_name: str, department_id: int) -> None:
    """Create two employees, and undo it: the transaction of the service is a savepoint in this one."""
    async with atomic():
        for number in range(2):
            await service.create_employee(
                full_name=f"{full_name}, {number}", department_id=department_id, created_by=NOWHERE
            )
        raise HTTPException(409, f"{full_name} is not wanted")


@dataclass(frozen=True, slots=True)
class Troubles:
    """Handlers of the application's own that give trouble, and for which employees they ran."""

    random: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311 - the same in each run
    failed: list[int] = field(default_factory=list)
    hung: list[int] = field(default_factory=list)
    crawled: list[int] = field(default_factory=list)

    async def fail_at_random(self, employee_id: int, **_: object) -> None:
        await service.find_employee(employee_id)
        if self.random.random() < 0.3:
            self.failed.append(employee_id)
            raise LookupError(f"no badge for {employee_id}")

    async def hang(self, employee_id: int, **_: object) -> None:
        self.hung.append(employee_id)
        async with atomic():
            await AuditEntry.create(event="employee.forgotten", payload={"employee_id": employee_id})
            await asyncio.Event().wait()

    async def crawl(self, employee_id: int, **_: object) -> None:
        await asyncio.sleep(0.02)
        self.crawled.append(employee_id)


@pytest.fixture
def troubles(application: FastAPI) -> Troubles:
    """Register the handlers on the bus that holds the application's alone; those of its plugins come after them."""
    troubles = Troubles()
    bus.on("employee.created")(troubles.fail_at_random)
    bus.on("employee.created", timeout=0.02)(troubles.hang)
    bus.on("employee.created", slow_after=0.01)(troubles.crawl)
    return troubles


# Who asks for what


class Asked(NamedTuple):
    """One request."""

    kind: str
    number: int
    path: str
    query: dict[str, str | int]
    body: dict[str, str | int] | None


def asked(number: int, staff: Sequence[int]) -> Asked:
    """Return the request with a number: of ten, six create an employee, three roll back, and one changes a state."""
    department = DEPARTMENTS[number % 4 == 0]
    person: dict[str, str | int] = {"full_name": f"Person {number}", "department_id": department}
    match number % 10:
        case 6:
            return Asked("nowhere", number, "/hr/employees", {}, {**person, "department_id": NOWHERE})
        case 7 | 8:
            return Asked("in vain", number, "/fruitless-hires", person, None)
        case 9:
            employee = staff[number // 10 % len(staff)]
            return Asked("state", number, f"/hr/employees/{employee}/state", {}, {"state": "active"})
        case _:
            return Asked("hire", number, "/hr/employees", {}, person)


class Hired(NamedTuple):
    """An employee who must be there, and so must what the plugins write."""

    employee_id: int
    department_id: int
    created_by: int


async def hire(client: httpx.AsyncClient, request: Asked) -> Hired:
    answer = await ask(client, request)
    return hired_by(request, answer)


async def ask(client: httpx.AsyncClient, request: Asked) -> httpx.Response:
    headers = {"X-Actor-Id": str(1 + request.number)}
    return await client.post(request.path, params=request.query, json=request.body, headers=headers)


def hired_by(request: Asked, answer: httpx.Response) -> Hired:
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert row == {**(request.body or {}), "id": row["id"], "state": "onboarding"}
    return Hired(row["id"], row["department_id"], 1 + request.number)


def check_refusals(requests: Sequence[Asked], answers: Sequence[httpx.Response]) -> None:
    refusals = Counter(
        (request.kind, answer.status_code, answer.json()["detail"].replace(str(request.number), "N"))
        for request, answer in zip(requests, answers, strict=True)
        if request.kind in ("nowhere", "in vain")
    )
    assert refusals == {
        ("nowhere", 404, f"There is no department {NOWHERE}."): 20,
        ("in vain", 409, "Person N is not wanted"): 40,
    }


def moved_by(requests: Sequence[Asked], answers: Sequence[httpx.Response]) -> list[tuple[int, int]]:
    """Return which employees changed their state, and who did it: the faster one of two."""
    answered = [(request, answer) for request, answer in zip(requests, answers, strict=True) if request.kind == "state"]
    assert Counter(answer.status_code for _, answer in answered) == {200: 10, 409: 10}
    moved = [(answer.json(), 1 + request.number) for request, answer in answered if answer.status_code == 200]
    assert {row["state"] for row, _ in moved} == {"active"}
    return sorted((row["id"], actor) for row, actor in moved)


# What is there afterwards


async def check_rows(store: Store, hired: Sequence[Hired], moved: Sequence[tuple[int, int]]) -> None:
    """Each committed employee has one message and one entry for each event, and nobody else has any."""
    states = dict.fromkeys((each.employee_id for each in hired), "onboarding")
    states |= dict.fromkeys((employee_id for employee_id, _ in moved), "active")
    employees = await store.rows("SELECT id, department_id, state FROM hr_employee ORDER BY id")
    assert employees == sorted((each.employee_id, each.department_id, states[each.employee_id]) for each in hired)

    messages = await store.rows("SELECT employee_id, sent_at IS NOT NULL FROM notify_message ORDER BY employee_id")
    assert messages == [(employee_id, True) for employee_id in sorted(states)]

    entries = [(event, json.loads(text)) for event, text in await store.rows("SELECT event, payload FROM audit_entry")]
    created = [Hired(**payload) for event, payload in entries if event == "employee.created"]
    assert sorted(created) == sorted(hired)
    changed = [(each["employee_id"], each["actor_id"]) for event, each in entries if event == "employee.status_changed"]
    assert sorted(changed) == moved
    assert len(entries) == len(created) + len(changed)

    steps = await store.rows("SELECT employee_id, actor_id FROM hr_state_change ORDER BY employee_id")
    assert steps == moved


def check_troubles(troubles: Troubles, hired: Sequence[Hired], records: Sequence[logging.LogRecord]) -> None:
    """Each handler ran once for each committed employee, and all that went wrong is in the log, and nothing else."""
    everybody = sorted(each.employee_id for each in hired)
    assert sorted(troubles.hung) == sorted(troubles.crawled) == everybody
    assert 0 < len(troubles.failed) < len(everybody)
    logged = Counter(
        (getattr(record, "handler", record.getMessage().partition(" took ")[0]), record.exc_info and record.exc_info[0])
        for record in records
        if record.levelno >= logging.WARNING and not record.getMessage().startswith(RESET)
    )
    assert logged == {
        (f"{__name__}.Troubles.fail_at_random", LookupError): len(troubles.failed),
        (f"{__name__}.Troubles.hang", HandlerTimeout): len(everybody),
        (f"Slow event handler: employee.created / {__name__}.Troubles.crawl", None): len(everybody),
        ("admin.handlers.reserve_desk", LookupError): sum(each.department_id == DEPARTMENTS[1] for each in hired),
    }


async def test_200_requests_at_once(
    store: Store,
    troubles: Troubles,
    application: FastAPI,
    running: Running,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = asyncio.all_tasks()
    async with running(application) as client:
        caplog.clear()
        for number in DEPARTMENTS:
            assert (await client.post("/hr/departments", json={"name": "Sales"})).json()["id"] == number
        staff = [await hire(client, asked(number, ())) for number in range(1000, 1100) if number % 10 == 0]
        requests = [asked(number, [each.employee_id for each in staff]) for number in range(REQUESTS)]
        Random(SEED).shuffle(requests)  # noqa: S311 - the same in each run
        answers = await asyncio.gather(*(ask(client, request) for request in requests))

        assert asyncio.all_tasks() == tasks
        await store.check_idle()
        check_refusals(requests, answers)
        new = [hired_by(*each) for each in zip(requests, answers, strict=True) if each[0].kind == "hire"]
        assert len(new) == 120
        hired = [*staff, *new]
        await check_rows(store, hired, moved_by(requests, answers))
        check_troubles(troubles, hired, caplog.records)
    assert asyncio.all_tasks() == tasks
    await store.check_closed()
