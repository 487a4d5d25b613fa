"""One order everywhere: however the same plugins were installed, listed, hashed, and imported beforehand."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastsoy_events import bus, load_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Site

GROUP = "fastsoy.event_handlers"
EVENT = "order.placed"
HANDLERS = """
from fastsoy_events import on

@on("order.placed")
@on("order.refunded")
async def zulu(calls=()): ...

@on("order.placed")
def alpha(calls=()): ...
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A plugin project: its entry points, and its modules with what each imports first."""

    entry_points: Mapping[str, str]
    modules: Mapping[str, str]


PROJECTS = {
    "Acme.HR": Project(
        {"hr": "acme_hr.handlers"},
        {
            "acme_hr.__init__": "",
            "acme_hr.handlers": "import acme_hr.zulu, acme_hr.alpha",
            "acme_hr.alpha": "",
            "acme_hr.zulu": "import acme_hr.alpha",
        },
    ),
    "acme-notify": Project(  # two plugins in one package
        {"sms": "shop.sms", "mail": "shop.mail"},
        {
            "shop.__init__": "",
            "shop.sms": "import shop.base",
            "shop.mail": "import shop.base, shop.sms",
            "shop.base": "",
        },
    ),
    "beta_single": Project({"single": "beta_single"}, {"beta_single": "import acme_hr.alpha, company.extra"}),
    "broken": Project({"broken": "broken_one"}, {"broken_one": "import shop.mail"}),
    "gone": Project({"gone": "gone_one"}, {"gone_one": ""}),
    "zeta-audit": Project(  # a package in a namespace
        {"audit": "company.audit.plugin"},
        {
            "company.audit.__init__": "",
            "company.audit.plugin": "from company.audit import more",
            "company.audit.more": "",
        },
    ),
    "zeta-extra": Project({"extra": "company.extra"}, {"company.extra": ""}),  # a module in the same namespace
    "zeta-folder": Project(  # a package in a folder of another package
        {"folder": "outer.folder.inner.handlers"},
        {
            "outer.__init__": "",
            "outer.folder.inner.__init__": "",
            "outer.folder.inner.handlers": "import outer.folder.inner.more",
            "outer.folder.inner.more": "",
        },
    ),
}
MODULES = sorted(name.removesuffix(".__init__") for project in PROJECTS.values() for name in project.modules)
ARGUMENTS: Mapping[str, Any] = {"order": ["extra"], "allowed": sorted(PROJECTS), "disabled": ["gone"]}
IN_ORDER = [  # the plugin, and its modules
    ("zeta-extra:extra", ["company.extra"]),
    ("acme-hr:hr", ["acme_hr.handlers", "acme_hr", "acme_hr.alpha", "acme_hr.zulu"]),
    ("acme-notify:mail", ["shop.mail", "shop", "shop.base"]),
    ("acme-notify:sms", ["shop.sms"]),
    ("beta-single:single", ["beta_single"]),
    ("zeta-audit:audit", ["company.audit.plugin", "company.audit", "company.audit.more"]),
    ("zeta-folder:folder", ["outer.folder.inner.handlers", "outer.folder.inner", "outer.folder.inner.more"]),
]
HOSTS = ["outer"]  # what no plugin may call its own
EXPECTED = [
    f"{plugin}:{module}:{qualname}"
    for plugin, modules in IN_ORDER
    for module in modules
    for qualname in ("zulu", "alpha")
]


@dataclass(frozen=True, slots=True)
class Way:
    """One of many ways in which the same plugins can be installed and imported."""

    folders: list[list[str]]  # which projects each folder on the path holds, in the order of their installation
    eggs: list[str]  # the projects that lie there as .egg-info
    stale: list[str]  # the projects of which an older version was left beside the newer one
    copies: list[str]  # the projects that are installed once more in a later folder
    listing: int  # shuffles how folders are listed
    imported: list[str]  # modules imported before loading, in that order
    by_path: bool  # whether load_plugins() is given the folders, or finds them on sys.path
    hash_seed: int


def way(random: Random) -> Way:
    names = random.sample(sorted(PROJECTS), len(PROJECTS))
    folders: list[list[str]] = [[] for _ in range(random.randint(1, 3))]
    for name in names:
        random.choice(folders).append(name)
    return Way(
        folders=folders,
        eggs=random.sample(names, random.randint(0, 2)),
        stale=random.sample(names, random.randint(0, 2)),
        copies=random.sample(names, random.randint(0, 2)),
        listing=random.randint(0, 1000),
        imported=random.sample(MODULES, random.randint(0, len(MODULES))),
        by_path=random.choice([True, False]),
        hash_seed=random.randint(0, 1000),
    )


def lay(folder: Path, name: str, version: str, entry_points: Mapping[str, str], *, is_egg: bool) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    info = folder / (f"{stem}-py3.11.egg-info" if is_egg else f"{stem}.dist-info")
    info.mkdir(parents=True, exist_ok=True)
    (info / ("PKG-INFO" if is_egg else "METADATA")).write_text(f"Name: {name}\nVersion: {version}\n")
    lines = [f"{each} = {target}" for each, target in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


def install(root: Path, laid: Way) -> list[str]:
    paths = []
    for place, names in enumerate(laid.folders):
        folder = root / str(place)
        folder.mkdir()
        paths.append(str(folder))
        for name in names:
            project = PROJECTS[name]
            for module, first in project.modules.items():
                file = folder.joinpath(*module.split(".")).with_suffix(".py")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{first}\n{HANDLERS}" + ("raise RuntimeError\n" if name == "broken" else ""))
            lay(folder, name, "1.10", project.entry_points, is_egg=name in laid.eggs)
            if name in laid.stale:
                lay(folder, name, "1.9", {"stale": "stale_module"}, is_egg=False)
    last = root / "last"
    for name in laid.copies:
        lay(last, name, "2.0", {"copy": "copied_module"}, is_egg=False)
    return [*paths, str(last)]


def load(paths: list[str], laid: Way) -> list[list[str]]:
    """Import and load in this process, as `laid` says; return what both events' handlers are, and the fingerprint."""
    listdir, random = os.listdir, Random(laid.listing)  # noqa: S311 - no secret depends on it

    def shuffled(folder: str = ".") -> list[str]:
        return random.sample(listdir(folder), len(listdir(folder)))

    os.listdir = shuffled  # type: ignore[assignment]
    sys.path[:0] = paths
    try:
        for module in laid.imported:
            try:
                importlib.import_module(module)
            except RuntimeError:
                assert module == "broken_one"
        arguments = {"path": paths, **ARGUMENTS} if laid.by_path else ARGUMENTS
        report = load_plugins(**arguments)
    finally:
        os.listdir = listdir
    failed = [plugin.id for plugin in report.plugins if plugin.status == "failed" and "broken" in plugin.id]
    ours = [plugin.id for plugin in report.plugins if plugin.status == "loaded"]
    placed = [handler.id for handler in bus.handlers("order.placed") if handler.module not in HOSTS]
    refunded = [handler.id for handler in bus.handlers("order.refunded") if handler.module not in HOSTS]
    return [failed, ours, placed, refunded, [report.fingerprint]]


