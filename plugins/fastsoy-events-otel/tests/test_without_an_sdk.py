"""With the API alone, nothing is told to anybody, and everything else is as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

SOURCES = Path(__file__).resolve().parents[1] / "src"


def run(site: Path, program: str) -> str:
    """Run a program on which no SDK is to be found, and return what it prints."""
    head = "import sys\nsys.modules['opentelemetry.sdk'] = None\n"
    path = os.pathsep.join([str(site), str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FASTSOY_EVENTS_", "OTEL_"))}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", head + dedent(program)],
        env={**clean, "PYTHONPATH": path, "SITE": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


HANDLERS = """
    import asyncio, contextvars, os
    from opentelemetry import trace
    from fastsoy_events import deferred, emit, load_plugins, on

    load_plugins(path=[os.environ["SITE"]], strict=True)
    inside = []

    @on("employee.created")
    async def greet(employee_id, **_):
        span = trace.get_current_span()
        print("welcome", employee_id, span.is_recording(), span.get_span_context().trace_id)
        inside.extend(each.name for each in contextvars.copy_context())

    @on("employee.created")
    def fail(**_):
        raise LookupError("no desk is free")
"""


def test_handlers_run_and_fail_as_ever_and_nothing_is_current(installed: Path) -> None:
    program = f"""{HANDLERS}
    async def main():
        [failure] = await emit("employee.created", employee_id=17)
        print(failure)
        async with deferred():
            await emit("employee.created", employee_id=18)
        print([name for name in inside if "context" in name])  # OpenTelemetry has one variable, current_context

    asyncio.run(main())
    """
    output = run(installed, program).splitlines()
    assert output[0] == "welcome 17 False 0"
    assert output[1] == "employee.created / __main__.fail: LookupError: no desk is free"
    assert output[2:] == ["welcome 18 False 0", "[]"]


def test_the_trace_of_a_caller_goes_on_through_the_bus(installed: Path) -> None:
    program = f"""{HANDLERS}
    caller = trace.NonRecordingSpan(trace.SpanContext(trace_id=7, span_id=8, is_remote=True))
    with trace.use_span(caller):
        asyncio.run(emit("employee.created", employee_id=17))
    """
    assert run(installed, program) == "welcome 17 False 7\n"


def test_an_sdk_may_be_set_up_after_the_plugin_was_loaded(installed: Path) -> None:
    program = f"""
    del sys.modules["opentelemetry.sdk"]
    {HANDLERS}
    asyncio.run(emit("employee.created", employee_id=17))

    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    asyncio.run(emit("employee.created", employee_id=18))
    print([span.name for span in exporter.get_finished_spans()])
    [resource] = reader.get_metrics_data().resource_metrics
    scopes = {{scope.scope.name: scope.metrics for scope in resource.scope_metrics}}
    print(sorted(metric.name for metric in scopes["fastsoy_events_otel"]))
    """
    first, second, spans, metrics = run(installed, program).splitlines()
    assert (first, second.rpartition(" ")[0]) == ("welcome 17 False 0", "welcome 18 True")
    assert spans == str(
        [
            "handle employee.created / __main__.greet",
            "handle employee.created / __main__.fail",
            "emit employee.created",
        ]
    )
    assert metrics == str(["fastsoy_events.emits", "fastsoy_events.handler.failures", "messaging.process.duration"])
