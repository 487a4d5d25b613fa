"""The plugin on a bus that holds nothing else, servers of the tests' own, and programs that use the relay."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastsoy_events import bus, load_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from fastsoy_events import PluginBus

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent
DURABLE = FOLDER.parent / "fastsoy-events-durable"
GROUP = "fastsoy.event_handlers"
GRACE = 30  # seconds for a program to end that was told to


def _module(name: str) -> ModuleType:
    """Import a file beside this one, under a name that no other package's tests have."""
    spec = importlib.util.spec_from_file_location(f"fastsoy_events_relay_tests_{name}", HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


servers = _module("servers")


def _lay_down(folder: Path, source: Path) -> None:
    """Leave a distribution's metadata in a folder, as pip does."""
    project: dict[str, Any] = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = (f"{each} = {target}\n" for each, target in project["entry-points"][GROUP].items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(lines)}", encoding="utf-8")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has the plugin's metadata, so that it does not matter whether pip installed it."""
    folder = tmp_path_factory.mktemp("site")
    _lay_down(folder, FOLDER)
    return folder


@pytest.fixture(scope="session")
def installed_with_durable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one that has the metadata of the durable handlers, too."""
    folder = tmp_path_factory.mktemp("site-durable")
    _lay_down(folder, FOLDER)
    _lay_down(folder, DURABLE)
    return folder


@pytest.fixture
def empty_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginBus]:
    """Empty the default bus, and undo what the test does to it."""
    for name in ("FASTSOY_EVENTS_ALLOWED", "FASTSOY_EVENTS_DISABLED", "FASTSOY_EVENTS_LOCK"):
        monkeypatch.delenv(name, raising=False)
    with bus.isolated():
        yield bus


@pytest.fixture
def loaded(empty_bus: PluginBus, installed: Path, monkeypatch: pytest.MonkeyPatch) -> PluginBus:
    """Load the plugin alone."""
    monkeypatch.syspath_prepend(FOLDER / "src")
    load_plugins(path=[installed], strict=True)
    return empty_bus


@pytest.fixture
def loaded_with_durable(
    empty_bus: PluginBus, installed_with_durable: Path, monkeypatch: pytest.MonkeyPatch
) -> PluginBus:
    """Load the plugin and the one of the durable handlers."""
    monkeypatch.syspath_prepend(FOLDER / "src")
    monkeypatch.syspath_prepend(DURABLE / "src")
    load_plugins(path=[installed_with_durable], strict=True)
    return empty_bus


@pytest.fixture(params=list(servers.KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Name the broker; a test may ask for one of them alone."""
    return str(request.param)


@pytest.fixture
def absent_server(kind: str, tmp_path: Path) -> Iterator[Any]:
    """Return a server that does not run yet."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = servers.KINDS[kind](folder)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(absent_server: Any) -> Any:
    """Start a server."""
    absent_server.start()
    return absent_server


@dataclass
class Worker:
    """A program that uses the relay, in a process of its own: `worker.py`."""

    process: subprocess.Popen[str]
    log: Path

    def expect(self, line: str) -> None:
        """Wait until the program says something."""
        said = self.said()
        assert said == line, f"{said}{self._rest()}"

    def said(self) -> str:
        """Wait for the program's next line."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ended(self, within: float = GRACE) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(within)

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        assert self.ended() == 0, self._rest()

    def _rest(self) -> str:
        self.process.kill()
        return self.process.communicate()[1]

    def handled(self) -> list[str]:
        """Return what it has handled, or those before it with the same log, in that order."""
        return self.log.read_text("utf-8").split() if self.log.exists() else []


@pytest.fixture
def worker(installed: Path, installed_with_durable: Path, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Return what starts a worker, and waits until its relay is open."""
    workers: list[Worker] = []

    def start(url: str, *, log: str = "handled", **settings: object) -> Worker:
        file = tmp_path / log
        site = installed_with_durable if "durable" in settings else installed
        path = [str(each) for each in (site, FOLDER / "src", DURABLE / "src")]
        wanted = {"url": url, "log": str(file), "path": path, **settings}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(HERE / "worker.py"), json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(Worker(process, file))
        workers[-1].expect("open")
        return workers[-1]

    yield start
    for each in workers:
        each.process.kill()
        with each.process, suppress(ValueError):
            each.process.communicate()
