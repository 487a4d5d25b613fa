"""The application, traced: fastsoy-events-otel is installed, and somebody sets an SDK up; that is all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    import httpx
    from fastapi import FastAPI
    from opentelemetry.sdk.trace import ReadableSpan

    Running = Callable[[FastAPI], AbstractAsyncContextManager[httpx.AsyncClient]]

ADMIN = Path(__file__).resolve().parents[1] / "admin"
TREE = [
    "POST /hr/employees",
    "emit employee.created",
    "handle employee.created / admin.handlers.reserve_desk",
    "handle employee.created / fastsoy_audit.handlers.record_created",
    "handle employee.created / fastsoy_notify.handlers.send_welcome",
]


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Set the SDK up, unless that was done: a process can do so once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, application: FastAPI) -> Iterator[None]:
    """Let the application find the plugin, too."""
    monkeypatch.setenv("FASTSOY_EVENTS_ALLOWED", "fastsoy-hr,fastsoy-notify,fastsoy-audit,fastsoy-events-otel")
    exporter.clear()
    yield
    exporter.clear()


def path_to_root(span: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> Iterator[str]:
    by_id = {each.context.span_id: each for each in spans if each.context}
    above: ReadableSpan | None = span
    while above is not None:
        if not above.name.startswith("fastapi."):  # what FastAPI does on the way
            yield above.name
        above = by_id[above.parent.span_id] if above.parent else None


@pytest.mark.usefixtures("spans")
async def test_a_request_is_one_trace_from_its_route_to_each_handler(
    application: FastAPI, running: Running, exporter: InMemorySpanExporter
) -> None:
    async with running(application) as client:
        for name in ("Sales", "Attic"):
            await client.post("/hr/departments", json={"name": name})
        exporter.clear()
        await client.post("/hr/employees", json={"full_name": "Cleo Dale", "department_id": 2})
    spans = exporter.get_finished_spans()
    request, emitted, *handled = TREE
    found = {span.name: span for span in spans}
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    for name in handled:
        assert list(path_to_root(found[name], spans)) == [name, emitted, request]
    failed = [span.name for span in spans if span.status.status_code is StatusCode.ERROR]
    assert failed == ["handle employee.created / admin.handlers.reserve_desk"]
    assert "Cleo Dale" not in "".join(span.to_json() for span in spans)


def run(*program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FASTSOY_EVENTS_", "OTEL_"))}
    path = os.pathsep.join([str(folder), str(ADMIN), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-W", "error", *program],
        cwd=folder,
        env={**clean, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_demonstration_shows_a_trace(tmp_path: Path) -> None:
    result = run(str(ADMIN / "demo.py"), folder=tmp_path, TMPDIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.partition("== That request with the failure, as a trace\n")[2].splitlines()
    shown = [(line, name) for line in lines for name in TREE if line.strip().startswith(f"{name}  ")]
    assert [name for _, name in shown] == TREE, result.stdout
    request, emitted, *handled = [len(line) - len(line.lstrip()) for line, _ in shown]
    assert request < emitted
    assert handled == [emitted + 2] * 3
    assert "admin.handlers.reserve_desk" in next(line for line in lines if line.endswith("  LookupError"))


def test_a_file_of_spans_is_drawn_as_a_tree(tmp_path: Path) -> None:
    def span(name: str, parent: str | None, start: int, *, status: str = "UNSET", of_trace: str = "1") -> str:
        record = {
            "name": name,
            "context": {"trace_id": of_trace, "span_id": name},
            "parent_id": parent,
            "start_time": f"2031-04-01T12:00:00.{start:06}Z",
            "end_time": "2031-04-01T12:00:01.000000Z",
            "status": {"status_code": status},
            "attributes": {"error.type": "LookupError"} if status == "ERROR" else {},
        }
        return json.dumps(record) + "\n"

    file = tmp_path / "traces.jsonl"
    file.write_text(
        span("other", None, 0, of_trace="2")
        + span("second", "root", 500000)
        + span("below", "first", 250000, status="ERROR")
        + span("first", "root", 250000)
        + span("root", None, 0),
        encoding="utf-8",
    )
    result = run(str(ADMIN / "trace_tree.py"), str(file), folder=tmp_path)
    assert result.stdout == (
        "  root  1000.0 ms\n    first  750.0 ms\n      below  750.0 ms  LookupError\n    second  500.0 ms\n"
    )


def test_the_server_says_that_the_file_for_spans_cannot_be_written(tmp_path: Path) -> None:
    result = run("-m", "admin", "--port", "0", folder=tmp_path, ADMIN_TRACES="/nowhere/traces.jsonl")
    assert result.returncode == 2
    assert "admin: error: ADMIN_TRACES is '/nowhere/traces.jsonl', which cannot be written: " in result.stderr
    assert "Traceback" not in result.stderr


def test_the_server_says_that_an_sdk_is_missing(tmp_path: Path) -> None:
    code = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; from admin.__main__ import main; main()"
    result = run("-c", code, folder=tmp_path, ADMIN_TRACES=str(tmp_path / "traces.jsonl"))
    assert result.returncode == 2
    assert f"error: ADMIN_TRACES is '{tmp_path}/traces.jsonl', which needs OpenTelemetry's SDK: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "traces.jsonl").exists()
