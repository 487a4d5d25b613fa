"""Lays rows out: aligned text for a pipe; on a terminal a table where it fits, else one block a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.cells import cell_len, chop_cells
from rich.table import Table
from rich.text import Text

from fastsoy_events.cli._output import is_plain, one_line, open_console, render, write

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2
_NARROWEST_FOLD = 32
_SEPARATORS = (" ", "/", ".:", "_-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Args:
        title: its header.
        justify: the side on which a terminal aligns its cells.
        folds: whether its cells may take several lines on a terminal.
        names_group: a terminal shows it in the first row of each group only, and sets the groups apart.
    """

    title: str
    justify: Literal["left", "right"] = "left"
    folds: bool = False
    names_group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, in both of its forms.

    Args:
        cells: one styled text a column.
        block: the lines that stand for the row where the table does not fit, each with the mark or the
            spaces that it begins with and its text; where a text folds, it stays below its own beginning.
    """

    cells: tuple[Text, ...]
    block: tuple[tuple[str, Text], ...]


def show(columns: Sequence[Column], groups: Sequence[Sequence[Row]]) -> None:
    """Write rows to stdout, in the form that suits it.

    Args:
        columns: the columns.
        groups: the rows, in order; no group is empty.
    """
    console = open_console()
    rows = [row for group in groups for row in group]
    if is_plain(console):
        write(console, plain_text(columns, rows))
    elif widths := _fitting(columns, _widths(columns, rows), console.width):
        render(console, _table(columns, groups, widths))
    else:
        render(console, _blocks(groups, console.width))


def cell(text: str, style: str = "") -> Text:
    """Return data as one styled line; what is empty becomes a dash, so that no column is ever blank.

    Args:
        text: the data.
        style: a rich style.

    Returns:
        The text, without control characters.
    """
    return Text(one_line(text), style=style) if text else Text("-", style="dim")


def plain_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return rows as lines whose columns are aligned by two spaces or more, with a header line.

    Args:
        columns: the columns.
        rows: the rows, in order.

    Returns:
        The lines, without trailing spaces.
    """
    widths = _widths(columns, rows)
    lines = [[column.title for column in columns], *([text.plain for text in row.cells] for row in rows)]
    return "".join(_aligned(line, widths) + "\n" for line in lines)


def _aligned(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (width - cell_len(text)) for text, width in zip(texts, widths, strict=True))
    return (" " * _GAP).join(padded).rstrip()


def _widths(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    return [
        max(cell_len(column.title), *(row.cells[index].cell_len for row in rows))
        for index, column in enumerate(columns)
    ]


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return widths with which the table fits, or none where a column that folds would get too narrow."""
    fitting = list(widths)
    while sum(fitting) + _GAP * (len(fitting) - 1) > width:
        wide = [index for index, column in enumerate(columns) if column.folds and fitting[index] > _NARROWEST_FOLD]
        if not wide:
            return []
        fitting[max(wide, key=lambda index: fitting[index])] -= 1
    return fitting


def _table(columns: Sequence[Column], groups: Sequence[Sequence[Row]], widths: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True)
    for group in groups:
        for index, row in enumerate(group):
            table.add_row(
                *(
                    Text() if index and column.names_group else fold(text, width)
                    for column, text, width in zip(columns, row.cells, widths, strict=True)
                )
            )
        if any(column.names_group for column in columns):
            table.add_section()
    return table


def _blocks(groups: Sequence[Sequence[Row]], width: int) -> Text:
    lines: list[Text] = []
    for group in groups:
        for mark, text in (line for row in group for line in row.block):
            first, *others = fold(text, max(width - cell_len(mark), 1)).split("\n")
            lines += [Text(mark) + first, *(Text(" " * len(mark)) + other for other in others)]
        lines.append(Text())
    return Text("\n").join(lines[:-1])


def fold(text: Text, width: int) -> Text:
    """Break a text into lines that fit: after a space, else inside a path or a dotted name, else anywhere.

    Args:
        text: one styled line.
        width: the number of columns, at least one.

    Returns:
        The same characters with line breaks among them.
    """
    breaks: list[int] = []
    start = 0
    while cell_len(text.plain[start:]) > width:
        start += _first_break(text.plain[start:], width)
        breaks.append(start)
    return Text("\n").join(text.divide(breaks))


def _first_break(text: str, width: int) -> int:
    fitting = chop_cells(text, width)[0]
    for separators in _SEPARATORS:
        after = max(fitting.rfind(separator) for separator in separators) + 1
        if after > len(fitting) // 3:
            return after
    return len(fitting)
