"""Declare: what `@on` accepts, refuses and records, and what happens to it when a module executes again."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import importlib.util
import logging
import subprocess
import sys
import types
import warnings
import weakref
from enum import Enum, StrEnum
from functools import partial
from inspect import currentframe
from string import ascii_lowercase, digits
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import AsyncMock, MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsoy_events import EventBus, EventNameWarning, EventsError, RegistrationError, bus, load_plugins

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping
    from pathlib import Path


class Site(Protocol):
    """The part of the fixture `site` that is used here."""

    @property
    def folder(self) -> Path: ...

    def install(
        self, name: str, entry_points: Mapping[str, str], modules: Mapping[str, str], *, version: str = ...
    ) -> Path: ...


def line_here() -> int:
    """Return the line of the call."""
    frame = currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def emit(a_bus: EventBus, event: str, **payload: object) -> None:
    """Emit outside of any event loop, and let every failure through."""
    asyncio.run(a_bus.emit(event, **payload)).raise_if_any()


def plain(**payload: object) -> None:
    """Stand for a plain function."""


async def asynchronous(**payload: object) -> None:
    """Stand for an async function."""


class Desk:
    """Callables of every kind."""

    def method(self, **payload: object) -> None: ...

    async def async_method(self, **payload: object) -> None: ...

    def with_positional_self(self, /, **payload: object) -> None: ...

    @classmethod
    def of_class(cls, **payload: object) -> None: ...

    @staticmethod
    async def static(**payload: object) -> None: ...

    def generator(self) -> Generator[None]:
        yield

    async def async_generator(self) -> AsyncGenerator[None]:
        yield

    def positional_only(self, number: int, /) -> None: ...


class Caller:
    """An object that is called asynchronously."""

    async def __call__(self, **payload: object) -> None: ...


class GeneratorCaller:
    """An object whose call would run nothing."""

    def __call__(self) -> Generator[None]:
        yield


class AsyncGeneratorCaller:
    """An object whose call would run nothing."""

    async def __call__(self) -> AsyncGenerator[None]:
        yield


class PositionalCaller:
    """An object that takes no keyword."""

    def __call__(self, number: int, /) -> None: ...


class Greeting:
    """A class: called, it makes a greeting."""

    def __init__(self, **payload: object) -> None: ...


def generator(**payload: object) -> Generator[None]:
    """Run nothing when it is called."""
    yield


async def async_generator(**payload: object) -> AsyncGenerator[None]:
    """Run nothing when it is called."""
    yield


def positional_only(number: int, /) -> None:
    """Take no keyword."""


async def async_positional_only(number: int, text: str, /, **payload: object) -> None:
    """Take two parameters that are no keywords."""


@types.coroutine
def generator_based_coroutine(**payload: object) -> Generator[None]:
    """Stand for the oldest kind of coroutine."""
    yield


@functools.wraps(asynchronous)
def wrapper(**payload: object) -> object:
    """Stand for what a decorator leaves behind."""
    return asynchronous(**payload)


@functools.lru_cache
def cached(**payload: object) -> None:
    """Stand for a callable written in C."""


CALLABLES: list[Callable[..., object]] = [
    plain,
    asynchronous,
    lambda **payload: asynchronous(**payload),
    partial(plain, tenant=1),
    partial(partial(asynchronous, tenant=1), tenant=2),
    partial(positional_only, 1),
    Desk().method,
    Desk().async_method,
    Desk().with_positional_self,
    Desk.of_class,
    Desk.static,
    Desk.__dict__["static"],
    Caller(),
    Greeting,
    generator_based_coroutine,
    wrapper,
    cached,
    {}.update,
    print,
    AsyncMock(),
    MagicMock(),
]


@pytest.mark.parametrize("handler", CALLABLES, ids=str)
def test_the_callable_is_registered_and_returned_unchanged(handler: Callable[..., object], fresh_bus: EventBus) -> None:
    assert fresh_bus.on("employee.created")(handler) is handler
    assert len(fresh_bus.handlers("employee.created")) == 1


def test_decorators_stack(fresh_bus: EventBus) -> None:
    @fresh_bus.on("employee.created")
    @fresh_bus.on("employee.left")
    def note(**payload: object) -> None: ...

    assert [handler.event for handler in fresh_bus.handlers()] == ["employee.created", "employee.left"]
    assert {handler.qualname for handler in fresh_bus.handlers()} == {note.__qualname__}


# What is refused


@pytest.mark.parametrize("event", [None, 3, b"employee.created", ["employee.created"], object()])
def test_a_name_that_is_no_text_is_refused_at_once(event: Any, fresh_bus: EventBus) -> None:
    with pytest.raises(RegistrationError, match=r'write @on\("employee\.created"\)') as caught:
        fresh_bus.on(event)
    assert repr(event) in str(caught.value)


@pytest.mark.parametrize(
    ("function", "name"),
    [(plain, "plain"), (asynchronous, "asynchronous"), (Greeting, "Greeting"), (Caller(), "Caller")],
)
def test_a_bare_decorator_is_refused_at_once_and_says_what_to_write(
    function: Any, name: str, fresh_bus: EventBus
) -> None:
    with pytest.raises(RegistrationError, match=rf'write @on\("employee\.created"\) above {name}, not @on alone'):
        fresh_bus.on(function)
    assert fresh_bus.handlers() == ()


@pytest.mark.parametrize("thing", [3, None, "text", property(), [plain], asyncio])
def test_what_is_not_callable_is_refused_at_once(thing: Any, fresh_bus: EventBus) -> None:
    with pytest.raises(RegistrationError, match="must stand above a function or be given a callable") as caught:
        fresh_bus.on("employee.created")(thing)
    assert "employee.created" in str(caught.value)
    assert repr(thing) in str(caught.value)
    assert fresh_bus.handlers() == ()


def test_a_decorator_above_a_class_method_is_told_where_to_stand_instead(fresh_bus: EventBus) -> None:
    with pytest.raises(RegistrationError, match="after the class"):

        class _Desk:
            @fresh_bus.on("employee.created")  # type: ignore[type-var]
            @classmethod
            def welcome(cls, **payload: object) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        generator,
        async_generator,
        lambda: (yield),
        partial(generator, tenant=1),
        partial(partial(async_generator, tenant=1), tenant=2),
        Desk().generator,
        Desk().async_generator,
        GeneratorCaller(),
        AsyncGeneratorCaller(),
        staticmethod(generator),
        partial(Desk().generator, tenant=1),
        functools.lru_cache(generator),
    ],
    ids=str,
)
def test_generator_functions_are_refused_since_they_would_run_nothing(
    handler: Callable[..., object], fresh_bus: EventBus
) -> None:
    with pytest.raises(RegistrationError, match="without yield") as caught:
        fresh_bus.on("employee.created")(handler)
    assert "employee.created" in str(caught.value)
    assert fresh_bus.handlers() == ()


@pytest.mark.parametrize(
    ("handler", "parameters"),
    [
        (positional_only, "number"),
        (async_positional_only, "number, text"),
        (partial(async_positional_only, 1), "text"),
        (Desk().positional_only, "number"),
        (Desk.positional_only, "number"),
        (PositionalCaller(), "number"),
        (len, "obj"),
        (functools.lru_cache(positional_only), "number"),
    ],
    ids=str,
)
def test_positional_only_parameters_are_refused_since_payloads_are_keywords(
    handler: Callable[..., object], parameters: str, fresh_bus: EventBus
) -> None:
    with pytest.raises(RegistrationError, match=r"Remove the / from its signature") as caught:
        fresh_bus.on("employee.created")(handler)
    assert parameters in str(caught.value)
    assert "employee.created" in str(caught.value)
    assert fresh_bus.handlers() == ()


def test_refusals_are_type_errors_and_errors_of_this_library() -> None:
    assert issubclass(RegistrationError, TypeError)
    assert issubclass(RegistrationError, EventsError)


# Names


def is_conventional(name: str) -> bool:
    """Tell whether a name is two or more words in lower snake case, joined by dots; said apart from the library."""
    parts = name.split(".")
    return len(parts) > 1 and all(
        part[:1] in set(ascii_lowercase) and all(word and set(word) <= set(ascii_lowercase + digits) for word in words)
        for part in parts
        for words in [part.split("_")]
    )


WORDS = st.builds(
    lambda first, rest: "_".join([first, *rest]),
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
    st.lists(st.text(ascii_lowercase + digits, min_size=1, max_size=8), max_size=3),
)


@given(st.lists(WORDS, min_size=2, max_size=5).map(".".join))
def test_names_that_keep_the_convention_are_fine(name: str) -> None:
    a_bus = EventBus()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a_bus.on(name)(plain)
    assert [handler.event for handler in a_bus.handlers()] == [name]


@given(st.text(alphabet="abzAZ09_. -\né²", max_size=12) | st.text(max_size=12))
def test_names_that_break_the_convention_are_warned_about_and_work(name: str) -> None:
    a_bus = EventBus()
    calls: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        a_bus.on(name)(lambda: calls.append(name))
    assert [each.category for each in caught] == [] if is_conventional(name) else [EventNameWarning]
    emit(a_bus, name)
    assert calls == [name]


@pytest.mark.parametrize(
    "name", ["employee.created", "employee.create", "hr.employee.status_changed", "a.b", "v2.x1_2"]
)
def test_only_the_form_of_a_name_is_checked(name: str, fresh_bus: EventBus) -> None:
    fresh_bus.on(name)(plain)
    assert len(fresh_bus.handlers(name)) == 1


def test_the_warning_about_a_name_points_at_the_line_of_the_decorator(fresh_bus: EventBus) -> None:
    lines: list[int] = []

    def declare() -> None:
        lines.append(line_here() + 2)

        @fresh_bus.on("EmployeeCreated")
        @functools.lru_cache
        def welcome(**payload: object) -> None: ...

    with pytest.warns(EventNameWarning, match="'EmployeeCreated'") as caught:
        declare()

    assert [(each.filename, each.lineno) for each in caught] == [(__file__, lines[0])]


def test_the_module_level_decorator_warns_at_its_own_line_too(site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "from fastsoy_events import on\n\n@on('employee.created')\n@on('employee')\ndef f(**payload): ...\n"
    )
    with pytest.warns(EventNameWarning) as caught:
        importlib.import_module("shop")
    assert [(each.filename, each.lineno) for each in caught] == [(str(site.folder / "shop.py"), 4)]


def test_a_warning_that_is_an_error_registers_nothing(fresh_bus: EventBus) -> None:
    with pytest.raises(EventNameWarning):
        fresh_bus.on("Employee")(plain)
    assert fresh_bus.handlers() == ()


class Events(StrEnum):
    """Names in an enumeration, as many projects keep them."""

    CREATED = "employee.created"


class OlderEvents(str, Enum):  # noqa: UP042 - the older kind is the case under test
    """Names in an enumeration whose text is not their value."""

    CREATED = "employee.created"


class Loud(str):
    """A text that prints as another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


@pytest.mark.parametrize("name", [Events.CREATED, OlderEvents.CREATED, Loud("employee.created")])
def test_a_kind_of_text_names_the_same_event_as_the_plain_text(name: str, fresh_bus: EventBus) -> None:
    calls: list[int] = []
    fresh_bus.on(name)(lambda number: calls.append(number))
    emit(fresh_bus, "employee.created", number=1)
    emit(fresh_bus, name, number=2)
    assert calls == [1, 2]
    (handler,) = fresh_bus.handlers(name)
    assert type(handler.event) is str
    assert handler.event == "employee.created"


# What counts as the same handler


def test_the_same_function_twice_is_one_handler_where_it_first_stood(fresh_bus: EventBus) -> None:
    for handler in (plain, asynchronous, plain):
        fresh_bus.on("employee.created")(handler)
    assert [handler.qualname for handler in fresh_bus.handlers()] == ["plain", "asynchronous"]


def test_the_same_bound_method_twice_is_one_handler(fresh_bus: EventBus) -> None:
    desk = Desk()
    for _ in range(2):
        fresh_bus.on("employee.created")(desk.method)
        fresh_bus.on("employee.created")(Desk.of_class)
    assert [handler.qualname for handler in fresh_bus.handlers()] == ["Desk.method", "Desk.of_class"]


