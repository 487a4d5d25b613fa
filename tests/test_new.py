"""`fastsoy-events new`: a plugin package that works as it is made, or nothing at all."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from fastsoy_events.inspection import _scaffold
from fastsoy_events.inspection._scaffold import ScaffoldError, create, named
from tests.command_line import COMMAND

FILES = [
    "README.md",
    "pyproject.toml",
    "src/acme_payroll/__init__.py",
    "src/acme_payroll/events.py",
    "src/acme_payroll/handlers.py",
    "src/acme_payroll/py.typed",
    "tests/test_acme_payroll.py",
]
LONG_EVENT = "hr.performance_review_period.was_extended_for_some"
LONGEST_SUBJECT = f"{'o' * 48}.x"
LONG_NAME = f"acme-{'o' * 59}"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTSOY_EVENTS_", "PYTHONPATH"))}
    return subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def new(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, *COMMAND, "new", *arguments)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A fresh environment that sees the packages of this one; returns its interpreter."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(environment)})
    these = sysconfig.get_path("purelib")
    Path(own, "these.pth").write_text(f"import site; site.addsitedir({these!r})\n", encoding="utf-8")
    return str(environment / "bin" / "python")


# What it makes


@pytest.mark.parametrize(
    ("name", "distribution", "options", "events"),
    [
        ("payroll", "payroll", [], ["payroll.created"]),
        ("acme-payroll", "acme-payroll", ["--event", LONG_EVENT, "--event", "desk.freed"], ["desk.freed", LONG_EVENT]),
        ("Acme_Pay.Roll", "acme-pay-roll", [], ["roll.created"]),
    ],
)
def test_a_package_works_as_it_is_made(
    tmp_path: Path, python: str, name: str, distribution: str, options: list[str], events: list[str]
) -> None:
    assert new(tmp_path, name, *options).returncode == 0
    folder = tmp_path / distribution
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    installed = run(tmp_path, *install, "--no-deps", "--no-build-isolation", "--no-index", str(folder))
    assert installed.returncode == 0, installed.stderr
    tested = run(folder, python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert f"{len(events) + 1} passed" in tested.stdout, tested.stdout + tested.stderr
    listed = run(tmp_path, python, "-m", "fastsoy_events", "list", "--json", "--allow", distribution)
    rows = json.loads(listed.stdout)
    assert [(row["event"], row["distribution"], row["kind"]) for row in rows] == [
        (event, distribution, "async") for event in events
    ]
    alone = ["--path", sysconfig.get_path("purelib", vars={"base": str(tmp_path / "environment")})]
    (tmp_path / "shop.py").touch()  # without an application, nobody but the package could hear its events
    checked = run(tmp_path, python, "-m", "fastsoy_events", "check", "--strict", "--json", *alone, "--app", "shop")
    assert (checked.returncode, json.loads(checked.stdout)["findings"]) == (0, []), checked.stdout


@pytest.mark.types
@pytest.mark.parametrize(
    ("name", "options"),
    [("acme-payroll", []), (LONG_NAME, ["--event", LONG_EVENT, "--event", "desk.freed", "--event", LONGEST_SUBJECT])],
)
def test_a_package_is_well_typed_and_well_laid_out(tmp_path: Path, name: str, options: list[str]) -> None:
    assert new(tmp_path, name, *options).returncode == 0
    rules = ["--isolated", "--select", "ANN,ARG,B,D,DTZ,E,F,FBT,I,N,PT,RUF,SIM,TC,TRY,UP,W", "--line-length", "120"]
    rules += ["--config", "lint.pydocstyle.convention='google'", "--per-file-ignores", "tests/*:D103"]
    for command in (
        ["ruff", "check", "--no-cache", *rules, "."],
        ["ruff", "format", "--no-cache", "--isolated", "--check", "."],
        ["mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "src", "tests"],
    ):
        result = run(tmp_path / name, sys.executable, "-m", *command)
        assert result.returncode == 0, result.stdout + result.stderr


def test_it_tells_what_it_made_and_what_is_next(tmp_path: Path) -> None:
    (tmp_path / "our plugins").mkdir()
    result = new(tmp_path, "acme-payroll", "--into", "our plugins")
    assert result.stdout.splitlines() == [f"our plugins/acme-payroll/{file}" for file in FILES]
    assert result.stderr == (
        "note: next: cd 'our plugins/acme-payroll' && python -m pip install --editable . --group test "
        "&& python -m pytest\n"
    )
    assert all((tmp_path / file).is_file() for file in result.stdout.splitlines())
    assert len(everything(tmp_path)) == len(FILES) + len(
        ["our plugins", "acme-payroll", "src", "acme_payroll", "tests"]
    )


def test_json_names_all_that_it_made(tmp_path: Path) -> None:
    result = new(tmp_path, "Acme.Pay_Roll", "--json")
    made = json.loads(result.stdout)
    files = made.pop("files")
    assert list(made.items()) == [
        ("schema", 1),
        ("name", "acme-pay-roll"),
        ("package", "acme_pay_roll"),
        ("entry_point", "pay_roll"),
        ("events", ["roll.created"]),
        ("folder", "acme-pay-roll"),
    ]
    assert all((tmp_path / file).is_file() for file in files)
    assert len(files) == len(FILES)


def test_the_metadata_says_what_the_package_is(tmp_path: Path) -> None:
    new(tmp_path, "acme-payroll")
    metadata = tomllib.loads((tmp_path / "acme-payroll" / "pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["name"] == "acme-payroll"
    assert metadata["project"]["entry-points"]["fastsoy.event_handlers"] == {"payroll": "acme_payroll.handlers"}
    assert [each.partition(">")[0] for each in metadata["project"]["dependencies"]] == ["fastsoy-events"]
    assert metadata["build-system"]["build-backend"] == "hatchling.build"
    assert any(each.startswith("pytest") for each in metadata["dependency-groups"]["test"])


@pytest.mark.parametrize(("name", "event"), [("acme-payroll-2", "payroll.created"), ("x", "x.created")])
def test_the_event_comes_from_the_last_word_that_can_name_one(name: str, event: str) -> None:
    assert named(name).events == (event,)


# What it refuses


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", "is no name for a distribution"),
        ("", "is no name for a distribution"),
        ("a/b", "is no name for a distribution"),
        ("/x", "is no name for a distribution"),
        (".", "is no name for a distribution"),
        ("-x", "is no name for a distribution"),
        ("x-", "is no name for a distribution"),
        ("a b", "is no name for a distribution"),
        ("x\n", "is no name for a distribution"),
        ("größe", "is no name for a distribution"),
        ("acme-\u212aelvin", "is no name for a distribution"),  # the sign for kelvin, which is a K to some
        ("acme\x1b[31m", "is no name for a distribution"),
        ('x"\nname = "y', "is no name for a distribution"),
        ("x" * 65, "a name of 65 characters is too long"),
        ("x" * 50_000, "a name of 50000 characters is too long"),
        ("class", "called class, which is a keyword of Python: put a word in front of it, such as acme-class"),
        ("asyncio", "called asyncio, which is a module of Python's own"),
        ("Asyncio", "called asyncio, which is a module of Python's own"),
        ("3d-print", "called 3d_print, which Python cannot import, since it begins with a digit"),
        ("fastsoy-events", "called fastsoy_events, which is installed here"),
        ("pytest", "called pytest, which is installed here"),
    ],
)
def test_a_name_that_makes_no_package_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    result = new(tmp_path, "--", name)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert reason in result.stderr
    assert len(result.stderr) < 1000
    assert result.stderr.strip().isprintable()
    assert everything(tmp_path) == []


def test_a_module_that_came_about_in_another_way_counts_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acme_made", ModuleType("acme_made"))
    with pytest.raises(ScaffoldError, match="which is installed here"):
        named("acme-made")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (["EmployeeCreated"], "'EmployeeCreated' is no name for an event"),
        (["x.\u0441reated"], "is no name for an event"),  # its c is a letter of another script
        (["created"], "'created' is no name for an event"),
        ([""], "'' is no name for an event"),
        (['x.y"\nimport os'], "is no name for an event"),
        ([f"payroll.{'a' * 60}"], "an event's name of 68 characters is too long"),
        (["desk.set_free", "desk_set.free"], "desk.set_free and desk_set.free would both be called desk_set_free"),
    ],
)
def test_an_event_that_breaks_the_convention_is_refused(tmp_path: Path, events: list[str], reason: str) -> None:
    result = new(tmp_path, "acme-payroll", *(f"--event={event}" for event in events))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert reason in result.stderr
    assert everything(tmp_path) == []


def test_an_event_that_is_given_twice_is_declared_once() -> None:
    assert named("acme-payroll", ["desk.freed", "desk.freed"]).events == ("desk.freed",)


def test_wrong_usage_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments in (["-x"], [], ["payroll", "--into", "nowhere"], ["payroll", "--into", "file"], ["one", "two"]):
        result = new(tmp_path, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert "Usage: fastsoy-events new" in result.stderr
    assert everything(tmp_path) == ["file"]


# What stands there already


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert new(tmp_path, "acme-payroll").returncode == 0
    mine = tmp_path / "acme-payroll" / "README.md"
    mine.write_text("mine", encoding="utf-8")
    before = everything(tmp_path)
    result = new(tmp_path, "acme_payroll")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("error: acme-payroll exists already, and nothing is overwritten")
    assert mine.read_text(encoding="utf-8") == "mine"
    assert everything(tmp_path) == before


def test_a_file_or_a_link_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "acme-one").touch()
    (tmp_path / "acme-two").symlink_to("elsewhere")
    (tmp_path / "acme-three").symlink_to("nowhere")
    before = everything(tmp_path)
    for name in ("acme-one", "acme-two", "acme-three"):
        result = new(tmp_path, name)
        assert result.returncode == 2
        assert result.stderr.startswith(f"error: {name} ")
        assert result.stderr.count("\n") == 1
    assert everything(tmp_path) == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "acme-payroll").mkdir()
    assert new(tmp_path, "acme-payroll").returncode == 0
    assert [file for file in FILES if not (tmp_path / "acme-payroll" / file).is_file()] == []


def test_what_comes_up_in_its_place_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interfere(folder: Path, texts: dict[str, str]) -> None:
        write(folder, texts)
        (tmp_path / "acme-payroll").mkdir()
        (tmp_path / "acme-payroll" / "mine").touch()

    write = _scaffold._write
    monkeypatch.setattr(_scaffold, "_write", interfere)
    with pytest.raises(ScaffoldError, match="acme-payroll cannot be written: Directory not empty"):
        create(named("acme-payroll"), tmp_path)
    assert everything(tmp_path) == ["acme-payroll", "acme-payroll/mine"]


# Failures half way


def test_a_disk_that_is_full_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, before[1]))  # as good as a full disk, for all but small files
    try:
        with pytest.raises(ScaffoldError, match=r"acme-payroll cannot be written: File too large$"):
            create(named("acme-payroll"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert everything(tmp_path) == []


def test_what_could_not_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr(_scaffold, "_write", fail)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(ScaffoldError) as refused:
        create(named("acme-payroll"), tmp_path)
    [left] = tmp_path.iterdir()
    target = tmp_path / "acme-payroll"
    assert str(refused.value) == f"{target} cannot be written: no more. {left} is left behind: remove it"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = new(tmp_path, "acme-payroll", "--into", "/proc")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("error: /proc/acme-payroll cannot be written: ")


def test_a_place_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ScaffoldError, match="acme-payroll cannot be"):
        create(named("acme-payroll"), tmp_path / "loop")
