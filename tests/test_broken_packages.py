"""Broken plugins of thirteen kinds beside two good ones: real projects, built, installed, loaded in a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECTS = Path(__file__).with_name("packages")

BUILD = """
import os, sys
from hatchling.build import build_wheel

destination, *projects = sys.argv[1:]
for project in projects:
    os.chdir(project)
    build_wheel(destination)
"""

LOAD = """
import asyncio, contextlib, importlib, io, json, logging, sys
from fastsoy_events import discover, emit, handlers, load_plugins

class Kept(logging.Handler):
    def emit(self, record):
        records.append([record.levelname, self.format(record)])

records = []
logging.getLogger("fastsoy_events").addHandler(Kept())
folder, *by_hand = sys.argv[1:]
before = set(sys.modules)
discovered = {plugin.distribution: plugin.status for plugin in discover([folder])}
imported_by_discover = [name for name in set(sys.modules) - before if name.startswith(("acme", "broken", "zeta"))]
records.clear()
report = load_plugins(path=[folder])
served = io.StringIO()
with contextlib.redirect_stdout(served):
    failures = asyncio.run(emit("order.placed", order_id=7))
ids = [handler.id for handler in handlers()]
sys.path.insert(0, folder)
raised = {}
for name in by_hand:
    try:
        importlib.import_module(name)
    except BaseException as error:
        raised[name] = type(error).__name__
    else:
        raised[name] = ""
served_again = io.StringIO()
with contextlib.redirect_stdout(served_again):
    asyncio.run(emit("order.placed", order_id=8))
print(json.dumps({
    "discovered": discovered,
    "imported_by_discover": imported_by_discover,
    "plugins": {plugin.distribution: plugin.as_dict() for plugin in report.plugins},
    "order": [plugin.distribution for plugin in report.plugins],
    "failures": {failure.distribution: str(failure) for failure in report.failures},
    "causes": {failure.distribution: repr(failure.__cause__) for failure in report.failures},
    "records": records,
    "served": served.getvalue().splitlines(),
    "failed_handlers": len(failures),
    "ids": ids,
    "raised": raised,
    "served_again": served_again.getvalue().splitlines(),
    "ids_again": [handler.id for handler in handlers()],
}))
"""

# Each kind: the entry point and the module that the report names, then what it says of the original error.
BROKEN = {
    "broken-raises": ("orders", "broken_raises.handlers", "RuntimeError: the mail server is not configured"),
    "broken-needs-module": (
        "orders",
        "broken_needs_module.handlers",
        "No module named 'a_library_that_nobody_installed'",
    ),
    "broken-syntax": ("orders", "broken_syntax.handlers", "SyntaxError"),
    "broken-exits": ("orders", "broken_exits.handlers", "SystemExit: no licence key"),
    "broken-undefined-name": ("orders", "broken_undefined_name.handlers", "name 'undefined_name' is not defined"),
    "broken-recursion": ("orders", "broken_recursion.handlers", "RecursionError: maximum recursion depth exceeded"),
    "broken-not-utf8": ("orders", "broken_not_utf8.handlers", "SyntaxError: (unicode error) 'utf-8' codec"),
    "broken-on-non-callable": ("orders", "broken_on_non_callable.handlers", "given a callable, not 3"),
    "broken-missing-module": ("orders", "broken_missing_module.absent", "no such module"),
    "broken-missing-attribute": ("orders", "broken_missing_attribute.handlers", "no attribute absent"),
    "broken-no-equals": ("orders broken_no_equals.handlers", "", "has no '='"),
    "broken-impossible-target": ("orders", "broken-impossible-target/handlers", "is no module"),
    "broken-empty-target": ("orders", "", "names no module"),
}
WITH_BROKEN_METADATA = ("broken-no-equals", "broken-impossible-target", "broken-empty-target")
GOOD = [
    "acme-mail:mail:acme_mail.handlers:confirm",
    "acme-mail:mail:acme_mail.archive:keep",
    "zeta-stock:stock:zeta_stock:reserve",
]


def environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FASTSOY_EVENTS_")}


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment(), check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build every project and install the wheels into one folder."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    projects = sorted(project.parent for project in PROJECTS.glob("*/pyproject.toml"))
    run(BUILD, str(wheels), *map(str, projects))
    for wheel in sorted(wheels.iterdir()):
        with ZipFile(wheel) as archive:
            archive.extractall(folder)
    for project in projects:
        written_by_hand = project / "entry_points.txt"
        if written_by_hand.exists():  # no builder of today writes such a file
            info = folder / f"{project.name.replace('-', '_')}-1.0.dist-info"
            (info / written_by_hand.name).write_bytes(written_by_hand.read_bytes())
    return folder


def module_of(distribution: str) -> str:
    return f"{distribution.replace('-', '_')}.handlers"


@pytest.fixture(scope="session")
def outcome(installed: Path) -> dict[str, Any]:
    """Load them in a new process, then import each broken one's module by hand."""
    by_hand = [module_of(name) for name in BROKEN if name not in WITH_BROKEN_METADATA]
    loaded: dict[str, Any] = json.loads(run(LOAD, str(installed), *by_hand))
    return loaded


