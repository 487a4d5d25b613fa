"""Loading: what is imported and what is not, whose a module is, and that nothing is left half done."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import importlib.util
import logging
import os
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from time import perf_counter
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pluggy
import pytest

from fastsoy_events import (
    AlreadyLoadedError,
    EventNameWarning,
    EventsError,
    LoadReport,
    PluginError,
    PluginLoadError,
    RegistrationError,
    UnknownPluginError,
    _plugin_bus,
    bus,
    discover,
    emit,
    handlers,
    hookspec,
    load_plugins,
    on,
    plugins,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from conftest import Site

EVENT = "order.placed"
HANDLER = f"""
from fastsoy_events import on

@on("{EVENT}")
def handle(calls=None):
    if calls is not None:
        calls.append(__name__)
"""
BOMB = "raise SystemExit(f'{__name__} was imported')\n"


def load(site: Site, **arguments: Any) -> LoadReport:
    return load_plugins(path=[site.folder], **arguments)


def ids() -> list[str]:
    return [handler.id for handler in handlers()]


def owners() -> dict[str, str]:
    """Return the plugin of each handler's module; the host's is empty."""
    return {handler.module: handler.plugin for handler in handlers()}


def statuses(report: LoadReport) -> dict[str, str]:
    return {plugin.id: plugin.status for plugin in report.plugins}


def served() -> list[str]:
    """Emit, and return the modules of the handlers that ran."""
    calls: list[str] = []
    asyncio.run(emit(EVENT, calls=calls)).raise_if_any()
    return calls


def install(site: Site, *names: str) -> None:
    """Install distributions `acme-NAME`, each with one plugin NAME in one module."""
    for name in names:
        site.install(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": HANDLER})


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    records = (record for record in caplog.records if record.name == "fastsoy_events" and record.levelno == level)
    return [record.getMessage() for record in records]


# What a load gives


def test_plugins_are_imported_and_their_handlers_serve(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    install(site, "stock", "mail")
    report = load(site)
    assert statuses(report) == {"acme-mail:mail": "loaded", "acme-stock:stock": "loaded"}
    assert report.failures == report.warnings == ()
    assert served() == ["acme_mail", "acme_stock"]
    assert report.plugins == plugins()
    assert [handler for plugin in report.plugins for handler in plugin.handlers] == list(handlers())
    assert caplog.records == []


def test_the_records_say_where_everything_comes_from(site: Site) -> None:
    source = """
        from fastsoy_events import on

        @on("order.placed")
        async def first(**payload): ...

        class Later:
            @staticmethod
            @on("order.refunded")
            @on("order.placed")
            def second(**payload): ...
    """
    site.install(
        "Acme_Mail",
        {"mail": "acme_mail.handlers"},
        {"acme_mail.__init__": "", "acme_mail.handlers": source},
        version="2.1",
    )
    [plugin] = load(site).plugins
    assert (plugin.name, plugin.distribution, plugin.version) == ("mail", "acme-mail", "2.1")
    assert (plugin.module, plugin.status, plugin.error) == ("acme_mail.handlers", "loaded", None)
    assert 0 < plugin.import_seconds < 60
    rows = [(each.event, each.position, each.qualname, each.is_async, each.kind) for each in plugin.handlers]
    assert rows == [
        ("order.placed", 0, "first", True, "async"),
        ("order.placed", 1, "Later.second", False, "sync"),
        ("order.refunded", 0, "Later.second", False, "sync"),
    ]
    for handler in plugin.handlers:
        assert (handler.plugin, handler.distribution, handler.version) == ("mail", "acme-mail", "2.1")
        assert handler.module == "acme_mail.handlers"
        assert handler.id == f"acme-mail:mail:acme_mail.handlers:{handler.qualname}"
    file = site.folder / "acme_mail" / "handlers.py"
    assert [each.source for each in plugin.handlers] == [f"{file}:4", f"{file}:8", f"{file}:8"]


def test_the_records_are_frozen(site: Site) -> None:
    install(site, "mail")
    report = load(site)
    records = {"failures": report, "status": report.plugins[0], "position": report.plugins[0].handlers[0]}
    for field, record in records.items():
        with pytest.raises(AttributeError):
            setattr(record, field, "changed")
        assert not hasattr(record, "__dict__")


def test_modules_are_imported_in_plugin_order(site: Site) -> None:
    source = "import sys\nsys.modules.setdefault('acme_imported', []).append(__name__)\n"
    for name in ("c", "a", "b"):
        site.install(f"acme-{name}", {"only": f"acme_{name}"}, {f"acme_{name}": source})
    sys.modules["acme_imported"] = imported = []  # type: ignore[assignment]
    load(site, order=["acme-c"])
    assert imported == ["acme_c", "acme_a", "acme_b"]


def test_nothing_installed_is_no_error(site: Site) -> None:
    report = load(site, strict=True)
    assert report.plugins == report.failures == report.warnings == ()
    assert len(report.fingerprint) == 12


def test_an_attribute_is_resolved_and_never_called(site: Site) -> None:
    source = f"{HANDLER}\nclass Setup:\n    @staticmethod\n    def run(): raise SystemExit('called')\n"
    targets = {"a": "acme_a:handle", "b": "acme_b:Setup.run", "c": "acme_c:Setup"}
    site.install("acme", targets, {"acme_a": source, "acme_b": source, "acme_c": source})
    assert set(statuses(load(site)).values()) == {"loaded"}
    assert served() == ["acme_a", "acme_b", "acme_c"]


@pytest.mark.parametrize("attribute", ["absent", "handle.absent"])
def test_a_missing_attribute_fails_the_plugin(site: Site, attribute: str) -> None:
    site.install("acme", {"mail": f"acme_mail:{attribute}"}, {"acme_mail": HANDLER})
    report = load(site)
    [error] = report.failures
    assert f"the module has no attribute {attribute}, which the entry point names" in str(error)
    assert isinstance(error.__cause__, AttributeError)
    assert served() == []


def test_an_attribute_that_raises_when_it_is_read_fails_the_plugin(site: Site) -> None:
    source = f"{HANDLER}\ndef __getattr__(name): raise RuntimeError('not today')\n"
    site.install("acme", {"mail": "acme_mail:lazy"}, {"acme_mail": source})
    [error] = load(site).failures
    assert "RuntimeError: not today" in str(error)


def test_submodules_that_nobody_imports_do_not_register(site: Site) -> None:
    site.install("acme", {"mail": "acme"}, {"acme.__init__": HANDLER, "acme.forgotten": HANDLER})
    load(site)
    assert served() == ["acme"]
    assert "acme.forgotten" not in sys.modules


def test_a_module_that_was_imported_before_takes_part_as_its_plugins(site: Site) -> None:
    install(site, "mail")
    module = importlib.import_module("acme_mail")
    assert ids() == ["host:acme_mail:handle"]
    [plugin] = load(site).plugins
    assert ids() == ["acme-mail:mail:acme_mail:handle"]
    assert plugin.import_seconds >= 0
    assert sys.modules["acme_mail"] is module


def test_a_plugin_may_import_another(site: Site) -> None:
    site.install("a", {"a": "plugin_a"}, {"plugin_a": f"import plugin_b\n{HANDLER}"})
    site.install("b", {"b": "plugin_b"}, {"plugin_b": HANDLER})
    load(site)
    assert served() == ["plugin_a", "plugin_b"]


# One module, several entry points


def test_one_module_named_by_two_entry_points_is_loaded_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme_mail", "post": "acme_mail"}, {"acme_mail": HANDLER})
    site.install("zeta", {"mail": "acme_mail"})
    report = load(site)
    assert set(statuses(report).values()) == {"loaded"}
    assert ids() == ["acme:mail:acme_mail:handle"]
    assert served() == ["acme_mail"]
    assert [len(plugin.handlers) for plugin in report.plugins] == [1, 0, 0]
    warnings = messages(caplog, logging.WARNING)
    assert list(report.warnings) == warnings
    assert "acme_mail is named by two entry points, acme:mail and acme:post: it is loaded once" in warnings[0]
    assert "acme:mail and zeta:mail" in warnings[1]


def test_the_second_entry_point_of_a_failed_module_fails_too(site: Site) -> None:
    site.install("acme", {"mail": "acme_mail", "post": "acme_mail"}, {"acme_mail": f"{HANDLER}\n1 / 0\n"})
    first, second = load(site).failures
    assert "ZeroDivisionError: division by zero" in str(first)
    assert "its module belongs to acme:mail, which comes first and is failed" in str(second)
    assert served() == []


@pytest.mark.parametrize("arguments", [{"disabled": ["acme"]}, {"allowed": ["zeta"]}])
def test_a_module_of_a_plugin_left_out_is_not_imported_for_a_later_one(site: Site, arguments: dict[str, Any]) -> None:
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": BOMB})
    site.install("zeta", {"mail": "acme_mail"})
    report = load(site, **arguments)
    assert statuses(report)["zeta:mail"] == "failed"
    assert "its module belongs to acme:mail, which comes first" in str(report.failures[0])
    assert "acme_mail" not in sys.modules


def test_the_second_entry_points_attribute_is_resolved_too(site: Site) -> None:
    site.install("acme", {"mail": "acme_mail", "post": "acme_mail:absent"}, {"acme_mail": HANDLER})
    report = load(site)
    assert statuses(report) == {"acme:mail": "loaded", "acme:post": "failed"}
    assert "no attribute absent" in str(report.failures[0])


def test_a_namesake_that_failed_has_no_handlers(site: Site) -> None:
    text = "[fastsoy.event_handlers]\nmail = acme_one\nmail = acme_two\nmail\n"
    site.install("acme", text, {"acme_one": HANDLER, "acme_two": HANDLER})
    report = load(site)
    by_status = {plugin.status: [each.module for each in plugin.handlers] for plugin in report.plugins}
    assert by_status == {"loaded": ["acme_one"], "failed": []}
    assert [len(plugin.handlers) for plugin in report.plugins if plugin.status == "failed"] == [0, 0]
    importlib.import_module("acme_two")
    assert served() == ["acme_one"]


@pytest.mark.parametrize(("old", "new"), [("a", "z"), ("z", "a")], ids=["old first", "new first"])
def test_a_module_that_stands_in_for_another_plugins_is_loaded_once(site: Site, old: str, new: str) -> None:
    alias = "import plugin_new, sys\nsys.modules[__name__] = plugin_new\n"
    site.install("acme", {old: "plugin_old", new: "plugin_new"}, {"plugin_old": alias, "plugin_new": HANDLER})
    report = load(site)
    assert set(statuses(report).values()) == {"loaded"}
    assert ids() == [f"acme:{new}:plugin_new:handle"]


# order=


def test_named_plugins_and_distributions_go_first_in_their_sequence(site: Site) -> None:
    install(site, "a", "b", "c", "d", "e")
    report = load(site, order=["e", "Acme_C", "acme-d:d"])
    assert [plugin.name for plugin in report.plugins] == ["e", "c", "d", "a", "b"]
    assert served() == ["acme_e", "acme_c", "acme_d", "acme_a", "acme_b"]


def test_a_distribution_named_first_brings_all_its_plugins(site: Site) -> None:
    site.install("zeta", {"b": "zeta_b", "a": "zeta_a"}, {"zeta_a": HANDLER, "zeta_b": HANDLER})
    install(site, "a")
    load(site, order=["zeta"])
    assert served() == ["zeta_a", "zeta_b", "acme_a"]


def test_a_plugin_of_a_distribution_may_go_before_its_siblings(site: Site) -> None:
    site.install("zeta", {"b": "zeta_b", "a": "zeta_a"}, {"zeta_a": HANDLER, "zeta_b": HANDLER})
    install(site, "a")
    load(site, order=["zeta:b", "acme-a"])
    assert served() == ["zeta_b", "acme_a", "zeta_a"]


def test_a_name_that_fits_several_plugins_puts_all_of_them_first(site: Site) -> None:
    site.install("b", {"mail": "b_mail"}, {"b_mail": HANDLER})
    site.install("a", {"other": "a_other"}, {"a_other": HANDLER})
    site.install("c", {"mail": "c_mail"}, {"c_mail": HANDLER})
    load(site, order=["mail", "c"])
    assert served() == ["b_mail", "c_mail", "a_other"]


# allowed=


def test_what_is_not_allowed_is_blocked_and_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    install(site, "mail")
    site.install("uninvited", {"a": "uninvited_a", "b": "uninvited_b"}, {"uninvited_a": BOMB, "uninvited_b": BOMB})
    report = load(site, allowed=["Acme_Mail"])
    assert statuses(report) == {"acme-mail:mail": "loaded", "uninvited:a": "blocked", "uninvited:b": "blocked"}
    assert report.failures == ()
    assert not {"uninvited_a", "uninvited_b"} & set(sys.modules)
    [warning] = messages(caplog, logging.WARNING)
    assert "Plugins of uninvited are blocked" in warning
    assert report.warnings == (warning,)


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        (None, None, ["a", "b", "c"]),
        (["acme-a", "acme-b"], None, ["a", "b"]),
        (None, "acme-b, Acme_C ,", ["b", "c"]),
        (["acme-a", "acme-b"], "acme-b,acme-c", ["b"]),
        ({"acme-a"}, "acme-b", []),
        ([], None, []),
        ((), "acme-a", []),
        (None, "", []),
        (["acme-a"], "", []),
        (None, " , ", []),
    ],
)
def test_the_argument_and_the_variable_narrow_each_other(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    argument: Sequence[str] | None,
    variable: str | None,
    expected: list[str],
) -> None:
    install(site, "a", "b", "c")
    if variable is not None:
        monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", variable)
    report = load(site, allowed=argument)
    assert [plugin.name for plugin in report.plugins if plugin.status == "loaded"] == expected
    assert {plugin.status for plugin in report.plugins if plugin.name not in expected} <= {"blocked"}
    assert served() == [f"acme_{name}" for name in expected]


def test_only_distributions_are_allowed_not_plugins(site: Site) -> None:
    install(site, "mail")
    assert statuses(load(site, allowed=["mail"])) == {"acme-mail:mail": "blocked"}


@pytest.mark.parametrize("arguments", [{"allowed": []}, {"disabled": ["broken"]}])
def test_what_is_left_out_does_not_fail(site: Site, arguments: dict[str, Any]) -> None:
    site.install("broken", "[fastsoy.event_handlers]\nmail\n")
    report = load(site, strict=True, **arguments)
    assert report.failures == ()
    assert {(plugin.status, plugin.error) for plugin in report.plugins} <= {("blocked", None), ("disabled", None)}


# disabled=


@pytest.mark.parametrize("name", ["mail", "acme-mail", "Acme_Mail", "acme-mail:mail"])
def test_what_is_disabled_is_not_imported(site: Site, caplog: pytest.LogCaptureFixture, name: str) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": BOMB})
    install(site, "stock")
    report = load(site, disabled=[name])
    assert statuses(report) == {"acme-mail:mail": "disabled", "acme-stock:stock": "loaded"}
    assert "acme_mail" not in sys.modules
    assert caplog.records == []


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        ((), "acme-a,b", ["c"]),
        (["c"], " Acme_A , ", ["b"]),
        ({"a"}, "", ["b", "c"]),
        (["acme-a:a"], "acme-a:a", ["b", "c"]),
    ],
)
def test_the_variable_adds_to_the_argument(
    site: Site, monkeypatch: pytest.MonkeyPatch, argument: Sequence[str], variable: str, expected: list[str]
) -> None:
    install(site, "a", "b", "c")
    monkeypatch.setenv("FASTSOY_EVENTS_DISABLED", variable)
    report = load(site, disabled=argument)
    assert [plugin.name for plugin in report.plugins if plugin.status == "loaded"] == expected
    assert served() == [f"acme_{name}" for name in expected]


def test_what_is_disabled_and_not_allowed_is_disabled(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    install(site, "mail")
    assert statuses(load(site, allowed=[], disabled=["mail"])) == {"acme-mail:mail": "disabled"}
    assert caplog.records == []


LAYOUTS = {
    "a module": ("plugin", ["plugin"]),
    "a package": ("plugin", ["plugin.__init__"]),
    "a module in a package": ("plugin.handlers", ["plugin.__init__", "plugin.handlers"]),
    "a module in a package in a package": ("plugin.a.b", ["plugin.__init__", "plugin.a.__init__", "plugin.a.b"]),
    "a module in a namespace": ("plugin.handlers", ["plugin.handlers"]),
    "a module in two namespaces": ("plugin.a.handlers", ["plugin.a.handlers"]),
    "a package in a namespace": ("plugin.a.handlers", ["plugin.a.__init__", "plugin.a.handlers"]),
    "a module in a folder of a package": ("plugin.a.handlers", ["plugin.__init__", "plugin.a.handlers"]),
    "a package in a folder of a package": ("plugin.a.b", ["plugin.__init__", "plugin.a.b.__init__"]),
}


@pytest.mark.parametrize("arguments", [{"disabled": ["left"]}, {"allowed": ["acme-mail"]}], ids=["disabled", "blocked"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_code_of_what_is_left_out_runs(site: Site, layout: str, arguments: dict[str, Any]) -> None:
    install(site, "mail")
    module, files = LAYOUTS[layout]
    site.install("left-out", {"left": module}, dict.fromkeys(files, BOMB))
    left_out = "disabled" if "disabled" in arguments else "blocked"
    assert statuses(load(site, **arguments)) == {"acme-mail:mail": "loaded", "left-out:left": left_out}
    assert not {file.removesuffix(".__init__") for file in files} & set(sys.modules)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_its_layout_a_plugin_loads(site: Site, layout: str) -> None:
    module, files = LAYOUTS[layout]
    sources = {file: HANDLER if file.removesuffix(".__init__") == module else "" for file in files}
    site.install("acme", {"mail": module}, sources)
    assert statuses(load(site)) == {"acme:mail": "loaded"}
    assert served() == [module]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_its_layout_a_plugin_that_raises_fails_alone(site: Site, layout: str) -> None:
    install(site, "mail")
    module, files = LAYOUTS[layout]
    site.install("broken", {"left": module}, dict.fromkeys(files, "raise RuntimeError('no')\n"))
    assert statuses(load(site)) == {"acme-mail:mail": "loaded", "broken:left": "failed"}
    assert served() == ["acme_mail"]


# Names that fit nothing


@pytest.mark.parametrize(
    ("argument", "name", "nearest"),
    [
        ("order", "stok", "Did you mean 'stock'?"),
        ("order", "acme-stok", "Did you mean 'acme-stock'?"),
        ("disabled", "acme_stok", "Did you mean 'acme-stock'?"),
        ("disabled", "Stok", "Did you mean 'stock'?"),
        ("allowed", "acme-stok", "Did you mean 'acme-stock'?"),
        ("order", "xyz", "Found: acme-mail, acme-stock, mail, stock."),
        ("allowed", "xyz", "Found: acme-mail, acme-stock."),
    ],
)
def test_an_unknown_name_is_a_warning_with_the_nearest(
    site: Site, caplog: pytest.LogCaptureFixture, argument: str, name: str, nearest: str
) -> None:
    install(site, "mail", "stock")
    known = ["acme-mail", "acme-stock"]
    report = load(site, **{argument: [name, *(known if argument == "allowed" else [])]})
    [warning] = messages(caplog, logging.WARNING)
    assert report.warnings == (warning,)
    assert f"{argument} names {name!r}, but no " in warning
    assert warning.endswith(nearest)
    assert set(statuses(report).values()) == {"loaded"}


@pytest.mark.parametrize(
    ("variable", "option"), [("FASTSOY_EVENTS_ALLOWED", "--allow"), ("FASTSOY_EVENTS_DISABLED", "--disable")]
)
def test_an_unknown_name_in_a_variable_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, option: str
) -> None:
    install(site, "mail")
    monkeypatch.setenv(variable, "acme-nail")
    load(site)
    assert f"{variable} (or {option}) names 'acme-nail'" in caplog.text
    assert "Did you mean 'acme-mail'?" in caplog.text


def test_an_unknown_name_where_nothing_is_installed_says_so(site: Site) -> None:
    [warning] = load(site, order=["mail"]).warnings
    assert warning == "order names 'mail', but no plugin or distribution of that name was found. Found: none."


def test_strictly_an_unknown_name_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "mail", "stock")
    monkeypatch.setenv("FASTSOY_EVENTS_DISABLED", "stok")
    with pytest.raises(PluginLoadError) as raised:
        load(site, order=["nail"], strict=True)
    assert [type(error) for error in raised.value.exceptions] == [UnknownPluginError, UnknownPluginError]
    texts = [str(error) for error in raised.value.exceptions]
    assert "order names 'nail'" in texts[0]
    assert "Did you mean 'mail'?" in texts[0]
    assert "FASTSOY_EVENTS_DISABLED (or --disable) names 'stok'" in texts[1]
    assert served() == ["acme_mail", "acme_stock"]
    assert raised.value.report.failures == ()


# What is no collection


@pytest.mark.parametrize("argument", ["path", "order", "allowed", "disabled"])
@pytest.mark.parametrize("value", ["acme", b"acme", Path("acme")])
def test_one_value_in_place_of_several_is_refused(site: Site, argument: str, value: object) -> None:
    arguments: Any = {argument: value}
    with pytest.raises(TypeError, match=rf"{argument} takes several values: write {argument}=\["):
        load_plugins(**arguments)
    assert bus.plugins() == ()


def test_a_set_in_place_of_a_sequence_is_refused(site: Site) -> None:
    order: Any = {"b", "a"}
    with pytest.raises(TypeError, match=r"write order=\['a', 'b'\]"):
        load(site, order=order)


# path=


def test_the_folders_are_first_on_the_path_only_while_loading(site: Site, tmp_path: Path) -> None:
    other = type(site)(tmp_path / "other")
    other.folder.mkdir()
    source = f"import sys\nPATH = list(sys.path)\n{HANDLER}"
    site.install("stale", {"stale": "acme_mail"}, {"acme_mail": BOMB})
    other.install("acme", {"mail": "acme_mail"}, {"acme_mail": source})
    before = list(sys.path)
    report = load_plugins(path=[other.folder, str(tmp_path / "absent")])
    assert statuses(report) == {"acme:mail": "loaded"}
    while_loading: list[str] = sys.modules["acme_mail"].PATH
    assert while_loading == [str(other.folder), str(tmp_path / "absent"), *before]
    assert sys.path == before
    assert served() == ["acme_mail"]


def test_a_folder_that_was_on_the_path_stays_there(site: Site, tmp_path: Path) -> None:
    install(site, "mail")
    sys.path[:] = [str(tmp_path), str(site.folder), *sys.path]
    before = list(sys.path)
    load(site)
    assert sys.path == before


def test_a_relative_folder_is_one_of_the_current_folder(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "mail")
    source = "import os, tempfile\nos.chdir(tempfile.gettempdir())\n"
    site.install("aaa", {"first": "aaa"}, {"aaa": source})  # a plugin that goes elsewhere
    monkeypatch.chdir(site.folder.parent)
    sys.path.remove(str(site.folder))
    assert set(statuses(load_plugins(path=["site"])).values()) == {"loaded"}


def test_plugins_that_change_the_path_themselves_stop_nothing(site: Site) -> None:
    site.install("aaa", {"first": "aaa"}, {"aaa": "import sys\nsys.path.append('/added')\n"})
    site.install("zzz", {"last": "zzz"}, {"zzz": f"import sys\nsys.path.remove({str(site.folder)!r})\n"})
    sys.path.remove(str(site.folder))
    before = list(sys.path)
    assert set(statuses(load(site)).values()) == {"loaded"}
    assert sys.path == [*before, "/added"]


def test_what_was_installed_since_the_start_is_found(site: Site) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("acme_late")
    (site.folder / "acme_late.py").write_text(HANDLER)  # the import system has the old listing in its cache
    info = site.folder / "acme_late-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: acme-late\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fastsoy.event_handlers]\nlate = acme_late\n")
    os.utime(site.folder, (1, 1))
    assert statuses(load(site)) == {"acme-late:late": "loaded"}


def test_without_a_path_plugins_on_the_path_of_python_are_loaded(site: Site) -> None:
    install(site, "mail")
    report = load_plugins(allowed=["acme-mail"])
    assert statuses(report)["acme-mail:mail"] == "loaded"
    assert served() == ["acme_mail"]


def test_a_plugin_in_a_zip_file_is_loaded(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "plugins.zip"
    with ZipFile(file, "w") as archive:
        archive.writestr("acme-1.0.dist-info/METADATA", "Name: acme\nVersion: 1.0\n")
        archive.writestr("acme-1.0.dist-info/entry_points.txt", "[fastsoy.event_handlers]\nmail = acme_zip.mail\n")
        archive.writestr("acme_zip/__init__.py", HANDLER)
        archive.writestr("acme_zip/mail.py", HANDLER)
    assert statuses(load_plugins(path=[file])) == {"acme:mail": "loaded"}
    assert served() == ["acme_zip.mail", "acme_zip"]
    assert set(owners().values()) == {"mail"}


# Failures


def test_a_failure_names_everything_and_loading_goes_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    install(site, "a", "z")
    site.install("Acme_Broken", {"shop": "acme_broken"}, {"acme_broken": f"{HANDLER}\n1 / 0\n"}, version="3.2")
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    [error] = report.failures
    plugin = report.plugins[1]
    assert plugin.error is error
    assert type(error) is PluginError
    place = (error.distribution, error.version, error.entry_point, error.module)
    assert place == ("acme-broken", "3.2", "shop", "acme_broken")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.reason == "importing it raised ZeroDivisionError: division by zero"
    assert str(error) == (
        "Plugin failed: acme-broken 3.2 / entry point shop / module acme_broken: "
        "importing it raised ZeroDivisionError: division by zero"
    )
    assert plugin.import_seconds > 0
    assert plugin.handlers == ()
    [record] = [record for record in caplog.records if record.name == "fastsoy_events"]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, str(error))
    assert record.exc_info is not None
    assert record.exc_info[1] is error.__cause__  # with its traceback
    assert served() == ["acme_a", "acme_z"]


REASONS = {
    "raise RuntimeError('no mail server')": (RuntimeError, "importing it raised RuntimeError: no mail server"),
    "raise RuntimeError": (RuntimeError, "importing it raised RuntimeError"),
    "raise ValueError('two\\nlines')": (ValueError, "importing it raised ValueError: two\nlines"),
    "import not_installed": (ModuleNotFoundError, "importing it raised ModuleNotFoundError: No module named"),
    "from os import not_in_os": (ImportError, "importing it raised ImportError: cannot import name 'not_in_os'"),
    "def f(:": (SyntaxError, "importing it raised SyntaxError: "),
    "import sys; sys.exit()": (SystemExit, "importing it ended with SystemExit"),
    "import sys; sys.exit(3)": (SystemExit, "SystemExit: 3: a module must not exit when it is imported"),
    "undefined": (NameError, "importing it raised NameError: name 'undefined' is not defined"),
    "def f(): f()\nf()": (RecursionError, "importing it raised RecursionError: maximum recursion depth exceeded"),
    "on('order.placed')(3)": (RegistrationError, "importing it raised RegistrationError: "),
    "@on\ndef handle(): ...": (RegistrationError, "importing it raised RegistrationError: "),
    "raise ExceptionGroup('several', [ValueError(1)])": (ExceptionGroup, "importing it raised ExceptionGroup: several"),
    "import sys; del sys.modules[__name__]; raise OSError": (OSError, "importing it raised OSError"),
    "import sys; del sys.modules[__name__]": (KeyError, "importing it raised KeyError: "),
    "import fastsoy_events; fastsoy_events.load_plugins()": (
        AlreadyLoadedError,
        "load_plugins() was called by a module that it is importing",
    ),
}


@pytest.mark.parametrize("code", REASONS)
def test_whatever_an_import_raises_is_one_plugins_failure(site: Site, code: str) -> None:
    cause, reason = REASONS[code]
    install(site, "a", "z")
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": HANDLER + "\n" + code})
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    assert reason in str(report.failures[0])
    assert type(report.failures[0].__cause__) is cause
    assert served() == ["acme_a", "acme_z"]


def test_an_error_that_cannot_be_put_in_words_is_one_plugins_failure(site: Site) -> None:
    install(site, "a", "z")
    source = "class Silent(Exception):\n    def __str__(self): raise RuntimeError('no words')\nraise Silent\n"
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": source})
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    assert "Silent" in str(report.failures[0])


@pytest.mark.parametrize("module", ["absent", "absent.handlers", "acme_a.absent", "json.absent"])
def test_a_missing_module_fails_the_plugin(site: Site, module: str) -> None:
    install(site, "a", "z")
    site.install("acme-b", {"b": module})
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    assert "there is no such module (ModuleNotFoundError: No module named" in str(report.failures[0])
    assert "Correct the entry point, or install the distribution anew" in str(report.failures[0])


def test_a_package_that_raises_fails_the_plugin_in_it(site: Site) -> None:
    site.install("acme", {"mail": "acme.mail"}, {"acme.__init__": "1 / 0\n", "acme.mail": HANDLER})
    [error] = load(site).failures
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_failures_come_in_plugin_order(site: Site) -> None:
    site.install("b", {"b": "absent_b"})
    site.install("a", "[fastsoy.event_handlers]\nz =\n")
    site.install("c", b"[fastsoy.event_handlers]\n\xff")
    report = load(site, order=["b"])
    assert [error.distribution for error in report.failures] == ["b", "a", "c"]
    assert [plugin.distribution for plugin in report.plugins] == ["b", "a", "c"]


def test_an_import_finder_that_raises_fails_only_what_it_is_asked_for(site: Site) -> None:
    class Raising:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith("shared_namespace"):
                raise RuntimeError("the finder is broken")

    install(site, "a", "z")
    site.install("acme-b", {"b": "shared_namespace.handlers"}, {"shared_namespace.handlers": HANDLER})
    sys.meta_path.insert(0, Raising())
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    assert "the finder is broken" in str(report.failures[0])


class Importer:
    """Modules that lie in no file, as some packagers make them."""

    def __init__(self, sources: Mapping[str, str], packages: Sequence[str]) -> None:
        self.sources = sources
        self.packages = packages

    def find_spec(self, name: str, *_: object) -> Any:
        if name not in self.sources:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=name in self.packages)  # type: ignore[arg-type]

    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        exec(self.sources[module.__name__], module.__dict__)  # noqa: S102 - this is what a loader does


def test_modules_that_lie_in_no_file_are_a_plugins_too(site: Site) -> None:
    sources = {"frozen": HANDLER, "frozen.handlers": f"import frozen.other\n{HANDLER}", "frozen.other": HANDLER}
    sys.meta_path.append(Importer(sources, ["frozen"]))
    site.install("acme", {"mail": "frozen.handlers"})
    load(site)
    assert served() == ["frozen.handlers", "frozen", "frozen.other"]
    assert owners() == dict.fromkeys(sources, "mail")


def test_a_package_that_lies_in_no_file_is_not_imported_when_it_is_left_out(site: Site) -> None:
    sys.meta_path.append(Importer({"frozen": BOMB, "frozen.handlers": BOMB}, ["frozen"]))
    site.install("acme", {"mail": "frozen.handlers"})
    assert statuses(load(site, allowed=[])) == {"acme:mail": "blocked"}
    assert "frozen" not in sys.modules


def test_a_namespace_whose_parent_was_taken_out_of_memory_stops_nothing(site: Site) -> None:
    install(site, "a", "z")
    site.install("acme-b", {"b": "outer.inner.handlers"}, {"outer.inner.handlers": HANDLER})
    importlib.import_module("outer.inner.handlers")
    del sys.modules["outer"]  # a test, or a tool that reloads, may leave it so
    assert set(statuses(load(site)).values()) == {"loaded"}
    assert served() == ["acme_a", "outer.inner.handlers", "acme_z"]


def test_a_plugin_that_takes_another_out_of_memory_stops_nothing(site: Site) -> None:
    site.install("a", {"a": "plugin_a"}, {"plugin_a": HANDLER})
    site.install("b", {"b": "plugin_b"}, {"plugin_b": f"import sys\ndel sys.modules['plugin_a']\n{HANDLER}"})
    site.install("c", {"c": "plugin_a:handle"})
    install(site, "z")
    report = load(site)
    assert statuses(report)["b:b"] == statuses(report)["acme-z:z"] == "loaded"
    assert "plugin_b" in served()


# strict=True


def test_strictly_all_failures_are_raised_together_after_all_were_tried(site: Site) -> None:
    install(site, "a", "z")
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": f"{HANDLER}\n1 / 0\n"})
    site.install("acme-c", "[fastsoy.event_handlers]\nbroken\n")
    with pytest.raises(PluginLoadError) as raised:
        load(site, strict=True)
    group = raised.value
    assert isinstance(group, ExceptionGroup)
    assert isinstance(group, EventsError)
    assert [type(error) for error in group.exceptions] == [PluginError, PluginError]
    assert [error.distribution for error in group.exceptions if isinstance(error, PluginError)] == ["acme-b", "acme-c"]
    assert isinstance(group.exceptions[0].__cause__, ZeroDivisionError)
    assert list(statuses(group.report).values()) == ["loaded", "failed", "failed", "loaded"]
    assert group.report.failures == group.exceptions
    assert group.report.plugins == plugins()
    assert served() == ["acme_a", "acme_z"]


def test_strictly_failures_are_logged_as_well(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"a": "absent"})
    with pytest.raises(PluginLoadError):
        load(site, strict=True)
    assert len(messages(caplog, logging.ERROR)) == 1


def test_what_is_only_worth_a_warning_is_none_strictly_either(site: Site) -> None:
    install(site, "a", "b")
    site.install("acme-a", {"a": "acme_a"}, version="0.9")
    report = load(site, allowed=["acme-a"], strict=True)
    assert len(report.warnings) == 2


def test_after_a_strict_failure_every_call_raises_it_again_and_the_good_ones_serve(site: Site) -> None:
    install(site, "a")
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": f"{HANDLER}\n1 / 0\n"})
    with pytest.raises(PluginLoadError, match="could not be loaded: acme-b") as first:
        load(site, strict=True)
    for again in ({"path": [site.folder], "strict": True}, {}):
        with pytest.raises(PluginLoadError) as second:
            load_plugins(**again)
        assert second.value is first.value
    with pytest.raises(AlreadyLoadedError, match="strict=False, before True"):
        load(site, strict=False)
    assert served() == ["acme_a"]


# Called again


def test_called_again_it_returns_the_first_report(site: Site) -> None:
    install(site, "mail")
    first = load(site, order=["mail"], disabled=["acme-mail"], allowed=["acme-mail"])
    assert load_plugins() is first
    assert (
        load_plugins(path=(str(site.folder),), order=("mail",), disabled={"acme-mail"}, allowed={"acme-mail"}) is first
    )
    assert statuses(first) == {"acme-mail:mail": "disabled"}


@pytest.mark.parametrize(
    "other", [{"order": ["mail"]}, {"allowed": ["acme-mail"]}, {"disabled": ["mail"]}, {"strict": True}, {"path": []}]
)
def test_called_again_with_other_arguments_it_raises(site: Site, other: dict[str, Any]) -> None:
    install(site, "mail")
    first = load(site)
    with pytest.raises(AlreadyLoadedError, match="now with other arguments") as raised:
        load_plugins(**other)
    assert isinstance(raised.value, RuntimeError)
    assert load_plugins() is first
    assert served() == ["acme_mail"]


def test_called_by_several_threads_it_loads_once(site: Site) -> None:
    install(site, "mail")
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda _: load(site), range(8)))
    assert len({id(report) for report in reports}) == 1
    assert served() == ["acme_mail"]


def test_what_was_installed_later_is_not_found_by_a_second_call(site: Site) -> None:
    install(site, "a")
    load(site)
    install(site, "b")
    assert [plugin.name for plugin in load_plugins().plugins] == ["a"]


# What passes through


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError", "BaseException"])
def test_an_interruption_cleans_up_and_passes_and_a_later_load_works(site: Site, error: str) -> None:
    install(site, "a", "z")
    source = (
        f"import asyncio\nfrom pathlib import Path\nif Path(__file__).with_name('interrupt').exists(): raise {error}\n"
    )
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": HANDLER + source})
    (site.folder / "interrupt").touch()
    sys.path.remove(str(site.folder))
    before = list(sys.path)
    with pytest.raises(BaseException, match=r"^$") as raised:
        load(site)
    assert not isinstance(raised.value, Exception)
    assert sys.path == before
    assert ids() == served() == []
    assert {plugin.status for plugin in plugins()} <= {"discovered"}
    (site.folder / "interrupt").unlink()
    report = load(site, order=["z"])  # other arguments than before
    assert set(statuses(report).values()) == {"loaded"}
    assert served() == ["acme_z", "acme_a", "acme_b"]
    assert load_plugins() is report


def test_the_hosts_handlers_serve_after_an_interruption(site: Site) -> None:
    site.install("acme", {"b": "acme_b"}, {"acme_b": "raise KeyboardInterrupt\n"})
    calls: list[str] = []
    on(EVENT)(lambda calls: calls.append("host"))
    with pytest.raises(KeyboardInterrupt):
        load(site)
    asyncio.run(emit(EVENT, calls=calls)).raise_if_any()
    assert calls == ["host"]


# Rollback

RAISES = f"{HANDLER}\nraise RuntimeError('too late')\n"
LEFT_OUT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "raises at import": ("acme_b", RAISES, {}),
    "has no such attribute": ("acme_b:absent", HANDLER, {}),
    "is disabled": ("acme_b", HANDLER, {"disabled": ["b"]}),
    "is blocked": ("acme_b", HANDLER, {"allowed": ["acme-a", "acme-z"]}),
}


def import_by_hand(*modules: str) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except RuntimeError:
            assert module not in sys.modules


@pytest.mark.parametrize("kind", LEFT_OUT)
@pytest.mark.parametrize("when", ["before", "after", "before and after", "never"])
def test_a_plugin_that_is_left_out_never_takes_part(site: Site, kind: str, when: str) -> None:
    target, source, arguments = LEFT_OUT[kind]
    install(site, "a", "z")
    site.install("acme-b", {"b": target}, {"acme_b": source})
    if "before" in when:
        import_by_hand("acme_b")
    report = load(site, **arguments)
    if "after" in when:
        import_by_hand("acme_b")
    assert served() == ["acme_a", "acme_z"]
    assert ids() == ["acme-a:a:acme_a:handle", "acme-z:z:acme_z:handle"]
    assert [len(plugin.handlers) for plugin in plugins()] == [1, 0, 1]
    assert report.plugins == plugins()


def test_no_module_of_a_failed_plugin_takes_part(site: Site) -> None:
    modules = {
        "acme.__init__": HANDLER,
        "acme.other": HANDLER,
        "acme.unseen": HANDLER,
        "acme.handlers": f"import acme.other\n{RAISES}",
    }
    site.install("acme", {"mail": "acme.handlers"}, modules)
    load(site)
    assert {"acme", "acme.other"} <= set(sys.modules)  # they were imported, and stay
    import_by_hand("acme.unseen", "acme.handlers")
    assert ids() == []


def test_another_plugin_that_imports_a_disabled_one_does_not_bring_it_in(site: Site) -> None:
    site.install("a", {"a": "plugin_a"}, {"plugin_a": f"import plugin_b\n{HANDLER}"})
    site.install("b", {"b": "plugin_b"}, {"plugin_b": HANDLER})
    load(site, disabled=["b"])
    assert "plugin_b" in sys.modules
    assert served() == ["plugin_a"]


def test_no_handler_takes_part_before_all_plugins_are_loaded(site: Site) -> None:
    install(site, "a")
    source = "import asyncio\nfrom fastsoy_events import emit, handlers\nCALLS = []\n"
    source += f"asyncio.run(emit('{EVENT}', calls=CALLS))\nSEEN = handlers()\n"
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": source})
    load(site)
    assert (sys.modules["acme_b"].CALLS, sys.modules["acme_b"].SEEN) == ([], ())
    assert served() == ["acme_a"]


SHARED = "class Listener:\n    def __call__(self, calls): calls.append('shared')\nlistener = Listener()\n"
REGISTERS = f"from fastsoy_events import on\nfrom shared import listener\non('{EVENT}')(listener)\n"


@pytest.mark.parametrize("kind", ["raises at import", "is disabled"])
def test_what_a_plugin_shares_with_one_that_is_left_out_is_its_own(site: Site, kind: str) -> None:
    (site.folder / "shared.py").write_text(SHARED)
    site.install("a", {"a": "plugin_a"}, {"plugin_a": REGISTERS + ("1 / 0\n" if kind == "raises at import" else "")})
    site.install("b", {"b": "plugin_b"}, {"plugin_b": REGISTERS})
    if kind == "is disabled":
        importlib.import_module("plugin_a")
    load(site, disabled=["a"] if kind == "is disabled" else [])
    assert ids() == ["b:b:plugin_b:Listener"]
    assert served() == ["shared"]


def test_a_broken_line_costs_the_good_plugins_of_its_distribution_no_handler(site: Site) -> None:
    modules = {"acme_one": f"import acme_common\n{HANDLER}", "acme_common": HANDLER}
    text = "[fastsoy.event_handlers]\nmail = acme_one\n"
    info = site.install("acme", text, modules)
    (info / "RECORD").write_text("acme_one.py,,\nacme_common.py,,\nacme-1.0.dist-info/RECORD,,\n")
    with bus.isolated():
        load(site)
        good = ids()
    (info / "entry_points.txt").write_text(f"{text}broken\nmail = acme_two\n")
    for name in modules:
        del sys.modules[name]
    assert len(load(site).failures) == 2
    assert ids() == good


RECORDS = {
    "a module": ["broken_one.py"],
    "a package": ["broken_one/__init__.py", "broken_one/sub/__init__.py", "broken_one/sub/module.py"],
    "a package in a namespace": ["company/broken_one/__init__.py", "company/broken_one/module.py"],
    "a module in a namespace": ["company/broken_one.py"],
}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("contents", [b"[fastsoy.event_handlers]\nbroken\n", b"[fastsoy.event_handlers]\n\xff"])
def test_what_a_broken_distribution_installed_never_takes_part(site: Site, kind: str, contents: bytes) -> None:
    install(site, "a")
    modules = [file.removesuffix(".py").replace("/", ".") for file in RECORDS[kind]]
    others = ["company.other", "broken_one_more"]
    info = site.install("broken", contents, dict.fromkeys([*modules, *others], HANDLER))
    (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in [*RECORDS[kind], "../../bin/run.py"]))
    load(site)
    import_by_hand(*(module.removesuffix(".__init__") for module in modules))
    assert served() == ["acme_a"]
    import_by_hand(*others)  # which it did not install
    assert served() == [*others, "acme_a"]


def test_a_broken_distribution_whose_record_cannot_be_read_is_one_failure(site: Site) -> None:
    install(site, "a")
    info = site.install("broken", "[fastsoy.event_handlers]\nbroken\n")
    (info / "RECORD").mkdir()
    assert statuses(load(site)) == {"acme-a:a": "loaded", "broken:broken": "failed"}


def test_what_a_broken_distribution_installed_may_be_a_good_ones(site: Site) -> None:
    info = site.install("broken", "[fastsoy.event_handlers]\nbroken\n")
    (info / "RECORD").write_text("shop/__init__.py,,\nshop/other.py,,\n")
    modules = {"shop.__init__": "", "shop.handlers": f"import shop.other\n{HANDLER}", "shop.other": HANDLER}
    site.install("good", {"shop": "shop.handlers"}, modules)
    load(site)
    assert served() == ["shop.handlers", "shop.other"]


def test_a_failed_module_that_is_repaired_and_imported_stays_out(site: Site) -> None:
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": RAISES})
    load(site)
    (site.folder / "acme_mail.py").write_text(HANDLER)
    importlib.invalidate_caches()
    importlib.import_module("acme_mail")
    assert ids() == []


def test_a_plugin_imported_under_a_second_name_counts_once_with_a_warning(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", {"mail": "acme.mail"}, {"acme.__init__": "", "acme.mail": HANDLER})
    load(site)
    sys.path.insert(0, str(site.folder / "acme"))
    importlib.import_module("mail")
    assert served() == ["acme.mail"]
    assert "is imported under several names, acme.mail and mail" in caplog.text


def test_so_does_one_that_was_imported_under_the_second_name_before(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", {"mail": "acme.mail"}, {"acme.__init__": "", "acme.mail": HANDLER})
    sys.path.insert(0, str(site.folder / "acme"))
    importlib.import_module("mail")
    load(site)
    assert served() == ["acme.mail"]
    assert "is imported under several names" in caplog.text


# Whose a module is

OWNERSHIP: dict[str, tuple[dict[str, str], list[str], dict[str, str]]] = {
    "a package has all in it, and nothing whose name only begins like it": (
        {"mail": "acme"},
        ["acme.__init__", "acme.a", "acme.sub.__init__", "acme.sub.deep", "acmes", "acme_more"],
        {"acme": "mail", "acme.a": "mail", "acme.sub": "mail", "acme.sub.deep": "mail", "acmes": "", "acme_more": ""},
    ),
    "a module in a package brings the package": (
        {"mail": "acme.handlers"},
        ["acme.__init__", "acme.handlers", "acme.other", "acme.sub.__init__", "acme.sub.deep"],
        dict.fromkeys(["acme.handlers", "acme", "acme.other", "acme.sub", "acme.sub.deep"], "mail"),
    ),
    "a package in a package does not bring the outer one": (
        {"mail": "acme.handlers"},
        ["acme.__init__", "acme.handlers.__init__", "acme.handlers.a", "acme.other"],
        {"acme": "", "acme.other": "", "acme.handlers": "mail", "acme.handlers.a": "mail"},
    ),
    "only the parent counts, no ancestor": (
        {"mail": "acme.events.handlers"},
        ["acme.__init__", "acme.events.__init__", "acme.events.handlers", "acme.events.other", "acme.other"],
        {
            "acme": "",
            "acme.other": "",
            **dict.fromkeys(["acme.events.handlers", "acme.events", "acme.events.other"], "mail"),
        },
    ),
    "a namespace is nobody's": (
        {"mail": "acme.handlers"},
        ["acme.handlers", "acme.other"],
        {"acme.handlers": "mail", "acme.other": ""},
    ),
    "nor is a namespace in a namespace": (
        {"mail": "acme.deep.handlers"},
        ["acme.deep.handlers", "acme.deep.other", "acme.other"],
        {"acme.deep.handlers": "mail", "acme.deep.other": "", "acme.other": ""},
    ),
    "a package in a namespace is its plugin's": (
        {"mail": "acme.mail.handlers", "post": "acme.post.handlers"},
        ["acme.mail.__init__", "acme.mail.handlers", "acme.post.__init__", "acme.post.handlers", "acme.other"],
        {
            **dict.fromkeys(["acme.mail", "acme.mail.handlers"], "mail"),
            **dict.fromkeys(["acme.post", "acme.post.handlers"], "post"),
            "acme.other": "",
        },
    ),
    "a folder without __init__ in a package is a namespace too": (
        {"mail": "acme.folder.handlers"},
        ["acme.__init__", "acme.folder.handlers", "acme.folder.other", "acme.other"],
        {"acme.folder.handlers": "mail", "acme.folder.other": "", "acme": "", "acme.other": ""},
    ),
    "a package in such a folder is its plugin's": (
        {"mail": "acme.folder.mail.handlers"},
        ["acme.__init__", "acme.folder.mail.__init__", "acme.folder.mail.handlers", "acme.folder.mail.other"],
        {
            "acme": "",
            **dict.fromkeys(["acme.folder.mail.handlers", "acme.folder.mail", "acme.folder.mail.other"], "mail"),
        },
    ),
    "the longest prefix wins": (
        {"a": "acme", "z": "acme.reports"},
        ["acme.__init__", "acme.a", "acme.reports.__init__", "acme.reports.b", "acme.reporting"],
        {"acme": "a", "acme.a": "a", "acme.reporting": "a", "acme.reports": "z", "acme.reports.b": "z"},
    ),
    "the entry point's module is a longer prefix than another's parent": (
        {"a": "acme.one", "z": "acme.two"},
        ["acme.__init__", "acme.one", "acme.two", "acme.three"],
        {"acme.one": "a", "acme.two": "z", "acme": "a", "acme.three": "a"},
    ),
    "a module's parent may be another plugin's own module": (
        {"z": "acme", "a": "acme.handlers"},
        ["acme.__init__", "acme.handlers", "acme.other"],
        {"acme": "a", "acme.handlers": "a", "acme.other": "a"},
    ),
}


@pytest.mark.parametrize("before", [False, True], ids=["imported after", "imported before"])
@pytest.mark.parametrize("kind", OWNERSHIP)
def test_whose_a_module_is(site: Site, kind: str, before: bool) -> None:
    entry_points, files, expected = OWNERSHIP[kind]
    site.install("acme", entry_points, dict.fromkeys(files, HANDLER))
    by_hand = [file.removesuffix(".__init__") for file in reversed(files)]
    if before:
        import_by_hand(*by_hand)
    load(site)
    import_by_hand(*by_hand)
    assert owners() == expected


def test_of_two_plugins_with_one_package_the_first_in_plugin_order_has_the_rest(site: Site) -> None:
    modules = {"shop.__init__": "", "shop.one": HANDLER, "shop.two": HANDLER, "shop.rest": HANDLER}
    site.install("a", {"one": "shop.one"}, modules)
    site.install("b", {"two": "shop.two"})
    load(site)
    import_by_hand("shop.rest")
    assert owners() == {"shop.one": "one", "shop.rest": "one", "shop.two": "two"}
    assert served() == ["shop.one", "shop.rest", "shop.two"]
    with bus.isolated():
        load(site, order=["b"])
        assert owners() == {"shop.one": "one", "shop.rest": "two", "shop.two": "two"}
        assert served() == ["shop.two", "shop.rest", "shop.one"]


def test_a_package_of_one_name_that_spreads_over_folders_is_a_namespace(site: Site, tmp_path: Path) -> None:
    other = type(site)(tmp_path / "other")
    other.folder.mkdir()
    site.install("a", {"a": "shop.a"}, {"shop.a": HANDLER})
    other.install("b", {"b": "shop.b.handlers"}, {"shop.b.__init__": "", "shop.b.handlers": HANDLER, "shop.c": HANDLER})
    report = load_plugins(path=[site.folder, other.folder])
    assert set(statuses(report).values()) == {"loaded"}
    sys.path.append(str(other.folder))
    import_by_hand("shop.c")
    assert owners() == {"shop.a": "a", "shop.b.handlers": "b", "shop.c": ""}


@pytest.mark.parametrize("module", ["2fa", "acme.2fa", "class"])
def test_a_module_whose_name_no_import_statement_can_write_is_its_plugins(site: Site, module: str) -> None:
    site.install("acme", {"second-factor": module}, {"acme.__init__": "", module: HANDLER})
    load(site)
    assert owners() in ({module: "second-factor"}, {})  # loaded, or refused; never the host's
    assert served() in ([module], [])


def test_a_function_belongs_to_the_module_that_it_says(site: Site) -> None:
    source = """
        from fastsoy_events import on
        from host_side import function
        on("order.placed")(function)
    """
    (site.folder / "host_side.py").write_text("def function(calls): calls.append('host')\n")
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": source})
    load(site)
    assert ids() == ["host:host_side:function"]


def test_anything_else_belongs_to_the_code_that_applies_on(site: Site) -> None:
    source = """
        from functools import partial
        from fastsoy_events import on
        from host_side import Bound, function
        on("order.placed")(partial(function, calls=[]))
        on("order.placed")(Bound().method)
        on("order.placed")(Bound())
    """
    (site.folder / "host_side.py").write_text(
        dedent("""
            def function(calls): ...
            class Bound:
                def method(self, calls): ...
                async def __call__(self, calls): ...
        """)
    )
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": source})
    load(site)
    assert owners() == {"acme_mail": "mail"}
    assert [(each.qualname, each.is_async) for each in handlers()] == [
        ("function", False),
        ("Bound.method", False),
        ("Bound", True),
    ]


def test_what_the_host_declares_in_no_plugins_module_is_the_hosts(site: Site) -> None:
    install(site, "mail")
    load(site)
    on(EVENT)(lambda **_: None)
    first, second = handlers(EVENT)
    assert (first.plugin, first.distribution, first.version) == ("", "", "")
    assert first.id.startswith(f"host:{__name__}:")
    assert second.plugin == "mail"


# Hooks


class Specifications:
    @hookspec
    def acme_routers(self, prefix: str) -> Any: ...

    @hookspec(firstresult=True)
    def acme_title(self) -> Any: ...


@pytest.fixture
def hooks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the host's hook specifications for one test."""
    bus.add_hookspecs(Specifications)


