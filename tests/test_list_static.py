"""The static list: what the plugins' sources say is what a load registers, and no plugin is imported to tell."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsoy_events import _discover, _order, bus, handlers, load_plugins
from fastsoy_events.inspection._static import difference, static_list
from fastsoy_events.inspection.source._trees import survey
from tests import command_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Sequence

    from conftest import Site

    from fastsoy_events import Handler
    from fastsoy_events.inspection._static import StaticList


def in_sources(site: Site, order: Sequence[str] = ()) -> StaticList:
    path = [str(site.folder)]
    before = set(sys.modules)
    candidates = _order.in_plugin_order(_discover.scan(path).candidates, order)
    found = static_list(survey(candidates, path))
    assert set(sys.modules) == before
    return found


def registered(site: Site, order: Sequence[str] = ()) -> tuple[Handler, ...]:
    report = load_plugins(path=[site.folder], order=order)
    assert report.failures == ()
    return handlers()


def rows(listed: Sequence[Handler]) -> list[dict[str, str | int]]:
    return [each.as_dict() for each in listed]


def run(*arguments: str, folder: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(folder, "list", *arguments, **changes)


# What a load registers

EVERY_WAY = """
    import asyncio, contextlib, functools, time
    import fastsoy_events as fe
    import fastsoy_events
    from fastsoy_events import bus as the_bus, event, on as subscribe, on, hookimpl
    from acme.names import *
    from acme.names import AGGREGATE, Events as E, order_placed
    from acme import names, other as another
    from .names import Colour

    created = subscribe(f"{AGGREGATE}.created")
    register = the_bus.on

    @on("employee.created")
    def plain(**payload): ...

    @created
    @on("employee.left")
    @hookimpl
    @functools.lru_cache
    @functools.lru_cache(maxsize=3)
    def stacked(**payload): ...

    @fe.on("employee." + "moved")
    async def moved(employee_id, *, to="here"): ...

    @fastsoy_events.bus.on(event="employee.moved")
    async def moved_again(employee_id, *, to="here"): ...

    @register(names.AGGREGATE + f".{LEFT}")
    async def left(**payload): ...

    @order_placed.on
    async def placed(order_id): ...

    @names.order_placed.on
    async def placed_too(order_id, **_): ...

    @event("order.refunded")
    def order_refunded(*, order_id: int) -> None: ...

    @order_refunded.on
    def refunded(order_id): ...

    @on(order_refunded.name)
    def refunded_by_name(order_id): ...

    @on(E.MOVED)
    def by_constant(**payload): ...

    @on(Colour.RED)
    def by_enum(**payload): ...

    class Ledger:
        KEY = "ledger.opened"

        @on("order.placed")
        def book(**payload): ...

        @on("order.placed")
        @staticmethod
        async def book_static(**payload): ...

        @staticmethod
        @on("order.placed")
        async def book_static_too(**payload): ...

        class Inner:
            @on("order.placed")
            def book(**payload): ...

        def __init__(self):
            on("ledger.opened")(self.opened)

        async def opened(self, **payload): ...

        def closed(self, **payload): ...

        @classmethod
        def of_class(cls, **payload): ...

        async def __call__(self, **payload): ...

    class Special(Ledger):
        def closed(self, **payload): ...

    ledger = Ledger()
    special = Special()
    on("ledger.closed")(ledger.closed)
    on("ledger.closed")(ledger.closed)
    on("ledger.closed")(special.closed)
    on("ledger.closed")(special.opened)
    on("ledger.closed")(Ledger.of_class)
    on("ledger.closed")(ledger)
    on("ledger.closed")(
        Ledger
    )
    on("ledger.closed")(functools.partial(plain, now=True))
    on("ledger.closed")(functools.partial(ledger.opened))
    on("ledger.closed")(print)
    on("ledger.closed")(lambda **payload: None)
    on("ledger.closed")(plain)
    on("ledger.closed")(plain)
    on("ledger.closed")(another.helper)
    on("ledger.closed")(names.helper)
    on("ledger.closed")(on("ledger.sold")(moved))

    def make(name, also="also.made"):
        @on(name)
        async def made(**payload):
            pass

        @on(also)
        class Handler:
            def __init__(self, **payload): ...

        on(name)(lambda **payload: None)
        return made

    make("factory.first")
    make("factory." + "second", also="factory.third")

    for name in ("loop.first", "loop.second"):
        on(name)(plain)

        @on(name)
        def in_loop(**payload): ...

    for name, function in [("pair.first", plain), ("pair.second", moved)]:
        on(name)(function)
    else:
        @on("loop.ended")
        def ended(**payload): ...

    if True:
        @on("branch.taken")
        def taken(**payload): ...
    else:
        @on("branch.never")
        def never(**payload): ...

    if __name__ == "__main__":
        @on("branch.main")
        def main(**payload): ...

    try:
        @on("branch.tried")
        def tried(**payload): ...
    finally:
        @on("branch.at_last")
        def at_last(**payload): ...

    if (said := on("walrus.said")):
        said(plain)

    @on("redefined.name")
    def _(**payload): ...

    @on("redefined.name")
    def _(**payload): ...

    def shadowing(on):
        @on("never.registered")
        def inner(**payload): ...
