"""What a command manages, the Durable objects of an application or a database by its URL, and how it ends."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, TypeAlias, get_type_hints

import typer

from fastsoy_events import LockError, load_plugins
from fastsoy_events_durable._durable import Durable, durables
from fastsoy_events_durable._terminal import Stop, say
from fastsoy_events_durable._url import EXAMPLES, url_of
from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import URL

__all__ = ["Command", "Managed", "manages"]

_TABLE = "fastsoy_events_publication"
_NO_TABLE = re.compile(r"no such table|UndefinedTable|relation \S+ does not exist")

_App: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE[:ATTRIBUTE]",
        help="Import this application, load its plugins, and manage the databases of their Durable objects.",
    ),
]
_Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="FASTSOY_EVENTS_DURABLE_URL",
        help=f"Manage this database, such as {EXAMPLES}. With --app: the one that the application uses.",
    ),
]
_Table: TypeAlias = Annotated[str, typer.Option(metavar="NAME", help="With --url: the table of publications.")]
_Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show the tracebacks of errors.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command is to manage.

    Args:
        app: `package.module` or `package.module:attribute` of the application.
        url: of the database.
        table: the name of its table of publications.
        traceback: show tracebacks.
    """

    app: str | None
    url: str | None
    table: str
    traceback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """What a command manages.

    Args:
        durables: one for each table; no fewer than one.
        declared: the application's own; none where only a URL was given.
    """

    durables: tuple[Durable, ...]
    declared: tuple[Durable, ...]

    def handlers_of(self, durable: Durable) -> set[str]:
        """Return the ids of all handlers whose publications one of the objects may hold."""
        is_given = durable not in self.declared  # by its URL, so that it is the one of all
        sources = self.declared if is_given else (durable,)
        return {handler for each in sources for handler in each._known()}  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package


Command: TypeAlias = "Callable[Concatenate[Managed, ...], Awaitable[None]]"


def manages(command: Command, *, makes_file: bool = False) -> Callable[..., None]:
    """Give a command the options that say what it manages, and say in words what goes wrong in it.

    Typer reads what a command takes from its signature, so they are written into it, after the command's own.

    Args:
        command: an `async` function; its first argument is what it manages.
        makes_file: whether it may be given an SQLite file that is not there.
    """
    _, *own = inspect.signature(command).parameters.values()
    written = SimpleNamespace(__annotations__={each.name: each.annotation for each in own})
    hints = get_type_hints(written, command.__globals__, include_extras=True)

    def run(**arguments: Any) -> None:
        options = Options(**{each.name: arguments.pop(each.name) for each in _SHARED})
        try:
            _run(command, options, arguments, makes_file=makes_file)
        except Stop as stop:
            say("error", stop.message)
            raise typer.Exit(stop.exit_code) from stop

    run.__doc__ = command.__doc__
    parameters = [*(each.replace(annotation=hints[each.name]) for each in own), *_SHARED]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    return run


def _options(*, app: _App = None, url: _Url = None, table: _Table = _TABLE, traceback: _Traceback = False) -> None:
    """Have a signature with the options that every command takes."""


_SHARED = tuple(inspect.signature(_options, eval_str=True).parameters.values())


def _run(command: Command, options: Options, arguments: dict[str, Any], *, makes_file: bool) -> None:
    try:
        managed = _found(options, makes_file=makes_file)
        asyncio.run(_managing(command, managed, arguments))
    except (Stop, typer.Exit, typer.Abort, LockError):
        raise
    except Exception as error:
        if options.traceback:
            sys.stderr.write(format_exc())
        raise Stop(_in_words(error)) from error


async def _managing(command: Command, managed: Managed, arguments: dict[str, Any]) -> None:
    try:
        await command(managed, **arguments)
    finally:
        for durable in managed.durables:
            await durable.close()


def _in_words(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    if _NO_TABLE.search(first):
        return "the database has no table of publications: `fastsoy-events durable migrate` makes it"
    if isinstance(error, DurableError):
        return str(error)
    return f"the database does not answer as it should: {type(error).__name__}: {first}"


# What is managed


def _found(options: Options, *, makes_file: bool) -> Managed:
    declared = _of_application(options) if options.app else ()
    if options.url:
        durable = _of_url(options.url, options.table, makes_file=makes_file)
        return Managed(durables=(durable,), declared=declared)
    if options.app is None:
        raise Stop(
            f"say what is meant: --app MODULE of the application, or --url URL of its database, such as {EXAMPLES}"
        )
    if not declared:
        raise Stop(
            f"--app {options.app}: neither it nor a plugin makes a Durable object while it is imported. Name the "
            "module that does, or give the database by --url URL"
        )
    tables: dict[tuple[str, str], Durable] = {}
    for durable in declared:
        durable._database.joined()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package; it says where none is open
        tables.setdefault(durable._place, durable)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
    return Managed(durables=tuple(tables.values()), declared=declared)


def _of_application(options: Options) -> tuple[Durable, ...]:
    """Import an application, whose output goes to stderr, load the plugins, and return their Durable objects."""
    module_name, _, attribute = (options.app or "").partition(":")
    sys.path.insert(0, str(Path.cwd()))
    with redirect_stdout(sys.stderr):
        try:
            found: object = importlib.import_module(module_name)
            for name in filter(None, attribute.split(".")):
                found = getattr(found, name)
            failures = load_plugins().failures
        except LockError:
            raise
        except (Exception, SystemExit) as error:
            if options.traceback:
                sys.stderr.write(format_exc())
            raise Stop(f"--app {options.app}: its import raised {type(error).__name__}: {error}") from error
    for failure in failures:
        say("warning", f"what this plugin would declare is not known: {failure}")
    return durables()


def _of_url(text: str, table: str, *, makes_file: bool) -> Durable:
    try:
        url = url_of(text)
        if not makes_file:
            _refuse_missing_file(url)
        return Durable(url, table=table)
    except DurableError as error:
        raise Stop(f"--url cannot be used: {error}") from error


def _refuse_missing_file(url: URL) -> None:
    """Refuse an SQLite file that is not there: a connection would make an empty one."""
    file = url.database or ""
    is_file = url.get_backend_name() == "sqlite" and file not in {"", ":memory:"} and not file.startswith("file:")
    if is_file and not Path(file).exists():
        raise Stop(f"there is no file {file}: `fastsoy-events durable migrate` makes it")