def check(result: list[list[str]]) -> None:
    failed, loaded, placed, refunded, _ = result
    assert failed == ["broken:broken"]
    assert loaded == [plugin for plugin, _ in IN_ORDER]
    assert placed == EXPECTED
    assert refunded == [each for each in EXPECTED if each.endswith(":zulu")]


def in_this_process(laid: Way) -> list[list[str]]:
    path, modules = list(sys.path), set(sys.modules)
    try:
        with TemporaryDirectory() as root, bus.isolated():
            return load(install(Path(root), laid), laid)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if name.partition(".")[0] in {module.partition(".")[0] for module in MODULES}:
                del sys.modules[name]
        importlib.invalidate_caches()


CHILD = f"""
from __future__ import annotations
import importlib, json, os, sys
from random import Random
from types import SimpleNamespace
from fastsoy_events import bus, load_plugins

HOSTS, ARGUMENTS, paths, laid = json.loads(sys.argv[1])
{inspect.getsource(load)}
print(json.dumps(load(paths, SimpleNamespace(**laid))))
"""


def in_a_new_process(laid: Way) -> list[list[str]]:
    with TemporaryDirectory() as root:
        paths = install(Path(root), laid)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTSOY_EVENTS_")}
        result = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps([HOSTS, ARGUMENTS, paths, asdict(laid)])],
            env={**environment, "PYTHONHASHSEED": str(laid.hash_seed)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    printed: list[list[str]] = json.loads(result.stdout)
    return printed


WAYS = st.randoms(use_true_random=False).map(way)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTSOY_EVENTS_ALLOWED", raising=False)
    monkeypatch.delenv("FASTSOY_EVENTS_DISABLED", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_twelve_new_processes_print_one_order() -> None:
    ways = [way(Random(seed)) for seed in range(12)]  # noqa: S311 - no secret depends on it
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(in_a_new_process, ways))
    for result in results:
        check(result)
    assert len({json.dumps(result) for result in results}) == 1  # the fingerprints too


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(laid=WAYS)
def test_any_new_process_has_the_same_order(laid: Way) -> None:
    check(in_a_new_process(laid))


@cache
def reference() -> list[list[str]]:
    return in_this_process(way(Random(0)))  # noqa: S311 - no secret depends on it


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(laid=WAYS)
def test_any_way_has_the_same_order(laid: Way) -> None:
    result = in_this_process(laid)
    check(result)
    assert result == reference()


# Handlers of one module that several modules register

SPREAD = {
    "acme.__init__": "",
    "acme.entry": "import acme.a, acme.b",
    "acme.tools": """
        from fastsoy_events import on

        class Listener:
            def __init__(self, name):
                self.__qualname__ = name
                on("order.placed")(self)

            def __call__(self, **payload): ...
    """,
}


@pytest.mark.parametrize("imported", [[], ["acme.a"], ["acme.b"], ["acme.b", "acme.a"], ["acme.tools"]], ids=str)
def test_what_a_helper_registers_does_not_depend_on_who_used_it_first(site: Site, imported: list[str]) -> None:
    users = {f"acme.{name}": f"from acme.tools import Listener\nListener('{name}')\n" for name in "ab"}
    site.install("acme", {"entry": "acme.entry"}, {**SPREAD, **users})
    for module in imported:
        importlib.import_module(module)
    load_plugins(path=[site.folder])
    assert [handler.qualname for handler in bus.handlers("order.placed")] == ["a", "b"]


@pytest.mark.parametrize("imported", [[], ["acme.a"], ["acme.b"], ["acme.b", "acme.a"]], ids=str)
def test_functions_that_other_modules_register_do_not_depend_on_which_came_first(
    site: Site, imported: list[str]
) -> None:
    shared = "def for_a(**payload): ...\ndef for_b(**payload): ...\n"
    source = "from acme.shared import for_{0}\nfrom fastsoy_events import on\non('order.placed')(for_{0})\n"
    users = {f"acme.{name}": source.format(name) for name in "ab"}
    site.install("acme", {"entry": "acme.entry"}, {**SPREAD, **users, "acme.shared": shared})
    for module in imported:
        importlib.import_module(module)
    load_plugins(path=[site.folder])
    assert [handler.qualname for handler in bus.handlers("order.placed")] == ["for_a", "for_b"]


@pytest.mark.parametrize("imported", [[], ["acme.a"], ["acme.b"], ["acme.b", "acme.a"]], ids=str)
def test_an_object_that_two_modules_register_is_the_first_ones_in_order(site: Site, imported: list[str]) -> None:
    shared = "class Listener:\n    def __call__(self, **payload): ...\nlistener = Listener()\n"
    source = "from acme.shared import listener\nfrom fastsoy_events import on\non('order.placed')(listener)\n"
    users = {f"acme.{name}": source for name in "ab"}
    site.install("acme", {"entry": "acme.entry"}, {**SPREAD, **users, "acme.shared": shared})
    for module in imported:
        importlib.import_module(module)
    load_plugins(path=[site.folder])
    assert [handler.id for handler in bus.handlers("order.placed")] == ["acme:entry:acme.a:Listener"]