"""

NAMES = """
    from enum import StrEnum
    from fastsoy_events import event

    AGGREGATE = "employee"
    LEFT = "left"
    _HIDDEN = "hidden"

    class Events:
        MOVED = "employee.moved"

    class Colour(StrEnum):
        RED = "colour.red"

    @event("order.placed")
    def order_placed(*, order_id: int) -> None: ...

    async def helper(**payload): ...
"""

OTHER = """
    from fastsoy_events import on
    from acme import bus_again

    @on("other.heard")
    def helper(**payload): ...

    @bus_again.subscribe("other.heard")
    def helper_too(**payload): ...

    def on(name):
        return lambda function: function

    @on("not.ours")
    def not_ours(**payload): ...
"""

BUS_AGAIN = """
    from fastsoy_events import bus

    subscribe = bus.on
"""


def acme(**modules: str) -> dict[str, str]:
    return {"acme.__init__": "", **{f"acme.{name}": source for name, source in modules.items()}}


def test_every_way_to_register_is_found_as_the_bus_records_it(site: Site) -> None:
    modules = acme(plugin=EVERY_WAY, names=NAMES, other=OTHER, bus_again=BUS_AGAIN)
    site.install("acme", {"main": "acme.plugin"}, modules)
    static = in_sources(site)
    assert rows(static.handlers) == rows(registered(site))


@contextlib.contextmanager
def again(site: Site, folder: Path) -> Generator[Site]:
    """Another folder of distributions, and the bus and the import system as before afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with bus.isolated():
            yield type(site)(folder)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            del sys.modules[name]


EVENTS = st.sampled_from(["a.one", "a.two", "b.one"])
NAMED = st.sampled_from(["first", "second", "_"])
DEF = st.sampled_from(["def", "async def"])


@st.composite
def declarations(draw: st.DrawFn) -> str:
    event, other, name, kind = draw(EVENTS), draw(EVENTS), draw(NAMED), draw(DEF)
    written = draw(
        st.sampled_from(
            [f'"{event}"', f'f"{event[0]}.{{{event[2:].upper()}}}"', f'"{event[:2]}" + {event[2:].upper()}']
        )
    )
    function = f"{kind} {name}(**payload): ..."
    return draw(
        st.sampled_from(
            [
                f"@on({written})\n{function}",
                f'@on({written})\n@on("{other}")\n{function}',
                f"class {name.title()}:\n" + indent(f"@on({written})\n{function}", "    "),
                f"on({written})(last)\non({written})(last)",
                f"on({written})(lambda **payload: None)",
                f'for event in ("{other}", {written}):\n    on(event)(last)\n'
                + indent(f"@on(event)\n{function}", "    "),
                "def make(event):\n"
                + indent(f"@on(event)\n{function}\non(event)(last)\n", "    ")
                + f"make({written})",
                "try:\n" + indent(f"@on({written})\n{function}\nlast = {name}", "    ") + "\nfinally:\n    pass",
                f"{function}\nlast = {name}",
            ]
        )
    )


