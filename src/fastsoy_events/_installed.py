"""What is installed on a path: every distribution's metadata folder, in the order in which Python finds modules.

Folders are read here, and quickly: one listing for each entry of the path, one attempt to open a file for each
distribution. What is in no folder (zip files, eggs, the finders of other tools) is left to `importlib_metadata`, which
is imported only then.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from importlib.machinery import PathFinder
from stat import S_ISREG
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from importlib_metadata import Distribution, DistributionFinder

LARGEST_FILE = 1 << 20  # bytes that are read of one; a distribution with thousands of plugins needs less
_MOST_AT_FIRST = 1 << 12  # nearly every file that matters is smaller, and then one read is all it takes

_FILES = ("/entry_points.txt", "/METADATA", "/PKG-INFO", "/RECORD")
_SUFFIXES = (".dist-info", ".egg-info")
TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # opening a pipe must not wait


class UnreadableError(Exception):
    """Why a distribution's metadata cannot be used, in words for the one who installed it."""


class Installed(ABC):
    """One installed distribution.

    Args:
        path_entry: the entry of the path in which it was found.
        folder: the name of its metadata folder.
    """

    __slots__ = ("folder", "path_entry")

    def __init__(self, path_entry: str, folder: str) -> None:
        self.path_entry = path_entry
        self.folder = folder

    @property
    @abstractmethod
    def place(self) -> str:
        """Return where its metadata lies."""

    @abstractmethod
    def read(self, file: str, most: int = LARGEST_FILE + 1) -> bytes | None:
        """Return the contents of `entry_points.txt`, `METADATA` or `RECORD`; None where there is none.

        Args:
            file: which.
            most: how many bytes are enough; there may be more.

        Raises:
            UnreadableError: for what is no regular file.
            OSError: when it cannot be read.
        """


class _InFolder(Installed):
    __slots__ = ()

    @property
    def place(self) -> str:
        return f"{self.path_entry}{os.sep}{self.folder}"

    def read(self, file: str, most: int = LARGEST_FILE + 1) -> bytes | None:
        if file == "METADATA" and self.folder[-9:].lower() == ".egg-info":
            if os.path.isfile(self.place):  # noqa: PTH113 - pathlib is slow to import
                return _contents(self.place, most)
            file = "PKG-INFO"
        return _contents(f"{self.path_entry}{os.sep}{self.folder}{os.sep}{file}", most)


class _ByLibrary(Installed):
    __slots__ = ("_place", "_read_text")

    def __init__(self, path_entry: str, distribution: Distribution) -> None:
        self._read_text = cast("Callable[[str], str | None]", distribution.read_text)  # pyright: ignore[reportUnknownMemberType]
        self._place = str(getattr(distribution, "_path", distribution))
        super().__init__(path_entry, self._place.replace("\\", "/").rstrip("/").rpartition("/")[2])

    @property
    def place(self) -> str:
        return self._place

    def read(self, file: str, most: int = LARGEST_FILE + 1) -> bytes | None:
        files = ("METADATA", "PKG-INFO", "") if file == "METADATA" else (file,)
        text = next((text for text in map(self._read_text, files) if text is not None), None)
        return None if text is None else text.encode()[:most]


def _contents(place: str, most: int) -> bytes | None:
    try:
        descriptor = os.open(place, TO_READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        contents = os.read(descriptor, min(most, _MOST_AT_FIRST))
        if 0 < len(contents) < _MOST_AT_FIRST:
            return contents
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise UnreadableError(f"{place} is no regular file")
        return contents + os.read(descriptor, max(0, min(status.st_size, most) - len(contents)))
    except (BlockingIOError, IsADirectoryError) as error:
        raise UnreadableError(f"{place} is no regular file") from error
    finally:
        os.close(descriptor)


def as_folders(path: Sequence[str | os.PathLike[str]] | None) -> tuple[str, ...] | None:
    """Return folders as absolute texts, which is what `sys.path` holds.

    Raises:
        TypeError: where one folder stands for a collection of folders.
    """
    if isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"path takes several values: write path=[{path!r}]")
    return None if path is None else tuple(os.path.abspath(os.fsdecode(folder)) for folder in path)  # noqa: PTH100 - texts


def installed(path: Sequence[str] | None, warnings: list[str]) -> Iterator[Installed]:
    """Yield every distribution on a path.

    Args:
        path: the folders to look in; None for `sys.path`.
        warnings: is told what cannot be searched.
    """
    folders = list(sys.path if path is None else path)
    finders: list[object] = list(sys.meta_path)
    for finder in finders if PathFinder in finders else [PathFinder, *finders]:
        find = getattr(finder, "find_distributions", None)
        if finder is PathFinder:
            yield from _on_path(folders, warnings)
        elif find is not None and not _finds_what_is_on_the_path(finder):
            yield from _by_library(find, folders, repr(finder), warnings)


def _finds_what_is_on_the_path(finder: object) -> bool:
    library = sys.modules.get("importlib_metadata")
    return library is not None and isinstance(finder, library.MetadataPathFinder)


def _on_path(folders: Iterable[str], warnings: list[str]) -> Iterator[Installed]:
    for folder in dict.fromkeys(_real_folders(folders)):
        try:
            children = os.listdir(folder)  # noqa: PTH208 - names are enough
        except NotADirectoryError:
            yield from _in_file(folder, warnings)
        except FileNotFoundError:
            continue
        except OSError as error:
            warnings.append(f"{folder} cannot be listed, so no plugin in it is found: {error}")
        else:
            if folder[-4:].lower() == ".egg":
                yield from _in_file(folder, warnings)
            infos = [child for child in children if child[-10:].lower().endswith(_SUFFIXES)]
            infos.sort()
            for child in infos:
                yield _InFolder(folder, child)


def _real_folders(folders: Iterable[object]) -> Iterator[str]:
    for folder in folders:
        if isinstance(folder, str):  # Python itself imports from nothing else on its path
            try:
                yield os.path.realpath(folder)
            except (OSError, ValueError):  # the working directory may be gone
                continue


def _in_file(file: str, warnings: list[str]) -> Iterator[Installed]:
    """Yield what a zip file or an egg holds, unless its metadata would be large once it is unpacked."""
    from zipfile import ZipFile, is_zipfile

    from importlib_metadata import MetadataPathFinder

    if os.path.isfile(file) and is_zipfile(file):  # noqa: PTH113 - the text is at hand
        with ZipFile(file) as archive:
            sizes = [each.file_size for each in archive.infolist() if each.filename.endswith(_FILES)]
        if max(sizes, default=0) > LARGEST_FILE:
            warnings.append(f"{file} holds metadata of more than {LARGEST_FILE} bytes, so no plugin in it is found")
            return
    elif not os.path.isdir(file):  # noqa: PTH112 - likewise
        return
    yield from _by_library(MetadataPathFinder.find_distributions, [file], file, warnings)


def _by_library(
    find: Callable[[DistributionFinder.Context], Iterable[Distribution]],
    folders: Sequence[str],
    path_entry: str,
    warnings: list[str],
) -> Iterator[Installed]:
    """Yield what another finder finds; one that raises costs what it has not found by then."""
    from importlib_metadata import DistributionFinder

    try:
        context = DistributionFinder.Context(path=list(folders))  # type: ignore[no-untyped-call]  # it is so
        for distribution in find(context):
            yield _ByLibrary(path_entry, distribution)
    except Exception as error:  # noqa: BLE001 - a finder of another tool may raise anything
        warnings.append(f"{path_entry} cannot be searched for distributions, so no plugin in it is found: {error!r}")
