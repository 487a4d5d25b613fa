"""Compare: in what two locks differ, in words for a reviewer."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from fastsoy_events import _lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fastsoy_events._lock import Lock, LockedContract, LockedHandler, LockedPlugin
    from fastsoy_events.errors import PluginError

Kind: TypeAlias = Literal[
    "plugin-added",
    "plugin-removed",
    "plugin-failed",
    "plugin-moved",
    "version-changed",
    "module-changed",
    "contract-added",
    "contract-removed",
    "contract-moved",
    "contract-changed",
    "handler-added",
    "handler-removed",
    "handler-moved",
    "handler-changed",
    "signature-changed",
    "fingerprint-changed",
]
_EXPLAINS_THE_FINGERPRINT = {"handler-added", "handler-removed", "handler-moved"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact in which two locks differ.

    Args:
        kind: what differs, in a word that does not change between versions.
        message: what is so now, and what was so before, on one line.
        distribution: the distribution that it is about; empty where it is about none.
        event: the event that it is about; likewise.
        handler: the id of the handler that it is about; likewise.
    """

    kind: Kind
    message: str
    distribution: str = ""
    event: str = ""
    handler: str = ""

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, str | None]:
        """Return it as a value of `differences` in `fastsoy-events lock --check --json`."""
        return {
            "kind": self.kind,
            "event": self.event or None,
            "handler": self.handler or None,
            "distribution": self.distribution or None,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class _Sides:
    """The plugins of both locks, by id, for what is said of their handlers and contracts."""

    before: Mapping[str, LockedPlugin]
    now: Mapping[str, LockedPlugin]

    def explain(self, before: LockedHandler, now: LockedHandler) -> bool:
        """Tell whether a handler has changed with its plugin alone, of which it was said."""
        plugin = _owner(now)
        earlier, later = self.before.get(plugin), self.now.get(plugin)
        return (
            plugin == _owner(before)
            and earlier is not None
            and later is not None
            and (earlier.version, later.version) == (before.version, now.version)
        )


def difference(before: Lock, now: Lock, failures: Sequence[PluginError] = ()) -> tuple[Difference, ...]:
    """Return in what two locks differ: first the plugins, then the events by name.

    Args:
        before: what was reviewed.
        now: what is.
        failures: why plugins are missing now.
    """
    sides = _Sides({each.id: each for each in before.plugins}, {each.id: each for each in now.plugins})
    found = [*plugin_facts(before.plugins, now.plugins, failures), *_moved_plugins(sides)]
    nothing = _lock.LockedEvent(contract=None, handlers=())
    for name in sorted({*before.events, *now.events}):
        earlier, later = before.events.get(name, nothing), now.events.get(name, nothing)
        shown = _lock.one_line(name)  # once: it stands in the message of each handler
        found += _contract_facts(shown, earlier.contract, later.contract, sides)
        found += _Handlers(shown, earlier.handlers, later.handlers, sides).facts()
    if not any(each.kind in _EXPLAINS_THE_FINGERPRINT for each in found):
        found += _fingerprint_facts(before.fingerprint, now.fingerprint)
    return tuple(dict.fromkeys(found))


def _fact(kind: Kind, message: str, distribution: str = "", event: str = "", handler: str = "") -> Difference:
    return Difference(
        kind=kind,
        message=_lock.one_line(message),
        distribution=_lock.one_line(distribution),
        event=event,
        handler=_lock.one_line(handler),
    )


def _fingerprint_facts(before: str | None, now: str | None) -> Iterator[Difference]:
    if before is not None and now is not None and before != now:
        yield _fact("fingerprint-changed", f"the fingerprint is {now}, and was {before}")


# Plugins


def plugin_facts(
    before: Iterable[LockedPlugin], now: Iterable[LockedPlugin], failures: Sequence[PluginError] = ()
) -> Iterator[Difference]:
    """Yield in what the plugins differ, their order aside."""
    earlier, later = {each.id: each for each in before}, {each.id: each for each in now}
    for plugin in later.values():
        yield from _plugin_facts(earlier.get(plugin.id), plugin)
    for failure in failures:
        yield _fact("plugin-failed", str(failure), failure.distribution)
    failed = {(failure.distribution, failure.entry_point) for failure in failures}
    for plugin in earlier.values():
        if plugin.id not in later and failed.isdisjoint(
            {(plugin.distribution, plugin.entry_point), (plugin.distribution, "")}
        ):
            message = f"{_named(plugin)} is gone, with its entry point {plugin.entry_point} for {plugin.module}"
            yield _fact("plugin-removed", message, plugin.distribution)


def _plugin_facts(before: LockedPlugin | None, now: LockedPlugin) -> Iterator[Difference]:
    if before is None:
        message = f"{_named(now)} is new, with the entry point {now.entry_point} for {now.module}"
        yield _fact("plugin-added", message, now.distribution)
        return
    if before.version != now.version:
        message = f"{now.distribution} is {now.version or 'without a version'}, and was {before.version or 'without'}"
        yield _fact("version-changed", message, now.distribution)
    if before.module != now.module:
        message = f"{_named(now)} moves its entry point {now.entry_point} to {now.module}, from {before.module}"
        yield _fact("module-changed", message, now.distribution)


def _moved_plugins(sides: _Sides) -> Iterator[Difference]:
    before, now = {name: place for place, name in enumerate(sides.before)}, list(sides.now)
    moved = _moved(before, now)
    for place, name in enumerate(now):
        if name in moved:
            message = f"{name} is #{place + 1} of the plugins, {_beside(now, place)}, and was #{before[name] + 1}"
            yield _fact("plugin-moved", message, sides.now[name].distribution)


def _named(owner: LockedPlugin | LockedHandler) -> str:
    return f"{owner.distribution} {owner.version}".strip()


def _owner(of: LockedContract | LockedHandler) -> str:
    return f"{of.distribution}:{of.entry_point}"


# Contracts


def _contract_facts(
    event: str, before: LockedContract | None, now: LockedContract | None, sides: _Sides
) -> Iterator[Difference]:
    if now is None:
        if before is not None:
            message = f"{event} loses the contract of {_declarer(before, sides.before)}, which was {before.signature}"
            yield _fact("contract-removed", message, before.distribution, event)
        return
    declarer = _declarer(now, sides.now)
    if before is None:
        message = f"{declarer} gives {event} the contract {now.signature}"
        yield _fact("contract-added", message, now.distribution, event)
        return
    if _owner(before) != _owner(now):
        message = f"the contract of {event} is that of {_owner(now)}, and was that of {_owner(before)}"
        yield _fact("contract-moved", message, now.distribution, event)
    if change := _change(before.signature, before.contract_hash, now.signature, now.contract_hash):
        message = f"{declarer} changes the contract of {event} to {change}"
        yield _fact("contract-changed", message, now.distribution, event)


def _declarer(contract: LockedContract, plugins: Mapping[str, LockedPlugin]) -> str:
    plugin = plugins.get(_owner(contract))
    return _named(plugin) if plugin else contract.distribution


def _change(before: str, hash_before: str, now: str, hash_now: str) -> str:
    if before != now:
        return f"{now}, from {before}"
    return f"the hash {hash_now}, from {hash_before}" if hash_before != hash_now else ""


# Handlers


class _Handlers:
    """The handlers of one event in both locks."""

    def __init__(
        self, event: str, before: Sequence[LockedHandler], now: Sequence[LockedHandler], sides: _Sides
    ) -> None:
        self._event = event
        self._sides = sides
        self._before = {each.id: each for each in before}
        self._now = {each.id: each for each in now}

    def facts(self) -> Iterator[Difference]:
        """Yield in what they differ: those that are there in their order, then those that are gone."""
        places = {name: f"#{place + 1}" for place, name in enumerate(self._before)}
        now = list(self._now)
        moved = _moved(places, now)
        for place, name in enumerate(now):
            handler = self._now[name]
            message = f"{_named(handler)} puts {name} at #{place + 1} of {self._event}, {_beside(now, place)}"
            if name not in self._before:
                yield self._fact("handler-added", message, handler)
            elif name in moved:
                yield self._fact("handler-moved", f"{message}, and it was {places[name]}", handler)
            if name in self._before:
                yield from self._changes(self._before[name], handler)
        for name, handler in self._before.items():
            if name not in self._now:
                message = f"{self._event} loses {name} of {_named(handler)}, which was {places[name]}"
                yield self._fact("handler-removed", message, handler)

    def _changes(self, before: LockedHandler, now: LockedHandler) -> Iterator[Difference]:
        owners = [f"{_owner(each)} {each.version}" for each in (before, now)]
        if owners[0] != owners[1] and not self._sides.explain(before, now):
            message = f"{now.id} of {self._event} belongs to {owners[1]}, and belonged to {owners[0]}"
            yield self._fact("handler-changed", message, now)
        if change := _change(before.signature, before.signature_hash, now.signature, now.signature_hash):
            message = f"{_named(now)} changes {now.id} of {self._event} to {change}"
            yield self._fact("signature-changed", message, now)

    def _fact(self, kind: Kind, message: str, handler: LockedHandler) -> Difference:
        return _fact(kind, message, handler.distribution, self._event, handler.id)


def _beside(names: Sequence[str], place: int) -> str:
    if place + 1 < len(names):
        return f"before {names[place + 1]}"
    return f"after {names[place - 1]}" if place else "alone"


def _moved(before: Iterable[str], now: Iterable[str]) -> set[str]:
    """Return the fewest names without which those in both have one order: all but a longest increasing sequence."""
    ranks = {name: rank for rank, name in enumerate(before)}
    common = [(ranks[name], name) for name in now if name in ranks]
    lowest: list[int] = []  # the lowest rank in which a sequence of each length can end
    links: dict[int, int | None] = {}  # the rank that comes before each in its sequence
    for rank, _ in common:
        length = bisect_left(lowest, rank)
        links[rank] = lowest[length - 1] if length else None
        lowest[length : length + 1] = [rank]
    stay: set[int] = set()
    last = lowest[-1] if lowest else None
    while last is not None:
        stay.add(last)
        last = links[last]
    return {name for rank, name in common if rank not in stay}
