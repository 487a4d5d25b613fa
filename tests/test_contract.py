"""Contracts: what `@event` takes and gives, how its objects emit, what validation says, and which contract counts."""

from __future__ import annotations

import asyncio
import copy
import dis
import functools
import gc
import importlib
import inspect
import linecache
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import traceback
import types
import weakref
from collections import deque
from contextlib import contextmanager, nullcontext
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastsoy_events
from fastsoy_events import (
    ContractError,
    EmitDepthError,
    Event,
    EventBus,
    EventNameWarning,
    EventsError,
    Failures,
    PluginLoadError,
    RegistrationError,
    _contract,
    bus,
    emit,
    event,
    events,
    hookspec,
    load_plugins,
    on,
)
from fastsoy_events._record import UNMADE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from fastsoy_events import LoadReport

Way: TypeAlias = Literal["object", "name"]
WAYS: tuple[Way, ...] = ("object", "name")
VALIDATIONS: tuple[Literal["off", "warn", "raise"], ...] = ("off", "warn", "raise")


class Site(Protocol):
    """The part of the fixture `site` that is used here."""

    @property
    def folder(self) -> Path: ...

    def install(
        self, name: str, entry_points: Mapping[str, str], modules: Mapping[str, str], *, version: str = ...
    ) -> Path: ...


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the bus logged."""
    return [record.getMessage() for record in caplog.records if record.name == "fastsoy_events"]


def declared_with(
    keywords: Sequence[str], defaults: Mapping[str, object] = types.MappingProxyType({})
) -> Callable[..., None]:
    """Return a function that declares these keywords."""
    namespace: dict[str, Any] = {"defaults": defaults}
    parameters = (f"{each}=defaults[{each!r}]" if each in defaults else each for each in keywords)
    exec(f"def carries({', '.join(['*', *parameters] if keywords else [])}): ...", namespace)  # noqa: S102 - our own
    carries: Callable[..., None] = namespace["carries"]
    return carries


def numbers_given(a_bus: EventBus, name: str = "number.given") -> Event[...]:
    """Declare the contract that most tests here need: one keyword, the list that handlers note their calls in."""

    @a_bus.event(name)
    def number_given(*, calls: list[object]) -> None: ...

    return number_given


def calls_of(contract: Event[...]) -> list[object]:
    """Emit by the object, and return what the handlers noted."""
    calls: list[object] = []
    asyncio.run(contract.emit(calls=calls)).raise_if_any()
    return calls


async def emitted(contract: Event[...], way: Way = "object") -> list[object]:
    """Emit in one of the two ways, and return what the handlers noted."""
    calls: list[object] = []
    emit_it = contract.emit if way == "object" else partial(contract._bus.emit, contract.name)
    (await emit_it(calls=calls)).raise_if_any()
    return calls


def noting(mark: object) -> Callable[[list[object]], None]:
    """Return a new handler."""

    def note(calls: list[object]) -> None:
        calls.append(mark)

    return note


def write(site: Site, module: str, source: str) -> None:
    """Write a module's source, so that an import or a reload finds it."""
    file = site.folder.joinpath(*module.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(source), encoding="utf-8")
    importlib.invalidate_caches()


def contract(name: str = "number.given", keywords: str = "*, calls", function: str = "number_given") -> str:
    """Return the source of a contract."""
    return f"\nfrom fastsoy_events import event\n@event({name!r})\ndef {function}({keywords}):\n    'What it means.'\n"


def handler(mark: str, name: str = "number.given", keywords: str = "calls") -> str:
    """Return the source of a handler that notes its calls."""
    return f"\nfrom fastsoy_events import on\n@on({name!r})\ndef note_{mark}({keywords}):\n    calls.append({mark!r})\n"


@pytest.fixture
def _validation_off() -> Generator[None]:
    """Leave the default bus as every other test finds it."""
    yield
    bus.validation = "off"


# What is refused


def positional(employee_id: int, /) -> None: ...
def positional_or_keyword(employee_id: int, language: str = "en") -> None: ...
def any_positional(*employees: int) -> None: ...
def any_keyword(**payload: int) -> None: ...
def mixed(employee_id: int, *, language: str) -> None: ...
def with_a_body(*, employee_id: int) -> None:
    print(employee_id)  # noqa: T201 - it never runs


def with_variables(*, employee_id: int) -> None:
    double = 2 * employee_id  # noqa: F841 - it never runs


async def asynchronous(*, employee_id: int) -> None: ...
def generator(*, employee_id: int) -> Generator[int]:
    yield employee_id


async def async_generator(*, employee_id: int) -> AsyncGenerator[int]:
    yield employee_id


class Desk:
    """Callables that are no functions."""

    def __call__(self, *, employee_id: int) -> None: ...

    def method(self, *, employee_id: int) -> None: ...

    @staticmethod
    def static(*, employee_id: int) -> None: ...

    @classmethod
    def of_class(cls, *, employee_id: int) -> None: ...


NO_FUNCTION = r'@event\("employee\.created"\) must stand above a function with keyword-only parameters'
PARAMETERS = (
    r'@event\("employee\.created"\) cannot take {0}: payloads are keywords that are known beforehand, '
    r"and it takes {1}\. Write def {0}\(\*, \.\.\.\) with one keyword-only parameter for each"
)
BODY = (
    r'@event\("employee\.created"\) cannot take {0}: the body of a contract never runs\. Leave only a docstring in it'
)
KIND = (
    r'@event\("employee\.created"\) cannot take {0}: a contract only declares keywords, and its body never runs\. '
    r'Write a plain def; what handles the event stands below @on\("employee\.created"\)'
)

