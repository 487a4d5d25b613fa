"""Show the whole of it on the real application: `python examples/admin/demo.py`.

Starts the server on a free port of this machine with an empty database, talks to it over HTTP, and stops it. The
application, the three business modules and httpx must be installed. With fastsoy-events-otel and opentelemetry-sdk it
shows a trace as well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from trace_tree import failed_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent
START_SECONDS = 60.0
STOP_SECONDS = 10.0
FULL_DEPARTMENT = 2
ACTOR = {"X-Actor-Id": "7"}
TRACES = "traces.jsonl"


class DemoError(Exception):
    """The demonstration cannot go on; its text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """The running application.

    Args:
        client: talks to it.
        log: the file that its output goes to.
        traces: the file that its spans go to, if it is traced.
    """

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


def main() -> int:
    """Run the demonstration.

    Returns:
        The exit code: 0 when everything went as it should.
    """
    # So that the server is stopped also where somebody ends the demonstration from outside.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="admin-demo-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "server.log")
        try:
            with running_server(Path(folder), log) as server:
                show(server)
        except (DemoError, httpx.HTTPError) as error:
            print(f"\nThe demonstration failed: {error}", file=sys.stderr)
            print(f"The server's log:\n{log.read_text(encoding='utf-8')}", file=sys.stderr)
            return 1
    print("\nDone: the server is stopped, and its database is deleted.")
    return 0


@contextmanager
def running_server(folder: Path, log: Path) -> Iterator[Server]:
    """Start the application, wait until it answers, and stop it in any case.

    Args:
        folder: where its database goes, and its spans.
        log: where its output goes.

    Returns:
        A context manager that gives the running application.

    Raises:
        DemoError: it did not come up.
    """
    command = [sys.executable, "-m", "admin", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(folder))  # noqa: S603
    try:
        with httpx.Client(base_url=wait_until_ready(process, log), trust_env=False, timeout=30) as client:
            yield Server(client, log, folder / TRACES)
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
        "ADMIN_DATABASE": str(folder / "demo.sqlite3"),
        "ADMIN_FULL_DEPARTMENTS": str(FULL_DEPARTMENT),
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


def show(server: Server) -> None:
    """Go through everything that there is to see.

    Args:
        server: the running application.
    """
    heading("The application has started; it imports no business module")
    print(*server.log_lines(r" fastsoy_events: \d+ plugins, "), sep="\n")
    show_handlers()
    show_work(server)
    show_failure(server)
    show_results(server)
    show_trace(server)


def show_handlers() -> None:
    """Print the table of handlers, as the command line does."""
    heading("The handlers that were discovered, in dispatch order")
    command = [sys.executable, "-m", "fastsoy_events", "list", "--app", "admin.app:app"]
    sys.stdout.flush()
    if subprocess.run(command, cwd=FOLDER, check=False).returncode:  # noqa: S603
        raise DemoError("'fastsoy-events list' failed. Is fastsoy-events installed with its extra [cli]?")


def show_work(server: Server) -> None:
    """Create employees, and change their states.

    Args:
        server: the running application.
    """
    heading("Employees, over HTTP")
    sales = server.post("/hr/departments", name="Sales")["id"]
    ada = server.post("/hr/employees", full_name="Ada Brook", department_id=sales)["id"]
    server.post("/hr/employees", full_name="Ben Castle", department_id=sales)
    for state in ("active", "on_leave", "active"):
        server.post(f"/hr/employees/{ada}/state", expected=200, state=state)

    heading("A state that cannot follow is refused, and nothing is emitted")
    server.post(f"/hr/employees/{ada}/state", expected=409, state="onboarding")


def show_failure(server: Server) -> None:
    """Let one handler fail.

    Args:
        server: the running application.
    """
    heading("A handler fails, on purpose: this department has no free desk")
    full = server.post("/hr/departments", name="Attic")["id"]
    if full != FULL_DEPARTMENT:
        raise DemoError(f"the department without desks must be number {FULL_DEPARTMENT}, not {full}")
    server.post("/hr/employees", full_name="Cleo Dale", department_id=full)
    print("The request succeeded, and the other handlers ran: see employee 3 below. The server's log says:")
    failures = server.log_lines("Event handler error: ")
    if len(failures) != 1:
        raise DemoError(f"one handler should have failed, not {len(failures)}")
    print(f"  {failures[0]}\n  {server.log_lines('LookupError: ')[0]}")


def show_results(server: Server) -> None:
    """Print what the handlers have written.

    Args:
        server: the running application.
    """
    heading("The messages that fastsoy-notify has stored and sent")
    for message in server.get("/notify/messages"):
        state = "sent" if message["sent_at"] else "not sent"
        print(f"  {message['id']}  {state}  {message['recipient']}  {message['subject']}")

    heading("The rows that fastsoy-audit has written")
    for entry in server.get("/audit/entries"):
        payload = ", ".join(f"{key}={value}" for key, value in entry["payload"].items())
        print(f"  {entry['id']}  {entry['event']:<24}  {payload}")


def show_trace(server: Server) -> None:
    """Print the spans of the request whose handler failed, each below the one that it is part of.

    Args:
        server: the running application.
    """
    heading("That request with the failure, as a trace")
    if not server.traces.exists():
        print("Not shown: fastsoy-events-otel or opentelemetry-sdk is not installed.")
        return
    lines = failed_trace(server.traces)
    if not lines:
        raise DemoError("no span is marked as failed")
    print(*lines, sep="\n")


def heading(text: str) -> None:
    """Print a heading.

    Args:
        text: what it says.
    """
    print(f"\n== {text}")


if __name__ == "__main__":
    sys.exit(main())
