from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "dispatch", "--output", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return (folder / "RESULTS.md").read_text(encoding="utf-8")


def test_the_bus_stands_beside_the_hand_written_loop_in_every_case(results: str) -> None:
    section = results.split("Ratio to limit A:")[1].split("Nanoseconds")[0]
    rows = {
        name: cells
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith("| ---")
        for name, *cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    }
    own = ("fastsoy-events, by name", "fastsoy-events, by event object")
    for name in ("limit A: a hand-written loop", *own, "dictionary bus"):
        assert all(cell not in ("", "-") for cell in rows[name]), rows[name]


def test_a_quick_run_says_so(results: str) -> None:
    assert "the numbers say little" in results


def test_an_unknown_part_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "speed"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "speed: choose from dispatch, discovery, memory, import, growth" in run.stderr
