"""What is read from sources: handlers, contracts, emits, imports and blocking calls, without running any of it."""

from __future__ import annotations

import io
import os
import py_compile
import sys
import tracemalloc
import zipfile
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsoy_events import _discover, _order
from fastsoy_events._model import Candidate, Plugin
from fastsoy_events.inspection.source import _trees
from fastsoy_events.inspection.source._analyse import analysed, drafted, resolved_together
from fastsoy_events.inspection.source._parse import LARGEST_SOURCE
from fastsoy_events.inspection.source._places import Archive, FileSources, Folder
from fastsoy_events.inspection.source._records import Parameter
from fastsoy_events.inspection.source._trees import survey, trees

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Site

    from fastsoy_events.inspection.source._records import SourceEmit, SourceHandler, SourceModule, SourceTree

HEAD = "from fastsoy_events import bus, emit, event, load_plugins, on\n"


def read(source: str | bytes, module: str = "acme.plugin", *, is_package: bool = False) -> SourceModule:
    data = source if isinstance(source, bytes) else dedent(source).encode()
    return analysed(data, module=module, file="plugin.py", is_package=is_package)


def understood(source: str) -> SourceModule:
    found = read(HEAD + dedent(source))
    assert found.problem == ""
    return found


def handler(source: str) -> SourceHandler:
    (found,) = understood(source).handlers
    return found


def emits(source: str) -> tuple[SourceEmit, ...]:
    return understood(source).emits


# Handlers: that they are found as the bus records them, test_list_static.py tells.


def test_a_handler_tells_its_parameters_and_what_stands_for_the_event() -> None:
    found = handler(
        """
        EVENT = "order.placed"

        @on(EVENT)
        async def placed(order_id: int, note: "str | None" = None, *, at, by=1, **rest): ...
        """
    )
    assert (found.event, found.written, found.line, found.is_async, found.takes_any) == (
        "order.placed",
        "EVENT",
        5,
        True,
        True,
    )
    assert found.parameters == (
        Parameter(name="order_id", annotation="int"),
        Parameter(name="note", annotation='"str | None"', is_required=False),
        Parameter(name="at"),
        Parameter(name="by", is_required=False),
    )


@pytest.mark.parametrize(
    ("made", "applied", "stable_id", "is_certain", "names"),
    [
        ("", 'on("order.placed", id="mail.send")', "mail.send", True, ["order_id"]),
        ("", "on('order.placed', id=ID)", "mail.late", True, ["order_id"]),
        ("", "on('order.placed', id=nobody.knows)", "", False, ["order_id"]),
        ("Durable(nobody.engine)", 'made.on("order.placed", id="mail.send")', "mail.send", True, ["order_id"]),
        ("Durable.tortoise()", 'made.on("order.placed", id="mail.send", tx=True)', "mail.send", True, []),
    ],
)
def test_a_handler_tells_its_stable_id_also_where_it_is_durable(
    made: str, applied: str, stable_id: str, is_certain: bool, names: list[str]
) -> None:
    found = handler(
        f"""
        import nobody
        from fastsoy_events_durable import Durable
        ID = "mail.late"
        made = {made or None}

        @{applied}
        async def placed(order_id, *, note=1): ...
        """
    )
    assert (found.event, found.stable_id, found.is_certain) == ("order.placed", stable_id, is_certain)
    assert [each.name for each in found.parameters] == [*names, "note"]


