"""The commands `fastsoy-events durable ...`: what is stored, what failed, and what to do about it."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fastsoy_events_durable._command import manages
from fastsoy_events_durable._terminal import Stop, counted, is_plain, open_console, say, show, write_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fastsoy_events_durable._command import Managed
    from fastsoy_events_durable._durable import Durable
    from fastsoy_events_durable._model import Count, Orphan, Stored

__all__ = ["app"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_STATUSES = ("published", "processing", "completed", "failed")

_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, not text.")]
_Limit: TypeAlias = Annotated[int, typer.Option(metavar="N", min=1, help="List no more than the newest N.")]
_Numbers: TypeAlias = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER", help="Their numbers, which `failed` lists.")
]
_All: TypeAlias = Annotated[bool, typer.Option("--all", help="All that failed.")]
_OlderThan: TypeAlias = Annotated[
    str,
    typer.Option("--older-than", metavar="AGE", help="How long ago they completed: a number with s, m, h, d or w."),
]
_Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Show and manage what is stored for durable handlers: what waits, what failed, what nobody handles.",
)


@app.command("status")
@manages
async def show_status(managed: Managed, *, json: _Json = False) -> None:
    """Count what is stored for each handler, by what has become of it."""
    rows = [row for durable in managed.durables for row in _of_handlers(durable, await durable.counts())]
    if json:
        write_json(handlers=rows)
        return
    show([_status_text(row) for row in rows])
    if not rows:
        say("note", "nothing is stored")


@app.command("failed")
@manages
async def list_failed(managed: Managed, *, json: _Json = False, limit: _Limit = 100) -> None:
    """List what failed for good, the newest first; payloads are not shown."""
    listed = [(durable, each) for durable in managed.durables for each in await durable.failed(limit=limit)]
    if json:
        write_json(failed=[_failed_json(durable, each) for durable, each in listed])
        return
    show([_failed_text(each) for _, each in listed])
    if listed:
        say("note", "have them delivered again with `fastsoy-events durable retry`, by number or --all")
    else:
        say("note", "nothing has failed for good")


@app.command("retry")
@manages
async def retry_failed(
    managed: Managed, numbers: _Numbers = None, *, everything: _All = False, json: _Json = False
) -> None:
    """Have what failed for good be delivered again, with all its attempts."""
    if bool(numbers) == everything:
        raise Stop("say which: the numbers that `fastsoy-events durable failed` lists, or --all")
    if numbers and len(managed.durables) > 1:
        raise Stop("the application has several databases, each with numbers of its own: choose one by --url")
    wanted: list[list[int] | None] = [[number] for number in dict.fromkeys(numbers or ())] or [None]
    found = [(each, await durable.retry(each)) for durable in managed.durables for each in wanted]
    retried = sum(count for _, count in found)
    unknown = [str(each[0]) for each, count in found if each and not count]
    if json:
        write_json(retried=retried, unknown=[int(number) for number in unknown])
    else:
        say("note", f"{counted(retried, 'publication')} will be delivered again")
    if unknown:
        raise Stop(
            f"nothing that failed has the number {', '.join(unknown)}: `fastsoy-events durable failed` lists them"
        )


@app.command("purge")
@manages
async def purge_completed(managed: Managed, *, older_than: _OlderThan, yes: _Yes = False, json: _Json = False) -> None:
    """Delete what completed long ago; what waits or failed stays."""
    seconds = _seconds(older_than)
    if not yes:
        _confirm(f"Delete what completed more than {older_than} ago?")
    deleted = 0
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = open_console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=is_plain(console)) as progress:
        task = progress.add_task("deleted: 0", total=None)
        for durable in managed.durables:
            async for chunk in durable.purge(older_than=seconds):
                deleted += chunk
                progress.update(task, description=f"deleted: {deleted:,}")
    if json:
        write_json(deleted=deleted)
    else:
        say("note", f"{counted(deleted, 'publication')} deleted")


@app.command("orphans")
@manages
async def list_orphans(managed: Managed, *, json: _Json = False) -> None:
    """List the handlers that something waits for, and that neither the application nor a plugin declares any more."""
    if not managed.declared:
        raise Stop("which handlers there are stands in the application: give --app MODULE")
    rows = [
        (durable, each)
        for durable in managed.durables
        for each in await _orphans(durable, managed.handlers_of(durable))
    ]
    if json:
        write_json(orphans=[_orphan_json(durable, each) for durable, each in rows])
        return
    show([_orphan_text(each) for _, each in rows])
    if rows:
        say("note", "it is kept: install or load what declares these, or give a handler the id again")
    else:
        say("note", "whatever waits has its handler")


@app.command("migrate")
@partial(manages, makes_file=True)
async def make_tables(managed: Managed, *, json: _Json = False) -> None:
    """Make the tables and their indexes, where they are absent; `durable.running()` does so, too."""
    for durable in managed.durables:
        await durable.migrate()
    if json:
        write_json(databases=[durable.label for durable in managed.durables])
    else:
        say("note", f"the tables are there: {', '.join(durable.label for durable in managed.durables)}")


# How it reads


def _of_handlers(durable: Durable, counts: Sequence[Count]) -> list[dict[str, Any]]:
    """Return a row for each handler of a database."""
    rows: dict[str, dict[str, Any]] = {}
    for count in counts:
        new = {"database": durable.label, "handler": count.handler, **dict.fromkeys(_STATUSES, 0), "oldest_open": None}
        row = rows.setdefault(count.handler, new)
        row[count.status] = count.publications
        if count.status in {"published", "processing"}:
            row["oldest_open"] = min(filter(None, [row["oldest_open"], _time(count.oldest)]))
    return list(rows.values())


def _status_text(row: dict[str, Any]) -> dict[str, str]:
    counts = {status: f"{row[status]:,}" for status in _STATUSES}
    return {"handler": row["handler"], **counts, "oldest open": row["oldest_open"] or ""}


def _failed_text(each: Stored) -> dict[str, str]:
    return {
        "number": str(each.sequence),
        "handler": each.handler,
        "event": each.event,
        "key": each.key or "",
        "attempts": str(each.attempts),
        "failed": _time(each.done),
        "error": each.error or "",
    }


def _failed_json(durable: Durable, each: Stored) -> dict[str, object]:
    times = {name: _time(getattr(each, name)) or None for name in ("created", "done")}
    fields = ("sequence", "event_id", "event", "handler", "key", "attempts", "error")
    return {"database": durable.label, **{name: getattr(each, name) for name in fields}, **times}


async def _orphans(durable: Durable, known: Collection[str]) -> Sequence[Orphan]:
    return await durable._publications.orphans(known)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package


def _orphan_text(each: Orphan) -> dict[str, str]:
    return {
        "handler": each.handler,
        "event": each.event,
        "publications": f"{each.publications:,}",
        "oldest": _time(each.oldest),
    }


def _orphan_json(durable: Durable, each: Orphan) -> dict[str, object]:
    return {"database": durable.label, **each._asdict(), "oldest": _time(each.oldest)}


def _time(seconds: float | None) -> str:
    """Return a time in UTC; empty for none."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(age: str) -> float:
    """Return how many seconds an age such as `30d` has.

    Raises:
        Stop: it is none.
    """
    found = re.fullmatch(r"(\d+)([smhdw])", age.strip())
    if found is None:
        raise Stop(f"--older-than takes a number with s, m, h, d or w, such as 30d: not {age!r}")
    return int(found[1]) * _UNITS[found[2]]


def _confirm(question: str) -> None:
    """Ask; without a terminal nobody can answer.

    Raises:
        Stop: nobody can, or the answer is no.
    """
    if not sys.stdin.isatty():
        raise Stop("nothing was deleted: add --yes to delete without being asked")
    if not typer.confirm(question, err=True):
        raise Stop("nothing was deleted", exit_code=1)
