"""Findings: what `check` has to say, and the codes under which it says it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity: TypeAlias = Literal["error", "warning", "note"]


class Spot(NamedTuple):
    """A line of a file.

    Args:
        file: its path, as whoever found it knows it.
        line: 1 first.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Args:
        name: what it is called for ever, such as `FSE101`.
        severity: an error will not work as it stands, a warning may not, and a note is only worth knowing.
        title: what it is about, in a few words.
        fix: one sentence that says what to do, with the names of a finding's details in braces.
    """

    name: str
    severity: Severity
    title: str
    fix: str


_CODES = (
    # Events
    Code("FSE101", "warning", "the name of an event breaks the convention", "{advice}."),
    Code("FSE102", "error", "the name of an event is misspelt", "Write {nearest}."),
    Code(
        "FSE103",
        "warning",
        "no publisher of the aggregate has the event",
        "Write one that is published ({published}), or have the publisher declare {event}.",
    ),
    Code(
        "FSE104",
        "note",
        "nobody publishes the event",
        "Install the plugin that publishes {event}, or remove the handler.",
    ),
    Code("FSE105", "note", "nobody hears the event", "Remove the contract if nobody is going to need {event}."),
    Code("FSE106", "error", "an event has two contracts", "Remove one of the two contracts, or rename its event."),
    # Handlers
    Code("FSE201", "warning", "a handler has no **kwargs", "Add **_: object to the parameters of {handler}."),
    Code(
        "FSE202",
        "error",
        "a handler requires what the contract does not send",
        "{advice}.",
    ),
    Code(
        "FSE203",
        "error",
        "a handler does not take what the contract sends",
        "Add {keyword}, or **_: object, to the parameters of {handler}.",
    ),
    Code(
        "FSE204",
        "warning",
        "a handler requires what an emit may leave out",
        "Give {keyword} in {handler} the default {default}.",
    ),
    Code("FSE205", "warning", "a handler is synchronous", "{advice}."),
    Code(
        "FSE206",
        "error",
        "a handler blocks",
        "Await an asynchronous counterpart of {call}, or run it in a thread with asyncio.to_thread().",
    ),
    Code("FSE207", "warning", "a handler is registered twice", "{advice}."),
    # Emits
    Code("FSE301", "error", "an emit is never awaited", "Write await before the call."),
    Code(
        "FSE302",
        "error",
        "an emit runs before plugins are loaded",
        "Move the emit to after load_plugins() at start-up.",
    ),
    Code("FSE303", "error", "an emit does not fit the contract", "Emit exactly what {contract} declares."),
    # Plugins
    Code(
        "FSE401",
        "error",
        "a plugin failed",
        "Mend that, and look at its traceback with fastsoy-events plugins --traceback.",
    ),
    Code(
        "FSE402",
        "warning",
        "an entry point registers nothing",
        "Import the module with the handlers from {module}, or remove the entry point.",
    ),
    Code(
        "FSE403",
        "error",
        "no entry point reaches a module with handlers or contracts",
        "Import {module} from {entry_module}, or remove it.",
    ),
    Code("FSE404", "warning", "two plugins claim one module", "{advice}."),
    Code(
        "FSE405",
        "warning",
        "two distributions have an entry point of one name",
        "Rename one of the two, or write {plugin} in full where an order or an option names it.",
    ),
    Code("FSE406", "warning", "a source cannot be looked at", "Mend the file, or keep it out of the package."),
    # Architecture
    Code(
        "FSE501",
        "error",
        "a business module imports another",
        "Remove the import, and hear an event of {other} by its name instead.",
    ),
    Code(
        "FSE502",
        "warning",
        "a business module imports another for its types",
        "Remove the import, and declare the types that {distribution} needs in itself.",
    ),
    # Installation
    Code(
        "FSE601",
        "warning",
        "a .dist-info is stale",
        "Delete {folder}, or uninstall {distribution} and install it anew.",
    ),
    Code("FSE602", "warning", "a .dist-info is empty", "Delete {folder}, and install {distribution} anew."),
)
CODES = {code.name: code for code in _CODES}


class UnknownCodeError(Exception):
    """A code, or the beginning of one, that no finding has; its text names the nearest one."""


def chosen_codes(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """Return the codes that are selected and not ignored.

    Args:
        select: codes or beginnings of codes, such as `FSE2`; all when there are none.
        ignore: likewise; none when there are none.

    Raises:
        UnknownCodeError: for one that fits no code.
    """
    selected = list(select)
    chosen = [code for text in selected for code in codes_named(text)] if selected else list(CODES)
    ignored = {code for text in ignore for code in codes_named(text)}
    return frozenset(code for code in chosen if code not in ignored)


def codes_named(text: str) -> list[str]:
    """Return the codes that a text names or begins.

    Args:
        text: in any case, such as `fse203` or `FSE2`.

    Raises:
        UnknownCodeError: when there are none.
    """
    wanted = text.strip().upper()
    found = [code for code in CODES if wanted and code.startswith(wanted)]
    if not found:
        nearest = max(CODES, key=lambda code: _likeness(code, wanted))
        raise UnknownCodeError(f"no code is {text!r} or begins so; the nearest is {nearest}")
    return found


def _likeness(code: str, wanted: str) -> tuple[int, float]:
    in_common = sum(code.startswith(wanted[:length]) for length in range(1, len(code) + 1))
    return in_common, SequenceMatcher(None, code, wanted).ratio()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that deserves a look.

    Args:
        code: which kind it is.
        spot: where.
        message: one sentence that says what is wrong, with names.
        fix: one sentence that says what to do.
    """

    code: str
    spot: Spot
    message: str
    fix: str

    @property
    def severity(self) -> Severity:
        """Return `error`, `warning` or `note`."""
        return CODES[self.code].severity

    def place(self, folder: str) -> str:
        """Return `file:line`, relative to a folder where it lies below that."""
        return str(Spot(relative(self.spot.file, folder), self.spot.line))

    def as_dict(self, folder: str) -> dict[str, str]:
        """Return it as one of the findings of `fastsoy-events check --json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "place": self.place(folder),
            "message": self.message,
            "fix": self.fix,
        }


def finding(code: str, spot: Spot, message: str, **details: str) -> Finding:
    """Return a finding with the fix of its code.

    Args:
        code: such as `FSE101`.
        spot: where.
        message: what is wrong.
        details: what the fix of the code has in braces.
    """
    return Finding(code, spot, message, CODES[code].fix.format(**details))


def relative(file: str, folder: str) -> str:
    """Return a path relative to a folder, with forward slashes, where it lies below that; else as it is."""
    for path, base in ((file, folder), (_real(file), _real(folder))):
        beginning = os.path.join(base, "")  # noqa: PTH118 - texts, as the sources' names are
        if path.startswith(beginning):
            return path[len(beginning) :].replace(os.sep, "/")
    return file


@lru_cache(maxsize=10_000)
def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # there is no working folder, or the path has null bytes
        return path
