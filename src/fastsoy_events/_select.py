"""Select: which candidates may be imported, by the host's arguments and the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from fastsoy_events._installed import as_folders
from fastsoy_events._record import canonical_name
from fastsoy_events.errors import UnknownPluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from fastsoy_events._model import Candidate, Plugin, Status


_ALLOWED = "FASTSOY_EVENTS_ALLOWED (or --allow)"
_DISABLED = "FASTSOY_EVENTS_DISABLED (or --disable)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What `load_plugins` was called with, in one form so that two calls can be compared."""

    path: tuple[str, ...] | None = None
    order: tuple[str, ...] = ()
    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    strict: bool = False
    lock: str | None = None

    def changes(self, before: Arguments | None) -> str:
        """Tell in words what differs from an earlier call."""
        pairs = ((name, getattr(before, name, None), getattr(self, name)) for name in self.__slots__)
        return "; ".join(f"{name}={_shown(new)}, before {_shown(old)}" for name, old, new in pairs if old != new)

    @classmethod
    def of(
        cls,
        path: Sequence[str | os.PathLike[str]] | None,
        order: Sequence[str],
        allowed: Collection[str] | None,
        disabled: Collection[str],
        *,
        strict: bool,
        lock: str | os.PathLike[str] | None,
    ) -> Arguments:
        """Check and normalise the arguments.

        Raises:
            TypeError: where one value stands for several, or a set for a sequence, or anything for a path.
        """
        folders = as_folders(path)
        for argument, value in {"order": order, "allowed": allowed, "disabled": disabled}.items():
            if isinstance(value, str | bytes | os.PathLike):
                raise TypeError(f"{argument} takes several values: write {argument}=[{value!r}]")
        if isinstance(order, set | frozenset):
            raise TypeError(f"order takes a sequence, for a set has no order: write order={sorted(order)}")
        for argument, names in {"order": order, "allowed": allowed, "disabled": disabled}.items():
            odd = [name for name in names or () if not isinstance(name, str)]  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
            if odd:
                raise TypeError(f"{argument} takes names: {odd[0]!r} is none")
        return cls(
            path=folders,
            order=tuple(order),
            allowed=None if allowed is None else frozenset(allowed),
            disabled=frozenset(disabled),
            strict=strict,
            lock=None if lock is None else _as_file(lock),
        )


def _as_file(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
        raise TypeError(f"lock takes the path of one file: {path!r} is none")
    return _absolute(os.fsdecode(path))


def _absolute(file: str) -> str:
    """Return a file as an absolute text; an empty one stays so, and is refused where the file is read."""
    try:
        return os.path.abspath(file) if file else ""  # noqa: PTH100 - texts
    except OSError:  # the working directory is gone, and the file cannot be read either
        return file


def _shown(argument: object) -> str:
    return str(sorted(cast("frozenset[str]", argument))) if isinstance(argument, frozenset) else repr(argument)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which candidates may be imported.

    Args:
        candidates: in plugin order, with the status `disabled` or `blocked` where that holds.
        warnings: one for each blocked distribution.
        unknown: one for each name that fits nothing found.
    """

    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    unknown: tuple[UnknownPluginError, ...]


def statuses(arguments: Arguments, environment: Mapping[str, str]) -> Callable[[Plugin], Status]:
    """Return what tells the status that a plugin has before it is loaded: `disabled` or `blocked`, or its own.

    Args:
        arguments: of the call.
        environment: where `FASTSOY_EVENTS_ALLOWED` and `FASTSOY_EVENTS_DISABLED` may stand.
    """
    names = _named(arguments, environment)
    allowed = [names["allowed"]] if arguments.allowed is not None else []
    if "FASTSOY_EVENTS_ALLOWED" in environment:
        allowed.append(names[_ALLOWED])
    disabled = names["disabled"] | names[_DISABLED]

    def status(plugin: Plugin) -> Status:
        if any(plugin.goes_by(name) for name in disabled):
            return "disabled"
        if any(plugin.distribution not in map(canonical_name, names) for names in allowed):
            return "blocked"
        return plugin.status

    return status


def lock_files(arguments: Arguments, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the lock files that the argument and `FASTSOY_EVENTS_LOCK` name: one, unless they disagree.

    Args:
        arguments: of the call.
        environment: where the variable may stand.
    """
    named = [] if arguments.lock is None else [arguments.lock]
    if "FASTSOY_EVENTS_LOCK" in environment:
        named.append(_absolute(environment["FASTSOY_EVENTS_LOCK"]))
    return tuple(dict.fromkeys(named))


def select(candidates: Sequence[Candidate], arguments: Arguments, environment: Mapping[str, str]) -> Selection:
    """Apply `allowed` and `disabled`, and the environment variables that narrow them.

    Args:
        candidates: in plugin order.
        arguments: of the call.
        environment: where `FASTSOY_EVENTS_ALLOWED` and `FASTSOY_EVENTS_DISABLED` may stand.
    """
    status = statuses(arguments, environment)
    chosen = [with_status(candidate, status(candidate.plugin)) for candidate in candidates]
    blocked = dict.fromkeys(each.plugin.distribution for each in chosen if each.plugin.status == "blocked")
    return Selection(
        candidates=tuple(chosen),
        warnings=(
            f"Plugins of {', '.join(blocked)} are blocked: installed, but not among the allowed distributions. "
            "Allow or uninstall them",
        )
        if blocked
        else (),
        unknown=tuple(_unknown(_named(arguments, environment), candidates)),
    )


def _named(arguments: Arguments, environment: Mapping[str, str]) -> dict[str, set[str]]:
    return {
        "order": set(arguments.order),
        "allowed": set(arguments.allowed or ()),
        "disabled": set(arguments.disabled),
        _ALLOWED: _names_in(environment, "FASTSOY_EVENTS_ALLOWED"),
        _DISABLED: _names_in(environment, "FASTSOY_EVENTS_DISABLED"),
    }


def _names_in(environment: Mapping[str, str], variable: str) -> set[str]:
    return {name for text in environment.get(variable, "").split(",") if (name := text.strip())}


def with_status(candidate: Candidate, status: Status) -> Candidate:
    """Return a candidate that has a status; its error goes with the status `failed`."""
    plugin = candidate.plugin
    if plugin.status == status:
        return candidate
    return replace(candidate, plugin=replace(plugin, status=status, error=None))


def _unknown(names: Mapping[str, Collection[str]], candidates: Sequence[Candidate]) -> Iterator[UnknownPluginError]:
    plugins = [candidate.plugin for candidate in candidates]
    distributions = {plugin.distribution for plugin in plugins}
    for where, given in names.items():
        only_distributions = where in ("allowed", _ALLOWED)
        known = distributions if only_distributions else distributions | {plugin.name for plugin in plugins}
        for name in sorted(given):
            if canonical_name(name) in distributions:
                continue
            if not only_distributions and any(plugin.goes_by(name) for plugin in plugins):
                continue
            nearest = get_close_matches(name, sorted(known), n=1)
            kind = "distribution" if only_distributions else "plugin or distribution"
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Found: {', '.join(sorted(known)) or 'none'}."
            yield UnknownPluginError(f"{where} names {name!r}, but no {kind} of that name was found. {hint}", name=name)
