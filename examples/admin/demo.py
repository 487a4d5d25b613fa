"""Show the whole of it on the real application: `python examples/admin/demo.py`.

Starts the server on a free port of this machine with an empty database, talks to it over HTTP, and stops it. The
application, the three business modules and httpx must be installed. With fastsoy-events-otel and opentelemetry-sdk it
shows a trace as well, and with fastsoy-events-durable that nothing is lost where the server is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from demo_server import DATABASE, FOLDER, FULL_DEPARTMENT, DemoError, Server, is_installed, running_server
from trace_tree import failed_trace


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
            show_crash(Path(folder), log)
        except (DemoError, httpx.HTTPError) as error:
            print(f"\nThe demonstration failed: {error}", file=sys.stderr)
            print(f"The server's log:\n{log.read_text(encoding='utf-8')}", file=sys.stderr)
            return 1
    print("\nDone: the server is stopped, and its database is deleted.")
    return 0


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


def show_crash(folder: Path, log: Path) -> None:
    """Kill the server while it has something to do, and start it again.

    Args:
        folder: where its database is.
        log: where its output goes.
    """
    heading("The server is killed, and nothing is lost")
    if not is_installed("fastsoy-events-durable"):
        print("Not shown: fastsoy-events-durable is not installed.")
        return
    badges = folder / "printer" / "badges.txt"
    with running_server(folder, log, ADMIN_BADGES=str(badges)) as server:
        for name in ("Dan Ember", "Eve Field"):
            server.post("/hr/employees", full_name=name, department_id=1)
        server.kill()
    print("kill -9, while the printer was off: no badge is printed, and the database knows of them")
    show_status(folder)
    badges.parent.mkdir()
    print("The printer is on, and the server is started again. Printed:")
    with running_server(folder, log, ADMIN_BADGES=str(badges)) as server:
        server.wait_for("a badge is printed", times=2)
    print(badges.read_text(encoding="utf-8"), end="")
    show_status(folder)


def show_status(folder: Path) -> None:
    """Print what became of the durable handler's events, as the command line does.

    Args:
        folder: where the database is.
    """
    arguments = ["durable", "status", "--url", f"sqlite+aiosqlite:///{DATABASE}"]
    print("$ fastsoy-events", *arguments, flush=True)
    if subprocess.run([sys.executable, "-m", "fastsoy_events", *arguments], cwd=folder, check=False).returncode:  # noqa: S603
        raise DemoError("'fastsoy-events durable status' failed")


def heading(text: str) -> None:
    """Print a heading.

    Args:
        text: what it says.
    """
    print(f"\n== {text}")


if __name__ == "__main__":
    sys.exit(main())
