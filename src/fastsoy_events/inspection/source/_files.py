"""Files that may be modules: in folders, and in archives, of which nothing is unpacked to the disk."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from stat import S_ISREG
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED

from fastsoy_events._installed import TO_READ
from fastsoy_events.inspection.source._parse import UnreadableSourceError, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zipfile import ZipFile, ZipInfo

MOST_FILES = 5_000  # of one folder or archive
_DEEPEST = 64  # folders inside each other
_MOST_LISTED = 200_000  # entries of folders and archives that are looked at


class Files(ABC):
    """A set of files, each with a relative path whose parts are joined by `/`."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Return the paths of the files that may be modules, at most a few thousand."""

    @abstractmethod
    def read(self, name: str, limit: int) -> bytes:
        """Return at most so many bytes of a file.

        Args:
            name: one of `names()`.
            limit: how many bytes are enough.

        Raises:
            UnreadableSourceError: where it cannot be read.
        """

    @abstractmethod
    def place(self, name: str) -> str:
        """Return where a file is, for people.

        Args:
            name: one of `names()`.
        """


class Folder(Files):
    """The Python files below a folder; links are followed, but into no folder twice.

    Args:
        root: the folder.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Return the paths of the files that may be modules, sorted."""
        names: list[str] = []
        seen: set[str] = set()
        waiting = [""]
        looked_at = 0
        while waiting and len(names) <= MOST_FILES and looked_at < _MOST_LISTED:
            relative = waiting.pop()
            folder = os.path.join(self._root, relative)  # noqa: PTH118 - texts throughout
            real = os.path.realpath(folder)
            if real in seen or relative.count("/") > _DEEPEST:
                continue
            seen.add(real)
            folders: list[str] = []
            for entry in _entries(folder):
                looked_at += 1
                if entry.name.endswith(".py") and entry.name[:-3].isidentifier():
                    names.append(relative + entry.name)
                elif entry.name.isidentifier() and entry.name != "__pycache__" and _is_folder(entry):
                    folders.append(f"{relative}{entry.name}/")
            waiting += reversed(folders)
        return sorted(names)

    def read(self, name: str, limit: int) -> bytes:
        """Return at most so many bytes of a file."""
        return read_file(self.place(name), limit)

    def place(self, name: str) -> str:
        """Return where a file is, for people."""
        return os.path.join(self._root, *name.split("/"))  # noqa: PTH118 - texts throughout


class Archive(Files):
    """The Python files in a zip file, such as a wheel, or below a folder in it. Nothing is unpacked to the disk.

    Args:
        archive: the open zip file.
        label: what stands for it before the names of its files, for people.
        below: the folder in it; empty for all of it.
    """

    def __init__(self, archive: ZipFile, label: str, below: str = "") -> None:
        self._archive = archive
        self._label = label
        self._below = f"{below.strip('/')}/" if below.strip("/") else ""

    def names(self) -> list[str]:
        """Return the paths of the files that may be modules, sorted."""
        names: set[str] = set()
        for each in self._archive.namelist()[:_MOST_LISTED]:
            if each.startswith(self._below) and each.endswith(".py") and len(names) <= MOST_FILES:
                names.add(each[len(self._below) :])
        return sorted(names)

    def read(self, name: str, limit: int) -> bytes:
        """Return at most so many bytes of a file; what it would come to beyond them is not unpacked."""
        try:
            member = self._archive.getinfo(self._below + name)
            if not is_unpacked_in_parts(member):
                raise NotImplementedError("of its kinds of compression, only stored and deflated are read")  # noqa: TRY301 - as zipfile does
            with self._archive.open(member) as file:
                return file.read(limit)
        except Exception as error:  # broken archives make zipfile and its codecs raise all kinds
            raise UnreadableSourceError(shortened(f"it cannot be read: {error}")) from error

    def place(self, name: str) -> str:
        """Return where a file is, for people."""
        return f"{self._label}/{self._below}{name}"


def is_unpacked_in_parts(member: ZipInfo) -> bool:
    """Tell whether a few bytes of a compressed file can be read without the rest.

    What is compressed otherwise, zipfile unpacks at once, which may be gigabytes; nor does Python import from it.
    """
    return member.compress_type in (ZIP_STORED, ZIP_DEFLATED)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def read_file(file: str, limit: int) -> bytes:
    """Return at most so many bytes of a regular file.

    Args:
        file: where it is.
        limit: how many bytes are enough.

    Raises:
        UnreadableSourceError: where it cannot be read, or is no regular file.
    """
    try:
        with open(os.open(file, TO_READ), "rb") as opened:  # noqa: PTH123 - opened so that a pipe does not wait
            if not S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise UnreadableSourceError("it is no regular file")
            return opened.read(limit)
    except (OSError, ValueError) as error:
        raise UnreadableSourceError(shortened(f"it cannot be read: {getattr(error, 'strerror', error)}")) from error
