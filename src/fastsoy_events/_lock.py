"""Lock: what was reviewed, as a file: the plugins, and each event's contract and handlers in order.

Nothing in it depends on the machine: no path, no time, no address. It is imported only where a lock is used.
"""

from __future__ import annotations

import inspect
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from stat import S_ISREG
from typing import TYPE_CHECKING, TypeVar, cast

from fastsoy_events._signature import signature_text
from fastsoy_events.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastsoy_events._contract import Event
    from fastsoy_events._model import Handler, LoadReport, Plugin

SCHEMA = 1
LARGEST_FILE = 1 << 24  # bytes; a lock of ten thousand handlers needs a quarter of them

_LONGEST_TEXT = 2000  # characters of a message


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPlugin:
    """One plugin: which entry point of which distribution, and the module that it names."""

    distribution: str
    version: str
    entry_point: str
    module: str

    @property
    def id(self) -> str:
        """Return `distribution:entry-point`."""
        return f"{self.distribution}:{self.entry_point}"

    def as_plugin(self) -> Plugin:
        """Return it as a plugin that was found."""
        from fastsoy_events._model import Plugin

        return Plugin(name=self.entry_point, distribution=self.distribution, version=self.version, module=self.module)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedContract:
    """The contract of one event, and the plugin that declares it."""

    distribution: str
    entry_point: str
    signature: str
    contract_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedHandler:
    """One handler of one event, and the plugin that it belongs to."""

    id: str
    distribution: str
    version: str
    entry_point: str
    signature: str
    signature_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedEvent:
    """One event: its contract, where a plugin declares one, and the plugins' handlers in dispatch order."""

    contract: LockedContract | None
    handlers: tuple[LockedHandler, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What was reviewed. What the host declares is not in it.

    Args:
        fingerprint: that of the load's report; None where plugins were left out, so that it cannot be compared.
        plugins: those that are loaded, in plugin order.
        events: by name.
    """

    fingerprint: str | None
    plugins: tuple[LockedPlugin, ...]
    events: Mapping[str, LockedEvent]


_Texts = TypeVar("_Texts", LockedPlugin, LockedContract, LockedHandler)


# What is loaded, as a lock


def lock_of(report: LoadReport, contracts: Iterable[Event[...]]) -> Lock:
    """Return what a load found, as a lock.

    Args:
        report: of the load.
        contracts: those in force.
    """
    loaded = [plugin for plugin in report.plugins if plugin.status == "loaded"]
    declared = {each.name: _locked_contract(each) for each in contracts if each.distribution}
    handlers: dict[str, list[LockedHandler]] = {name: [] for name in declared}
    of_plugins = (handler for plugin in loaded for handler in plugin.handlers)
    for handler in sorted(of_plugins, key=lambda each: (each.event, each.position)):
        handlers.setdefault(handler.event, []).append(_locked_handler(handler))
    return Lock(
        fingerprint=report.fingerprint,
        plugins=tuple(locked_plugin(plugin) for plugin in loaded),
        events={
            name: LockedEvent(contract=declared.get(name), handlers=tuple(handlers[name])) for name in sorted(handlers)
        },
    )


def locked_plugin(plugin: Plugin) -> LockedPlugin:
    """Return what a lock holds of a plugin."""
    return LockedPlugin(
        distribution=plugin.distribution, version=plugin.version, entry_point=plugin.name, module=plugin.module
    )


def _locked_contract(contract: Event[...]) -> LockedContract:
    signature = signature_text(lambda: contract.signature)
    return LockedContract(
        distribution=contract.distribution,
        entry_point=contract.plugin,
        signature=signature,
        contract_hash=_short_hash(signature),
    )


def _locked_handler(handler: Handler) -> LockedHandler:
    signature = signature_text(lambda: inspect.signature(handler.function, follow_wrapped=False))
    return LockedHandler(
        id=handler.id,
        distribution=handler.distribution,
        version=handler.version,
        entry_point=handler.plugin,
        signature=signature,
        signature_hash=_short_hash(signature),
    )


def _short_hash(text: str) -> str:
    return sha256(text.encode(errors="backslashreplace")).hexdigest()[:12]


# Files


def as_text(lock: Lock) -> str:
    """Return the contents of a lock file; what is no ASCII is escaped, so that a reviewer sees every character."""
    return json.dumps({"schema": SCHEMA, **asdict(lock)}, indent=2) + "\n"


def read(place: str) -> Lock:
    """Read a lock file.

    Args:
        place: its path.

    Raises:
        LockError: where it cannot be read, or is not what `fastsoy-events lock` writes.
    """
    try:
        return _parsed(_contents(place))
    except (OSError, ValueError, RecursionError) as error:
        raise LockError(
            f"the lock file {one_line(place)} cannot be used: {one_line(_reason(error))}. "
            "Restore it, or write it with fastsoy-events lock"
        ) from error


def _contents(place: str) -> str:
    with open(place, "rb", opener=_open) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        contents = file.read(LARGEST_FILE + 1)
    if len(contents) > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
    return contents.decode()


def _open(place: str, flags: int) -> int:
    return os.open(place, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe must not wait


def _reason(error: Exception) -> str:
    match error:
        case OSError():
            return error.strerror or str(error)
        case UnicodeDecodeError():
            return f"it is not UTF-8 (byte {error.start})"
        case json.JSONDecodeError():
            return f"it is not JSON (line {error.lineno}: {error.msg})"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error)


def one_line(text: str) -> str:
    """Return a text that a message may show: one line, no control characters, and not too long."""
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    return shown if shown.isprintable() else "".join(each if each.isprintable() else " " for each in shown)


def _parsed(text: str) -> Lock:
    document = _object(json.loads(text, object_pairs_hook=_without_repeats), "the file")
    schema = document.get("schema")
    if schema != SCHEMA or type(schema) is not int:
        raise ValueError(f"its schema is {str(schema)[:20]!r}, and this version of fastsoy-events reads {SCHEMA}")
    plugins = [
        _texts(LockedPlugin, each, f"plugins[{place}]") for place, each in enumerate(_list(document, "plugins", "it"))
    ]
    _refuse_repeats([(each.distribution, each.entry_point) for each in plugins], "plugins")
    return Lock(
        fingerprint=_text(document, "fingerprint", "it"),
        plugins=tuple(plugins),
        events={
            name: _event(each, f"the event {name[:100]!r}")
            for name, each in sorted(_object(document.get("events"), "events").items())
        },
    )


def _event(value: object, where: str) -> LockedEvent:
    members = _object(value, where)
    if "contract" not in members:
        raise ValueError(f"{where} has no 'contract', not even null")
    contract = members["contract"]
    handlers = [
        _texts(LockedHandler, each, f"{where}, handlers[{place}],")
        for place, each in enumerate(_list(members, "handlers", where))
    ]
    _refuse_repeats([each.id for each in handlers], where)
    if contract is None and not handlers:
        raise ValueError(f"{where} has neither a contract nor a handler")
    return LockedEvent(
        contract=None if contract is None else _texts(LockedContract, contract, f"{where}, contract,"),
        handlers=tuple(handlers),
    )


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse what a reviewer would read differently than a program: one name with two values."""
    _refuse_repeats([name for name, _ in pairs], "one object")
    return dict(pairs)


def _refuse_repeats(names: Sequence[object], where: str) -> None:
    if len(set(names)) < len(names):
        [(repeat, _)] = Counter(names).most_common(1)
        raise ValueError(f"{where} names {str(repeat)[:100]!r} twice")


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no JSON object")  # noqa: TRY004 - a file is at fault, and no code
    return cast("dict[str, object]", value)


def _list(members: Mapping[str, object], name: str, where: str) -> list[object]:
    value = members.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{where} has no list {name!r}")  # noqa: TRY004 - likewise
    return cast("list[object]", value)


def _text(members: Mapping[str, object], name: str, where: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{where} has no text {name!r}")  # noqa: TRY004 - likewise
    return value


def _texts(kind: type[_Texts], value: object, where: str) -> _Texts:
    members = _object(value, where)
    return kind(**{field.name: _text(members, field.name, where) for field in fields(kind)})