def test_there_is_a_project_for_every_kind() -> None:
    projects = {project.parent.name for project in PROJECTS.glob("*/pyproject.toml")}
    assert projects == {*BROKEN, "acme-mail", "zeta-stock"}
    assert len(BROKEN) == 13


def test_discovery_finds_all_of_them_and_imports_none(outcome: dict[str, Any]) -> None:
    fails_early = dict.fromkeys(WITH_BROKEN_METADATA, "failed")
    expected = {**dict.fromkeys([*BROKEN, "acme-mail", "zeta-stock"], "discovered"), **fails_early}
    assert outcome["discovered"] == expected
    assert outcome["imported_by_discover"] == []


def test_the_two_good_ones_serve(outcome: dict[str, Any]) -> None:
    assert outcome["served"] == ["confirm 7", "keep 7", "reserve 7"]
    assert outcome["failed_handlers"] == 0
    assert outcome["ids"] == GOOD
    assert outcome["plugins"]["acme-mail"]["status"] == "loaded"
    assert outcome["plugins"]["zeta-stock"]["status"] == "loaded"


def test_the_report_lists_all_of_them_in_plugin_order(outcome: dict[str, Any]) -> None:
    assert outcome["order"] == sorted([*BROKEN, "acme-mail", "zeta-stock"])
    assert list(outcome["failures"]) == sorted(BROKEN)


@pytest.mark.parametrize("distribution", BROKEN)
def test_the_report_says_what_is_wrong(outcome: dict[str, Any], distribution: str) -> None:
    entry_point, module, reason = BROKEN[distribution]
    plugin = outcome["plugins"][distribution]
    assert (plugin["name"], plugin["version"], plugin["module"]) == (entry_point, "1.0", module)
    assert (plugin["status"], plugin["handlers"]) == ("failed", 0)
    message = outcome["failures"][distribution]
    assert plugin["error"] == message
    for part in (f"{distribution} 1.0", f"entry point {entry_point}", module, reason):
        assert part in message


@pytest.mark.parametrize("distribution", BROKEN)
def test_the_log_says_what_is_wrong_once(outcome: dict[str, Any], distribution: str) -> None:
    message = outcome["failures"][distribution]
    [text] = [text for level, text in outcome["records"] if message in text and level == "ERROR"]
    has_traceback = "Traceback (most recent call last)" in text
    assert has_traceback == (distribution not in WITH_BROKEN_METADATA)


def test_the_log_holds_nothing_else(outcome: dict[str, Any]) -> None:
    assert [level for level, _ in outcome["records"]] == ["ERROR"] * len(BROKEN)


@pytest.mark.parametrize(
    ("distribution", "cause"),
    [
        ("broken-raises", "RuntimeError"),
        ("broken-needs-module", "ModuleNotFoundError"),
        ("broken-syntax", "SyntaxError"),
        ("broken-exits", "SystemExit"),
        ("broken-undefined-name", "NameError"),
        ("broken-recursion", "RecursionError"),
        ("broken-not-utf8", "SyntaxError"),
        ("broken-on-non-callable", "RegistrationError"),
        ("broken-missing-module", "ModuleNotFoundError"),
        ("broken-missing-attribute", "AttributeError"),
        ("broken-no-equals", "None"),
        ("broken-impossible-target", "None"),
        ("broken-empty-target", "None"),
    ],
)
def test_the_original_error_is_the_cause(outcome: dict[str, Any], distribution: str, cause: str) -> None:
    assert outcome["causes"][distribution].partition("(")[0] == cause


def test_importing_a_broken_module_by_hand_brings_none_of_its_handlers_back(outcome: dict[str, Any]) -> None:
    assert outcome["raised"] == {
        "broken_raises.handlers": "RuntimeError",
        "broken_needs_module.handlers": "ModuleNotFoundError",
        "broken_syntax.handlers": "SyntaxError",
        "broken_exits.handlers": "SystemExit",
        "broken_undefined_name.handlers": "NameError",
        "broken_recursion.handlers": "RecursionError",
        "broken_not_utf8.handlers": "SyntaxError",
        "broken_on_non_callable.handlers": "RegistrationError",
        "broken_missing_module.handlers": "",
        "broken_missing_attribute.handlers": "",
    }
    assert outcome["ids_again"] == GOOD
    assert outcome["served_again"] == ["confirm 8", "keep 8", "reserve 8"]


def test_nor_does_importing_the_code_of_one_whose_metadata_is_broken(installed: Path) -> None:
    by_hand = [module_of(name) for name in WITH_BROKEN_METADATA]
    outcome = json.loads(run(LOAD, str(installed), *by_hand))
    assert outcome["raised"] == dict.fromkeys(by_hand, "")
    assert outcome["ids_again"] == GOOD


def test_strictly_loaded_they_fail_together_and_the_good_ones_still_serve(installed: Path) -> None:
    code = (
        "import sys, fastsoy_events\n"
        "try:\n    fastsoy_events.load_plugins(path=[sys.argv[1]], strict=True)\n"
        "except fastsoy_events.PluginLoadError as error:\n"
        "    print(*[each.distribution for each in error.exceptions])\n"
        "    print(*[each.id for each in fastsoy_events.handlers()])\n"
    )
    failed, serving = run(code, str(installed)).splitlines()
    assert failed.split() == sorted(BROKEN)
    assert serving.split() == GOOD
