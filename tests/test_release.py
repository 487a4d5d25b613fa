"""`make release-check`: it lets a whole package through, and tells of a broken one what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "tools" / "release_check.py"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
METADATA = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "Mail for each order."
readme = "README.md"
requires-python = ">=3.11"
license = "MIT"
license-files = ["LICENSE"]
dependencies = ["{core}"]

[project.entry-points."fastsoy.event_handlers"]
mail = "{package}"

[tool.hatch.build.targets.sdist]
include = ["/src", "/README.md", "/LICENSE"]
"""
MODULE = '''\
"""Mail for each order."""

from fastsoy_events import on


@on("order.placed")
async def send(**_: object) -> None:
    """Send it."""
'''


@dataclass(frozen=True, slots=True)
class Plugin:
    """The sources of a plugin."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.folder.name.replace("-", "_")


def plugin(parent: Path, name: str, *, version: str = VERSION, core: str = "fastsoy-events>=0.1") -> Plugin:
    """Write a plugin with which nothing is wrong, but for what the arguments say."""
    made = Plugin(parent / name)
    made.source.mkdir(parents=True)
    package = made.source.name
    metadata = METADATA.format(name=name, package=package, version=version, core=core)
    (made.folder / "pyproject.toml").write_text(metadata, encoding="utf-8")
    (made.folder / "README.md").write_text(f"# {name}\n\nSends mail.\n", encoding="utf-8")
    shutil.copy(ROOT / "LICENSE", made.folder)
    (made.source / "__init__.py").write_text(MODULE, encoding="utf-8")
    (made.source / "py.typed").touch()
    (made.folder / "tests").mkdir()
    (made.folder / "tests" / "test_mail.py").write_text("def test_mail() -> None: ...\n", encoding="utf-8")
    return made


def check(into: Path, *plugins: Plugin) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--no-isolation", "--into", str(into)]
    return subprocess.run(
        [*command, *(str(each.folder) for each in plugins)],
        env={name: value for name, value in os.environ.items() if not name.startswith("FASTSOY_EVENTS_")},
        capture_output=True,
        text=True,
        check=False,
    )


def errors(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 1, result.stdout + result.stderr
    return [part.strip() for part in f"\n{result.stderr}".split("\nerror: ")[1:]]


def test_a_whole_package_is_let_through_and_its_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "acme_mail-0.0.1.tar.gz").touch()
    result = check(tmp_path / "dist", plugin(tmp_path, "acme-mail"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(file.name for file in (tmp_path / "dist").iterdir()) == [
        f"acme_mail-{VERSION}-py3-none-any.whl",
        f"acme_mail-{VERSION}.tar.gz",
        f"fastsoy_events-{VERSION}-py3-none-any.whl",
        f"fastsoy_events-{VERSION}.tar.gz",
    ]


def test_versions_that_differ_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    newer = plugin(tmp_path, "acme-newer", version="99.1")
    older_core = plugin(tmp_path, "acme-old", core="fastsoy-events<0.0.1")
    other_core = plugin(tmp_path, "acme-other", core="packaging")
    result = check(tmp_path / "dist", newer, older_core, other_core)
    assert "built" not in result.stdout
    [differs, excludes, lacks] = errors(result)
    assert f"{newer.folder}/pyproject.toml has version 99.1, and the core {VERSION}" in differs
    assert f"python tools/set_version.py {VERSION}" in differs
    for message, broken in ((excludes, older_core), (lacks, other_core)):
        assert message.startswith(f"{broken.folder}/pyproject.toml does not require fastsoy-events {VERSION}")


def test_a_package_that_cannot_be_built_is_refused(tmp_path: Path) -> None:
    broken = plugin(tmp_path, "acme-mail")
    (broken.folder / "README.md").unlink()
    [message] = errors(check(tmp_path / "dist", broken))
    assert message.startswith("acme-mail cannot be built:")
    assert "Readme file does not exist: README.md" in message


def test_a_package_without_a_long_description_is_refused(tmp_path: Path) -> None:
    broken = plugin(tmp_path, "acme-mail")
    metadata = broken.folder / "pyproject.toml"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace('readme = "README.md"\n', ""), encoding="utf-8")
    [message] = errors(check(tmp_path / "dist", broken))
    assert message.startswith("twine refuses:")
    assert "long_description" in message


def test_a_package_with_too_little_or_too_much_in_it_is_refused(tmp_path: Path) -> None:
    untyped, tested, stray, relicensed = (
        plugin(tmp_path, f"acme-{name}") for name in ("untyped", "tested", "stray", "relicensed")
    )
    (untyped.source / "py.typed").unlink()
    (tested.source / "tests").mkdir()
    (tested.source / "tests" / "__init__.py").touch()
    (tested.source / "conftest.py").touch()
    (stray.source / "notes.txt").touch()
    (stray.source / ".hidden").mkdir()
    (stray.source / ".hidden" / "module.py").touch()
    (relicensed.folder / "LICENSE").write_text("All rights reserved.\n", encoding="utf-8")
    result = check(tmp_path / "dist", untyped, tested, stray, relicensed)
    assert not (tmp_path / "dist").exists()
    in_wheels = [message for message in errors(result) if f"-{VERSION}-py3-none-any.whl" in message]
    in_archives = [message for message in errors(result) if f"-{VERSION}.tar.gz" in message]
    for found in (in_wheels, in_archives):
        [no_types, test, test_folder, hidden, notes, licence] = found
        assert "lacks acme_untyped/py.typed" in no_types
        assert "acme_tested/conftest.py: tests stay out" in test
        assert "acme_tested/tests/__init__.py: tests stay out" in test_folder
        assert "acme_stray/.hidden/module.py, which is no module of the package" in hidden
        assert "acme_stray/notes.txt, which is no module of the package" in notes
        assert "has another licence" in licence


def test_a_package_that_does_not_work_where_it_is_alone_is_refused(tmp_path: Path) -> None:
    needy, sloppy = plugin(tmp_path, "acme-needy"), plugin(tmp_path, "acme-sloppy")
    (needy.source / "__init__.py").write_text("import rich\n", encoding="utf-8")  # the command line would bring it
    sloppy_source = MODULE.replace("async def", "def").replace("**_: object", "")
    (sloppy.source / "__init__.py").write_text(sloppy_source, encoding="utf-8")
    [imported, found] = errors(check(tmp_path / "dist", needy, sloppy))
    assert imported.startswith("acme-needy cannot be imported with what it requires:")
    assert "No module named 'rich'" in imported
    assert found.startswith("acme-sloppy has findings of fastsoy-events check:")
    assert "FSE205" in found


# One version


def copied(folder: Path) -> list[Path]:
    """Copy the tools, and every `pyproject.toml`; return the copies of these."""
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    files = [ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")]
    copies = [folder / file.relative_to(ROOT) for file in files]
    for file, copy in zip(files, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return copies


def set_version(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "tools" / "set_version.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_one_command_sets_the_version_of_everything_that_is_released(tmp_path: Path) -> None:
    copies = copied(tmp_path)
    before = [file.read_text(encoding="utf-8") for file in copies]
    assert set_version(tmp_path, "7.3.0rc1").returncode == 0
    after = [file.read_text(encoding="utf-8") for file in copies]
    assert {tomllib.loads(text)["project"]["version"] for text in after} == {"7.3.0rc1"}
    assert [text.replace('version = "7.3.0rc1"', f'version = "{VERSION}"') for text in after] == before


@pytest.mark.parametrize("arguments", [[], ["newest"], ["1.0", "2.0"]])
def test_what_is_no_version_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    copies = copied(tmp_path)
    result = set_version(tmp_path, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: ")
    assert {tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"] for file in copies} == {VERSION}
