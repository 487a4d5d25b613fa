"""Build what would be released, and look at it as its users will: `make release-check`.

For the core and for every plugin in `plugins/`, or for the plugin folders that are given:

1. All carry the core's version, which stands in each `pyproject.toml` and nowhere else.
2. A source archive is built, and the wheel out of that archive alone.
3. `twine check --strict` accepts metadata and long descriptions.
4. Both hold the package, `py.typed`, the licence and the metadata, and nothing else.
5. Each wheel is installed into a fresh environment, with the core's wheel where it needs that, and imported there with
   nothing but what it requires. Then the command line is added, and `fastsoy-events check --strict` looks at it.

What was built is kept in `dist/` if nothing is wrong with it. Otherwise every problem of the first step that has any is
told, and the exit status is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from _contents import problems_of_sdist, problems_of_wheel
from _projects import CORE, ROOT, Project, plugin_folders, read
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_IMPORTS = """\
import importlib, importlib.metadata, sys
name, package, folder = sys.argv[1:]
place = importlib.import_module(package).__file__
assert place.startswith(folder), f"{package} was imported from {place}"
for entry_point in importlib.metadata.distribution(name).entry_points:
    if entry_point.group == "fastsoy.event_handlers":
        entry_point.load()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The projects, the core first, and where what is built of them goes."""

    projects: Sequence[Project]
    dist: Path
    workplace: Path
    isolated: bool

    def sdist(self, project: Project) -> Path:
        """Return where a project's source archive is."""
        return self.dist / f"{project.package}-{project.version}.tar.gz"

    def wheel(self, project: Project) -> Path:
        """Return where a project's wheel is."""
        return self.dist / f"{project.package}-{project.version}-py3-none-any.whl"


def main(arguments: Sequence[str]) -> int:
    """Take the steps one by one, up to the first that finds problems."""
    parser = ArgumentParser(prog="release_check.py", description="Build what would be released, and look at it.")
    parser.add_argument("plugins", nargs="*", type=Path, help="folders of plugins; without any, all of plugins/")
    parser.add_argument(
        "--into",
        type=Path,
        default=ROOT / "dist",
        help="where to keep what was built, in place of the archives there (dist/)",
    )
    parser.add_argument("--no-isolation", action="store_true", help="build with the hatchling that is installed here")
    options = parser.parse_args(arguments)
    folders = [ROOT, *([each.resolve() for each in options.plugins] or plugin_folders())]
    with tempfile.TemporaryDirectory() as folder:
        release = Release(
            projects=[read(each) for each in folders],
            dist=Path(folder, "dist").resolve(),
            workplace=Path(folder).resolve(),
            isolated=not options.no_isolation,
        )
        release.dist.mkdir()
        for step in (versions, build, descriptions, contents, installations):
            if problems := list(step(release)):
                sys.stderr.write("".join(f"error: {problem}\n" for problem in problems))
                return 1
        _keep(release, options.into)
    return 0


def _keep(release: Release, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.whl"), *folder.glob("*.tar.gz")):
        old.unlink()
    for file in release.dist.iterdir():
        shutil.move(file, folder / file.name)
    print(f"{len(release.projects)} packages can be released: their files are in {os.path.relpath(folder)}")


# The steps: each yields what is wrong


def versions(release: Release) -> Iterator[str]:
    """Compare the versions, and whether each plugin takes the core that it is released with."""
    core, *plugins = release.projects
    for plugin in plugins:
        if plugin.version != core.version:
            yield (
                f"{plugin.metadata} has version {plugin.version}, and the core {core.version}: all are released "
                f"together; python tools/set_version.py {core.version} sets them all"
            )
        needed = [each for each in map(Requirement, plugin.requirements) if each.name == CORE]
        if not any(each.specifier.contains(core.version, prereleases=True) for each in needed):
            yield f"{plugin.metadata} does not require {CORE} {core.version}: write {CORE}>=... under dependencies"
    _say(f"version {core.version}")


def build(release: Release) -> Iterator[str]:
    """Build the source archives, and from them the wheels."""
    flags = [] if release.isolated else ["--no-isolation"]
    for project in release.projects:
        command = ["-m", "build", *flags, "--outdir", str(release.dist), str(project.folder)]
        problems = list(_run(release, f"{project.name} cannot be built", sys.executable, *command))
        made = (release.sdist(project), release.wheel(project))
        problems = problems or [f"{project.name}: its build made no {file.name}" for file in made if not file.exists()]
        yield from problems
        _say(f"{project.name}: {'refused' if problems else 'built'}")


def descriptions(release: Release) -> Iterator[str]:
    """Have twine look at metadata and long descriptions."""
    files = [str(file) for file in sorted(release.dist.iterdir())]
    yield from _run(release, "twine refuses", sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files)
    _say("metadata and long descriptions: read")


def contents(release: Release) -> Iterator[str]:
    """Look into the archives."""
    for project in release.projects:
        yield from problems_of_sdist(project, release.sdist(project))
        yield from problems_of_wheel(project, release.wheel(project))
    _say("contents: read")


def installations(release: Release) -> Iterator[str]:
    """Install each wheel alone, import it, and check it."""
    for project in release.projects:
        problems = list(_installation(release, project))
        yield from problems
        _say(f"{project.name}: {'refused' if problems else 'installed alone, imported, checked'}")


def _installation(release: Release, project: Project) -> Iterator[str]:
    folder = release.workplace / project.name
    venv.create(folder, symlinks=True)
    python, program = str(folder / "bin" / "python"), str(folder / "bin" / CORE)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    install = [*pip, "install", "--quiet"]
    core = release.wheel(release.projects[0])  # this very file, whatever an index has under its name
    for what, command in (
        ("cannot be installed alone", [*install, str(release.wheel(project)), str(core)]),
        (
            "cannot be imported with what it requires",
            [python, "-c", _IMPORTS, project.name, project.package, str(folder)],
        ),
        ("cannot be installed with the command line", [*install, f"{CORE}[cli] @ {core.as_uri()}"]),
        ("has requirements that contradict each other", [*pip, "check"]),
        (f"has findings of {CORE} check", [program, "check", "--strict"]),
    ):
        problems = list(_run(release, f"{project.name} {what}", *command))
        yield from problems
        if problems:
            return


def _run(release: Release, problem: str, *command: str) -> Iterator[str]:
    """Run a command away from the sources; yield the problem, with all that the command wrote, where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTSOY_EVENTS_", "PYTHON"))}
    result = subprocess.run(  # noqa: S603 - programs of this interpreter, and of the environments that are made here
        command,
        cwd=release.workplace,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        yield f"{problem}:\n{result.stdout.rstrip()}"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
