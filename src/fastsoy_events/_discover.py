"""Discover: installed distributions become candidate plugins. Metadata is read; no plugin is imported.

Each distribution is read on its own, so that a broken one costs one failure and no other plugin. Of most, nothing but
`entry_points.txt` is looked at, and only for the bytes of the group's name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fastsoy_events._installed import LARGEST_FILE, Installed, UnreadableError, installed
from fastsoy_events._model import Candidate, Plugin
from fastsoy_events._record import canonical_name
from fastsoy_events.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.version import Version

GROUP = "fastsoy.event_handlers"

_MOST_ENTRY_POINTS = 10_000  # of one distribution
_DEEPEST_FOLDER = 64
_LONGEST_LINE = 1000  # characters
_LARGEST_HEADER = 1 << 16  # bytes of METADATA, where a long description may follow
_USUAL_HEADER = 1 << 10  # bytes in which nearly every METADATA has said its name and version
_ODD_FOLDER = re.compile(r"(?P<name>.+)-(?P<version>\d[^-]*)-py\d.*")
_TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*(?::\s*(?P<attribute>\w+(?:\.\w+)*)\s*)?(?:\[.*\]\s*)?")


def _in_bytes(group: str) -> tuple[bytes, bytes]:
    """Return a group's name in UTF-8, and in UTF-16, as some editors on Windows write files."""
    name = group.encode()
    return name, b"\0".join(bytes([byte]) for byte in name)


_GROUP_IN_BYTES = _in_bytes(GROUP)


class Discovery(NamedTuple):
    """What one scan of the path found.

    Args:
        candidates: one for each entry point of the group, in no promised order; broken ones have the status `failed`.
        warnings: what deserves a look although nothing failed.
    """

    candidates: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = ()


class Found(NamedTuple):
    """A distribution that may have plugins, or that stands before one that may.

    Args:
        source: where it was found.
        entry_points: the contents of its `entry_points.txt`, or why they cannot be read; None where it has no plugins.
        name: what its metadata calls it, or else its folder.
        version: likewise.
        problem: why its metadata cannot be used; None where it can.
        is_whole: whether it has metadata at all.
    """

    source: Installed
    entry_points: bytes | Exception | None
    name: str
    version: str
    problem: Exception | None = None
    is_whole: bool = True


def scan(path: Sequence[str] | None, group: str = GROUP) -> Discovery:
    """Find the entry points of a group in every distribution on the path.

    Args:
        path: the folders to look in; None for `sys.path`.
        group: the name of the group.
    """
    warnings: list[str] = []
    sources = list(installed(path, warnings))
    name = _in_bytes(group)
    with_plugins = {source: contents for source in sources if (contents := entry_points_of(source, name)) is not None}
    if not with_plugins:
        return Discovery((), tuple(warnings))
    candidates: list[Candidate] = []
    for same_name in by_name(sources, with_plugins).values():
        candidates += candidates_of(the_one_that_counts(same_name, warnings), group)
    return Discovery(tuple(candidates), tuple(warnings))


def entry_points_of(
    source: Installed, group_in_bytes: tuple[bytes, bytes] = _GROUP_IN_BYTES
) -> bytes | Exception | None:
    """Return the contents of `entry_points.txt` where they may name the group, or why they cannot be read.

    Args:
        source: the distribution.
        group_in_bytes: the name of the group, in UTF-8 and in UTF-16.
    """
    in_utf8, in_utf16 = group_in_bytes
    try:
        contents = source.read("entry_points.txt")
    except Exception as error:  # noqa: BLE001 - what cannot be read may be a plugin's: it becomes a failure later
        return error
    if contents is None or in_utf8 in contents:
        return contents
    return contents if len(contents) > LARGEST_FILE or in_utf16 in contents else None


# Which of several counts


def by_name(
    sources: Sequence[Installed], with_plugins: Mapping[Installed, bytes | Exception]
) -> dict[str, list[Found]]:
    """Identify those with plugins, and any other whose folder gives it the name of one of those; group them by name.

    Args:
        sources: in the order of the path.
        with_plugins: those of them that may have plugins, each with what `entry_points_of` returns.
    """
    identified = {source: _identified(source, entry_points) for source, entry_points in with_plugins.items()}
    names = {name_and_version(source.folder)[0] for source in with_plugins}
    names.update(found.name for found in identified.values())
    for source in sources:
        if source not in identified and name_and_version(source.folder)[0] in names:
            identified[source] = _identified(source, None)
    found: dict[str, list[Found]] = {}
    for source in sources:
        if source in identified:
            found.setdefault(identified[source].name, []).append(identified[source])
    return found


