"""Arrivals: wheels as if they were installed, each in the place of what it replaces. Nothing is imported.

What wheels declare is read by the very functions that read what is installed, so that both always agree.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from fastsoy_events._claim import Located, claims
from fastsoy_events._discover import by_name, candidates_of, entry_points_of, the_one_that_counts
from fastsoy_events._installed import installed
from fastsoy_events._load import folders_first
from fastsoy_events._order import HOST, owner
from fastsoy_events._record import Roster
from fastsoy_events.inspection.check._installed import Metadata, metadata_of, modules_of, text_of
from fastsoy_events.inspection.preview._wheels import WheelError
from fastsoy_events.inspection.source._places import FileSources, InstalledSources, Sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fastsoy_events._discover import Found
    from fastsoy_events._installed import Installed
    from fastsoy_events._model import Candidate
    from fastsoy_events.inspection.preview._wheels import Wheel
    from fastsoy_events.inspection.source._places import Files
    from fastsoy_events.inspection.source._places import Found as FoundModule


MOST_PLUGINS = 500  # of all wheels together
_OF_EDITABLE = ("__editable__", "_editable_impl_")  # how the modules begin that stand for those elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One wheel, and what it would do to what is installed.

    Args:
        wheel: the wheel.
        distribution: the canonical name that its metadata has.
        version: likewise.
        replaces: the version that is installed, empty where nobody knows it; None where none is.
        modules: the dotted names of its modules.
    """

    wheel: Wheel
    distribution: str
    version: str
    replaces: str | None
    modules: tuple[str, ...]

    @property
    def change(self) -> str:
        """Return `new`, or what the wheel replaces, in words."""
        if self.replaces is None:
            return "new"
        if self.replaces == self.version:
            return f"replaces the same version {self.replaces}".rstrip()
        try:
            kind = "an upgrade" if Version(self.version) > Version(self.replaces) else "a downgrade"
        except InvalidVersion:
            kind = "another version"
        return f"replaces {self.replaces or 'an unknown version'}, {kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is installed: as it is, or as it would be.

    Args:
        candidates: the plugins, in no promised order.
        warnings: what deserves a look about the distributions.
        sources: where modules are.
        metadata: the metadata folders.
    """

    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    sources: Sources
    metadata: tuple[Metadata, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What is installed, and what would be.

    Args:
        arrivals: the wheels.
        before: without them.
        after: with them.
    """

    arrivals: tuple[Arrival, ...]
    before: Side
    after: Side


def arrivals(wheels: Sequence[Wheel], path: Sequence[str] | None) -> Arrivals:
    """Discover plugins with wheels and without them.

    Args:
        wheels: those that would be installed, all of them.
        path: the folders to look in; None for `sys.path`.

    Raises:
        WheelError: where two wheels are of one distribution, or they have too many plugins.
    """
    unsearchable: list[str] = []
    sources = list(installed(path, unsearchable))
    found_by_name = _by_name(sources, wheels)
    coming = _coming(found_by_name, wheels)
    before, after = _Discovered(unsearchable), _Discovered(unsearchable)
    of_wheels = {wheel: _OfWheel(wheel.members) for wheel in wheels}
    found_in: dict[Wheel, Arrival] = {}
    gone: dict[Wheel, _Gone] = {}
    for same_name in found_by_name.values():
        there = [found for found in same_name if found.source not in coming]
        candidates = before.take(there)
        wheel = next((found for found in same_name if found.source in coming), None)
        after.take(there if wheel is None else [wheel])
        if wheel is not None:
            file = coming[wheel.source]
            gone[file] = _Gone([found.source for found in there], candidates, path)
            found_in[file] = _arrival(file, of_wheels[file].modules, wheel, there)
    _refuse_too_many(after.candidates, {each.distribution for each in found_in.values()})
    replaced = {source for each in gone.values() for source in each.sources}
    staying = (each for each in sources if each not in replaced)
    return Arrivals(
        arrivals=tuple(found_in[wheel] for wheel in wheels),
        before=before.side(InstalledSources(), sources),
        after=after.side(_with_wheels(of_wheels, gone), (*staying, *coming)),
    )


def _arrival(wheel: Wheel, modules: tuple[str, ...], found: Found, there: list[Found]) -> Arrival:
    replaces = the_one_that_counts(there, []).version if there else None
    return Arrival(wheel=wheel, distribution=found.name, version=found.version, replaces=replaces, modules=modules)


def _refuse_too_many(candidates: Sequence[Candidate], distributions: set[str]) -> None:
    count = sum(each.plugin.distribution in distributions for each in candidates)
    if count > MOST_PLUGINS:
        raise WheelError([f"the wheels have {count} plugins, of which at most {MOST_PLUGINS} are looked at"])


