"""Discover: installed distributions become candidate plugins. Metadata is read; no plugin is imported.

Each distribution is read on its own, so that a broken one costs one failure and no other plugin. Folders are read here;
what is no plain `.dist-info` (`.egg-info`, zip files, the finders of other tools) is left to `importlib_metadata`.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, cast

import importlib_metadata
from packaging.version import InvalidVersion, Version

from fastsoy_events._model import Candidate, Plugin, canonical_name
from fastsoy_events.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

GROUP = "fastsoy.event_handlers"

_GROUP_IN_UTF8 = GROUP.encode()
_GROUP_IN_UTF16 = b"\0".join(bytes([byte]) for byte in _GROUP_IN_UTF8)  # as some editors on Windows write files
_LARGEST_FILE = 1 << 20  # bytes; a distribution with thousands of plugins needs less
_FOLDER = re.compile(r"(?P<name>.+)-(?P<version>\d[^-]*)(?:-py\d.*)?")
_TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*(?::\s*(?P<attribute>\w+(?:\.\w+)*)\s*)?(?:\[.*\]\s*)?")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one scan of the path found.

    Args:
        candidates: one for each entry point of the group, in no promised order; broken ones have the status `failed`.
        warnings: what deserves a look although nothing failed.
    """

    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One installed distribution: where it lies, what its folder's name says, and how to read it.

    `read` returns the contents of one of its files, None where there is none, and raises what reading it raises.
    """

    path_entry: str
    place: str
    name: str
    version: str
    read: Callable[[str], bytes | None]


class _UnreadableError(Exception):
    """Why a distribution's metadata cannot be used, in words for the one who installed it."""


def scan(path: Sequence[str] | None) -> Discovery:
    """Find the entry points of the group in every distribution on the path.

    Args:
        path: the folders to look in; None for `sys.path`.
    """
    warnings: list[str] = []
    by_name: dict[str, list[_Found]] = {}
    for found in _everything(path, warnings):
        by_name.setdefault(found.name, []).append(found)
    candidates: list[Candidate] = []
    for same_name in _by_name_inside(by_name.values()):
        candidates += _candidates(_the_one_that_counts(same_name, warnings))
    return Discovery(tuple(candidates), tuple(warnings))


# Where distributions are found


def _everything(path: Sequence[str] | None, warnings: list[str]) -> Iterator[_Found]:
    """Yield every distribution in the order in which Python would look for its modules."""
    folders = list(sys.path if path is None else path)
    finders: list[object] = list(sys.meta_path)
    for finder in finders if PathFinder in finders else [PathFinder, *finders]:
        find = getattr(finder, "find_distributions", None)
        if finder is PathFinder:
            yield from _on_path(folders, warnings)
        elif find is not None and not isinstance(finder, importlib_metadata.MetadataPathFinder):  # it finds the same
            yield from _through_library(find, _context(folders), repr(finder), warnings)


def _context(folders: Sequence[str]) -> importlib_metadata.DistributionFinder.Context:
    return importlib_metadata.DistributionFinder.Context(path=folders)  # type: ignore[no-untyped-call]  # it is so


def _on_path(folders: Iterable[str], warnings: list[str]) -> Iterator[_Found]:
    for folder in dict.fromkeys(_real_folders(folders)):
        if os.path.isdir(folder) and not folder.lower().endswith(".egg"):  # noqa: PTH112 - the text is at hand
            yield from _in_folder(folder, warnings)
        else:
            find = importlib_metadata.MetadataPathFinder.find_distributions
            context = _context([folder])
            yield from _through_library(find, context, folder, warnings)


def _real_folders(folders: Iterable[object]) -> Iterator[str]:
    for folder in folders:
        if isinstance(folder, str):  # Python itself imports from nothing else on its path
            try:
                yield os.path.realpath(folder)
            except (OSError, ValueError):  # the working directory may be gone
                continue


def _in_folder(folder: str, warnings: list[str]) -> Iterator[_Found]:
    try:
        children = os.listdir(folder)  # noqa: PTH208 - names are enough
    except OSError as error:
        warnings.append(f"{folder} cannot be listed, so no plugin in it is found: {error}")
        return
    for child in sorted(children):
        low = child.lower()
        place = f"{folder}{os.sep}{child}"
        if low.endswith(".dist-info"):
            name, version = _name_and_version(child)
            yield _Found(
                path_entry=folder,
                place=place,
                name=name,
                version=version,
                read=partial(_read, place),
            )
        elif low.endswith(".egg-info"):
            yield _from_library(importlib_metadata.Distribution.at(Path(place)), folder, place, child)


