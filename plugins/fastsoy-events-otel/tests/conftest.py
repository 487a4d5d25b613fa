"""The plugin on a bus that holds nothing else, and an SDK that keeps in memory what it is told."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fastsoy_events import bus, load_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from fastsoy_events import PluginBus

FOLDER = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
GROUP = "fastsoy.event_handlers"
SCOPE = "fastsoy_events_otel"


def lay_down(folder: Path, name: str, version: str, entry_points: Mapping[str, str]) -> None:
    """Leave a distribution's metadata in a folder, as pip does."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = (f"{each} = {target}\n" for each, target in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(lines)}", encoding="utf-8")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has the plugin's metadata, so that it does not matter whether pip installed it."""
    folder = tmp_path_factory.mktemp("site")
    lay_down(folder, PROJECT["name"], PROJECT["version"], PROJECT["entry-points"][GROUP])
    return folder


@dataclass(frozen=True, slots=True)
class Spans:
    """The plugin's spans that have ended, in the order in which they ended."""

    exporter: InMemorySpanExporter

    def ended(self) -> list[ReadableSpan]:
        spans = self.exporter.get_finished_spans()
        return [span for span in spans if span.instrumentation_scope and span.instrumentation_scope.name == SCOPE]

    def names(self) -> list[str]:
        return [span.name for span in self.ended()]

    def named(self, start: str) -> ReadableSpan:
        """Return the only span whose name starts so."""
        [span] = [span for span in self.ended() if span.name.startswith(start)]
        return span

    def tree(self) -> list[str]:
        """Return the names, each indented by its depth, children after their parent and by their start."""
        spans = sorted(self.ended(), key=lambda span: span.start_time or 0)
        own = {span.context.span_id for span in spans if span.context}

        def below(parent: int | None, depth: int) -> Iterator[str]:
            for span in spans:
                above = span.parent.span_id if span.parent and span.parent.span_id in own else None
                if above == parent and span.context:
                    yield "  " * depth + span.name
                    yield from below(span.context.span_id, depth + 1)

        return list(below(None, 0))


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Set the SDK up for spans; a process can do so once."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    """Return what the test makes of spans."""
    exporter.clear()
    return Spans(exporter)


@pytest.fixture(scope="session")
def reader() -> InMemoryMetricReader:
    """Set the SDK up for metrics, each collection of which tells what is new."""
    temporality = dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
    reader = InMemoryMetricReader(preferred_temporality=temporality)
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
    return reader


@pytest.fixture
def measured(reader: InMemoryMetricReader) -> Callable[[], dict[str, Any]]:
    """Return what gives the plugin's metrics by name, as the SDK writes them in JSON."""

    def collect() -> dict[str, Any]:
        data = reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        own = [json.loads(scope.to_json()) for scope in scopes if scope.scope.name == SCOPE]
        return {metric["name"]: metric for scope in own for metric in scope["metrics"]}

    collect()
    return collect


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder on `sys.path`, for other plugins; what they import is forgotten afterwards."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "others"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Callable[[str, str], None]:
    """Return what lays another plugin down: its name, and the source of its module."""

    def lay_down_module(name: str, source: str) -> None:
        (site / f"{name}_events.py").write_text(source, encoding="utf-8")
        lay_down(site, name, "1.0", {name: f"{name}_events"})
        importlib.invalidate_caches()

    return lay_down_module


@pytest.fixture
def load(installed: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], PluginBus]]:
    """Return what loads the plugin, and those that the test has laid down, on a bus that is otherwise empty."""
    for name in ("FASTSOY_EVENTS_ALLOWED", "FASTSOY_EVENTS_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(FOLDER / "src")
    monkeypatch.syspath_prepend(installed)

    def load_all() -> PluginBus:
        load_plugins(path=[installed, site], strict=True)
        return bus

    with bus.isolated():
        yield load_all


@pytest.fixture
def traced(load: Callable[[], PluginBus]) -> PluginBus:
    """Load the plugin alone."""
    return load()