def test_methods_of_two_objects_are_two_handlers_even_if_the_objects_are_equal(fresh_bus: EventBus) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

        def greet(self, **payload: object) -> None: ...

        def __call__(self, **payload: object) -> None: ...

    for each in (Equal(), Equal()):
        fresh_bus.on("employee.created")(each.greet)
        fresh_bus.on("employee.left")(each)
    assert len(fresh_bus.handlers("employee.created")) == 2
    assert len(fresh_bus.handlers("employee.left")) == 2


def test_an_object_that_cannot_be_hashed_is_a_handler(fresh_bus: EventBus) -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, **payload: object) -> None: ...

        def greet(self, **payload: object) -> None: ...

    handler = Unhashable()
    for _ in range(2):
        fresh_bus.on("employee.created")(handler)
        fresh_bus.on("employee.left")(handler.greet)
    assert len(fresh_bus.handlers()) == 2


def test_a_function_and_a_proxy_that_passes_for_it_are_two_handlers(fresh_bus: EventBus) -> None:
    class Proxy:
        """What libraries for decorators make: equal to the function that it wraps, and of its class."""

        def __init__(self, wrapped: Callable[..., object]) -> None:
            self.wrapped = wrapped

        @property
        def __class__(self) -> type:  # type: ignore[override]
            return types.FunctionType

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wrapped, name)

        def __eq__(self, other: object) -> bool:
            return self.wrapped == other

        def __hash__(self) -> int:
            return hash(self.wrapped)

        def __call__(self, **payload: object) -> object:
            return self.wrapped(**payload)

    fresh_bus.on("employee.created")(plain)
    fresh_bus.on("employee.created")(Proxy(plain))
    assert len(fresh_bus.handlers()) == 2


