"""What a wheel and a source archive may hold: the package, its types, its metadata and the licence; nothing else."""

from __future__ import annotations

import re
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from _projects import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _projects import Project

__all__ = ["problems_of_sdist", "problems_of_wheel"]

_TEST = re.compile(r"(?:^|/)(?:tests?/|test_[^/]*\.py$|[^/]*_test\.py$|conftest\.py$)")
_IN_METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
_IN_SDIST = {"PKG-INFO", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"}


def problems_of_wheel(project: Project, wheel: Path) -> Iterator[str]:
    """Say what is wrong with what a wheel holds.

    Args:
        project: whose wheel it is.
        wheel: the file.
    """
    information = f"{project.package}-{project.version}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    package = {name for name in files if name.startswith(f"{project.package}/")}
    metadata = {f"{information}/{name}" for name in _IN_METADATA}
    yield from _tests_and_strays(wheel, files.keys() - metadata, package)
    yield from _missing(project, wheel, package, project.folder / "src")
    yield from _licence(wheel, files.get(f"{information}/licenses/LICENSE"))
    yield from _headers(wheel, files[f"{information}/METADATA"].decode())


def problems_of_sdist(project: Project, sdist: Path) -> Iterator[str]:
    """Say what is wrong with what a source archive holds.

    Args:
        project: whose source archive it is.
        sdist: the file.
    """
    top = f"{project.package}-{project.version}/"
    with tarfile.open(sdist) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if not member.isdir()}
        licence = (file := files.get(f"{top}LICENSE")) and file.read()
    package = {name for name in files if name.startswith(f"{top}src/{project.package}/")}
    yield from _tests_and_strays(sdist, files.keys() - {f"{top}{name}" for name in _IN_SDIST}, package)
    yield from _missing(project, sdist, {name.removeprefix(f"{top}src/") for name in package}, project.folder / "src")
    yield from _licence(sdist, licence or None)


def _tests_and_strays(archive: Path, files: set[str], package: set[str]) -> Iterator[str]:
    for name in sorted(files):
        if _TEST.search(name):
            yield f"{archive.name} holds the test {name}: tests stay out; move it to the project's own tests/ folder"
        elif name not in package or not _belongs(name):
            yield (
                f"{archive.name} holds {name}, which is no module of the package: move it out of src/, or leave it out "
                "under [tool.hatch.build.targets] in pyproject.toml"
            )


def _belongs(name: str) -> bool:
    path = PurePosixPath(name)
    return (path.suffix == ".py" or path.name == "py.typed") and not any(part.startswith(".") for part in path.parts)


def _missing(project: Project, archive: Path, package: set[str], source: Path) -> Iterator[str]:
    marker = f"{project.package}/py.typed"
    if marker not in package:
        yield f"{archive.name} lacks {marker}: add that empty file, or type checkers take the package for untyped"
    here = {str(file.relative_to(source)) for file in (source / project.package).rglob("*.py")}
    for name in sorted(here - package):
        yield f"{archive.name} lacks {name}, which is in src/: see [tool.hatch.build.targets] in pyproject.toml"


def _licence(archive: Path, text: bytes | None) -> Iterator[str]:
    if text is None:
        yield f"{archive.name} lacks the licence: put LICENSE beside pyproject.toml, which names it under license-files"
    elif text != (ROOT / "LICENSE").read_bytes():
        yield f"{archive.name} has another licence than the repository: copy LICENSE from its top folder"


def _headers(wheel: Path, text: str) -> Iterator[str]:
    headers = HeaderParser().parsestr(text)
    wanted = {"License-Expression": "MIT", "Requires-Python": ">=3.11", "Description-Content-Type": "text/markdown"}
    for name, value in wanted.items():
        if headers[name] != value:
            yield f"{wheel.name} says {name}: {headers[name]}, and must say {value}: see [project] in pyproject.toml"
