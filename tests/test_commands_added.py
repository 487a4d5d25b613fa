"""Commands that other packages bring: each is found where it is asked for, and a broken one costs no other."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

import pytest

from fastsoy_events.cli._added import added
from tests.command_line import run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import Site

GROUP = "fastsoy_events.commands"
QUEUE = """
    import typer

    commands = typer.Typer(help="Look after the queue.")

    @commands.command()
    def status(*, json: bool = False) -> None:
        '''Say how long the queue is.'''
        print("[]" if json else "empty")

    @commands.command()
    def purge() -> None:
        '''Empty the queue.'''
        raise typer.Exit(3)

    @commands.command()
    def reach() -> None:
        '''Reach the server of the queue.'''
        raise ConnectionRefusedError(111, "Connection refused")
"""
MAIL = "import typer\ncommands = typer.Typer()\n@commands.command()\ndef send() -> None:\n    print('sent')\n"


def install(site: Site, name: str, commands: Mapping[str, str] | str, source: str | None = QUEUE) -> None:
    """Install `acme-<name>`, whose module is `acme_<name>`, with entry points for commands."""
    lines = [commands] if isinstance(commands, str) else [f"{each} = {target}" for each, target in commands.items()]
    modules = {} if source is None else {f"acme_{name}": source}
    site.install(f"acme-{name}", "\n".join([f"[{GROUP}]", *lines, ""]), modules)


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(site.folder), os.environ.get("PYTHONPATH")]))
    return run(site.folder.parent, *arguments, PYTHONPATH=path)


def warnings(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what is said of the packages of this test, since others may be installed beside them."""
    return [line for line in result.stderr.splitlines() if line.startswith("warning: ") and "acme" in line]


@pytest.fixture
def queue(site: Site) -> Site:
    install(site, "queue", {"queue": "acme_queue:commands"})
    return site


def test_a_package_brings_commands_that_run_like_the_programs_own(queue: Site) -> None:
    result = command(queue, "queue", "status", "--json")
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
    assert command(queue, "queue", "purge").returncode == 3


def test_commands_that_one_package_brings_alone_keep_their_name(site: Site) -> None:
    install(site, "mail", {"mail": "acme_mail:commands"}, MAIL)
    assert command(site, "mail", "send").stdout == "sent\n"


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_the_help_names_them_beside_the_programs_own(queue: Site, arguments: list[str]) -> None:
    result = command(queue, *arguments)
    lines = [line.split() for line in (result.stdout or result.stderr).splitlines()]  # without a command, an error
    assert ["queue", "Look", "after", "the", "queue."] in lines
    assert "preview" in {line[0] for line in lines if line}
    assert "Say how long the queue is." in command(queue, "queue", "--help").stdout


def test_an_error_of_such_a_command_is_not_taken_for_one_of_writing(queue: Site) -> None:
    result = command(queue, "queue", "reach")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ConnectionRefusedError: [Errno 111] Connection refused"


@pytest.mark.parametrize("arguments", [["list", "--path", "."], ["list", "--help"], ["--version"], ["--unknown"]])
def test_nothing_is_looked_for_where_a_command_of_the_program_runs(site: Site, arguments: list[str]) -> None:
    install(site, "queue", {"queue": "acme_queue:commands", "list": "acme_queue:commands"}, "print('imported')\n")
    code = (
        "import sys, fastsoy_events.cli as cli\n"
        "try:\n    cli.main()\n"
        "finally:\n    print('looked' if 'fastsoy_events.cli._added' in sys.modules else 'quiet')\n"
    )
    path = os.pathsep.join(filter(None, [str(site.folder), os.environ.get("PYTHONPATH")]))
    result = run(site.folder.parent, *arguments, command=(sys.executable, "-c", code), PYTHONPATH=path)
    assert result.stdout.splitlines()[-1:] == ["quiet"]
    assert "imported" not in result.stdout
    assert "warning" not in result.stderr


