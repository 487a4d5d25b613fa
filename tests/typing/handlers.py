"""`@on` keeps the exact type of what it registers. Read by the type checkers; never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import assert_type, overload

from fastsoy_events import EventBus, bus, on


@on("employee.created")
async def greet(employee_id: int, *, language: str = "en") -> str:
    """Stand for the usual handler."""
    return f"{language} {employee_id}"


@on("employee.created")
@on("employee.left")
@bus.on("employee.moved")
def count(employee_id: int, **payload: object) -> int:
    """Stand for a handler of several events."""
    return employee_id + len(payload)


class Mailer:
    """An object that is a handler."""

    async def __call__(self, employee_id: int) -> bytes:
        """Send."""
        return bytes(employee_id)

    @on("mail.sent")
    @staticmethod
    def sent(mail_id: int) -> int:
        """Stand for a static method."""
        return mail_id

    @staticmethod
    @on("mail.read")
    def read(mail_id: int) -> int:
        """Stand for the function inside a static method."""
        return mail_id

    def opened(self, mail_id: int) -> float:
        """Stand for a bound method."""
        return mail_id / 1


@overload
def either(employee_id: int) -> int: ...
@overload
def either(employee_id: str) -> str: ...
@on("employee.created")
def either(employee_id: int | str) -> int | str:
    """Stand for a handler with overloads."""
    return employee_id


async def use(handler: Callable[[int], Awaitable[None]], own: EventBus) -> None:
    """Use each handler as if it had not been registered."""
    assert_type(await greet(1, language="de"), str)
    assert_type(count(1, department_id=2), int)
    assert_type(either(1), int)
    assert_type(either("1"), str)
    assert_type(Mailer.sent(1), int)
    assert_type(Mailer().sent(1), int)
    assert_type(Mailer.read(1), int)

    mailer = Mailer()
    assert_type(on("employee.created")(mailer), Mailer)
    assert_type(await on("employee.created")(mailer)(1), bytes)
    assert_type(on("mail.opened")(mailer.opened)(1), float)
    assert_type(on("employee.created")(partial(count, 1)), partial[int])
    assert_type(on("employee.created")(handler), Callable[[int], Awaitable[None]])
    assert_type(own.on("employee.created")(own.on("employee.left")(handler)), Callable[[int], Awaitable[None]])
    assert_type(on("employee.created")(Mailer), type[Mailer])