def test_functions_that_share_a_name_stay_separate(fresh_bus: EventBus) -> None:
    calls: list[int] = []

    @fresh_bus.on("employee.created")
    def _(**payload: object) -> None:
        calls.append(1)

    @fresh_bus.on("employee.created")
    def _(**payload: object) -> None:
        calls.append(2)

    emit(fresh_bus, "employee.created")
    assert calls == [1, 2]


def test_lambdas_and_functions_made_in_a_loop_stay_separate(fresh_bus: EventBus) -> None:
    calls: list[int] = []

    def make(number: int) -> Callable[..., object]:
        def made(**payload: object) -> None:
            calls.append(number)

        return made

    for number in range(3):
        fresh_bus.on("employee.created")(make(number))
        fresh_bus.on("employee.created")(lambda number=number: calls.append(10 + number))
    emit(fresh_bus, "employee.created")
    assert calls == [0, 10, 1, 11, 2, 12]


def test_a_repeated_id_ends_in_its_number_within_its_event(fresh_bus: EventBus) -> None:
    for event in ("employee.created", "employee.created", "employee.created", "employee.left"):
        fresh_bus.on(event)(lambda: None)
    base = f"host:{__name__}:test_a_repeated_id_ends_in_its_number_within_its_event.<locals>.<lambda>"
    assert [handler.id for handler in fresh_bus.handlers("employee.created")] == [base, f"{base}#2", f"{base}#3"]
    assert [handler.id for handler in fresh_bus.handlers("employee.left")] == [base]


# What is recorded


@pytest.mark.parametrize(
    ("handler", "qualname", "is_async"),
    [
        (plain, "plain", False),
        (asynchronous, "asynchronous", True),
        (partial(plain), "plain", False),
        (partial(partial(asynchronous)), "asynchronous", True),
        (Desk().method, "Desk.method", False),
        (Desk().async_method, "Desk.async_method", True),
        (Desk.of_class, "Desk.of_class", False),
        (Desk.static, "Desk.static", True),
        (Desk.__dict__["static"], "Desk.static", True),
        (Caller(), "Caller", True),
        (partial(Caller()), "Caller", True),
        (Greeting, "Greeting", False),
        ({}.update, "dict.update", False),
    ],
)
def test_the_listing_names_a_handler_and_its_kind(
    handler: Callable[..., object], qualname: str, is_async: bool, fresh_bus: EventBus
) -> None:
    fresh_bus.on("employee.created")(handler)
    (listed,) = fresh_bus.handlers()
    assert (listed.event, listed.position) == ("employee.created", 0)
    assert (listed.module, listed.qualname) == (__name__, qualname)
    assert listed.is_async is is_async
    assert listed.kind == ("async" if is_async else "sync")
    assert (listed.plugin, listed.distribution, listed.version) == ("", "", "")
    assert listed.id == f"host:{__name__}:{qualname}"


