"""The time of one emit: one process, all competitors in every round."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import asdict, dataclass, field
from itertools import pairwise, repeat
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.competitors import COMPETITORS, LIMIT, Case
from benchmarks.handler_source import Note, compiled, failing_place, handlers
from benchmarks.summary import Summary, ratios, rotated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.competitors import Competitor, Handler, Namespace
    from benchmarks.progress import Progress
    from benchmarks.settings import Settings

CASES = (
    Case("N = 0", 0),
    Case("N = 1", 1),
    Case("N = 10", 10),
    Case("N = 100", 100),
    Case("N = 10, plain functions", 10, "sync"),
    Case("N = 10, one raises", 10, "raising"),
    Case("N = 10, each suspends once", 10, "suspending"),
    Case("N = 10, one keyword", 10, keywords=1),
    Case("N = 10, no keywords", 10, keywords=0),
)

_PATIENCE = 30  # seconds that one emit may take before a competitor counts as stuck


@dataclass(slots=True)
class Entry:
    """A competitor that takes part in a case."""

    competitor: Competitor
    namespace: Namespace
    run: Callable[[Any], Awaitable[None]]
    times: int = 1
    samples: list[float] = field(default_factory=list)

    async def sample(self, times: int) -> float:
        """Return the seconds of one emit, on average over so many."""
        await self.run(repeat(None, max(1, times // 10)))  # others ran since its last turn
        started = perf_counter()
        await self.run(repeat(None, times))
        return (perf_counter() - started) / times


def measure(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure every case.

    Returns:
        `missing`, `versions`, `traits` and `cases`, ready for JSON.
    """
    missing = {competitor.name: reason for competitor in COMPETITORS if (reason := competitor.missing())}
    present = [competitor for competitor in COMPETITORS if competitor.name not in missing]
    for competitor in present:
        _silence(competitor.loggers)
    progress.begin("dispatch", len(CASES) * settings.rounds)
    return {
        "missing": missing,
        "versions": {each.distribution: each.version() for each in present if each.distribution},
        "traits": asyncio.run(_all_traits(present)),
        "cases": [asyncio.run(_case(case, present, settings, progress)) for case in CASES],
    }