MODULES = st.lists(declarations(), max_size=6).map("\n".join)
HEAD = 'from fastsoy_events import on\nONE, TWO = "one", "two"\ndef last(**payload): ...\n'


# The fixture only says how to install something: each example has a folder of its own.
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=MODULES, before=MODULES, after=MODULES)
def test_what_is_declared_in_any_mixture_is_found_as_the_bus_records_it(
    site: Site, tmp_path_factory: pytest.TempPathFactory, entry: str, before: str, after: str
) -> None:
    sources = {
        "plugin": f"from acme import zz_before\n{HEAD}{entry}\nimport acme.after",
        "zz_before": HEAD + before,
        "after": HEAD + after,
    }
    with again(site, tmp_path_factory.mktemp("site")) as site:
        site.install("acme", {"main": "acme.plugin"}, acme(**sources))
        static = in_sources(site)
        assert rows(static.handlers) == rows(registered(site))
        assert not difference(static, handlers())


def test_the_order_is_the_buss_across_plugins_and_modules(site: Site) -> None:
    heard = 'from fastsoy_events import on\n@on("order.placed")\ndef {name}(**payload): ...\n'
    site.install("zeta", {"z": "zeta"}, {"zeta": "import acme.deep.b\n" + heard.format(name="zeta")})
    site.install(
        "acme",
        {"b": "acme.plugin", "a": "acme_flat"},
        {
            "acme.__init__": "",
            "acme.plugin": "from acme import deep\nfrom . import aa\n" + heard.format(name="plugin"),
            "acme.aa": heard.format(name="aa"),
            "acme.deep.__init__": "from . import a",
            "acme.deep.a": heard.format(name="deep_a"),
            "acme.deep.b": heard.format(name="only_zeta_imports_it"),
            "acme_flat": "from acme.aa import aa\nfrom fastsoy_events import on\non('order.placed')(aa)",
        },
    )
    order = ["zeta"]
    static = in_sources(site, order)
    assert [each.qualname for each in static.handlers] == ["zeta", "plugin", "aa", "deep_a", "only_zeta_imports_it"]
    assert rows(static.handlers) == rows(registered(site, order))


def test_a_handler_of_another_module_belongs_to_the_module_that_defines_it(site: Site) -> None:
    modules = acme(
        plugin="from fastsoy_events import on\nfrom acme.work import work\non('order.placed')(work)",
        work="async def work(**payload): ...",
    )
    site.install("acme", {"main": "acme.plugin"}, modules)
    static = in_sources(site)
    assert [each.module for each in static.handlers] == ["acme.work"]
    assert rows(static.handlers) == rows(registered(site))


# What the source does not tell


def only(site: Site, source: str, **others: str) -> StaticList:
    site.install("acme", {"main": "acme.plugin"}, acme(plugin=source, **others))
    return in_sources(site)


@pytest.mark.parametrize(
    "source",
    [
        'import os\n@on(os.environ.get("EVENT", "order.placed"))\ndef heard(**payload): ...',
        'def make(event):\n    @on(event)\n    def heard(**payload): ...\nmake(str("order.placed"))',
        'import random\nEVENT = "order.placed" if random else "order.lost"\n@on(EVENT)\ndef heard(**payload): ...',
        'EVENT = "order.lost"\nif len(EVENT):\n    EVENT = "order.placed"\n@on(EVENT)\ndef heard(**payload): ...',
        'def heard(**payload): ...\nfor event in list(["order.placed"]):\n    on(event)(heard)',
        'def heard(**payload): ...\n[on(event)(heard) for event in ["order.placed"]]',
        'EVENT = "order.lost"\ndef change():\n    global EVENT\n    EVENT = "order.placed"\nchange()\n'
        "@on(EVENT)\ndef heard(**payload): ...",
    ],
)
def test_an_event_that_the_source_does_not_tell_is_dynamic_and_no_difference(site: Site, source: str) -> None:
    static = only(site, f"from fastsoy_events import on\n{source}\n")
    assert [(each.event, each.position, each.kind) for each in static.handlers] == [("dynamic", 0, "sync")]
    assert [each.event for each in registered(site)] == ["order.placed"]
    assert not difference(static, handlers())


