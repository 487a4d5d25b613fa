"""`fastsoy-events check`: each code fires exactly where it should, and the good plugins give it nothing to say.

The projects in `packages/check` say in comments what is to be found on which line. They are built, installed into one
folder, and checked together, so whatever one of them makes another one's findings change shows as well.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

from fastsoy_events import EventNameWarning, Plugin, _discover, bus, load_plugins
from fastsoy_events.inspection.check._check import check
from fastsoy_events.inspection.check._facts import EmitFact, System
from fastsoy_events.inspection.check._findings import CODES, Spot
from fastsoy_events.inspection.check._gather import gathered
from fastsoy_events.inspection.check._loaded import loaded
from fastsoy_events.inspection.source import _trees
from fastsoy_events.inspection.source._records import SourceEmit
from fastsoy_events.inspection.source._trees import survey
from tests import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import Site

    from fastsoy_events.inspection.check._findings import Finding

PROJECTS = Path(__file__).with_name("packages") / "check"
EXPECTED = re.compile(r"# expect: (?P<codes>FSE\d+(?:, FSE\d+)*)$", re.MULTILINE)
IN_METADATA = [
    ("bad_claims-1.0.dist-info/entry_points.txt:3", "FSE404"),
    ("bad_namesake-1.0.dist-info/entry_points.txt:2", "FSE405"),
    ("bad_stale-0.9.dist-info/METADATA:1", "FSE601"),
    ("bad_empty-1.0.dist-info/METADATA:1", "FSE602"),
]

BUILD = """
import os, sys
from hatchling.build import build_wheel

destination, *projects = sys.argv[1:]
for project in projects:
    os.chdir(project)
    build_wheel(destination)
