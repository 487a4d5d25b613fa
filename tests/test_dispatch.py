"""Dispatch: a plan and a payload become failures. Every promise about one emit, seen from outside."""

from __future__ import annotations

import asyncio
import contextvars
import dis
import functools
import gc
import keyword
import logging
import pickle
import sys
import traceback
import types
import warnings
from collections import deque
from enum import Enum, StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from unittest.mock import AsyncMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsoy_events import EmitDepthError, EventBus, EventNameWarning, Failures, HandlerError, _dispatch, load_plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
    from pathlib import Path

HERE = __name__
F = TypeVar("F", bound="Callable[..., object]")


class Site(Protocol):
    """The part of the fixture `site` that is used here."""

    @property
    def folder(self) -> Path: ...

    def install(
        self, name: str, entry_points: Mapping[str, str], modules: Mapping[str, str], *, version: str = ...
    ) -> Path: ...


def pad(**payload: object) -> None:
    """Stand for a handler that is of no importance here."""


class CrowdedBus(EventBus):
    """A bus on which each event has some more handlers, since long plans are run in another way than short ones."""

    def on(self, event: str) -> Callable[[F], F]:
        """Register the callable; after an event's first one, some that do nothing."""
        register = super().on(event)

        def register_and_pad(function: F) -> F:
            is_first = not self.handlers(event)
            register(function)
            for number in range(10 if is_first else 0):
                register(partial(pad, number=number) if number else pad)  # type: ignore[arg-type]
            return function

        return register_and_pad


def declared_with(*keywords: str) -> Callable[..., None]:
    """Return a function that declares these keywords."""
    namespace: dict[str, Any] = {}
    exec(f"def carries({', '.join(['*', *keywords] if keywords else [])}): ...", namespace)  # noqa: S102 - our own
    carries: Callable[..., None] = namespace["carries"]
    return carries


def can_be_declared(keyword_: str) -> bool:
    """Tell whether a function can have a parameter of this name, and exactly this one."""
    is_plain = type(keyword_) is str and keyword_.isascii() and keyword_.isidentifier()
    return is_plain and not keyword.iskeyword(keyword_) and keyword_ != "__debug__"


class BusOfContracts(EventBus):
    """A bus on which each event has a contract, and is emitted by its object."""

    def emit(self, event: str, /, **payload: object) -> Coroutine[Any, Any, Failures]:
        """Declare what the payload says, unless that was done before, and emit by that."""
        if not isinstance(event, str) or not all(map(can_be_declared, payload)):
            return super().emit(event, **payload)
        contract = next((each for each in self.events() if each.name == event), None)
        if contract is None:
            with warnings.catch_warnings(action="ignore"):
                contract = self.event(event)(declared_with(*payload))
        if set(contract.signature.parameters) != set(payload):
            return super().emit(event, **payload)
        return contract.emit(**payload)


@pytest.fixture(
    params=[EventBus, CrowdedBus, BusOfContracts], ids=["few handlers", "many handlers", "by the event's object"]
)
def fresh_bus(request: pytest.FixtureRequest) -> EventBus:
    """Return a bus of its own."""
    kind: type[EventBus] = request.param
    return kind()


