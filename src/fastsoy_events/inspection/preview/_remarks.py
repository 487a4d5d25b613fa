"""Remarks on wheels: what an installer would refuse, what is not looked at, and what deserves a look. Pure."""

from __future__ import annotations

import os
import platform
import re
import stat
from collections import Counter
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from fastsoy_events.inspection.preview._wheels import is_encrypted
from fastsoy_events.inspection.source._files import MOST_FILES
from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from zipfile import ZipInfo

    from fastsoy_events.inspection.preview._wheels import Wheel

_LARGEST_HEADER = 1 << 16  # bytes of METADATA, where a long description may follow
_LONGEST_SPECIFIER = 500
_DRIVE = re.compile(r"[A-Za-z]:")
_COMPILED = (".so", ".pyd", ".pyc")
_RUNS_AT_START = re.compile(r".*\.pth|(?:[^/]+\.data/(?:purelib|platlib)/)?(?:site|user)customize\.py")


def remarks(wheel: Wheel, distribution: str, version: str) -> tuple[str, ...]:
    """Return what deserves a look in a wheel, whatever its plugins do.

    Args:
        wheel: the wheel.
        distribution: the canonical name that its metadata has.
        version: likewise.
    """
    return (*_of_file_name(wheel.file, distribution, version), *_of_metadata(wheel), *_of_members(wheel.members.all))


def is_cut(wheel: Wheel) -> bool:
    """Tell whether a wheel has more modules than are looked at."""
    return sum(each.filename.endswith(".py") for each in wheel.members.all) > MOST_FILES


def compiled_modules(wheel: Wheel) -> frozenset[str]:
    """Return the dotted names of the modules of which a wheel has only compiled code, as far as names tell."""
    names = (each.filename for each in wheel.members.all if each.filename.endswith(_COMPILED))
    paths = (name.rpartition("/") for name in names)
    return frozenset(f"{folder}{slash}{file.partition('.')[0]}".replace("/", ".") for folder, slash, file in paths)


def _of_file_name(file: str, distribution: str, version: str) -> Iterator[str]:
    try:
        name, number, _, tags = parse_wheel_filename(os.path.basename(file))  # noqa: PTH119 - texts throughout
    except (InvalidWheelFilename, InvalidVersion):
        yield "its file name is not that of a wheel, so pip does not install it"
        return
    if name != distribution or number != _version(version):
        yield (
            f"its file name says {name} {number}, and its metadata {distribution} {version}: pip does not install "
            "it, and here the metadata counts"
        )
    if tags.isdisjoint(sys_tags()):
        yield f"it is for another Python or platform than this one: {', '.join(sorted(map(str, tags))[:3])}"


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _of_metadata(wheel: Wheel) -> Iterator[str]:
    try:
        contents = wheel.metadata.read("METADATA", _LARGEST_HEADER)
    except Exception as error:  # noqa: BLE001 - it may be unreadable in any way
        yield f"its metadata cannot be read, so pip does not install it: {shortened(str(error))}"
        return
    if contents is None:
        yield "it has no METADATA, so pip does not install it"
        return
    required = _required_python(contents)
    if required and not _fits(required):
        yield f"it is for another Python than this one: {shortened(required)}"


def _required_python(metadata: bytes) -> str:
    for line in metadata.decode(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "requires-python":
            return value.strip()
        if not line.strip():
            break
    return ""


def _fits(required: str) -> bool:
    try:
        specifier = SpecifierSet(required[:_LONGEST_SPECIFIER])
        return specifier.contains(platform.python_version().rstrip("+"), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


# Files


def _of_members(members: Sequence[ZipInfo]) -> Iterator[str]:
    for what, is_so in _DESERVES_A_LOOK:
        found = [each.orig_filename for each in members if is_so(each)]
        if found:
            yield f"{_named(found)}: {what}"
    repeated = [name for name, count in Counter(each.filename for each in members).items() if count > 1]
    if repeated:
        yield f"{_named(repeated)}: several files have this name, and the last one counts"
    if sum(each.filename.endswith(".py") for each in members) > MOST_FILES:
        yield f"it has more than {MOST_FILES} modules, and not all of them are looked at"


def _named(names: Sequence[str]) -> str:
    first = shortened(ascii(names[0]))
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"


def _leads_out(member: ZipInfo) -> bool:
    name = member.orig_filename
    return name.startswith(("/", "\\")) or bool(_DRIVE.match(name)) or ".." in re.split(r"[/\\]", name)


def _is_odd(member: ZipInfo) -> bool:
    return not member.orig_filename.isprintable() or "\\" in member.orig_filename


def _is_link(member: ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


_DESERVES_A_LOOK: tuple[tuple[str, Callable[[ZipInfo], bool]], ...] = (
    ("a name that leads out of the folder of the installation, so pip refuses the wheel", _leads_out),
    ("a name that no installer means: it is not looked at", _is_odd),
    ("a link, which an installer writes as the text of where it leads", _is_link),
    ("encrypted, so it is not looked at, and pip cannot install it", is_encrypted),
    ("Python runs it at every start, whatever is imported", lambda each: bool(_RUNS_AT_START.fullmatch(each.filename))),
    ("compiled code, which is not looked at", lambda each: each.filename.endswith(_COMPILED)),
)
