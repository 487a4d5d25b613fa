"""What the command writes: results on stdout, remarks on stderr, each in one way only."""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import contextmanager
from traceback import format_exception
from typing import IO, TYPE_CHECKING, NoReturn, TextIO

from rich.console import Console
from rich.text import Text

from fastsoy_events.errors import EventNameWarning

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from rich.console import RenderableType

_STYLES = {"error": "bold red", "critical": "bold red", "warning": "bold yellow", "note": "bold cyan"}


class Stop(Exception):  # noqa: N818  (a failed plugin ends the command early too, and is no error of the command)
    """The command ends here.

    Args:
        message: what went wrong and what to do about it; empty where everything was said before.
        exit_code: the exit code of the process.
        details: a traceback, where one was asked for.
    """

    def __init__(self, message: str = "", *, exit_code: int = 2, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.details = details


def open_console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr on which data is never read as markup, emoji or a number to colour.

    Args:
        stderr: write to stderr.

    Returns:
        A console that adapts to the terminal.
    """
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def is_plain(console: Console) -> bool:
    """Return whether a console is no terminal, or one that can only print one line after the other.

    Args:
        console: the console.

    Returns:
        True where neither colour nor box drawing nor folding belongs.
    """
    return not console.is_terminal or console.is_dumb_terminal


def one_line(text: str) -> str:
    """Return a text without line breaks and without control characters, such as a terminal's escape sequences.

    Args:
        text: any text, such as the message of a plugin's error.

    Returns:
        The same words on one line.
    """
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def write(console: Console, text: str) -> None:
    """Write a text to a console's file as it is, and take no offence when its reader has left.

    Args:
        console: the console.
        text: the text.

    Raises:
        Stop: stdout cannot be written to, such as on a full disk. Where stderr cannot, nothing can be said.
    """
    with _writing(console) as file:
        file.write(text.encode(console.encoding, "backslashreplace").decode(console.encoding))
        file.flush()


@contextmanager
def _writing(console: Console) -> Generator[IO[str]]:
    file = console.file
    try:
        yield file
    except BrokenPipeError:
        _discard_the_rest(file)
    except OSError as error:
        if not console.stderr:
            stop_unwritable(file, error)
        _discard_the_rest(file)


def stop_unwritable(file: IO[str], error: OSError) -> NoReturn:
    """End the command because its result cannot be written.

    Args:
        file: where it was to go.
        error: why it cannot.

    Raises:
        Stop: always.
    """
    _discard_the_rest(file)
    raise Stop(f"the result cannot be written: {error.strerror or error}") from error


def _discard_the_rest(file: IO[str]) -> None:
    # What is still in the buffer would fail once more, and loudly, when the interpreter exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def render(console: Console, *parts: RenderableType) -> None:
    """Write rich renderables to a console; lines longer than it are left to the terminal to wrap.

    Args:
        console: the console.
        parts: the renderables, one below the other.
    """
    with _writing(console):  # rich writes an empty text where it stops to capture
        with console.capture() as capture:
            for part in parts:
                console.print(part, soft_wrap=True)
        write(console, capture.get())


def write_json(document: Sequence[object] | Mapping[str, object]) -> None:
    """Write one JSON array or object to stdout.

    Args:
        document: the rows, in order; or the object.
    """
    write(open_console(), json.dumps(document, indent=2) + "\n")


def counted(count: int, noun: str) -> str:
    """Return a number of things in words, such as `1 plugin` or `2 plugins`.

    Args:
        count: how many.
        noun: the singular; an `s` makes the plural.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def say(kind: str, text: str, *, details: str = "") -> None:
    """Write one remark to stderr, on one line that begins with its kind.

    Args:
        kind: `error`, `warning` or `note`.
        text: the remark.
        details: lines that follow it as they are, such as a traceback.
    """
    console = open_console(stderr=True)
    render(console, Text.assemble((f"{kind}:", _STYLES.get(kind, "")), " ", one_line(text)))
    write(console, details)


class _Remarks(logging.Handler):
    def __init__(self, *, traceback: bool) -> None:
        super().__init__(logging.WARNING)
        self._traceback = traceback

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        details = "".join(format_exception(error)) if self._traceback and error is not None else ""
        say(record.levelname.lower(), record.getMessage(), details=details)


@contextmanager
def shown_log(*, traceback: bool) -> Generator[None]:
    """Show what the logger `fastsoy_events` and event names have to warn about as remarks, and only there.

    Args:
        traceback: show the traceback that a record carries as well.

    Yields:
        Nothing. The logger is as before afterwards.
    """
    logger = logging.getLogger("fastsoy_events")
    before = logger.handlers, logger.level, logger.propagate, logger.disabled
    logger.handlers, logger.propagate, logger.disabled = [_Remarks(traceback=traceback)], False, False
    logger.setLevel(logging.WARNING)
    show_warning, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = show_warning
        logger.handlers, level, logger.propagate, logger.disabled = before
        logger.setLevel(level)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001  (the signature of warnings.showwarning)
    line: str | None = None,
) -> None:
    if issubclass(category, EventNameWarning):
        say("warning", f"{message} ({filename}:{lineno})")
    else:
        write(open_console(stderr=True), warnings.formatwarning(message, category, filename, lineno, line))