def test_the_source_is_where_the_code_of_the_handler_begins(fresh_bus: EventBus) -> None:
    line = plain.__code__.co_firstlineno
    for handler in (plain, partial(plain), staticmethod(plain), functools.wraps(plain)(lambda: None)):
        fresh_bus.on("employee.created")(handler)
    assert [handler.source for handler in fresh_bus.handlers()] == [f"{__file__}:{line}"] * 4


def test_the_source_of_what_has_no_code_is_where_it_was_registered(fresh_bus: EventBus) -> None:
    fresh_bus.on("employee.created")({}.update)
    line = line_here() - 1
    assert [handler.source for handler in fresh_bus.handlers()] == [f"{__file__}:{line}"]


def test_a_functions_module_is_its_own_and_that_of_anything_else_is_where_it_was_registered(
    fresh_bus: EventBus,
) -> None:
    for handler in (dedent, partial(dedent), Desk().method, weakref.ref):
        fresh_bus.on("text.changed")(handler)
    assert [handler.module for handler in fresh_bus.handlers()] == ["textwrap", __name__, __name__, __name__]


def test_code_without_a_module_can_register(fresh_bus: EventBus) -> None:
    source = "for f in (lambda: seen.append(1), Handler()): bus.on('employee.created')(f)"
    seen: list[int] = []

    class Handler:
        def __call__(self) -> None:
            seen.append(2)

    exec(source, {"bus": fresh_bus, "seen": seen, "Handler": Handler})  # noqa: S102 - the case under test
    emit(fresh_bus, "employee.created")
    assert seen == [1, 2]
    assert len(fresh_bus.handlers()) == 2


def test_references_are_strong(fresh_bus: EventBus) -> None:
    calls: list[str] = []

    class Listener:
        def hear(self) -> None:
            calls.append("method")

    fresh_bus.on("employee.created")(Listener().hear)
    fresh_bus.on("employee.created")(lambda: calls.append("lambda"))
    gc.collect()
    emit(fresh_bus, "employee.created")
    assert calls == ["method", "lambda"]


def test_there_are_no_wildcards(fresh_bus: EventBus) -> None:
    calls: list[str] = []
    for name in ("*", "employee.*", "employee"):
        with pytest.warns(EventNameWarning):
            fresh_bus.on(name)(lambda: calls.append("wild"))
    emit(fresh_bus, "employee.created")
    assert calls == []


# A module that executes again


def rewrite(site: Site, name: str, source: str) -> None:
    """Write or overwrite a module."""
    file = site.folder.joinpath(*name.split(".")).with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(source), encoding="utf-8")
    importlib.invalidate_caches()


COUNTING = """
    from fastsoy_events import on

    @on("employee.created")
    def count(calls):
        calls.append("{mark}")
"""


def calls_of(event: str = "employee.created") -> list[str]:
    """Emit on the default bus, and return what the handlers noted."""
    calls: list[str] = []
    emit(bus, event, calls=calls)
    return calls


def test_a_reloaded_module_registers_once(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="old"))
    shop = importlib.import_module("shop")
    assert calls_of() == ["old"]
    for mark in ("new", "newer"):
        rewrite(site, "shop", COUNTING.format(mark=mark))
        importlib.reload(shop)
        assert calls_of() == [mark]
        assert [handler.id for handler in bus.handlers()] == ["host:shop:count"]


def test_a_reloaded_module_drops_only_what_it_declared_itself(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="shop"))
    rewrite(site, "office", COUNTING.format(mark="office"))
    shop = importlib.import_module("shop")
    importlib.import_module("office")
    importlib.reload(shop)
    assert calls_of() == ["office", "shop"]