def _through_library(
    find: Callable[[importlib_metadata.DistributionFinder.Context], Iterable[importlib_metadata.Distribution]],
    context: importlib_metadata.DistributionFinder.Context,
    path_entry: str,
    warnings: list[str],
) -> Iterator[_Found]:
    """Yield what another finder finds; one that raises costs what it has not found by then."""
    try:
        for distribution in find(context):
            place = str(getattr(distribution, "_path", distribution))
            yield _from_library(distribution, path_entry, place, Path(place).name)
    except Exception as error:  # noqa: BLE001 - a finder of another tool may raise anything
        warnings.append(f"{path_entry} cannot be searched for distributions, so no plugin in it is found: {error!r}")


def _from_library(distribution: importlib_metadata.Distribution, path_entry: str, place: str, folder: str) -> _Found:
    read_text = cast("Callable[[str], str | None]", distribution.read_text)  # pyright: ignore[reportUnknownMemberType]

    def read(file: str) -> bytes | None:
        # An old .egg-info is a file itself: the empty name.
        texts = (read_text(each) for each in (("METADATA", "PKG-INFO", "") if file == "METADATA" else (file,)))
        return next((text.encode() for text in texts if text is not None), None)

    name, version = _name_and_version(folder)
    if not folder.lower().endswith((".dist-info", ".egg-info")):
        try:
            name, version = _name_and_version_inside(read("METADATA"))
        except Exception:  # noqa: BLE001 - reported when its entry points are read, if they matter
            name, version = canonical_name(folder), ""
    return _Found(
        path_entry=path_entry,
        place=place,
        name=name,
        version=version,
        read=read,
    )


def _name_and_version(folder: str) -> tuple[str, str]:
    stem = folder.rpartition(".")[0]
    match = _FOLDER.fullmatch(stem)
    return (canonical_name(match["name"]), match["version"]) if match else (canonical_name(stem), "")


def _read(place: str, file: str) -> bytes | None:
    try:
        with open(f"{place}{os.sep}{file}", "rb", buffering=0) as stream:  # noqa: PTH123 - a Path costs more than the open
            return stream.read(_LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


# Which of several counts


def _may_have_plugins(found: _Found) -> bool:
    try:
        contents = found.read("entry_points.txt")
    except Exception:  # noqa: BLE001 - what cannot be read may be a plugin's: it is read again, and reported, later
        return True
    return contents is not None and (
        _GROUP_IN_UTF8 in contents or len(contents) > _LARGEST_FILE or _GROUP_IN_UTF16 in contents
    )


def _by_name_inside(groups: Iterable[list[_Found]]) -> Iterable[list[_Found]]:
    """Group anew, by the names that their metadata gives, the distributions that may have plugins."""
    by_name: dict[str, list[_Found]] = {}
    for group in groups:
        if any(_may_have_plugins(found) for found in group):
            for found in group:
                identified = _identified(found)
                by_name.setdefault(identified.name, []).append(identified)
    return by_name.values()


def _identified(found: _Found) -> _Found:
    try:
        name, version = _name_and_version_inside(found.read("METADATA"))
    except Exception:  # noqa: BLE001 - reported when its entry points are read, if it counts
        return found
    return replace(found, name=name, version=version or found.version)


def _the_one_that_counts(same_name: list[_Found], warnings: list[str]) -> _Found:
    """Choose the first on the path; of several in one folder, the newest. A folder without metadata is a left-over."""
    whole = [found for found in same_name if _has_metadata(found)] or same_name
    beside = [found for found in whole if found.path_entry == whole[0].path_entry]
    chosen = max(beside, key=_newness)
    warnings.extend(
        f"{found.name} is installed twice in {found.path_entry}: version {chosen.version} counts, and version "
        f"{found.version or 'unknown'} is stale. Delete {found.place}, or install the distribution anew"
        for found in beside
        if found is not chosen
    )
    return chosen


def _has_metadata(found: _Found) -> bool:
    try:
        return found.read("METADATA") is not None
    except Exception:  # noqa: BLE001 - it is there; that it cannot be read is reported later
        return True


def _newness(found: _Found) -> tuple[bool, Version]:
    try:
        return True, Version(found.version)
    except InvalidVersion:
        return False, Version("0")


# What one distribution declares


def _candidates(found: _Found) -> list[Candidate]:
    """Read one distribution's entry points of the group; whatever is wrong with it becomes a failed candidate."""
    try:
        lines = list(_lines_of_group(_text_of_entry_points(found)))
        if not lines:
            return []
        name, version = _name_and_version_inside(found.read("METADATA"))
    except Exception as error:  # noqa: BLE001 - files may be unreadable in any way
        reason = f"{error}. Install the distribution anew" if isinstance(error, _UnreadableError) else repr(error)
        broken = _broken(found.name, found.version, f"{found.place} cannot be read: {reason}")
        return [replace(broken, installed=_installed(found))]
    candidates = _without_rivals([_candidate(line, name, version) for line in dict.fromkeys(lines)])
    if any(candidate.plugin.status == "discovered" for candidate in candidates):
        return candidates  # what the distribution installed may be theirs
    return [replace(candidate, installed=_installed(found)) for candidate in candidates]


def _installed(found: _Found) -> tuple[str, ...]:
    """Return the names of the outermost packages and modules that a distribution's RECORD lists."""
    try:
        lines = (found.read("RECORD") or b"").decode(errors="replace").splitlines()
    except Exception:  # noqa: BLE001 - the distribution is reported as broken already
        return ()
    files = [line.partition(",")[0].split("/") for line in lines if line.partition(",")[0].endswith(".py")]
    packages = {tuple(file[:-1]) for file in files if file[-1] == "__init__.py"}
    modules: dict[str, None] = {}
    for file in files:
        name = [*file[:-1], file[-1].removesuffix(".py")]
        depths = [depth for depth in range(1, len(file)) if tuple(file[:depth]) in packages]
        modules[".".join(name[: depths[0]] if depths else name)] = None
    return tuple(modules)


def _text_of_entry_points(found: _Found) -> str:
    contents = found.read("entry_points.txt") or b""
    if len(contents) > _LARGEST_FILE:
        raise _UnreadableError(f"entry_points.txt is larger than {_LARGEST_FILE} bytes")
    try:
        text = contents.decode()
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"entry_points.txt is not UTF-8 (byte {error.start})") from error
    if text.startswith("\ufeff"):
        raise _UnreadableError("entry_points.txt begins with a byte-order mark, which hides its first group")
    return text


