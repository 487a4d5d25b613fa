"""From the bytes of a source to its syntax tree, within bounds: sources are not trusted."""

from __future__ import annotations

import ast
import codecs
import re
import warnings
from io import BytesIO
from tokenize import detect_encoding
from typing import NamedTuple

LARGEST_SOURCE = 2 << 20  # bytes
_MOST_WORDS = 200_000  # each may become a node of the tree, which takes a kilobyte or two
_WORD = re.compile(r"\w+|[^\w\s]|\n")
_SLOW_OR_ODD = {"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"}


class UnreadableSourceError(Exception):
    """Why a source cannot be read or understood, on one line."""


class Parsed(NamedTuple):
    """A source.

    Args:
        tree: its syntax.
        lines: its lines in UTF-8, which is how the tree counts columns.
    """

    tree: ast.Module
    lines: list[bytes]

    def text(self, node: ast.expr) -> str:
        """Return an expression as the source writes it, on one line and no longer than anybody reads."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        parts = self.lines[first : min(last, first + _MOST_LINES_SHOWN) + 1]
        if last - first < len(parts):
            parts[-1] = parts[-1][: node.end_col_offset]
        parts[0] = parts[0][node.col_offset :]
        return shortened(b" ".join(parts).decode(errors="replace"))


_LONGEST_SHOWN = 200
_MOST_LINES_SHOWN = 10


def shortened(text: str) -> str:
    """Return a text on one line, without control characters and without its end where it is very long."""
    line = "".join(each if each.isprintable() else " " for each in text[: 4 * _LONGEST_SHOWN])
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."


def parsed(source: bytes) -> Parsed:
    """Parse a source without running it.

    Args:
        source: its bytes, as they lie on the disk.

    Raises:
        UnreadableSourceError: for what is too large, too deeply nested, not in its encoding, or no Python.
    """
    text = _decoded(source)
    words = sum(1 for _ in _WORD.finditer(text))
    if words > _MOST_WORDS:
        raise UnreadableSourceError(f"it has more than {_MOST_WORDS} words and signs, too many to be looked at")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape sequence: the import will warn about it
            tree = ast.parse(text)
    except SyntaxError as error:
        raise UnreadableSourceError(shortened(f"line {error.lineno or 1}: {error.msg}")) from None
    except (RecursionError, MemoryError):
        raise UnreadableSourceError("it is nested too deeply to be looked at") from None
    except (ValueError, OverflowError) as error:
        raise UnreadableSourceError(shortened(f"it is no Python source: {error}")) from None
    return Parsed(tree, text.encode(errors="replace").split(b"\n"))


def _decoded(source: bytes) -> str:
    if len(source) > LARGEST_SOURCE:
        raise UnreadableSourceError(f"it is larger than {LARGEST_SOURCE} bytes, too large to be looked at")
    if b"\0" in source:
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        raise UnreadableSourceError(f"line {line}: it has null bytes, and so is no Python source")
    try:
        encoding, _ = detect_encoding(BytesIO(source).readline)
    except (SyntaxError, ValueError) as error:
        raise UnreadableSourceError(shortened(f"line 1: {error}")) from None
    if codecs.lookup(encoding).name.replace("_", "-") in _SLOW_OR_ODD:
        raise UnreadableSourceError(f"line 1: its encoding is {encoding}, which is not looked at")
    try:
        text = source.decode(encoding)
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise UnreadableSourceError(f"line {line}: it is not {encoding} (byte {error.start})") from None
    except (LookupError, ValueError) as error:
        raise UnreadableSourceError(shortened(f"line 1: it cannot be decoded: {error}")) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
