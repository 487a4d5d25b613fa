"""Whether the tests notice a mutant: they are collected once, and each mutant has a copy of the process to run them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import FunctionType, ModuleType

    from mutation.mutants import Mutant

ARGUMENTS = ("-q", "-p", "no:cacheprovider", "-p", "no:random-order")
_MOST_OTHERS = 200  # beyond, a mutant that survives takes long, and hardly one is killed
_MOST_MEMORY = 3 * 2**30
_NO_FAILURE, _A_FAILURE, _ANYTHING_ELSE = 0, 1, 2
_ENDS = {_NO_FAILURE: "survived", _A_FAILURE: "killed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the tests have told without any mutant.

    Args:
        by_line: the tests that run each line of the module.
        seconds: how long each test takes.
        own: the file of the tests that are about the module itself.
    """

    by_line: Mapping[int, Sequence[str]]
    seconds: Mapping[str, float]
    own: str

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that a mutant is shown to, the quickest first.

        Those that run its lines, or else all; of these, all in the module's own file, and the quickest others.
        """
        found = self.by_speed({test for line in mutant.lines for test in self.by_line.get(line, ())} or self.seconds)
        others = [test for test in found if not test.startswith(self.own)]
        return self.by_speed([*(test for test in found if test.startswith(self.own)), *others[:_MOST_OTHERS]])

    def by_speed(self, tests: Iterable[str]) -> list[str]:
        """Return tests, the quickest first."""
        return sorted(tests, key=lambda test: self.seconds[test])


@dataclass(frozen=True, slots=True)
class _Running:
    mutant: Mutant
    ends: float


class Judge:
    """A plugin of pytest that runs the collected tests once for each mutant, in place of once.

    Args:
        module: the dotted name of the module that the mutants are of.
        mutants: what to run.
        workers: how many processes run at a time.
        tell: is called with each mutant, how it ended, and how many tests it was shown to.
        folder: for what a process leaves for this one.
    """

    def __init__(
        self,
        module: str,
        mutants: Sequence[Mutant],
        workers: int,
        tell: Callable[[Mutant, str, int], None],
        folder: Path,
    ) -> None:
        self._module = module
        self._mutants = mutants
        self._workers = workers
        self._tell = tell
        self._folder = folder

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run each mutant in a copy of this process, in which all is imported and no test has run."""
        items = {item.nodeid: item for item in session.items}
        trial = self._trial(session, items)
        for mutant, end in self._ended(session, items, trial):
            self._tell(mutant, end, len(trial.tests_of(mutant)))
        return True

    def _trial(self, session: pytest.Session, items: Mapping[str, pytest.Item]) -> Trial:
        """Run the tests without any mutant, in each of the ways in which they run with one."""
        module = sys.modules[self._module]
        answer = self._folder / "trial.json"
        self._tried(partial(_watched, session, items, module, answer))
        by_line, seconds = json.loads(answer.read_text(encoding="utf-8"))
        trial = Trial(by_line={int(line): tests for line, tests in by_line.items()}, seconds=seconds, own=_own(session))
        self._tried(partial(_run, session, [items[test] for test in trial.by_speed(seconds)]))
        file = Path(str(module.__file__))
        self._tried(partial(_run_anew, file.read_text(encoding="utf-8"), file, session, self._folder / "as it is"))
        return trial

    def _tried(self, run: Callable[[], None]) -> None:
        log = self._folder / "trial.log"
        if os.waitstatus_to_exitcode(os.waitpid(_started(run, log), 0)[1]) != _NO_FAILURE:
            raise RuntimeError(f"tests of {self._module} fail without any mutant:\n{log.read_text(errors='replace')}")

    def _ended(
        self, session: pytest.Session, items: Mapping[str, pytest.Item], trial: Trial
    ) -> Iterator[tuple[Mutant, str]]:
        waiting = list(reversed(self._mutants))
        running: dict[int, _Running] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    mutant = waiting.pop()
                    chosen = [items[test] for test in trial.tests_of(mutant)]
                    child = _started(partial(self._run_with, mutant, session, chosen), Path(os.devnull))
                    most = 20 + 4 * sum(trial.seconds[item.nodeid] for item in chosen)
                    running[child] = _Running(mutant, time.monotonic() + most)
                child, status = os.waitpid(-1, os.WNOHANG)
                if child:
                    yield running.pop(child).mutant, _ENDS.get(os.waitstatus_to_exitcode(status), "stopped the tests")
                    continue
                for child in [each for each, its in running.items() if its.ends < time.monotonic()]:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    yield running.pop(child).mutant, "too slow"
                time.sleep(0.01)
        finally:
            for child in running:
                os.killpg(child, signal.SIGKILL)

    def _run_with(self, mutant: Mutant, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        module = sys.modules[self._module]
        if mutant.function:
            _put_in_place(mutant, module)
            _run(session, items)
        else:
            _run_anew(mutant.source, Path(str(module.__file__)), session, self._folder / str(os.getpid()))


def _started(run: Callable[[], None], log: Path) -> int:
    """Start a copy of this process that runs something, and return its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = _ANYTHING_ELSE
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
        run()
        code = _NO_FAILURE
    except _TestFailedError:
        code = _A_FAILURE
    except BaseException:  # noqa: BLE001 - whatever it is, it is the mutant's doing
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


class _TestFailedError(Exception):
    """A test has failed."""


def _run(session: pytest.Session, items: Sequence[pytest.Item]) -> None:
    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            raise _TestFailedError(item.nodeid)


def _watched(session: pytest.Session, items: Mapping[str, pytest.Item], module: ModuleType, answer: Path) -> None:
    """Run all tests, and write down which of them run which lines of a module, and for how long."""
    from coverage import Coverage

    file = str(module.__file__)
    coverage = Coverage(data_file=None, config_file=False, include=[file])
    seconds: dict[str, float] = {}
    coverage.start()
    everything = list(items.values())
    for place, item in enumerate(everything):
        coverage.switch_context(item.nodeid)
        started = time.perf_counter()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=(*everything, None)[place + 1])
        seconds[item.nodeid] = time.perf_counter() - started
    coverage.stop()
    if session.testsfailed:
        raise _TestFailedError
    by_line = coverage.get_data().contexts_by_lineno(file)
    named = {line: [name for name in names if name] for line, names in by_line.items()}
    answer.write_text(json.dumps([named, seconds]), encoding="utf-8")


def _run_anew(source: str, module: Path, session: pytest.Session, folder: Path) -> None:
    """Run tests in a new Python, which imports the package with the mutant: here, its imports have run already."""
    package = shutil.copytree(module.parent, folder / module.parent.name)
    (package / module.name).write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *ARGUMENTS, "-x", _own(session)]
    code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - the suite's own tests
    shutil.rmtree(folder)
    if code:
        raise _TestFailedError


def _own(session: pytest.Session) -> str:
    return session.items[0].nodeid.partition("::")[0]  # the first that was named


# What puts a mutant in the place of what is imported


def _put_in_place(mutant: Mutant, module: ModuleType) -> None:
    """Have the function that a mutant changes run the mutant's code, whoever has imported it under whatever name."""
    code = compile(mutant.source, str(module.__file__), "exec", dont_inherit=True)
    names = mutant.function.split(".")
    found: Any = module
    for name in names:
        found = vars(found)[name]
        for constant in code.co_consts:
            if getattr(constant, "co_name", None) == name:
                code = constant
        if not isinstance(found, type):
            break
    _function_of(found).__code__ = code


def _function_of(found: Any) -> FunctionType:
    inner = getattr(found, "fget", found)
    return getattr(inner, "__wrapped__", inner)