def test_a_callable_that_the_source_does_not_tell_is_of_the_kind_dynamic_and_no_difference(site: Site) -> None:
    source = """
        from fastsoy_events import on
        def make():
            async def made(**payload): ...
            return made
        on("order.placed")(make())
    """
    static = only(site, source)
    assert [(each.event, each.kind, each.qualname) for each in static.handlers] == [
        ("order.placed", "dynamic", "make()")
    ]
    assert [each.qualname for each in registered(site)] == ["make.<locals>.made"]
    assert not difference(static, handlers())


def test_a_handler_in_a_function_that_no_import_is_seen_to_call_is_dynamic(site: Site) -> None:
    source = """
        from fastsoy_events import on
        def connect():
            @on("order.placed")
            def heard(**payload): ...
        def unused():
            @on("order.placed")
            def unheard(**payload): ...
        globals()["connect"]()
    """
    static = only(site, source)
    assert [(each.event, each.qualname) for each in static.handlers] == [
        ("dynamic", "connect.<locals>.heard"),
        ("dynamic", "unused.<locals>.unheard"),
    ]
    assert [each.qualname for each in registered(site)] == ["connect.<locals>.heard"]
    assert not difference(static, handlers())


def test_a_function_that_another_module_calls_registers_what_it_says(site: Site) -> None:
    source = "from acme.work import connect\nconnect()"
    work = """
        from fastsoy_events import on
        def connect():
            @on("order.placed")
            def heard(**payload): ...
    """
    static = only(site, source, work=work)
    assert [(each.event, each.qualname) for each in static.handlers] == [("order.placed", "connect.<locals>.heard")]
    assert [each.qualname for each in registered(site)] == ["connect.<locals>.heard"]
    assert not difference(static, handlers())


@pytest.mark.parametrize("missing", ["absent.module_of_nobody", "sys"])
def test_a_handler_below_a_condition_is_listed_and_no_difference_where_it_does_not_register(
    site: Site, missing: str
) -> None:
    source = f"""
        from fastsoy_events import on
        try:
            import {missing}
        except ImportError:
            @on("order.lost")
            def lost(**payload): ...
        else:
            @on("order.placed")
            def placed(**payload): ...
    """
    static = only(site, source)
    assert [each.event for each in static.handlers] == ["order.lost", "order.placed"]
    assert len(registered(site)) == 1
    assert not difference(static, handlers())


def test_an_unknown_decorator_below_on_leaves_doubt(site: Site) -> None:
    source = """
        from fastsoy_events import on
        def wrapped(function):
            async def wrapper(**payload): ...
            return wrapper
        @on("order.placed")
        @wrapped
        def placed(**payload): ...
    """
    static = only(site, source)
    assert [each.qualname for each in static.handlers] == ["placed"]
    assert not static.handlers[0].is_certain


# Modules that nobody imports


def test_a_module_that_nobody_imports_does_not_register(site: Site) -> None:
    heard = 'from fastsoy_events import on\n@on("order.placed")\ndef heard(**payload): ...\n'
    lazily = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import acme.typed\n"
    lazily += "def later():\n    from acme import late\n"
    static = only(site, lazily, left=heard, typed=heard, late=heard)
    assert static.handlers == ()
    assert [each.module for each in static.unreached] == ["acme.late", "acme.left", "acme.typed"]
    assert registered(site) == ()