def _silence(loggers: Sequence[str]) -> None:
    for name in (*loggers, "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False


async def _case(case: Case, present: Sequence[Competitor], settings: Settings, progress: Progress) -> dict[str, Any]:
    entries: list[Entry] = []
    unable: dict[str, str] = {}
    for competitor in present:
        reason = await _reason_against(competitor, case)
        if reason:
            unable[competitor.name] = reason
        else:
            entries.append(await entered(competitor, case, settings))
    await rounds(entries, settings, progress)
    for entry in entries:
        await entry.competitor.tear_down(entry.namespace)
    return {**asdict(case), "rows": rows(entries), "unable": unable}


async def entered(competitor: Competitor, case: Case, settings: Settings) -> Entry:
    """Set a competitor up, and find out how many of its emits fill one turn."""
    namespace = competitor.set_up(handlers(competitor, case), case)
    body = ["for _ in times:", *(f"    {line}" for line in competitor.line(case).split("; "))]
    run: Any = compiled("run", "times", body, namespace)
    entry = Entry(competitor, namespace, run)
    for _ in range(8):
        seconds = await entry.sample(entry.times) * entry.times
        if seconds > settings.sample_seconds / 3:
            break
        entry.times *= 4
    entry.times = max(1, round(entry.times * settings.sample_seconds / max(seconds, 1e-9)))
    return entry


async def rounds(entries: Sequence[Entry], settings: Settings, progress: Progress) -> None:
    """Measure all entries once a round, each round in another sequence."""
    for number in range(settings.rounds):
        gc.collect()
        gc.disable()
        try:
            for place in rotated(len(entries), number):
                entry = entries[place]
                entry.samples.append(await entry.sample(entry.times))
        finally:
            gc.enable()
        progress.step()


def rows(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return nanoseconds for one emit, and the ratio to limit A, of each entry."""
    limit = next(entry for entry in entries if entry.competitor is LIMIT).samples
    return {
        entry.competitor.name: {
            "nanoseconds": asdict(Summary.of([sample * 1e9 for sample in entry.samples])),
            "ratio": asdict(ratios(entry.samples, limit)),
        }
        for entry in entries
    }


# Who can run which case is found out, not believed


async def _reason_against(competitor: Competitor, case: Case) -> str:
    """Return why a competitor does not do what a case asks for, empty when it does."""
    if competitor.sync_only and case.kind != "sync" and case.handlers:
        return "no async handlers"
    expected = case.handlers - (case.kind == "raising")
    notes, error = await _observed(competitor, case)
    ended = sum(word == "end" for word, _, _ in notes)
    if error is not None:
        return f"the emit raises {type(error).__name__}"
    if ended != expected:
        return f"{ended} of {expected} handlers had ended when the emit was over"
    return ""


async def _observed(competitor: Competitor, case: Case) -> tuple[list[Note], BaseException | None]:
    """Emit once, and return what the handlers noted until the emit was over, and what it raised."""
    notes: list[Note] = []
    error = await _emitted_once(competitor, case, handlers(competitor, case, notes))
    return notes, error


async def _emitted_once(competitor: Competitor, case: Case, functions: list[Handler]) -> Exception | None:
    namespace = competitor.set_up(functions, case)
    once: Any = compiled("once", "", competitor.line(case).split("; "), namespace)
    try:
        await asyncio.wait_for(once(), _PATIENCE)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is the finding
        return error
    finally:
        await competitor.tear_down(namespace)
    return None


async def _all_traits(present: Sequence[Competitor]) -> dict[str, dict[str, str]]:
    return {competitor.name: await _traits(competitor) for competitor in present}


async def _traits(competitor: Competitor) -> dict[str, str]:
    """Find out what a competitor does: whether it waits, in which order it calls, and what a failure stops."""
    sync = Case("", 10, "sync")
    plain, plain_error = await _observed(competitor, sync)
    shown = plain
    if not competitor.sync_only:
        shown, _ = await _observed(competitor, Case("", 10, "suspending"))
    broken = await _isolation(competitor)
    return {
        "async": "no" if competitor.sync_only else _waits(shown),
        "plain": "no" if plain_error or not plain else _threads(plain),
        "order": _order(shown),
        "failure": broken,
        "remarks": competitor.remarks,
    }


def _waits(notes: Sequence[Note]) -> str:
    return "awaited" if sum(word == "end" for word, _, _ in notes) == 10 else "not awaited"


def _threads(notes: Sequence[Note]) -> str:
    return "called" if {thread for _, _, thread in notes} == {get_ident()} else "in a thread"


def _order(notes: Sequence[Note]) -> str:
    starts = [place for word, place, _ in notes if word == "start"]
    together = any(one[0] == next_one[0] for one, next_one in pairwise(notes))
    if starts == sorted(starts):
        words = "as registered"
    elif starts == sorted(starts, reverse=True):
        words = "last registered first"
    else:
        words = "none"
    return f"{words}, all at the same time" if together else words


async def _isolation(competitor: Competitor) -> str:
    """Tell whether the other handlers run when one raises."""
    if competitor.sync_only:
        return await _isolation_of_plain(competitor)
    case = Case("", 10, "raising")
    notes, error = await _observed(competitor, case)
    return _verdict(notes, error)


async def _isolation_of_plain(competitor: Competitor) -> str:
    case = Case("", 10, "sync")
    notes: list[Note] = []
    functions = handlers(competitor, case, notes)
    place = failing_place(case)
    functions[place] = compiled("failing", competitor.parameters(case), ["raise ValueError('broken')"], {}, "def")
    return _verdict(notes, await _emitted_once(competitor, case, functions))


def _verdict(notes: Sequence[Note], error: BaseException | None) -> str:
    ended = sum(word == "end" for word, _, _ in notes)
    if error is None:
        return "the others run" if ended == 9 else f"{ended} of the 9 others run"
    return f"raised; {ended} of the 9 others had run"
