"""The application as a process of its own, for the demonstration: it is started, asked, stopped, or killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DATABASE", "FOLDER", "FULL_DEPARTMENT", "DemoError", "Server", "is_installed", "running_server"]

FOLDER = Path(__file__).resolve().parent
START_SECONDS = 60.0
WAIT_SECONDS = 60.0
STOP_SECONDS = 10.0
FULL_DEPARTMENT = 2
ACTOR = {"X-Actor-Id": "7"}
TRACES = "traces.jsonl"
DATABASE = "demo.sqlite3"


class DemoError(Exception):
    """The demonstration cannot go on; its text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """The running application.

    Args:
        process: its process.
        client: talks to it.
        log: the file that its output goes to.
        traces: the file that its spans go to, if it is traced.
    """

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path
    traces: Path

    def get(self, path: str) -> Any:
        """Read something.

        Args:
            path: what to read.

        Returns:
            The answer, decoded.

        Raises:
            DemoError: the application refused.
        """
        response = self.client.get(path)
        if response.is_error:
            raise DemoError(
                f"GET {path} was answered with {response.status_code}. "
                "Are fastsoy-hr, fastsoy-notify and fastsoy-audit installed?"
            )
        return response.json()

    def post(self, path: str, *, expected: int = 201, **body: object) -> Any:
        """Send something, and print the request and the answer.

        Args:
            path: where to.
            expected: the status that the answer must have.
            body: the JSON object to send.

        Returns:
            The answer, decoded.

        Raises:
            DemoError: the answer has another status.
        """
        response = self.client.post(path, json=body, headers=ACTOR)
        print(f"POST {path} {body}\n  {response.status_code} {response.text}")
        if response.status_code != expected:
            raise DemoError(f"POST {path} was answered with {response.status_code}, not with {expected}")
        return response.json()

    def log_lines(self, pattern: str) -> list[str]:
        """Find lines in the application's log.

        Args:
            pattern: the regular expression that they contain.
        """
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if re.search(pattern, line)]

    def wait_for(self, pattern: str, *, times: int) -> None:
        """Wait until lines are in the application's log.

        Args:
            pattern: the regular expression that they contain.
            times: how many lines.

        Raises:
            DemoError: it ended, or they did not come in time.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.log_lines(pattern)) < times:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the server did not say {times} times: {pattern}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill the application, which notices nothing of it."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_server(folder: Path, log: Path, **settings: str) -> Iterator[Server]:
    """Start the application, wait until it answers, and stop it in any case.

    Args:
        folder: where its database goes, and its spans.
        log: where its output goes.
        settings: further environment variables.

    Returns:
        A context manager that gives the running application.

    Raises:
        DemoError: it did not come up.
    """
    command = [sys.executable, "-m", "admin", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(folder) | settings)  # noqa: S603
    try:
        with httpx.Client(base_url=wait_until_ready(process, log), trust_env=False, timeout=30) as client:
            yield Server(process, client, log, folder / TRACES)
    finally:
        stop(process)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of the application.

    Args:
        folder: where its database goes, and its spans.
    """
    can_trace = is_installed("fastsoy-events-otel") and is_installed("opentelemetry-sdk")
    return {
        **os.environ,
        "ADMIN_TRACES": str(folder / TRACES) if can_trace else "",
        "OTEL_SDK_DISABLED": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "ADMIN_DATABASE": str(folder / DATABASE),
        "ADMIN_FULL_DEPARTMENTS": str(FULL_DEPARTMENT),
        "ADMIN_BADGES": "",
        "ADMIN_BROKER": "",
    }


def is_installed(distribution: str) -> bool:
    """Tell whether a distribution is installed.

    Args:
        distribution: its name.
    """
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the application answers.

    Args:
        process: its process.
        log: its log, which says the port.

    Returns:
        Its address.

    Raises:
        DemoError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"the server ended with exit code {process.returncode} while it was starting")
        address = re.search(r"listening on (http://127\.0\.0\.1:\d+)", log.read_text(encoding="utf-8"))
        if address is not None and is_healthy(address[1]):
            return address[1]
        time.sleep(0.05)
    raise DemoError(f"the server did not answer within {START_SECONDS:.0f} seconds")


def is_healthy(address: str) -> bool:
    """Ask the application whether it is up.

    Args:
        address: where it listens.
    """
    try:
        return httpx.get(f"{address}/health", trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the application: first kindly, then by force.

    Args:
        process: its process.
    """
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
