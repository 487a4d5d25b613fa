"""`fastsoy-events plugins --timing`: which modules each plugin was the first to import, and how long each took."""

from __future__ import annotations

import importlib
import importlib.util
import json
import py_compile
import re
import sys
import textwrap
import zipfile
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zipimport import zipimporter

import pytest

from fastsoy_events import load_plugins
from fastsoy_events.inspection import _timing
from tests import command_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Site

    from fastsoy_events import Plugin

LOADERS = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader, zipimporter)
BUDGET_OF_AN_HOUR = "3600000"


def run(site: Site, *arguments: str, app: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `fastsoy-events plugins` on a site, in the folder above it."""
    if app:
        (site.folder.parent / "shop.py").write_text(textwrap.dedent(app), encoding="utf-8")
        arguments = (*arguments, "--app", "shop")
    variables = {"PYTHONPATH": str(site.folder), "FASTSOY_EVENTS_ALLOWED": "acme-audit,acme-mail", **changes}
    return command_line.run(site.folder.parent, "plugins", *arguments, **variables)


def modules(site: Site, *arguments: str, app: str = "") -> dict[str, set[str]]:
    """Return which modules are listed for each plugin; there are few enough of them to list all."""
    rows: list[dict[str, Any]] = json.loads(run(site, "--timing", "--json", *arguments, app=app).stdout)
    listed = {row["name"]: {each["module"] for each in row["slowest"]} for row in rows if row["status"] != "blocked"}
    assert [row["modules"] for row in rows if row["status"] != "blocked"] == [len(names) for names in listed.values()]
    return listed


@pytest.fixture
def two(site: Site) -> Site:
    """Two plugins that need one module in common."""
    site.install("acme-common", modules={"acme_common": ""})
    site.install(
        "acme-mail",
        {"mail": "acme_mail.plugin"},
        {"acme_mail.__init__": "", "acme_mail.plugin": "import json\nimport acme_common"},
    )
    site.install(
        "acme-audit",
        {"trail": "acme_audit"},
        {"acme_audit.__init__": "import acme_common\nfrom acme_audit import ledger", "acme_audit.ledger": ""},
    )
    return site


def test_a_module_counts_to_the_first_plugin_that_imports_it(two: Site) -> None:
    audit, mail = {"acme_audit", "acme_audit.ledger"}, {"acme_mail", "acme_mail.plugin"}
    assert modules(two) == {"trail": audit | {"acme_common"}, "mail": mail}
    assert modules(two, "--order", "mail") == {"mail": mail | {"acme_common"}, "trail": audit}


def test_json_gets_two_keys_more(two: Site) -> None:
    rows = json.loads(run(two, "--json", "--allow", "acme-audit").stdout)
    timed = json.loads(run(two, "--json", "--allow", "acme-audit", "--timing").stdout)
    assert [list(row) for row in timed] == [[*row, "modules", "slowest"] for row in rows]
    [audit] = [row for row in timed if row["name"] == "trail"]
    times = [each["milliseconds"] for each in audit["slowest"]]
    assert times == sorted(times, reverse=True)
    assert 0 <= sum(times) <= audit["import_seconds"] * 1000 + 0.001 * len(times)  # each is rounded


def test_the_table_gets_two_columns_more(two: Site) -> None:
    result = run(two, "--timing", "--disable", "mail")
    header, *rows = [re.split(" {2,}", line) for line in result.stdout.splitlines() if "blocked" not in line]
    assert header[4:] == ["import time", "handlers", "modules", "slowest module", "error"]
    audit, mail = rows
    assert audit[5:7] == ["0", "3"]
    assert re.fullmatch(r"acme_(audit|audit\.ledger|common) \d+\.\d m?s", audit[7])
    assert mail[4:] == ["-", "0", "0", "-", "-"]


def test_a_narrow_terminal_gets_a_line_more(two: Site) -> None:
    on_terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "60"}
    shown = run(two, "--timing", "--disable", "mail", "--path", "site", **on_terminal).stdout
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert lines[:3] == ["trail  loaded", "  acme-audit 1.0", "  acme_audit"]
    assert re.fullmatch(r"  imported in \d+\.\d m?s, 0 handlers", lines[3])
    assert re.fullmatch(r"  3 modules, the slowest acme_\S+ \d+\.\d m?s", lines[4])
    assert lines[5:] == ["", "mail  disabled", "  acme-mail 1.0", "  acme_mail.plugin"]


@pytest.mark.usefixtures("two")
def test_a_module_takes_what_its_own_code_takes(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    clock = ModuleType("acme_clock")
    clock.now = 0.0
    monkeypatch.setitem(sys.modules, "acme_clock", clock)
    monkeypatch.setattr(_timing, "perf_counter", lambda: clock.now)
    site.install(
        "acme-slow",
        {"slow": "acme_slow"},
        {
            "acme_slow": "import acme_clock\nacme_clock.now += 1\nimport acme_sum\nacme_clock.now += 2",
            "acme_sum": "import acme_clock\nacme_clock.now += 4\nimport acme_fails_once\nacme_clock.now += 8",
            "acme_fails_once": "import acme_clock\nacme_clock.now += 16",
        },
    )
    with _timing.timed_imports() as times:
        report = load_plugins(path=[str(site.folder)], allowed=["acme-slow"])
    assert [(each.module, each.seconds) for each in times.of(plugin_named("slow", report.plugins))] == [
        ("acme_fails_once", 16.0),
        ("acme_sum", 12.0),
        ("acme_slow", 3.0),
    ]


def plugin_named(name: str, plugins: tuple[Plugin, ...]) -> Plugin:
    [found] = [plugin for plugin in plugins if plugin.name == name]
    return found


# The budget


def test_each_plugin_over_its_budget_is_named_with_its_time(two: Site) -> None:
    result = run(two, "--max-import-ms", "0", "--disable", "mail")
    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert re.fullmatch(
        r"error: acme-audit:trail took \d+\.\d m?s to import, and 0 ms are allowed; "
        r"the slowest of its modules was acme_\S+, \d+\.\d m?s alone",
        line,
    )
    assert "slowest module" in result.stdout
    lines = run(two, "--max-import-ms", "0", "--json").stderr.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("error:")] == ["acme-audit:trail", "acme-mail:mail"]


def test_a_plugin_over_its_budget_may_have_imported_nothing_anew(two: Site) -> None:
    result = run(two, "--max-import-ms", "0", "--disable", "mail", app="import acme_audit")
    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert re.fullmatch(r"error: acme-audit:trail took \d+\.\d m?s to import, and 0 ms are allowed", line)


def test_plugins_within_their_budget_are_well(two: Site) -> None:
    result = run(two, "--max-import-ms", BUDGET_OF_AN_HOUR)
    assert (result.returncode, "error:" in result.stderr) == (0, False)
    assert "slowest module" in result.stdout


@pytest.mark.parametrize("budget", ["-1", "soon", "nan", "0.5"])
def test_a_budget_is_a_whole_number(two: Site, budget: str) -> None:
    result = run(two, "--max-import-ms", budget)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--max-import-ms" in result.stderr


# What counts, and to whom


def test_what_the_application_imported_beforehand_does_not_count(two: Site) -> None:
    app = "import importlib\nimport acme_common\nimportlib.import_module('acme_audit')"
    assert modules(two, app=app) == {"trail": set(), "mail": {"acme_mail", "acme_mail.plugin"}}


def test_an_application_that_loads_the_plugins_itself_is_timed_too(two: Site) -> None:
    app = "import acme_common\nfrom fastsoy_events import load_plugins\nload_plugins()\nimport colorsys"
    assert modules(two, app=app) == {
        "trail": {"acme_audit", "acme_audit.ledger"},
        "mail": {"acme_mail", "acme_mail.plugin"},
    }


def test_a_failed_plugin_is_timed_and_shows_the_same_traceback(two: Site) -> None:
    two.install("acme-common", modules={"acme_common": "def fail():\n    raise OSError('full')\nfail()"}, version="2")
    plain, timed = (run(two, "--traceback", *options) for options in ((), ("--timing",)))
    assert plain.returncode == timed.returncode == 1
    assert "acme_common.py" in timed.stderr
    assert timed.stderr == plain.stderr
    assert modules(two)["mail"] == {"acme_mail", "acme_mail.plugin", "acme_common"}


def test_a_warning_names_the_same_place(two: Site) -> None:
    source = "import warnings\nwarnings.warn('old', FutureWarning, stacklevel=2)"
    two.install("acme-common", modules={"acme_common": source}, version="2")
    plain, timed = run(two), run(two, "--timing")
    assert "acme_audit" in timed.stderr
    assert timed.stderr == plain.stderr


def test_a_module_that_another_thread_imports_counts_to_the_plugin_that_started_it(site: Site) -> None:
    starts = (
        "import threading\nother = threading.Thread(target=__import__, args=['acme_sent'])\nother.start()\nother.join()"
    )
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": starts, "acme_sent": ""})
    assert modules(site) == {"mail": {"acme_mail", "acme_sent"}}


def test_two_plugins_with_one_module_import_it_once(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail", "post": "acme_mail"}, {"acme_mail": ""})
    assert modules(site) == {"mail": {"acme_mail"}, "post": set()}


def test_modules_from_archives_from_bytecode_and_from_machine_code_count(site: Site) -> None:
    extension = importlib.util.find_spec("_lsprof")
    machine_code = {"_lsprof"} if extension and isinstance(extension.loader, ExtensionFileLoader) else set[str]()
    source = site.folder / "acme_compiled.py"
    source.write_text("")
    py_compile.compile(str(source), cfile=f"{source}c")
    source.unlink()
    with zipfile.ZipFile(site.folder / "more.zip", "w") as archive:
        archive.writestr("acme_zipped.py", "")
    imports = "import sys\nsys.path.append(__file__.replace('acme_mail.py', 'more.zip'))\nimport "
    imports += ", ".join(["acme_compiled", "acme_zipped", *machine_code])
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": imports})
    assert modules(site) == {"mail": {"acme_mail", "acme_compiled", "acme_zipped"} | machine_code}


# The import system afterwards


def import_system() -> list[Any]:
    return [importlib.import_module, *(dict(vars(loader)) for loader in LOADERS)]


def test_the_import_system_is_as_before_whatever_happens(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": "raise KeyboardInterrupt"})
    before = import_system()
    with _timing.timed_imports():
        assert import_system() != before
        with pytest.raises(KeyboardInterrupt):
            load_plugins(path=[str(site.folder)], allowed=["acme-mail"])
    assert import_system() == before
    with pytest.raises(LookupError), _timing.timed_imports():
        raise LookupError
    assert import_system() == before


def test_what_a_plugin_replaces_in_the_import_system_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", importlib.import_module)  # puts it back after the test
    source = "import importlib\nwrapped = importlib.import_module\nimportlib.import_module = lambda *a: wrapped(*a)"
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source, "acme_later": ""})
    with _timing.timed_imports() as times:
        report = load_plugins(path=[str(site.folder)], allowed=["acme-mail"])
    replaced: Callable[[str], ModuleType] = importlib.import_module
    assert replaced.__code__.co_filename == str(site.folder / "acme_mail.py")
    assert replaced("acme_later").__name__ == "acme_later"
    assert [each.module for each in times.of(plugin_named("mail", report.plugins))] == ["acme_mail"]
