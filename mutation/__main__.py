"""`python -m mutation`: change the modules that everything stands on, and show the changes that no test notices."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from mutation.judge import ARGUMENTS, Judge
from mutation.mutants import mutants_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutation.mutants import Mutant

ROOT = Path(__file__).parent.parent
# The tests that concern a module: its own, then the quickest others that suffice.
TESTS = {
    "_order": ("order", "load", "bus", "contract", "extend", "threads"),
    "_dispatch": ("dispatch", "bus", "contract", "extend", "guard"),
    "_load": ("load", "extend", "broken_packages"),
    "_deferral": ("deferral", "transactions_tortoise"),
}
LEAST_KILLED = 0.9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants, and show those that survive.

    Returns:
        The exit code: 1 where fewer than nine of ten are killed in any module.
    """
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("module", nargs="?", choices=TESTS, help="each in a process of its own by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes at a time")
    parser.add_argument("--only", default="", metavar="TEXT,...", help="only mutants with one of these in their name")
    options = parser.parse_args(arguments)
    if options.module:
        return _run(options.module, options.workers, options.only)
    passed_on = [f"--workers={options.workers}", f"--only={options.only}"]
    command = [sys.executable, "-m", "mutation"]
    codes = [subprocess.run([*command, module, *passed_on], check=False).returncode for module in TESTS]  # noqa: S603 - itself
    return max(codes)


def _run(module: str, workers: int, only: str) -> int:
    """Run the mutants of one module."""
    ends: Counter[str] = Counter()
    shown = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)

    def tell(mutant: Mutant, end: str, tests: int) -> None:
        ends[end] += 1
        if end != "killed":
            print(f"\n{mutant.name}: {end}, {tests} tests\n{mutant.difference}", file=shown)

    mutants = [each for each in mutants_of(ROOT / "src" / "fastsoy_events" / f"{module}.py") if _is_meant(each, only)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder, Path(folder, "pytest.log").open("w+") as log:
        os.dup2(log.fileno(), 1)
        judge = Judge(f"fastsoy_events.{module}", mutants, workers, tell, Path(folder))
        code = _tested([f"tests/test_{name}.py" for name in TESTS[module]], judge)
        if code != 0:
            print(Path(log.name).read_text(encoding="utf-8", errors="replace"), file=shown)
            return code
    if not mutants:
        return 0
    killed = len(mutants) - ends["survived"]
    minutes = (time.monotonic() - started) / 60
    print(
        f"\n{module}: {len(mutants)} mutants, {killed} killed ({killed / len(mutants):.1%}; {ends['too slow']} by the "
        f"clock), {ends['survived']} survived; {minutes:.0f} minutes\n",
        file=shown,
    )
    return 0 if killed >= LEAST_KILLED * len(mutants) else 1


def _is_meant(mutant: Mutant, only: str) -> bool:
    return any(text in f"{mutant.name}:" for text in only.split(","))


def _tested(files: Sequence[str], judge: Judge) -> int:
    settings.register_profile("mutation", derandomize=True, max_examples=25, database=None, deadline=None)
    quietly = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # hypothesis is imported here already
    return int(pytest.main([*ARGUMENTS, "--hypothesis-profile=mutation", *quietly, *files], plugins=[judge]))


if __name__ == "__main__":
    sys.exit(main())