def _identified(source: Installed, entry_points: bytes | Exception | None) -> Found:
    name, version = name_and_version(source.folder)
    try:
        inside = _name_and_version_inside(source)
    except Exception as error:  # noqa: BLE001 - files may be unreadable in any way
        return Found(source, entry_points, name, version, error)
    if inside is None:
        problem = UnreadableError("there is no METADATA file")
        return Found(source, entry_points, name, version, problem, is_whole=False)
    return Found(source, entry_points, inside[0], inside[1] or version)


def name_and_version(folder: str) -> tuple[str, str]:
    """Return the canonical name and the version that a metadata folder's name tells; the version may be empty."""
    stem = folder.rpartition(".")[0] or folder
    name, _, version = stem.rpartition("-")
    if name and version[0:1].isdigit():
        return canonical_name(name), version
    match = _ODD_FOLDER.fullmatch(stem)
    return (canonical_name(match["name"]), match["version"]) if match else (canonical_name(stem), "")


def _name_and_version_inside(source: Installed) -> tuple[str, str] | None:
    """Return what METADATA says, the version empty where it says none; None where there is no such file."""
    head = source.read("METADATA", _USUAL_HEADER)
    if head is None:
        return None
    name, version = _headers(head if len(head) < _USUAL_HEADER else head[: head.rfind(b"\n")])
    if len(head) == _USUAL_HEADER and not (name and version):
        name, version = _headers(source.read("METADATA", _LARGEST_HEADER) or b"")
    if not name:
        raise UnreadableError("its metadata has no Name")
    return canonical_name(name), version


def _headers(metadata: bytes) -> tuple[str, str]:
    fields: dict[str, str] = {}
    for line in metadata.partition(b"\n\n")[0].decode(errors="replace").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), "".join(filter(str.isprintable, value)).strip())
        if not line.strip() or ("name" in fields and "version" in fields):
            break
    return fields.get("name", ""), fields.get("version", "")


def the_one_that_counts(same_name: list[Found], warnings: list[str]) -> Found:
    """Choose the first on the path; of several in one folder, the newest. A folder without metadata is a left-over.

    Args:
        same_name: the distributions of one name, in the order of the path.
        warnings: is told which of them are stale.
    """
    if len(same_name) == 1:
        return same_name[0]
    whole = [found for found in same_name if found.is_whole] or same_name
    beside = [found for found in whole if found.source.path_entry == whole[0].source.path_entry]
    chosen = max(beside, key=lambda found: newness(found.version))
    warnings.extend(
        f"{found.name} is installed twice in {found.source.path_entry}: version {chosen.version} counts, and version "
        f"{found.version or 'unknown'} is stale. Delete {found.source.place}, or install the distribution anew"
        for found in beside
        if found is not chosen
    )
    return chosen


def newness(version: str) -> tuple[bool, Version]:
    """Return what sorts versions, the newest last; what is no version comes before all."""
    from packaging.version import InvalidVersion, Version

    try:
        return True, Version(version)
    except InvalidVersion:
        return False, Version("0")


# What one distribution declares


def candidates_of(found: Found, group: str = GROUP) -> list[Candidate]:
    """Read one distribution's entry points of a group; whatever is wrong with it becomes a failed candidate.

    Args:
        found: the distribution.
        group: the name of the group.
    """
    try:
        lines = _lines_of_group(_text(found.entry_points), group)
        if lines and found.problem is not None:
            raise found.problem  # noqa: TRY301 - it is an error of reading like the others, kept until it matters
        candidates = _without_rivals(found, [_candidate(found, line, group) for line in lines])
    except Exception as error:  # noqa: BLE001 - files may be unreadable in any way
        reason = f"{error}. Install the distribution anew" if isinstance(error, UnreadableError) else repr(error)
        candidates = [_broken(found, f"{found.source.place} cannot be read: {reason}")]
    if any(candidate.plugin.status == "discovered" for candidate in candidates):
        return candidates  # what the distribution installed may be theirs
    modules = _modules_installed(found.source)
    return [replace(candidate, installed=modules) for candidate in candidates]


