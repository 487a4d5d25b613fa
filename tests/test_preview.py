"""Previews: what a wheel would do is what it does once it is installed, and a hostile wheel costs one clear line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import pytest

from fastsoy_events import _discover, _order
from fastsoy_events._select import Arguments
from fastsoy_events.inspection._static import static_list
from fastsoy_events.inspection.preview import _wheels
from fastsoy_events.inspection.preview._preview import preview
from fastsoy_events.inspection.preview._wheels import WheelError, opened
from fastsoy_events.inspection.source._trees import survey
from tests import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from conftest import Site

    from fastsoy_events.inspection.preview._preview import Preview

ROOT = Path(__file__).parent.parent
GROUP = "fastsoy.event_handlers"

ONE_HANDLER = """
    from fastsoy_events import on

    @on("employee.created")
    async def greet(**payload): ...
"""


def built(
    folder: Path,
    name: str = "acme",
    entry_points: Mapping[str, str] | str | None = None,
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
    metadata: str | None = None,
    file: str | None = None,
    others: Iterable[tuple[str | ZipInfo, str | bytes]] = (),
) -> Path:
    """Write a wheel, as a build backend would; `modules` by path."""
    wheel = folder / (file or f"{name.replace('-', '_')}-{version}-py3-none-any.whl")
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    text = entry_points
    if text is not None and not isinstance(text, str):
        text = "\n".join([f"[{GROUP}]", *(f"{key} = {value}" for key, value in text.items()), ""])
    usual = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files: list[tuple[str | ZipInfo, str | bytes]] = [
        *((path, dedent(source)) for path, source in (modules or {}).items()),
        *others,
        (f"{info}/METADATA", usual if metadata is None else metadata),
        (f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        *([(f"{info}/entry_points.txt", text)] if text is not None else []),
    ]
    names = [each.filename if isinstance(each, ZipInfo) else each for each, _ in files]
    record = "".join(f"{each},,\n" for each in [*names, f"{info}/RECORD"])
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        for each, contents in [*files, (f"{info}/RECORD", record)]:
            archive.writestr(each, contents)
    return wheel


def previewed(*wheels: Path, site: Path, order: Sequence[str] = ()) -> Preview:
    with opened([str(each) for each in wheels]) as archives:
        return preview(archives, Arguments(path=(str(site),), order=tuple(order)))


def installed_rows(site: Path, order: Sequence[str] = ()) -> list[dict[str, Any]]:
    path = [str(site)]
    candidates = _order.in_plugin_order(_discover.scan(path).candidates, order)
    return without_places(each.as_dict() for each in static_list(survey(candidates, path)).handlers)


def without_places(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "source"} for row in rows]


def install(wheel: Path, site: Path) -> None:
    """Install a wheel as pip does: what its distribution recorded goes first."""
    with ZipFile(wheel) as archive:
        [info] = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        for old in site.glob(f"{info.partition('-')[0]}-*.dist-info"):
            for path, *_ in csv.reader(io.StringIO((old / "RECORD").read_text())):
                (site / path).unlink(missing_ok=True)
            shutil.rmtree(old)
        archive.extractall(site)


def run(*arguments: str | Path, folder: Path | None = None, status: int = 0, **changes: str) -> tuple[str, str]:
    result = command_line.run(folder, "preview", *arguments, **changes)
    assert "Traceback" not in result.stderr, result.stderr
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout, result.stderr


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder


# What is told


def test_a_new_wheel_brings_its_plugin_its_handlers_and_its_contracts(site: Site, dist: Path) -> None:
    site.install("billing", {"billing": "billing"}, {"billing.__init__": ONE_HANDLER})
    source = ONE_HANDLER + (
        "\n    from fastsoy_events import event\n\n"
        '    @event("order.placed")\n    def order_placed(*, order_id: int) -> None: ...\n'
    )
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme/__init__.py": source})
    out, remarks = run(wheel.name, "--path", site.folder, folder=dist)
    assert out.splitlines()[:4] == [
        "acme-1.0-py3-none-any.whl: acme 1.0, new",
        "acme 1.0 is new, with the entry point acme for acme",
        "acme 1.0 puts acme:acme:acme:greet at #1 of employee.created, before billing:billing:billing:greet",
        "acme 1.0 gives order.placed the contract (*, order_id: int)",
    ]
    assert remarks == (
        "note: installed, that would be: 1 plugin added, 1 handler added, 1 contract added, 3 new notes\n"
    )


def test_an_upgrade_tells_what_it_adds_removes_moves_and_changes(site: Site, dist: Path) -> None:
    body = "from fastsoy_events import on\n" + "".join(
        f'@on("order.placed")\nasync def {name}(**payload): ...\n' for name in ("first", "second", "gone")
    )
    install(built(dist, "acme", {"acme": "acme"}, {"acme.py": body}), site.folder)
    after = "from fastsoy_events import on\n" + "".join(
        f'@on("order.placed")\n{kind} {name}(**payload): ...\n'
        for kind, name in (("async def", "second"), ("def", "first"), ("async def", "new"))
    )
    upgrade = built(dist, "acme", {"acme": "acme", "more": "acme"}, {"acme.py": after}, version="1.1")
    out, _ = run(upgrade.name, "--path", site.folder, "--json", folder=dist)
    document = json.loads(out)
    assert list(document) == ["schema", "wheels", "plugins", "contracts", "handlers", "findings"]
    assert document["schema"] == 1
    assert document["wheels"][0] == {
        "file": upgrade.name,
        "distribution": "acme",
        "version": "1.1",
        "replaces": "1.0",
        "remarks": [],
    }
    assert [each["name"] for each in document["plugins"]["added"]] == ["more"]
    assert [(each["version"], each["before"]["version"]) for each in document["plugins"]["changed"]] == [("1.1", "1.0")]
    found = {
        what: [(each["qualname"], each["position_before"], each["position"]) for each in rows]
        for what, rows in document["handlers"].items()
    }
    assert found["added"] == [("new", None, 2)]
    assert found["removed"] == [("gone", 2, None)]
    assert [name for name, *_ in found["changed"]] == ["first"]
    assert found["moved"] in ([("second", 1, 0)], [("first", 0, 1)])
    assert "sync (**kwargs), from async (**kwargs)" in document["handlers"]["changed"][0]["message"]


@pytest.mark.parametrize(
    ("there", "coming", "words"),
    [
        ("1.0", "1.1", "replaces 1.0, an upgrade"),
        ("1.10", "1.9", "replaces 1.10, a downgrade"),
        ("1.0", "1.0", "replaces the same version 1.0"),
        ("odd", "1.0", "replaces odd, another version"),
    ],
)
def test_what_a_wheel_replaces_is_told_with_its_version(
    site: Site, dist: Path, there: str, coming: str, words: str
) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": ONE_HANDLER}, version=there)
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER}, version=coming)
    assert previewed(wheel, site=site.folder).arrivals[0].change == words


def test_a_wheel_without_plugins_replaces_one_with_some(site: Site, dist: Path) -> None:
    install(built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER}), site.folder)
    found = previewed(built(dist, "acme", version="2.0"), site=site.folder)
    assert [each.kind for each in found.differences] == ["plugin-removed", "handler-removed"]
    assert found.arrivals[0].replaces == "1.0"


def test_a_module_that_an_upgrade_leaves_out_is_gone(site: Site, dist: Path) -> None:
    modules = {"acme/__init__.py": "from . import extra", "acme/extra.py": ONE_HANDLER, "acme_main.py": "import acme"}
    install(built(dist, "acme", {"acme": "acme_main"}, modules), site.folder)
    upgrade = built(dist, "acme", {"acme": "acme_main"}, {"acme/__init__.py": ""}, version="2.0")
    found = previewed(upgrade, site=site.folder)
    assert found.after.listed.handlers == ()
    assert [str(problem) for _, problem in found.problems] == ["the module acme_main cannot be found"]


def test_an_editable_installation_is_replaced_as_a_whole(site: Site, dist: Path) -> None:
    info = site.install("acme", {"acme": "acme"}, {"acme.__init__": "from . import old", "acme.old": ONE_HANDLER})
    (info / "RECORD").write_text("_acme.pth,,\n")
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme/__init__.py": "from . import old"}, version="2.0")
    assert previewed(wheel, site=site.folder).after.listed.handlers == ()


def test_several_wheels_are_looked_at_as_if_all_were_installed(site: Site, dist: Path) -> None:
    publisher = """
        from fastsoy_events import event

        @event("employee.created")
        def employee_created(*, employee_id: int) -> None: ...
    """
    handler = """
        from fastsoy_events import on

        @on("employee.created")
        async def greet(person, **payload): ...
    """
    one = built(dist, "hr", {"hr": "hr"}, {"hr.py": publisher})
    other = built(dist, "notify", {"notify": "notify"}, {"notify.py": handler})
    assert previewed(other, site=site.folder).findings == ()
    together = previewed(one, other, site=site.folder)
    assert [each.code for each in together.findings] == ["FSE202"]
    assert not together.is_good


def test_only_findings_that_the_wheel_brings_are_told(site: Site, dist: Path) -> None:
    old = 'from fastsoy_events import on\n@on("employee.created")\nasync def greet(employee_id): ...\n'
    new = old + '@on("employee.left")\nasync def wave(employee_id): ...\n'
    install(built(dist, "acme", {"acme": "acme"}, {"acme.py": old}), site.folder)
    found = previewed(built(dist, "acme", {"acme": "acme"}, {"acme.py": new}, version="1.1"), site=site.folder)
    assert [(each.code, each.spot.line) for each in found.findings] == [("FSE201", 4)]


def test_a_line_of_a_wheel_may_ask_to_be_ignored(site: Site, dist: Path) -> None:
    source = (
        'from fastsoy_events import on\n@on("a.left")  # fastsoy: ignore[FSE201]\nasync def greet(employee_id): ...\n'
    )
    found = previewed(built(dist, "acme", {"acme": "acme"}, {"acme.py": source}), site=site.folder)
    assert found.findings == ()


def test_findings_of_errors_and_plugins_that_cannot_be_loaded_end_with_status_1(site: Site, dist: Path) -> None:
    broken = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER + "\n    def ("})
    _, remarks = run(broken, "--path", site.folder, status=1)
    begin = "error: acme:acme may not do what is shown here: the source of acme cannot be looked at: line 7: "
    assert remarks.startswith(begin)
    missing = built(dist, "gone", {"gone": "gone.main"}, {"gone/__init__.py": ""})
    out, _ = run(missing, "--path", site.folder, status=1)
    assert "Plugin failed: gone 1.0 / entry point gone / module gone.main: the module gone.main cannot be found" in out
    odd = built(dist, "odd", "[fastsoy.event_handlers]\nodd = not a module\n")
    out, _ = run(odd, "--path", site.folder, status=1)
    assert "the entry point's target 'not a module' is no module" in out


def test_the_order_and_the_chosen_plugins_are_those_that_are_asked_for(site: Site, dist: Path) -> None:
    site.install("billing", {"billing": "billing"}, {"billing.__init__": ONE_HANDLER})
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER})
    out, _ = run(wheel, "--path", site.folder, "--order", "billing", "--json")
    assert [each["position"] for each in json.loads(out)["handlers"]["added"]] == [1]
    out, remarks = run(wheel, "--path", site.folder, "--disable", "acme", "--json")
    assert json.loads(out)["handlers"]["added"] == []
    assert "acme:acme is disabled" in remarks
    _, remarks = run(wheel, "--path", site.folder, "--allow", "billing")
    assert "acme:acme is blocked" in remarks


def test_on_the_same_machine_nothing_changes_when_what_is_there_comes_again(site: Site, dist: Path) -> None:
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER})
    install(wheel, site.folder)
    out, remarks = run(wheel.name, "--path", site.folder, folder=dist)
    assert out == "acme-1.0-py3-none-any.whl: acme 1.0, replaces the same version 1.0\n"
    assert remarks == "note: nothing would change for the plugins\n"


# What is installed then


@pytest.mark.parametrize("seed", range(25))
def test_what_is_previewed_is_what_installing_gives(site: Site, dist: Path, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311 - no secret
    names = ["acme", "billing", "crm-core"]
    for name in choice.sample(names, choice.randint(0, 3)):
        install(invented(choice, dist / f"{name}-old", name, "1.0"), site.folder)
    coming = [invented(choice, dist / name, name, "1.1") for name in choice.sample(names, choice.randint(1, 2))]
    order = choice.sample(names, choice.randint(0, 2))
    before = installed_rows(site.folder, order)
    found = previewed(*coming, site=site.folder, order=order)
    assert without_places(each.as_dict() for each in found.before.listed.handlers) == before
    for wheel in coming:
        install(wheel, site.folder)
    after = installed_rows(site.folder, order)
    assert without_places(each.as_dict() for each in found.after.listed.handlers) == after
    told = {kind: {(each.event, each.handler) for each in found.differences if each.kind == kind} for kind in KINDS}
    keys = [{(row["event"], row["id"]) for row in rows} for rows in (before, after)]
    assert (keys[0] - told["handler-removed"]) | told["handler-added"] == keys[1]


KINDS = ("handler-added", "handler-removed")


def invented(choice: random.Random, folder: Path, name: str, version: str) -> Path:
    """Build a wheel with plugins and modules of any kind, some of them in a namespace that all share."""
    folder.mkdir()
    package = name.replace("-", "_")
    modules: dict[str, str] = {f"{package}/__init__.py": choice.choice(["", "from . import a, b\n"])}
    for module in choice.sample([f"{package}/a", f"{package}/b", f"ns/{package}", f"ns/sub/{package}", "shared"], 3):
        lines = ["from fastsoy_events import on", f"import {choice.choice(['os', package, 'shared', 'ns.acme'])}"]
        for event in choice.choices(["order.placed", "employee.created", "a.left"], k=choice.randint(0, 3)):
            lines += [f"@on({event!r})", f"async def f{choice.randint(0, 4)}(**payload): ..."]
        modules[f"{module}.py"] = "\n".join(lines)
    targets = [package, f"{package}.a", f"ns.{package}", "shared", f"{package}.missing"]
    entry_points = {f"p{place}": target for place, target in enumerate(choice.sample(targets, choice.randint(0, 3)))}
    return built(folder, name, entry_points, modules, version=version)


@pytest.fixture(scope="module")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    projects = [str(ROOT / "plugins" / name) for name in ("fastsoy-hr", "fastsoy-audit")]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), *projects], check=True, cwd=folder)
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def test_real_wheels_do_what_was_previewed_once_pip_has_installed_them(
    real_wheels: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] in real_wheels]:
        monkeypatch.delitem(sys.modules, name)  # what is imported is where it was imported from
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    [folder] = environment.glob("lib/python*/site-packages")
    upgraded = tmp_path / real_wheels["fastsoy_audit"].name.replace("0.1.0", "0.2.0")
    with ZipFile(real_wheels["fastsoy_audit"]) as old, ZipFile(upgraded, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            contents = old.read(name).replace(b"Version: 0.1.0", b"Version: 0.2.0")
            if not name.endswith("RECORD"):
                contents = contents.replace(b'"employee.status_changed"', b'"employee.promoted"')
            new.writestr(name.replace("0.1.0", "0.2.0"), contents.replace(b"0.1.0.dist-info", b"0.2.0.dist-info"))
    for wheels in ([real_wheels["fastsoy_audit"]], [upgraded, real_wheels["fastsoy_hr"]]):
        found = previewed(*wheels, site=folder)
        assert found.differences
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(environment), "install", "--no-deps"]
        subprocess.run([*pip, "--no-index", "--disable-pip-version-check", *map(str, wheels)], check=True)
        assert without_places(each.as_dict() for each in found.after.listed.handlers) == installed_rows(folder)
    assert {row["event"] for row in installed_rows(folder)} == {"employee.created", "employee.promoted"}
    assert found.arrivals[0].change == "replaces 0.1.0, an upgrade"


GUARD = """
    import os, sys

    def refuse(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) and path != os.devnull:
                os.write(2, f"written: {path}".encode())
                os._exit(66)
        if event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "subprocess.Popen", "os.system"):
            os.write(2, f"done: {event} {arguments}".encode())
            os._exit(67)
        if event == "exec" and getattr(arguments[0], "co_filename", "").count(".whl"):
            os._exit(68)

    sys.dont_write_bytecode = True
    from fastsoy_events.cli import _commands, main  # what these import may do what it likes
    import packaging.tags, platform
    list(packaging.tags.sys_tags()), platform.python_version()
    sys.addaudithook(refuse)
    main()
