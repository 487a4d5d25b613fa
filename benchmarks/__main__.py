"""`python -m benchmarks`: measure under one or several Pythons, and write RESULTS.md and the plots."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks import plots, report

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

FOLDER = Path(__file__).parent
PARTS = ("dispatch", "discovery", "memory", "import", "growth", "durable", "relay")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks.

    Returns:
        The exit code: 0 when everything was measured, however slow it is.
    """
    options = _parser().parse_args(arguments)
    pythons = [str(Path(python).absolute()) for python in options.python or [sys.executable]]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, _display() as display:
        results = [
            _measured(python, options.quick, options.only, Path(name, f"{place}.json"), display)
            for place, python in enumerate(pythons)
        ]
    options.output.mkdir(parents=True, exist_ok=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    drawn = plots.draw(results, options.output / "plots")
    target = options.output / "RESULTS.md"
    target.write_text(report.written(results, drawn, quick=options.quick), encoding="utf-8")
    print(target)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the bus beside its peers. Nothing here passes or fails."
    )
    parser.add_argument("--quick", action="store_true", help="a run of seconds, whose numbers say little")
    parser.add_argument("--only", type=_parts, default=list(PARTS), metavar="PART,...", help=", ".join(PARTS))
    parser.add_argument(
        "--python",
        action="append",
        metavar="PATH",
        help="an interpreter with the bus and its peers installed, to measure under; may be repeated",
    )
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER", help="for RESULTS.md and plots/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there, too")
    return parser


def _parts(text: str) -> list[str]:
    chosen = text.split(",")
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(PARTS)}")
    return [part for part in PARTS if part in chosen]


def _measured(python: str, quick: bool, parts: Sequence[str], file: Path, display: Display) -> dict[str, Any]:  # noqa: FBT001 - passed on as given
    """Run the measuring process under one Python, and show how far it is."""
    options = json.dumps({"quick": quick, "parts": list(parts)})
    command = [python, "-m", "benchmarks.measuring", options, str(file)]
    with subprocess.Popen(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - the caller's Python
        for line in process.stdout or ():
            if not line.startswith("{"):
                print(line, end="", file=sys.stderr)
                continue
            message = json.loads(line)
            if "part" in message:
                display.begin(f"{python}: {message['part']}", message["steps"])
            else:
                display.step()
    if process.returncode:
        raise SystemExit(f"measuring under {python} failed with exit code {process.returncode}")
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


class Display(Protocol):
    """Shows progress."""

    def begin(self, title: str, steps: int) -> None:
        """Begin a part."""

    def step(self) -> None:
        """Advance by one step."""


class _Plain:
    """A line for each part, where rich is not installed."""

    def begin(self, title: str, steps: int) -> None:  # noqa: ARG002 - rich shows the steps, this does not
        print(title, file=sys.stderr)

    def step(self) -> None:
        pass


class _Rich:
    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None

    def begin(self, title: str, steps: int) -> None:
        self._task = self._progress.add_task(title, total=steps)

    def step(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def _display() -> Generator[Display]:
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        yield _Plain()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Rich(progress)


if __name__ == "__main__":
    sys.exit(main())