def _modules_installed(source: Installed) -> tuple[str, ...]:
    """Return the names of the outermost packages and modules that a distribution's RECORD lists."""
    try:
        lines = (source.read("RECORD") or b"").decode(errors="replace").splitlines()
    except Exception:  # noqa: BLE001 - the distribution is reported as broken already
        return ()
    paths = (line.partition(",")[0] for line in lines)
    files = [path.split("/") for path in paths if path.endswith(".py") and path.count("/") < _DEEPEST_FOLDER]
    packages = {tuple(file[:-1]) for file in files if file[-1] == "__init__.py"}
    modules: dict[str, None] = {}
    for file in files:
        name = [*file[:-1], file[-1].removesuffix(".py")]
        depth = next((depth for depth in range(1, len(file)) if tuple(file[:depth]) in packages), len(name))
        modules[".".join(name[:depth])] = None
    return tuple(modules)


def _text(contents: bytes | Exception | None) -> str:
    if isinstance(contents, Exception):
        raise contents
    if contents is None:
        return ""
    if len(contents) > LARGEST_FILE:
        raise UnreadableError(f"entry_points.txt is larger than {LARGEST_FILE} bytes")
    try:
        text = contents.decode()
    except UnicodeDecodeError as error:
        raise UnreadableError(f"entry_points.txt is not UTF-8 (byte {error.start})") from error
    if text.startswith("\ufeff"):
        raise UnreadableError("entry_points.txt begins with a byte-order mark, which hides its first group")
    return text


def _lines_of_group(text: str, group: str) -> list[str]:
    section = ""
    lines: dict[str, None] = {}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif line and not line.startswith("#") and section == group:
            lines[line] = None
    if len(lines) > _MOST_ENTRY_POINTS:
        raise UnreadableError(f"entry_points.txt has more than {_MOST_ENTRY_POINTS} entry points of the group")
    return list(lines)


def _candidate(found: Found, line: str, group: str) -> Candidate:
    name, equals, target = (part.strip() for part in line.partition("="))
    match = _TARGET.fullmatch(target)
    if not line.isprintable():
        return _broken(found, f"the line {line[:40]!r} of entry_points.txt has characters that cannot be shown")
    if len(line) > _LONGEST_LINE:
        reason = f"the line {line[:40]!r}... of entry_points.txt has more than {_LONGEST_LINE} characters"
        return _broken(found, reason, name[:40])
    if not equals:
        reason = f"the line {line!r} of entry_points.txt has no '='. Write {_example(name, group)}"
    elif not name:
        reason = f"the line {line!r} of entry_points.txt has no name. Write {_example('name', group)}"
    elif not target:
        reason = f"the entry point names no module. Write {_example(name, group)}"
    elif match is None:
        reason = f"the entry point's target {target!r} is no module. Write {_example(name, group)}"
    else:
        plugin = Plugin(name=name, distribution=found.name, version=found.version, module=match["module"])
        return Candidate(plugin, match["attribute"] or "")
    return _broken(found, reason, name, target)


def _example(name: str, group: str) -> str:
    word = re.sub(r"\W", "_", name.split()[0]) if name.split() else "name"
    return f"'{name} = package.{word}' in pyproject.toml, under [project.entry-points.\"{group}\"]"


def _broken(found: Found, reason: str, name: str = "", module: str = "") -> Candidate:
    error = PluginError(reason, distribution=found.name, version=found.version, entry_point=name, module=module)
    return Candidate(
        Plugin(
            name=name,
            distribution=found.name,
            version=found.version,
            module=module,
            status="failed",
            error=error,
        )
    )


def _without_rivals(found: Found, candidates: list[Candidate]) -> list[Candidate]:
    """Fail the later of two entry points that share a name inside one distribution: their ids would be the same."""
    first: dict[str, Candidate] = {}
    kept: list[Candidate] = []
    for candidate in candidates:
        plugin = candidate.plugin
        rival = first.setdefault(plugin.name, candidate)
        if rival is candidate or plugin.status == "failed":
            kept.append(candidate)
        else:
            reason = f"the distribution has another entry point of that name, for {rival.plugin.module}. Rename one"
            kept.append(_broken(found, reason, plugin.name, plugin.module))
    return kept