REFUSED: dict[str, tuple[object, str]] = {
    "a number": (3, NO_FUNCTION),
    "nothing": (None, NO_FUNCTION),
    "a class": (Desk, NO_FUNCTION),
    "an object": (Desk(), NO_FUNCTION),
    "a bound method": (Desk().method, NO_FUNCTION),
    "a class method": (Desk.of_class, NO_FUNCTION),
    "a static method's object": (Desk.__dict__["static"], NO_FUNCTION),
    "a partial": (partial(positional), NO_FUNCTION),
    "a cached function": (functools.cache(positional), NO_FUNCTION),
    "a builtin": (print, NO_FUNCTION),
    "another contract": (EventBus().event("employee.left")(declared_with([])), NO_FUNCTION),
    "positional-only": (positional, PARAMETERS.format("positional", "employee_id")),
    "positional": (positional_or_keyword, PARAMETERS.format("positional_or_keyword", "employee_id, language")),
    "any positional": (any_positional, PARAMETERS.format("any_positional", r"\*employees")),
    "any keyword": (any_keyword, PARAMETERS.format("any_keyword", r"\*\*payload")),
    "mixed": (mixed, PARAMETERS.format("mixed", "employee_id")),
    "a method in its class": (
        Desk.method,
        r"cannot take Desk\.method: payloads are .*, and it takes self\. Write def method",
    ),
    "a body": (with_a_body, BODY.format("with_a_body")),
    "variables": (with_variables, BODY.format("with_variables")),
    "async": (asynchronous, KIND.format("asynchronous")),
    "a generator": (generator, KIND.format("generator")),
    "an async generator": (async_generator, KIND.format("async_generator")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_contract_is_refused_with_what_to_write_instead(kind: str, fresh_bus: EventBus) -> None:
    function, message = REFUSED[kind]
    with pytest.raises(RegistrationError, match=message) as caught:
        fresh_bus.event("employee.created")(cast("Any", function))
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, EventsError)
    assert fresh_bus.events() == ()
    assert fresh_bus.event("employee.created")(declared_with(["employee_id"])) in fresh_bus.events()


def test_event_without_a_name_is_refused(fresh_bus: EventBus) -> None:
    with pytest.raises(RegistrationError, match=r'write @event\("employee\.created"\) above mixed, not @event alone'):
        fresh_bus.event(cast("Any", mixed))


@pytest.mark.parametrize("name", [None, 3, b"employee.created", ["employee.created"]])
def test_a_name_that_is_no_text_is_refused(name: Any, fresh_bus: EventBus) -> None:
    with pytest.raises(RegistrationError, match=r'write @event\("employee\.created"\), not @event\(') as caught:
        fresh_bus.event(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "body", ["...", "pass", "'''Text.'''", "'''Text.'''\n    ...", "return", "return None"], ids=repr
)
def test_a_body_of_nothing_is_fine(body: str, fresh_bus: EventBus) -> None:
    namespace: dict[str, Any] = {"event": fresh_bus.event, "__name__": "acme"}
    exec(f"@event('order.placed')\ndef order_placed(*, order_id):\n    {body}\n", namespace)  # noqa: S102 - our own
    assert fresh_bus.events() == (namespace["order_placed"],)


def test_a_name_that_breaks_the_convention_is_a_warning_at_the_line_of_the_decorator(fresh_bus: EventBus) -> None:
    with pytest.warns(EventNameWarning, match="'OrderPlaced' is not of the form") as caught:

        @fresh_bus.event("OrderPlaced")
        def order_placed(*, order_id: int) -> None: ...

    (warning,) = caught
    assert f"{warning.filename}:{warning.lineno}" == order_placed.source
    assert order_placed.source.startswith(f"{__file__}:")
    assert asyncio.run(order_placed.emit(order_id=1)) == ()


def test_a_second_contract_of_one_event_is_refused_and_both_places_are_named(fresh_bus: EventBus) -> None:
    @fresh_bus.event("order.placed")
    def order_placed(*, order_id: int) -> None: ...

    def also_order_placed(*, order: object) -> None: ...

    with pytest.raises(RegistrationError, match=r"one event has one contract\. Remove one of the two") as caught:
        fresh_bus.event("order.placed")(also_order_placed)
    code = also_order_placed.__code__
    first = f"{order_placed.qualname} at {order_placed.source}"
    second = f"{also_order_placed.__qualname__} at {code.co_filename}:{code.co_firstlineno}"
    assert f"{second} declares order.placed, which {first} declares already" in str(caught.value)
    assert fresh_bus.events() == (order_placed,)


def test_a_contract_that_is_typed_again_in_a_session_takes_the_place_of_the_first(fresh_bus: EventBus) -> None:
    session: dict[str, Any] = {"event": fresh_bus.event, "__name__": "__main__"}
    for keywords in ("*, order", "*, order_id"):
        exec(f"@event('order.placed')\ndef order_placed({keywords}): ...\n", session)  # noqa: S102 - our own
    assert fresh_bus.events() == (session["order_placed"],)
    assert list(session["order_placed"].signature.parameters) == ["order_id"]
    with pytest.raises(RegistrationError, match="one event has one contract"):
        exec("@event('order.placed')\ndef another(*, order_id): ...\n", session)  # noqa: S102 - our own


# What is declared


def test_a_contract_says_what_it_is(fresh_bus: EventBus) -> None:
    @fresh_bus.event("employee.created")
    def employee_created(*, employee_id: int, language: str = "en") -> None:
        """HR has created
        an employee.

        And more that is of no importance here.
        """

    assert isinstance(employee_created, Event)
    assert employee_created.name == "employee.created"
    assert list(employee_created.signature.parameters) == ["employee_id", "language"]
    assert employee_created.signature.parameters["language"].default == "en"
    assert employee_created.signature.return_annotation is inspect.Signature.empty
    assert employee_created.summary == "HR has created an employee."
    assert employee_created.module == __name__
    assert employee_created.qualname == f"{test_a_contract_says_what_it_is.__qualname__}.<locals>.employee_created"
    file, _, line = employee_created.source.rpartition(":")
    assert (file, linecache.getline(file, int(line)).strip()) == (__file__, '@fresh_bus.event("employee.created")')
    assert (employee_created.plugin, employee_created.distribution, employee_created.version) == ("", "", "")
    assert repr(employee_created) == "<event employee.created (*, employee_id: int, language: str = 'en')>"


def test_a_contract_without_keywords_and_without_words_is_one_too(fresh_bus: EventBus) -> None:
    @fresh_bus.event("month.closed")
    def month_closed() -> None: ...

    assert repr(month_closed) == "<event month.closed ()>"
    assert month_closed.summary == ""
    assert calls_of(numbers_given(fresh_bus)) == []
    assert asyncio.run(month_closed.emit()) == ()


def test_a_contract_cannot_be_changed_or_called(fresh_bus: EventBus) -> None:
    number_given: Any = numbers_given(fresh_bus)
    with pytest.raises(AttributeError):
        number_given.name = "order.placed"
    with pytest.raises(AttributeError):
        number_given.payload = 1
    with pytest.raises(AttributeError, match="payload"):
        _ = number_given.payload
    with pytest.raises(TypeError, match="not callable"):
        number_given(calls=[])


def test_a_name_that_is_a_kind_of_text_becomes_a_plain_one(fresh_bus: EventBus) -> None:
    kind_of_text = type("KindOfText", (str,), {"__str__": lambda _: "other", "__hash__": str.__hash__})
    number_given = numbers_given(fresh_bus, kind_of_text("number.given"))
    fresh_bus.on("number.given")(noting(1))
    assert type(number_given.name) is str
    assert calls_of(number_given) == [1]


def test_contracts_in_force_are_listed_by_name(fresh_bus: EventBus) -> None:
    names = ["order.placed", "employee.created", "z.a", "order.paid", "a.z"]
    declared = {name: numbers_given(fresh_bus, name) for name in names}
    assert fresh_bus.events() == tuple(declared[name] for name in sorted(names))
    assert fresh_bus.handlers() == ()


def test_the_names_of_the_package_belong_to_the_default_bus(default_bus: EventBus) -> None:
    @event("employee.created")
    def employee_created(*, employee_id: int) -> None: ...

    calls: list[int] = []
    on("employee.created")(lambda employee_id: calls.append(employee_id))
    assert events() == default_bus.events() == (employee_created,)
    assert fastsoy_events.Event is type(employee_created)
    assert asyncio.run(employee_created.emit(employee_id=1)) == ()
    assert asyncio.run(emit("employee.created", employee_id=2)) == ()
    assert calls == [1, 2]


def test_buses_have_contracts_of_their_own(fresh_bus: EventBus) -> None:
    other = EventBus()
    here, there = numbers_given(fresh_bus), numbers_given(other)
    fresh_bus.on("number.given")(noting("here"))
    there.on(noting("there"))
    assert (fresh_bus.events(), other.events()) == ((here,), (there,))
    assert (calls_of(here), calls_of(there)) == (["here"], ["there"])


def test_what_one_function_declares_on_two_buses_is_two_contracts(fresh_bus: EventBus) -> None:
    carries = declared_with(["calls"])
    here, there = fresh_bus.event("number.given")(carries), EventBus().event("number.given")(carries)
    here.on(noting("here"))
    assert (calls_of(here), calls_of(there)) == (["here"], [])


def test_a_contract_error_survives_copies_and_pickling() -> None:
    error = ContractError("a text", event="order.placed", missing=("order_id",), unknown=("order", "id"))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(again) is ContractError
        assert str(again) == "a text"
        assert (again.event, again.missing, again.unknown) == ("order.placed", ("order_id",), ("order", "id"))
    assert isinstance(error, EventsError)
    assert isinstance(error, TypeError)
    assert ContractError("a text", event="order.placed").missing == ()


# Event.on


async def test_on_registers_and_returns_the_callable_unchanged(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    note = noting(1)
    assert number_given.on(note) is note
    assert number_given.on(note) is note  # the same callable is one handler
    (listed,) = fresh_bus.handlers("number.given")
    assert listed.function is note
    assert (listed.module, listed.source) == (__name__, f"{__file__}:{note.__code__.co_firstlineno}")
    assert await emitted(number_given) == await emitted(number_given, "name") == [1]


def taking(parameters: str) -> Callable[..., object]:
    """Return a function with these parameters."""
    namespace: dict[str, Any] = {}
    exec(f"def take({parameters}): ...", namespace)  # noqa: S102 - our own
    take: Callable[..., object] = namespace["take"]
    return take


FITTING: dict[str, Callable[..., object]] = {
    "exactly": taking("*, employee_id, language"),
    "by either": taking("employee_id, language"),
    "anything": taking("**payload"),
    "something": taking("employee_id, **_"),
    "more than is sent": taking("employee_id, language, tenant=1"),
    "a partial": partial(taking("tenant, employee_id, language"), 1),
    "a method": types.MethodType(taking("self, employee_id, language"), Desk()),
    "what tells no signature": {}.update,
}


@pytest.mark.parametrize("kind", FITTING)
def test_on_takes_what_fits(kind: str, fresh_bus: EventBus) -> None:
    employee_created = fresh_bus.event("employee.created")(declared_with(["employee_id", "language"]))
    assert employee_created.on(FITTING[kind]) is FITTING[kind]
    assert asyncio.run(employee_created.emit(employee_id=1, language="de")) == ()


UNFITTING: dict[str, tuple[Callable[..., object], str]] = {
    "one keyword more": (
        taking("employee_id, language, tenant"),
        r"it requires tenant, which the contract never sends \(",
    ),
    "one keyword less": (taking("employee_id"), r"it does not take language \("),
    "another name": (taking("employe_id, **_"), r"it requires employe_id, which the contract never sends \("),
    "nothing": (taking(""), r"it does not take employee_id; it does not take language \("),
    "only positions": (taking("*_"), r"it does not take employee_id; it does not take language \("),
    "a partial": (partial(taking("tenant, **_")), "it requires tenant"),
    "a class": (Desk, "it does not take employee_id"),
    "print": (print, "it does not take employee_id"),
}


@pytest.mark.parametrize("kind", UNFITTING)
def test_on_refuses_what_does_not_fit_and_shows_both_signatures(kind: str, fresh_bus: EventBus) -> None:
    employee_created = fresh_bus.event("employee.created")(declared_with(["employee_id", "language"]))
    function, problem = UNFITTING[kind]
    with pytest.raises(RegistrationError, match=rf"^@carries\.on cannot take .*: {problem}") as caught:
        employee_created.on(function)
    against = f"against carries(*, employee_id, language), declared at {employee_created.source})"
    assert str(caught.value).endswith(against)
    assert str(inspect.signature(function)).removesuffix(" -> None") in str(caught.value)
    assert fresh_bus.handlers() == ()


@pytest.mark.parametrize("function", [3, None, generator, async_generator], ids=str)
def test_on_refuses_what_every_on_refuses(function: Any, fresh_bus: EventBus) -> None:
    employee_created = fresh_bus.event("employee.created")(declared_with(["employee_id"]))
    with pytest.raises(RegistrationError, match=r'@on\("employee\.created"\)'):
        employee_created.on(function)
    assert fresh_bus.handlers() == ()


def test_on_stacks(fresh_bus: EventBus) -> None:
    first, second = numbers_given(fresh_bus, "number.given"), numbers_given(fresh_bus, "number.taken")

    @first.on
    @second.on
    @fresh_bus.on("number.lost")
    def note(calls: list[object]) -> None:
        calls.append(1)

    assert (calls_of(first), calls_of(second)) == ([1], [1])
    assert [listed.event for listed in fresh_bus.handlers()] == ["number.given", "number.lost", "number.taken"]


def test_an_objects_emit_may_itself_be_a_handler(fresh_bus: EventBus) -> None:
    first, second = numbers_given(fresh_bus, "number.given"), numbers_given(fresh_bus, "number.passed_on")
    second.on(noting(1))
    first.on(second.emit)
    assert calls_of(first) == [1]
    assert calls_of(first) == [1]


# An object emits as its name does

KEYWORDS = ["self", "event", "plan", "payload", "function", "failures", "result", "error", "defaults", "emit", "name"]
KEYWORDS += ["args", "kwargs", "cls", "_", "__", "_plan", "__plan", "___plan", "_function", "__function", "_error"]
KEYWORDS += ["_event", "_defaults", "_result", "_failures", "_UNMADE", "UNMADE", "BaseException", "_BaseException"]
KEYWORDS += ["__builtins__", "__class__", "__name__", "__doc__", "goes_through", "_noted", "NO_FAILURES", "Failures"]
KEYWORDS += ["print", "match", "case", "type", "none", "null", "true", "Ellipsis", "NotImplemented", "é", "名"]


class Answer:
    """Awaitable, and no coroutine."""

    def __init__(self, note: Callable[[], None]) -> None:
        self.note = note

    def __await__(self) -> Generator[Any, Any, None]:
        yield from asyncio.sleep(0).__await__()
        self.note()


def a_handler(kind: str, note: Callable[[dict[str, object]], None]) -> Callable[..., object]:
    """Return a new handler of a kind, which notes what it is called with."""

    async def notes(**payload: object) -> None:
        await asyncio.sleep(0)
        note(payload)

    async def raises(**payload: object) -> None:
        note(payload)
        raise ValueError("no mail server")

    async def leaks(**payload: object) -> None:
        note(payload)
        raise asyncio.CancelledError("leaked")

    def notes_at_once(**payload: object) -> None:
        note(payload)

    def raises_at_once(**payload: object) -> None:
        note(payload)
        raise LookupError("no paper")

    def gives_a_generator(**payload: object) -> object:
        note(payload)
        return (each for each in ())

    async def takes_nothing() -> None:
        note({})

    made = [notes, raises, leaks, notes_at_once, raises_at_once, gives_a_generator, takes_nothing]
    handlers: dict[str, Callable[..., object]] = {each.__name__: each for each in made}
    handlers["a partial"] = partial(notes)
    handlers["gives an awaitable"] = lambda **payload: Answer(lambda: note(payload))
    handlers["gives a number"] = lambda **payload: note(payload) or 7
    return handlers[kind]


KINDS = ["notes", "raises", "leaks", "notes_at_once", "raises_at_once", "gives_a_generator", "takes_nothing"]
KINDS += ["a partial", "gives an awaitable", "gives a number"]


@contextmanager
def logged() -> Generator[list[logging.LogRecord]]:
    """Collect what the bus logs."""
    records: list[logging.LogRecord] = []
    collector = logging.Handler()
    collector.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("fastsoy_events")
    logger.addHandler(collector)
    try:
        yield records
    finally:
        logger.removeHandler(collector)


FIELDS = ("name", "levelno", "pathname", "lineno", "funcName", "event", "handler", "plugin", "distribution")


def seen_of(emit_it: Callable[[], Any], calls: list[object]) -> list[object]:
    """Emit, and return everything that can be seen of it."""
    calls.clear()
    with logged() as records:
        failures: Failures = asyncio.run(emit_it())
    assert type(failures) is Failures
    # Of several keywords that a handler does not take, Python names the one that comes first.
    errors = [(type(each.error), re.sub(r"keyword argument '\w+'", "keyword", str(each.error))) for each in failures]
    failed = [(each.event, each.handler) for each in failures]
    said = [(record.getMessage(), *(vars(record)[field] for field in FIELDS)) for record in records]
    return [list(calls), errors, failed, said]


@settings(deadline=None)
@given(
    keywords=st.lists(st.sampled_from(KEYWORDS), max_size=8, unique=True),
    have_defaults=st.sets(st.sampled_from(KEYWORDS)),
    kinds=st.lists(st.sampled_from(KINDS), max_size=8),
    validation=st.sampled_from(VALIDATIONS),
)
def test_an_object_emits_exactly_as_its_name_does(
    keywords: list[str], have_defaults: set[str], kinds: list[str], validation: Literal["off", "warn", "raise"]
) -> None:
    a_bus, calls = EventBus(), list[object]()
    payload = {keyword: object() for keyword in keywords}
    defaults = {keyword: value for keyword, value in payload.items() if keyword in have_defaults}
    contract = a_bus.event("number.given")(declared_with(keywords, defaults))
    a_bus.validation = validation
    for number, kind in enumerate(kinds):
        a_bus.on("number.given")(a_handler(kind, lambda payload, number=number: calls.append((number, payload))))
    explicit = {keyword: value for keyword, value in payload.items() if keyword not in defaults}
    by_name = seen_of(lambda: a_bus.emit("number.given", **payload), calls)
    for _ in range(2):  # the first emit makes the plan
        assert seen_of(lambda: contract.emit(**explicit), calls) == by_name
        assert seen_of(lambda: contract.emit(**payload), calls) == by_name


@pytest.mark.parametrize("validation", VALIDATIONS)
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_keyword_may_be_in_a_contract(
    keyword: str, validation: Literal["off", "warn", "raise"], fresh_bus: EventBus
) -> None:
    seen: list[dict[str, object]] = []
    contract = fresh_bus.event("number.given")(declared_with([keyword]))
    fresh_bus.validation = validation
    contract.on(lambda **payload: seen.append(payload))
    for _ in range(2):
        asyncio.run(contract.emit(**{keyword: 7})).raise_if_any()
    assert seen == [{keyword: 7}] * 2


def test_all_keywords_may_be_in_one_contract(fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    contract = fresh_bus.event("number.given")(declared_with(KEYWORDS))
    contract.on(lambda **payload: seen.append(payload))
    payload: dict[str, Any] = {name: number for number, name in enumerate(KEYWORDS)}
    asyncio.run(contract.emit(**payload)).raise_if_any()
    assert seen == [payload]
    assert list(seen[0]) == KEYWORDS


def test_an_object_fills_in_its_defaults_as_they_are(fresh_bus: EventBus) -> None:
    seen: list[dict[str, object]] = []
    default: list[int] = []

    @fresh_bus.event("number.given")
    def number_given(*, number: int, history: list[int] = default, note: str | None = None) -> None: ...

    fresh_bus.on("number.given")(lambda **payload: seen.append(payload))
    asyncio.run(number_given.emit(number=1)).raise_if_any()
    asyncio.run(number_given.emit(note="a text", number=2)).raise_if_any()
    assert seen == [{"number": 1, "history": [], "note": None}, {"number": 2, "history": [], "note": "a text"}]
    assert all(each["history"] is default for each in seen)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "missing 1 required keyword-only argument: 'number'"),
        ({"numbr": 1}, "'numbr'"),
        ({"number": 1, "other": 2}, "got an unexpected keyword argument 'other'"),
    ],
)
@pytest.mark.parametrize("has_handlers", [True, False])
def test_a_keyword_too_many_or_too_few_is_a_type_error_at_the_emitter(
    payload: dict[str, Any], message: str, has_handlers: bool, fresh_bus: EventBus
) -> None:
    @fresh_bus.event("number.given")
    def number_given(*, number: int) -> None: ...

    calls: list[int] = []
    if has_handlers:
        fresh_bus.on("number.given")(lambda **_: calls.append(1))
    for _ in range(2):
        with pytest.raises(TypeError, match=rf"<locals>\.number_given\.emit\(\) .*{message}"):
            number_given.emit(**payload)
    assert calls == []


