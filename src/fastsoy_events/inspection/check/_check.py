"""Check: from what registered and what the sources say to findings."""

from __future__ import annotations

import re
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING

from fastsoy_events.inspection.check import (
    _rules_emits,
    _rules_events,
    _rules_handlers,
    _rules_imports,
    _rules_installed,
    _rules_plugins,
)
from fastsoy_events.inspection.check._findings import CODES, UnknownCodeError, codes_named
from fastsoy_events.inspection.source._analyse import LARGEST_SOURCE
from fastsoy_events.inspection.source._files import read_file
from fastsoy_events.inspection.source._parse import UnreadableSourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from fastsoy_events.inspection.check._facts import System
    from fastsoy_events.inspection.check._findings import Finding, Spot

_RULES: tuple[Callable[[System], Iterator[Finding]], ...] = (
    _rules_events.names,
    _rules_events.publishing,
    _rules_events.hearing,
    _rules_events.contracts,
    _rules_events.emits_of_contracts,
    _rules_handlers.parameters,
    _rules_handlers.speed,
    _rules_handlers.registrations,
    _rules_emits.emits,
    _rules_plugins.failures,
    _rules_plugins.registering,
    _rules_plugins.reaching,
    _rules_plugins.reading,
    _rules_plugins.claiming,
    _rules_plugins.naming,
    _rules_imports.imports,
    _rules_installed.metadata,
)
_IGNORE = re.compile(r"#\s*fastsoy:\s*ignore(?:\[(?P<codes>[^\]]*)\]|(?![\[\w]))")
_DECORATORS = 50  # lines that may stand between the first decorator of a function and its name


def check(
    system: System,
    codes: Collection[str] = frozenset(CODES),
    read: Callable[[str, int], bytes] = read_file,
) -> tuple[Finding, ...]:
    """Apply every rule.

    Args:
        system: what is looked at.
        codes: those to tell.
        read: returns at most so many bytes of a source, by the path that a finding has; raises
            `UnreadableSourceError` where it cannot be read.

    Returns:
        The findings by place, then by code; without those that the line itself asks to ignore.
    """
    found = dict.fromkeys(chain.from_iterable(rule(system) for rule in _RULES))

    @cache
    def lines(file: str) -> Sequence[str]:
        return _lines(file, read)

    told = [each for each in found if each.code in codes and not _is_ignored(each, lines(each.spot.file))]
    return tuple(sorted(told, key=lambda each: (*each.spot, each.code, each.message)))


def _is_ignored(finding: Finding, lines: Sequence[str]) -> bool:
    comments = (match for line in _of_spot(finding.spot, lines) for match in _IGNORE.finditer(line))
    return any(match["codes"] is None or finding.code in _codes(match["codes"]) for match in comments)


def _of_spot(spot: Spot, lines: Sequence[str]) -> Iterator[str]:
    """Yield the line, and where a decorator stands there, the lines down to the name of the function below it."""
    below = islice(lines, max(spot.line - 1, 0), spot.line + _DECORATORS)
    first = next(below, "")
    yield first
    for line in below if first.lstrip().startswith("@") else ():
        yield line
        if line.lstrip().startswith(("def ", "async def ", "class ")):
            return


def _codes(text: str) -> set[str]:
    found: set[str] = set()
    for part in text.split(","):
        try:
            found.update(codes_named(part))
        except UnknownCodeError:  # nothing is ignored by a mistake
            continue
    return found


def _lines(file: str, read: Callable[[str, int], bytes]) -> Sequence[str]:
    if not file.endswith(".py"):
        return ()
    try:
        text = read(file, LARGEST_SOURCE).decode(errors="replace")
    except UnreadableSourceError:
        return ()
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
