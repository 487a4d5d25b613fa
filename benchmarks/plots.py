"""The plots: one SVG for each question, one panel for each Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.competitors import BUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

OWN, OTHER, PALE = "#0b6e4f", "#5a6472", "#c3cad2"
LINES = (OWN, "#5a6472", "#c1666b", "#4a7fb5", "#b08a2e", "#8b6bb1", "#3f9aa0")


def draw(results: Sequence[Mapping[str, Any]], folder: Path) -> list[str]:
    """Draw what was measured.

    Returns:
        The names of the files; none where matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "benchmarks",
            "font.family": "sans-serif",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": OTHER,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "legend.frameon": False,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    for name, (part, title, size, panel) in PLOTS.items():
        panels = [(result["python"], result["parts"][part]) for result in results if part in result["parts"]]
        if panels:
            _figure(folder / name, title, size, panel, panels)
            drawn.append(name)
    return drawn


def _figure(
    file: Path,
    title: str,
    size: tuple[float, float],
    panel: Callable[[Any, Any], None],
    panels: Sequence[tuple[str, Mapping[str, Any]]],
) -> None:
    from matplotlib import pyplot

    width, height = size
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(width * len(panels), height), squeeze=False, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    for axis, (python, found) in zip(axes[0], panels, strict=True):
        axis.set_title(python, color=OTHER)
        panel(axis, found)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _bars(axis: Any, values: Mapping[str, float], own: str, start: float = 0) -> None:
    """Draw a bar for each from where all start, the smallest value on top, with its value at its end."""
    names = sorted(values, key=lambda name: -values[name])
    labels = [name.replace("`", "") for name in names]
    lengths = [values[name] - start for name in names]
    axis.barh(labels, lengths, left=start, color=[OWN if own in name else PALE for name in names], height=0.7)
    for place, name in enumerate(names):
        value = values[name]
        text = f" {value:.0f}" if value >= 100 else f" {value:.1f}" if value >= 10 else f" {value:.2f}"
        axis.text(max(value, start), place, text, va="center", color=OTHER, fontsize=9)
    axis.tick_params(length=0)


def _dispatch(axis: Any, found: Mapping[str, Any]) -> None:
    case = next(case for case in found["cases"] if case["name"] == "N = 10")
    values = {name: row["ratio"]["median"] for name, row in case["rows"].items()}
    _bars(axis, values, "fastsoy", start=1)
    axis.set_xscale("log")
    axis.set_xlim(min(values.values()) / 1.3, max(values.values()) * 3)
    axis.axvline(1, color=OTHER, linewidth=0.8)
    axis.set_xlabel("times limit A (logarithmic)")


def _import(axis: Any, found: Mapping[str, Any]) -> None:
    _bars(axis, {name: row["added_seconds"]["median"] * 1e3 for name, row in found["rows"].items()}, "fastsoy")
    axis.margins(x=0.12)
    axis.set_xlabel("milliseconds added to a bare interpreter's start")


def _lines(axis: Any, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    for color, (name, (places, values)) in zip(LINES * 3, series.items(), strict=False):
        own = name.startswith("fastsoy")
        label = name.replace("`", "")
        axis.plot(places, values, marker="o", markersize=3, linewidth=2 if own else 1.2, color=color, label=label)
    axis.legend(fontsize=8, loc="best")
    axis.grid(color="#edf0f2", linewidth=0.8)
    axis.set_axisbelow(True)


def _discovery(axis: Any, found: Mapping[str, Any]) -> None:
    sites = found["sites"]
    sizes = [site["distributions"] for site in sites]
    names = [name for name, row in sites[0]["rows"].items() if not row["loads"]]
    _lines(
        axis, {name: (sizes, [site["rows"][name]["call_seconds"]["median"] * 1e3 for site in sites]) for name in names}
    )
    axis.set_xlabel("distributions installed")
    axis.set_ylabel("milliseconds for the call")
    axis.set_ylim(bottom=0)


def _emits(steps: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    return {
        name: (
            [step["number"] for step in steps],
            [step["rows"][name]["nanoseconds"]["median"] / 1e3 for step in steps],
        )
        for name in sorted(steps[0]["rows"], key=lambda name: name != BUS.name)
    }


def _growth_handlers(axis: Any, found: Mapping[str, Any]) -> None:
    _lines(axis, _emits(found["handlers"]))
    axis.set_xlabel("handlers of the event")
    axis.set_ylabel("microseconds per emit")


def _growth_events(axis: Any, found: Mapping[str, Any]) -> None:
    _lines(axis, _emits(found["events"]))
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("registered events, one handler each (logarithmic)")
    axis.set_ylabel("microseconds per emit of one")


def _growth_registration(axis: Any, found: Mapping[str, Any]) -> None:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in found["registration"]:
        numbers, seconds = series.setdefault(row["way"], ([], []))
        numbers.append(row["number"])
        seconds.append(row["seconds"]["median"])
    _lines(axis, series)
    axis.set_xlabel("handlers registered")
    axis.set_ylabel("seconds")
    axis.set_ylim(bottom=0)


def _growth_plugins(axis: Any, found: Mapping[str, Any]) -> None:
    rows = found["plugins"]
    numbers = [row["number"] for row in rows]
    _lines(
        axis,
        {
            "fastsoy-events load_plugins": (numbers, [row["load_seconds"]["median"] for row in rows]),
            "a loop of import_module": (numbers, [row["bare_seconds"]["median"] for row in rows]),
        },
    )
    axis.set_xlabel("plugins")
    axis.set_ylabel("seconds")
    axis.set_ylim(bottom=0)


def _by_rows(axis: Any, found: Mapping[str, Any], columns: Mapping[str, str], unit: str) -> None:
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in found["growth"]:
        for name, column in columns.items():
            rows, values = series.setdefault(f"{name}, rows {row['kind']}", ([], []))
            rows.append(row["rows"])
            values.append(row[column]["median"])
    if series:  # nothing was measured where a library is missing
        _lines(axis, series)
        axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("rows in the table (logarithmic)")
    axis.set_ylabel(f"{unit} per second")


def _durable_emits(axis: Any, found: Mapping[str, Any]) -> None:
    _by_rows(axis, found, {"fastsoy-events-durable": "durable", "bare aiosqlite": "bare"}, "events stored")


def _durable_deliveries(axis: Any, found: Mapping[str, Any]) -> None:
    _by_rows(axis, found, {"fastsoy-events-durable": "deliveries"}, "events delivered")


PLOTS: dict[str, tuple[str, str, tuple[float, float], Callable[[Any, Any], None]]] = {
    "dispatch.svg": ("dispatch", "One emit to ten async handlers", (6.2, 3.6), _dispatch),
    "discovery.svg": ("discovery", "Finding the plugins", (5.2, 3.8), _discovery),
    "import.svg": ("import", "Import", (6.2, 4.6), _import),
    "growth-handlers.svg": ("growth", "One emit, by handlers of the event", (5.2, 3.6), _growth_handlers),
    "growth-events.svg": ("growth", "One emit, by registered events", (5.2, 3.6), _growth_events),
    "growth-registration.svg": ("growth", "Registering handlers", (5.2, 3.6), _growth_registration),
    "growth-plugins.svg": ("growth", "Loading plugins", (5.2, 3.6), _growth_plugins),
    "durable-emits.svg": ("durable", "Durable emits, 100 in a transaction", (5.2, 3.6), _durable_emits),
    "durable-deliveries.svg": ("durable", "Deliveries", (5.2, 3.6), _durable_deliveries),
}