def _lines_of_group(text: str) -> Iterator[str]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif line and not line.startswith("#") and group == GROUP:
            yield line


def _name_and_version_inside(metadata: bytes | None) -> tuple[str, str]:
    if metadata is None:
        raise _UnreadableError("there is no METADATA file")
    fields: dict[str, str] = {}
    for line in metadata.decode(errors="replace").splitlines():
        if not line.strip():
            break
        field, _, value = line.partition(":")
        fields.setdefault(field.strip().lower(), value.strip())
    if not fields.get("name"):
        raise _UnreadableError("its metadata has no Name")
    return canonical_name(fields["name"]), fields.get("version", "")


def _candidate(line: str, distribution: str, version: str) -> Candidate:
    name, equals, target = (part.strip() for part in line.partition("="))
    match = _TARGET.fullmatch(target)
    if not equals:
        reason = f"the line {line!r} of entry_points.txt has no '='. Write {_example(name)}"
    elif not name:
        reason = f"the line {line!r} of entry_points.txt has no name. Write {_example('name')}"
    elif not target:
        reason = f"the entry point names no module. Write {_example(name)}"
    elif match is None:
        reason = f"the entry point's target {target!r} is no module. Write {_example(name)}"
    else:
        plugin = Plugin(name=name, distribution=distribution, version=version, module=match["module"])
        return Candidate(plugin, match["attribute"] or "")
    return _broken(distribution, version, reason, name, target)


def _example(name: str) -> str:
    word = re.sub(r"\W", "_", name.split()[0]) if name.split() else "name"
    return f"'{name} = package.{word}' in pyproject.toml, under [project.entry-points.\"{GROUP}\"]"


def _broken(distribution: str, version: str, reason: str, name: str = "", module: str = "") -> Candidate:
    error = PluginError(reason, distribution=distribution, version=version, entry_point=name, module=module)
    return Candidate(
        Plugin(name=name, distribution=distribution, version=version, module=module, status="failed", error=error)
    )


def _without_rivals(candidates: list[Candidate]) -> list[Candidate]:
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
            kept.append(_broken(plugin.distribution, plugin.version, reason, plugin.name, plugin.module))
    return kept
