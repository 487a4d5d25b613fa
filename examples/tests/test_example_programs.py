"""The programs, as a person runs them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1]


def run(*program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FASTSOY_EVENTS_")}
    return subprocess.run(
        [sys.executable, "-W", "error", *program],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_quickstart_is_short_and_runs(tmp_path: Path) -> None:
    assert len((EXAMPLES / "quickstart.py").read_text(encoding="utf-8").splitlines()) < 30
    result = run(str(EXAMPLES / "quickstart.py"), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Welcome, employee 17!\norder_laptop failed: no laptop is in stock for employee 17\n"
    assert result.stderr.startswith("Event handler error: employee.created / __main__.order_laptop\nTraceback ")


def test_the_demonstration_shows_everything_and_cleans_up(tmp_path: Path) -> None:
    result = run(str(EXAMPLES / "admin/demo.py"), folder=tmp_path, TMPDIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    for pattern in (
        r"INFO fastsoy_events: \d+ plugins, 4 handlers, fingerprint [0-9a-f]+, loaded in \d+ ms\n",
        r"\n1 +employee\.created +admin\.handlers\.reserve_desk ",
        r"\n2 +employee\.created +fastsoy_audit\.handlers\.record_created +audit +fastsoy-audit 0\.1\.0 +async ",
        r"\n3 +employee\.created +fastsoy_notify\.handlers\.send_welcome ",
        r"\n  409 .*cannot go from active to onboarding",
        r"Event handler error: employee\.created / admin\.handlers\.reserve_desk\n",
        r"  3  sent  employee-3@staff\.example  Welcome\n",
        r"  6  employee\.created +employee_id=3, department_id=2, created_by=7\n",
        r"\nbadge\.print +[012] +[012] +0 +0 ",
        r"\nbadge for employee 4\nbadge for employee 5\n\$ ",
        r"\nbadge\.print +0 +0 +2 +0 +-\n",
    ):
        assert re.search(pattern, result.stdout), pattern
    assert list(tmp_path.iterdir()) == []


def test_the_demonstration_says_why_the_server_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvicorn.py").write_text("raise ImportError('uvicorn is broken')\n", encoding="utf-8")
    result = run(str(EXAMPLES / "admin/demo.py"), folder=tmp_path, PYTHONPATH=str(broken))
    assert result.returncode == 1
    assert "The demonstration failed: the server ended with exit code 1" in result.stderr
    assert "ImportError: uvicorn is broken" in result.stderr


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ([], {"ADMIN_FULL_DEPARTMENTS": "x"}, "ADMIN_FULL_DEPARTMENTS is 'x': write numbers "),
        ([], {"ADMIN_DATABASE": "/nowhere/x.db"}, "ADMIN_DATABASE is '/nowhere/x.db', which cannot be opened: "),
        ([], {"ADMIN_BROKER": "http://ada:secret@x"}, "ADMIN_BROKER is no URL of a broker: write one such as nats://"),
        ([], {"ADMIN_BROKER": "nats://ada:secret[@x"}, "ADMIN_BROKER is no URL of a broker: write one such as nats://"),
        ([], {"ADMIN_DATABASE": "postgres:///x?host=/nowhere"}, "ADMIN_DATABASE is postgresql:///x, which cannot be "),
        (["--port", "99999"], {}, "argument --port: '99999' is no port: write a number from 0 to 65535"),
        (["--port", "-1"], {}, "argument --port: '-1' is no port: write a number from 0 to 65535"),
        (["--port", "http"], {}, "argument --port: 'http' is no port: write a number from 0 to 65535"),
    ],
)
def test_the_server_says_which_setting_is_wrong(
    tmp_path: Path, options: list[str], settings: dict[str, str], message: str
) -> None:
    environment = {"PYTHONPATH": str(EXAMPLES / "admin"), **settings}
    result = run("-m", "admin", *options, folder=tmp_path, **environment)
    assert result.returncode == 2
    assert f"admin: error: {message}" in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    ("package", "setting", "message"),
    [
        (
            "fastsoy_events_durable",
            "ADMIN_BADGES",
            "ADMIN_BADGES is set, which needs fastsoy-events-durable: install it",
        ),
        ("fastsoy_events_relay", "ADMIN_BROKER", "ADMIN_BROKER is set, which needs fastsoy-events-relay: "),
    ],
)
def test_the_server_says_which_package_is_missing(tmp_path: Path, package: str, setting: str, message: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from admin.__main__ import main; main()"
    result = run("-c", code, folder=tmp_path, PYTHONPATH=str(EXAMPLES / "admin"), **{setting: "nats://x"})
    assert result.returncode == 2
    assert f"error: {message}" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_server_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run("-m", "admin", "--port", port, folder=tmp_path, PYTHONPATH=str(EXAMPLES / "admin"))
    assert result.returncode == 2
    assert f"admin: error: --port is {port}, on which nothing can listen: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr
