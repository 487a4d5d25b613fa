from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from fastsoy_notify.mail import ConsoleMailBackend, Mail, mail_backend, use_mail_backend
from fastsoy_notify.models import Message
from fastsoy_notify.router import router

from fastsoy_events import emit, handlers, load_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("empty_bus")

PAYLOAD = {"employee_id": 17, "department_id": 3, "created_by": 7}


class Outbox:
    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.is_open = True

    async def send(self, mail: Mail) -> None:
        if not self.is_open:
            raise ConnectionError("the mail server is closed")
        self.mails.append(mail)


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    backend = Outbox()
    previous = use_mail_backend(backend)
    yield backend
    use_mail_backend(previous)


@pytest.fixture(autouse=True)
def loaded(empty_bus: object) -> None:
    load_plugins(allowed=["fastsoy-notify"], strict=True)


def test_the_plugin_declares_one_handler() -> None:
    [handler] = handlers()
    assert handler.id == "fastsoy-notify:notify:fastsoy_notify.handlers:send_welcome"
    assert handler.event == "employee.created"


@pytest.mark.usefixtures("database")
async def test_a_new_employee_is_welcomed(outbox: Outbox) -> None:
    assert not await emit("employee.created", **PAYLOAD)
    [mail] = outbox.mails
    message = await Message.get(employee_id=17)
    assert (message.recipient, message.subject, message.body) == (mail.recipient, mail.subject, mail.body)
    assert message.recipient == "employee-17@staff.example"
    assert message.sent_at is not None


@pytest.mark.usefixtures("database", "outbox")
async def test_publishers_may_add_keywords() -> None:
    assert not await emit("employee.created", **PAYLOAD, contract="permanent")
    assert await Message.all().count() == 1


@pytest.mark.usefixtures("database")
async def test_a_message_that_is_refused_stays_as_not_sent(outbox: Outbox) -> None:
    outbox.is_open = False
    [failure] = await emit("employee.created", **PAYLOAD)
    assert isinstance(failure.error, ConnectionError)
    assert (await Message.get(employee_id=17)).sent_at is None


@pytest.mark.usefixtures("database", "outbox")
async def test_messages_can_be_read() -> None:
    for employee_id in (1, 2, 3):
        await emit("employee.created", **{**PAYLOAD, "employee_id": employee_id})
    application = FastAPI()
    application.include_router(router)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        rows = (await client.get("/notify/messages")).json()
        part = (await client.get("/notify/messages", params={"after": rows[0]["id"], "limit": 1})).json()
    assert [row["employee_id"] for row in rows] == [1, 2, 3]
    assert part == rows[1:2]
    assert rows[0]["sent_at"]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("after", "status"), [(-1, 422), (0, 200), (2**31 - 1, 200), (2**31, 422), (10**20, 422)])
async def test_a_number_that_no_database_holds_is_refused(after: int, status: int) -> None:
    application = FastAPI()
    application.include_router(router)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.get("/notify/messages", params={"after": after})).status_code == status


async def test_the_console_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(mail_backend(), ConsoleMailBackend)
    await mail_backend().send(Mail(recipient="employee-17@staff.example", subject="Welcome", body="Hello!"))
    assert capsys.readouterr().out == "mail to employee-17@staff.example: Welcome\n"
