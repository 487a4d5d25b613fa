"""RESULTS.md, written from what was measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import discovery, durable, relay
from benchmarks.competitors import BUS, BUS_BY_OBJECT, COMPETITORS, KEYWORDS, LIMIT, Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DASH = "-"

METHOD = """\
1. Dispatch: one process, one event loop (asyncio's own). Each round measures every competitor once, in a rotated
   sequence, after a garbage collection and with the collector off; a turn is many emits after a short warm-up.
2. A ratio is the median over the rounds of (competitor / limit A, both of the same round); its quartiles follow in
   brackets. Limit A: `async def f(**kw)`, `for h in handlers`, `try: await h(**kw)`, `except Exception: log.exception`.
3. Handlers do nothing and take exactly what is passed: three keywords unless said. A `NullHandler` gets all failures.
   First each competitor runs a case once: whose handlers have not all ended when the emit is over gets a dash.
4. Discovery, import and memory: fresh processes, interleaved and rotated. From a process's cost a bare interpreter's
   start of the same round is subtracted. The file system's cache is warm; nothing else is cached.
5. These are measurements, not tests: nothing here is asserted, and no number makes a build fail."""


def written(results: Sequence[Mapping[str, Any]], plots: Sequence[str], *, quick: bool) -> str:
    """Return the page.

    Args:
        results: of each Python.
        plots: the files that were drawn, by name.
        quick: warn that it was a quick run.
    """
    parts = [
        "# Benchmarks",
        "Written by `python -m benchmarks`; do not edit."
        + (" **A quick run: the numbers say little.**" if quick else ""),
        _surroundings(results),
        "## Method",
        METHOD,
        *([] if plots else ["No plots: matplotlib is not installed."]),
    ]
    for name, section in SECTIONS.items():
        if any(name in result["parts"] for result in results):
            parts += section(results, plots)
    return "\n\n".join(parts) + "\n"


def _surroundings(results: Sequence[Mapping[str, Any]]) -> str:
    names = list(results[0]["versions"])
    rows = [[name, *(result["versions"][name] or "missing" for result in results)] for name in names]
    now = datetime.now(UTC)
    facts = [
        f"- {now:%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        *(
            f"- {result['python']}, {result['compiler']}: {result['rounds']} rounds in one process, "
            f"{result['process_rounds']} of fresh processes; load of the machine before: {result['load_before']:.2f}"
            for result in results
        ),
    ]
    return "\n".join(facts) + "\n\n" + _table(["library", *(result["python"] for result in results)], rows)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plot(name: str, title: str, plots: Sequence[str]) -> list[str]:
    return [f"![{title}](plots/{name})"] if name in plots else []


def _having(results: Sequence[Mapping[str, Any]], part: str) -> list[tuple[str, dict[str, Any]]]:
    return [(result["python"], result["parts"][part]) for result in results if part in result["parts"]]


# How numbers read


def _digits(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(summary: Mapping[str, float], factor: float = 1) -> str:
    lower, middle, upper = (_digits(summary[key] * factor) for key in ("lower", "median", "upper"))
    return f"{middle} ({lower}…{upper})"


# Dispatch


def _dispatch(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:
    parts = ["## Dispatch: the cost of one emit", *_plot("dispatch.svg", "Ten async handlers, ratio to limit A", plots)]
    for python, found in _having(results, "dispatch"):
        parts += [f"### {python}", *_missing(found["missing"])]
        parts += ["The bus, and the fastest peer of those whose other handlers run when one fails:", _summary(found)]
        parts += [
            "Ratio to limit A:",
            _cases(found, "ratio", 1),
            "Nanoseconds per emit:",
            _cases(found, "nanoseconds", 1),
        ]
        parts += ["Dashes:", _dashes(found)]
    parts += ["### What each does, as observed, and what it does not", *_traits(results)]
    return parts


def _missing(missing: Mapping[str, str]) -> list[str]:
    if not missing:
        return []
    return ["Missing here, and so not measured:", "\n".join(f"- {name}: {reason}" for name, reason in missing.items())]


def _summary(found: Mapping[str, Any]) -> str:
    isolating = {name for name, traits in found["traits"].items() if traits["failure"] == "the others run"}
    own_names = (BUS.name, BUS_BY_OBJECT.name)
    rows = []
    for case in found["cases"]:
        peers = {
            name: row["ratio"]
            for name, row in case["rows"].items()
            if name in isolating and name not in (LIMIT.name, *own_names)
        }
        best = min(peers, key=lambda name: peers[name]["median"], default=None)
        own = [_spread(case["rows"][name]["ratio"]) if name in case["rows"] else DASH for name in own_names]
        rows.append([case["name"], *own, f"{best}: {_spread(peers[best])}" if best else DASH])
    return _table(["case", *own_names, "best peer that isolates failures"], rows)


def _cases(found: Mapping[str, Any], measure: str, factor: float) -> str:
    cases = found["cases"]
    names = [competitor.name for competitor in COMPETITORS if competitor.name in found["traits"]]
    rows = [
        [name, *(_spread(case["rows"][name][measure], factor) if name in case["rows"] else DASH for case in cases)]
        for name in names
    ]
    return _table(["", *(case["name"] for case in cases)], rows)


def _dashes(found: Mapping[str, Any]) -> str:
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in found["cases"]:
        for name, reason in case["unable"].items():
            reasons.setdefault((name, reason), []).append(case["name"])
    lines = []
    for (name, reason), cases in reasons.items():
        where = "" if reason == "no async handlers" else f" ({'; '.join(cases)})"
        lines.append(f"- {name}: {reason}{where}")
    return "\n".join(lines) or "none"


def _traits(results: Sequence[Mapping[str, Any]]) -> list[str]:
    _, found = _having(results, "dispatch")[0]
    example = Case("", 1)
    keywords = ", ".join(f"{name}={value}" for name, value in KEYWORDS.items())
    rows = []
    for competitor in COMPETITORS:
        traits = found["traits"].get(competitor.name)
        if traits is None:
            continue
        line = competitor.line(example).replace(keywords, "…").replace(str(KEYWORDS), "{…}")
        columns = [traits[key] or DASH for key in ("async", "plain", "order", "failure", "remarks")]
        rows.append([competitor.name, f"`{line}`", *columns])
    head = [
        "",
        "the line that is timed",
        "async handlers",
        "plain handlers",
        "order of calls",
        "one of ten raises",
        "remarks",
    ]
    return [_table(head, rows).replace("---:", "---")]


# Discovery


def _discovery(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:
    parts = [
        "## Discovery: finding the plugins among what is installed",
        "A tenth of a site's distributions are plugins. The call: after all imports, in a fresh process, on a folder "
        f"that this process has not seen; the ratio is to {discovery.REFERENCE}. The process: everything from start "
        "to end, imports included, less a bare interpreter's start. The last two import the plugins' modules as well, "
        "for they can do no less. stevedore's cache is in a folder of its own: cold, it is empty and gets written; "
        "warm, it is filled. (It keeps none for an interpreter under /tmp, so it is told another path.)",
        *_plot("discovery.svg", "Discovery by number of distributions", plots),
    ]
    for python, found in _having(results, "discovery"):
        parts += [f"### {python}", *_missing(found["missing"])]
        parts += ["The call, in milliseconds and as a ratio:", _sites(found, _call_cell)]
        parts += ["The process, in milliseconds beyond a bare interpreter:", _sites(found, _process_cell)]
        wrong = [
            f"- {name} found {row['found']} of {site['plugins']} plugins among {site['distributions']} distributions"
            for site in found["sites"]
            for name, row in site["rows"].items()
            if row["found"] != site["plugins"]
        ]
        parts += ["\n".join(wrong)] if wrong else []
    return parts


def _call_cell(row: Mapping[str, Any]) -> str:
    return f"{_digits(row['call_seconds']['median'] * 1e3)} ms = {_spread(row['call_ratio'])}"


def _process_cell(row: Mapping[str, Any]) -> str:
    return _spread(row["process_seconds"], 1e3)


def _sites(found: Mapping[str, Any], cell: Any) -> str:
    names = found["sites"][0]["rows"]
    rows = [[name, *(cell(site["rows"][name]) for site in found["sites"])] for name in names]
    return _table(["", *(f"{site['distributions']} distributions" for site in found["sites"])], rows)


# Memory


def _memory(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:  # noqa: ARG001 - no plot of it
    parts = ["## Memory: bytes per registered handler"]
    for python, found in _having(results, "memory"):
        parts += [
            f"### {python}",
            f"{found['handlers']:,} handlers of {found['events']:,} events, unless said; the functions aside. "
            "Counted by `tracemalloc`, and, in another process, as growth of the resident memory. After emitting: each "
            "event was emitted once, so the plans are built.",
            *_missing(found["missing"]),
            _table(
                ["", "tracemalloc: registered", "after emitting", "resident: registered", "after emitting"],
                [
                    [name, *(_digits(value) for measure in row.values() for value in measure)]
                    for name, row in found["rows"].items()
                ],
            ),
        ]
    return parts


# Import


def _import(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:
    parts = ["## Import: what it adds to a start", *_plot("import.svg", "Import time", plots)]
    for python, found in _having(results, "import"):
        rows = found["rows"]
        blinker = rows.get("blinker")

        def beside(row: Mapping[str, Any], measure: str, blinker: Mapping[str, Any] | None = blinker) -> str:
            return _digits(row[measure]["median"] / blinker[measure]["median"]) if blinker else DASH

        parts += [
            f"### {python}",
            f"A bare interpreter starts and ends in {_spread(found['bare_seconds'], 1e3)} ms.",
            *_missing(found["missing"]),
            _table(
                ["`import …`", "added to the process, ms", "of blinker's", "the statement alone, ms", "of blinker's"],
                [
                    [
                        name,
                        _spread(row["added_seconds"], 1e3),
                        beside(row, "added_seconds"),
                        _spread(row["statement_seconds"], 1e3),
                        beside(row, "statement_seconds"),
                    ]
                    for name, row in rows.items()
                ],
            ),
        ]
    return parts


# Growth


def _growth(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:
    parts = ["## Growth"]
    for name, title in (
        ("growth-handlers.svg", "Time of one emit by handlers of the event"),
        ("growth-events.svg", "Time of one emit by registered events"),
        ("growth-registration.svg", "Time to register handlers"),
        ("growth-plugins.svg", "Time to load plugins"),
    ):
        parts += _plot(name, title, plots)
    for python, found in _having(results, "growth"):
        parts += [f"### {python}", "Handlers of one event, nanoseconds per emit:", _growth_of_emits(found["handlers"])]
        parts += ["Registered events with one handler each, nanoseconds per emit of one of them:"]
        parts += [_growth_of_emits(found["events"])]
        parts += ["Registering handlers, and then listing them once:", _growth_of_registration(found["registration"])]
        parts += [
            "Loading plugins of two handlers each, beside a loop of `importlib.import_module` over the same modules:"
        ]
        parts += [_growth_of_plugins(found["plugins"])]
    return parts


def _growth_of_emits(steps: Sequence[Mapping[str, Any]]) -> str:
    names = list(steps[0]["rows"])
    rows = [
        [
            f"{step['number']:,}",
            *(_spread(step["rows"][name]["nanoseconds"]) for name in names),
            _spread(step["rows"][BUS.name]["ratio"]),
        ]
        for step in steps
    ]
    return _table(["number", *names, "the bus's ratio to limit A"], rows)


def _growth_of_registration(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [
            f"{row['number']:,}",
            row["way"],
            _spread(row["seconds"], 1e3),
            _digits(row["seconds"]["median"] / row["number"] * 1e6),
            _spread(row["listing_seconds"], 1e3),
            _digits(row["listing_seconds"]["median"] / row["number"] * 1e6),
        ]
        for row in rows
    ]
    return _table(["handlers", "of", "registering, ms", "µs for each", "listing, ms", "µs for each"], lines)


def _growth_of_plugins(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [
            f"{row['number']:,}",
            _spread(row["load_seconds"], 1e3),
            _spread(row["bare_seconds"], 1e3),
            _spread(row["bare_share"]),
            _spread(row["import_share"]),
        ]
        for row in rows
    ]
    head = ["plugins", "`load_plugins`, ms", "the bare loop, ms", "the loop's share", "share of the imports inside"]
    return _table(head, lines)


# Durable handlers


def _durable(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:
    parts = ["## Durable handlers: SQLite", durable.METHOD]
    parts += _plot("durable-emits.svg", "Emits per second by rows in the table", plots)
    parts += _plot("durable-deliveries.svg", "Deliveries per second by rows in the table", plots)
    for python, found in _having(results, "durable"):
        parts += [f"### {python}", *_missing(found["missing"])]
        if not found["missing"]:
            parts += ["Events stored a second:", _durable_rows(found["emits"], "each", "events in a transaction")]
            parts += ["Events delivered a second:", _durable_rows(found["deliveries"], "handler", "handler")]
            parts += [f"A second, by rows in the table, {durable.USUAL} events in a transaction:"]
            parts += [_durable_growth(found["growth"])]
    return parts


def _durable_rows(rows: Sequence[Mapping[str, Any]], key: str, title: str) -> str:
    head = [title, "durable", "bare aiosqlite", "bare is faster, times"]
    lines = [[f"{row[key]}", _spread(row["durable"]), _spread(row["bare"]), _spread(row["ratio"])] for row in rows]
    return _table(head, lines)


def _durable_growth(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [
            f"{row['rows']:,} {row['kind']}",
            _spread(row["durable"]),
            _spread(row["bare"]),
            _spread(row["ratio"]),
            _spread(row["deliveries"]),
            _spread(row["start"], 1e3),
        ]
        for row in rows
    ]
    head = ["rows", "durable emits", "bare inserts", "bare is faster, times", "deliveries", "until the first, ms"]
    return _table(head, lines)


# Relay


def _relay(results: Sequence[Mapping[str, Any]], plots: Sequence[str]) -> list[str]:  # noqa: ARG001 - no plot of it
    parts = ["## Relay: through NATS, from one process to another", relay.METHOD]
    for python, found in _having(results, "relay"):
        parts += [f"### {python}", *_missing(found["missing"])]
        if not found["missing"]:
            rows = [[way, _spread(summary)] for way, summary in found["through"].items()]
            rows.append(["the relay's ratio to FastStream alone", _spread(found["ratio"])])
            parts += [f"{found['events']:,} events:", _table(["", "events a second"], rows)]
            emits = [[way, _spread(summary, 1e6)] for way, summary in found["emit"].items()]
            parts += ["An emit, by what becomes of it besides:", _table(["", "µs"], emits)]
    return parts


SECTIONS = {
    "dispatch": _dispatch,
    "discovery": _discovery,
    "memory": _memory,
    "import": _import,
    "growth": _growth,
    "durable": _durable,
    "relay": _relay,
}