def test_imports_are_followed_however_they_are_written(site: Site) -> None:
    heard = 'from fastsoy_events import on\n@on("order.placed")\ndef heard(**payload): ...\n'
    modules = [
        "import importlib",
        "import acme.by_import as alias",
        "from acme import by_from, plugin",
        "from . import by_relative",
        "from .by_name import heard as again",
        "from .deep.by_depth import *",
        'importlib.import_module("acme.by_text")',
        'importlib.import_module(".by_relative_text", __package__)',
        "for name in ('first', 'second'):\n    importlib.import_module(f'acme.by_loop_{name}')",
        "def load():\n    import acme.by_call\nload()",
        "try:\n    import acme.by_try\nfinally:\n    pass",
    ]
    names = "by_import by_from by_relative by_name by_text by_relative_text by_loop_first by_loop_second by_call by_try"
    others = dict.fromkeys([*names.split(), "deep.__init__", "deep.by_depth"], heard)
    static = only(site, "\n".join(modules), **others)
    assert len(static.handlers) == len(others)
    assert rows(static.handlers) == rows(registered(site))


def test_an_import_that_the_source_does_not_name_may_explain_a_handler(site: Site) -> None:
    heard = 'from fastsoy_events import on\n@on("order.placed")\ndef heard(**payload): ...\n'
    source = 'import importlib\nfor name in "".join(["a", "b"]):\n    importlib.import_module(f"acme.{name}")'
    static = only(site, source, a=heard, b=heard)
    assert (static.handlers, static.imports_unknown) == ((), ("acme.plugin",))
    assert len(registered(site)) == 2
    assert not difference(static, handlers())


# Differences


def test_what_registers_behind_the_sources_back_differs(site: Site) -> None:
    source = """
        import fastsoy_events
        getattr(fastsoy_events, "on")("order.placed")(lambda **payload: None)
    """
    static = only(site, source)
    assert static.handlers == ()
    registered(site)
    found = difference(static, handlers())
    assert (found.only_static, [each.event for each in found.only_registered]) == ((), ["order.placed"])


def test_what_the_source_says_and_does_not_register_differs(site: Site) -> None:
    site.install("acme", {"main": "acme.plugin"}, acme(plugin=AND_FAILS))
    static = in_sources(site)
    load_plugins(path=[site.folder])
    found = difference(static, handlers())
    assert ([each.event for each in found.only_static], found.only_registered) == (["order.placed"], ())


def test_another_kind_and_another_order_differ(site: Site) -> None:
    source = """
        from fastsoy_events import on
        def first(**payload): ...
        def second(**payload): ...
        @on("order.lost")
        def lost(**payload): ...
        on("order.placed")(first)
        on("order.placed")(second)
    """
    static = only(site, source)
    lost, *placed = registered(site)
    found = difference(static, [replace(lost, is_async=True), *reversed(placed)])
    assert [each.qualname for each in found.only_static] == ["lost", "first", "second"]
    assert [each.qualname for each in found.only_registered] == ["lost", "second", "first"]


AND_FAILS = """
from fastsoy_events import on
@on("order.placed")
def placed(**payload): ...
raise RuntimeError("as installed")
"""


# The command

PLUGINS = Path(__file__).parent.parent / "plugins"
SAME = ("event", "position", "plugin", "handler", "kind")


@pytest.fixture
def business(site: Site) -> Path:
    """A folder into which the three business packages are installed."""
    for name in ("audit", "hr", "notify"):
        package = f"fastsoy_{name}"
        shutil.copytree(PLUGINS / f"fastsoy-{name}" / "src" / package, site.folder / package)
        site.install(f"fastsoy-{name}", {name: f"{package}.plugin"})
    return site.folder


def listed(*arguments: str, code: int = 0) -> list[tuple[str | int, ...]]:
    result = run("--json", *arguments)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False)
    return [tuple(row[key] for key in SAME) for row in json.loads(result.stdout)]


