"""Names: what a person would call an event whose name breaks the convention. Pure functions.

A name is split into words; one of them is the verb, by its form and its place, and is put into the past; the rest say
what it happened to. Where the words do not tell which is which, there is no suggestion: a wrong one is worse than none.
"""

from __future__ import annotations

import re
from itertools import takewhile

from fastsoy_events._declare import follows_convention
from fastsoy_events.inspection.check._english import (
    PARTICLES,
    PREPOSITIONS,
    Kind,
    is_past,
    kind,
    past,
    with_particle,
    word_set,
)

_LONGEST = 200  # characters; a longer name is no slip of anybody's
_WORDS = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")
_SEPARATORS = re.compile(r"[\s_:/\-]+")
_CLASS_NAME = re.compile(r"(?:[A-Z][a-z0-9]+){2,}")
_NOT_YET = word_set("before can may must pre should will")
_LEADING = word_set("a after all an did event evt handle if on post the when")
_TRAILING = word_set("event events evt happened hook occurred signal")
_AUXILIARIES = word_set("are be been being got had has have is just newly successfully was were")
_HAPPENS_TO_A_PART = word_set("added assigned attached changed removed")
_PARTS = word_set(
    "address amount date description email language name number password permission phone photo picture position price "
    "priority quantity role salary state status title"
)


def suggestion(name: str) -> str:
    """Return the name that a person would give an event in place of one that breaks the convention.

    Args:
        name: any text.

    Returns:
        A name that follows the convention; empty where there is no good guess.

    Example:
        >>> [suggestion(name) for name in ("EmployeeCreated", "change_employee_status_done", "RefundOrder", "Misc")]
        ['employee.created', 'employee.status_changed', 'order.refunded', '']
    """
    if len(name) > _LONGEST:
        return ""
    *before, last = name.split(".")
    namespace = ["_".join(_split(part)) for part in before]
    words = _split(last)
    has_aggregate = bool(before) and not (_CLASS_NAME.fullmatch(last) and before[-1].islower())
    guess = _action_of(words) if has_aggregate else _aggregate_and_action(words)
    suggested = ".".join([*namespace, guess])
    return suggested if guess and suggested != name and follows_convention(suggested) else ""


def _split(text: str) -> list[str]:
    """Return the words of a text in lower case; none where it has characters that no name may have."""
    parts = [part for part in _SEPARATORS.split(text) if part]
    if not all(part.isascii() and part.isalnum() for part in parts):
        return []
    return [word.lower() for part in parts for word in _WORDS.findall(part)]


def _essential(words: list[str]) -> list[str]:
    """Leave out the words that say nothing, as long as two are left."""
    words = [word for word in words if word not in _AUXILIARIES]
    while len(words) > 2 and words[0] in _LEADING:
        words = words[1:]
    while len(words) > 2 and words[-1] in _TRAILING:
        words = words[:-1]
    return words


def _aggregate_and_action(words: list[str]) -> str:
    words = _essential(words)
    if len(words) < 2 or words[0] in _NOT_YET:
        return ""
    if words[-1] == "done" and len(words) > 2 and (parted := _parted(words[:-1])):
        return _joined(*parted)
    parted = _parted(words)
    return _joined(*parted) if parted else ""


def _action_of(words: list[str]) -> str:
    """Return the last part of a name whose other parts already say what it happened to."""
    words = _essential(words)
    if not words or words[0] in _NOT_YET:
        return ""
    if len(words) == 1:
        [word] = words
        if is_past(word):
            return word
        return past(word) if kind(word) is not Kind.NOUN and len(word) > 2 else ""
    parted = _parted(words)
    return "_".join([*parted[0], *parted[1]]) if parted else ""


def _parted(words: list[str]) -> tuple[list[str], list[str]] | None:
    """Part words into what it happened to, and what happened; None where they do not tell."""
    done = next((place for place in reversed(range(len(words))) if _is_done_at(place, words)), 0)
    if done:
        is_command = kind(words[0]) is Kind.VERB
        return None if is_command else (words[:done], words[done:])
    if is_past(words[0]) and (len(words) == 2 or kind(words[0]) >= Kind.OFTEN_A_VERB):
        return words[1:], words[:1]
    return _parted_by_kind(words)


def _is_done_at(place: int, words: list[str]) -> bool:
    rest = words[place + 1 : place + 2]
    return is_past(words[place]) and (not rest or rest[0] in PARTICLES or rest[0] in PREPOSITIONS)


def _parted_by_kind(words: list[str]) -> tuple[list[str], list[str]] | None:
    verb, *particle = with_particle(words[-1])
    if particle:
        return words[:-1], [past(verb), *particle]
    words = [*with_particle(words[0]), *words[1:]]
    particles = list(takewhile(PARTICLES.__contains__, words[1:]))
    objects = words[1 + len(particles) :]
    nouns = list(takewhile(lambda word: word not in PREPOSITIONS, objects))
    if not nouns:
        return None
    first, last = kind(words[0]), kind(nouns[-1])
    if particles:
        first = Kind.VERB
    if first > last or (first is last and first is Kind.VERB):
        return nouns, [past(words[0]), *particles, *objects[len(nouns) :]]
    if last > max(first, Kind.UNKNOWN) and nouns == words[1:]:
        return words[:-1], [past(words[-1])]
    return None


def _joined(nouns: list[str], action: list[str]) -> str:
    """Join the two halves; what is a part of something, such as its status, belongs to what happened."""
    parts = list(takewhile(_PARTS.__contains__, reversed(nouns[1:])))
    if not parts and action[0] in _HAPPENS_TO_A_PART and len(action) == 1:
        parts = nouns[-1:] if len(nouns) > 1 else []
    whole = nouns[: len(nouns) - len(parts)]
    return f"{'_'.join(whole)}.{'_'.join([*reversed(parts), *action])}"