def test_what_is_given_by_position_is_a_type_error_at_the_emitter(fresh_bus: EventBus) -> None:
    number_given: Any = numbers_given(fresh_bus)
    for _ in range(2):
        with pytest.raises(TypeError, match="positional argument"):
            number_given.emit([])


async def test_an_emit_by_object_can_be_a_task_and_be_gathered_with_and_without_listeners(fresh_bus: EventBus) -> None:
    heard, unheard = numbers_given(fresh_bus, "number.heard"), numbers_given(fresh_bus, "number.unheard")
    calls: list[object] = []
    heard.on(noting(1))
    assert await asyncio.create_task(heard.emit(calls=calls)) == ()
    assert await asyncio.create_task(unheard.emit(calls=calls)) == ()
    assert await asyncio.gather(unheard.emit(calls=calls), heard.emit(calls=calls)) == [(), ()]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.emit(calls=calls)) for each in (heard, unheard)]
    assert calls == [1] * 3
    assert tasks[0].result() is tasks[1].result() is await fresh_bus.emit("number.unheard")


async def test_nothing_runs_before_an_emit_by_object_is_awaited(fresh_bus: EventBus) -> None:
    number_given, calls = numbers_given(fresh_bus), list[object]()
    number_given.on(noting(1))
    coroutine = number_given.emit(calls=calls)
    await asyncio.sleep(0)
    assert calls == []
    number_given.on(noting(2))  # it belongs to the handlers of an emit that has not begun
    await coroutine
    assert calls == [1, 2]