def test_the_static_list_of_the_business_packages_is_the_list(business: Path) -> None:
    expected = listed("--path", str(business))
    assert len(expected) == 3
    assert listed("--static", "--path", str(business)) == expected
    assert run("--static", "--path", str(business)).stdout == run("--path", str(business)).stdout
    result = run("--static", "--diff", "--json", "--path", str(business))
    assert (result.returncode, json.loads(result.stdout)) == (
        0,
        {"schema": 1, "only_static": [], "only_registered": []},
    )


@pytest.mark.parametrize("file", ["handlers.py", "__init__.py"])
def test_the_static_list_stays_the_same_where_an_import_fails(business: Path, file: str) -> None:
    expected = listed("--static", "--path", str(business))
    broken = business / "fastsoy_notify" / file
    future, rest = "from __future__ import annotations\n", "import a_module_that_nobody_has\n"
    text = broken.read_text(encoding="utf-8")
    broken.write_text(text.replace(future, future + rest) if future in text else text + rest, encoding="utf-8")
    assert [row[2] for row in listed("--path", str(business), code=1)] == ["audit", "audit"]
    assert listed("--static", "--path", str(business)) == expected
    result = run("--static", "--diff", "--json", "--path", str(business))
    differing = json.loads(result.stdout)
    assert (result.returncode, differing["only_registered"]) == (1, [])
    assert [row["plugin"] for row in differing["only_static"]] == ["notify"]


def test_a_syntax_error_in_another_module_leaves_the_rest(business: Path) -> None:
    expected = listed("--path", str(business))
    (business / "fastsoy_notify" / "mail.py").write_text("def mail(:\n", encoding="utf-8")
    assert listed("--static", "--path", str(business), code=1) == expected
    result = run("--static", "--path", str(business))
    assert "mail.py: line 1: invalid syntax" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_options_select_as_they_do_for_the_list(business: Path) -> None:
    for options in (
        ("--allow", "fastsoy_notify", "--allow", "fastsoy-audit", "--disable", "nobody"),
        ("--order", "notify", "--disable", "hr", "employee.c*"),
    ):
        expected = run("--json", "--path", str(business), *options)
        found = run("--json", "--static", "--path", str(business), *options)
        assert found.stdout == expected.stdout
        assert sorted(found.stderr.splitlines()) == sorted(expected.stderr.splitlines())
    blocked = run("--static", "--path", str(business), FASTSOY_EVENTS_ALLOWED="")
    assert (blocked.returncode, blocked.stdout) == (0, "")
    assert "blocked" in blocked.stderr


def test_a_folder_may_be_relative(business: Path) -> None:
    assert run("--static", "--path", "site", folder=business.parent).stdout.count("\n") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--static", "--app", "shop"), "leave out --app"),
        (("--static", "--diff", "--app", "shop"), "leave out --app"),
        (("--diff",), "write --static --diff"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_pattern_that_fits_no_event_names_the_nearest(business: Path) -> None:
    result = run("--static", "--path", str(business), "employe.*")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no event matches 'employe.*'; the nearest is 'employee.created'" in result.stderr


def test_the_static_list_imports_no_plugin(site: Site) -> None:
    source = """
        import sys
        from pathlib import Path
        from fastsoy_events import on
        Path(__file__).with_suffix(".ran").touch()
        @on("order.placed")
        def placed(**payload): ...
        sys.exit(3)
    """
    site.install("acme", {"main": "acme.plugin"}, {**acme(plugin=source), "acme.__init__": "raise SystemExit(4)"})
    rows_found = json.loads(run("--static", "--json", "--path", str(site.folder)).stdout)
    assert [row["handler"] for row in rows_found] == ["acme.plugin.placed"]
    assert not (site.folder / "acme" / "plugin.ran").exists()


def test_what_is_left_out_is_said(site: Site) -> None:
    source = """
        import importlib, os
        from fastsoy_events import on
        importlib.import_module(os.environ["PLUGIN"])
        @on(os.environ["EVENT"])
        def heard(**payload): ...
        @on("order.placed")
        def placed(**payload): ...
    """
    left = 'from fastsoy_events import on\n@on("a.left")\ndef left(**payload): ...\n'
    site.install("acme", {"main": "acme.plugin"}, acme(plugin=source, left=left, left_too=f"{left}\n{left}"))
    result = run("--static", "--path", str(site.folder))
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:]] == [["1", "order.placed"], ["1", "dynamic"]]
    assert result.stderr.splitlines() == [
        "note: acme.plugin imports modules that its source does not name: their handlers may be missing here",
        "note: 1 handler does not register: no module that a plugin loads imports acme.left",
        "note: 2 handlers do not register: no module that a plugin loads imports acme.left_too",
    ]
    result = run("--static", "--path", str(site.folder), "order.*")
    assert "1 more may match: their source does not tell the event. 'dynamic' lists them" in result.stderr
    assert run("--static", "--path", str(site.folder), "dynamic").stdout.count("\n") == 2


