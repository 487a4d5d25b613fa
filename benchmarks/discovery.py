"""Finding the plugins among the installed distributions: fresh processes on generated sites, interleaved."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import sites
from benchmarks.processes import BARE, reason_against, run
from benchmarks.summary import Summary, differences, ratios, rotated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

REFERENCE = "importlib.metadata `entry_points`"
BUS = "fastsoy-events `discover`"


@dataclass(frozen=True, slots=True)
class Scanner:
    """A way to find the entry points of a group.

    Args:
        name: as the tables show it.
        imports: what to import first.
        find: an expression, the number of plugins found in `site`.
        path_given: `site` is handed over; otherwise it is the whole `sys.path`.
        forget: what empties the library's own cache in the process, after the first call.
        loads: it imports the plugins' modules too.
        cache: whether stevedore's cache is empty, filled, or there is none to speak of.
    """

    name: str
    imports: str
    find: str
    path_given: bool = False
    forget: str = ""
    loads: bool = False
    cache: str = ""


_GROUP = repr(sites.GROUP)
# stevedore keeps no cache for an interpreter whose path begins with /tmp, so it is told another one
_STEVEDORE = "import sys; sys.executable = '/usr/bin/python3'; from stevedore import NamedExtensionManager as manager"
_STEVEDORE_FIND = f"len(manager({_GROUP}, names=[]).list_entry_points())"
_STEVEDORE_FORGET = "manager.ENTRY_POINT_CACHE.clear()"

SCANNERS = (
    Scanner(BUS, "import fastsoy_events", "len(fastsoy_events.discover(path=[site]))", path_given=True),
    Scanner(REFERENCE, "import importlib.metadata", f"len(importlib.metadata.entry_points(group={_GROUP}))"),
    Scanner(
        "importlib_metadata `entry_points`",
        "import importlib_metadata",
        f"len(importlib_metadata.entry_points(group={_GROUP}))",
    ),
    Scanner("stevedore, cold cache", _STEVEDORE, _STEVEDORE_FIND, forget=_STEVEDORE_FORGET, cache="empty"),
    Scanner("stevedore, warm cache", _STEVEDORE, _STEVEDORE_FIND, forget=_STEVEDORE_FORGET, cache="filled"),
    Scanner(
        "pluggy `load_setuptools_entrypoints`",
        "import pluggy, importlib.metadata",
        f"pluggy.PluginManager('benchmark').load_setuptools_entrypoints({_GROUP})",
        loads=True,
    ),
    Scanner(
        "fastsoy-events `load_plugins`",
        "import fastsoy_events",
        "loaded(site)",
        path_given=True,
        loads=True,
    ),
)

_LOADED = """
def loaded(site):
    with fastsoy_events.bus.isolated():
        return sum(plugin.status == "loaded" for plugin in fastsoy_events.load_plugins(path=[site]).plugins)
"""


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure every scanner on every site.

    Returns:
        `missing` and `sites`, ready for JSON.
    """
    missing = {scanner.name: reason for scanner in SCANNERS if (reason := reason_against(scanner.imports))}
    present = [scanner for scanner in SCANNERS if scanner.name not in missing]
    progress.begin("discovery", len(settings.sites) * settings.process_rounds)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        sites.generate(folder / "warm", 10, prefix="warm")
        return {
            "missing": missing,
            "sites": [_site(folder, size, present, settings, progress) for size in settings.sites],
        }


def _site(folder: Path, size: int, present: list[Scanner], settings: Settings, progress: Progress) -> dict[str, Any]:
    site = folder / f"site-{size}"
    sites.generate(site, size)
    calls: dict[str, list[float]] = {scanner.name: [] for scanner in present}
    whole: dict[str, list[float]] = {scanner.name: [] for scanner in present}
    bare: list[float] = []
    found: dict[str, int] = {}
    for scanner in present:  # fills the cache that is to be filled, and the folders of compiled modules
        found[scanner.name] = _call(scanner, folder, site, "first")[1]
        _process(scanner, folder, site, "first")
    for number in range(settings.process_rounds):
        for place in rotated(len(present) + 1, number):
            if place == len(present):
                bare.append(run(BARE)[0])
                continue
            scanner = present[place]
            calls[scanner.name].append(_call(scanner, folder, site, f"call-{number}")[0])
            whole[scanner.name].append(_process(scanner, folder, site, f"process-{number}"))
        progress.step()
    return {
        "distributions": size,
        "plugins": len(sites.plugin_modules(size)),
        "bare_seconds": asdict(Summary.of(bare)),
        "rows": {
            scanner.name: {
                "loads": scanner.loads,
                "found": found[scanner.name],
                "call_seconds": asdict(Summary.of(calls[scanner.name])),
                "call_ratio": asdict(ratios(calls[scanner.name], calls[REFERENCE])),
                "process_seconds": asdict(differences(whole[scanner.name], bare)),
            }
            for scanner in present
        },
    }


def _call(scanner: Scanner, folder: Path, site: Path, attempt: str) -> tuple[float, int]:
    """Time the call alone; a call on another folder before has imported whatever it imports late."""
    path = "" if scanner.path_given else "sys.path[:] = [site]"
    program = f"""
import sys
from time import perf_counter
{scanner.imports}
{_LOADED}
site = sys.argv[2]
{path}
{scanner.find}
{scanner.forget}
site = sys.argv[1]
{path}
started = perf_counter()
found = {scanner.find}
print(perf_counter() - started, found)
"""
    environment = _cache(scanner, folder, site, attempt)
    seconds, found = run(program, str(site), str(folder / "warm"), environment=environment)[1].split()
    return float(seconds), int(found)


def _process(scanner: Scanner, folder: Path, site: Path, attempt: str) -> float:
    """Time a whole process that imports what it needs, finds the plugins and ends."""
    path = "" if scanner.path_given else "sys.path[:] = [site]"
    find = scanner.find.replace("loaded(site)", "fastsoy_events.load_plugins(path=[site])")
    program = f"import sys\n{scanner.imports}\nsite = sys.argv[1]\n{path}\n{find}\n"
    return run(program, str(site), environment=_cache(scanner, folder, site, attempt))[0]


def _cache(scanner: Scanner, folder: Path, site: Path, attempt: str) -> Mapping[str, str]:
    if not scanner.cache:
        return {}
    name = "filled" if scanner.cache == "filled" else f"{site.name}-{attempt}"
    return {"XDG_CACHE_HOME": str(folder / "caches" / name)}