@pytest.mark.parametrize("look_first", [True, False])
def test_a_reloaded_module_that_declares_nothing_any_more_has_no_handlers(site: Site, look_first: bool) -> None:
    rewrite(site, "shop", COUNTING.format(mark="old"))
    rewrite(site, "office", COUNTING.format(mark="office"))
    shop = importlib.import_module("shop")
    importlib.import_module("office")
    assert calls_of() == ["old", "office"]
    rewrite(site, "shop", "")
    importlib.reload(shop)
    if look_first:
        assert [handler.module for handler in bus.handlers()] == ["office"]
    assert calls_of() == ["office"]
    assert [handler.module for handler in bus.handlers()] == ["office"]


def test_a_reloaded_module_may_move_to_another_event(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="old"))
    shop = importlib.import_module("shop")
    rewrite(site, "shop", COUNTING.format(mark="new").replace("created", "left"))
    importlib.reload(shop)
    assert [handler.event for handler in bus.handlers()] == ["employee.left"]
    assert calls_of() == []
    assert calls_of("employee.left") == ["new"]


def test_a_module_that_is_imported_anew_registers_once(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="old"))
    importlib.import_module("shop")
    rewrite(site, "shop", COUNTING.format(mark="new"))
    del sys.modules["shop"]
    assert calls_of() == ["old"]
    importlib.import_module("shop")
    assert calls_of() == ["new"]


def test_a_module_without_functions_of_its_own_that_is_imported_anew_registers_once(site: Site) -> None:
    rewrite(site, "helper", HELPER)
    for mark in ("old", "new", "newer"):
        source = f"import helper\nfrom fastsoy_events import on\non('employee.created')(helper.Noting('{mark}'))\n"
        rewrite(site, "shop", source)
        sys.modules.pop("shop", None)
        importlib.import_module("shop")
        gc.collect()
        assert calls_of() == [mark]
        assert len(bus.handlers()) == 1


def test_a_module_that_is_reloaded_during_a_dispatch_counts_from_the_next_emit_on(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="shop"))
    shop = importlib.import_module("shop")

    @bus.on("employee.left")
    def reload_shop(calls: list[str]) -> None:
        importlib.reload(shop)

    bus.on("employee.left")(shop.count)
    assert calls_of("employee.left") == ["shop"]
    assert calls_of() == ["shop"]


@pytest.mark.parametrize("looked_up", ["event", "module"])
def test_a_module_that_is_reloaded_while_a_plan_is_made_leaves_no_stale_plan(site: Site, looked_up: str) -> None:
    rewrite(site, "shop", COUNTING.format(mark="shop"))
    shop = importlib.import_module("shop")
    armed: list[int] = []

    class Name(str):
        """A name whose look-up reloads the module, as another thread may do at that moment."""

        __slots__ = ()

        def __hash__(self) -> int:
            if armed:
                armed.clear()
                importlib.reload(shop)
            return hash(str.__str__(self))

    def host(calls: list[str]) -> None:
        calls.append("host")

    host.__module__ = Name(__name__)
    bus.on("employee.created")(host)
    rewrite(site, "shop", "")
    calls: list[str] = []
    armed.append(1)
    emit(bus, Name("employee.created") if looked_up == "event" else "employee.created", calls=calls)
    assert "host" in calls
    assert not armed
    assert calls_of() == ["host"]
    assert [handler.event for handler in bus.handlers()] == ["employee.created"]


FACTORY = """
    def make(mark):
        def made(calls):
            calls.append(mark)
        return made
"""

HELPER = """
    from fastsoy_events import on

    def register(handler):
        return on("employee.created")(handler)

    def make_and_register(mark):
        @on("employee.created")
        def made(calls):
            calls.append(mark)

    class Noting:
        def __init__(self, mark):
            self.mark = mark

        def __call__(self, calls):
            calls.append(self.mark)
"""


@pytest.mark.parametrize(
    "declaration",
    [
        "on('employee.created')(factory.make('shop'))",
        "on('employee.created')(helper.Noting('shop'))",
        "helper.register(factory.make('shop'))",
        "helper.register(lambda calls: calls.append('shop'))",
        "helper.register(helper.Noting('shop'))",
        "helper.register(helper.Noting('shop').__call__)",
        "helper.make_and_register('shop')",
    ],
)
def test_what_a_reloaded_module_declared_by_way_of_others_counts_once(site: Site, declaration: str) -> None:
    rewrite(site, "factory", FACTORY)
    rewrite(site, "helper", HELPER)
    rewrite(site, "shop", f"from fastsoy_events import on\nimport factory\nimport helper\n{declaration}\n")
    rewrite(site, "office", "import helper\nhelper.make_and_register('office')\n")
    shop = importlib.import_module("shop")
    importlib.import_module("office")
    for _ in range(2):
        importlib.reload(shop)
        assert sorted(calls_of()) == ["office", "shop"]
    rewrite(site, "shop", "")
    importlib.reload(shop)
    assert calls_of() == ["office"]


