"""The command `fastsoy-events`, run as its users run it: in a process of its own, on a pipe or on a terminal."""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.text import Text

from fastsoy_events import Plugin, bus
from fastsoy_events.cli import main
from fastsoy_events.cli._layout import fold
from fastsoy_events.cli._tables import show_plugins
from tests.command_line import COMMAND, PYTHON, environment, on_terminal, run

if TYPE_CHECKING:
    from pathlib import Path

BOX_DRAWING = re.compile("[\u2500-\u257f]")
ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")

GREET = """
    from fastsoy_events import on

    @on("employee.created")
    async def greet(**payload): ...
"""
AUDIT = """
    from fastsoy_events import on

    class Ledger:
        @on("order.refunded")
        def book(**payload): ...

    @on("employee.created")
    def record(**payload): ...
"""
HOST = """
    from fastsoy_events import on

    @on("employee.created")
    async def refresh_menu(**payload): ...

    class Shop:
        app = None

    def create_app():
        raise SystemExit("an attribute is never called")
"""


def write_module(folder: Path, module: str, source: str) -> Path:
    *packages, name = module.split(".")
    for depth in range(1, len(packages) + 1):
        package = folder.joinpath(*packages[:depth])
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    file = folder.joinpath(*packages, f"{name}.py")
    file.write_text(textwrap.dedent(source).lstrip("\n"), encoding="utf-8")
    return file


def install(site: Path, distribution: str, name: str, module: str, source: str | None, number: str = "1.0") -> None:
    info = site / f"{distribution.replace('-', '_')}-{number}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {number}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    entry_points = f"[fastsoy.event_handlers]\n{name} = {module}\n"
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    if source is not None:
        write_module(site, module, source)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with two plugins, whose order is not that of their entry points' names."""
    folder = tmp_path / "site"
    install(folder, "acme-people", "people", "acme_people.handlers", GREET, "2.0.1")
    install(folder, "acme-audit", "trail", "acme_audit", AUDIT)
    return folder


