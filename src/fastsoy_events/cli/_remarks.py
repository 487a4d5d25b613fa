"""How findings, and differences between locks, look: one line each on a pipe, and folded on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from fastsoy_events.cli._layout import cell, fold
from fastsoy_events.cli._output import one_line

if TYPE_CHECKING:
    from fastsoy_events._compare import Difference
    from fastsoy_events.inspection.check._findings import Finding

SEVERITIES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
"""The severities of findings, the worst first, each with its style."""


def folder_of_places() -> str:
    """Return what the places of findings are told relative to: the working folder; empty where it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""  # nothing lies below it then; loading says so where it needs one


def finding_line(each: Finding, folder: str) -> str:
    """Return a finding as one line.

    Args:
        each: the finding.
        folder: its place is told relative to it.
    """
    return one_line(f"{each.place(folder)}: {each.severity} {each.code}: {each.message} {each.fix}")


def finding_block(each: Finding, folder: str, width: int) -> list[Text]:
    """Return a finding as it shows on a terminal.

    Args:
        each: the finding.
        folder: its place is told relative to it.
        width: of the terminal, in columns.
    """
    head = Text.assemble(
        cell(each.place(folder), "cyan"), " ", (each.severity, SEVERITIES[each.severity]), " ", (each.code, "bold")
    )
    texts = [cell(each.message), cell(each.fix, "dim")]
    return [fold(head, width), *(Text("    ") + hanging(text, width, 4) for text in texts)]


def difference_block(each: Difference, width: int) -> Text:
    """Return a difference as it shows on a terminal.

    Args:
        each: the difference.
        width: of the terminal, in columns.
    """
    line = Text(str(each))
    line.highlight_words(filter(None, [each.event]), "bold cyan")
    line.highlight_words(filter(None, [each.handler]), "bold")
    return hanging(line, width)


def hanging(line: Text, width: int, indent: int = 2) -> Text:
    """Fold a line, and set what follows the first one in.

    Args:
        line: the line.
        width: of the terminal, in columns.
        indent: how far the others are set in.
    """
    return Text("\n" + " " * indent).join(fold(line, max(width - indent, 1)).split("\n"))