def test_of_an_object_with_durable_handlers_only_on_registers() -> None:
    found = understood(
        """
        from fastsoy_events_durable import Durable
        Durable.engine("order.placed")(print)
        Durable("sqlite+aiosqlite:///shop.sqlite3").receiver("order.placed")(print)
        """
    )
    assert found.handlers == ()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("Ledger().book", ["a", "b"]),
        ("Ledger.book", ["self", "a", "b"]),
        ("Ledger.of_class", ["a"]),
        ("Ledger.alone", ["a"]),
        ("Ledger()", ["z"]),
        ("Ledger", ["x"]),
        ("partial(Ledger().book, 1)", ["b"]),
        ("partial(function, b=1)", ["a", "b?"]),
        ("lambda a, *, b=1: a", ["a", "b?"]),
        ("print", []),
        ("nobody.knows", []),
    ],
)
def test_parameters_that_are_passed_already_are_left_out(given: str, names: list[str]) -> None:
    found = handler(
        f"""
        from functools import partial
        import nobody

        class Ledger:
            def __init__(self, x): ...
            def book(self, a, b): ...
            def __call__(self, z): ...
            @classmethod
            def of_class(cls, a): ...
            @staticmethod
            def alone(a): ...

        def function(a, b): ...
        on("order.placed")({given})
        """
    )
    assert [each.name + "?" * (not each.is_required) for each in found.parameters] == names


@pytest.mark.parametrize(
    "source",
    [
        "def on(name): return lambda function: function\n@on('a.b')\ndef f(): ...",
        "from blinker import on\n@on('a.b')\ndef f(): ...",
        "from acme.elsewhere import on\n@on('a.b')\ndef f(): ...",
        "on = print\n@on('a.b')\ndef f(): ...",
        "def g(on):\n    @on('a.b')\n    def f(): ...",
        "def g():\n    on = print\n    @on('a.b')\n    def f(): ...",
        "for on in []:\n    on('a.b')(print)",
        "[on('a.b')(print) for on in []]",
        "lambda on: on('a.b')(print)",
        "import fastsoy_events as on\n@on('a.b')\ndef f(): ...",
        "from fastsoy_events import EventBus\nbus = EventBus()\n@bus.on('a.b')\ndef f(): ...",
        "import contextlib\nwith contextlib.nullcontext() as on:\n    on('a.b')(print)",
        "try: ...\nexcept Exception as on:\n    on('a.b')(print)",
        "match 1:\n    case on:\n        on('a.b')(print)",
        "del on\non('a.b')(print)",
        "import os.on\nos.on('a.b')(print)",
        "on('a.b')",
        "on('a.b')()",
        "on('a.b')(print, print)",
        "on('a.b')(*[print])",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    on('a.b')(print)",
        "if 0:\n    on('a.b')(print)",
        "class on: ...\n@on('a.b')\ndef f(): ...",
        "(on := print)('a.b')(print)\non('a.b')(print)",
        "x = bus\n" + "x = x.y\n" * 100 + "x.on('a.b')(print)",
        "from elsewhere import *\n_on('a.b')(print)",
        "if None:\n    ...\nelse:\n    {}.on('a.b')(print)",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    @on('a.b')\n    def f(): ...",
    ],
)
def test_what_is_not_the_buss_own_does_not_count(source: str) -> None:
    assert understood(source).handlers == ()


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    from fastsoy_events import on\nexcept ImportError:\n    def on(name): ...\non('a.b')(print)",
        "if len('x'):\n    from fastsoy_events import on as mine\nelse:\n    mine = None\nmine('a.b')(print)",
        "class Heard:\n    on = 1\n    def method(self):\n        on('a.b')(print)",
        "def g():\n    global heard\n    heard = on\ndef h():\n    on('a.b')(print)",
        "def g():\n    from fastsoy_events import bus as b\n    def h():\n        b.on('a.b')(print)",
        "x = [on('a.b')(each) for each in [print]]",
        "print(on('a.b')(print))",
        "x = {'key': on('a.b')(print)}",
        "async def f():\n    async with g() as h:\n        on('a.b')(print)",
        "while print():\n    on('a.b')(print)",
        "match 1:\n    case 2 if print():\n        on('a.b')(print)",
        "(o := on)\no('a.b')(print)",
        "a, (b, *c) = on, (bus, 1)\na('a.b')(print)",
        "def g():\n    mine = on\n    def h():\n        nonlocal mine\n        mine = print\n    mine('a.b')(print)",
        "[(mine := on) for _ in [1]]\nmine('a.b')(print)",
        "class A:\n    @staticmethod\n    def s(): ...\n    @classmethod\n    def c(cls): ...\nA.s()\nA.c()\n"
        "on('a.b')(A().s)",
        "class A:\n    def connect(self):\n        on('a.b')(self.heard)\n    def heard(self): ...\nA().connect()",
        "made = event('a.b')(lambda *, x: None)\nmade.on(lambda x: None)",
        "from enum import Enum\nclass Names(Enum):\n    AB = 'a.b'\non(Names.AB.value)(print)",
        "x = ''\non(f'{x}a.b')(print)",
        "def f(*names):\n    on('a.b')(print)\nf(*[1])",
    ],
)
def test_the_buss_own_counts_wherever_it_stands(source: str) -> None:
    assert [each.event for each in understood(source).handlers] == ["a.b"]


