"""The metadata folders of what is installed, as far as `check` looks into them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastsoy_events._discover import GROUP, name_and_version
from fastsoy_events._installed import LARGEST_FILE, installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events._installed import Installed

_DEEPEST = 64  # folders inside each other in RECORD, which is not trusted
_MOST_MODULES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """One `.dist-info` folder, or what stands for one.

    Args:
        distribution: the canonical name that its folder has.
        version: likewise; empty where it has none.
        path_entry: the entry of the path in which it lies.
        folder: where it lies.
        is_empty: whether it has no `METADATA`.
        entry_points: the lines of `entry_points.txt`, where it has entry points of the group.
        modules: the modules that its `RECORD` lists, where it has entry points of the group.
    """

    distribution: str
    version: str
    path_entry: str
    folder: str
    is_empty: bool
    entry_points: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()

    def line_of(self, entry_point: str) -> int:
        """Return the line of `entry_points.txt` on which an entry point of the group stands; the first where none."""
        group = ""
        for number, line in enumerate(map(str.strip, self.entry_points), 1):
            if line.startswith("[") and line.endswith("]"):
                group = line.strip("[]")
            elif group == GROUP and line.partition("=")[0].strip() == entry_point:
                return number
        return 1

    def file(self, name: str) -> str:
        """Return the path of one of its files."""
        return os.path.join(self.folder, name)  # noqa: PTH118 - a text, since it may lie in an archive


def metadata_on(path: Sequence[str] | None) -> tuple[Metadata, ...]:
    """Look into every metadata folder on a path.

    Args:
        path: the folders to look in; None for `sys.path`.
    """
    unsearchable: list[str] = []  # loading warns about it
    return tuple(metadata_of(source) for source in installed(path, unsearchable))


def metadata_of(source: Installed) -> Metadata:
    """Look into the metadata folder of one distribution."""
    name, version = name_and_version(source.folder)
    entry_points = text_of(source, "entry_points.txt")
    has_plugins = GROUP in entry_points
    return Metadata(
        distribution=name,
        version=version,
        path_entry=source.path_entry,
        folder=source.place,
        is_empty=source.folder.lower().endswith(".dist-info") and not _has_metadata(source),
        entry_points=tuple(entry_points.splitlines()) if has_plugins else (),
        modules=frozenset(modules_of(text_of(source, "RECORD"))) if has_plugins else frozenset(),
    )


def _has_metadata(source: Installed) -> bool:
    try:
        return bool(source.read("METADATA", 1))
    except Exception:  # noqa: BLE001 - there is something, even if it cannot be read
        return True


def text_of(source: Installed, file: str) -> str:
    """Return a file of a metadata folder as a text; empty where it cannot be read, or is too large.

    Args:
        source: the distribution.
        file: `entry_points.txt` or `RECORD`.
    """
    try:
        contents = source.read(file) or b""
    except Exception:  # noqa: BLE001 - loading reports what cannot be read
        return ""
    return "" if len(contents) > LARGEST_FILE else contents.decode(errors="replace")


def modules_of(record: str) -> Iterator[str]:
    """Yield the dotted names of the modules that a `RECORD` lists."""
    for line in record.splitlines()[:_MOST_MODULES]:
        path = line.partition(",")[0]
        if path.endswith(".py") and path.count("/") < _DEEPEST and not path.startswith(("/", ".")):
            yield path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
