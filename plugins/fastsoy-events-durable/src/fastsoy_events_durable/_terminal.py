"""How the commands speak: results on stdout, as a table or as JSON, and remarks on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Stop", "counted", "is_plain", "one_line", "open_console", "say", "show", "write_json"]

SCHEMA = 1
_GAP = "  "
_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


class Stop(Exception):  # noqa: N818 - not everything that ends a command early is an error of its
    """The command ends here.

    Args:
        message: what is wrong, and what to do about it.
        exit_code: the exit code of the process.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def open_console(*, stderr: bool = False) -> Console:
    """Return a console on which data is never read as markup, emoji or a number to colour."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def is_plain(console: Console) -> bool:
    """Tell whether a console is no terminal, or one that can only print one line after the other."""
    return not console.is_terminal or console.is_dumb_terminal


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, such as a terminal's escape sequences."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def counted(count: int, noun: str) -> str:
    """Return a number of things in words, such as `1 publication` or `2 publications`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def say(kind: str, text: str) -> None:
    """Write one remark to stderr, on one line that begins with its kind: `error`, `warning` or `note`."""
    console = open_console(stderr=True)
    remark = Text.assemble((f"{kind}:", _STYLES[kind]), " ", one_line(text))
    with console.capture() as capture:
        console.print(remark, soft_wrap=True)
    _write(sys.stderr, capture.get())


def write_json(**document: object) -> None:
    """Write one JSON object to stdout, the version of its form first."""
    _write(sys.stdout, json.dumps({"schema": SCHEMA, **document}, indent=2) + "\n")


def show(rows: Sequence[Mapping[str, str]]) -> None:
    """Write rows of the same columns to stdout: a table on a terminal, else aligned lines; nothing for no rows."""
    if not rows:
        return
    console = open_console()
    lines = [list(rows[0]), *([one_line(cell) or "-" for cell in row.values()] for row in rows)]
    if is_plain(console):
        _write(sys.stdout, _aligned(lines))
        return
    with console.capture() as capture:
        console.print(_table(lines))
    _write(sys.stdout, capture.get())


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    padded = (
        [cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)] for line in lines
    )
    return "".join(_GAP.join(cells).rstrip() + "\n" for cells in padded)


def _table(lines: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in lines[0]:
        table.add_column(title, overflow="fold")
    for line in lines[1:]:
        table.add_row(*map(Text, line))
    return table


def _write(file: TextIO, text: str) -> None:
    """Write a text as it is, and take no offence when its reader has left."""
    encoding = file.encoding or "utf-8"
    try:
        file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        file.flush()
    except BrokenPipeError:
        # What is still in the buffer would fail once more, and loudly, when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