def _by_name(sources: Sequence[Installed], wheels: Sequence[Wheel]) -> dict[str, list[Found]]:
    """Return the distributions with plugins, the wheels, and whatever has the name of one of these."""
    read = {source: entry_points_of(source) for source in sources}
    concerned = {source: contents for source, contents in read.items() if contents is not None}
    concerned |= {wheel.metadata: entry_points_of(wheel.metadata) or b"" for wheel in wheels}
    return by_name([*sources, *(wheel.metadata for wheel in wheels)], concerned)


def _coming(found_by_name: dict[str, list[Found]], wheels: Sequence[Wheel]) -> dict[Installed, Wheel]:
    coming = {wheel.metadata: wheel for wheel in wheels}
    reasons: list[str] = []
    for name, same_name in found_by_name.items():
        files = [coming[found.source].file for found in same_name if found.source in coming]
        if len(files) > 1:
            reasons.append(f"{' and '.join(files)} are all {name}, of which one version can be installed: name one")
    if reasons:
        raise WheelError(reasons)
    return coming


class _Discovered:
    """The plugins of one side, as they are discovered."""

    def __init__(self, warnings: Iterable[str]) -> None:
        self._warnings = list(warnings)
        self.candidates: list[Candidate] = []

    def take(self, same_name: list[Found]) -> list[Candidate]:
        """Add the plugins of one distribution, of which several may be installed, and return them."""
        if not same_name:
            return []
        candidates = candidates_of(the_one_that_counts(same_name, self._warnings))
        self.candidates += candidates
        return candidates

    def side(self, sources: Sources, folders: Iterable[Installed]) -> Side:
        return Side(
            candidates=tuple(self.candidates),
            warnings=tuple(self._warnings),
            sources=sources,
            metadata=tuple(map(metadata_of, folders)),
        )


# Modules


class _Gone:
    """The modules of a distribution that would be uninstalled: those that it recorded, or else its plugins'.

    Args:
        sources: its metadata folders; editable ones record no module.
        candidates: its plugins.
        path: the folders to look in.
    """

    def __init__(
        self, sources: Sequence[Installed], candidates: Sequence[Candidate], path: Sequence[str] | None
    ) -> None:
        self.sources = frozenset(sources)
        recorded = {module for source in sources for module in modules_of(text_of(source, "RECORD"))}
        self._modules = {module for module in recorded if not module.startswith(_OF_EDITABLE)}
        with folders_first(path):
            self._roster = Roster() if self._modules else claims(candidates).roster

    def __contains__(self, module: str) -> bool:
        return module in self._modules or owner(module, self._roster) != HOST


def _with_wheels(wheels: Mapping[Wheel, Sources], gone: Mapping[Wheel, _Gone]) -> Sources:
    sources: Sources = InstalledSources()
    for wheel, of_wheel in wheels.items():
        sources = _Overwritten(of_wheel, _Remaining(sources, gone[wheel]))
    return sources


class _Remaining(Sources):
    """What stays where modules are uninstalled."""

    def __init__(self, sources: Sources, gone: _Gone) -> None:
        self._all = sources
        self._gone = gone

    def locate(self, module: str) -> Located | None:
        """Return where a module is; where its code goes, what stays is a package without."""
        located = self._all.locate(module)
        if located is None or module not in self._gone:
            return located
        return None if located.locations is None else Located("", located.locations, is_namespace=True)

    def below(self, prefix: str) -> Iterator[FoundModule]:
        """Yield a module and those inside it, by dotted name."""
        return (found for found in self._all.below(prefix) if found.module not in self._gone)


class _OfWheel(FileSources):
    """The modules of a wheel; found quickly, since it may have many plugins."""

    def __init__(self, files: Files) -> None:
        super().__init__(files)
        self.modules = tuple(self._found)  # sorted; a dot comes before all that may stand in an identifier

    def below(self, prefix: str) -> Iterator[FoundModule]:
        """Yield a module and those inside it, by dotted name."""
        names = self.modules
        for place in range(bisect_left(names, prefix), len(names)):
            if not f"{names[place]}.".startswith(f"{prefix}."):
                return
            yield self._found[names[place]]


class _Overwritten(Sources):
    """A wheel's modules in the folder in which others lie: an installer writes over them, file by file."""

    def __init__(self, upper: Sources, lower: Sources) -> None:
        self._upper = upper
        self._lower = lower

    def locate(self, module: str) -> Located | None:
        """Return where a module is."""
        located = self._upper.locate(module)
        if located is not None and not located.is_namespace:
            return located
        return self._lower.locate(module) or located

    def below(self, prefix: str) -> Iterator[FoundModule]:
        """Yield a module and those inside it, by dotted name."""
        seen: set[str] = set()
        for found in self._upper.below(prefix):
            seen.add(found.module)
            yield found
        yield from (found for found in self._lower.below(prefix) if found.module not in seen)
