"""Handlers made from source: each a function of its own, which takes exactly what its competitor passes."""

from __future__ import annotations

from asyncio import sleep
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.competitors import Case, Competitor, Handler, Namespace

Note = tuple[str, int, int]  # "start" or "end", the handler's place, the thread


def handlers(competitor: Competitor, case: Case, notes: list[Note] | None = None) -> list[Handler]:
    """Make a case's handlers.

    Args:
        competitor: who will call them.
        case: how many, and of which kind.
        notes: where each call is noted; None for handlers that are timed, and do nothing.
    """
    return [_handler(competitor, case, place, notes) for place in range(case.handlers)]


def failing_place(case: Case) -> int:
    """Return which handler raises."""
    return case.handlers // 2


def _handler(competitor: Competitor, case: Case, place: int, notes: list[Note] | None) -> Handler:
    body = ["raise ValueError('broken on purpose')"] if case.kind == "raising" and place == failing_place(case) else []
    if case.kind == "suspending":
        body = ["await sleep(0)"]
    if notes is not None:
        body = [_noting("start", place), *body, _noting("end", place)]
    definition = "def" if case.kind == "sync" else "async def"
    names: Namespace = {"sleep": sleep, "notes": notes, "get_ident": get_ident}
    return compiled(f"handler_{place}", competitor.parameters(case), body or ["return None"], names, definition)


def _noting(word: str, place: int) -> str:
    return f"notes.append(({word!r}, {place}, get_ident()))"


def compiled(
    name: str, parameters: str, body: Sequence[str], names: Namespace, definition: str = "async def"
) -> Callable[..., object]:
    """Compile a function from its source.

    Args:
        name: of the function.
        parameters: as in its signature.
        body: its lines, each indented by its own depth.
        names: its globals.
        definition: `def` or `async def`.
    """
    lines = "\n".join(f"    {line}" for line in body)
    source = f"{definition} {name}({parameters}):\n{lines}\n"
    namespace = dict(names)
    exec(compile(source, f"<benchmark {name}>", "exec"), namespace)  # noqa: S102 - source made here, as timeit makes its
    function: Callable[..., object] = namespace[name]
    return function