def test_constants_functions_and_event_objects_come_from_other_modules() -> None:
    sources = {
        "acme": ("from .core import *\nfrom .core import _hidden as shown", True),
        "acme.core": ("from fastsoy_events import event, bus\nA = 'order'\n_hidden = 'x'\nlisten = bus.on\n"
                      "@event(f'{A}.placed')\ndef placed(*, order_id): 'Placed.'\n", False),
        "acme.use": ("import acme\nfrom . import core, A, shown\nfrom acme import placed as again\n"
                     "@core.listen(A + '.lost')\ndef lost(): ...\n"
                     "@acme.core.placed.on\n@again.on\ndef heard(order_id): ...\n"
                     "acme.listen(f'{shown}.y')(lost)\nagain.emit(order_id=1)\n"
                     "core.listen(f'{acme.circle}.y')(lost)\n", False),
        "acme.base": ("from fastsoy_events import on\nclass Base:\n    async def heard(self, x): ...\n", False),
        "acme.special": ("from fastsoy_events import on\nfrom acme.base import Base\nclass Special(Base): ...\n"
                         "on('s.t')(Special().heard)\n", False),
        "acme.circle": ("from acme.round import value", False),
        "acme.round": ("from acme.circle import value", False),
    }  # fmt: skip
    drafts = {
        name: drafted(source.encode(), module=name, file=name, is_package=is_package)
        for name, (source, is_package) in sources.items()
    }
    found = resolved_together(drafts)
    assert [(each.event, each.written) for each in found["acme.use"].handlers] == [
        ("order.lost", "A + '.lost'"),
        ("order.placed", "again"),
        ("order.placed", "acme.core.placed"),
        ("x.y", "f'{shown}.y'"),
        (None, "f'{acme.circle}.y'"),
    ]
    assert [each.event for each in found["acme.use"].emits] == ["order.placed"]
    (inherited,) = found["acme.special"].handlers
    assert (inherited.module, inherited.qualname, inherited.line) == ("acme.special", "Base.heard", 3)
    assert (inherited.file, inherited.is_async) == ("acme.base", True)
    assert [(each.event, each.summary) for each in found["acme.core"].contracts] == [("order.placed", "Placed.")]


# Contracts and emits


def test_a_contract_tells_its_keywords_and_its_purpose() -> None:
    source = '''
        @bus.event("order.placed")
        def placed(*, order_id: int, note: str = "") -> None:
            """Somebody has placed
            an order.

            More.
            """

        @event(lost_name())
        def lost(*, order_id): ...

        made = event("order.made")(lambda *, order_id: None)
    '''
    placed, lost, made = understood(source).contracts
    assert (placed.event, placed.qualname, placed.line) == ("order.placed", "placed", 3)
    assert placed.summary == "Somebody has placed an order."
    assert placed.parameters == (
        Parameter(name="order_id", annotation="int"),
        Parameter(name="note", annotation="str", is_required=False),
    )
    assert (lost.event, lost.written) == (None, "lost_name()")
    assert (made.event, made.qualname) == ("order.made", "<lambda>")