def test_broken_metadata_is_said_and_the_rest_is_listed(site: Site) -> None:
    site.install("acme", {"main": "acme.plugin"}, acme(plugin=BUS_AGAIN))
    site.install("broken", b"[fastsoy.event_handlers]\nno equals\n")
    result = run("--static", "--path", str(site.folder))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0].startswith("error: ")
    assert result.stderr.splitlines()[-1] == "note: no plugin's source has a handler"


@pytest.fixture
def differing(site: Site) -> Site:
    """A plugin that registers something behind its source's back, and says something that does not register."""
    source = """
        import fastsoy_events
        class on: pass
        getattr(fastsoy_events, "on")("order.placed")(lambda **payload: None)
    """
    site.install("acme", {"main": "acme.plugin"}, acme(plugin=source))
    site.install("zeta", {"z": "zeta"}, {"zeta": AND_FAILS})
    return site


def test_differences_are_shown_in_both_directions(differing: Site) -> None:
    result = run("--static", "--diff", "--path", str(differing.folder))
    assert result.returncode == 1
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["only", "in", "event", "handler", "plugin", "kind", "source"]
    assert [line.split()[:4] for line in lines] == [
        ["source", "order.placed", "zeta.placed", "z"],
        ["bus", "order.placed", "acme.plugin.<lambda>", "main"],
    ]
    found = json.loads(run("--static", "--diff", "--json", "--path", str(differing.folder)).stdout)
    assert list(found) == ["schema", "only_static", "only_registered"]
    assert [row["handler"] for row in found["only_static"]] == ["zeta.placed"]
    assert [row["handler"] for row in found["only_registered"]] == ["acme.plugin.<lambda>"]
    filtered = run("--static", "--diff", "--path", str(differing.folder), "no.such")
    assert (filtered.returncode, filtered.stdout) == (1, "")  # a plugin failed all the same


@pytest.mark.parametrize(("width", "heading"), [(200, "only in"), (60, "only in the source")])
def test_differences_look_well_on_a_terminal(differing: Site, width: int, heading: str) -> None:
    arguments = ("--static", "--diff", "--path", str(differing.folder))
    shown = command_line.on_terminal(None, "list", *arguments, width=width)
    assert heading in shown
    assert "zeta.placed" in shown.replace("\x1b[0m", "").replace("\x1b[1m", "")


def test_a_stable_id_is_that_of_the_list(site: Site) -> None:
    source = """
        from fastsoy_events import on
        @on("order.placed", id="mail.send")
        def placed(**payload): ...
    """
    site.install("acme", {"main": "acme.plugin"}, {**acme(plugin=source), "acme.__init__": ""})
    static = run("--static", "--json", "--path", str(site.folder))
    assert [row["id"] for row in json.loads(static.stdout)] == ["acme:main:mail.send"]
    assert run("--json", "--path", str(site.folder)).stdout == static.stdout
    assert "acme.plugin.placed [mail.send]" in run("--static", "--path", str(site.folder)).stdout
    assert run("--static", "--diff", "--path", str(site.folder)).returncode == 0