@pytest.fixture
def broken_site(site: Path) -> Path:
    """The same, and a plugin whose import raises an error with markup, a line break and an escape sequence."""
    install(site, "acme-mail", "mail", "acme_mail", 'raise RuntimeError("[bold]set MAIL_HOST[/bold]\\n\\x1b[31mnow")')
    return site


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A host that loads its plugins when it starts, not when it is imported."""
    return write_module(tmp_path, "shop.main", HOST)


# What `list` shows


def test_list_shows_each_event_in_order_with_its_handlers_in_dispatch_order(tmp_path: Path, site: Path) -> None:
    result = run(tmp_path, "list", "--path", "site")
    rows = [re.split(" {2,}", line) for line in result.stdout.splitlines()]
    people = site / "acme_people" / "handlers.py"
    audit = site / "acme_audit.py"
    assert rows == [
        ["#", "event", "handler", "plugin", "distribution version", "kind", "source"],
        ["1", "employee.created", "acme_audit.record", "trail", "acme-audit 1.0", "sync", f"{audit}:7"],
        ["2", "employee.created", "acme_people.handlers.greet", "people", "acme-people 2.0.1", "async", f"{people}:3"],
        ["1", "order.refunded", "acme_audit.Ledger.book", "trail", "acme-audit 1.0", "sync", f"{audit}:4"],
    ]
    assert (result.returncode, result.stderr) == (0, "")


def test_list_as_json_has_exactly_the_promised_keys_in_order(tmp_path: Path, site: Path) -> None:
    result = run(tmp_path, "list", "employee.*", "--path", "site", "--json")
    rows = json.loads(result.stdout)
    assert [list(row) for row in rows] == [
        [
            "event",
            "position",
            "id",
            "stable_id",
            "plugin",
            "distribution",
            "version",
            "module",
            "qualname",
            "handler",
            "kind",
            "source",
        ]
    ] * 2
    assert rows[1] == {
        "event": "employee.created",
        "position": 1,
        "id": "acme-people:people:acme_people.handlers:greet",
        "stable_id": "",
        "plugin": "people",
        "distribution": "acme-people",
        "version": "2.0.1",
        "module": "acme_people.handlers",
        "qualname": "greet",
        "handler": "acme_people.handlers.greet",
        "kind": "async",
        "source": f"{site / 'acme_people' / 'handlers.py'}:3",
    }


@pytest.mark.usefixtures("site")
def test_a_glob_chooses_events(tmp_path: Path) -> None:
    rows = json.loads(run(tmp_path, "list", "*.refunded", "--path", "site", "--json").stdout)
    assert [row["event"] for row in rows] == ["order.refunded"]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.usefixtures("site")
def test_a_glob_that_matches_nothing_suggests_the_nearest_event(tmp_path: Path, *, as_json: bool) -> None:
    result = run(tmp_path, "list", "emploee.*", "--path", "site", *(["--json"] if as_json else []))
    assert result.stderr == "error: no event matches 'emploee.*'; the nearest is 'employee.created'\n"
    assert (result.returncode, result.stdout) == (2, "[]\n" if as_json else "")


def test_a_glob_among_no_handlers_has_nothing_to_suggest(tmp_path: Path) -> None:
    result = run(tmp_path, "list", "order.paid", "--path", ".")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: no event matches 'order.paid': no handler is registered\n"


@pytest.mark.parametrize(
    ("command", "remark"), [("list", "note: no handler is registered\n"), ("plugins", "note: no plugin was found")]
)
def test_nothing_to_show_is_said_and_is_no_failure(tmp_path: Path, command: str, remark: str) -> None:
    for option, output in ((), ""), (("--json",), "[]\n"):
        result = run(tmp_path, command, "--path", ".", *option)
        assert (result.returncode, result.stdout) == (0, output)
        assert result.stderr.startswith(remark)


# What `plugins` shows


def test_plugins_shows_what_became_of_each(tmp_path: Path, broken_site: Path) -> None:
    del broken_site
    result = run(tmp_path, "plugins", "--path", "site", "--disable", "people")
    rows = [re.split(" {2,}", line) for line in result.stdout.splitlines()]
    times = [row.pop(4) for row in rows]
    assert rows == [
        ["name", "distribution version", "module", "status", "handlers", "error"],
        ["trail", "acme-audit 1.0", "acme_audit", "loaded", "2", "-"],
        ["mail", "acme-mail 1.0", "acme_mail", "failed", "0", rows[2][-1]],
        ["people", "acme-people 2.0.1", "acme_people.handlers", "disabled", "0", "-"],
    ]
    assert rows[2][-1].endswith("RuntimeError: [bold]set MAIL_HOST[/bold] [31mnow")
    assert times[0] == "import time"
    assert re.fullmatch(r"\d+\.\d m?s", times[1])
    assert times[3] == "-"


def test_plugins_as_json_has_exactly_the_promised_keys_in_order(tmp_path: Path, broken_site: Path) -> None:
    del broken_site
    rows = json.loads(run(tmp_path, "plugins", "--path", "site", "--json").stdout)
    assert [list(row) for row in rows] == [
        ["name", "distribution", "version", "module", "status", "error", "import_seconds", "handlers"]
    ] * 3
    assert all(row.pop("import_seconds") > 0 for row in rows)
    assert rows[0] == {
        "name": "trail",
        "distribution": "acme-audit",
        "version": "1.0",
        "module": "acme_audit",
        "status": "loaded",
        "error": None,
        "handlers": 2,
    }
    assert rows[1]["error"].startswith("Plugin failed: acme-mail 1.0 / entry point mail / module acme_mail: ")
    assert [row["status"] for row in rows] == ["loaded", "failed", "loaded"]


@pytest.mark.parametrize(("seconds", "shown"), [(12.5, "12.50 s"), (1.0, "1.00 s"), (0.25, "250.0 ms"), (0.0, "-")])
def test_an_import_time_is_shown_in_a_unit_that_suits_it(
    capsys: pytest.CaptureFixture[str], seconds: float, shown: str
) -> None:
    plugin = Plugin(name="mail", distribution="acme", version="1.0", module="acme", import_seconds=seconds)
    show_plugins([plugin])
    assert f"  {shown}  " in capsys.readouterr().out


# Failures and remarks


@pytest.mark.parametrize("command", ["list", "plugins"])
def test_a_failed_plugin_is_one_line_on_stderr_and_exit_code_1_and_the_table_still_prints(
    tmp_path: Path, broken_site: Path, command: str
) -> None:
    del broken_site
    result = run(tmp_path, command, "--path", "site")
    assert result.returncode == 1
    assert "acme_people.handlers" in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("error: Plugin failed: acme-mail 1.0 / entry point mail / module acme_mail: ")
    assert line.endswith("RuntimeError: [bold]set MAIL_HOST[/bold] [31mnow")


@pytest.mark.usefixtures("broken_site")
def test_a_traceback_shows_where_it_was_asked_for(tmp_path: Path) -> None:
    result = run(tmp_path, "list", "--path", "site", "--traceback")
    assert "Traceback (most recent call last):\n" in result.stderr
    assert "acme_mail.py" in result.stderr


@pytest.mark.usefixtures("site")
def test_what_the_loader_warns_about_is_one_line_each(tmp_path: Path) -> None:
    result = run(tmp_path, "list", "--path", "site", "--allow", "acme-audit", "--order", "trial")
    assert result.returncode == 0
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == ["warning:"] * 2
    assert "acme-people" in result.stderr
    assert "'trial'" in result.stderr


def test_an_event_name_that_breaks_the_convention_is_one_line_with_its_place(tmp_path: Path) -> None:
    source = (
        "import warnings\nfrom fastsoy_events import on\nwarnings.warn('old')\non('Created')(lambda **payload: None)"
    )
    install(tmp_path, "acme-loud", "loud", "acme_loud", source)
    *others, line = run(tmp_path, "list", "--path", ".").stderr.splitlines()
    assert others[0].endswith("UserWarning: old")
    assert line.startswith("warning: 'Created'")
    assert line.endswith(f"({tmp_path / 'acme_loud.py'}:4)")


def test_what_a_plugin_prints_does_not_spoil_the_json(tmp_path: Path, site: Path) -> None:
    install(site, "acme-noise", "noise", "acme_noise", "print('noise')")
    result = run(tmp_path, "list", "--path", "site", "--json")
    assert len(json.loads(result.stdout)) == 3
    assert result.stderr == "noise\n"


def test_an_app_that_disables_every_logger_hides_no_failure(tmp_path: Path, broken_site: Path) -> None:
    del broken_site
    source = "import logging.config\nimport fastsoy_events\nlogging.config.dictConfig({'version': 1})"
    write_module(tmp_path, "shop.main", source)
    result = run(tmp_path, "list", "--path", "site", "--app", "shop.main")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error"]


def test_the_log_and_warnings_are_as_before_when_the_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("fastsoy_events")
    before = list(logger.handlers), logger.level, logger.propagate, logger.disabled, warnings.showwarning
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["fastsoy-events", "list", "--path", str(tmp_path)])
    with bus.isolated(), pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert capsys.readouterr() == ("", "note: no handler is registered\n")
    assert before == (list(logger.handlers), logger.level, logger.propagate, logger.disabled, warnings.showwarning)


# Options


@pytest.mark.usefixtures("site", "app")
def test_the_handlers_of_an_app_that_loads_in_its_lifespan_come_first(tmp_path: Path) -> None:
    result = run(tmp_path, "list", "--path", "site", "--app", "shop.main:Shop.app")
    rows = [re.split(" {2,}", line)[1:6] for line in result.stdout.splitlines()]
    assert rows[1] == ["employee.created", "shop.main.refresh_menu", "host", "-", "async"]
    assert [row[2] for row in rows[2:]] == ["trail", "people", "trail"]
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.usefixtures("site", "app")
def test_the_attribute_of_an_app_is_not_called(tmp_path: Path) -> None:
    assert run(tmp_path, "list", "--path", "site", "--app", "shop.main:create_app").returncode == 0


@pytest.mark.usefixtures("site")
def test_an_app_that_loads_while_it_is_imported_is_allowed_and_denied_the_same_plugins(tmp_path: Path) -> None:
    write_module(tmp_path, "shop.main", f"{HOST}\n    from fastsoy_events import load_plugins\n    load_plugins()")
    ours = {"PYTHONPATH": "site", "FASTSOY_EVENTS_ALLOWED": "acme-audit,acme-people"}  # others may be installed here
    result = run(tmp_path, "list", "--json", "--app", "shop.main", "--disable", "trail", **ours)
    assert [row["plugin"] for row in json.loads(result.stdout)] == ["", "people"]
    assert "acme" not in result.stderr
    arguments = ("list", "--json", "--app", "shop.main", "--allow", "acme-audit", "--path", "site", "--order", "trail")
    result = run(tmp_path, *arguments)
    assert [row["plugin"] for row in json.loads(result.stdout)] == ["", "trail", "trail"]
    note = "note: --path and --order came too late: the application loaded the plugins itself while it was imported"
    assert result.stderr.splitlines()[-1] == note
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("options", "variables", "loaded"),
    [
        (["--allow", "Acme_Audit"], {}, ["trail"]),
        (["--allow", "acme-audit", "--allow", "acme-people"], {}, ["trail", "people"]),
        (["--allow", "acme-audit", "--allow", "acme-people"], {"ALLOWED": "acme.people"}, ["people"]),
        (["--allow", "acme-audit"], {"ALLOWED": "acme-people"}, []),
        (["--disable", "trail"], {}, ["people"]),
        (["--disable", "trail"], {"DISABLED": "acme-people"}, []),
        (["--order", "people"], {}, ["people", "trail"]),
    ],
)
@pytest.mark.usefixtures("site")
def test_options_choose_and_order_plugins_and_only_narrow_the_environment(
    tmp_path: Path, options: list[str], variables: dict[str, str], loaded: list[str]
) -> None:
    changes = {f"FASTSOY_EVENTS_{name}": value for name, value in variables.items()}
    rows = json.loads(run(tmp_path, "plugins", "--json", "--path", "site", *options, **changes).stdout)
    assert [row["name"] for row in rows if row["status"] == "loaded"] == loaded


def test_several_folders_are_looked_in_and_nowhere_else(tmp_path: Path, site: Path) -> None:
    install(tmp_path / "more", "acme-more", "more", "acme_more", GREET)
    install(tmp_path / "other", "acme-other", "other", "acme_other", GREET)
    arguments = ("plugins", "--json", "--path", str(site), "--path", "more")
    rows = json.loads(run(tmp_path, *arguments, PYTHONPATH="other").stdout)
    assert [row["name"] for row in rows] == ["trail", "more", "people"]
    rows = json.loads(run(tmp_path, "plugins", "--json", PYTHONPATH="other").stdout)
    assert "other" in [row["name"] for row in rows]


# Wrong usage


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.main:app", "error: --app nowhere.main:app: No module named 'nowhere', looked for in "),
        ("shop.nowhere", "error: --app shop.nowhere: No module named 'shop.nowhere', looked for in "),
        ("shop.main:creat_app", "there is no attribute 'creat_app'; did you mean 'create_app'?\n"),
        ("shop.main:Shop.zzz", "error: --app shop.main:Shop.zzz: there is no attribute 'zzz'\n"),
        ("shop/main.py", "error: --app takes package.module or package.module:attribute, not 'shop/main.py'\n"),
        ("shop.main:", "error: --app takes package.module or package.module:attribute, not 'shop.main:'\n"),
        ("shop.main:create_app()", "not 'shop.main:create_app()'\n"),
    ],
)
@pytest.mark.usefixtures("app")
def test_an_app_that_is_not_there_is_wrong_usage(tmp_path: Path, target: str, message: str) -> None:
    result = run(tmp_path, "list", "--app", target)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nraise ValueError('[x] is\\nunset')", "ValueError: [x] is unset ({file}:2)"),
        ("raise ValueError", "ValueError ({file}:1)"),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there' ({file}:1)"),
        ("x = 1\nx = = 1", "SyntaxError: invalid syntax ({file}:2)"),
        ("raise SystemExit(3)", "SystemExit: 3 ({file}:1)"),
        ("import asyncio\nraise asyncio.CancelledError('stop')", "CancelledError: stop ({file}:2)"),
        ("raise GeneratorExit", "GeneratorExit ({file}:1)"),
        ("class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute", "Mute ({file}:4)"),
        ("class Odd:\n    __str__ = None\nraise SyntaxError(Odd(), ('x.py', 7, 1, ''))", "SyntaxError (x.py:7)"),
        ("def __getattr__(name):\n    return name.nope", "AttributeError: 'str' object has no attribute 'nope'"),
    ],
)
def test_an_app_that_raises_is_named_with_the_error_and_its_place(tmp_path: Path, source: str, message: str) -> None:
    file = write_module(tmp_path, "shop.main", source)
    result = run(tmp_path, "list", "--app", "shop.main:app")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"error: --app shop.main:app: its import raised {message.format(file=file)}" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" in run(tmp_path, "list", "--app", "shop.main:app", "--traceback").stderr


STRICT = f"""{HOST}
    from fastsoy_events import load_plugins, on
    load_plugins(path=["site"], strict=True)

    @on("employee.created")
    def never_reached(**payload): ...