@pytest.mark.parametrize(
    ("call", "is_used"),
    [
        ("await emit('a.b')", True),
        ("emit('a.b')", False),
        ("bus.emit('a.b')", False),
        ("x = emit('a.b')", True),
        ("return emit('a.b')", True),
        ("asyncio.create_task(emit('a.b'))", True),
        ("x and emit('a.b')", False),
        ("emit('a.b') if x else None", False),
        ("x = y and emit('a.b')", True),
        ("emit('a.b'), 1", False),
        ("[emit('a.b') for _ in x]", True),
        ("lambda: emit('a.b')", True),
        ("emit('a.b').close()", True),
    ],
)
def test_an_emit_is_used_where_something_may_await_it(call: str, is_used: bool) -> None:
    (found,) = emits(f"async def f():\n    {call}")
    assert (found.event, found.is_used, found.line) == ("a.b", is_used, 3)


def test_an_emit_tells_its_keywords_and_the_function_around_it() -> None:
    found = emits(
        """
        from functools import partial

        class Orders:
            async def place(self):
                await emit("order.placed", order_id=1, event=2, **self.more)
                await partial(emit, "order.counted")(count=1)
                await emit(*self.names, order_id=1)
        """
    )
    assert [(each.event, each.keywords, each.has_more, each.function) for each in found] == [
        ("order.placed", ("order_id", "event"), True, "Orders.place"),
        ("order.counted", ("count",), False, "Orders.place"),
        (None, ("order_id",), False, "Orders.place"),
    ]


@pytest.mark.parametrize(
    ("source", "precedes"),
    [
        ("emit('a.b')", True),
        ("class Orders:\n    emit('a.b')", True),
        ("load_plugins()\nemit('a.b')", False),
        ("async def main():\n    await emit('a.b')\n    bus.load_plugins()", True),
        ("async def main():\n    load_plugins()\n    await emit('a.b')", False),
        ("async def main():\n    await emit('a.b')\n    def later():\n        load_plugins()", False),
        ("if __name__ == '__main__':\n    load_plugins()\n    emit('a.b')", False),
        ("if __name__ == '__main__':\n    emit('a.b')\n    load_plugins()", True),
        ("async def f():\n    await emit('a.b')\nload_plugins()", False),
    ],
)
def test_an_emit_precedes_the_loading_of_plugins(source: str, precedes: bool) -> None:
    (found,) = emits(source)
    assert found.precedes_loading is precedes


# Imports