async def test_an_emit_by_object_that_is_never_awaited_is_named_by_python(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    await number_given.emit(calls=[])
    with pytest.warns(RuntimeWarning, match=r"number_given\.emit' was never awaited"):
        number_given.emit(calls=[])


async def test_a_handler_added_during_an_emit_by_object_takes_part_from_the_next_one_on(fresh_bus: EventBus) -> None:
    number_given, calls, late = numbers_given(fresh_bus), list[object](), noting("late")

    @number_given.on
    async def first(calls: list[object]) -> None:
        calls.append("first")
        number_given.on(late)
        if len(calls) == 1:
            await number_given.emit(calls=calls)

    await number_given.emit(calls=calls)
    assert calls == ["first", "first", "late"]
    assert await emitted(number_given) == ["first", "first", "late", "late"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("count", [1, 6])
def test_a_traceback_ends_in_the_handler_and_each_place_shows_its_source(
    way: Way, kind: str, count: int, fresh_bus: EventBus
) -> None:
    number_given = numbers_given(fresh_bus)

    def register() -> None:
        def fail(calls: list[object]) -> None:
            raise ValueError("no mail server")

        async def fail_later(calls: list[object]) -> None:
            raise ValueError("no mail server")

        number_given.on(fail if kind == "sync" else fail_later)

    for _ in range(count):
        register()
    for _ in range(2):
        emit_it = number_given.emit if way == "object" else partial(fresh_bus.emit, "number.given")
        failures = asyncio.run(emit_it(calls=[]))
        linecache.checkcache()  # the traceback module does so before it prints, and drops files that are not there
        assert len(failures) == count
        for failure in failures:
            frames = traceback.extract_tb(failure.error.__traceback__)
            assert frames[-1].name == ("fail" if kind == "sync" else "fail_later")
            assert frames[-1].line == 'raise ValueError("no mail server")'
            assert all(frame.line for frame in frames)
            assert [frame.name for frame in frames[:-1]] in (["emit"], ["handlers_of"], ["_plain_loop"])


# Nested emits


class TooManyError(BaseException):
    """Ends a test whose recursion does not end by itself; no handler's isolation can hold it."""


@pytest.fixture
def _unawaited_coroutines(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Keep the interpreter from speaking of coroutines that could not begin, since the stack had just run out."""
    # Written in C, since there is no room on the stack for a function.
    monkeypatch.setattr(sys, "unraisablehook", deque[object](maxlen=0).append)
    yield
    gc.collect()


@pytest.mark.usefixtures("_unawaited_coroutines")
@pytest.mark.parametrize("validation", VALIDATIONS)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("more_handlers", [0, 5])
@pytest.mark.parametrize(
    "ways", [["object"], ["object", "object"], ["object", "name"], ["name", "object", "object"]], ids="-".join
)
def test_a_cycle_by_objects_and_names_ends_with_one_failure_that_names_it(
    ways: list[Way],
    more_handlers: int,
    times: int,
    validation: Literal["off", "warn", "raise"],
    fresh_bus: EventBus,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fresh_bus.validation = validation
    contracts = [fresh_bus.event(f"step.taken_{number}")(declared_with(["event"])) for number in range(len(ways))]
    counts: list[int] = []

    def register(number: int) -> None:
        following = contracts[(number + 1) % len(ways)]

        @contracts[number].on
        async def go_on(event: object) -> None:
            counts.append(number)
            if len(counts) > 3 * sys.getrecursionlimit():
                raise TooManyError
            for _ in range(times):
                if ways[number] == "object":
                    await following.emit(event=event)
                else:
                    await fresh_bus.emit(following.name, event=event)

        for _ in range(more_handlers):
            contracts[number].on(taking("event"))

    for number in range(len(ways)):
        register(number)
    (failure,) = asyncio.run(contracts[0].emit(event=1))
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == (*(each.name for each in contracts), contracts[0].name)
    assert (failure.event, failure.handler) == (contracts[0].name, fresh_bus.handlers(contracts[0].name)[0])
    assert len(messages(caplog)) == 1
    assert 1 <= len(traceback.extract_tb(failure.error.__traceback__)) <= 6


@pytest.mark.usefixtures("_unawaited_coroutines")
def test_a_stack_that_a_handler_exhausts_below_a_few_emits_by_object_is_an_ordinary_failure(
    fresh_bus: EventBus,
) -> None:
    number_given, inner = numbers_given(fresh_bus), list[Failures]()

    def endless() -> None:
        endless()

    @number_given.on
    async def go_on(calls: list[object]) -> None:
        if len(calls) == 5:
            endless()
        inner.append(await number_given.emit(calls=[*calls, 1]))

    assert asyncio.run(number_given.emit(calls=[])) == ()
    assert [type(failure.error) for failures in inner for failure in failures] == [RecursionError]


# Plans are renewed


def test_handlers_that_are_registered_later_take_part(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    kept = number_given.emit
    for number in range(5):
        (number_given.on if number % 2 else fresh_bus.on("number.given"))(noting(number))
        calls: list[object] = []
        asyncio.run(kept(calls=calls)).raise_if_any()
        assert calls == calls_of(number_given) == list(range(number + 1))


@pytest.mark.parametrize("emitted_before", [True, False])
def test_a_kept_emit_keeps_up_with_the_handlers(emitted_before: bool, fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    if emitted_before:
        calls_of(number_given)
    kept = number_given.emit
    calls: list[object] = []
    asyncio.run(kept(calls=calls)).raise_if_any()
    number_given.on(noting(1))
    with fresh_bus.isolated():
        asyncio.run(kept(calls=calls)).raise_if_any()
        assert calls == []
    asyncio.run(kept(calls=calls)).raise_if_any()
    assert calls == [1]


@pytest.mark.parametrize("again", ["reload", "import"])
def test_the_handlers_of_a_module_that_executes_again_count_once(again: str, site: Site) -> None:
    number_given = numbers_given(bus)
    for mark in ("old", "new", "newer"):
        write(site, "shop", handler(mark))
        if again == "import" or mark == "old":
            sys.modules.pop("shop", None)
            importlib.import_module("shop")
        else:
            importlib.reload(sys.modules["shop"])
        assert calls_of(number_given) == [mark]
    write(site, "shop", "")
    importlib.reload(sys.modules["shop"])
    assert calls_of(number_given) == []


@pytest.mark.parametrize("again", ["reload", "import"])
def test_the_contract_of_a_module_that_executes_again_is_the_new_one_and_the_old_object_still_emits(
    again: str, site: Site
) -> None:
    write(site, "shop", contract())
    shop = importlib.import_module("shop")
    old, kept = shop.number_given, shop.number_given.emit
    assert calls_of(old) == []
    write(site, "shop", contract(keywords="*, calls, number=1"))
    if again == "reload":
        shop = importlib.reload(shop)
    else:
        del sys.modules["shop"]
        shop = importlib.import_module("shop")
    assert events() == (shop.number_given,)
    assert shop.number_given is not old
    on("number.given")(lambda calls, number=0: calls.append(number))
    assert (calls_of(old), calls_of(shop.number_given)) == ([0], [1])
    calls: list[object] = []
    asyncio.run(kept(calls=calls)).raise_if_any()
    assert calls == [0]


def test_a_contract_that_its_module_no_longer_declares_is_none_in_force(site: Site) -> None:
    write(site, "shop", contract())
    shop = importlib.import_module("shop")
    write(site, "shop", "")
    importlib.reload(shop)
    assert events() == ()
    numbers_given(bus)  # the event may be declared elsewhere now
    assert len(events()) == 1


FACTORY = """
    from fastsoy_events import event

    def make(name):
        @event(name)
        def made(*, calls): ...
        return made
"""


def test_a_contract_that_another_module_makes_goes_with_the_module_that_asked_for_it(site: Site) -> None:
    write(site, "helper", FACTORY)
    write(site, "shop", "import helper\ngiven = helper.make('number.given')\n")
    shop = importlib.import_module("shop")
    importlib.reload(shop)
    assert events() == (shop.given,)
    importlib.reload(shop.helper)
    assert events() == (shop.given,)
    write(site, "shop", "")
    importlib.reload(shop)
    assert events() == ()


def test_isolation_empties_what_objects_emit_to_and_restores_it(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting("outer"))
    assert calls_of(number_given) == ["outer"]
    with fresh_bus.isolated():
        assert fresh_bus.events() == ()
        assert calls_of(number_given) == []
        number_given.on(noting("middle"))
        assert calls_of(number_given) == ["middle"]
        with fresh_bus.isolated():
            assert calls_of(number_given) == []
            inner = numbers_given(fresh_bus)
            fresh_bus.on("number.given")(noting("inner"))
            assert calls_of(number_given) == calls_of(inner) == ["inner"]
        assert calls_of(number_given) == calls_of(inner) == ["middle"]
    assert calls_of(number_given) == calls_of(inner) == ["outer"]
    assert fresh_bus.events() == (number_given,)


def test_isolations_of_several_threads_overlap(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting("outer"))
    entered, left = threading.Event(), threading.Event()

    def isolate() -> None:
        with fresh_bus.isolated():
            entered.set()
            assert left.wait(60)

    thread = threading.Thread(target=isolate)
    with fresh_bus.isolated():
        number_given.on(noting("first"))
        assert calls_of(number_given) == ["first"]
        thread.start()
        assert entered.wait(60)
        assert calls_of(number_given) == []
    number_given.on(noting("second"))
    assert calls_of(number_given) == ["second"]
    left.set()
    thread.join(60)
    assert calls_of(number_given) == ["outer"]


def test_a_plugin_that_is_loaded_after_the_first_emit_takes_part(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme": contract() + handler("acme")}, version="2.0")
    number_given = importlib.import_module("acme").number_given
    assert (number_given.plugin, number_given.distribution, number_given.version) == ("", "", "")
    assert calls_of(number_given) == ["acme"]  # until plugins are loaded, it is the host's
    with bus.isolated():
        assert calls_of(number_given) == []
        load_plugins(path=[site.folder])
        assert calls_of(number_given) == ["acme"]
        assert events() == (number_given,)
        assert (number_given.plugin, number_given.distribution, number_given.version) == ("mail", "acme", "2.0")


def test_a_plugin_that_registers_for_the_hosts_contract_takes_part_once_it_is_loaded(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme": handler("acme")})
    number_given = numbers_given(bus)
    assert calls_of(number_given) == []
    load_plugins(path=[site.folder])
    assert calls_of(number_given) == ["acme"]


# What an emit by object costs, as facts rather than times


class CountingDict(dict[str, Any]):
    """Counts how often it is asked for something."""

    count = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.count += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.count += 1
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.count += 1
        return super().__contains__(key)


async def test_an_emit_by_object_looks_no_name_up(fresh_bus: EventBus) -> None:
    number_given, unheard = numbers_given(fresh_bus), numbers_given(fresh_bus, "number.unheard")
    number_given.on(noting(1))
    for each in (number_given, unheard):
        await each.emit(calls=[])
    plans = CountingDict(fresh_bus._plans)
    fresh_bus._plans = plans
    for each in (number_given, unheard):
        await each.emit(calls=[])
    assert plans.count == 0
    await fresh_bus.emit("number.given", calls=[])
    assert plans.count == 1


# Beyond fifteen keywords, Python itself makes a dictionary for a call.
@pytest.mark.parametrize("keywords", [[], ["a"], ["a", "b", "c"], KEYWORDS[:15]], ids=len)
async def test_an_emit_by_object_makes_no_dictionary(keywords: list[str], fresh_bus: EventBus) -> None:
    contract = fresh_bus.event("number.given")(declared_with(keywords, {"a": 1}))
    await contract.emit(**dict.fromkeys(keywords))
    code = cast("types.FunctionType", contract.emit).__code__
    assert not code.co_flags & (inspect.CO_VARKEYWORDS | inspect.CO_VARARGS)
    assert code.co_kwonlyargcount == len(keywords)
    made = [each.opname for each in dis.get_instructions(code)]
    assert "CALL_FUNCTION_EX" not in made
    assert not [each for each in made if each.startswith(("BUILD_MAP", "BUILD_CONST", "DICT_", "IMPORT_"))]
    attributes = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_ATTR", "LOAD_METHOD")}
    assert attributes == {"_plan", "is_async", "functions", "_emit_by_name"}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
@pytest.mark.parametrize("validated_before", [True, False])
async def test_an_emit_by_object_calls_nothing_but_its_handlers(
    validated_before: bool, count: int, kind: str, fresh_bus: EventBus
) -> None:
    number_given = fresh_bus.event("number.given")(declared_with(["number"]))
    if validated_before:
        fresh_bus.validation = "warn"
    for _ in range(count):

        async def handle_later(number: int) -> None: ...

        def handle(number: int) -> None: ...

        number_given.on(handle if kind == "sync" else handle_later)
    await number_given.emit(number=1)
    fresh_bus.validation = "off"
    await number_given.emit(number=1)
    called: list[str] = []

    def note(frame: types.FrameType, what: str, argument: Any) -> None:
        if what in ("call", "c_call"):
            called.append(argument.__name__ if what == "c_call" else frame.f_code.co_name)

    sys.setprofile(note)
    try:
        await number_given.emit(number=1)
    finally:
        sys.setprofile(None)
    assert called == ["emit", *["handle" if kind == "sync" else "handle_later"] * count, "setprofile"]


async def test_the_function_that_emits_is_made_once(fresh_bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = _contract.made_emit

    def counting(*arguments: Any) -> Any:
        made.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(_contract, "made_emit", counting)
    number_given = numbers_given(fresh_bus)
    kept = number_given.emit
    for _ in range(5):
        await kept(calls=[])
    assert len(made) == 1


def test_declaring_makes_no_function_and_reads_no_signature_again(
    fresh_bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    number_given = numbers_given(fresh_bus)
    file = "<fastsoy_events emit of number.never_emitted>"
    numbers_given(fresh_bus, "number.never_emitted")
    assert file not in linecache.cache
    calls_of(number_given)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a signature was read")

    monkeypatch.setattr(inspect, "signature", refuse)
    fresh_bus.on("number.given")(noting(1))
    assert calls_of(number_given) == [1]


# Validation


def test_validation_is_off_and_takes_one_of_three_words(fresh_bus: EventBus) -> None:
    assert fresh_bus.validation == "off"
    for wanted in VALIDATIONS:
        fresh_bus.validation = wanted
        assert fresh_bus.validation == wanted
    unwanted: Any
    for unwanted in ("on", "", None, True, "RAISE", ["off"]):
        with pytest.raises(ValueError, match="validation is one of off, warn, raise: not"):
            fresh_bus.validation = unwanted
    assert fresh_bus.validation == "raise"


def in_a_process(variable: str | None, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with the variable set."""
    program = tmp_path / "program.py"
    program.write_text(
        dedent("""
            import asyncio, logging
            from fastsoy_events import ContractError, bus, emit, event
            logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
            @event("order.placed")
            def order_placed(*, order_id): ...
            print(bus.validation)
            try:
                asyncio.run(emit("order.placed", order=1))
            except ContractError as error:
                print(error.missing, error.unknown)
        """)
    )
    environment = {key: value for key, value in os.environ.items() if key != "FASTSOY_EVENTS_VALIDATE"}
    environment |= {} if variable is None else {"FASTSOY_EVENTS_VALIDATE": variable}
    return subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("variable", [None, "", "off", " Off ", "warn", "raise", "RAISE\n"])
def test_the_variable_says_how_the_default_bus_begins(variable: str | None, tmp_path: Path) -> None:
    done = in_a_process(variable, tmp_path)
    wanted = (variable or "").strip().lower() or "off"
    mismatch = ["('order_id',) ('order',)"] if wanted == "raise" else []
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [wanted, *mismatch]
    assert ("WARNING fastsoy_events An emit of order.placed" in done.stderr) == (wanted == "warn")


@pytest.mark.parametrize("variable", ["on", "1", "true", "raise,warn", "\N{SNOWMAN}"])
def test_a_variable_that_says_anything_else_is_a_warning(variable: str, tmp_path: Path) -> None:
    done = in_a_process(variable, tmp_path)
    assert done.returncode == 0
    [warning] = [line for line in done.stderr.splitlines() if "RuntimeWarning" in line]
    assert "FASTSOY_EVENTS_VALIDATE is " in warning
    assert warning.endswith(", so emits are not checked: set it to one of off, warn, raise")


PAYLOADS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...], str]] = {
    "missing": ({"language": "de"}, ("employee_id",), (), "employee_id is missing"),
    "unknown": ({"employee_id": 1, "zzz": 2}, (), ("zzz",), "zzz is unknown"),
    "near": (
        {"employe_id": 1},
        ("employee_id",),
        ("employe_id",),
        "employee_id is missing; employe_id is unknown, did you mean employee_id?",
    ),
    "several": (
        {"langage": 1, "who": 2},
        ("employee_id",),
        ("langage", "who"),
        "employee_id is missing; langage is unknown, did you mean language?; who is unknown",
    ),
}