def test_only_the_package_that_is_asked_for_is_imported(queue: Site) -> None:
    install(queue, "mail", {"mail": "acme_mail:commands"}, "raise RuntimeError('no server')\n")
    result = command(queue, "queue", "status")
    assert (result.returncode, result.stdout, result.stderr) == (0, "empty\n", "")


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("acme_bad:commands", "raise RuntimeError('no\\n server')", "importing it raised RuntimeError: no server"),
        ("acme_bad:commands", "raise SystemExit(3)", "importing it ended with SystemExit: 3: a module must not exit"),
        ("acme_bad:commands", None, "there is no such module (ModuleNotFoundError: No module named 'acme_bad')."),
        ("acme_bad:comands", QUEUE, "the module has no attribute comands, which the entry point names ("),
        ("acme_bad:commands", "commands = print", "its entry point names a builtin_function_or_method. Name a typer."),
        ("acme_bad", QUEUE, "its entry point names a module. Name a typer.Typer, as 'package.module:commands'"),
        ("acme_bad:commands", "import typer\ncommands = typer.Typer()", "Typer refuses them: RuntimeError: Could not"),
        (
            "acme_bad:commands",
            "import typer\ncommands = typer.Typer()\n@commands.command()\ndef f(a: int | str) -> None: ...\n"
            "@commands.command()\ndef g() -> None: ...\n",
            "Typer refuses them: AssertionError: Typer ",
        ),
        (
            "acme-bad",
            None,
            f"the entry point's target 'acme-bad' is no module. Write 'bad = package.bad' in pyproject.toml, under "
            f'[project.entry-points."{GROUP}"]',
        ),
    ],
)
def test_a_broken_package_is_one_line_and_costs_no_other(
    queue: Site, target: str, source: str | None, reason: str
) -> None:
    install(queue, "bad", {"bad": target}, source)
    for arguments, exit_code in (["--help"], 0), (["bad", "status"], 2):
        result = command(queue, *arguments)
        [line] = warnings(result)
        assert line.startswith(f"warning: the commands bad of acme-bad 1.0 are left out: {reason}")
        assert (result.returncode, "queue" in result.stdout) == (exit_code, exit_code == 0)
    assert "No such command 'bad'." in result.stderr
    assert command(queue, "queue", "status").stdout == "empty\n"


def test_metadata_that_cannot_be_read_is_told_where_no_other_package_has_the_command(queue: Site) -> None:
    queue.install("acme-odd", f"[{GROUP}]\nodd = acme_odd:\xff\n".encode("latin-1"))
    [line] = warnings(command(queue, "--help"))
    assert line.startswith("warning: the commands of acme-odd 1.0 are left out: ")
    assert "is not UTF-8" in line
    assert line in command(queue, "odd").stderr.splitlines()
    assert command(queue, "list", "--path", ".").stderr == "note: no handler is registered\n"


def test_a_name_of_the_programs_own_commands_is_refused(queue: Site) -> None:
    install(queue, "list", {"list": "acme_list:commands"}, "print('imported')\n")
    result = command(queue, "--help")
    assert warnings(result) == [
        "warning: the commands list of acme-list 1.0 are left out: fastsoy-events has a command list. Rename the "
        "entry point"
    ]
    assert (result.returncode, "imported" in result.stdout, "queue" in result.stdout) == (0, False, True)


def test_two_packages_with_one_name_are_both_refused(queue: Site) -> None:
    install(queue, "other", {"queue": "acme_other:commands"}, "print('imported')\n")
    install(queue, "mail", {"mail": "acme_mail:commands"}, MAIL)
    for arguments in ["--help"], ["queue", "status"]:
        result = command(queue, *arguments)
        assert warnings(result) == [
            "warning: the commands queue of acme-other 1.0 and acme-queue 1.0 are left out: only one package may "
            "bring commands of that name. Uninstall all but one"
        ]
        assert "imported" not in result.stdout
    assert command(queue, "mail", "send").stdout == "sent\n"


def test_one_distribution_that_is_installed_twice_counts_once(queue: Site, tmp_path: Path) -> None:
    stale = tmp_path / "site" / "acme_queue-0.9.dist-info"
    stale.mkdir()
    (stale / "METADATA").write_text("Name: acme-queue\nVersion: 0.9\n")
    (stale / "entry_points.txt").write_text(f"[{GROUP}]\nqueue = acme_gone:commands\n")
    result = command(queue, "queue", "status")
    assert result.stdout == "empty\n"
    assert result.stderr.startswith("warning: acme-queue is installed twice in ")


def test_entry_points_are_read_as_the_standard_library_reads_them(queue: Site) -> None:
    [found] = importlib.metadata.entry_points(group=GROUP, name="queue")
    assert dict(added("queue", ())) == {"queue": found.load()}
