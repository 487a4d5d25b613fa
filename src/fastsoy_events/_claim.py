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
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec

    from fastsoy_events._model import Candidate

_DOTTED_NAME = re.compile(r"\w+(?:\.\w+)*")


@dataclass(frozen=True, slots=True)
class _Located:
    """Where a module is.

    Args:
        file: the file of its code; empty where there is none.
        locations: where its submodules are, for a package; None for a plain module.
        is_namespace: whether it is a package without code of its own.
    """

    file: str
    locations: tuple[str, ...] | None
    is_namespace: bool


def roster(candidates: Sequence[Candidate]) -> Roster:
    """Find out which modules each plugin may call its own.

    The entry point's module, and where that is a plain module in a package with code, the package. Of several plugins
    with the same prefix, the first in plugin order has it. Where the entry point is too broken to name a module, what
    its distribution installed is the plugin's, as far as nobody else claims it.

    Args:
        candidates: in plugin order.
    """
    claims: dict[str, int] = {}
    for rank, candidate in enumerate(candidates):
        for prefix in _prefixes(candidate.plugin.module):
            claims.setdefault(prefix, rank)
    for rank, candidate in enumerate(candidates):
        for prefix in candidate.installed:
            claims.setdefault(prefix, rank)
    return Roster(tuple(candidate.plugin for candidate in candidates), claims)


def files(candidates: Iterable[Candidate]) -> dict[str, list[str]]:
    """Return the files of the plugins' entry modules, each with the names of its module."""
    found: dict[str, list[str]] = {}
    for module in dict.fromkeys(candidate.plugin.module for candidate in candidates):
        located = _located(module)
        if located is not None and located.file:
            found.setdefault(os.path.realpath(located.file), []).append(module)
    return found


def _prefixes(module: str) -> tuple[str, ...]:
    if not _DOTTED_NAME.fullmatch(module):
        return ()
    located, parent = _located(module), _located(module.rpartition(".")[0])
    if parent is None or parent.is_namespace or (located is not None and located.locations is not None):
        return (module,)
    return (module, module.rpartition(".")[0])


def _located(module: str) -> _Located | None:
    if not _DOTTED_NAME.fullmatch(module):
        return None
    found: _Located | None = None
    name = ""
    for part in module.split("."):
        path = None if found is None else found.locations
        if found is not None and path is None:
            return None
        name = f"{name}.{part}" if name else part
        found = _as_imported(name) or _by_finders(name, path) or _nested_namespace(part, path)
        if found is None:
            return None
    return found


def _as_imported(name: str) -> _Located | None:
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return None
    try:
        return _from_spec(spec, cast("Iterable[str] | None", getattr(module, "__path__", None)))
    except Exception:  # noqa: BLE001 - the path of a namespace cannot be read once its parent was taken out of sys.modules
        return None


def _by_finders(name: str, path: Sequence[str] | None) -> _Located | None:
    for finder in list(sys.meta_path):
        try:
            spec = finder.find_spec(name, path)
            if spec is not None:
                return _from_spec(spec, spec.submodule_search_locations)
        except Exception:  # noqa: BLE001, S112 - a finder that raises here raises again, and is reported, at the import
            continue
    return None


def _from_spec(spec: ModuleSpec, locations: Iterable[str] | None) -> _Located:
    return _Located(
        file=(spec.origin or "") if spec.has_location else "",
        locations=None if locations is None else tuple(locations),
        is_namespace=locations is not None and (spec.loader is None or isinstance(spec.loader, NamespaceLoader)),
    )


def _nested_namespace(part: str, path: Sequence[str] | None) -> _Located | None:
    """Find a folder without code inside a package; Python's finder does so only once the package is imported."""
    folders = tuple(folder for entry in path or () if os.path.isdir(folder := f"{entry}/{part}"))  # noqa: PTH112 - a text
    return _Located("", folders, is_namespace=True) if folders else None