@pytest.mark.parametrize("handlers", [0, 1, 8])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", PAYLOADS)
def test_with_raise_a_mismatch_is_raised_to_the_emitter_before_any_handler_runs(
    kind: str, way: Way, handlers: int, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    payload, missing, unknown, problems = PAYLOADS[kind]

    @fresh_bus.event("employee.created")
    def employee_created(*, employee_id: int, language: str = "en") -> None: ...

    calls: list[int] = []
    for _ in range(handlers):
        fresh_bus.on("employee.created")(lambda **_: calls.append(1))
    fresh_bus.validation = "raise"
    emit_it = employee_created.emit if way == "object" else partial(fresh_bus.emit, "employee.created")
    for _ in range(2):
        with pytest.raises(ContractError) as caught:
            asyncio.run(emit_it(**payload))
        error = caught.value
        place = f"{employee_created.qualname}(*, employee_id: int, language: str = 'en') at {employee_created.source}"
        assert str(error) == f"An emit of employee.created does not fit its contract {place}: {problems}"
        assert (error.event, error.missing, error.unknown) == ("employee.created", missing, unknown)
    assert calls == []
    assert messages(caplog) == []
    asyncio.run(emit_it(employee_id=1)).raise_if_any()
    assert calls == [1] * handlers


@pytest.mark.parametrize("handlers", [0, 1, 8])
@pytest.mark.parametrize("way", WAYS)
def test_with_warn_a_mismatch_is_logged_once_for_each_emit_with_the_emitters_place(
    way: Way, handlers: int, fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    number_given, calls = numbers_given(fresh_bus), list[object]()
    for number in range(handlers):
        fresh_bus.on("number.given")(lambda number=number, **_: calls.append(number))
    fresh_bus.validation = "warn"

    async def emit_wrongly() -> Failures:
        emit_it = number_given.emit if way == "object" else partial(fresh_bus.emit, "number.given")
        return await emit_it(call=calls)

    for times in (1, 2, 3):
        assert asyncio.run(emit_wrongly()) == ()
        assert calls == list(range(handlers)) * times
        assert len(messages(caplog)) == times
    line = emit_wrongly.__code__.co_firstlineno + 2
    (message,) = set(messages(caplog))
    assert message.startswith("An emit of number.given does not fit its contract ")
    assert message.endswith(f": calls is missing; call is unknown, did you mean calls? (emitted at {__file__}:{line})")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert asyncio.run(number_given.emit(calls=calls)) == ()
    assert len(messages(caplog)) == 3


def test_what_is_sent_never_shows_in_what_validation_says(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    numbers_given(fresh_bus)
    fresh_bus.validation = "warn"
    asyncio.run(fresh_bus.emit("number.given", calls="the-secret", number="the-secret"))
    fresh_bus.validation = "raise"
    with pytest.raises(ContractError) as caught:
        asyncio.run(fresh_bus.emit("number.given", calls="the-secret", number="the-secret"))
    assert len(messages(caplog)) == 1
    assert "the-secret" not in f"{caught.value} {caplog.text}"


def test_a_mismatch_in_a_handlers_own_emit_is_that_handlers_failure(fresh_bus: EventBus) -> None:
    number_given, other = numbers_given(fresh_bus), numbers_given(fresh_bus, "number.passed_on")
    calls: list[object] = []

    @number_given.on
    async def pass_on(calls: list[object]) -> None:
        await fresh_bus.emit("number.passed_on", call=calls)

    number_given.on(noting("next"))
    other.on(noting("passed on"))
    fresh_bus.validation = "raise"
    (failure,) = asyncio.run(number_given.emit(calls=calls))
    assert isinstance(failure.error, ContractError)
    assert failure.error.event == "number.passed_on"
    assert calls == ["next"]


async def test_validation_may_be_switched_while_objects_exist(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting(1))
    kept = number_given.emit
    for wanted in ("off", "raise", "warn", "raise", "off"):
        fresh_bus.validation = wanted
        assert await emitted(number_given) == await emitted(number_given, "name") == [1]
        if wanted == "off":
            with pytest.raises(TypeError) as caught:
                number_given.emit(call=[])
            assert not isinstance(caught.value, ContractError)
            assert len(await fresh_bus.emit("number.given", call=[])) == 1  # the handler's failure
        if wanted == "raise":
            for emit_it in (number_given.emit, partial(fresh_bus.emit, "number.given")):
                with pytest.raises(ContractError):
                    await emit_it(call=[])
            with pytest.raises(TypeError):
                await kept(call=[])
            calls: list[object] = []
            await kept(calls=calls)
            assert calls == [1]


async def test_validation_that_is_switched_while_an_emit_is_made_holds(
    fresh_bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    number_given, make = numbers_given(fresh_bus), _contract.made_emit

    def make_while_it_is_switched(*arguments: Any) -> Any:
        fresh_bus.validation = "raise"  # as another thread may do at that moment
        return make(*arguments)

    monkeypatch.setattr(_contract, "made_emit", make_while_it_is_switched)
    await number_given.emit(calls=[])
    with pytest.raises(ContractError):
        await number_given.emit(call=[])


async def test_validation_holds_for_what_is_declared_after_it_was_switched_on(fresh_bus: EventBus) -> None:
    fresh_bus.validation = "raise"
    fresh_bus.on("number.given")(noting(1))
    assert len(await fresh_bus.emit("number.given", call=[])) == 1  # nobody has declared it yet
    number_given = numbers_given(fresh_bus)
    for emit_it in (number_given.emit, partial(fresh_bus.emit, "number.given")):
        with pytest.raises(ContractError):
            await emit_it(call=[])
    with fresh_bus.isolated():
        assert await fresh_bus.emit("number.given", call=[]) == ()  # in here, nothing is declared
        numbers_given(fresh_bus)
        with pytest.raises(ContractError):
            await fresh_bus.emit("number.given", call=[])
    with pytest.raises(ContractError):
        await fresh_bus.emit("number.given", call=[])
    assert await fresh_bus.emit("number.undeclared", call=[]) == ()


async def test_what_is_set_in_isolation_is_undone_after_it(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    fresh_bus.slow_after = 2.0
    with fresh_bus.isolated():
        fresh_bus.validation = "raise"
        fresh_bus.handler_timeout = 1.0
        assert fresh_bus.slow_after == 2.0
        with pytest.raises(ContractError):
            await fresh_bus.event("number.given")(declared_with(["calls"])).emit(call=[])
    assert (fresh_bus.validation, fresh_bus.handler_timeout, fresh_bus.slow_after) == ("off", None, 2.0)
    assert await fresh_bus.emit("number.given", call=[]) == ()
    assert await number_given.emit(calls=[]) == ()


@pytest.mark.parametrize("heard_in_shop", [False, True])
@pytest.mark.usefixtures("_validation_off")
async def test_validation_goes_on_when_modules_execute_again(heard_in_shop: bool, site: Site) -> None:
    write(site, "shop", handler("shop") if heard_in_shop else handler("shop", "number.taken"))
    write(site, "office", contract())
    importlib.import_module("office")
    importlib.import_module("shop")
    bus.validation = "raise"
    write(site, "shop", "x = 1\n")
    importlib.reload(sys.modules["shop"])
    for each in events():
        with pytest.raises(ContractError):
            await each.emit(call=[])
    for _ in range(2):
        with pytest.raises(ContractError):
            await bus.emit("number.given", call=[])


@pytest.mark.usefixtures("_validation_off")
def test_validation_goes_by_the_contract_in_force(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme": contract(keywords="*, calls")})
    site.install("zebra", {"mail": "zebra"}, {"zebra": contract(keywords="*, number")})
    importlib.import_module("zebra")
    bus.validation = "raise"
    asyncio.run(emit("number.given", number=1))  # until plugins are loaded, it is the host's
    load_plugins(path=[site.folder])
    asyncio.run(emit("number.given", calls=[]))
    with pytest.raises(ContractError, match=r"acme\.py:\d+: calls is missing; number is unknown"):
        asyncio.run(emit("number.given", number=1))


async def test_validation_that_is_off_again_leaves_nothing_behind(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    number_given.on(noting(1))
    fresh_bus.validation = "raise"
    await number_given.emit(calls=[])
    await fresh_bus.emit("number.given", calls=[])
    assert fresh_bus._plans.get("number.given") is UNMADE
    fresh_bus.validation = "off"
    await number_given.emit(calls=[])
    plan = fresh_bus._plans.get("number.given")
    assert plan is not UNMADE
    assert number_given._plan is plan
    await fresh_bus.emit("number.given", calls=[])
    assert fresh_bus._plans.get("number.given") is plan


def test_what_emits_never_asks_for_the_validation(fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus)
    calls_of(number_given)
    for function in (number_given.emit, EventBus.emit):
        names = cast("types.FunctionType", function).__code__.co_names
        assert not [name for name in names if "valid" in name or "contract" in name]


# Which contract counts


def states(report: LoadReport) -> dict[str, str]:
    """Return each plugin's status."""
    return {plugin.name: plugin.status for plugin in report.plugins}


class Specifications:
    """Hooks of the host's."""

    @hookspec
    def menu_entries(self) -> Any:
        """Return the plugin's menu entries."""


HOOK = "\nfrom fastsoy_events import hookimpl\n@hookimpl\ndef menu_entries(): return __name__\n"


@pytest.mark.parametrize("imported_before", [(), ("acme", "zebra"), ("zebra", "acme"), ("zebra",)], ids=str)
@pytest.mark.parametrize("order", [(), ("acme",), ("zebra",), ("zebra-mail",)], ids=str)
def test_of_two_plugins_that_declare_one_event_the_later_in_plugin_order_fails(
    site: Site, order: tuple[str, ...], imported_before: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("zebra", "acme"):
        source = contract() + handler(name) + handler(f"{name}_too", "number.taken") + HOOK
        site.install(f"{name}-mail", {name: name}, {name: source})
    bus.add_hookspecs(Specifications)
    for name in imported_before:
        importlib.import_module(name)
    report = load_plugins(path=[site.folder], order=order)
    first, second = ("zebra", "acme") if order and "zebra" in order[0] else ("acme", "zebra")
    assert states(report) == {first: "loaded", second: "failed"}
    assert [plugin.name for plugin in report.plugins] == [first, second]
    winner, loser = sys.modules[first].number_given, sys.modules[second].number_given
    (error,) = report.failures
    assert error.reason == (
        f"number_given at {loser.source} declares number.given, which number_given at {winner.source} "
        "declares already: one event has one contract. Remove one of the two"
    )
    assert (error.distribution, error.entry_point, error.module) == (f"{second}-mail", second, second)
    assert str(error) in messages(caplog)
    assert events() == (winner,)
    assert {listed.plugin for listed in bus.handlers()} == {first}
    assert calls_of(winner) == calls_of(loser) == [first]
    assert report.plugins[1].handlers == ()
    assert bus.hook.menu_entries() == [first]
    assert load_plugins() is report


def test_strictly_a_plugin_that_declares_anothers_event_is_an_error(site: Site) -> None:
    for name in ("acme", "zebra"):
        site.install(name, {name: name}, {name: contract() + handler(name)})
    with pytest.raises(PluginLoadError, match="zebra") as caught:
        load_plugins(path=[site.folder], strict=True)
    (error,) = caught.value.exceptions
    assert "declares number.given, which number_given at" in str(error)
    assert caught.value.report.failures == (error,)
    assert calls_of(sys.modules["acme"].number_given) == ["acme"]


def test_a_plugin_that_fails_by_its_contract_takes_nobody_with_it(site: Site) -> None:
    # What bee declares of acme's makes it fail; so cow, which comes after it, is the only one to declare number.lost.
    site.install("acme", {"acme": "acme"}, {"acme": contract()})
    site.install("bee", {"bee": "bee"}, {"bee": contract() + contract("number.lost", function="number_lost")})
    site.install("cow", {"cow": "cow"}, {"cow": contract("number.lost", function="number_lost")})
    report = load_plugins(path=[site.folder])
    assert states(report) == {"acme": "loaded", "bee": "failed", "cow": "loaded"}
    assert [(each.name, each.module, each.plugin) for each in events()] == [
        ("number.given", "acme", "acme"),
        ("number.lost", "cow", "cow"),
    ]


def test_a_plugin_that_declares_several_events_of_others_says_so_of_each(site: Site) -> None:
    both = contract() + contract("number.lost", function="number_lost")
    site.install("acme", {"acme": "acme"}, {"acme": both})
    site.install("bee", {"bee": "bee"}, {"bee": both})
    (error,) = load_plugins(path=[site.folder]).failures
    assert "declares number.given" in error.reason
    assert "declares number.lost" in error.reason


def test_a_plugin_that_declares_an_event_of_the_hosts_fails(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract() + handler("acme")})
    importlib.import_module("acme")
    number_given = numbers_given(bus)
    report = load_plugins(path=[site.folder])
    assert states(report) == {"acme": "failed"}
    assert f"which {number_given.qualname} at {number_given.source} declares already" in report.failures[0].reason
    assert events() == (number_given,)
    assert calls_of(number_given) == []


def test_the_host_may_not_declare_a_plugins_event_once_plugins_are_loaded(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract()})
    load_plugins(path=[site.folder])
    with pytest.raises(RegistrationError, match="one event has one contract"):
        numbers_given(bus)
    assert [each.plugin for each in events()] == ["acme"]


def test_of_two_contracts_of_the_hosts_the_first_counts_with_a_warning(site: Site) -> None:
    write(site, "office", contract(keywords="*, calls"))
    write(site, "attic", contract(keywords="*, calls, number"))
    office, attic = importlib.import_module("office"), importlib.import_module("attic")
    report = load_plugins(path=[site.folder])
    (warning,) = report.warnings
    assert f"number_given at {attic.number_given.source} declares number.given, which" in warning
    assert events() == (office.number_given,)


def test_a_plugin_that_declares_one_event_twice_in_a_module_fails_with_both_places(site: Site) -> None:
    twice = contract(function="number_given") + contract(function="number_also_given")
    site.install("acme", {"acme": "acme"}, {"acme": twice + handler("acme")})
    report = load_plugins(path=[site.folder])
    (error,) = report.failures
    assert isinstance(error.__cause__, RegistrationError)
    lines = [number for number, line in enumerate(dedent(twice).splitlines(), 1) if line.startswith("@event")]
    file = site.folder / "acme.py"
    assert f"number_also_given at {file}:{lines[1]} declares number.given" in error.reason
    assert f"which number_given at {file}:{lines[0]} declares already" in error.reason
    assert (events(), bus.handlers()) == ((), ())


def test_a_plugin_that_declares_one_event_in_two_of_its_modules_fails(site: Site) -> None:
    modules = {"acme.__init__": "", "acme.a": contract(), "acme.z": "import acme.a\n" + contract() + handler("acme")}
    site.install("acme", {"acme": "acme.z"}, modules)
    report = load_plugins(path=[site.folder])
    assert states(report) == {"acme": "failed"}
    for module in ("a", "z"):
        assert f"{site.folder / 'acme' / module}.py:" in report.failures[0].reason
    assert (events(), bus.handlers()) == ((), ())


def test_a_second_entry_point_of_a_module_shares_the_fate_of_the_first(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract()})
    site.install("zebra", {"one": "zebra", "two": "zebra"}, {"zebra": contract() + handler("zebra")})
    report = load_plugins(path=[site.folder])
    assert states(report) == {"acme": "loaded", "one": "failed", "two": "failed"}
    assert bus.handlers() == ()


def test_one_module_named_by_two_entry_points_declares_its_event_once(site: Site) -> None:
    site.install("acme", {"one": "acme", "two": "acme"}, {"acme": contract()})
    report = load_plugins(path=[site.folder])
    assert states(report) == {"one": "loaded", "two": "loaded"}
    assert [each.plugin for each in events()] == ["one"]


@pytest.mark.parametrize("own_name_first", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_plugins_file_imported_under_a_second_name_declares_its_event_once(
    site: Site, own_name_first: bool, when: str
) -> None:
    modules = {"acme.__init__": "", "acme.handlers": contract() + handler("acme")}
    site.install("acme", {"mail": "acme.handlers"}, modules)
    sys.path.insert(1, str(site.folder / "acme"))
    names = ["acme.handlers", "handlers"] if own_name_first else ["handlers", "acme.handlers"]
    if when == "before":
        for name in names:
            importlib.import_module(name)
    report = load_plugins(path=[site.folder])
    for name in names:
        importlib.import_module(name)
    assert states(report) == {"mail": "loaded"}
    assert events() == (sys.modules["acme.handlers"].number_given,)
    assert calls_of(events()[0]) == calls_of(sys.modules["handlers"].number_given) == ["acme"]


def test_a_file_imported_under_two_names_declares_once_on_any_bus(site: Site) -> None:
    write(site, "own", "from fastsoy_events import EventBus\nbus = EventBus()\n")
    write(site, "acme.__init__", "")
    write(site, "acme.shop", "from own import bus\n@bus.event('number.given')\ndef number_given(*, calls): ...\n")
    sys.path.insert(0, str(site.folder / "acme"))
    first, second = importlib.import_module("acme.shop"), importlib.import_module("shop")
    assert sys.modules["own"].bus.events() == (first.number_given,)
    assert calls_of(second.number_given) == []


LEFT_OUT: dict[str, dict[str, Any]] = {
    "disabled": {"disabled": ["zebra"]},
    "blocked": {"allowed": ["acme"]},
    "failed": {},
}


@pytest.mark.parametrize("when", ["never", "before"])
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_a_plugin_that_is_left_out_declares_is_not_in_force(site: Site, kind: str, when: str) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract("number.lost")})
    fails = "\nraise ValueError('no ink')\n" if kind == "failed" else ""
    site.install("zebra", {"zebra": "zebra"}, {"zebra": contract() + handler("zebra") + fails})
    if when == "before":
        with pytest.raises(ValueError, match="no ink") if fails else nullcontext():
            importlib.import_module("zebra")
    number_given = numbers_given(bus)
    report = load_plugins(path=[site.folder], **LEFT_OUT[kind])
    assert states(report) == {"acme": "loaded", "zebra": kind}
    assert {each.name: each.plugin for each in events()} == {"number.given": "", "number.lost": "acme"}
    assert calls_of(number_given) == []


@pytest.mark.parametrize("kind", ["disabled", "blocked"])
def test_the_module_of_a_plugin_that_is_left_out_may_be_imported_later(site: Site, kind: str) -> None:
    for name in ("acme", "zebra"):
        site.install(name, {name: name}, {name: contract() + handler(name)})
    load_plugins(path=[site.folder], **LEFT_OUT[kind])
    importlib.import_module("zebra")
    assert [each.plugin for each in events()] == ["acme"]


def test_the_module_of_a_plugin_that_failed_by_its_contract_may_be_reloaded(site: Site) -> None:
    for name in ("acme", "zebra"):
        site.install(name, {name: name}, {name: contract() + handler(name)})
    load_plugins(path=[site.folder])
    importlib.reload(sys.modules["zebra"])
    assert [each.plugin for each in events()] == ["acme"]


def test_what_a_failed_plugin_declared_by_way_of_the_hosts_code_is_not_in_force(site: Site) -> None:
    write(site, "helper", FACTORY)
    site.install("acme", {"acme": "acme"}, {"acme": "import helper\nhelper.make('number.given')\nraise ValueError\n"})
    assert states(load_plugins(path=[site.folder])) == {"acme": "failed"}
    assert events() == ()


def test_a_loaded_plugin_that_is_reloaded_declares_its_event_anew(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract() + handler("acme")})
    load_plugins(path=[site.folder])
    acme = importlib.reload(sys.modules["acme"])
    assert events() == (acme.number_given,)
    assert (acme.number_given.plugin, calls_of(acme.number_given)) == ("acme", ["acme"])


def test_plugins_may_be_loaded_again_in_isolation(site: Site) -> None:
    for name in ("acme", "zebra"):
        site.install(name, {name: name}, {name: contract() + handler(name)})
    for order, first, second in (((), "acme", "zebra"), (("zebra",), "zebra", "acme"), ((), "acme", "zebra")):
        with bus.isolated():
            assert events() == ()
            assert states(load_plugins(path=[site.folder], order=order)) == {first: "loaded", second: "failed"}
            assert events() == (sys.modules[first].number_given,)
            for name in (first, second):
                assert calls_of(sys.modules[name].number_given) == [first]
    assert events() == ()


def test_a_plugin_that_is_reloaded_between_two_isolations_declares_once(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract() + handler("acme")})
    for _ in range(3):
        with bus.isolated():
            report = load_plugins(path=[site.folder])
            assert (states(report), report.warnings) == ({"acme": "loaded"}, ())
            assert events() == (sys.modules["acme"].number_given,)
            assert calls_of(events()[0]) == ["acme"]
        importlib.reload(sys.modules["acme"])


MISFITS: dict[str, tuple[str, str]] = {
    "one keyword more": (
        "calls, number",
        "it requires number, which the contract never sends (note_bee(calls, number)",
    ),
    "another name": ("call, **_", "it requires call, which the contract never sends (note_bee(call, **_)"),
    "one keyword less": ("number=1", "it does not take calls (note_bee(number=1)"),
}


@pytest.mark.parametrize("publisher", ["host", "acme", "zebra"])
@pytest.mark.parametrize("kind", MISFITS)
def test_a_handler_that_does_not_fit_its_contract_is_a_warning_with_both_signatures(
    site: Site, kind: str, publisher: str, caplog: pytest.LogCaptureFixture
) -> None:
    keywords, problem = MISFITS[kind]
    site.install("bee", {"bee": "bee"}, {"bee": handler("bee", keywords=keywords)})
    if publisher == "host":
        number_given = numbers_given(bus)
    else:
        site.install(publisher, {publisher: publisher}, {publisher: contract(keywords="*, calls: list")})
    report = load_plugins(path=[site.folder])
    assert set(states(report).values()) == {"loaded"}
    (number_given,) = events()
    (warning,) = report.warnings
    place = f"bee.note_bee at {site.folder / 'bee.py'}:{3} does not fit number.given: "
    against = f" against {number_given.qualname}{number_given.signature}, declared at {number_given.source})"
    assert warning == f"{place}{problem}{against}"
    assert warning in messages(caplog)


@pytest.mark.parametrize("keywords", ["calls", "*, calls", "**payload", "calls, number=1", "calls, **_"])
def test_a_handler_that_fits_its_contract_is_no_warning(site: Site, keywords: str) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": contract()})
    site.install("bee", {"bee": "bee"}, {"bee": handler("bee", keywords=keywords)})
    assert load_plugins(path=[site.folder]).warnings == ()


@pytest.mark.parametrize("left_out", ["handler", "contract"])
def test_what_takes_no_part_is_no_misfit(site: Site, left_out: str) -> None:
    site.install("acme", {"contract": "acme"}, {"acme": contract()})
    site.install("bee", {"handler": "bee"}, {"bee": handler("bee", keywords="other")})
    assert load_plugins(path=[site.folder], disabled=[left_out]).warnings == ()


@pytest.mark.parametrize("whose", ["handler", "contract"])
def test_a_default_that_cannot_be_shown_stops_no_load(site: Site, whose: str) -> None:
    hostile = "class Hostile:\n    def __repr__(self): raise RuntimeError('not to be shown')\n"
    of_handler = "call, x=Hostile()" if whose == "handler" else "call"
    of_contract = "*, calls=Hostile()" if whose == "contract" else "*, calls"
    source = hostile + contract(keywords=of_contract) + handler("bee", keywords=of_handler)
    site.install("bee", {"bee": "bee"}, {"bee": source})
    site.install("cow", {"cow": "cow"}, {"cow": handler("cow")})
    report = load_plugins(path=[site.folder])
    assert states(report)["cow"] == "loaded"


# Odd names


ODD_NAMES = ["with spaces", "with\nlines", "{braces} %s", "'quotes\"", "é.é", "\N{SNOWMAN}", "\ud800", "x" * 10_000]


@pytest.mark.filterwarnings("ignore::fastsoy_events.EventNameWarning")
@pytest.mark.parametrize("name", [*ODD_NAMES, "with\0null"], ids=ascii)
def test_an_event_may_have_any_name(name: str, fresh_bus: EventBus) -> None:
    number_given = numbers_given(fresh_bus, name)
    number_given.on(noting(1))
    fresh_bus.on(name)(lambda **_: 1 / 0)
    calls: list[object] = []
    (failure,) = asyncio.run(number_given.emit(calls=calls))
    assert (failure.event, calls) == (name, [1])
    assert all(frame.line for frame in traceback.extract_tb(failure.error.__traceback__))


@pytest.mark.filterwarnings("ignore::fastsoy_events.EventNameWarning")
@pytest.mark.usefixtures("_unawaited_coroutines")
def test_a_cycle_of_an_event_without_a_name_is_named_all_the_same(fresh_bus: EventBus) -> None:
    unnamed = fresh_bus.event("")(declared_with(["event"]))

    @unnamed.on
    async def go_on(event: object) -> None:
        await unnamed.emit(event=event)

    (failure,) = asyncio.run(unnamed.emit(event=1))
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("", "")


# Memory


def events_in_memory() -> int:
    """Return how many event objects there are."""
    gc.collect()
    return sum(isinstance(each, Event) for each in gc.get_objects())


def test_an_event_object_is_freed_with_its_bus() -> None:
    def use() -> list[weakref.ref[Any]]:
        a_bus = EventBus()
        number_given = numbers_given(a_bus)
        number_given.on(noting(1))
        assert calls_of(number_given) == [1]
        return [weakref.ref(each) for each in (a_bus, number_given, number_given.emit)]

    references = use()
    gc.collect()
    assert [each() for each in references] == [None, None, None]


@pytest.mark.parametrize("again", ["reload", "import"])
@pytest.mark.parametrize("validation", VALIDATIONS)
@pytest.mark.usefixtures("_validation_off")
def test_an_event_object_and_what_it_emits_with_are_freed_when_its_module_executes_again(
    again: str, validation: Literal["off", "warn", "raise"], site: Site
) -> None:
    bus.validation = validation
    write(site, "shop", contract() + handler("shop"))
    shop = importlib.import_module("shop")
    assert calls_of(shop.number_given) == ["shop"]
    reference = weakref.ref(shop.number_given)
    of_emit = weakref.ref(shop.number_given.emit)
    if again == "reload":
        importlib.reload(shop)
    else:
        del shop, sys.modules["shop"]
        importlib.import_module("shop")
    assert calls_of(sys.modules["shop"].number_given) == ["shop"]
    gc.collect()
    assert (reference(), of_emit()) == (None, None)


def test_many_reloads_leave_nothing_behind(site: Site) -> None:
    write(site, "shop", contract() + handler("shop"))
    shop = importlib.import_module("shop")

    def reload() -> tuple[int, int, int]:
        importlib.reload(shop)
        assert calls_of(shop.number_given) == ["shop"]
        sources = sum(file.startswith("<fastsoy_events") for file in linecache.cache)
        return events_in_memory(), sources, len(bus._state.event_objects._by_name["number.given"])

    reload()
    first = reload()
    assert [reload() for _ in range(5)] == [first] * 5


def test_many_buses_leave_nothing_behind() -> None:
    def once() -> tuple[int, int]:
        calls_of(numbers_given(EventBus()))
        return events_in_memory(), sum(file.startswith("<fastsoy_events") for file in linecache.cache)

    first = once()
    assert [once() for _ in range(5)] == [first] * 5


def test_payloads_are_not_kept(fresh_bus: EventBus) -> None:
    class Order:
        pass

    def use() -> weakref.ref[Order]:
        order = Order()
        asyncio.run(number_given.emit(calls=order)).raise_if_any()
        return weakref.ref(order)

    number_given: Any = numbers_given(fresh_bus)
    number_given.on(lambda calls: calls)
    references = [use(), use()]  # the first emit makes what the second one runs
    gc.collect()
    assert [each() for each in references] == [None, None]


def test_two_contracts_of_one_name_show_their_own_source_in_a_traceback() -> None:
    def refuse() -> None: ...

    failures: list[Failures] = []
    for keyword in ("first", "second"):
        a_bus = EventBus()
        a_bus.on("order.placed")(refuse)
        order_placed = a_bus.event("order.placed")(declared_with([keyword]))
        asyncio.run(order_placed.emit(**{keyword: 1}))  # the first emit makes the plan by which the next one runs
        failures.append(asyncio.run(order_placed.emit(**{keyword: 1})))
    lines = [traceback.extract_tb(failure.error.__traceback__)[-1].line for (failure,) in failures]
    assert lines == ["_result = _function(first=first)", "_result = _function(second=second)"]
