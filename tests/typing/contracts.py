"""A contract types its emits and its handlers. Read by the type checkers; never run."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Literal, assert_type

from fastsoy_events import ContractError, Event, EventBus, Failures, bus, event, events, on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


@event("employee.created")
def employee_created(*, employee_id: int, language: str = "en") -> None:
    """HR has created an employee."""


@bus.event("month.closed")
def month_closed() -> None:
    """There is nothing more to say."""


@employee_created.on
async def greet(employee_id: int, *, language: str = "en") -> str:
    """Stand for the usual handler."""
    return f"{language} {employee_id}"


@employee_created.on
def note(*, employee_id: int, language: str = "") -> int:
    """Stand for a handler with a default of its own."""
    return employee_id + len(language)


@employee_created.on
def count(**payload: object) -> int:
    """Stand for a handler that takes anything."""
    return len(payload)


@employee_created.on
def partly(employee_id: int, **_: object) -> None:
    """Stand for a handler that takes what it needs."""


@employee_created.on
def wider(employee_id: float, language: str | None = None, tenant: int = 0, **_: object) -> None:
    """Stand for a handler that takes more than is ever sent."""


@on("employee.left")
@employee_created.on
def both(employee_id: int, language: str = "") -> bool:
    """Stand for a handler of two events."""
    return bool(employee_id and language)


@month_closed.on
def close(tenant: int = 0) -> None:
    """Stand for a handler that asks for nothing."""


class Mailer:
    """An object with handlers."""

    async def __call__(self, *, employee_id: int, language: str = "") -> bytes:
        """Send."""
        return bytes(employee_id) + language.encode()

    def greet(self, employee_id: int, language: str = "") -> float:
        """Stand for a bound method."""
        return employee_id / len(language)


async def use_emits() -> None:
    """Emit in every way."""
    # The checkers name the type of a coroutine differently: so both kinds are taken for what they share.
    coroutine: Coroutine[Any, Any, Failures] = employee_created.emit(employee_id=1, language="de")
    assert_type(await coroutine, Failures)
    assert_type(await employee_created.emit(employee_id=1), Failures)
    assert_type(await employee_created.emit(language="de", employee_id=True), Failures)
    assert_type(await month_closed.emit(), Failures)
    assert_type(asyncio.create_task(employee_created.emit(employee_id=1)), asyncio.Task[Failures])
    assert_type(asyncio.run(month_closed.emit()), Failures)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(month_closed.emit()), asyncio.Task[Failures])
    kept = employee_created.emit
    assert_type(await kept(employee_id=1), Failures)
    (await employee_created.emit(employee_id=1)).raise_if_any()


async def use_handlers(mailer: Mailer) -> None:
    """Use each handler as the contract's emits would, which is the type that it has now."""
    assert_type(await greet(employee_id=1, language="de"), str)
    assert_type(note(employee_id=1), int)
    assert_type(count(employee_id=1, language="de"), int)
    assert_type(await employee_created.on(mailer)(employee_id=1), bytes)
    assert_type(employee_created.on(mailer.greet)(employee_id=1), float)
    assert_type(both(employee_id=1), bool)
    assert_type(close(), None)
    as_awaited: Callable[..., Awaitable[str]] = employee_created.on(greet)
    assert_type(await as_awaited(employee_id=1), str)


def use_a_contract_of_its_own(own: EventBus) -> None:
    """Declare on another bus, and without the decorator's sign."""

    def order_placed(*, order_id: int) -> None: ...

    declared = own.event("order.placed")(order_placed)
    coroutine: Coroutine[Any, Any, Failures] = declared.emit(order_id=1)
    coroutine.close()


def use_attributes(contract: Event[...]) -> None:
    """Read what is declared."""
    assert_type(contract.name, str)
    assert_type(contract.signature, inspect.Signature)
    assert_type(contract.summary, str)
    assert_type(contract.plugin, str)
    assert_type(contract.distribution, str)
    assert_type(contract.version, str)
    assert_type(contract.module, str)
    assert_type(contract.qualname, str)
    assert_type(contract.source, str)
    assert_type(events(), tuple[Event[...], ...])
    assert_type(EventBus().events(), tuple[Event[...], ...])
    use_attributes(employee_created)


def use_validation(own: EventBus, error: ContractError) -> None:
    """Have emits checked."""
    bus.validation = "raise"
    own.validation = "warn"
    wanted: Literal["off", "warn", "raise"] = own.validation
    bus.validation = wanted
    assert_type(error.event, str)
    assert_type(error.missing, tuple[str, ...])
    assert_type(error.unknown, tuple[str, ...])
