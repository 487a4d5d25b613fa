"""Review: holds a load to a lock. What the lock does not have is blocked, and any other difference stops the load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastsoy_events import _lock
from fastsoy_events._compare import difference, plugin_facts
from fastsoy_events._select import with_status
from fastsoy_events.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastsoy_events._compare import Difference
    from fastsoy_events._contract import Event
    from fastsoy_events._lock import Lock, LockedContract, LockedHandler, LockedPlugin
    from fastsoy_events._model import LoadReport, Plugin, Status
    from fastsoy_events._select import Selection


@dataclass(frozen=True, slots=True)
class Review:
    """What a lock says of what was found.

    Args:
        place: the lock file.
        lock: what it holds, without the plugins that the host leaves out; None where it cannot be used.
        selection: what may be imported; where there is an error, nothing.
        error: why no plugin may take part; None as far as is known before the import.
    """

    place: str
    lock: Lock | None
    selection: Selection
    error: LockError | None = None

    def verdict(self, report: LoadReport, contracts: Iterable[Event[...]]) -> LockError | None:
        """Return why no plugin may take part after all; None where the load is what was reviewed.

        Args:
            report: of the load.
            contracts: those in force.
        """
        if self.error is not None or self.lock is None:
            return self.error
        differences = difference(self.lock, _lock.lock_of(report, contracts), report.failures)
        return _error(self.place, differences) if differences else None


def review(files: Sequence[str], selection: Selection, status: Callable[[Plugin], Status]) -> Review:
    """Compare what was found with a lock, before anything is imported.

    Args:
        files: the lock file; two where the argument and the environment name different ones.
        selection: what the host lets in.
        status: tells what the host leaves out: its plugins are compared on neither side.
    """
    place = files[0]
    try:
        lock = _lock.read(_the_one(files))
    except LockError as error:
        return Review(place, None, _none_of(selection), error)
    lock = without(lock, lambda each: status(each.as_plugin()) != "discovered")
    selection = _only_locked(selection, lock, place)
    differences = tuple(_before_the_import(lock, selection))
    if differences:
        return Review(place, lock, _none_of(selection), _error(place, differences))
    return Review(place, lock, selection)


def _the_one(files: Sequence[str]) -> str:
    if "" in files:
        raise LockError("the lock file has no name: give lock, or FASTSOY_EVENTS_LOCK, a path, or leave it out")
    if len(files) > 1:
        raise LockError(
            f"two lock files are named, {files[0]} by load_plugins(lock=...) and {files[1]} by FASTSOY_EVENTS_LOCK: "
            "name one, or the same in both"
        )
    return files[0]


def without(lock: Lock, leaves_out: Callable[[LockedPlugin], bool]) -> Lock:
    """Return a lock without some of its plugins, their contracts and their handlers.

    Args:
        lock: the whole.
        leaves_out: tells which plugins are left out.
    """
    left_out = {(each.distribution, each.entry_point) for each in lock.plugins if leaves_out(each)}
    if not left_out:
        return lock

    def stays(each: LockedPlugin | LockedContract | LockedHandler) -> bool:
        return (each.distribution, each.entry_point) not in left_out

    events = {
        name: _lock.LockedEvent(
            contract=event.contract if event.contract and stays(event.contract) else None,
            handlers=tuple(filter(stays, event.handlers)),
        )
        for name, event in lock.events.items()
    }
    return replace(
        lock,
        fingerprint=None,
        plugins=tuple(filter(stays, lock.plugins)),
        events={name: event for name, event in events.items() if event.contract or event.handlers},
    )


def _only_locked(selection: Selection, lock: Lock, place: str) -> Selection:
    """Block what the lock does not have; what is broken in a distribution that it has is no other plugin."""
    plugins = {each.id for each in lock.plugins}
    distributions = {each.distribution for each in lock.plugins}

    def is_unknown(plugin: Plugin) -> bool:
        if plugin.status == "failed":
            return plugin.distribution not in distributions
        return plugin.status == "discovered" and plugin.id not in plugins

    unknown = dict.fromkeys(each.plugin.id.rstrip(":") for each in selection.candidates if is_unknown(each.plugin))
    if not unknown:
        return selection
    warning = (
        f"Plugins that {place} does not have are blocked: {', '.join(unknown)}. Review them and run "
        "fastsoy-events lock, or uninstall them"
    )
    return replace(
        selection,
        candidates=tuple(
            with_status(each, "blocked") if is_unknown(each.plugin) else each for each in selection.candidates
        ),
        warnings=(*selection.warnings, warning),
    )


def _before_the_import(lock: Lock, selection: Selection) -> Iterable[Difference]:
    plugins = [each.plugin for each in selection.candidates]
    found = [_lock.locked_plugin(each) for each in plugins if each.status == "discovered"]
    return plugin_facts(lock.plugins, found, [each.error for each in plugins if each.error is not None])


def _none_of(selection: Selection) -> Selection:
    candidates = [
        with_status(each, "blocked") if each.plugin.status == "discovered" else each for each in selection.candidates
    ]
    return replace(selection, candidates=tuple(candidates))


def _error(place: str, differences: tuple[Difference, ...]) -> LockError:
    return LockError(
        f"the plugins are not what {place} holds, so none of them takes part. Install what was reviewed; or review "
        "these differences, and run fastsoy-events lock:",
        differences,
    )
