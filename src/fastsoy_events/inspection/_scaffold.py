"""Makes a new plugin package: its names, the text of its files, and the folder, all of it or nothing."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from fastsoy_events._declare import follows_convention
from fastsoy_events.inspection import _scaffold_text as text

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_NAME = 64
_LONGEST_EVENT = 50
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class ScaffoldError(Exception):
    """A package cannot be made; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The names in a new package.

    Args:
        name: the canonical name (PEP 503) of the distribution, and the name of its folder.
        package: the package that it installs.
        entry_point: the name of its entry point.
        events: the events that it declares, sorted; each is heard by a handler of its own.
    """

    name: str
    package: str
    entry_point: str
    events: tuple[str, ...]


def named(name: str, events: Sequence[str] = ()) -> Project:
    """Return the names in a package, or refuse what gives none.

    Args:
        name: the distribution's name, in any spelling.
        events: the events that it declares; where none is given, one with the last word of the name.

    Returns:
        The names.

    Raises:
        ScaffoldError: it is no distribution's name, its package could not be imported, or an event breaks the
            convention.
    """
    if len(name) > _LONGEST_NAME:
        raise ScaffoldError(f"a name of {len(name)} characters is too long: at most {_LONGEST_NAME}")
    if not _NAME.fullmatch(name):
        raise ScaffoldError(
            f"{name!r} is no name for a distribution: write letters from a to z and digits, with - between words, "
            "such as acme-payroll. The folder in which to make it goes to --into"
        )
    canonical = canonicalize_name(name)
    package = canonical.replace("-", "_")
    _refuse_package(package)
    words = canonical.split("-")
    aggregate = next(word for word in reversed(words) if word[0].isalpha())
    chosen = tuple(sorted(set(events))) or (f"{aggregate}.created",)
    _refuse_events(chosen)
    return Project(name=canonical, package=package, entry_point="_".join(words[1:] or words), events=chosen)


def _refuse_package(package: str) -> None:
    problem = ""
    if not package.isidentifier():
        problem = "which Python cannot import, since it begins with a digit"
    elif iskeyword(package):
        problem = "which is a keyword of Python"
    elif package in sys.stdlib_module_names:
        problem = "which is a module of Python's own"
    elif place := _installed(package):
        problem = f"which is installed here ({place})"
    if problem:
        advice = f"put a word in front of it, such as acme-{package.replace('_', '-')}"
        raise ScaffoldError(f"the package would be called {package}, {problem}: {advice}")


def _installed(package: str) -> str:
    try:
        found = find_spec(package)
    except ValueError:  # a module that came about in another way than by being imported
        return package
    return found.origin or "" if found else ""  # folders that merely have this name have no origin


def _refuse_events(events: Sequence[str]) -> None:
    made: dict[str, str] = {}
    for event in events:
        if len(event) > _LONGEST_EVENT:
            raise ScaffoldError(f"an event's name of {len(event)} characters is too long: at most {_LONGEST_EVENT}")
        if not follows_convention(event):
            raise ScaffoldError(
                f"{event!r} is no name for an event: write '<aggregate>.<past-tense verb>' in lower snake case, such "
                "as employee.created"
            )
        other = made.setdefault(text.identifier(event), event)
        if other != event:
            raise ScaffoldError(f"{other} and {event} would both be called {text.identifier(event)}: leave out one")


def files(project: Project) -> dict[str, str]:
    """Return the text of each file of a package.

    Args:
        project: its names.

    Returns:
        The texts, by their path inside the package's folder.
    """
    names = {
        "name": project.name,
        "package": project.package,
        "entry_point": project.entry_point,
        "core": f"fastsoy-events>={Version(version('fastsoy-events')).public}",
    }
    source = f"src/{project.package}"
    return {
        "README.md": text.readme(names, project.events),
        "pyproject.toml": text.pyproject(names),
        f"{source}/__init__.py": text.package(names),
        f"{source}/events.py": text.events(names, project.events),
        f"{source}/handlers.py": text.handlers(names, project.events),
        f"{source}/py.typed": "",
        f"tests/test_{project.package}.py": text.tests(names, project.events),
    }


def create(project: Project, into: Path) -> tuple[Path, ...]:
    """Make a package's folder, with all of its files or not at all.

    Args:
        project: its names.
        into: the folder that is to hold it.

    Returns:
        The files.

    Raises:
        ScaffoldError: there is something in its place already, or it cannot be written.
    """
    target = into / project.name
    _refuse_occupied(target)
    texts = files(project)
    workshop: Path | None = None
    try:
        workshop = Path(mkdtemp(prefix=f".{project.name}-", dir=into))
        _write(workshop / project.name, texts)
        (workshop / project.name).rename(target)  # which fails where something has come up in its place
    except OSError as error:
        problem = f"{target} cannot be written: {error.strerror or error}"
        raise ScaffoldError(problem + _cleared_away(workshop)) from error
    finally:
        _cleared_away(workshop)
    return tuple(target / path for path in texts)


def _refuse_occupied(target: Path) -> None:
    try:
        is_free = not target.is_symlink() and (not target.exists() or not any(target.iterdir()))
    except OSError as error:
        raise ScaffoldError(f"{target} cannot be read: {error.strerror or error}") from error
    if not is_free:
        raise ScaffoldError(
            f"{target} exists already, and nothing is overwritten: remove it, choose another name, or make the package "
            "in another folder with --into"
        )


def _write(folder: Path, texts: dict[str, str]) -> None:
    for path, content in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8", newline="\n")


def _cleared_away(workshop: Path | None) -> str:
    """Remove a folder, and tell in words where that did not work."""
    if workshop is None:
        return ""
    shutil.rmtree(workshop, ignore_errors=True)
    return f". {workshop} is left behind: remove it" if workshop.exists() else ""