"""


@pytest.mark.parametrize("command", ["list", "plugins"])
@pytest.mark.usefixtures("broken_site")
def test_a_strict_load_in_an_app_that_fails_is_exit_code_1_and_the_table_still_prints(
    tmp_path: Path, command: str
) -> None:
    write_module(tmp_path, "shop.main", STRICT)
    result = run(tmp_path, command, "--json", "--app", "shop.main:app")
    expected = {"list": ["", "trail", "people", "trail"], "plugins": ["trail", "mail", "people"]}
    assert [row["plugin" if command == "list" else "name"] for row in json.loads(result.stdout)] == expected[command]
    error, note = result.stderr.splitlines()
    assert error.startswith("error: Plugin failed: acme-mail 1.0 / entry point mail / module acme_mail: ")
    assert note == "note: --app shop.main:app: its import ended where it loads plugins with strict=True"
    assert result.returncode == 1


@pytest.mark.usefixtures("broken_site")
def test_a_strict_load_whose_failure_an_app_catches_is_exit_code_1_too(tmp_path: Path) -> None:
    caught = """
        from fastsoy_events import load_plugins
        from fastsoy_events.errors import PluginLoadError
        try:
            load_plugins(path=["site"], strict=True)
        except PluginLoadError:
            pass
    """
    write_module(tmp_path, "shop.main", caught)
    result = run(tmp_path, "plugins", "--json", "--app", "shop.main", "--path", "site")
    assert [row["status"] for row in json.loads(result.stdout)] == ["loaded", "failed", "loaded"]
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error", "note"]
    assert "--path came too late" in result.stderr
    assert result.returncode == 1


@pytest.mark.usefixtures("site")
def test_a_name_that_fits_nothing_fails_a_strict_load_in_an_app(tmp_path: Path) -> None:
    write_module(tmp_path, "shop.main", STRICT)
    result = run(tmp_path, "list", "--json", "--app", "shop.main", "--disable", "trial")
    assert len(json.loads(result.stdout)) == 4
    note, error = result.stderr.splitlines()
    assert note.startswith("note: ")
    assert error.startswith("error: ")
    assert "'trial'" in error
    assert result.returncode == 1


@pytest.mark.usefixtures("site")
def test_a_strict_load_that_fails_shows_its_traceback_where_one_was_asked_for(tmp_path: Path) -> None:
    write_module(tmp_path, "shop.main", STRICT)
    result = run(tmp_path, "list", "--app", "shop.main", "--disable", "trial", "--traceback")
    assert "PluginLoadError" in result.stderr


def test_a_plugin_that_stops_the_loading_is_one_line(tmp_path: Path, site: Path) -> None:
    install(site, "acme-stop", "stop", "acme_stop", "import asyncio\nraise asyncio.CancelledError")
    result = run(tmp_path, "list", "--path", "site")
    place = f"{site / 'acme_stop.py'}:2"
    assert result.stderr == f"error: a plugin's import raised CancelledError ({place})\n"
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" in run(tmp_path, "list", "--path", "site", "--traceback").stderr


@pytest.mark.parametrize("arguments", [["--app", "shop"], ["--path", "."]])
def test_a_deleted_working_folder_that_is_needed_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    delete_first = ("sh", "-c", 'rmdir ../gone && exec "$@"', "sh", *COMMAND)
    result = run(gone, "list", *arguments, command=delete_first)
    assert (result.returncode, result.stdout) == (2, "")
    reason = "No such file or directory. Change to a folder that exists"
    assert result.stderr == f"error: the working folder cannot be read: {reason}\n"


def test_an_app_that_is_no_python_source_is_named_with_the_error(tmp_path: Path) -> None:
    (tmp_path / "shop.so").write_bytes(b"")
    result = run(tmp_path, "list", "--app", "shop")
    assert result.returncode == 2
    assert result.stderr.startswith("error: --app shop: its import raised ImportError: ")
    assert str(tmp_path / "shop.so") in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["list", "--path", "nowhere"], ["list", "a.b", "c.d"], ["lst"], ["plugins", "x"]]
)
def test_wrong_usage_is_exit_code_2_with_a_plain_message_on_a_pipe(tmp_path: Path, arguments: list[str]) -> None:
    result = run(tmp_path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert not BOX_DRAWING.search(result.stderr)


def test_version_is_the_installed_one(tmp_path: Path) -> None:
    result = run(tmp_path, "--version")
    assert (result.returncode, result.stdout) == (0, f"fastsoy-events {version('fastsoy-events')}\n")


def test_importing_the_module_behind_python_m_runs_nothing() -> None:
    importlib.import_module("fastsoy_events.__main__")


def test_help_names_every_command_and_option(tmp_path: Path) -> None:
    assert {"list", "plugins", "--version"} <= set(run(tmp_path, "--help").stdout.split())
    options = {"--json", "--app", "--allow", "--disable", "--path", "--order", "--traceback"}
    for command in "list", "plugins":
        assert options <= set(run(tmp_path, command, "--help").stdout.split())


# Without the extra, interrupted, or cut off


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from fastsoy_events.cli import main; main()"
    result = run(tmp_path, "list", command=(*PYTHON, "-c", code))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == 'error: the command needs typer and rich: pip install "fastsoy-events[cli]"\n'


def test_an_extra_that_is_there_but_damaged_is_not_called_missing(tmp_path: Path) -> None:
    code = "import sys; sys.modules['rich.cells'] = None; from fastsoy_events.cli import main; main()"
    result = run(tmp_path, "list", command=(*PYTHON, "-c", code))
    assert result.returncode == 1
    assert "pip install" not in result.stderr
    assert "rich.cells" in result.stderr


def test_an_interrupt_ends_the_command_quietly(tmp_path: Path) -> None:
    as_at_a_terminal = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    write_module(tmp_path, "shop", f"import os, signal\n{as_at_a_terminal}\nos.kill(os.getpid(), signal.SIGINT)")
    result = run(tmp_path, "list", "--app", "shop")
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_an_interrupt_before_the_command_begins_ends_it_quietly(tmp_path: Path) -> None:
    code = """
import sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from fastsoy_events.cli import main
main()
"""
    result = run(tmp_path, "list", command=(*PYTHON, "-c", code))
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize("option", [[], ["--json"]])
@pytest.mark.usefixtures("site")
def test_a_pipe_that_nobody_reads_ends_the_command_quietly(tmp_path: Path, option: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        result = subprocess.run(
            [*COMMAND, "list", "--path", "site", *option],
            cwd=tmp_path,
            env=environment({}),
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, b"")


def run_on_a_full_disk(folder: Path, *arguments: str, stream: str) -> subprocess.CompletedProcess[bytes]:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        return subprocess.run(
            [*COMMAND, *arguments], cwd=folder, env=environment({}), timeout=60, check=False, **streams
        )


@pytest.mark.parametrize(
    "arguments",
    [["list", "--path", "site"], ["list", "--path", "site", "--json"], ["--version"], ["--help"], ["list", "--help"]],
)
@pytest.mark.usefixtures("site")
def test_a_result_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    result = run_on_a_full_disk(tmp_path, *arguments, stream="stdout")
    assert result.returncode == 2
    assert result.stderr == b"error: the result cannot be written: No space left on device\n"


@pytest.mark.parametrize(("folder", "exit_code"), [("site", 1), ("nowhere", 2)])
@pytest.mark.usefixtures("broken_site")
def test_remarks_that_cannot_be_written_change_nothing_else(tmp_path: Path, folder: str, exit_code: int) -> None:
    result = run_on_a_full_disk(tmp_path, "plugins", "--path", folder, stream="stderr")
    assert result.returncode == exit_code
    assert len(result.stdout.splitlines()) == {"site": 4, "nowhere": 0}[folder]


# Pipes


@pytest.mark.usefixtures("broken_site", "app")
def test_a_pipe_gets_plain_rows_one_a_line_without_trailing_spaces(tmp_path: Path) -> None:
    long_name = "_".join(["very"] * 60)
    write_module(
        tmp_path, "shop.main", f"from fastsoy_events import on\n@on('a.done')\ndef {long_name}(**payload): ..."
    )
    for command in "list", "plugins":
        output = run(tmp_path, command, "--path", "site", "--app", "shop.main", COLUMNS="40").stdout
        lines = output.splitlines()
        assert len(lines) == {"list": 5, "plugins": 4}[command]
        assert all(line == line.rstrip() and len(re.split(" {2,}", line)) == 7 for line in lines)
        assert "\x1b" not in output
        assert not BOX_DRAWING.search(output)
        assert command == "plugins" or long_name in output


def test_columns_line_up_with_names_in_wide_characters(tmp_path: Path) -> None:
    source = """
        from fastsoy_events import on
        on("order.refunded")(lambda **payload: None)
        @on("employee.created")
        def 欢迎(**payload): ...
    """
    install(tmp_path, "acme-wide", "wide", "acme_wide", source)
    lines = run(tmp_path, "list", "--path", ".").stdout.splitlines()
    assert "acme_wide.欢迎" in lines[1]
    assert len({cell_len(re.split("(?:plugin|wide)  ", line)[0]) for line in lines}) == 1


@pytest.mark.usefixtures("site")
def test_what_the_encoding_cannot_hold_is_escaped(tmp_path: Path) -> None:
    write_module(tmp_path, "shop", "from fastsoy_events import on\n@on('order.paid')\ndef größe(**payload): ...")
    result = run(tmp_path, "list", "order.paid", "--path", "site", "--app", "shop", PYTHONIOENCODING="ascii")
    assert "shop.gr\\xf6\\xdfe" in result.stdout
    assert result.returncode == 0


# Terminals


@pytest.mark.usefixtures("site", "app")
def test_a_wide_terminal_gets_one_coloured_table_that_names_each_event_once(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "list", "--path", "site", "--app", "shop.main", width=250)
    lines = [line.rstrip() for line in ESCAPE_SEQUENCE.sub("", shown).splitlines()]
    assert ESCAPE_SEQUENCE.search(shown)
    assert re.split(" {2,}", lines[0]) == [
        "#",
        "event",
        "handler",
        "plugin",
        "distribution version",
        "kind",
        "source",
    ]
    assert set(lines[1]) == {"\u2500"}
    assert [line[:1] for line in lines[2:]] == ["1", "2", "3", "", "1"]
    assert sum("employee.created" in line for line in lines) == 1


@pytest.mark.parametrize("width", [24, 40, 80, 160])
@pytest.mark.parametrize("command", ["list", "plugins"])
@pytest.mark.usefixtures("broken_site", "app")
def test_every_line_fits_the_terminal_and_nothing_is_cut(tmp_path: Path, command: str, width: int) -> None:
    module = "acme_enterprise_compliance_suite.audit_trail.listeners.employee"
    install(tmp_path / "site", "acme-enterprise-compliance-audit", "compliance", module, GREET, "2024.11.0rc1")
    shown = on_terminal(tmp_path, command, "--path", "site", "--app", "shop.main", width=width)
    plain = ESCAPE_SEQUENCE.sub("", shown)
    assert all(cell_len(line.rstrip()) <= width for line in plain.splitlines())
    assert "…" not in plain
    if width < 160:  # one block a row: its lines joined again are whole
        assert module in re.sub(r"\s", "", plain)
        assert "acme-enterprise-compliance-audit2024.11.0rc1" in re.sub(r"\s", "", plain)
    assert "[bold]" in plain or command == "list"


@pytest.mark.usefixtures("site", "app")
def test_a_narrow_terminal_gets_each_handler_under_its_event(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "list", "--path", "site", "--app", "shop.main", width=80, NO_COLOR="1")
    lines = [line.rstrip() for line in ESCAPE_SEQUENCE.sub("", shown).splitlines()]
    assert lines[:3] == ["employee.created", "  1  shop.main.refresh_menu", "     host, async"]
    assert lines[lines.index("  2  acme_audit.record") + 1] == "     trail, acme-audit 1.0, sync"
    assert lines[lines.index("order.refunded") - 1] == ""
    assert lines.count("employee.created") == 1


@pytest.mark.usefixtures("broken_site")
def test_a_narrow_terminal_gets_each_plugin_with_what_became_of_it(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "plugins", "--path", "site", "--disable", "people", width=60, NO_COLOR="1")
    blocks = [block.splitlines() for block in ESCAPE_SEQUENCE.sub("", shown).split("\n\n")]
    assert [block[0] for block in blocks] == ["trail  loaded", "mail  failed", "people  disabled"]
    assert re.fullmatch(r"  imported in \d+\.\d ms, 2 handlers", blocks[0][3])
    assert "MAIL_HOST" in "".join(blocks[1])


@pytest.mark.usefixtures("broken_site")
def test_the_status_is_coloured(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "plugins", "--path", "site", width=200)
    assert re.search(r"\x1b\[[0-9;]*32mloaded", shown)
    assert re.search(r"\x1b\[[0-9;]*31mfailed", shown)


@pytest.mark.usefixtures("site")
def test_no_color_and_a_dumb_terminal_are_respected(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, "list", "--path", "site", width=200, NO_COLOR="1")
    assert not re.search(r"\x1b\[(\d+;)*3[1-8]", shown)
    assert BOX_DRAWING.search(shown)
    dumb = on_terminal(tmp_path, "list", "--path", "site", width=80, TERM="dumb")
    assert dumb == run(tmp_path, "list", "--path", "site").stdout


def test_help_is_framed_only_where_everything_is_a_terminal(tmp_path: Path) -> None:
    assert BOX_DRAWING.search(on_terminal(tmp_path, "--help", width=80, with_stderr=True))
    assert not BOX_DRAWING.search(on_terminal(tmp_path, "--help", width=80))


@pytest.mark.usefixtures("broken_site")
def test_remarks_on_a_terminal_begin_with_their_kind_in_colour(tmp_path: Path) -> None:
    arguments = ("list", "order.*", "--path", "site", "--order", "trial")
    shown = on_terminal(tmp_path, *arguments, width=200, with_stderr=True)
    assert re.search(r"\x1b\[[0-9;]*31merror:", shown)
    assert re.search(r"\x1b\[[0-9;]*33mwarning:", shown)
    assert "[bold]set MAIL_HOST[/bold] [31mnow" in shown


@pytest.mark.parametrize("width", [1, 7, 20, 33, 200])
@pytest.mark.parametrize(
    "text",
    ["", "shop.main.refresh_menu", "/usr/lib/python3/site-packages/shop/main.py:12", "one two three", "欢迎欢迎"],
)
def test_folding_keeps_every_character_and_fits(text: str, width: int) -> None:
    lines = fold(Text(text), max(width, 2)).plain.split("\n")
    assert "".join(lines) == text
    assert all(cell_len(line) <= max(width, 2) for line in lines)
