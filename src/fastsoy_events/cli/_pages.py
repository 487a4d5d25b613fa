"""Pages that a command generates: written whole or not at all, and compared with what is there."""

from __future__ import annotations

import os
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path
from secrets import token_hex
from shutil import copymode
from typing import TYPE_CHECKING

from fastsoy_events.cli._output import Stop, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 64 << 20  # bytes: what is larger is no page that anybody generated
_MOST_LINES = 60
_LONGEST_LINE = 300
_MOST_COMPARED = 20_000  # lines: comparing takes the square of their number, at worst


class Page:
    """A file that holds generated text.

    Args:
        shown: its path as it was given, for people. Where it leads is settled now, since an application may change the
            working folder while it is imported.

    Raises:
        Stop: the working folder is gone.
    """

    def __init__(self, shown: Path) -> None:
        self._shown = shown
        try:
            self._place = Path(os.path.realpath(shown))  # what a link leads to is written, and the link stays
        except OSError as error:
            raise Stop(f"{shown} cannot be found: {error.strerror or error}") from error

    def write(self, text: str) -> None:
        """Write the page; whoever reads it meanwhile reads what was there before.

        Args:
            text: all of it.

        Raises:
            Stop: it cannot be written.
        """
        try:
            if self._place.exists() and not self._place.is_file():
                raise Stop(f"{self._shown} cannot be written: it is no regular file")
            self._replace(text)
        except (OSError, ValueError) as error:
            raise Stop(f"{self._shown} cannot be written: {_reason(error)}") from error

    def _replace(self, text: str) -> None:
        beside = self._place.with_name(f".{self._place.name[:100]}.{token_hex(4)}")
        try:
            with beside.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            with suppress(FileNotFoundError):
                copymode(self._place, beside)
            beside.replace(self._place)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise

    def difference(self, text: str) -> str:
        """Return a short diff from the page to a text; empty where they are the same, line endings apart.

        Args:
            text: what the page should hold.

        Raises:
            Stop: it cannot be read.
        """
        held = self._read()
        return "" if held == text else "".join(f"{line}\n" for line in _diff(held, text, one_line(str(self._shown))))

    def _read(self) -> str:
        try:
            if not self._place.is_file():
                missing = "there is none" if not self._place.exists() else "it is no regular file"
                raise Stop(f"{self._shown} cannot be read: {missing}. Write it with --output {self._shown}")
            if self._place.stat().st_size > _LARGEST:
                raise Stop(f"{self._shown} cannot be read: it is larger than {_LARGEST} bytes")
            return self._place.read_bytes().decode().replace("\r\n", "\n")
        except (OSError, ValueError) as error:
            raise Stop(f"{self._shown} cannot be read: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _diff(held: str, wanted: str, name: str) -> Iterator[str]:
    before, after = held.splitlines(), wanted.splitlines()
    if before == after:
        yield f"{name} differs in its line breaks alone"
        return
    if max(len(before), len(after)) > _MOST_COMPARED:
        yield f"{name} has {len(before)} lines, and should have {len(after)}"
        return
    lines = list(unified_diff(before, after, name, f"{name}, as it should be", n=1, lineterm=""))
    for line in lines[:_MOST_LINES]:
        yield line[:1] + one_line(line[1:])[:_LONGEST_LINE] if line[:1] in {" ", "-", "+"} else line
    if len(lines) > _MOST_LINES:
        yield f"... and {len(lines) - _MOST_LINES} more lines"