@pytest.mark.parametrize(
    ("source", "is_package", "expected"),
    [
        ("import a.b as c, d", False, [("a.b", ()), ("d", ())]),
        ("from a import b, c as d", False, [("a", ("b", "c"))]),
        ("from . import x", False, [("acme", ("x",))]),
        ("from . import x", True, [("acme.plugin", ("x",))]),
        ("from .y import x", True, [("acme.plugin.y", ("x",))]),
        ("from ..y import x", True, [("acme.y", ("x",))]),
        ("from ... import x", False, []),
        ("from .... import x", True, []),
        ("from a import *", False, [("a", ("*",))]),
        ("__import__('a')", False, [("a", ())]),
        ("import importlib as i\ni.import_module('a.b')", False, [("importlib", ()), ("a.b", ())]),
        ("from importlib import import_module\nimport_module('..b', __name__)", True,
         [("importlib", ("import_module",)), ("acme.b", ())]),
        ("from importlib import import_module\nimport_module('...b', __name__)", False,
         [("importlib", ("import_module",))]),
    ],
)  # fmt: skip
def test_imports_are_resolved(source: str, is_package: bool, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    found = read(source, is_package=is_package)
    assert [(each.module, each.names) for each in found.imports] == expected


def test_an_import_tells_whether_it_runs() -> None:
    found = read(
        """
        import typing
        if typing.TYPE_CHECKING:
            import for_types
        elif not typing.TYPE_CHECKING:
            import real
        def f():
            import late
        class C:
            import early
        """
    )
    assert [(each.module, each.line, each.for_types_only, each.is_deferred) for each in found.imports] == [
        ("typing", 2, False, False),
        ("for_types", 4, True, False),
        ("real", 6, False, False),
        ("early", 10, False, False),
        ("late", 8, False, True),
    ]
    assert not found.imports_unknown
    assert read("import importlib\nimportlib.import_module(name)").imports_unknown
    assert not read("import importlib\ndef f(name):\n    importlib.import_module(name)").imports_unknown


# Blocking calls


@pytest.mark.parametrize(
    ("imports", "call", "name"),
    [
        ("import time", "time.sleep(1)", "time.sleep"),
        ("from time import sleep as wait", "wait(1)", "time.sleep"),
        ("import requests as r", "x = r.get('u').json()", "requests.get"),
        ("import urllib.request", "urllib.request.urlopen('u')", "urllib.request.urlopen"),
        ("from urllib import request", "request.urlopen('u')", "urllib.request.urlopen"),
        ("import subprocess", "subprocess.run(['x'])", "subprocess.run"),
        ("import os", "os.system('x')", "os.system"),
        ("from smtplib import SMTP", "with SMTP('h') as s: s.send()", "smtplib.SMTP"),
        ("import sqlite3", "db = sqlite3.connect('f')", "sqlite3.connect"),
        ("import httpx", "httpx.get('u')", "httpx.get"),
        ("", "input()", "input"),
        ("", "import time; time.sleep(1)", "time.sleep"),
    ],
)
def test_blocking_calls_are_known_by_any_name(imports: str, call: str, name: str) -> None:
    found = handler(f"{imports}\n@on('a.b')\ndef f(**payload):\n    {call}\n")
    assert [(each.name, each.line) for each in found.blocking] == [(name, 5)]


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("import asyncio", "asyncio.sleep(1)"),
        ("import time", "def later(): time.sleep(1)"),
        ("import time", "x = lambda: time.sleep(1)"),
        ("class time:\n    sleep = print", "time.sleep(1)"),
        ("def input(): ...", "input()"),
        ("import httpx", "httpx.AsyncClient().get('u')"),
        ("", "open('f')"),
    ],
)
def test_what_does_not_block_does_not_count(imports: str, call: str) -> None:
    assert handler(f"{imports}\n@on('a.b')\ndef f(**payload):\n    {call}\n").blocking == ()


# Hostile sources


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"def f(:\n", "line 1: invalid syntax"),
        (b"x = 1\n  y = 2\n", "line 2: unexpected indent"),
        (b"x = 1\n\0", "line 2: it has null bytes, and so is no Python source"),
        (b"\xff\xfe", "line 1: invalid or missing encoding declaration"),
        (b"\n\n\nx = '\xe9'", "line 4: it is not utf-8 (byte 8)"),
        (b"# coding: nothing_of_this_name\n", "line 1: unknown encoding: nothing_of_this_name"),
        (b"# coding: punycode\nx", "line 1: its encoding is punycode, which is not looked at"),
        (b"# coding: zlib\nx", "line 1: it cannot be decoded: 'zlib' is not a text encoding"),
        (b"#" * (LARGEST_SOURCE + 1), "it is larger than 2097152 bytes, too large to be looked at"),
        (b"x\n" * 300_000, "it has more than 200000 words and signs, too many to be looked at"),
        (b"x = " + b"(" * 10_000, "line 1: too many nested parentheses"),
        (b"x = " + b"-" * 100_000 + b"1", "it is nested too deeply to be looked at"),
        (b"x = 1" + b" + 1" * 90_000, "it is nested too deeply to be looked at"),
        (b"x" + b".y" * 90_000, "it is nested too deeply to be looked at"),
        (b"lambda: " * 60_000 + b"1", "it is nested too deeply to be looked at"),
        (b"if x: pass\n" + b"elif x: pass\n" * 30_000, "it is nested too deeply to be looked at"),
        (b"x = '\\x1b[31m'\n'\x1b[31m", "line 2: unterminated string literal (detected at line 2)"),
    ],
)
def test_what_cannot_be_read_is_a_problem_on_one_line(source: bytes, problem: str) -> None:
    found = read(source)
    assert found.problem.startswith(problem)
    assert found.problem.isprintable()
    assert len(found.problem) < 250
    assert (found.handlers, found.imports) == ((), ())


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("x = 'a'" + " + 'a'" * 900 + "\non(x)(print)", None),
        ("if x: pass\n" + "elif x: pass\n" * 900 + "on('a.b')(print)", "a.b"),
        ("x = 'a'\n" + "x = x + x\n" * 500 + "on(x)(print)", None),
        ("from elsewhere import x\n" + "x = x + x\n" * 500 + "on(x)(print)", None),
        ("from elsewhere import f\nx = f\n" + "x = f(x, x)\n" * 500 + "on(x)(print)", None),
        ("def f(x):\n    on(x)(print)\n    f(x)\nf('a.b')", "a.b"),
        ("class A(A): ...\non('a.b')(A().method)", "a.b"),
        ("from acme.plugin import on as on\nfrom fastsoy_events import on\non('a.b')(print)", "a.b"),
        ("on('a.b')(" + "lambda: " * 200 + "1)", "a.b"),
        ("@on('\\x1b[31m\\ud800')\ndef f(): ...", "\x1b[31m\ud800"),
    ],
)
def test_odd_sources_are_understood_as_far_as_they_go(source: str, event: str | None) -> None:
    assert [each.event for each in understood(source).handlers] == [event]