@pytest.mark.parametrize(
    "declaration",
    [
        "on('employee.created')(factory.make('shop'))",
        "helper.register(helper.Noting('shop'))",
        "helper.make_and_register('shop')",
    ],
)
def test_reloading_a_helper_drops_nothing_of_the_modules_that_it_helped(site: Site, declaration: str) -> None:
    rewrite(site, "factory", FACTORY)
    rewrite(site, "helper", HELPER)
    rewrite(site, "shop", f"from fastsoy_events import on\nimport factory\nimport helper\n{declaration}\n")
    shop = importlib.import_module("shop")
    importlib.reload(shop.factory)
    importlib.reload(shop.helper)
    # Helpers that declare something themselves must not take the others' handlers with them either.
    rewrite(site, "helper", HELPER + "\n    make_and_register('helper')\n")
    importlib.reload(shop.helper)
    importlib.reload(shop.helper)
    assert calls_of() == ["shop", "helper"]


def test_what_a_module_declares_when_the_program_calls_it_goes_when_the_module_executes_again(site: Site) -> None:
    rewrite(
        site,
        "shop",
        """
        from fastsoy_events import on

        def start():
            @on("employee.created")
            def made(calls):
                calls.append("shop")
        """,
    )
    shop = importlib.import_module("shop")
    shop.start()
    importlib.reload(shop)
    assert calls_of() == []
    shop.start()
    assert calls_of() == ["shop"]


def test_a_failed_registration_leaves_the_bus_as_it_was(site: Site) -> None:
    rewrite(site, "shop", COUNTING.format(mark="shop") + "\n    on('employee.created')(3)\n")
    with pytest.raises(RegistrationError):
        importlib.import_module("shop")
    assert calls_of() == ["shop"]


# A file under two names