"""


def run(folder: Path, *arguments: str, command: str = "check", **changes: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(folder, command, *arguments, PYTHONDONTWRITEBYTECODE="1", **changes)


def found_in(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    report: dict[str, Any] = json.loads(result.stdout)
    assert list(report) == ["schema", "findings"]
    assert report["schema"] == 1
    findings: list[dict[str, str]] = report["findings"]
    return findings


def places_in(result: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    return [(each["place"], each["code"]) for each in found_in(result)]


def findings(site: Site, *, allowed: list[str] | None = None, disabled: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Load a site in this process, and check it."""
    folder = str(site.folder)
    with bus.isolated(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", EventNameWarning)
        report = load_plugins(path=[folder], allowed=allowed, disabled=list(disabled))
        return check(loaded(report, path=[folder], folder=folder))


def checked(site: Site, **options: Any) -> list[tuple[str, str]]:
    """Load a site in this process, and check it; return places relative to the site, with their codes."""
    return [(each.place(str(site.folder)), each.code) for each in findings(site, **options)]


def codes_of(places: Iterable[tuple[str, str]]) -> list[str]:
    return [code for _, code in places]


def build(destination: Path, projects: Iterable[Path]) -> None:
    command = [sys.executable, "-c", BUILD, str(destination), *map(str, projects)]
    built = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert built.returncode == 0, built.stderr


def unpack(wheels: Iterable[Path], folder: Path) -> None:
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            archive.extractall(folder)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Build every project."""
    folder = tmp_path_factory.mktemp("wheels")
    build(folder, sorted(project.parent for project in PROJECTS.glob("*/pyproject.toml")))
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> subprocess.CompletedProcess[str]:
    """Install all of them into one folder, with what other versions left there, and check that."""
    folder = tmp_path_factory.mktemp("checked") / "site"
    unpack(wheels, folder)
    (folder / "bad_empty-1.0.dist-info").mkdir()
    stale = folder / "bad_stale-0.9.dist-info"
    shutil.copytree(folder / "bad_stale-1.0.dist-info", stale)
    metadata = (stale / "METADATA").read_text(encoding="utf-8")
    (stale / "METADATA").write_text(metadata.replace("Version: 1.0", "Version: 0.9"), encoding="utf-8")
    return run(folder.parent, "--json", "--path", "site")


def expected() -> list[tuple[str, str]]:
    places = [(f"site/{place}", code) for place, code in IN_METADATA]
    for source in PROJECTS.glob("*/src/**/*.py"):
        name = source.relative_to(source.parents[1]).as_posix()
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
            if match := EXPECTED.search(line):
                places += [(f"site/{name}:{number}", code) for code in match["codes"].split(", ")]
    return places


# The repository of bad plugins, and the good ones


def test_each_code_fires_exactly_where_it_should(outcome: subprocess.CompletedProcess[str]) -> None:
    assert Counter(places_in(outcome)) == Counter(expected())
    assert outcome.returncode == 1


def test_there_is_a_bad_plugin_for_every_code() -> None:
    assert {code for _, code in expected()} == set(CODES)


def test_findings_come_by_place(outcome: subprocess.CompletedProcess[str]) -> None:
    spots = [(place.rpartition(":")[0], int(place.rpartition(":")[2])) for place, _ in places_in(outcome)]
    assert spots == sorted(spots)


def test_every_finding_has_its_keys_a_sentence_and_a_fix(outcome: subprocess.CompletedProcess[str]) -> None:
    for each in found_in(outcome):
        assert list(each) == ["code", "severity", "place", "message", "fix"]
        assert each["severity"] == CODES[each["code"]].severity
        for text in (each["message"], each["fix"]):
            assert re.fullmatch(r"\S.*[.?]", text)
            assert "{" not in text


def test_what_is_a_finding_is_not_said_a_second_time(outcome: subprocess.CompletedProcess[str]) -> None:
    [summary] = outcome.stderr.splitlines()
    assert re.fullmatch(r"note: 22 plugins checked: \d+ errors, \d+ warnings, \d+ notes", summary)


def test_a_contract_declared_twice_names_both_places(outcome: subprocess.CompletedProcess[str]) -> None:
    [finding] = [each for each in found_in(outcome) if each["code"] == "FSE106"]
    assert finding["message"] == (
        "bad_second_contract.plugin.order_placed declares order.placed, which acme_orders.events.order_placed at "
        "site/acme_orders/events.py:4 declares already."
    )


@pytest.mark.parametrize("strict", [(), ("--strict",)])
def test_the_good_ones_give_it_nothing_to_say(tmp_path: Path, wheels: list[Path], strict: tuple[str, ...]) -> None:
    unpack([wheel for wheel in wheels if wheel.name.startswith("acme_")], tmp_path / "site")
    result = run(tmp_path, "--path", "site", *strict)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "note: 2 plugins checked: nothing found\n"


@pytest.mark.parametrize(
    "distributions",
    [("fastsoy-hr", "fastsoy-notify", "fastsoy-audit"), ("fastsoy-hr",), ("fastsoy-notify",), ("fastsoy-audit",)],
    ids=" ".join,
)
def test_so_do_the_business_modules_together_and_alone(tmp_path: Path, distributions: tuple[str, ...]) -> None:
    result = run(tmp_path, "--strict", *(f"--allow={each}" for each in distributions))
    assert (result.returncode, result.stdout) == (0, "")
    assert f"{len(distributions)} plugin" in result.stderr.splitlines()[-1]


def test_so_does_a_new_package(tmp_path: Path) -> None:
    made = run(tmp_path, "acme-sample", command="new")
    assert made.returncode == 0, made.stderr
    build(tmp_path, [tmp_path / "acme-sample"])
    unpack(tmp_path.glob("*.whl"), tmp_path / "site")
    result = run(tmp_path, "--strict", "--path", "site")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "note: 1 plugin checked: nothing found\n"


# What is written


WARNED = """
    from fastsoy_events import on

    @on("employee.created")
    def greet(**payload): ...
"""


@pytest.fixture
def warned(site: Site) -> Site:
    """A plugin with a synchronous handler, and nothing else."""
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED})
    return site


def test_in_a_pipe_a_finding_is_one_line_that_begins_with_its_place(warned: Site) -> None:
    result = run(warned.folder.parent, "--path", "site")
    assert result.stdout == (
        "site/acme_mail.py:4: warning FSE205: acme_mail.greet is synchronous: whatever it waits for, everything else "
        "waits for too. Write async def greet.\n"
    )
    assert result.stderr == "note: 1 plugin checked: 1 warning\n"


def test_on_a_terminal_a_finding_is_a_block_that_fits(warned: Site) -> None:
    result = run(warned.folder.parent, "--path", "site", FORCE_COLOR="1", COLUMNS="40", TERM="xterm-256color")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout).splitlines()
    assert lines[0].strip() == "site/acme_mail.py:4 warning FSE205"
    assert all(line.startswith("    ") for line in lines[1:])
    assert lines[-1].strip() == "Write async def greet."
    assert max(map(len, lines)) <= 40
    assert "\x1b[" in result.stdout


def test_a_function_without_a_name_is_not_to_be_written_under_one(site: Site) -> None:
    source = "from fastsoy_events import on\non('order.placed')(lambda **_: None)"
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    [found] = findings(site)
    assert (found.code, found.fix) == ("FSE205", "Register an asynchronous function instead.")


def test_what_lies_elsewhere_keeps_its_whole_path(warned: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    [(place, _)] = places_in(run(elsewhere, "--json", "--path", str(warned.folder)))
    assert place == f"{warned.folder}/acme_mail.py:4"


def test_without_a_working_folder_every_path_is_whole(warned: Site) -> None:
    command = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -P -m fastsoy_events check --path ../site --json'
    command = command.replace("../site", shlex.quote(str(warned.folder)))
    result = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        cwd=warned.folder.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert places_in(result) == [(f"{warned.folder}/acme_mail.py:4", "FSE205")]


def test_json_has_two_names(warned: Site) -> None:
    first, second = (run(warned.folder.parent, "--path", "site", *form) for form in (["--json"], ["--format", "json"]))
    assert first.stdout == second.stdout
    assert places_in(first) == [("site/acme_mail.py:4", "FSE205")]


def test_on_github_a_finding_annotates_the_line_of_its_file(warned: Site) -> None:
    result = run(warned.folder.parent, "--path", "site", "--format", "github")
    assert result.stdout == (
        "::warning file=site/acme_mail.py,line=4,title=FSE205 warning::acme_mail.greet is synchronous: whatever it "
        "waits for, everything else waits for too. Write async def greet.\n"
    )


def test_on_github_paths_begin_at_the_checkout_wherever_the_command_runs(warned: Site) -> None:
    workspace = str(warned.folder.parent)
    result = run(warned.folder, "--path", ".", "--format", "github", GITHUB_WORKSPACE=workspace)
    assert result.stdout.startswith("::warning file=site/acme_mail.py,line=4,")


def test_on_github_nothing_in_a_name_ends_or_begins_a_command(site: Site) -> None:
    folder = site.folder / "50%, or: more"
    source = "from fastsoy_events import on\non('%0A::error::\\n::error::x\\x1b')(print)"
    type(site)(folder).install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    result = run(site.folder.parent, "--path", str(folder), "--format", "github", "--select", "FSE101")
    [line] = result.stdout.splitlines()
    assert line.startswith("::warning file=site/50%25%2C or%3A more/acme_mail.py,line=2,title=FSE101 warning::")
    assert "'%250A::error::\\n::error::x\\x1b'" in line


def test_control_characters_stay_out_of_the_text(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": "raise RuntimeError('one\\ntwo\\x1b[31m')"})
    result = run(site.folder.parent, "--path", "site")
    [line] = result.stdout.splitlines()
    assert "one two [31m" in line
    github = run(site.folder.parent, "--path", "site", "--format", "github")
    assert "one two [31m" in github.stdout
    assert "\x1b" not in github.stdout


# Exit codes, and which codes


@pytest.mark.parametrize(
    ("source", "severity", "plain", "strict"),
    [
        ("def greet(**payload): ...", "warning", 0, 1),
        ("import time\nasync def greet(**payload): time.sleep(1)", "error", 1, 1),
    ],
    ids=["warning", "error"],
)
def test_errors_end_with_1_and_warnings_only_with_strict(
    site: Site, source: str, severity: str, plain: int, strict: int
) -> None:
    source = f"from fastsoy_events import on\n{source}\non('employee.created')(greet)\n"
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    result = run(site.folder.parent, "--path", "site", "--json")
    assert [each["severity"] for each in found_in(result)] == [severity]
    assert result.returncode == plain
    assert run(site.folder.parent, "--path", "site", "--strict").returncode == strict


def test_notes_never_do(site: Site) -> None:
    contract = "from fastsoy_events import event\n@event('parcel.lost')\ndef parcel_lost(): ..."
    handler = "from fastsoy_events import on\n@on('weather.changed')\nasync def dress(**_): ..."
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": contract})
    site.install("acme-sun", {"sun": "acme_sun"}, {"acme_sun": handler})
    result = run(site.folder.parent, "--path", "site", "--strict", "--json")
    assert [(each["code"], each["severity"]) for each in found_in(result)] == [("FSE105", "note"), ("FSE104", "note")]
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["--select", "FSE2"], {"FSE201", "FSE205"}),
        (["--select", "fse201,FSE101"], {"FSE101", "FSE201"}),
        (["--select", "FSE1", "--select", "FSE205"], {"FSE101", "FSE205"}),
        (["--ignore", "FSE2"], {"FSE101"}),
        (["--select", "FSE2", "--ignore", "FSE205,"], {"FSE201"}),
        (["--select", "FSE3"], set()),
        (["--select", "FSE"], {"FSE101", "FSE201", "FSE205"}),
    ],
)
def test_codes_and_their_beginnings_choose(site: Site, options: list[str], codes: set[str]) -> None:
    source = "from fastsoy_events import on\n@on('Created')\ndef greet(a): ..."
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    found = places_in(run(site.folder.parent, "--json", "--path", "site", *options))
    assert set(codes_of(found)) == codes


@pytest.mark.parametrize("option", ["--select", "--ignore"])
@pytest.mark.parametrize(("code", "nearest"), [("FSE299", "FSE20"), ("E101", "FSE101"), ("", "FSE")])
def test_a_code_that_does_not_exist_is_wrong_usage(warned: Site, option: str, code: str, nearest: str) -> None:
    result = run(warned.folder.parent, "--path", "site", option, code)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: no code is {code!r} or begins so; the nearest is {nearest}")


@pytest.mark.parametrize("form", ["xml", ""])
def test_so_is_an_unknown_format(warned: Site, form: str) -> None:
    assert run(warned.folder.parent, "--format", form).returncode == 2


def test_where_there_is_no_plugin_it_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, "--path", ".", "--json")
    assert (result.returncode, found_in(result)) == (0, [])
    assert result.stderr.startswith("note: no plugin was found")


# Ignoring on purpose


@pytest.mark.parametrize(
    ("comment", "codes"),
    [
        ("# fastsoy: ignore[FSE205]", {"FSE101"}),
        ("# fastsoy: ignore[FSE101, FSE205]", set()),
        ("# fastsoy: ignore[fse2,FSE101]", set()),
        ("#fastsoy:ignore", set()),
        ("# noqa: ARG001  # fastsoy: ignore[FSE101]", {"FSE205"}),
        ("# fastsoy: ignore[FSE999]", {"FSE101", "FSE205"}),
        ("# fastsoy: ignore[]", {"FSE101", "FSE205"}),
        ("# fastsoy: ignored", {"FSE101", "FSE205"}),
        ("# fastsoy: ignore[FSE101", {"FSE101", "FSE205"}),
    ],
)
@pytest.mark.parametrize("line", ["decorator", "definition"])
def test_a_comment_on_the_line_ignores_codes(site: Site, comment: str, codes: set[str], line: str) -> None:
    comments = {"decorator": "", "definition": "", line: comment}
    source = (
        "import functools\nfrom fastsoy_events import on\n"
        f"@on('Created')  {comments['decorator']}\n"
        "@functools.lru_cache(\n    maxsize=1,\n)\n"
        f"def greet(**payload):  {comments['definition']}\n"
        "    ...  # fastsoy: ignore\n"
    ).replace("@functools.lru_cache(\n    maxsize=1,\n)\n", "")
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    assert set(codes_of(checked(site))) == codes


def test_a_comment_on_another_line_ignores_nothing(site: Site) -> None:
    source = """
        from fastsoy_events import on  # fastsoy: ignore

        @on("Created")
        @on("order.placed")
        def greet(**payload):
            ...  # fastsoy: ignore
    """
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    assert set(codes_of(checked(site))) == {"FSE101", "FSE205"}


# Remarks


def test_a_traceback_shows_where_it_was_asked_for(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": "raise RuntimeError('full')"})
    plain, traced = (run(site.folder.parent, "--path", "site", *options) for options in ((), ("--traceback",)))
    assert plain.stdout == traced.stdout
    assert "Traceback" not in plain.stderr
    assert "Traceback (most recent call last)" in traced.stderr


def test_what_is_no_finding_is_still_said(warned: Site) -> None:
    result = run(warned.folder.parent, "--path", "site", "--allow", "acme-other")
    assert (result.returncode, result.stdout) == (0, "")
    warnings = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in warnings] == ["warning", "warning", "note"]
    assert "acme-mail are blocked" in warnings[0] + warnings[1]
    assert warnings[2] == "note: 0 plugins checked: nothing found"


def test_what_a_plugin_prints_does_not_spoil_the_json(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": f"print('noise')\n{dedent(WARNED)}"})
    result = run(site.folder.parent, "--path", "site", "--json")
    assert [code for _, code in places_in(result)] == ["FSE205"]
    assert result.stderr.splitlines()[0] == "noise"


# The application


HOST = """
    import asyncio

    from fastsoy_events import emit, event, load_plugins, on

    @event("shop.opened")
    def shop_opened(*, shop_id: int) -> None: ...

    @on("shop.opened")
    def light(**_):
        import time
        time.sleep(1)

    @on("shop.closed")
    def lock(shop_id): ...

    async def start():
        await emit("shop.opened", shop_id=1)
        load_plugins()
        emit("shop.closed")

    if __name__ == "__main__":
        asyncio.run(start())
"""


def test_the_application_is_checked_too(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED.replace("def", "async def")})
    package = site.folder.parent / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(dedent(HOST).lstrip("\n"), encoding="utf-8")
    result = run(site.folder.parent, "--json", "--path", "site", "--app", "shop.main")
    assert places_in(result) == [
        ("shop/main.py:11", "FSE206"),
        ("shop/main.py:13", "FSE201"),
        ("shop/main.py:13", "FSE205"),
        ("shop/main.py:17", "FSE302"),
        ("shop/main.py:19", "FSE301"),
        ("site/acme_mail.py:4", "FSE104"),
    ]
    assert checked(site) == []


# Who publishes, and who hears


def install_handlers(site: Site, *events: str, distribution: str = "acme-ears") -> None:
    handlers = "".join(f"\n@on({event!r})\nasync def hear_{number}(**_): ...\n" for number, event in enumerate(events))
    module = distribution.replace("-", "_")
    site.install(distribution, {distribution: module}, {module: f"from fastsoy_events import on\n{handlers}"})


def install_contracts(site: Site, *events: str, distribution: str = "acme-voice", more: str = "") -> None:
    contracts = "".join(f"\n@event({event!r})\ndef event_{number}(): ...\n" for number, event in enumerate(events))
    module = distribution.replace("-", "_")
    source = f"from fastsoy_events import emit, event\n{contracts}{more}"
    site.install(distribution, {distribution: module}, {module: source})


@pytest.mark.parametrize(
    ("published", "heard", "code"),
    [
        ("employee.created", "employee.craeted", "FSE102"),
        ("employee.created", "employee.creatd", "FSE102"),
        ("employee.created", "employee.createdd", "FSE102"),
        ("employee.created", "employees.created", "FSE102"),
        ("employee.created", "emploee.created", "FSE102"),
        ("order.packed", "order.picked", "FSE103"),
        ("order.opened", "order.reopened", "FSE103"),
        ("order.paid", "order.said", "FSE103"),
        ("job.run", "jog.run", "FSE104"),
        ("hr.employee.created", "employee.created", "FSE104"),
    ],
)
def test_only_a_slip_of_the_pen_counts_as_misspelt(site: Site, published: str, heard: str, code: str) -> None:
    install_contracts(site, published)
    install_handlers(site, heard)
    assert [each for each in codes_of(checked(site)) if each != "FSE105"] == [code]


def test_an_aggregate_that_is_published_is_not_a_misspelt_one(site: Site) -> None:
    install_contracts(site, "contract.created", "contact.removed")
    install_handlers(site, "contact.created")
    assert codes_of(checked(site)) == ["FSE103", "FSE105", "FSE105"]


def test_an_emit_by_name_publishes_an_event(site: Site) -> None:
    install_contracts(site, more="\nasync def tell(): await emit('employee.created')")
    install_handlers(site, "employee.created")
    assert checked(site) == []


def test_an_emit_that_is_misspelt_publishes_none(site: Site) -> None:
    install_contracts(site, "employee.created", more="\nasync def tell(): await emit('employee.craeted')")
    install_handlers(site, "employee.created", "employee.craeted")
    assert codes_of(checked(site)) == ["FSE102", "FSE102"]


def test_where_names_are_made_at_run_time_only_slips_are_told(site: Site) -> None:
    install_contracts(site, "employee.created", more="\nasync def tell(what): await emit('employee.' + what)")
    install_handlers(site, "employee.created", "employee.promoted", "weather.changed", "employee.craeted")
    assert codes_of(checked(site)) == ["FSE102"]


def test_who_is_alone_has_nobody_to_hear_or_to_be_heard_by(site: Site) -> None:
    install_contracts(site, "employee.created")
    assert checked(site) == []
    install_handlers(site, "weather.changed")
    assert checked(site, allowed=["acme-ears"]) == []
    assert set(codes_of(checked(site))) == {"FSE104", "FSE105"}


def test_a_system_without_contracts_and_emits_stays_quiet(site: Site) -> None:
    install_handlers(site, "employee.created", "weather.changed")
    install_handlers(site, "order.placed", distribution="acme-nose")
    assert checked(site) == []


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"disabled": ["acme-voice"]}, set()),
        ({"allowed": ["acme-ears"]}, set()),
        ({"disabled": ["acme-ears"]}, {"FSE101", "FSE301"}),
    ],
)
def test_who_is_left_out_still_publishes_and_hears(site: Site, options: dict[str, Any], codes: set[str]) -> None:
    install_contracts(site, "employee.created", more="\ndef tell(): emit('Oops')")
    install_handlers(site, "employee.created")
    install_handlers(site, "employee.created", distribution="acme-more")
    assert set(codes_of(checked(site, **options))) == codes


# Plugins


def test_a_plugin_of_hooks_or_of_emits_alone_registers_enough(site: Site) -> None:
    hooks = "from fastsoy_events import hookimpl\n@hookimpl(optionalhook=True)\ndef menu(): ..."
    emits = "from fastsoy_events import emit\nasync def tell(): await emit('employee.created')"
    site.install("acme-menu", {"menu": "acme_menu"}, {"acme_menu": hooks})
    site.install("acme-voice", {"voice": "acme_voice"}, {"acme_voice": emits})
    site.install("acme-none", {"none": "acme_none"}, {"acme_none": "from fastsoy_events import hookimpl"})
    assert checked(site) == [("acme_none.py:1", "FSE402")]


def test_two_distributions_in_one_package_claim_it_both(site: Site) -> None:
    handler = "from fastsoy_events import on\n@on('order.placed')\nasync def hear(**_): ..."
    site.install("acme-hr", {"hr": "acme.hr"}, {"acme.__init__": "", "acme.hr": handler})
    site.install("acme-it", {"it": "acme.it", "more": "acme.more"}, {"acme.it": handler, "acme.more": handler})
    assert checked(site) == [
        ("acme_it-1.0.dist-info/entry_points.txt:2", "FSE404"),
        ("acme_it-1.0.dist-info/entry_points.txt:3", "FSE404"),
    ]


def test_entry_points_of_one_distribution_may_share_its_package(site: Site) -> None:
    handler = "from fastsoy_events import on\n@on('order.placed')\nasync def hear(**_): ..."
    modules = {"acme.__init__": "", "acme.hr": handler, "acme.it": handler}
    site.install("acme", {"hr": "acme.hr", "it": "acme.it"}, modules)
    assert checked(site) == []


def test_a_failure_in_the_metadata_is_at_its_line(site: Site) -> None:
    site.install("acme-mail", "# ours\n[fastsoy.event_handlers]\nmail = acme mail\npost =\n")
    assert checked(site) == [
        ("acme_mail-1.0.dist-info/entry_points.txt:3", "FSE401"),
        ("acme_mail-1.0.dist-info/entry_points.txt:4", "FSE401"),
    ]


def test_a_plugin_without_metadata_is_one_finding(site: Site) -> None:
    info = site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED})
    (info / "METADATA").unlink()
    assert ("acme_mail-1.0.dist-info/METADATA:1", "FSE602") in (found := checked(site))
    assert "FSE401" not in codes_of(found)


def test_of_versions_that_are_none_the_other_counts(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED.replace("def", "async def")})
    site.install("acme-mail", {"mail": "acme_mail"}, version="1.dirty_tree")
    assert codes_of(checked(site)) == ["FSE601"]


def test_of_an_egg_info_beside_a_dist_info_the_older_is_stale(site: Site) -> None:
    info = site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED.replace("def", "async def")})
    egg = site.folder / "acme_mail-1.5-py3.11.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Name: acme-mail\nVersion: 1.5\n")
    (egg / "entry_points.txt").write_bytes((info / "entry_points.txt").read_bytes())
    assert checked(site) == [("acme_mail-1.0.dist-info/METADATA:1", "FSE601")]


def test_metadata_that_cannot_be_read_is_a_failure_of_its_plugins(site: Site) -> None:
    no_file = site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED})
    (no_file / "METADATA").unlink()
    (no_file / "METADATA").mkdir()
    folder = site.install("acme-post", {"post": "acme_post"}, {"acme_post": WARNED})
    (folder / "entry_points.txt").unlink()
    (folder / "entry_points.txt").mkdir()
    assert [place for place in checked(site) if place[1] in ("FSE401", "FSE602")] == [
        ("acme_mail-1.0.dist-info/entry_points.txt:1", "FSE401"),
        ("acme_post-1.0.dist-info/entry_points.txt:1", "FSE401"),
    ]


def test_a_plugin_of_a_folder_that_nobody_looked_into_has_a_place_too(site: Site) -> None:
    plugin = Plugin(name="mail", distribution="acme-mail", version="1.0", module="acme_mail")
    [found] = check(gathered([plugin], ()))
    assert (str(found.spot), found.code) == ("acme-mail/entry_points.txt:1", "FSE402")


def test_a_package_that_is_too_large_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trees, "MOST_MODULES", 1)
    modules = {"acme.__init__": WARNED.replace("def", "async def"), "acme.one": "", "acme.two": ""}
    site.install("acme", {"acme": "acme"}, modules)
    assert checked(site) == [("acme/__init__.py:1", "FSE406")]


def test_a_callable_that_tells_no_signature_takes_anything(site: Site) -> None:
    source = "from fastsoy_events import on\non('order.placed')(min)"
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    install_contracts(site, more="\n@event('order.placed')\ndef order_placed(*, order_id: int): ...")
    assert codes_of(checked(site)) == ["FSE205"]


def test_what_the_source_alone_does_not_tell_is_passed_over(site: Site) -> None:
    source = """
        from fastsoy_events import event, on

        for name in read_names():
            on(name)(print)

            @event(name)
            def happened(): ...
    """
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    assert checked(site) == [("acme_mail.py:4", "FSE401")]


def test_modules_that_the_source_imports_under_unknown_names_may_be_reached(site: Site) -> None:
    modules = {
        "acme.__init__": "from importlib import import_module\nimport_module(input())",
        "acme.handlers": WARNED.replace("def", "async def"),
    }
    site.install("acme", {"acme": "acme"}, modules)
    assert codes_of(checked(site)) == ["FSE401"]


def test_an_error_deep_in_a_library_is_at_the_plugins_own_line(site: Site) -> None:
    source = "import json\n\n\njson.loads('{')\n"
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    assert checked(site) == [("acme_mail.py:4", "FSE401")]


def test_a_module_that_is_imported_by_a_computed_name_is_reached(site: Site) -> None:
    modules = {
        "acme.__init__": "from importlib import import_module\nimport_module('acme.' + 'handlers'.lower())",
        "acme.handlers": WARNED.replace("def", "async def"),
        "acme.forgotten": WARNED.replace("def", "async def"),
    }
    site.install("acme", {"acme": "acme"}, modules)
    assert checked(site) == [("acme/forgotten.py:4", "FSE403")]


def test_handlers_in_the_tests_of_a_package_are_out_of_reach_on_purpose(site: Site) -> None:
    handler = WARNED.replace("def", "async def")
    modules = {
        "acme.__init__": handler,
        "acme.tests.__init__": "",
        "acme.tests.test_mail": handler,
        "acme.testing": handler,
    }
    site.install("acme", {"acme": "acme"}, modules)
    assert checked(site) == []


def test_one_cause_is_one_finding(site: Site) -> None:
    install_contracts(site, "employee.created", "employee.created")
    assert checked(site) == [("acme_voice.py:6", "FSE106")]


def test_a_name_that_fits_no_plugin_fails_a_strict_application(site: Site) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": WARNED.replace("def", "async def")})
    source = "from fastsoy_events import load_plugins\nload_plugins(path=['site'], order=['mial'], strict=True)"
    (site.folder.parent / "shop.py").write_text(source, encoding="utf-8")
    result = run(site.folder.parent, "--app", "shop")
    assert (result.returncode, result.stdout) == (1, "")
    assert "mial" in result.stderr


def test_a_module_of_the_same_distribution_may_be_imported(site: Site) -> None:
    modules = {
        "acme.__init__": "",
        "acme.hr": "from acme import it\nfrom fastsoy_events import emit\nasync def tell(): await emit('hr.asked')",
        "acme.it": "import acme.hr\nfrom fastsoy_events import emit\nasync def tell(): await emit('it.asked')",
    }
    site.install("acme", {"hr": "acme.hr", "it": "acme.it"}, modules)
    assert checked(site) == []


# What is not trusted


@pytest.mark.parametrize(
    "source",
    [
        b"x = 1\n# \xff\n",
        b"x = 1\n\0\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"x = " + b"-" * 100_000 + b"1",
        b"#" * (3 << 20),
        b"# coding: latin-99\n",
    ],
    ids=["not UTF-8", "null bytes", "nested", "deep", "huge", "encoding"],
)
def test_a_source_that_cannot_be_looked_at_is_one_line(site: Site, source: bytes) -> None:
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail.__init__": WARNED.replace("def", "async def")})
    (site.folder / "acme_mail" / "draft.py").write_bytes(source)
    result = run(site.folder.parent, "--path", "site")
    [line] = result.stdout.splitlines()
    assert re.match(r"site/acme_mail/draft\.py:\d+: warning FSE406: The source of acme_mail\.draft cannot be", line)
    assert (result.returncode, result.stderr) == (0, "note: 1 plugin checked: 1 warning\n")


def test_objects_that_cannot_be_shown_do_not_stop_it(site: Site) -> None:
    odd = "class Odd:\n    def __repr__(self): raise RuntimeError('no words')\n"
    install_contracts(site, more=f"\n{odd}\n@event('order.placed')\ndef order_placed(*, note: str = Odd()): ...")
    handler = f"from fastsoy_events import on\n{odd}\n@on('order.placed')\nasync def hear(note, more=Odd()): ..."
    site.install("acme-ears", {"ears": "acme_ears"}, {"acme_ears": handler})
    assert codes_of(checked(site)) == ["FSE201", "FSE204"]


# Without loading anything, as a preview does


def unloaded(site: Site) -> System:
    candidates = _discover.scan([str(site.folder)]).candidates
    return gathered([each.plugin for each in candidates], survey(candidates, [str(site.folder)]).trees)


def test_plugins_that_nobody_has_imported_are_checked_by_their_sources(site: Site) -> None:
    source = """
        raise RuntimeError("never imported")
        import time
        from fastsoy_events import event, on

        @event("order.placed")
        def order_placed(*, order_id: int, note: str = ""): ...

        @on("order.placed")
        def hear(order_id, note, *, customer=None):
            time.sleep(1)

        @on("order.placed")
        async def require(customer): ...
    """
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": source})
    hook = "from fastsoy_events import hookimpl"
    site.install("acme-menu", {"menu": "acme_menu"}, {"acme_menu": hook})
    site.install("acme-none", {"none": "acme_none"}, {"acme_none": "import json"})
    found = check(unloaded(site))
    assert [(each.spot.line, each.code) for each in found] == [
        (9, "FSE204"),
        (11, "FSE206"),
        (13, "FSE202"),
        (13, "FSE203"),
        (1, "FSE402"),
    ]
    assert "require(customer) against acme_mail.order_placed(*, order_id: int, note: str = ...)" in found[2].message
    assert "acme_mail" not in sys.modules


def test_a_place_may_lie_in_a_file_that_is_not_there(site: Site) -> None:
    emit = SourceEmit(event="Oops", written="'Oops'", module="acme", function="tell", line=3)
    fact = EmitFact(emit=emit, spot=Spot("acme-1.0.whl/acme\0.py", 3), plugin="", distribution="")
    [found] = check(replace(unloaded(site), emits=(fact,)))
    assert found.place(str(site.folder)) == "acme-1.0.whl/acme\0.py:3"


# The page of the documentation


PAGE = Path(__file__).parent.parent / "docs" / "reference" / "check.md"
SECTION = re.compile(r"^### (?P<code>FSE\d+): (?P<title>.*)\n(?P<text>(?:(?!^##).*\n)*)", re.MULTILINE)
BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
ORDERS = """
    from fastsoy_events import event

    @event("order.placed")
    def order_placed(*, order_id: int, note: str = "") -> None: ...

    @order_placed.on
    async def tally(order_id: int, note: str = "") -> None: ...
"""


def sections() -> dict[str, re.Match[str]]:
    return {match["code"]: match for match in SECTION.finditer(PAGE.read_text(encoding="utf-8"))}


def test_every_code_has_a_section_under_its_title() -> None:
    found = {code: section["title"] for code, section in sections().items()}
    assert found == {code.name: code.title for code in CODES.values()}


@pytest.mark.parametrize("code", CODES)
def test_its_severity_is_the_sections_first_word(code: str) -> None:
    article = "An" if CODES[code].severity == "error" else "A"
    assert sections()[code]["text"].lstrip().startswith((f"{article} {CODES[code].severity}.", f"{article} error,"))


@pytest.mark.parametrize("code", [code for code in CODES if not code.startswith("FSE6")])
def test_its_example_shows_what_the_section_says(site: Site, code: str) -> None:
    blocks = list(BLOCK.finditer(sections()[code]["text"]))
    sources = {
        block["title"].removesuffix(".py").replace("/", "."): block["text"] for block in blocks if block["title"]
    }
    entry_points = [tomllib.loads(block["text"]) for block in blocks if block["language"] == "toml"]
    site.install("acme-orders", {"orders": "acme_orders"}, {"acme_orders": ORDERS})
    site.install(
        "acme-post",
        entry_points[0]["project"]["entry-points"]["fastsoy.event_handlers"] if entry_points else {"post": "acme_post"},
        sources,
    )
    [expected] = [block["text"] for block in blocks if block["language"] == "text"]
    shown = "".join(
        f"{each.place(str(site.folder))}: {each.severity} {each.code}: {each.message} {each.fix}\n"
        for each in findings(site)
    )
    assert shown == expected