@pytest.mark.parametrize(
    "source",
    [
        "".join(f"{' ' * depth}for x{depth} in (1, 2, 3, 4, 5, 6, 7, 8, 9):\n" for depth in range(90))
        + f"{' ' * 90}on('a.b')(print)",
        "def f0(x): on(x)(print)\n"
        + "".join(f"def f{n}(x):\n" + f"    f{n - 1}(x)\n" * 40 for n in range(1, 50))
        + "".join(f"f{n}('a.b')\n" for n in range(50)),
    ],
)
def test_repetition_is_bounded(source: str) -> None:
    draft = drafted((HEAD + source).encode(), module="acme", file="acme.py", is_package=False)
    assert draft.problem == ""
    assert 20_000 <= draft.repeated < 25_000
    assert len(draft.sites) <= 20_000


def test_memory_is_bounded() -> None:
    tracemalloc.start()
    try:
        assert read(b"[" + b"x," * 90_000 + b"]").problem == ""
        assert read(b"x\n" * (LARGEST_SOURCE // 2)).problem
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 << 20


NAMES = ("on", "bus", ".on", "emit", "event", "x", "'a.b'", "f'{x}'", "lambda", "=", ":=", "@", "*", "**")
SIGNS = ("(", ")", "[", "]", ",", ":", "\n", "\n    ")
STATEMENTS = (
    "def f",
    "async ",
    "class C",
    "if ",
    "elif x",
    "else",
    "for x in ",
    "try",
    "except",
    "finally",
    "with ",
    "as ",
)
MORE = ("await ", "return ", "global x", "nonlocal x", "import ", "from ", "del ", "match x", "case ")
WORDS = st.sampled_from([*NAMES, *SIGNS, *STATEMENTS, *MORE])


@settings(deadline=None)
@given(st.lists(WORDS, max_size=40).map("".join), st.binary(max_size=20))
def test_nothing_that_is_read_raises(words: str, raw: bytes) -> None:
    for source in (HEAD.encode() + words.encode(), raw, b"# coding: " + raw):
        assert read(source).problem.isprintable()


def test_files_end_their_lines_as_they_like() -> None:
    for ending in ("\n", "\r\n", "\r"):
        source = f"\ufeff{HEAD}\n\f\n@on(\n'a.b'\n)\ndef f(): ...\n".replace("\n", ending)
        (found,) = read(source.encode()).handlers
        assert (found.line, found.written) == (4, "'a.b'")
    assert read("# coding: latin-1\nfrom fastsoy_events import on\non('\xe9.b')(print)".encode("latin-1")).handlers[
        0
    ].event == ("\xe9.b")


# Trees


def installed_trees(*folders: Path) -> dict[str, SourceTree]:
    path = [str(folder) for folder in folders]
    candidates = _order.in_plugin_order(_discover.scan(path).candidates, ())
    return {tree.plugin: tree for tree in trees(candidates, path)}


def test_a_tree_has_what_the_plugin_may_call_its_own(site: Site) -> None:
    site.install(
        "acme",
        {"main": "acme.plugin", "deep": "acme.deep"},
        dict.fromkeys(
            ["acme.__init__", "acme.plugin", "acme.b", "acme.space.inner", "acme.deep.__init__", "acme.deep.x"], ""
        ),
    )
    site.install("shared", {"one": "space_only.one"}, {"space_only.one": "", "space_only.two": ""})
    (site.folder / "acme" / "no-module.py").touch()
    (site.folder / "acme" / "__pycache__").mkdir()
    (site.folder / "acme" / "__pycache__" / "b.py").touch()
    (site.folder / "acme" / "deep.py").touch()
    before = set(sys.modules)
    found = installed_trees(site.folder)
    assert set(sys.modules) == before
    names = {plugin: [module.name for module in tree.modules] for plugin, tree in found.items()}
    assert names == {
        "main": ["acme.plugin", "acme", "acme.b", "acme.space.inner"],
        "deep": ["acme.deep", "acme.deep.x"],
        "one": ["space_only.one"],
    }
    assert found["main"].reached == {"acme", "acme.plugin"}
    assert found["deep"].reached == {"acme.deep"}
    assert not any(tree.problem for tree in found.values())


def test_a_tree_follows_links_but_not_in_circles(site: Site, tmp_path: Path) -> None:
    site.install("acme", {"main": "acme.plugin"}, {"acme.__init__": "", "acme.plugin": ""})
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "far.py").touch()
    (site.folder / "acme" / "circle").symlink_to(site.folder / "acme")
    (site.folder / "acme" / "linked").symlink_to(tmp_path / "away")
    (site.folder / "acme" / "gone.py").symlink_to(tmp_path / "nothing.py")
    os.mkfifo(site.folder / "acme" / "pipe.py")
    (site.folder / "acme" / "folder.py").mkdir()
    found = {module.name: module.problem for module in installed_trees(site.folder)["main"].modules}
    assert found == {
        "acme.plugin": "",
        "acme": "",
        "acme.folder": "it cannot be read: Is a directory",
        "acme.gone": "it cannot be read: No such file or directory",
        "acme.linked.far": "",
        "acme.pipe": "it is no regular file",
    }


def test_a_tree_tells_what_is_missing(site: Site) -> None:
    site.install("acme", {"main": "acme.plugin", "odd": "acme"}, {"acme.__init__": ""})
    site.install("broken", "[fastsoy.event_handlers]\nno equals\n")
    found = installed_trees(site.folder)
    assert {plugin: tree.problem for plugin, tree in found.items()} == {
        "main": "the module acme.plugin cannot be found",
        "odd": "",
        "no equals": "no module is named",
    }


def test_a_plugin_without_source_is_a_problem(site: Site, tmp_path: Path) -> None:
    site.install("acme", {"main": "acme_compiled"}, {"acme_compiled": ""})
    source = site.folder / "acme_compiled.py"
    py_compile.compile(str(source), str(source.with_suffix(".pyc")), doraise=True)
    source.unlink()
    (module,) = installed_trees(site.folder)["main"].modules
    assert module.problem == "it has no source, only compiled code"


def test_a_tree_has_its_bounds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme", {"main": "acme.plugin"}, {"acme.__init__": "", "acme.plugin": "", "acme.a": "", "acme.z": ""})
    monkeypatch.setattr(_trees, "MOST_MODULES", 2)
    tree = installed_trees(site.folder)["main"]
    assert [module.name for module in tree.modules] == ["acme", "acme.a"]
    assert tree.problem == "only the first 2 modules were looked at: there are too many, or too large"


def test_an_editable_installation_is_read_where_it_lies(site: Site, tmp_path: Path) -> None:
    site.install("acme", {"main": "acme.plugin"})
    source = tmp_path / "project" / "acme"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "plugin.py").write_text(HEAD + "on('a.b')(print)")
    sys.path.append(str(source.parent))
    tree = installed_trees(site.folder)["main"]
    assert tree.modules[0].file == str(source / "plugin.py")
    assert [each.event for each in tree.modules[0].handlers] == ["a.b"]