@pytest.fixture
def unawaited_coroutines(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Keep the interpreter from speaking of coroutines that could not begin, since the stack had just run out."""
    # Written in C, since there is no room on the stack for a function.
    monkeypatch.setattr(sys, "unraisablehook", deque[object](maxlen=0).append)
    yield
    gc.collect()


exhausts_the_stack = pytest.mark.usefixtures("unawaited_coroutines")


class TooManyError(BaseException):
    """Ends a test whose recursion does not end by itself; no handler's isolation can hold it."""


class Counter:
    """Counts calls, up to a limit that no test reaches which passes."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> None:
        self.calls += 1
        if self.calls > 3 * sys.getrecursionlimit():
            raise TooManyError


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the bus logged."""
    return [record.getMessage() for record in caplog.records if record.name == "fastsoy_events"]


# What a handler may be: whatever is awaitable is awaited


class Noted:
    """Handlers of every kind; each notes its call only after it was suspended once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def handle(self, *, number: int) -> None:
        await asyncio.sleep(0)
        self.calls.append(number)

    async def __call__(self, *, number: int) -> None:
        await self.handle(number=number)

    @classmethod
    async def of_class(cls, *, noted: Noted, number: int) -> None:
        await noted.handle(number=number)

    @staticmethod
    async def static(*, noted: Noted, number: int) -> None:
        await noted.handle(number=number)

    @types.coroutine
    def old(self, *, number: int) -> Generator[Any, Any, None]:
        yield from asyncio.sleep(0).__await__()
        self.calls.append(number)


class LazyNote:
    """A class whose instances are awaitable."""

    noted: Noted

    def __init__(self, *, number: int) -> None:
        self.number = number

    def __await__(self) -> Generator[Any, Any, None]:
        return self.noted.handle(number=self.number).__await__()


def decorated(noted: Noted) -> Callable[..., object]:
    """Return a plain function that hides an async one, as decorators do."""

    @functools.wraps(noted.handle)
    def wrapper(**payload: Any) -> object:
        return noted.handle(**payload)

    return wrapper


def returning_a_future(noted: Noted) -> Callable[..., object]:
    """Return a plain function that returns a future."""

    def handle(*, number: int) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(lambda: (noted.calls.append(number), future.set_result(None)))
        return future

    return handle


AWAITED: dict[str, Callable[[Noted], Callable[..., object]]] = {
    "bound method": lambda noted: noted.handle,
    "partial": lambda noted: partial(Noted.static, noted=noted),
    "partial of a partial": lambda noted: partial(partial(Noted.handle, noted)),
    "partial of an object": lambda noted: partial(noted),
    "object": lambda noted: noted,
    "class method": lambda noted: partial(Noted.of_class, noted=noted),
    "static method object": lambda noted: partial(Noted.__dict__["static"], noted=noted),
    "lambda that returns a coroutine": lambda noted: lambda number: noted.handle(number=number),
    "lambda that returns a task": lambda noted: lambda number: asyncio.ensure_future(noted.handle(number=number)),
    "lambda that gathers": lambda noted: lambda number: asyncio.gather(noted.handle(number=number)),
    "function that returns a future": returning_a_future,
    "generator-based coroutine": lambda noted: noted.old,
    "decorated": decorated,
    "class of awaitables": lambda noted: type("Note", (LazyNote,), {"noted": noted}),
    "cached": lambda noted: functools.lru_cache(noted.handle),
    "mock": lambda noted: AsyncMock(side_effect=noted.handle),
}


@pytest.mark.parametrize("kind", AWAITED)
async def test_what_is_awaitable_is_awaited(kind: str, fresh_bus: EventBus) -> None:
    noted = Noted()
    fresh_bus.on("number.given")(AWAITED[kind](noted))
    fresh_bus.on("number.given")(lambda number: noted.calls.append(-number))
    (await fresh_bus.emit("number.given", number=7)).raise_if_any()
    assert noted.calls == [7, -7]


async def test_plain_functions_and_builtins_are_called(fresh_bus: EventBus) -> None:
    seen: dict[str, object] = {}
    fresh_bus.on("number.given")(seen.update)
    fresh_bus.on("number.given")(lambda number: number)  # a result that is not awaitable is dropped
    assert await fresh_bus.emit("number.given", number=7) == ()
    assert seen == {"number": 7}


async def test_a_generator_that_a_handler_returns_is_its_failure_since_nothing_would_run_it(
    fresh_bus: EventBus,
) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    fresh_bus.on("number.given")(lambda: (each for each in ()))
    fresh_bus.on("number.given")(lambda: numbers())
    errors = [failure.error for failure in await fresh_bus.emit("number.given")]
    assert [type(error) for error in errors] == [TypeError, TypeError]
    assert all("returned a generator" in str(error) for error in errors)


# Payload

KEYWORDS = ["event", "self", "plan", "payload", "function", "position", "failures", "result", "error", "is_async"]
KEYWORDS += ["_plan", "__plan", "_payload", "_function", "_error", "_noted", "handlers_of", "BaseException", "loop"]
KEYWORDS += ["print", "match", "type", "__debug__", "two words", "", "1", "é", "ﬁ", "x, y", "x=1", "*x", "/", "#"]
KEYWORDS += ["args", "kwargs", "handler", "name", "cls", "class", "def", "None", "await", "_", "__class__"]


@pytest.mark.parametrize("name", KEYWORDS)
async def test_every_keyword_may_be_in_a_payload(name: str, fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    fresh_bus.on("number.given")(lambda **payload: seen.append(payload))
    (await fresh_bus.emit("number.given", **{name: 7})).raise_if_any()
    assert seen == [{name: 7}]


async def test_every_keyword_may_be_in_a_payload_beside_all_others(fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    fresh_bus.on("number.given")(lambda **payload: seen.append(payload))
    payload: dict[str, Any] = {name: number for number, name in enumerate([*KEYWORDS, *keyword.kwlist])}
    (await fresh_bus.emit("number.given", **payload)).raise_if_any()
    assert seen == [payload]
    assert list(seen[0]) == list(payload)


class Field(StrEnum):
    """Keywords in an enumeration; no other test has these, so that nothing is ready for them."""

    NUMBER = "number_of_the_newer_kind"


class OlderField(str, Enum):  # noqa: UP042 - the older kind is the case under test
    """Keywords in an enumeration whose text is not their value."""

    NUMBER = "number_of_the_older_kind"


@pytest.mark.parametrize("name", [Field.NUMBER, OlderField.NUMBER])
async def test_a_keyword_may_be_a_kind_of_text(name: str, fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    fresh_bus.on("number.given")(lambda **payload: seen.append(payload))
    (await fresh_bus.emit("number.given", **{name: 7})).raise_if_any()
    assert seen == [{name: 7}]


async def test_payloads_of_any_number_of_different_keywords_arrive(fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    fresh_bus.on("number.given")(lambda **payload: seen.append(payload))
    payloads: list[dict[str, Any]] = [{f"number_{number}": number} for number in range(600)]
    payloads += [{f"number_{number}": number for number in range(600)}, {}]
    for payload in payloads:
        (await fresh_bus.emit("number.given", **payload)).raise_if_any()
    assert seen == payloads


@pytest.mark.parametrize("kind", [EventBus, CrowdedBus, BusOfContracts])
@given(
    payload=st.dictionaries(
        st.from_regex(r"[^\W\d]\w*", fullmatch=True) | st.sampled_from(keyword.kwlist) | st.text(max_size=5),
        st.integers(),
    )
)
def test_any_payload_arrives_unchanged_at_every_handler(kind: type[EventBus], payload: dict[str, Any]) -> None:
    a_bus = kind()
    seen: list[dict[str, object]] = []

    @a_bus.on("number.given")
    async def take(**payload: object) -> None:
        seen.append(payload)

    a_bus.on("number.given")(lambda **payload: seen.append(payload))
    asyncio.run(a_bus.emit("number.given", **payload)).raise_if_any()
    assert seen == [payload, payload]
    assert [list(each) for each in seen] == [list(payload)] * 2


async def test_values_are_the_emitters_own_objects(fresh_bus: EventBus) -> None:
    seen: list[object] = []
    order = object()
    fresh_bus.on("order.placed")(lambda order: seen.append(order))
    await fresh_bus.emit("order.placed", order=order)
    assert seen[0] is order


async def test_a_handler_that_changes_its_keywords_changes_nobody_elses(fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []

    @fresh_bus.on("order.placed")
    def spoil(**payload: object) -> None:
        payload["order_id"] = 2
        payload["extra"] = True

    fresh_bus.on("order.placed")(lambda **payload: seen.append(payload))
    payload: dict[str, object] = {"order_id": 1}
    await fresh_bus.emit("order.placed", **payload)
    assert seen == [{"order_id": 1}]
    assert payload == {"order_id": 1}


# The emit itself


async def test_handlers_run_one_after_the_other_in_the_order_of_declaration(fresh_bus: EventBus) -> None:
    steps: list[str] = []

    def declare(name: str) -> None:
        @fresh_bus.on("order.placed")
        async def handle() -> None:
            steps.append(f"{name} begins")
            await asyncio.sleep(0)
            steps.append(f"{name} ends")

    for name in ("first", "second"):
        declare(name)
    await fresh_bus.emit("order.placed")
    assert steps == ["first begins", "first ends", "second begins", "second ends"]


async def test_nobody_listening_is_no_error(fresh_bus: EventBus) -> None:
    failures = await fresh_bus.emit("order.placed", order_id=1)
    failures.raise_if_any()
    assert type(failures) is Failures
    assert failures == ()


async def test_all_emits_that_go_well_share_one_empty_object(fresh_bus: EventBus) -> None:
    fresh_bus.on("order.placed")(lambda: None)
    with_handler = await fresh_bus.emit("order.placed")
    assert with_handler is await fresh_bus.emit("order.placed")
    assert with_handler is await fresh_bus.emit("order.paid")
    assert with_handler is await EventBus().emit("order.paid")


async def test_names_that_break_the_convention_may_be_emitted(fresh_bus: EventBus) -> None:
    assert await fresh_bus.emit("OrderPlaced", order_id=1) == ()
    assert await fresh_bus.emit("", order_id=1) == ()


@pytest.mark.parametrize("event", [None, 3, b"order.placed", ("order.placed",), [], {}])
async def test_a_name_that_is_no_text_is_a_type_error_once_it_is_awaited(event: Any, fresh_bus: EventBus) -> None:
    coroutine = fresh_bus.emit(event, order_id=1)
    with pytest.raises(TypeError, match=r'write emit\("employee\.created", \.\.\.\)') as caught:
        await coroutine
    assert repr(event) in str(caught.value)


async def test_nothing_runs_before_the_emit_is_awaited(fresh_bus: EventBus) -> None:
    calls: list[int] = []
    fresh_bus.on("order.placed")(lambda: calls.append(1))
    coroutine = fresh_bus.emit("order.placed")
    await asyncio.sleep(0)
    assert calls == []
    await coroutine
    assert calls == [1]


async def test_an_emit_can_be_a_task_and_be_gathered_with_and_without_listeners(fresh_bus: EventBus) -> None:
    calls: list[str] = []
    fresh_bus.on("order.placed")(lambda: calls.append("placed"))
    assert await asyncio.create_task(fresh_bus.emit("order.paid")) == ()
    assert await asyncio.create_task(fresh_bus.emit("order.placed")) == ()
    assert await asyncio.gather(fresh_bus.emit("order.paid"), fresh_bus.emit("order.placed")) == [(), ()]
    async with asyncio.TaskGroup() as group:
        group.create_task(fresh_bus.emit("order.placed"))
        group.create_task(fresh_bus.emit("order.paid"))
    assert calls == ["placed"] * 3


async def test_a_handler_added_during_a_dispatch_takes_part_from_the_next_emit_on(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    def first() -> None:
        calls.append("first")
        fresh_bus.on("order.placed")(late)

    def late() -> None:
        calls.append("late")

    await fresh_bus.emit("order.placed")
    assert calls == ["first"]
    await fresh_bus.emit("order.placed")
    assert calls == ["first", "first", "late"]


async def test_a_handler_added_during_a_dispatch_takes_part_in_an_emit_that_is_nested_in_it(
    fresh_bus: EventBus,
) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    async def first(depth: int) -> None:
        calls.append(f"first {depth}")
        fresh_bus.on("order.placed")(late)
        if not depth:
            await fresh_bus.emit("order.placed", depth=1)

    def late(depth: int) -> None:
        calls.append(f"late {depth}")

    await fresh_bus.emit("order.placed", depth=0)
    assert calls == ["first 0", "first 1", "late 1"]


async def test_nested_emits_run_depth_first(fresh_bus: EventBus) -> None:
    steps: list[str] = []

    @fresh_bus.on("order.placed")
    async def invoice() -> None:
        steps.append("invoice begins")
        await fresh_bus.emit("invoice.made")
        steps.append("invoice ends")

    fresh_bus.on("invoice.made")(lambda: steps.append("mail"))
    fresh_bus.on("order.placed")(lambda: steps.append("audit"))
    await fresh_bus.emit("order.placed")
    assert steps == ["invoice begins", "mail", "invoice ends", "audit"]


async def test_handlers_run_in_the_emitters_task_and_context(fresh_bus: EventBus) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen: list[object] = []

    @fresh_bus.on("order.placed")
    async def first() -> None:
        seen.append((tenant.get(), asyncio.current_task()))
        tenant.set("set by the first handler")
        await asyncio.sleep(0)

    fresh_bus.on("order.placed")(lambda: seen.append((tenant.get(), asyncio.current_task())))
    tenant.set("acme")
    await fresh_bus.emit("order.placed")
    here = asyncio.current_task()
    assert seen == [("acme", here), ("set by the first handler", here)]
    assert tenant.get() == "set by the first handler"


# Isolation


async def test_one_handlers_failure_stops_no_other_handler(fresh_bus: EventBus) -> None:
    calls: list[str] = []
    errors = [ValueError("first"), OSError("second")]

    @fresh_bus.on("order.placed")
    async def first(order_id: int) -> None:
        await asyncio.sleep(0)
        raise errors[0]

    @fresh_bus.on("order.placed")
    def second(order_id: int) -> None:
        raise errors[1]

    fresh_bus.on("order.placed")(lambda **_: calls.append("third"))
    failures = await fresh_bus.emit("order.placed", order_id=1)
    assert calls == ["third"]
    assert type(failures) is Failures
    assert [failure.error for failure in failures] == errors
    assert [failure.event for failure in failures] == ["order.placed"] * 2
    listed = fresh_bus.handlers("order.placed")
    assert [failure.handler.qualname.rpartition(".")[2] for failure in failures] == ["first", "second"]
    assert all(failure.handler in listed for failure in failures)


@pytest.mark.parametrize(
    "error",
    [
        StopIteration(),
        StopAsyncIteration(),
        ExceptionGroup("several", [ValueError()]),
        TimeoutError(),
        RecursionError(),
        AssertionError(),
        MemoryError(),
        Warning(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_every_exception_is_one_handlers_failure(error: Exception, kind: str, fresh_bus: EventBus) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise error

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise error

    fresh_bus.on("order.placed")(fail if kind == "sync" else fail_later)
    fresh_bus.on("order.placed")(lambda: calls.append(1))
    (failure,) = await fresh_bus.emit("order.placed")
    # Python itself turns these two, raised by a coroutine, into a RuntimeError with the original as its cause.
    assert error in (failure.error, failure.error.__cause__)
    assert calls == [1]


async def test_a_handler_that_does_not_take_the_payload_is_its_own_failure(fresh_bus: EventBus) -> None:
    calls: list[int] = []

    @fresh_bus.on("order.placed")
    async def narrow(order_id: int) -> None: ...

    fresh_bus.on("order.placed")(lambda **_: calls.append(1))
    (failure,) = await fresh_bus.emit("order.placed", order_id=1, customer_id=2)
    assert isinstance(failure.error, TypeError)
    assert calls == [1]


async def test_a_failure_is_logged_with_its_traceback_and_where_it_came_from(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("employee.created")
    async def greet(**payload: object) -> None:
        raise ValueError("no mail server")

    (failure,) = await fresh_bus.emit("employee.created", employee_id=1)
    (record,) = caplog.records
    name = f"{HERE}.{greet.__qualname__}"
    assert (record.name, record.levelno) == ("fastsoy_events", logging.ERROR)
    assert record.getMessage() == f"Event handler error: employee.created / {name}"
    extra = {field: vars(record)[field] for field in ("event", "handler", "plugin", "distribution")}
    assert extra == {"event": "employee.created", "handler": name, "plugin": "", "distribution": ""}
    assert record.exc_info is not None
    assert record.exc_info[1] is failure.error
    assert traceback.extract_tb(record.exc_info[2])[-1].name == "greet"
    assert traceback.extract_tb(failure.error.__traceback__)[-1].name == "greet"


async def test_a_failure_is_logged_at_the_place_of_its_handler(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("employee.created")
    def greet(**payload: object) -> None:
        raise ValueError("no mail server")

    fresh_bus.on("employee.created")(partial(greet, tenant=1))
    await fresh_bus.emit("employee.created", employee_id=1)
    for record in caplog.records:
        assert (record.pathname, record.lineno) == (__file__, greet.__code__.co_firstlineno)
    assert len(caplog.records) == 2


async def test_a_logger_that_is_switched_off_logs_nothing_and_failures_are_returned_all_the_same(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="fastsoy_events")
    fresh_bus.on("employee.created")(lambda: 1 / 0)
    assert len(await fresh_bus.emit("employee.created")) == 1
    assert messages(caplog) == []


async def test_the_traceback_of_a_failure_can_be_read_to_its_end(fresh_bus: EventBus) -> None:
    @fresh_bus.on("employee.created")
    def greet(employee_id: int) -> None:
        raise ValueError("no mail server")

    (failure,) = await fresh_bus.emit("employee.created", employee_id=1)
    text = "".join(traceback.format_exception(failure.error))
    assert 'raise ValueError("no mail server")' in text
    assert all(frame.line for frame in traceback.extract_tb(failure.error.__traceback__))


async def test_a_plugins_failure_is_logged_with_the_plugin_and_its_distribution(
    site: Site, default_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    source = "from fastsoy_events import on\n@on('employee.created')\ndef greet(): raise ValueError\n"
    site.install("Acme_Mail", {"mail": "acme_mail"}, {"acme_mail": source}, version="2.0")
    load_plugins(path=[site.folder])
    (failure,) = await default_bus.emit("employee.created")
    assert failure.handler.id == "acme-mail:mail:acme_mail:greet"
    assert failure.handler.version == "2.0"
    (record,) = caplog.records
    assert record.getMessage() == "Event handler error: employee.created / acme_mail.greet"
    assert (vars(record)["plugin"], vars(record)["distribution"]) == ("mail", "acme-mail")


async def test_names_with_signs_of_formatting_are_logged_as_they_are(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.warns(EventNameWarning):
        fresh_bus.on("100 %s {done}")(lambda: 1 / 0)
    await fresh_bus.emit("100 %s {done}")
    assert messages(caplog)[0].startswith("Event handler error: 100 %s {done} / ")


class Secret:
    """A value that shows in no log."""

    def __repr__(self) -> str:
        return "the-secret"


@exhausts_the_stack
async def test_the_payload_is_never_logged(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    @fresh_bus.on("employee.created")
    async def fail(**payload: object) -> None:
        raise ValueError("no mail server")

    @fresh_bus.on("employee.created")
    def narrow(other: int) -> None: ...

    @fresh_bus.on("employee.created")
    async def again(**payload: object) -> None:
        await fresh_bus.emit("employee.created", **payload)

    failures = await fresh_bus.emit("employee.created", salary=Secret(), note="the-secret")
    assert len(failures) == 3
    with pytest.raises(ExceptionGroup) as caught:
        failures.raise_if_any()
    logged = [logging.Formatter().format(record) + str(vars(record)) for record in caplog.records]
    assert len(logged) >= 3
    assert not any("the-secret" in text for text in [*logged, str(caught.value), *map(str, caught.value.exceptions)])


async def test_a_nested_failure_belongs_to_the_nested_emit(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    inner: list[Failures] = []

    @fresh_bus.on("order.placed")
    async def invoice() -> None:
        inner.append(await fresh_bus.emit("invoice.made"))

    fresh_bus.on("invoice.made")(lambda: 1 / 0)
    assert await fresh_bus.emit("order.placed") == ()
    assert [failure.event for failure in inner[0]] == ["invoice.made"]
    assert len(messages(caplog)) == 1


async def test_a_nested_failure_can_be_made_the_outer_handlers_own(fresh_bus: EventBus) -> None:
    @fresh_bus.on("order.placed")
    async def invoice() -> None:
        (await fresh_bus.emit("invoice.made")).raise_if_any()

    fresh_bus.on("invoice.made")(lambda: 1 / 0)
    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, ExceptionGroup)


class Abort(BaseException):
    """Something that is no Exception."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, Abort])
@pytest.mark.parametrize("kind", ["sync", "async", "nested"])
def test_what_is_no_exception_passes_through_and_nothing_further_runs(
    error: type[BaseException], kind: str, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    async def fail_later() -> None:
        calls.append("failed")
        raise error

    def fail() -> None:
        calls.append("failed")
        raise error

    async def nest() -> None:
        await fresh_bus.emit("invoice.made")

    fresh_bus.on("invoice.made")(fail)
    fresh_bus.on("invoice.made")(lambda: calls.append("further"))
    fresh_bus.on("order.placed")({"sync": fail, "async": fail_later, "nested": nest}[kind])
    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    coroutine = fresh_bus.emit("order.placed")
    with pytest.raises(error):
        coroutine.send(None)
    assert calls == ["failed"]
    assert messages(caplog) == []


def test_a_keyboard_interrupt_ends_the_event_loop(fresh_bus: EventBus) -> None:
    @fresh_bus.on("order.placed")
    async def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(fresh_bus.emit("order.placed"))


def test_an_emit_that_is_closed_half_way_runs_nothing_further(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    @types.coroutine
    def wait() -> Generator[None]:
        try:
            yield
        finally:
            calls.append("closed")

    fresh_bus.on("order.placed")(wait)
    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    coroutine = fresh_bus.emit("order.placed")
    coroutine.send(None)
    coroutine.close()
    assert calls == ["closed"]
    assert messages(caplog) == []


# Failures


async def test_raise_if_any_raises_a_group_with_the_originals_as_causes(fresh_bus: EventBus) -> None:
    errors: list[BaseException] = [ValueError("no mail server"), asyncio.CancelledError("leaked")]

    def fail_with(error: BaseException) -> Callable[..., object]:
        async def fail() -> None:
            raise error

        return fail

    for error in errors:
        fresh_bus.on("order.placed")(fail_with(error))
    failures = await fresh_bus.emit("order.placed")
    with pytest.raises(ExceptionGroup, match=r"order\.placed") as caught:
        failures.raise_if_any()
    assert [type(each) for each in caught.value.exceptions] == [HandlerError, HandlerError]
    assert [each.__cause__ for each in caught.value.exceptions] == errors
    for each, failure in zip(caught.value.exceptions, failures, strict=True):
        assert f"order.placed / {HERE}.{failure.handler.qualname}" in str(each)
    assert "no mail server" in str(caught.value.exceptions[0])


async def test_raise_if_any_can_be_caught_by_kind(fresh_bus: EventBus) -> None:
    fresh_bus.on("order.placed")(lambda: 1 / 0)
    failures = await fresh_bus.emit("order.placed")
    caught: list[BaseException | None] = []
    try:
        failures.raise_if_any()
    except* HandlerError as group:
        caught += [each.__cause__ for each in group.exceptions]
    assert [type(each) for each in caught] == [ZeroDivisionError]


async def test_raise_if_any_raises_the_group_again_each_time(fresh_bus: EventBus) -> None:
    fresh_bus.on("order.placed")(lambda: 1 / 0)
    failures = await fresh_bus.emit("order.placed")
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            failures.raise_if_any()


async def test_an_error_that_cannot_be_printed_is_raised_all_the_same(fresh_bus: EventBus) -> None:
    class UnprintableError(Exception):
        def __repr__(self) -> str:
            raise ValueError

        __str__ = __repr__

    @fresh_bus.on("order.placed")
    def fail() -> None:
        raise UnprintableError

    failures = await fresh_bus.emit("order.placed")
    with pytest.raises(ExceptionGroup) as caught:
        failures.raise_if_any()
    assert isinstance(caught.value.exceptions[0].__cause__, UnprintableError)


def test_failures_are_a_tuple_and_empty_ones_are_false() -> None:
    assert isinstance(Failures(), tuple)
    assert not Failures()
    assert pickle.loads(pickle.dumps(Failures())) == Failures()  # noqa: S301 - our own


# Cancellation


async def test_a_leaked_cancellation_is_one_handlers_failure(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    async def leak() -> None:
        task = asyncio.ensure_future(asyncio.sleep(3600))
        task.cancel()
        await task

    @fresh_bus.on("order.placed")
    def leak_at_once() -> None:
        raise asyncio.CancelledError

    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    failures = await fresh_bus.emit("order.placed")
    assert [type(failure.error) for failure in failures] == [asyncio.CancelledError] * 2
    assert calls == ["further"]
    assert len(messages(caplog)) == 2
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class Waiting:
    """A first handler that works, a second one that waits, and a third one that must not run."""

    def __init__(self, a_bus: EventBus) -> None:
        self.calls: list[str] = []
        self.started = asyncio.Event()
        a_bus.on("order.placed")(lambda: self.calls.append("first"))
        a_bus.on("order.placed")(self.wait)
        a_bus.on("order.placed")(lambda: self.calls.append("third"))

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.calls.append("second ends")


async def test_the_emitting_tasks_cancellation_stops_the_dispatch_inside_a_handler(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Waiting(fresh_bus)
    task = asyncio.create_task(fresh_bus.emit("order.placed"))
    await waiting.started.wait()
    task.cancel("the shop closes")
    with pytest.raises(asyncio.CancelledError, match="the shop closes"):
        await task
    assert task.cancelled()
    assert waiting.calls == ["first", "second ends"]
    assert messages(caplog) == []


async def test_the_emitting_tasks_cancellation_stops_a_nested_dispatch(fresh_bus: EventBus) -> None:
    waiting = Waiting(fresh_bus)
    calls: list[str] = []

    @fresh_bus.on("basket.closed")
    async def place() -> None:
        await fresh_bus.emit("order.placed")

    fresh_bus.on("basket.closed")(lambda: calls.append("further"))
    task = asyncio.create_task(fresh_bus.emit("basket.closed"))
    await waiting.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.calls == ["first", "second ends"]
    assert calls == []


async def test_a_timeout_around_an_emit_stops_the_dispatch(fresh_bus: EventBus) -> None:
    waiting = Waiting(fresh_bus)

    async def emit() -> None:
        async with asyncio.timeout(0):
            await fresh_bus.emit("order.placed")

    with pytest.raises(TimeoutError):
        await emit()
    assert waiting.calls == ["first", "second ends"]


async def test_wait_for_around_an_emit_stops_the_dispatch(fresh_bus: EventBus) -> None:
    waiting = Waiting(fresh_bus)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fresh_bus.emit("order.placed"), 0.01)
    assert waiting.calls == ["first", "second ends"]


async def test_a_failing_task_group_stops_the_dispatch_in_it(fresh_bus: EventBus) -> None:
    waiting = Waiting(fresh_bus)

    async def fail() -> None:
        await waiting.started.wait()
        raise ValueError

    async def emit() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await fresh_bus.emit("order.placed")

    with pytest.raises(ExceptionGroup) as caught:
        await emit()
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert waiting.calls == ["first", "second ends"]


async def test_a_timeout_inside_a_handler_is_that_handlers_failure(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    async def hurry() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    @fresh_bus.on("order.placed")
    async def hurry_too() -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.001)

    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    failures = await fresh_bus.emit("order.placed")
    assert [type(failure.error) for failure in failures] == [TimeoutError, TimeoutError]
    assert calls == ["further"]


async def test_a_cancellation_that_was_taken_back_no_longer_counts(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    async def leak() -> None:
        raise asyncio.CancelledError

    fresh_bus.on("order.placed")(lambda: calls.append("further"))

    async def stubborn() -> Failures:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task.uncancel()
        return await fresh_bus.emit("order.placed")

    assert len(await asyncio.create_task(stubborn())) == 1
    assert calls == ["further"]


async def test_a_handlers_error_while_the_task_cleans_up_after_a_cancellation_is_isolated(
    fresh_bus: EventBus,
) -> None:
    calls: list[str] = []
    fresh_bus.on("order.aborted")(lambda: 1 / 0)
    fresh_bus.on("order.aborted")(lambda: calls.append("further"))

    async def work(started: asyncio.Event) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            calls.append(str(len(await fresh_bus.emit("order.aborted"))))

    started = asyncio.Event()
    task = asyncio.create_task(work(started))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["further", "1"]


def test_a_cancellation_thrown_in_by_hand_passes_without_an_event_loop(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    @types.coroutine
    def wait() -> Generator[None]:
        yield

    fresh_bus.on("order.placed")(wait)
    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    coroutine = fresh_bus.emit("order.placed")
    coroutine.send(None)
    with pytest.raises(asyncio.CancelledError):
        coroutine.throw(asyncio.CancelledError())
    assert calls == []


# Recursion


async def test_an_honest_recursion_runs_whole(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    children = {depth: [depth + 1] if depth < 20 else [] for depth in range(1, 21)}
    deleted: list[int] = []

    @fresh_bus.on("category.deleted")
    async def delete_children(category_id: int) -> None:
        for child in children[category_id]:
            (await fresh_bus.emit("category.deleted", category_id=child)).raise_if_any()
        deleted.append(category_id)

    assert await fresh_bus.emit("category.deleted", category_id=1) == ()
    assert deleted == list(range(20, 0, -1))
    assert messages(caplog) == []


async def test_a_tree_with_many_branches_runs_whole(fresh_bus: EventBus) -> None:
    deleted: list[str] = []

    @fresh_bus.on("category.deleted")
    async def delete_children(path: str) -> None:
        # A spine twenty deep, with a leaf beside each of its nodes.
        for child in "ab" if len(path) < 20 and "b" not in path else "":
            (await fresh_bus.emit("category.deleted", path=path + child)).raise_if_any()
        deleted.append(path)

    assert await fresh_bus.emit("category.deleted", path="") == ()
    spine = ["a" * depth for depth in range(21)]
    assert sorted(deleted) == sorted(spine + [each + "b" for each in spine[:-1]])


def cycle_of(a_bus: EventBus, events: list[str], times: int, counter: Counter) -> None:
    """Let each event's handler emit the next one, round and round."""

    def declare(event: str, following: str) -> None:
        @a_bus.on(event)
        async def handle() -> None:
            counter.count()
            for _ in range(times):
                await a_bus.emit(following)

    for event, following in zip(events, [*events[1:], events[0]], strict=True):
        declare(event, following)


@pytest.mark.parametrize("times", [1, 2, 3])
@exhausts_the_stack
@pytest.mark.parametrize(
    "events", [["order.placed"], ["order.placed", "invoice.made"], ["order.placed", "invoice.made", "mail.sent"]]
)
async def test_an_endless_cycle_ends_with_one_failure_that_names_it(
    events: list[str], times: int, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()
    cycle_of(fresh_bus, events, times, counter)
    (failure,) = await fresh_bus.emit(events[0])
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == (*events, events[0])
    assert " > ".join([*events, events[0]]) in str(failure.error)
    assert failure.event == events[0]
    assert failure.handler == fresh_bus.handlers(events[0])[0]
    assert counter.calls < sys.getrecursionlimit()
    assert len(messages(caplog)) == 1


@exhausts_the_stack
async def test_handlers_beside_a_cycle_still_run(fresh_bus: EventBus) -> None:
    calls: list[str] = []
    cycle_of(fresh_bus, ["order.placed"], 1, Counter())

    @fresh_bus.on("order.placed")
    def note() -> None:
        calls.append("noted")

    failures = await fresh_bus.emit("order.placed")
    assert len(failures) == 1
    assert calls == ["noted"]


@exhausts_the_stack
async def test_a_cycle_is_logged_with_a_short_traceback(fresh_bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
    cycle_of(fresh_bus, ["order.placed", "invoice.made"], 2, Counter())
    (failure,) = await fresh_bus.emit("order.placed")
    (record,) = [record for record in caplog.records if record.name == "fastsoy_events"]
    text = logging.Formatter().format(record)
    assert len(text.splitlines()) < 30
    assert text.count("order.placed > invoice.made > order.placed") == 1
    assert 1 <= len(traceback.extract_tb(failure.error.__traceback__)) <= 5
    assert any(frame.name == "handle" for frame in traceback.extract_tb(failure.error.__traceback__))
    assert failure.error.__context__ is None
    assert failure.error.__cause__ is None


@exhausts_the_stack
async def test_a_cycle_may_begin_after_other_nested_emits(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    cycle_of(fresh_bus, ["order.placed", "invoice.made"], 2, Counter())

    @fresh_bus.on("basket.closed")
    async def place() -> None:
        await fresh_bus.emit("basket.emptied")

    @fresh_bus.on("basket.emptied")
    async def order() -> None:
        await fresh_bus.emit("order.placed")

    fresh_bus.on("basket.closed")(lambda: calls.append("further"))
    (failure,) = await fresh_bus.emit("basket.closed")
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("order.placed", "invoice.made", "order.placed")
    assert failure.event == "basket.closed"
    assert failure.handler.qualname.endswith("place")
    assert calls == ["further"]
    assert len(messages(caplog)) == 1


@exhausts_the_stack
@pytest.mark.parametrize("times", [1, 2])
async def test_a_cycle_that_begins_deep_in_other_code_ends_too(
    times: int, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()
    cycle_of(fresh_bus, ["order.placed", "invoice.made"], times, counter)

    async def possible_steps() -> int:
        try:
            return 1 + await possible_steps()
        except RecursionError:
            return 0

    async def deeper(steps: int) -> Failures:
        return await (deeper(steps - 1) if steps else fresh_bus.emit("order.placed"))

    (failure,) = await deeper(await possible_steps() * 3 // 4)
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("order.placed", "invoice.made", "order.placed")
    assert len(messages(caplog)) == 1


@exhausts_the_stack
@pytest.mark.parametrize("steps", [1, 10, 40])
async def test_a_cycle_whose_handlers_call_much_code_before_they_emit_ends_too(
    steps: int, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()

    async def deeper(steps: int) -> None:
        await (deeper(steps - 1) if steps else fresh_bus.emit("order.placed"))

    @fresh_bus.on("order.placed")
    async def place() -> None:
        counter.count()
        await deeper(steps)
        await deeper(steps)

    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("order.placed", "order.placed")
    assert counter.calls < sys.getrecursionlimit()
    assert len(messages(caplog)) == 1


@exhausts_the_stack
async def test_a_cycle_of_lambdas_that_return_the_emit_ends_too(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    fresh_bus.on("order.placed")(lambda: fresh_bus.emit("invoice.made"))
    fresh_bus.on("invoice.made")(lambda: fresh_bus.emit("order.placed"))
    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("order.placed", "invoice.made", "order.placed")
    assert len(messages(caplog)) == 1


@exhausts_the_stack
async def test_a_cycle_with_many_handlers_at_every_step_ends_too(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()

    def declare() -> None:
        @fresh_bus.on("order.placed")
        async def handle() -> None:
            counter.count()
            await fresh_bus.emit("order.placed")

    for _ in range(3):
        declare()
    failures = await fresh_bus.emit("order.placed")
    # Each of the outermost emit's handlers begins the cycle anew, so each fails once.
    assert [type(failure.error) for failure in failures] == [EmitDepthError] * 3
    assert len(messages(caplog)) == 3
    assert counter.calls < 3 * sys.getrecursionlimit()


@exhausts_the_stack
async def test_a_cycle_in_a_handler_that_cleans_up_ends_too(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()

    @fresh_bus.on("order.placed")
    async def handle() -> None:
        counter.count()
        try:
            await fresh_bus.emit("order.placed")
        finally:
            await asyncio.sleep(0)

    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, EmitDepthError)
    assert len(messages(caplog)) == 1


@exhausts_the_stack
async def test_a_cycle_that_reports_nested_failures_ends_too(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("order.placed")
    async def handle() -> None:
        (await fresh_bus.emit("order.placed")).raise_if_any()

    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, EmitDepthError)
    assert len(messages(caplog)) == 1


@exhausts_the_stack
async def test_a_cycle_in_each_of_two_tasks_is_one_failure_in_each(fresh_bus: EventBus) -> None:
    @fresh_bus.on("order.placed")
    async def handle() -> None:
        await asyncio.sleep(0)
        await fresh_bus.emit("order.placed")

    for failures in await asyncio.gather(fresh_bus.emit("order.placed"), fresh_bus.emit("order.placed")):
        assert [type(failure.error) for failure in failures] == [EmitDepthError]


@exhausts_the_stack
async def test_a_cycle_through_a_handler_that_swallows_errors_ends(fresh_bus: EventBus) -> None:
    counter = Counter()

    @fresh_bus.on("order.placed")
    async def handle() -> None:
        counter.count()
        try:
            await fresh_bus.emit("order.placed")
        except Exception:  # noqa: BLE001 - the case under test
            counter.count()

    await fresh_bus.emit("order.placed")
    assert counter.calls > 1


@exhausts_the_stack
async def test_the_bus_works_after_a_cycle(fresh_bus: EventBus) -> None:
    calls: list[int] = []
    cycle_of(fresh_bus, ["order.placed"], 2, Counter())
    fresh_bus.on("mail.sent")(lambda: calls.append(1))
    for _ in range(3):
        assert len(await fresh_bus.emit("order.placed")) == 1
        assert await fresh_bus.emit("mail.sent") == ()
    assert calls == [1, 1, 1]


@exhausts_the_stack
async def test_a_cycle_leaves_no_garbage_of_frames_behind(fresh_bus: EventBus) -> None:
    class Payload:
        pass

    @fresh_bus.on("order.placed")
    async def handle(thing: Payload) -> None:
        await fresh_bus.emit("order.placed", thing=Payload())

    failures = await fresh_bus.emit("order.placed", thing=Payload())
    gc.collect()
    assert len(failures) == 1
    # The kept traceback may hold on to the first emits, but not to the hundreds below them.
    assert sum(isinstance(each, Payload) for each in gc.get_objects()) < 10


@exhausts_the_stack
async def test_a_handler_that_exhausts_the_stack_by_itself_is_an_ordinary_failure(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    @fresh_bus.on("order.placed")
    def endless() -> None:
        endless()

    fresh_bus.on("order.placed")(lambda: calls.append("further"))
    (failure,) = await fresh_bus.emit("order.placed")
    assert type(failure.error) is RecursionError
    assert calls == ["further"]
    assert len(messages(caplog)) == 1


@exhausts_the_stack
@pytest.mark.parametrize("same", [True, False])
async def test_a_handler_that_exhausts_the_stack_below_a_few_nested_emits_is_an_ordinary_failure(
    same: bool, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    inner: list[Failures] = []
    calls: list[str] = []

    def endless() -> None:
        endless()

    @fresh_bus.on("category.deleted")
    async def delete(depth: int) -> None:
        if depth == 5:
            endless()
        inner.append(await fresh_bus.emit("category.deleted", depth=depth + 1))
        calls.append(f"after {depth}")

    @fresh_bus.on("shelf.deleted")
    async def shelf() -> None:
        inner.append(await fresh_bus.emit("category.deleted", depth=0))

    emit: Coroutine[Any, Any, Failures] = (
        fresh_bus.emit("category.deleted", depth=0) if same else fresh_bus.emit("shelf.deleted")
    )
    assert await emit == ()
    assert [type(failure.error) for failures in inner for failure in failures] == [RecursionError]
    assert calls == [f"after {depth}" for depth in range(4, -1, -1)]
    assert len(messages(caplog)) == 1


def chained(a_bus: EventBus, steps: int) -> list[Failures]:
    """Have each of many different events emit the next one, and return what these emits are going to return."""
    inner: list[Failures] = []

    def declare(step: int) -> None:
        @a_bus.on(f"step.taken_{step}")
        async def take() -> None:
            inner.append(await a_bus.emit(f"step.taken_{step + 1}"))

    for step in range(steps):
        declare(step)
    return inner


@exhausts_the_stack
async def test_a_stack_that_runs_out_below_many_different_emits_is_an_ordinary_failure(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    steps = sys.getrecursionlimit() // 4
    inner = chained(fresh_bus, steps)

    @fresh_bus.on(f"step.taken_{steps}")
    def endless() -> None:
        endless()

    assert await fresh_bus.emit("step.taken_0") == ()
    assert [type(failure.error) for failures in inner for failure in failures] == [RecursionError]
    assert len(messages(caplog)) == 1


async def test_a_depth_error_that_a_handler_raises_itself_is_an_ordinary_failure(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("order.placed")
    def fail() -> None:
        raise EmitDepthError(("order.placed", "order.placed"))

    (failure,) = await fresh_bus.emit("order.placed")
    assert isinstance(failure.error, EmitDepthError)
    assert len(messages(caplog)) == 1


def awaited(coroutine: Awaitable[Failures]) -> Failures:
    """Drive an emit that never waits, without an event loop."""
    try:
        coroutine.__await__().__next__()
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def test_an_emit_needs_no_event_loop_where_no_handler_does(fresh_bus: EventBus) -> None:
    calls: list[int] = []
    fresh_bus.on("order.placed")(lambda: calls.append(1))
    fresh_bus.on("order.placed")(lambda: 1 / 0)
    assert len(awaited(fresh_bus.emit("order.placed"))) == 1
    assert calls == [1]


async def test_a_cancellation_that_a_handlers_clean_up_hides_behind_an_error_of_its_own_still_stops(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    began, ran = asyncio.Event(), list[str]()

    @fresh_bus.on("order.placed")
    async def hold() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the connection cannot be closed")

    fresh_bus.on("order.placed")(lambda: ran.append("next"))
    task = asyncio.create_task(fresh_bus.emit("order.placed"))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == []
    assert "the connection cannot be closed" in caplog.text


async def test_an_emit_in_the_clean_up_of_a_cancelled_task_isolates_as_ever(fresh_bus: EventBus) -> None:
    began, ran, failed = asyncio.Event(), list[str](), list[object]()

    @fresh_bus.on("order.placed")
    async def fail() -> None:
        raise OSError("an ordinary failure")

    fresh_bus.on("order.placed")(lambda: ran.append("next"))

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            failed.extend(failure.error for failure in await fresh_bus.emit("order.placed"))
            raise

    task = asyncio.create_task(work())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == ["next"]
    assert [type(error) for error in failed] == [OSError]


async def test_each_loop_shows_its_own_source_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch, "_loops", {})  # other tests may have filled it
    fresh_bus = EventBus()
    for _ in range(4):

        async def refuse() -> None: ...

        def refuse_too() -> None: ...

        fresh_bus.on("order.placed")(refuse)
        fresh_bus.on("order.refunded")(refuse_too)
    for event in ("order.placed", "order.refunded", "order.placed"):
        failures = await fresh_bus.emit(event, a_keyword_that_no_handler_takes=1)
        lines = {traceback.extract_tb(failure.error.__traceback__)[-1].line for failure in failures}
        call = "_function(a_keyword_that_no_handler_takes=a_keyword_that_no_handler_takes)"
        assert lines == {f"await {call}" if event == "order.placed" else f"_result = {call}"}


async def test_a_filter_of_the_log_that_raises_stops_no_handler(
    fresh_bus: EventBus, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise ValueError("the filter is broken")

    ran: list[str] = []
    fresh_bus.on("order.placed")(lambda: 1 / 0)
    fresh_bus.on("order.placed")(lambda: ran.append("next"))
    logger = logging.getLogger("fastsoy_events")
    logger.addFilter(refuse)
    try:
        failures = await fresh_bus.emit("order.placed")
    finally:
        logger.removeFilter(refuse)
    assert ran == ["next"]
    assert len(failures) == 1
    assert "the filter is broken" in capsys.readouterr().err


# What makes it fast, as facts rather than times


async def test_more_than_a_few_handlers_are_called_without_a_copy_of_the_payload_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loops: dict[object, Any] = {}
    monkeypatch.setattr(_dispatch, "_loops", loops)
    bus = EventBus()
    for event, count in (("order.placed", 4), ("order.refunded", 1)):
        for _ in range(count):

            async def handle(number: int) -> None: ...

            bus.on(event)(handle)
        await bus.emit(event, number=1)
    (loop,) = loops.values()  # one event has few handlers: they run in the emit itself
    assert "CALL_FUNCTION_EX" not in {instruction.opname for instruction in dis.get_instructions(loop)}
    assert "CALL_FUNCTION_EX" in {instruction.opname for instruction in dis.get_instructions(EventBus.emit)}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
async def test_an_emit_calls_nothing_but_its_handlers(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch, "_loops", {})
    bus = EventBus()
    for _ in range(count):

        async def handle(number: int) -> None: ...

        bus.on("order.placed")(handle)
    await bus.emit("order.placed", number=1)
    called: list[str] = []

    def note(frame: types.FrameType, what: str, _: object) -> None:
        if what == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        await bus.emit("order.placed", number=1)
    finally:
        sys.setprofile(None)
    loop = ["handlers_of"] if count > 3 else []
    assert called == ["emit", *loop, *["handle"] * count]


async def test_a_name_may_be_a_kind_of_text_also_where_nobody_listens(fresh_bus: EventBus) -> None:
    class Name(str):
        __slots__ = ()

    assert await fresh_bus.emit(Name("order.placed"), order_id=1) == ()


async def test_what_is_no_text_is_refused_with_all_that_the_message_says(fresh_bus: EventBus) -> None:
    with pytest.raises(TypeError) as caught:
        await fresh_bus.emit(3)  # type: ignore[arg-type]
    assert str(caught.value) == ('emit() takes the name of the event: write emit("employee.created", ...), not emit(3)')


async def test_a_generator_is_refused_with_what_to_return_in_its_place(fresh_bus: EventBus) -> None:
    fresh_bus.on("number.given")(lambda: (each for each in ()))
    (failure,) = await fresh_bus.emit("number.given")
    assert str(failure.error) == (
        "the handler returned a generator, and nothing runs its body: let it return None or a coroutine"
    )


async def test_a_failure_under_keywords_that_are_no_names_stops_no_other_handler() -> None:
    bus = EventBus()
    calls: list[object] = []

    @bus.on("order.placed")
    def fail(**payload: object) -> None:
        raise LookupError

    @bus.on("order.placed")
    async def leak(**payload: object) -> None:
        raise asyncio.CancelledError

    bus.on("order.placed")(lambda **payload: calls.append(payload))
    failures = await bus.emit("order.placed", **{"two words": 1})
    assert [type(failure.error) for failure in failures] == [LookupError, asyncio.CancelledError]
    assert [failure.handler.position for failure in failures] == [0, 1]
    assert calls == [{"two words": 1}]


async def test_what_is_no_exception_passes_through_under_keywords_that_are_no_names() -> None:
    bus = EventBus()
    calls: list[object] = []

    @bus.on("order.placed")
    def leave(**payload: object) -> None:
        raise GeneratorExit

    bus.on("order.placed")(lambda **payload: calls.append(payload))
    with pytest.raises(GeneratorExit):
        await bus.emit("order.placed", **{"two words": 1})
    assert calls == []


async def test_nothing_is_compiled_for_keywords_that_were_there_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_dispatch, "_loops", {})  # other tests may have filled it
    bus = EventBus()
    compiled: list[object] = []

    @bus.on("order.placed")
    def handle(**payload: object) -> None: ...

    def note(frame: types.FrameType, event: str, argument: object) -> None:
        if event == "c_call" and argument is compile:
            compiled.append(argument)

    async def emit_with_both() -> None:
        await bus.emit("order.placed", compiled_once=1)
        await bus.emit("order.placed", compiled_once=1, also_compiled_once=2)

    sys.setprofile(note)
    try:
        await emit_with_both()
        first = len(compiled)
        await emit_with_both()
    finally:
        sys.setprofile(None)
    assert (first, len(compiled)) == (2, 2)


async def test_a_cancellation_that_several_errors_of_a_clean_up_hide_still_stops(fresh_bus: EventBus) -> None:
    began, ran = asyncio.Event(), list[str]()

    @fresh_bus.on("order.placed")
    async def hold() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                raise ConnectionError
            finally:
                raise OSError

    fresh_bus.on("order.placed")(lambda: ran.append("next"))
    task = asyncio.create_task(fresh_bus.emit("order.placed"))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == []


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_errors_whose_contexts_go_round_in_a_circle_are_one_failure(length: int, fresh_bus: EventBus) -> None:
    ran: list[str] = []

    @fresh_bus.on("order.placed")
    async def fail() -> None:
        circle = [LookupError(number) for number in range(length)]
        for place, error in enumerate(circle):
            error.__context__ = circle[place - 1]
        raised = OSError("outside of the circle")
        raised.__context__ = circle[0]
        raise raised

    fresh_bus.on("order.placed")(lambda: ran.append("next"))
    (failure,) = await fresh_bus.emit("order.placed")
    assert type(failure.error) is OSError
    assert ran == ["next"]


async def test_each_event_object_shows_its_own_source_in_a_traceback() -> None:
    def of_one(*, number: int) -> None: ...

    def of_two(*, number: int, name: str) -> None: ...

    def fail(**payload: object) -> None:
        raise LookupError

    failures: list[Any] = []
    for declared, payload in ((of_one, {"number": 1}), (of_two, {"number": 1, "name": "pen"})):
        bus = EventBus()
        event: Any = bus.event("order.placed")(declared)
        bus.on("order.placed")(fail)
        await event.emit(**payload)  # only this one goes by the event's name
        failures += await event.emit(**payload)
    lines = [traceback.extract_tb(failure.error.__traceback__)[-2].line for failure in failures]
    assert lines == ["_result = _function(number=number)", "_result = _function(number=number, name=name)"]


@exhausts_the_stack
async def test_a_handler_that_exhausts_the_stack_by_itself_deep_in_other_code_is_an_ordinary_failure(
    fresh_bus: EventBus,
) -> None:
    inner: list[Failures] = []

    async def possible_steps() -> int:
        try:
            return 1 + await possible_steps()
        except RecursionError:
            return 0

    async def deeper(steps: int) -> Failures:
        return await (deeper(steps - 1) if steps else fresh_bus.emit("order.placed", again=True))

    def endless() -> None:
        endless()

    @fresh_bus.on("order.placed")
    async def place(again: bool) -> None:
        if again:
            inner.append(await fresh_bus.emit("order.placed", again=False))
        else:
            endless()

    assert await deeper(await possible_steps() * 2 // 3) == ()
    ((failure,),) = inner
    assert type(failure.error) is RecursionError


@exhausts_the_stack
async def test_a_handler_that_exhausts_what_many_different_emits_have_left_of_the_stack_is_an_ordinary_failure(
    fresh_bus: EventBus,
) -> None:
    steps = sys.getrecursionlimit() // 4
    inner = chained(fresh_bus, steps)

    def deeper() -> None:
        deeper()

    @fresh_bus.on(f"step.taken_{steps}")
    async def endless() -> None:
        deeper()

    assert await fresh_bus.emit("step.taken_0") == ()
    assert [type(failure.error) for failures in inner for failure in failures] == [RecursionError]
