"""Wheels that are not installed, opened to be read. Nothing in them is executed, or unpacked to the disk."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from fastsoy_events._installed import LARGEST_FILE, TO_READ, Installed, UnreadableError
from fastsoy_events.inspection.source._files import Archive, is_unpacked_in_parts
from fastsoy_events.inspection.source._parse import UnreadableSourceError, shortened

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from zipfile import ZipInfo

LARGEST_WHEEL = 1 << 30  # bytes of the file
MOST_BYTES = 32 << 20  # of the sources of all wheels together, unpacked; what takes time counts, too
_BYTES_A_CALL = 150
MOST_WHEELS = 100
_LARGEST_READ = 4 << 20  # bytes at once; the table of contents is read at once, and a large wheel's needs half of it


def is_encrypted(member: ZipInfo) -> bool:
    """Tell whether a file of a wheel is encrypted."""
    return bool(member.flag_bits & 0x1)


class WheelError(Exception):
    """Why wheels cannot be previewed.

    Args:
        reasons: one sentence for each.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class Allowance:
    """How much of all wheels' sources may still be looked at."""

    def __init__(self) -> None:
        self._bytes = MOST_BYTES

    def spend(self, source: bytes) -> None:
        """Take off what looking at a source takes."""
        self._bytes -= len(source) + source.count(b"(") * _BYTES_A_CALL

    def __bool__(self) -> bool:
        return self._bytes > 0


class Members(Archive):
    """The files of a wheel: each is unpacked in memory, and only as far as it is read.

    Args:
        archive: the open zip file.
        label: what stands for it before the names of its files, for people.
        allowance: how much of the sources may be looked at.
    """

    def __init__(self, archive: ZipFile, label: str, allowance: Allowance) -> None:
        super().__init__(archive, label)
        self._allowance = allowance

    @property
    def all(self) -> Sequence[ZipInfo]:
        """Return what the table of contents says, which need not be true."""
        return self._archive.infolist()

    def read(self, name: str, limit: int) -> bytes:
        """Return at most so many bytes of a source, as long as the bound of all wheels allows."""
        if not self._allowance:
            raise UnreadableSourceError("so much of the wheels was looked at before it that no more is")
        contents = self.contents(name, limit)
        self._allowance.spend(contents)
        return contents

    def contents(self, name: str, limit: int) -> bytes:
        """Return at most so many bytes of a file, whatever else was read.

        Raises:
            UnreadableSourceError: where it cannot be read.
        """
        member = self._archive.NameToInfo.get(name)
        if member is not None and is_encrypted(member):
            raise UnreadableSourceError("it is encrypted")
        if member is not None and not is_unpacked_in_parts(member):
            raise UnreadableSourceError("it is compressed other than wheels are")
        return super().read(name, limit)

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo


class _InWheel(Installed):
    """The metadata of a wheel, read as if it were installed."""

    __slots__ = ("_members",)

    def __init__(self, file: str, folder: str, members: Members) -> None:
        super().__init__(file, folder)
        self._members = members

    @property
    def place(self) -> str:
        return f"{self.path_entry}/{self.folder}"

    def read(self, file: str, most: int = LARGEST_FILE + 1) -> bytes | None:
        name = f"{self.folder}/{file}"
        if name not in self._members:
            return None
        try:
            return self._members.contents(name, most)
        except UnreadableSourceError as error:
            raise UnreadableError(f"{file}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wheel:
    """A wheel that is open.

    Args:
        file: its path, as it was given.
        members: its files.
        metadata: its `.dist-info` folder.
    """

    file: str
    members: Members
    metadata: Installed


@contextmanager
def opened(files: Sequence[str]) -> Generator[tuple[Wheel, ...]]:
    """Open wheels; one that is given twice is opened once.

    Args:
        files: their paths.

    Yields:
        The wheels, in the order in which they were given.

    Raises:
        WheelError: where any of them cannot be read.
    """
    if len(files) > MOST_WHEELS:
        raise WheelError([f"{len(files)} wheels are too many to be looked at at once: name at most {MOST_WHEELS}"])
    wheels: list[Wheel] = []
    reasons: list[str] = []
    seen: set[tuple[int, int]] = set()
    allowance = Allowance()
    with ExitStack() as stack:
        for file in files:
            try:
                handle = stack.enter_context(_handle(file))
                status = os.fstat(handle.fileno())
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    wheels.append(_wheel(file, stack.enter_context(_archive(handle)), allowance))
            except _UnreadableWheelError as error:
                reasons.append(f"{file} cannot be read: {error}")
        if reasons:
            raise WheelError(reasons)
        yield tuple(wheels)


class _UnreadableWheelError(Exception):
    pass


class _Handle(BufferedReader):
    """A file of which nobody reads much at once, whatever size it claims for its parts."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _LARGEST_READ + 1 if size is None or size < 0 else size
        contents = b"" if wanted > _LARGEST_READ + 1 else super().read(wanted)
        if wanted > _LARGEST_READ + 1 or len(contents) > _LARGEST_READ:
            raise _UnreadableWheelError(f"its table of contents is larger than {_LARGEST_READ} bytes")
        return contents


def _handle(file: str) -> _Handle:
    try:
        descriptor = os.open(file, TO_READ)
    except (OSError, ValueError) as error:
        raise _UnreadableWheelError(shortened(str(getattr(error, "strerror", None) or error))) from error
    status = os.fstat(descriptor)
    if S_ISREG(status.st_mode) and status.st_size <= LARGEST_WHEEL:
        return _Handle(FileIO(descriptor))
    os.close(descriptor)
    if S_ISREG(status.st_mode):
        raise _UnreadableWheelError(f"it is larger than {LARGEST_WHEEL} bytes, too large to be looked at")
    raise _UnreadableWheelError("it is a folder" if S_ISDIR(status.st_mode) else "it is no regular file")


def _archive(handle: _Handle) -> ZipFile:
    try:
        return ZipFile(handle)
    except _UnreadableWheelError:
        raise
    except BadZipFile as error:
        raise _UnreadableWheelError(shortened(f"it is no wheel, or not a whole one ({error})")) from error
    except Exception as error:  # broken archives make zipfile raise all kinds
        raise _UnreadableWheelError(shortened(f"it is no wheel, or a broken one ({error!r})")) from error


def _wheel(file: str, archive: ZipFile, allowance: Allowance) -> Wheel:
    members = Members(archive, file, allowance)
    return Wheel(file=file, members=members, metadata=_InWheel(file, _metadata_folder(archive.namelist()), members))


def _metadata_folder(names: Iterable[str]) -> str:
    """Return the name of the one metadata folder."""
    parts = (name.partition("/") for name in names)
    folders = sorted({folder for folder, slash, _ in parts if slash and folder.endswith(".dist-info")})
    if not folders:
        raise _UnreadableWheelError("it has no .dist-info folder, and so is no wheel")
    if len(folders) > 1:
        named = shortened(", ".join(folders))
        raise _UnreadableWheelError(f"it has several .dist-info folders, so nobody can tell what it is: {named}")
    return folders[0]