def implementing(body: str) -> str:
    return f"from fastsoy_events import hookimpl, on\n{HANDLER}\n{body}\n"


ROUTERS = "@hookimpl\ndef acme_routers(prefix): return f'{prefix}/{__name__}'\n"


@pytest.mark.usefixtures("hooks")
def test_results_come_in_plugin_order(site: Site) -> None:
    for name in ("c", "a", "b"):
        source = implementing(f"{ROUTERS}\n@hookimpl\ndef acme_title(): return __name__\n")
        site.install(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": source})
    load(site, order=["b"])
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_b", "/x/acme_a", "/x/acme_c"]
    assert bus.hook.acme_title() == "acme_b"
    assert served() == ["acme_b", "acme_a", "acme_c"]


@pytest.mark.usefixtures("hooks")
def test_every_loaded_module_is_registered_under_its_plugins_id(site: Site) -> None:
    site.install("acme", {"a": "acme_a", "b": "acme_b"}, {"acme_a": HANDLER, "acme_b": implementing(ROUTERS)})
    site.install("bad", {"bad": "bad"}, {"bad": implementing(f"{ROUTERS}\n1 / 0\n")})
    load(site)
    implementations = bus.hook.acme_routers.get_hookimpls()
    assert [(each.plugin_name, each.plugin) for each in implementations] == [("acme:b", sys.modules["acme_b"])]
    manager = bus._state.manager
    assert manager.list_name_plugin() == [("acme:b", sys.modules["acme_b"]), ("acme:a", sys.modules["acme_a"])]


MISFITS = {
    "an argument that the specification does not have": "@hookimpl\ndef acme_routers(prefix, more): ...\n",
    "a wrapper that is no generator": "@hookimpl(wrapper=True)\ndef acme_routers(prefix): ...\n",
}


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize("kind", MISFITS)
def test_an_implementation_that_does_not_fit_fails_its_plugin(site: Site, kind: str) -> None:
    fits = implementing(ROUTERS)
    also = "@hookimpl\ndef acme_title(): return 'misfit'\n"
    site.install("acme-a", {"a": "acme_a"}, {"acme_a": fits})
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": implementing(also + MISFITS[kind])})
    site.install("acme-z", {"z": "acme_z"}, {"acme_z": fits})
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed", "loaded"]
    [error] = report.failures
    assert "acme-b 1.0 / entry point b / module acme_b: a hook implementation does not fit its specification" in str(
        error
    )
    assert isinstance(error.__cause__, pluggy.PluginValidationError)
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_a", "/x/acme_z"]
    assert bus.hook.acme_title() is None
    assert served() == ["acme_a", "acme_z"]
    assert report.plugins[1].import_seconds > 0


@pytest.mark.usefixtures("hooks")
def test_a_module_whose_attributes_cannot_be_read_fails_its_plugin(site: Site) -> None:
    source = f"{HANDLER}\ndef __dir__(): raise RuntimeError('no listing')\n"
    site.install("acme-b", {"b": "acme_b"}, {"acme_b": source})
    install(site, "a")
    report = load(site)
    assert list(statuses(report).values()) == ["loaded", "failed"]
    assert "RuntimeError: no listing" in str(report.failures[0])
    assert served() == ["acme_a"]


@pytest.mark.usefixtures("hooks")
def test_a_hook_that_no_specification_knows_is_a_warning_with_the_nearest(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    body = "@hookimpl\ndef acme_router(prefix): ...\n@hookimpl\ndef zzz(): ...\n"
    body += "@hookimpl(optionalhook=True)\ndef maybe(): ...\n"
    site.install("acme", {"a": "acme_a"}, {"acme_a": implementing(body)})
    report = load(site)
    assert statuses(report) == {"acme:a": "loaded"}
    first, second = messages(caplog, logging.WARNING)
    assert "acme:a implements the hook 'acme_router', which no hook specification knows" in first
    assert first.endswith("Did you mean 'acme_routers'?")
    assert "'zzz'" in second
    assert "Did you mean" not in second
    assert report.warnings == (first, second)


@pytest.mark.usefixtures("hooks")
def test_what_is_not_loaded_implements_nothing(site: Site) -> None:
    for name in ("a", "b", "c", "d"):
        site.install(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": implementing(ROUTERS)})
    (site.folder / "acme_d.py").write_text(implementing(f"{ROUTERS}\n1 / 0\n"))
    load(site, allowed=["acme-a", "acme-c", "acme-d"], disabled=["c"])
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_a"]


def test_specifications_may_be_added_after_loading(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": implementing(ROUTERS)})
    load(site)
    bus.add_hookspecs(Specifications)
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_a"]


@pytest.mark.usefixtures("hooks")
def test_adding_specifications_twice_is_adding_them_once(site: Site) -> None:
    bus.add_hookspecs(Specifications)
    assert bus.hook.acme_routers(prefix="/x") == []


@pytest.mark.usefixtures("hooks")
def test_a_namesake_in_another_distribution_implements_for_itself(site: Site) -> None:
    for name in ("b", "a"):
        site.install(f"acme-{name}", {"mail": f"acme_{name}"}, {f"acme_{name}": implementing(ROUTERS)})
    assert statuses(load(site)) == {"acme-a:mail": "loaded", "acme-b:mail": "loaded"}
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_a", "/x/acme_b"]


# The fingerprint


def fingerprint(site: Site, **arguments: Any) -> str:
    """Load anew, as a new process would."""
    for name in [name for name in sys.modules if name.startswith("acme")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    with bus.isolated():
        return load(site, **arguments).fingerprint


def test_the_fingerprint_is_a_short_text_of_hexadecimal_digits(site: Site) -> None:
    install(site, "a")
    value = fingerprint(site)
    assert len(value) == 12
    int(value, 16)


def test_the_fingerprint_stays_where_the_order_stays(site: Site) -> None:
    install(site, "a", "b")
    value = fingerprint(site)
    assert fingerprint(site) == value
    assert fingerprint(site, order=["acme-a", "b"]) == value
    assert fingerprint(site, allowed=["acme-a", "acme-b"]) == value
    site.install("acme-failed", {"failed": "acme_failed"}, {"acme_failed": f"{HANDLER}\n1 / 0\n"})
    assert fingerprint(site) == value
    (site.folder / "acme_a-1.0.dist-info" / "METADATA").write_text("Name: acme-a\nVersion: 1.1\n")
    assert fingerprint(site) == value  # another version with the same handlers
    file = site.folder / "acme_a.py"
    file.write_text("# moved down by a line\n" + file.read_text())
    assert fingerprint(site) == value


def test_the_fingerprint_ignores_the_hosts_handlers(site: Site) -> None:
    install(site, "a")
    value = fingerprint(site)
    with bus.isolated():
        on(EVENT)(lambda **_: None)
        on("order.shipped")(lambda **_: None)
        del sys.modules["acme_a"]
        assert load(site).fingerprint == value


TWO = "@on('order.placed')\ndef one(): ...\n@on('order.placed')\ndef two(): ...\n"
CHANGES: dict[str, Callable[[str], str]] = {
    "a handler more": lambda source: source + "@on('order.placed')\ndef three(): ...\n",
    "a handler less": lambda source: source[: source.rindex("@")],
    "another name": lambda source: source.replace("two", "zwei"),
    "another event": lambda source: source.replace("order.placed", "order.moved"),
    "another order": lambda source: source.replace("one", "_").replace("two", "one").replace("_()", "two()"),
    "one of two in another event": lambda source: source.replace("order.placed", "order.moved", 1),
    "a second handler of the same name": lambda source: source.replace("two", "one"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_the_handlers(site: Site, change: str) -> None:
    source = f"from fastsoy_events import on\n{TWO}"
    changed = CHANGES[change](source)
    assert changed != source
    site.install("acme", {"a": "acme_a"}, {"acme_a": source})
    value = fingerprint(site)
    (site.folder / "acme_a.py").write_text(f"{changed}# of another size\n")
    assert fingerprint(site) != value


def test_the_fingerprint_changes_with_the_order_of_plugins_and_with_what_is_left_out(site: Site) -> None:
    install(site, "a", "b")
    values = [
        fingerprint(site),
        fingerprint(site, order=["b"]),
        fingerprint(site, disabled=["a"]),
        fingerprint(site, disabled=["b"]),
        fingerprint(site, allowed=[]),
    ]
    assert len(set(values)) == len(values)


def test_discovery_and_loading_agree(site: Site) -> None:
    install(site, "b", "a")
    site.install("broken", "[fastsoy.event_handlers]\nbroken\n")
    found = [(plugin.id, plugin.version, plugin.module) for plugin in discover([site.folder])]
    assert [(plugin.id, plugin.version, plugin.module) for plugin in load(site).plugins] == found


def test_a_module_in_absurdly_many_packages_is_one_plugins_failure(site: Site) -> None:
    install(site, "a", "z")
    site.install("deep", {"deep": ".".join(["a"] * 400), "long": ".".join(["a"] * 20_000)})
    report = load(site)
    assert statuses(report) == {
        "acme-a:a": "loaded",
        "deep:deep": "failed",
        "deep:long": "failed",
        "acme-z:z": "loaded",
    }
    assert all(len(str(error)) < 2_000 for error in report.failures)


@pytest.mark.parametrize("name", ["'\\ud800.created'", "'order.placed'"])
def test_a_name_that_utf8_cannot_hold_stops_no_load(site: Site, name: str) -> None:
    source = f"""
        from fastsoy_events import on
        def handle(**payload): ...
        handle.__qualname__ = 'handle\\ud800'
        on({name})(handle)
    """
    site.install("acme", {"odd": "acme_odd"}, {"acme_odd": source})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EventNameWarning)
        assert len(load(site).fingerprint) == 12


def test_an_attribute_whose_look_up_exits_fails_its_plugin_alone(site: Site) -> None:
    install(site, "a", "z")
    site.install("acme-b", {"b": "acme_b:absent"}, {"acme_b": "def __getattr__(name): raise SystemExit(3)\n"})
    assert statuses(load(site)) == {"acme-a:a": "loaded", "acme-b:b": "failed", "acme-z:z": "loaded"}


def test_what_a_failed_plugin_declared_of_the_hosts_is_gone_too(site: Site) -> None:
    site.install("tools", None, {"tools": "def send(**payload): ...\n"})
    source = "from fastsoy_events import on\nimport tools\non('order.placed')(tools.send)\n1 / 0\n"
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": source})
    load(site)
    assert bus.handlers() == ()


def test_handlers_that_no_longer_take_part_since_their_module_is_a_blocked_plugins_are_named(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": HANDLER})
    importlib.import_module("acme_mail")
    report = load(site, allowed=[])
    assert "Handlers that acme_mail declared before the plugins were loaded do not take part" in caplog.text
    assert "acme:mail, which is blocked" in report.warnings[-1]


def test_a_second_entry_point_shares_the_fate_of_the_first_when_its_hooks_do_not_fit(site: Site) -> None:
    class Specifications:
        @hookspec
        def menu(self) -> Any: ...

    bus.add_hookspecs(Specifications)
    source = "from fastsoy_events import hookimpl\n@hookimpl\ndef menu(wrong): ...\n"
    site.install("acme", {"a": "acme_menu", "b": "acme_menu"}, {"acme_menu": source})
    assert statuses(load(site)) == {"acme:a": "failed", "acme:b": "failed"}


def test_isolation_waits_until_another_thread_has_loaded(site: Site) -> None:
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": f"import builtins\nbuiltins.acme_pause()\n{HANDLER}"})
    importing, go_on = threading.Event(), threading.Event()
    entered: list[int] = []

    def pause() -> None:
        importing.set()
        assert go_on.wait(30)

    def isolate() -> None:
        with bus.isolated():
            entered.append(len(bus.plugins()))

    vars(builtins)["acme_pause"] = pause
    try:
        loading = threading.Thread(target=load, args=(site,))
        isolating = threading.Thread(target=isolate)
        loading.start()
        assert importing.wait(30)
        isolating.start()
        go_on.set()
        loading.join(30)
        isolating.join(30)
    finally:
        del vars(builtins)["acme_pause"]
    assert entered == [0]
    assert [plugin.status for plugin in bus.plugins()] == ["loaded"]
    assert served() == ["acme_mail"]


def test_a_plugin_that_waits_for_another_threads_load_is_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plugin_bus, "_PATIENCE_SECONDS", 0.01)
    source = """
        import threading
        from fastsoy_events import load_plugins

        errors = []

        def call():
            try:
                load_plugins()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        raise errors[0]
    """
    site.install("acme", {"mail": "acme_mail"}, {"acme_mail": source})
    assert "another thread has been loading plugins" in str(load(site).failures[0])


def test_hook_specifications_that_a_loaded_plugin_does_not_fit_leave_the_bus_as_it_was(site: Site) -> None:
    class Specifications:
        @hookspec
        def menu(self) -> Any: ...

        @hookspec
        def routes(self) -> Any: ...

    source = "from fastsoy_events import hookimpl\n@hookimpl\ndef routes(wrong): ...\n"
    site.install("acme", {"a": "acme_menu"}, {"acme_menu": source})
    load(site)
    for _ in range(2):
        with pytest.raises(pluggy.PluginValidationError, match="wrong"):
            bus.add_hookspecs(Specifications)
    assert not hasattr(bus.hook, "menu")


# What a failure tells whoever has to find it


def files_of(error: BaseException | None) -> list[str]:
    assert error is not None
    return [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]


def test_the_traceback_of_a_failed_import_begins_in_the_plugins_module(site: Site) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": "def fail():\n    1 / 0\n\nfail()\n"})
    assert files_of(load(site).failures[0].__cause__) == ["acme_a.py", "acme_a.py"]


def test_the_traceback_of_a_failed_import_begins_in_the_package_whose_code_runs_first(site: Site) -> None:
    modules = {"acme.__init__": "import acme_other\n", "acme.mail": HANDLER, "acme_other": "1 / 0\n"}
    site.install("acme", {"a": "acme.mail"}, modules)
    files = files_of(load(site).failures[0].__cause__)
    assert (files[0], files[-1]) == ("__init__.py", "acme_other.py")


def test_the_traceback_of_a_failed_import_that_ran_no_code_is_whole(site: Site) -> None:
    site.install("acme", {"a": "acme_absent"})
    assert files_of(load(site).failures[0].__cause__)[-1].startswith("<frozen importlib")


@pytest.mark.parametrize(
    "code",
    ["raise LookupError", "class Silent(Exception):\n    def __str__(self): raise RuntimeError\n\nraise Silent"],
    ids=["an error without a text", "an error whose text cannot be had"],
)
def test_an_error_without_words_is_named_by_its_type_alone(site: Site, code: str) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": code})
    [error] = load(site).failures
    assert error.reason == f"importing it raised {type(error.__cause__).__name__}"


def test_a_failed_import_took_no_longer_than_the_load(site: Site) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": "1 / 0\n"})
    started = perf_counter()
    [plugin] = load(site).plugins
    assert 0 < plugin.import_seconds <= perf_counter() - started


# What fails takes no part in anything


@pytest.mark.usefixtures("hooks")
def test_a_plugin_without_the_attribute_that_its_entry_point_names_implements_nothing(site: Site) -> None:
    for name, attribute in (("a", ""), ("b", ":absent")):
        site.install(f"acme-{name}", {name: f"acme_{name}{attribute}"}, {f"acme_{name}": implementing(ROUTERS)})
    assert list(statuses(load(site)).values()) == ["loaded", "failed"]
    assert bus.hook.acme_routers(prefix="/x") == ["/x/acme_a"]


@pytest.mark.usefixtures("hooks")
def test_a_module_whose_attributes_cannot_be_read_is_no_misfit(site: Site) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": f"{HANDLER}\ndef __dir__(): raise RuntimeError('no listing')\n"})
    [error] = load(site).failures
    assert error.reason == "its hooks cannot be read: RuntimeError: no listing"


# What deserves a look


def test_a_second_entry_point_with_an_attribute_that_is_there_is_loaded(site: Site) -> None:
    site.install("acme", {"mail": "acme_mail", "post": "acme_mail:handle"}, {"acme_mail": HANDLER})
    report = load(site)
    assert statuses(report) == {"acme:mail": "loaded", "acme:post": "loaded"}
    [warning] = report.warnings
    assert warning == (
        "acme_mail is named by two entry points, acme:mail and acme:post: it is loaded once, and its handlers "
        "belong to the first. Remove one of the entry points"
    )


@pytest.mark.usefixtures("hooks")
def test_a_hook_like_no_other_is_a_warning_without_a_guess(site: Site) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": implementing("@hookimpl\ndef zzz(): ...\n")})
    [warning] = load(site).warnings
    assert warning == "acme:a implements the hook 'zzz', which no hook specification knows, so nobody calls it."


@pytest.mark.usefixtures("hooks")
def test_a_hook_that_fits_its_specification_is_worth_no_warning(site: Site) -> None:
    site.install("acme", {"a": "acme_a"}, {"acme_a": implementing(ROUTERS)})
    assert load(site).warnings == ()
