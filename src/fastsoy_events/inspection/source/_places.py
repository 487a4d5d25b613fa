"""Where modules are: wherever an import would find them, or among given files, such as a wheel's. None is executed."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile, is_zipfile

from fastsoy_events._claim import Located, Locator
from fastsoy_events.inspection.source._files import Archive, Files, Folder, read_file
from fastsoy_events.inspection.source._parse import UnreadableSourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Archive", "FileSources", "Files", "Folder", "Found", "InstalledSources", "Sources"]

_DEEPEST = 64  # folders inside each other
_INSTALLED_FROM = re.compile(r"[^/]+\.data/(?:purelib|platlib)/")


class Found(NamedTuple):
    """The source of one module.

    Args:
        module: the module's dotted name.
        file: where it is, for people.
        is_package: whether it is a package's `__init__`.
        read: returns at most so many bytes of it; raises `UnreadableSourceError` where it cannot be read.
    """

    module: str
    file: str
    is_package: bool
    read: Callable[[int], bytes]


class Sources(ABC):
    """Where modules are found, and their sources read."""

    @abstractmethod
    def locate(self, module: str) -> Located | None:
        """Return where a module is; None where there is none.

        Args:
            module: its dotted name.
        """

    @abstractmethod
    def below(self, prefix: str) -> Iterator[Found]:
        """Yield a module and those inside it, by dotted name.

        Args:
            prefix: its dotted name.
        """


class InstalledSources(Sources):
    """The modules that an import would find, read from where they lie."""

    def __init__(self) -> None:
        self._locator = Locator()

    def locate(self, module: str) -> Located | None:
        """Return where a module is, as an import would find it, without executing anything."""
        return self._locator(module)

    def below(self, prefix: str) -> Iterator[Found]:
        """Yield a module and those inside it, by dotted name."""
        located = self.locate(prefix)
        if located is None:
            return
        if located.locations is None:
            if located.file:
                yield _in_file(prefix, located.file)
            return
        seen: set[str] = set()
        for location in located.locations:
            for found in modules_in(_files_at(location), prefix):
                if found.module not in seen:
                    seen.add(found.module)
                    yield found


def _in_file(module: str, file: str) -> Found:
    def read(limit: int) -> bytes:
        if not file.endswith(".py"):
            raise UnreadableSourceError("it has no source, only compiled code")
        archive = _archive_around(file)
        if archive is None:
            return read_file(file, limit)
        return _files_at(archive[0] + os.sep).read(archive[1], limit)

    return Found(module, file, is_package=False, read=read)


def _files_at(location: str) -> Files:
    archive = _archive_around(location)
    try:
        return Folder(location) if archive is None else Archive(ZipFile(archive[0]), *archive)
    except Exception:  # noqa: BLE001 - broken archives make zipfile raise all kinds; an import finds nothing in them
        return Folder(location)


def _archive_around(path: str) -> tuple[str, str] | None:
    """Return the zip file that a path leads into, and the rest of the path; None where it leads into none."""
    whole = path
    while not os.path.lexists(path):
        parent = os.path.dirname(path)  # noqa: PTH120 - texts throughout
        if parent == path:
            return None
        path = parent
    if path == whole or not os.path.isfile(path) or not is_zipfile(path):  # noqa: PTH113 - likewise
        return None
    return path, whole[len(path) + 1 :].replace(os.sep, "/")


class FileSources(Sources):
    """The modules among given files, such as those of a wheel that is not installed.

    Args:
        files: the files; what a wheel keeps in its `.data` folder counts as if it were installed.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._found = {
            found.module: found
            for found in modules_in(files, "", installed_as=lambda name: _INSTALLED_FROM.sub("", name, 1))
        }
        self._folders = {module for name in self._found for module in _around(name)}

    def locate(self, module: str) -> Located | None:
        """Return where a module is; its locations are only names."""
        found = self._found.get(module)
        if found is not None:
            return Located("", (module,) if found.is_package else None, is_namespace=False)
        return Located("", (module,), is_namespace=True) if module in self._folders else None

    def below(self, prefix: str) -> Iterator[Found]:
        """Yield a module and those inside it, by dotted name."""
        return (found for name, found in sorted(self._found.items()) if f"{name}.".startswith(f"{prefix}."))


def _around(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def modules_in(files: Files, prefix: str, *, installed_as: Callable[[str], str] = str) -> Iterator[Found]:
    """Yield the modules among files, packages before what is inside them.

    Args:
        files: the files.
        prefix: the dotted name of the package whose files they are; empty for the outermost.
        installed_as: where a file would be installed.
    """
    found: dict[str, Found] = {}
    for name in files.names():
        parts = installed_as(name).removesuffix(".py").split("/")
        is_package = parts[-1] == "__init__"
        dotted = [*([prefix] if prefix else []), *(parts[:-1] if is_package else parts)]
        if not dotted or len(parts) > _DEEPEST or not all(part.isidentifier() for part in parts):
            continue
        module = ".".join(dotted)
        if module not in found or is_package:  # a folder hides a file of the same name, as it does from an import
            found[module] = Found(module, files.place(name), is_package, _reader(files, name))
    yield from sorted(found.values(), key=lambda each: each.module)


def _reader(files: Files, name: str) -> Callable[[int], bytes]:
    return lambda limit: files.read(name, limit)
