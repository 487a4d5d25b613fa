"""The distributions of this repository: the core, and every plugin in `plugins/`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CORE", "ROOT", "Project", "plugin_folders", "read"]

ROOT = Path(__file__).resolve().parent.parent
CORE = "fastsoy-events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One distribution, as its `pyproject.toml` describes it."""

    folder: Path
    name: str
    version: str
    requirements: tuple[str, ...]

    @property
    def package(self) -> str:
        """The name of the package that it installs."""
        return self.name.replace("-", "_")

    @property
    def metadata(self) -> Path:
        """Its `pyproject.toml`."""
        return self.folder / "pyproject.toml"


def plugin_folders() -> list[Path]:
    """Return the folders of all plugins, by name."""
    return sorted(file.parent for file in (ROOT / "plugins").glob("*/pyproject.toml"))


def read(folder: Path) -> Project:
    """Read what a folder's `pyproject.toml` says."""
    table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Project(
        folder=folder,
        name=table["name"],
        version=table["version"],
        requirements=tuple(table.get("dependencies", ())),
    )