def test_a_file_imported_under_a_second_name_is_one_set_of_handlers_and_one_warning(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(site, "acme.__init__", "")
    rewrite(site, "acme.handlers", COUNTING.format(mark="acme"))
    sys.path.insert(0, str(site.folder / "acme"))
    importlib.import_module("acme.handlers")
    second = importlib.import_module("handlers")
    importlib.reload(second)
    assert calls_of() == ["acme"]
    assert [handler.id for handler in bus.handlers()] == ["host:acme.handlers:count"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("fastsoy_events", logging.WARNING)
    assert "acme.handlers and handlers" in record.getMessage()
    assert str(site.folder / "acme" / "handlers.py") in record.getMessage()


@pytest.mark.parametrize("before_loading", [True, False])
@pytest.mark.parametrize("own_name_first", [True, False])
def test_a_plugins_file_imported_under_a_second_name_counts_under_the_plugins_own(
    site: Site, own_name_first: bool, before_loading: bool, caplog: pytest.LogCaptureFixture
) -> None:
    modules = {"acme.__init__": "", "acme.handlers": COUNTING.format(mark="acme")}
    site.install("acme", {"mail": "acme.handlers"}, modules)
    sys.path.insert(1, str(site.folder / "acme"))
    names = ["acme.handlers", "handlers"] if own_name_first else ["handlers", "acme.handlers"]
    if before_loading:
        for name in names:
            importlib.import_module(name)
    load_plugins(path=[site.folder])
    for name in names:
        importlib.import_module(name)
    assert [handler.id for handler in bus.handlers()] == ["acme:mail:acme.handlers:count"]
    assert calls_of() == ["acme"]
    assert len([record for record in caplog.records if "several names" in record.getMessage()]) == 1


def test_a_program_that_is_imported_again_by_its_name_registers_once(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        dedent("""
            import asyncio
            from fastsoy_events import bus, on

            @on("employee.created")
            def note():
                print("noted")

            if __name__ == "__main__":
                import program
                asyncio.run(bus.emit("employee.created")).raise_if_any()
                print([handler.module for handler in bus.handlers()])
        """)
    )
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["noted", "['__main__']"]
    assert "imported under several names" in done.stderr


@pytest.mark.parametrize("first", ["self", "cls"])
def test_a_method_in_the_body_of_its_class_is_refused(fresh_bus: EventBus, first: str) -> None:
    source = f"class Mail:\n    @on('employee.created')\n    def send({first}, employee_id): ...\n"
    with pytest.raises(RegistrationError, match=rf"nobody would pass its {first}\. Write .*\(an_object\.send\)"):
        exec(source, {"on": fresh_bus.on, "__name__": "acme"})  # noqa: S102 - two sources that differ in a word
    assert fresh_bus.handlers() == ()


def test_static_methods_and_functions_that_merely_take_self_are_fine(fresh_bus: EventBus) -> None:
    class Mail:
        @fresh_bus.on("employee.created")
        @staticmethod
        def send(self: int) -> None: ...

    @fresh_bus.on("employee.created")
    def note(self: int) -> None: ...

    assert len(fresh_bus.handlers()) == 2


def test_two_files_whose_modules_share_a_name_by_chance_keep_their_handlers(site: Site) -> None:
    modules = []
    for folder in ("one", "two"):
        file = site.folder / folder / "handlers.py"
        file.parent.mkdir()
        file.write_text(dedent(COUNTING.format(mark=folder)))
        spec = importlib.util.spec_from_file_location("handlers", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    assert calls_of() == ["one", "two"]


# Stable ids


async def test_a_stable_id_takes_the_place_of_the_name_wherever_the_handler_is_to_be_found_again(
    fresh_bus: EventBus, caplog: pytest.LogCaptureFixture
) -> None:
    @fresh_bus.on("item.made", id="mail.send")
    async def fail() -> None:
        raise LookupError

    (handler,) = fresh_bus.handlers()
    assert (handler.id, handler.stable_id) == ("host:mail.send", "mail.send")
    assert handler.label == f"{__name__}.{fail.__qualname__} [mail.send]"
    assert handler.as_dict()["stable_id"] == "mail.send"
    (failure,) = await fresh_bus.emit("item.made")
    assert str(failure) == f"item.made / {handler.label}: LookupError"
    assert caplog.messages == [f"Event handler error: item.made / {handler.label}"]


def test_a_second_handler_with_the_same_stable_id_is_told_apart(fresh_bus: EventBus) -> None:
    fresh_bus.on("item.made", id="mail")(lambda: None)
    fresh_bus.on("item.made", id="mail", slow_after=1.0)(lambda: None)
    assert [handler.id for handler in fresh_bus.handlers()] == ["host:mail", "host:mail#2"]


@pytest.mark.parametrize("stable_id", ["", "Mail", "mail send", "mail.", "mail..send", "1mail", "mail-send", 1, "m\n"])
def test_an_id_that_is_none_is_refused(fresh_bus: EventBus, stable_id: str) -> None:
    with pytest.raises(RegistrationError, match=r'takes an id in lower snake case, .* write id="mail.send", not id='):
        fresh_bus.on("item.made", id=stable_id)
    assert fresh_bus.handlers() == ()


# Decorators of others


async def test_a_decorator_that_applies_on_for_its_caller_declares_and_warns_where_that_is(site: Site) -> None:
    helper = """
        from fastsoy_events import bus

        def loud(event):
            on = bus.on(event, stacklevel=2)
            def register(function):
                def handle(**payload): function(**payload)
                return on(handle)
            return register
    """
    user = """
        from acme_helper import loud

        def declare():
            @loud("Made")
            def made(**payload): ...
    """
    site.install("acme", {}, {"acme_helper": helper, "acme_user": user})
    with pytest.warns(EventNameWarning) as warned:
        importlib.import_module("acme_user").declare()
    assert [(each.filename, each.lineno) for each in warned] == [(str(site.folder / "acme_user.py"), 5)]
    (declared,) = bus._state.declarations["Made"].values()
    assert declared.declared_in == "acme_user"