def test_a_plugin_in_a_zip_file_is_read_without_unpacking(site: Site, tmp_path: Path) -> None:
    site.install("acme", {"main": "acme.plugin", "flat": "flat"})
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("acme/__init__.py", "")
        archive.writestr("acme/plugin.py", HEAD + "on('a.b')(print)")
        archive.writestr("flat.py", HEAD + "on('a.c')(print)")
    sys.path.append(str(tmp_path / "lib.zip"))
    found = installed_trees(site.folder)
    assert [each.event for each in found["main"].modules[0].handlers] == ["a.b"]
    assert [each.event for each in found["flat"].modules[0].handlers] == ["a.c"]
    assert found["main"].modules[0].file == str(tmp_path / "lib.zip" / "acme" / "plugin.py")


def wheel(files: dict[str, str | bytes]) -> Archive:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return Archive(zipfile.ZipFile(data), "acme.whl")


CANDIDATE = Candidate(Plugin(name="main", distribution="acme", version="2", module="acme.plugin"))


def test_a_wheel_is_read_without_unpacking() -> None:
    files = wheel(
        {
            "acme/__init__.py": "",
            "acme/plugin.py": "from acme import work, platform_only",
            "acme/work.py": HEAD + "on('a.b')(print)",
            "acme/bomb.py": b" " * (LARGEST_SOURCE * 20),
            "acme-2.data/platlib/acme/platform_only.py": "",
            "acme-2.data/scripts/acme/script.py": "",
            "other/module.py": "",
            "../acme/slip.py": "",
            "/acme/absolute.py": "",
            "acme\\windows.py": "",
            "acme/" + "deep/" * 100 + "x.py": "",
            "acme/no-name.py": "",
            "acme/data.txt": "",
        }
    )
    (tree,) = survey([CANDIDATE], sources=FileSources(files)).trees
    assert [(module.name, module.file) for module in tree.modules] == [
        ("acme.plugin", "acme.whl/acme/plugin.py"),
        ("acme", "acme.whl/acme/__init__.py"),
        ("acme.bomb", "acme.whl/acme/bomb.py"),
        ("acme.platform_only", "acme.whl/acme-2.data/platlib/acme/platform_only.py"),
        ("acme.work", "acme.whl/acme/work.py"),
    ]
    assert tree.modules[2].problem.startswith("it is larger than")
    assert tree.reached == {"acme", "acme.plugin", "acme.work", "acme.platform_only"}


def test_a_broken_wheel_is_a_problem() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("acme/__init__.py", "x = 1\n" * 1000)
    broken = bytearray(data.getvalue())
    broken[40:60] = b"\xff" * 20
    sources = FileSources(Archive(zipfile.ZipFile(io.BytesIO(bytes(broken))), "acme.whl"))
    (tree,) = survey([CANDIDATE], sources=sources).trees
    (module,) = tree.modules
    assert module.problem.startswith("it cannot be read: ")
    assert module.problem.isprintable()


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_zipfile_would_unpack_at_once_is_not_read(compression: int) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        archive.writestr("acme/__init__.py", b" " * (LARGEST_SOURCE * 20))
    with zipfile.ZipFile(data) as archive:
        (tree,) = survey([CANDIDATE], sources=FileSources(Archive(archive, "acme.whl"))).trees
    (module,) = tree.modules
    assert "only stored and deflated are read" in module.problem


def test_folders_are_read_like_wheels(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").touch()
    (tmp_path / "acme" / "plugin.py").touch()
    (tree,) = survey([CANDIDATE], sources=FileSources(Folder(str(tmp_path)))).trees
    assert [module.name for module in tree.modules] == ["acme.plugin", "acme"]
