"""Claim: which modules each plugin may call its own. Modules are located as an import would, but none is executed."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from importlib.machinery import NamespaceLoader
from typing import TYPE_CHECKING, cast

from fastsoy_events._record import Roster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec

    from fastsoy_events._model import Candidate

_DEEPEST = 64  # packages inside each other; the metadata is not trusted
_DOTTED_NAME = re.compile(r"\w+(?:\.\w+)*")


@dataclass(frozen=True, slots=True)
class Located:
    """Where a module is.

    Args:
        file: the file of its code; empty where there is none.
        locations: where its submodules are, for a package; None for a plain module.
        is_namespace: whether it is a package without code of its own.
    """

    file: str
    locations: tuple[str, ...] | None
    is_namespace: bool


@dataclass(frozen=True, slots=True)
class Claims:
    """What belongs to the plugins.

    Args:
        roster: the plugins, and the modules that each may call its own.
        files: the real paths of their entry modules, each with the names of its module.
    """

    roster: Roster
    files: dict[str, list[str]]


def claims(candidates: Sequence[Candidate], locate: Callable[[str], Located | None] | None = None) -> Claims:
    """Find out what belongs to each plugin.

    The entry point's module, and where that is a plain module in a package with code, the package. Of several plugins
    with the same prefix, the first in plugin order has it. Where the entry point is too broken to name a module, what
    its distribution installed is the plugin's, as far as nobody else claims it.

    Args:
        candidates: in plugin order.
        locate: tells where modules are; as an import would, unless it is given.
    """
    locate = Locator() if locate is None else locate
    prefixes: dict[str, int] = {}
    files: dict[str, list[str]] = {}
    for rank, candidate in enumerate(candidates):
        module = candidate.plugin.module
        located = locate(module)
        for prefix in _prefixes(module, located, locate):
            prefixes.setdefault(prefix, rank)
        if located is not None and located.file:
            names = files.setdefault(os.path.realpath(located.file), [])
            names += [] if module in names else [module]
    for rank, candidate in enumerate(candidates):
        for prefix in candidate.installed:
            prefixes.setdefault(prefix, rank)
    return Claims(Roster(tuple(candidate.plugin for candidate in candidates), prefixes), files)


def _prefixes(module: str, located: Located | None, locate: Callable[[str], Located | None]) -> tuple[str, ...]:
    if not _DOTTED_NAME.fullmatch(module):
        return ()
    package = module.rpartition(".")[0]
    parent = locate(package)
    if parent is None or parent.is_namespace or (located is not None and located.locations is not None):
        return (module,)
    return (module, package)


class Locator(dict[str, "Located | None"]):
    """Where modules are; each is looked for once."""

    def __call__(self, module: str) -> Located | None:
        if module not in self:
            can_be_found = module.count(".") < _DEEPEST and _DOTTED_NAME.fullmatch(module)
            self[module] = self._located(module) if can_be_found else None
        return self[module]

    def _located(self, module: str) -> Located | None:
        package, _, part = module.rpartition(".")
        parent = self(package) if package else None
        if package and (parent is None or parent.locations is None):
            return None
        path = None if parent is None else parent.locations
        return _as_imported(module) or _by_finders(module, path) or _nested_namespace(part, path)


def _as_imported(name: str) -> Located | None:
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return None
    try:
        return _from_spec(spec, cast("Iterable[str] | None", getattr(module, "__path__", None)))
    except Exception:  # noqa: BLE001 - the path of a namespace cannot be read once its parent was taken out of sys.modules
        return None


def _by_finders(name: str, path: Sequence[str] | None) -> Located | None:
    for finder in list(sys.meta_path):
        try:
            spec = finder.find_spec(name, path)
            if spec is not None:
                return _from_spec(spec, spec.submodule_search_locations)
        except Exception:  # noqa: BLE001, S112 - a finder that raises here raises again, and is reported, at the import
            continue
    return None


def _from_spec(spec: ModuleSpec, locations: Iterable[str] | None) -> Located:
    return Located(
        file=(spec.origin or "") if spec.has_location else "",
        locations=None if locations is None else tuple(locations),
        is_namespace=locations is not None and (spec.loader is None or isinstance(spec.loader, NamespaceLoader)),
    )


def _nested_namespace(part: str, path: Sequence[str] | None) -> Located | None:
    """Find a folder without code inside a package; Python's finder does so only once the package is imported."""
    folders = tuple(folder for entry in path or () if os.path.isdir(folder := f"{entry}/{part}"))  # noqa: PTH112 - a text
    return Located("", folders, is_namespace=True) if folders else None
