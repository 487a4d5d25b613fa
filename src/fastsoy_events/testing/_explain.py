"""Explain: what a failed check says. Pure functions."""

from __future__ import annotations

from difflib import get_close_matches
from reprlib import Repr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastsoy_events.testing._captured import Emitted

_MOST_LISTED = 50
_ABSENT = object()
_short = Repr()
_short.maxstring = _short.maxother = 60
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = 6


def differences(expected: Mapping[str, object], payload: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keywords in which an emit is not as expected."""
    return tuple(name for name, value in expected.items() if not _are_equal(value, payload.get(name, _ABSENT)))


def _are_equal(expected: object, emitted: object) -> bool:
    if emitted is _ABSENT:
        return False
    try:
        return expected is emitted or bool(expected == emitted)
    except Exception:  # noqa: BLE001 - what cannot be compared, such as an array, is not known to be equal
        return False


def missing(name: str, payload: Mapping[str, object], times: int | None, found: int, emitted: Sequence[Emitted]) -> str:
    """Say that an event was not emitted, or not as often as expected."""
    first = f"{_wanted(name, payload)} was not emitted."
    if times is not None:
        first = f"{_wanted(name, payload)} was emitted {_count(found)}, and {_count(times)} expected."
    is_too_few = times is None or found < times
    return "\n".join([first, *(_nearest(name, payload, emitted) if is_too_few else ()), *_listing(emitted)])


def unwanted(name: str, payload: Mapping[str, object], found: int, emitted: Sequence[Emitted]) -> str:
    """Say that an event was emitted that should not have been."""
    return "\n".join([f"{_wanted(name, payload)} was emitted {_count(found)}, and never expected.", *_listing(emitted)])


def out_of_order(names: Sequence[str], place: int, emitted: Sequence[Emitted]) -> str:
    """Say which event did not follow."""
    name = names[place]
    after = f" after {' > '.join(names[:place])}" if place else ""
    return "\n".join([f"{name} was not emitted{after}.", *_similar(name, emitted), *_listing(emitted)])


def _count(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _wanted(name: str, payload: Mapping[str, object]) -> str:
    return _shown(name, payload) if payload else name


def _shown(name: str, payload: Mapping[str, object]) -> str:
    """Return an emit as it would be written."""
    return f"{name}({', '.join(f'{keyword}={_repr(value)}' for keyword, value in payload.items())})"


def _repr(value: object) -> str:
    try:
        return _short.repr(value)
    except Exception:  # noqa: BLE001 - a value that cannot be shown must not hide what the check found
        return f"<{type(value).__name__}>"


def _nearest(name: str, payload: Mapping[str, object], emitted: Sequence[Emitted]) -> Iterator[str]:
    """Say how the emit of this name that fits best differs; of several, the first."""
    candidates = [
        (number, each, differ)
        for number, each in enumerate(emitted, 1)
        if each.name == name and (differ := differences(payload, each.payload))
    ]
    if not candidates:
        yield from _similar(name, emitted)
        return
    number, nearest, differ = min(candidates, key=lambda candidate: len(candidate[2]))
    yield f"The nearest is number {number}:"
    for keyword in differ:
        value = _repr(nearest.payload[keyword]) if keyword in nearest.payload else "missing"
        yield f"  {keyword}: expected {_repr(payload[keyword])}, emitted {value}"


def _similar(name: str, emitted: Sequence[Emitted]) -> Iterator[str]:
    names = {each.name for each in emitted}
    if name not in names:
        yield from (f"Did you mean {match}?" for match in get_close_matches(name, sorted(names), n=1))


def _listing(emitted: Sequence[Emitted]) -> Iterator[str]:
    if not emitted:
        yield "Nothing was emitted."
        return
    yield "Emitted:"
    for number, each in enumerate(emitted[:_MOST_LISTED], 1):
        yield f"  {number}. {_shown(each.name, each.payload)}"
    if len(emitted) > _MOST_LISTED:
        yield f"  ... and {len(emitted) - _MOST_LISTED} more"