"""


def test_nothing_is_executed_and_nothing_is_written(site: Site, dist: Path, tmp_path: Path) -> None:
    hostile = """
        from pathlib import Path
        Path("executed").write_text("")
        import fastsoy_events
        @fastsoy_events.on("employee.created")
        async def greet(**payload): ...
    """
    modules = {"acme/__init__.py": hostile, "sitecustomize.py": hostile, "setup.py": hostile, "conftest.py": hostile}
    wheel = built(dist, "acme", {"acme": "acme"}, modules)
    guard = tmp_path / "guard.py"
    guard.write_text(dedent(GUARD))
    before = sorted(tmp_path.rglob("*"))
    result = subprocess.run(
        [sys.executable, "-P", str(guard), "preview", str(wheel), "--path", str(site.folder)],
        cwd=dist,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},  # which writes
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (result.returncode, result.stdout.count("acme:acme:acme:greet")) == (0, 1), result.stderr
    assert sorted(tmp_path.rglob("*")) == before


# Wheels that cannot be read


def refused(*files: Path | str) -> tuple[str, ...]:
    with pytest.raises(WheelError) as caught, opened([str(each) for each in files]) as wheels:
        preview(wheels, Arguments(path=()))
    for reason in caught.value.reasons:
        assert reason.isprintable()
    return caught.value.reasons


def test_what_is_no_wheel_is_refused_in_one_line_each(dist: Path) -> None:
    text = dist / "text.whl"
    text.write_text("no zip")
    empty = dist / "empty.whl"
    empty.write_bytes(b"")
    whole = built(dist, modules={"acme.py": ONE_HANDLER}).read_bytes()
    cut = dist / "cut.whl"
    cut.write_bytes(whole[: len(whole) // 2])
    pipe = dist / "pipe.whl"
    os.mkfifo(pipe)
    bare = dist / "bare.whl"
    with ZipFile(bare, "w") as archive:
        archive.writestr("acme.py", "")
    files = [text, empty, cut, pipe, dist, dist / "missing.whl", bare]
    reasons = refused(*files)
    assert [reason.partition(" cannot be read: ")[0] for reason in reasons] == list(map(str, files))
    words = [reason.partition(" cannot be read: ")[2] for reason in reasons]
    assert words[:3] == ["it is no wheel, or not a whole one (File is not a zip file)"] * 3
    assert words[3:] == [
        "it is no regular file",
        "it is a folder",
        "No such file or directory",
        "it has no .dist-info folder, and so is no wheel",
    ]


def test_the_command_refuses_with_status_2_and_one_line_for_each(dist: Path) -> None:
    (dist / "a.whl").write_text("no zip")
    good = built(dist)
    out, remarks = run("a.whl", good.name, "b.whl", folder=dist, status=2)
    assert (out, remarks.count("\n"), remarks.count("error: ")) == ("", 2, 2)
    run(status=2)


def test_a_wheel_with_two_metadata_folders_is_refused(dist: Path) -> None:
    wheel = built(dist, others=[("b-1.0.dist-info/METADATA", "Name: b\nVersion: 1.0\n")])
    assert refused(wheel)[0].endswith("nobody can tell what it is: acme-1.0.dist-info, b-1.0.dist-info")


def test_two_wheels_of_one_distribution_are_refused_and_one_given_twice_is_not(site: Site, dist: Path) -> None:
    one, other = built(dist), built(dist, version="2.0")
    assert refused(one, other) == (f"{one} and {other} are all acme, of which one version can be installed: name one",)
    link = dist / "link.whl"
    link.symlink_to(one)
    assert len(previewed(one, one, link, site=site.folder).arrivals) == 1


def test_a_file_that_is_too_large_is_refused_unread(dist: Path) -> None:
    large = dist / "large.whl"
    with large.open("wb") as file:
        file.truncate(_wheels.LARGEST_WHEEL + 1)
    assert refused(large) == (
        f"{large} cannot be read: it is larger than {_wheels.LARGEST_WHEEL} bytes, too large to be looked at",
    )


def test_a_table_of_contents_that_is_too_large_is_refused_unread(dist: Path) -> None:
    many = built(dist, others=[(f"{number:0120}", "") for number in range(30_000)])
    assert "its table of contents is larger than" in refused(many)[0]


def test_too_many_wheels_and_too_many_plugins_are_refused(dist: Path) -> None:
    assert refused(*["a.whl"] * 101) == ("101 wheels are too many to be looked at at once: name at most 100",)
    many = built(dist, entry_points={f"p{number}": "acme" for number in range(501)})
    assert refused(many) == ("the wheels have 501 plugins, of which at most 500 are looked at",)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_wheel_is_previewed_or_refused_but_never_fails(site: Site, dist: Path, seed: int) -> None:
    choice = random.Random(seed)  # noqa: S311 - no secret
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme/__init__.py": ONE_HANDLER})
    contents = bytearray(wheel.read_bytes())
    for _ in range(choice.randint(1, 8)):
        at = choice.choice([choice.randrange(len(contents)), -choice.randint(1, 400)])
        contents[at] = choice.randrange(256)
    wheel.write_bytes(contents)
    with contextlib.suppress(WheelError):
        assert len(previewed(wheel, site=site.folder).arrivals) == 1


# Hostile wheels that can be read


def remarked(wheel: Path, site: Site) -> tuple[str, ...]:
    [remarks] = previewed(wheel, site=site.folder).remarks
    assert all(each.isprintable() for each in remarks)
    return remarks


def link(name: str) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("../../x.py", "leads out of the folder"),
        ("/etc/x.py", "leads out of the folder"),
        ("acme/../../x.py", "leads out of the folder"),
        ("..\\x.py", "leads out of the folder"),
        ("C:\\x.py", "leads out of the folder"),
        ("acme\\x.py", "no installer means"),
        ("acme/\x1b[31mx.py", "no installer means"),
        (link("acme/x.py"), "a link, which an installer writes as the text"),
        ("evil.pth", "Python runs it at every start"),
        ("sitecustomize.py", "Python runs it at every start"),
        ("acme-1.0.data/purelib/evil.pth", "Python runs it at every start"),
        ("acme/fast.cpython-311-x86_64-linux-gnu.so", "compiled code, which is not looked at"),
    ],
)
def test_odd_names_are_remarked_on_and_are_no_modules(site: Site, dist: Path, name: str | ZipInfo, remark: str) -> None:
    source = dedent(ONE_HANDLER)
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme/__init__.py": source}, others=[(name, "../up.py")])
    assert [remark in each for each in remarked(wheel, site)].count(True) == 1
    found = previewed(wheel, site=site.folder)
    assert [each.module for each in found.after.listed.handlers] == ["acme"]


def test_a_name_with_a_null_byte_is_remarked_on(site: Site, dist: Path) -> None:
    wheel = built(dist, others=[("acme_x.py", "")])
    wheel.write_bytes(wheel.read_bytes().replace(b"acme_x.py", b"acm\0_x.py"))
    assert any("no installer means" in each for each in remarked(wheel, site))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_several_files_of_one_name_the_last_counts_and_is_remarked_on(site: Site, dist: Path) -> None:
    others = [("acme.py", "import os"), ("acme.py", dedent(ONE_HANDLER))]
    wheel = built(dist, "acme", {"acme": "acme"}, others=others)
    assert remarked(wheel, site) == ("'acme.py': several files have this name, and the last one counts",)
    found = previewed(wheel, site=site.folder).after.listed.handlers
    install(wheel, site.folder)
    assert without_places(each.as_dict() for each in found) == installed_rows(site.folder)
    assert found


def test_a_file_name_of_another_distribution_or_none_is_remarked_on(site: Site, dist: Path) -> None:
    other = built(dist, file="other-2.0-py3-none-any.whl")
    assert remarked(other, site)[0].startswith("its file name says other 2.0, and its metadata acme 1.0")
    zipped = built(dist, file="acme.zip")
    assert remarked(zipped, site) == ("its file name is not that of a wheel, so pip does not install it",)


def test_a_wheel_for_another_python_or_platform_is_previewed_with_a_remark(site: Site, dist: Path) -> None:
    source = {"acme.py": ONE_HANDLER}
    other = built(dist, "acme", {"acme": "acme"}, source, file="acme-1.0-cp27-cp27mu-win32.whl")
    assert "it is for another Python or platform than this one: cp27-cp27mu-win32" in remarked(other, site)
    metadata = "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nRequires-Python: >=4\n"
    later = built(dist, "acme", {"acme": "acme"}, source, metadata=metadata)
    assert remarked(later, site) == ("it is for another Python than this one: >=4",)
    assert len(previewed(later, site=site.folder).after.listed.handlers) == 1


def test_a_wheel_that_overwrites_anothers_module_is_remarked_on(site: Site, dist: Path) -> None:
    install(built(dist, "hr", {"hr": "hr"}, {"hr/__init__.py": "", "hr/extra.py": ""}), site.folder)
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": "", "hr/__init__.py": ONE_HANDLER})
    assert remarked(wheel, site) == ("it has modules that another distribution has, too: hr of hr",)
    found = previewed(wheel, site=site.folder)
    assert [each.id for each in found.after.listed.handlers] == ["hr:hr:hr:greet"]
    install(wheel, site.folder)
    assert installed_rows(site.folder) == without_places(each.as_dict() for each in found.after.listed.handlers)


def encrypted(wheel: Path, name: str) -> None:
    """Set the flag of one file, in both of its headers."""
    contents = bytearray(wheel.read_bytes())
    with ZipFile(wheel) as archive:
        offset = archive.getinfo(name).header_offset
    at_directory = contents.rindex(name.encode()) - 46
    for at in (offset + 6, at_directory + 8):
        [flags] = struct.unpack_from("<H", contents, at)
        struct.pack_into("<H", contents, at, flags | 1)
    wheel.write_bytes(contents)


def test_an_encrypted_module_makes_its_plugin_one_that_nobody_can_tell(site: Site, dist: Path) -> None:
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme_.py": "", "acme.py": ONE_HANDLER})
    encrypted(wheel, "acme.py")
    found = previewed(wheel, site=site.folder)
    assert [problem for _, problem in found.problems] == ["the source of acme cannot be looked at: it is encrypted"]
    assert any("encrypted" in each for each in found.remarks[0])
    hidden = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER})
    encrypted(hidden, "acme-1.0.dist-info/entry_points.txt")
    [(_, problem)] = previewed(hidden, site=site.folder).problems
    assert "acme-1.0.dist-info cannot be read: entry_points.txt: it is encrypted" in problem


@pytest.mark.parametrize("method", [ZIP_BZIP2, ZIP_LZMA])
def test_a_compression_that_python_unpacks_at_once_is_not_unpacked(site: Site, dist: Path, method: int) -> None:
    module = ZipInfo("acme.py")
    module.compress_type = method
    wheel = built(dist, "acme", {"acme": "acme"}, others=[(module, "#" * 10_000_000)])
    [(_, problem)] = previewed(wheel, site=site.folder).problems
    assert problem == "the source of acme cannot be looked at: it is compressed other than wheels are"


LIMITED = """
    import resource, sys
    from fastsoy_events.cli import main
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    main()
"""


def test_bombs_cost_little_memory_and_one_line_each(site: Site, dist: Path) -> None:
    bomb, lying = dist / "bomb-1.0-py3-none-any.whl", dist / "lying-1.0-py3-none-any.whl"
    with ZipFile(bomb, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("bomb/__init__.py", "bomb-1.0.dist-info/METADATA", "bomb-1.0.dist-info/entry_points.txt"):
            with archive.open(name, "w", force_zip64=True) as file:
                head = {"M": b"Name: bomb\nVersion: 1.0\n", "e": b"[fastsoy.event_handlers]\nbomb = bomb\n"}
                file.write(head.get(name.partition("/")[2][0], b""))
                for _ in range(64):
                    file.write(b"\n" * (16 << 20))
    built(dist, "lying", {"lying": "lying"}, {"lying.py": "#" * (8 << 20)})
    contents = lying.read_bytes()
    lying.write_bytes(contents.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 40)))
    script = dist / "limited.py"
    script.write_text(dedent(LIMITED))
    result = subprocess.run(
        [sys.executable, "-P", str(script), "preview", str(bomb), str(lying), "--path", str(site.folder), "--json"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    problems = {each["distribution"]: each["problem"] for each in json.loads(result.stdout)["plugins"]["added"]}
    assert "entry_points.txt is larger than 1048576 bytes" in problems["bomb"]
    assert "lying" in problems


def test_all_sources_together_are_looked_at_only_up_to_a_bound(
    site: Site, dist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_wheels, "MOST_BYTES", 1000)
    modules = {"acme/__init__.py": "from . import a, b\n", "acme/a.py": "#" * 2000, "acme/b.py": ONE_HANDLER}
    wheel = built(dist, "acme", {"acme": "acme"}, modules)
    [(_, problem)] = previewed(wheel, site=site.folder).problems
    assert problem == (
        "the source of acme.b cannot be looked at: so much of the wheels was looked at before it that no more is"
    )


def test_a_wheel_with_more_modules_than_are_looked_at_is_no_good(site: Site, dist: Path) -> None:
    modules = {f"padding{number}.py": "" for number in range(5_100)}
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": "import last"}, others=modules.items())
    found = previewed(wheel, site=site.folder)
    assert found.remarks == (("it has more than 5000 modules, and not all of them are looked at",),)
    assert [problem for _, problem in found.problems] == ["its wheel has more modules than are looked at"]


def test_compiled_code_is_told_as_what_nobody_can_tell(site: Site, dist: Path) -> None:
    wheel = built(
        dist, "acme", {"acme": "acme.fast"}, {"acme/__init__.py": ""}, others=[("acme/fast.abi3.so", b"\x7f")]
    )
    [(_, problem)] = previewed(wheel, site=site.folder).problems
    assert problem == "the module acme.fast is compiled code, which is not looked at"


SOURCES: Mapping[str, bytes] = {
    "null bytes": b"a = 1\n\0",
    "not UTF-8": b"a = '\xff'\n",
    "deep": b"a = " + b"(" * 5_000 + b")" * 5_000,
    "large": b"#" * (3 << 20),
    "long chain": b"a = " + b"a." * 50_000 + b"a\n",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_hostile_source_in_a_wheel_costs_one_line(site: Site, dist: Path, kind: str) -> None:
    wheel = built(dist, "acme", {"acme": "acme"}, others=[("acme.py", SOURCES[kind])])
    [(_, problem)] = previewed(wheel, site=site.folder).problems
    assert problem.startswith("the source of acme cannot be looked at: ")
    assert len(problem) < 300


METADATA: Mapping[str, Callable[[Path], Path]] = {
    "no METADATA": lambda folder: _without(built(folder, "acme", {"acme": "acme"}), "METADATA"),
    "no name": lambda folder: built(folder, "acme", {"acme": "acme"}, metadata="Version: 1.0\n"),
    "huge": lambda folder: built(folder, "acme", {"acme": "acme"}, metadata="x: y\n" * 1_000_000),
    "not UTF-8": lambda folder: built(
        folder, others=[("acme-1.0.dist-info/entry_points.txt", f"[{GROUP}]\n\xff".encode("latin-1"))]
    ),
    "UTF-16": lambda folder: built(
        folder, others=[("acme-1.0.dist-info/entry_points.txt", f"[{GROUP}]\na=b".encode("utf-16"))]
    ),
    "control characters": lambda folder: built(folder, "acme", f"[{GROUP}]\n\x1b[31m = acme\n"),
}


def _without(wheel: Path, ending: str) -> Path:
    with ZipFile(wheel) as old:
        kept = [(name, old.read(name)) for name in old.namelist() if not name.endswith(ending)]
    with ZipFile(wheel, "w", ZIP_DEFLATED) as new:
        for name, contents in kept:
            new.writestr(name, contents)
    return wheel


@pytest.mark.parametrize("kind", METADATA)
def test_broken_metadata_is_a_problem_of_the_plugin_as_it_is_once_installed(site: Site, dist: Path, kind: str) -> None:
    wheel = METADATA[kind](dist)
    found = previewed(wheel, site=site.folder)
    [(plugin, problem)] = found.problems
    assert (plugin.distribution, plugin.status) == ("acme", "failed")
    with ZipFile(wheel) as archive:
        archive.extractall(site.folder)
    [candidate] = _discover.scan([str(site.folder)]).candidates
    assert candidate.plugin.error is not None
    assert problem.partition(" cannot be read: ")[2] == candidate.plugin.error.reason.partition(" cannot be read: ")[2]


def test_control_characters_reach_no_terminal(site: Site, dist: Path) -> None:
    source = 'from fastsoy_events import on\n@on("\\x1b[31m.left")\nasync def greet(**payload): ...\n'
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": source}, file="\x1b[31m.whl")
    out, remarks = run(wheel, "--path", site.folder)
    assert "\x1b" not in out + remarks
    json.loads(run(wheel, "--path", site.folder, "--json")[0])


def test_on_a_terminal_lines_fold(site: Site, dist: Path) -> None:
    wheel = built(dist, "acme", {"acme": "acme"}, {"acme.py": ONE_HANDLER.replace("**payload", "employee_id")})
    out, _ = run(wheel.name, "--path", site.folder, folder=dist, FORCE_COLOR="1", COLUMNS="50", NO_COLOR="1")
    assert max(map(len, out.splitlines())) < 70  # the bytes of emphasis count as well
    assert "\n  " in out
