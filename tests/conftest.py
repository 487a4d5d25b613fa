"""Real distributions in temporary folders, and a bus and an import system that each test finds as the last one did."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

import importlib_metadata  # noqa: F401 - else a test that imports it first would take it along when it ends
import pytest

# Before any test: what is first imported while a test runs is forgotten after it, and would then exist twice.
from fastsoy_events import (
    EventBus,
    _claim,
    _contract,
    _deferral,
    _discover,
    _guard,
    _installed,
    _load,
    _model,
    _report,
    _select,
    bus,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

STAGES = (_claim, _contract, _deferral, _discover, _guard, _installed, _load, _model, _report, _select)
GROUP = "fastsoy.event_handlers"


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of installed distributions, as pip leaves them behind."""

    folder: Path

    def install(
        self,
        name: str,
        entry_points: Mapping[str, str] | str | bytes | None = None,
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        metadata: str | None = None,
    ) -> Path:
        """Lay a distribution down.

        Args:
            name: as in its metadata.
            entry_points: those of the group, by name; or the text of `entry_points.txt`.
            modules: the source of each module, by dotted name; `package` packages need their own `__init__`, such as
                `{"acme.__init__": "", "acme.handlers": "..."}`.
            version: as in its metadata.
            metadata: the text of `METADATA`, where it is not the usual one.

        Returns:
            Its `.dist-info` folder.
        """
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        usual = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(usual if metadata is None else metadata, encoding="utf-8")
        if isinstance(entry_points, bytes):
            (info / "entry_points.txt").write_bytes(entry_points)
        elif entry_points is not None:
            text = entry_points
            if not isinstance(text, str):
                lines = (f"{each} = {target}" for each, target in text.items())
                text = "\n".join([f"[{GROUP}]", *lines, ""])
            (info / "entry_points.txt").write_text(text, encoding="utf-8")
        for module, source in (modules or {}).items():
            file = self.folder.joinpath(*module.split(".")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(source), encoding="utf-8")
        importlib.invalidate_caches()
        return info


@pytest.fixture
def fresh_bus() -> EventBus:
    """Return a bus of its own."""
    return EventBus()


@pytest.fixture
def default_bus() -> Generator[EventBus]:
    """Empty the default bus for one test."""
    with bus.isolated() as emptied:
        yield emptied


@pytest.fixture
def clean_imports() -> Generator[None]:
    """Restore `sys.path`, `sys.modules` and `sys.meta_path` after the test."""
    path, meta_path, modules = list(sys.path), list(sys.meta_path), dict(sys.modules)
    yield
    sys.path[:] = path
    sys.meta_path[:] = meta_path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, clean_imports: None, default_bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return an empty folder of distributions, first on `sys.path`; the default bus is empty meanwhile."""
    monkeypatch.delenv("FASTSOY_EVENTS_ALLOWED", raising=False)
    monkeypatch.delenv("FASTSOY_EVENTS_DISABLED", raising=False)
    monkeypatch.delenv("FASTSOY_EVENTS_LOCK", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "site"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    return Site(folder)
