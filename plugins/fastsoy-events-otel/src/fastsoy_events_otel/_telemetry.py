"""What OpenTelemetry is told: names after its semantic conventions, and never anything of a payload.

Without an SDK the API's own stand-ins are told, which do nothing. Whenever the application sets an SDK up, they pass on
to it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import StatusCode

from fastsoy_events import EmitDepthError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import TypeAlias

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from fastsoy_events import Handler

    Attributes: TypeAlias = Mapping[str, str | int]

__all__ = ["FAILURES_OF_EMIT", "Running", "count_failure", "emitting", "handling"]

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
ERROR_TYPE = "error.type"
FAILURES_OF_EMIT = "fastsoy_events.failures"
HANDLER_ID = "fastsoy_events.handler.id"
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # the conventions' own


def _own_version() -> str | None:
    try:
        return version("fastsoy-events-otel")
    except PackageNotFoundError:  # it runs from a folder, and nobody has installed it
        return None


_VERSION = _own_version()
_tracer = trace.get_tracer("fastsoy_events_otel", _VERSION, schema_url=SCHEMA)
_meter = metrics.get_meter("fastsoy_events_otel", _VERSION or "", schema_url=SCHEMA)
_emits = _meter.create_counter("fastsoy_events.emits", unit="{emit}", description="Number of emits.")
_failures = _meter.create_counter(
    "fastsoy_events.handler.failures", unit="{failure}", description="Number of failures of handlers."
)
_durations = _meter.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="Duration of handlers.",
    explicit_bucket_boundaries_advisory=BOUNDARIES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the emits of one event, or the runs of one handler, have in common.

    Args:
        name: the name of its spans.
        attributes: of its spans.
        measured: attributes of its measurements: few, each with few values.
        measure: takes the seconds that one run took, and the measurement's attributes.
        records: keep an error with its traceback; not where it goes on to somebody who will.
    """

    name: str
    attributes: Attributes
    measured: Attributes
    measure: Callable[[float, Attributes], None]
    records: bool


class Running:
    """One run of an operation, as a context manager: its span is the current one, and ends with it.

    Args:
        operation: what runs.
    """

    __slots__ = ("_operation", "_span", "_started", "_token")

    _span: Span
    _started: float
    _token: Token[Context] | None

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def __enter__(self) -> Span:
        operation = self._operation
        self._span = span = _tracer.start_span(operation.name, attributes=operation.attributes)
        # Nothing is current where no SDK gave the span an identity. One that is not sampled has an identity, so that
        # spans below it are not either.
        self._token = attach(trace.set_span_in_context(span)) if span.get_span_context().is_valid else None
        self._started = perf_counter()
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = perf_counter() - self._started
        operation, span = self._operation, self._span
        try:
            if error is None:
                operation.measure(seconds, operation.measured)
            else:
                operation.measure(seconds, {**operation.measured, ERROR_TYPE: _type_of(error)})
                _mark(span, error, records=operation.records)
        finally:
            # A coroutine that nobody finishes may be closed in another context, which has no such token.
            if self._token is not None and (not isinstance(error, GeneratorExit) or trace.get_current_span() is span):
                detach(self._token)
            span.end()


def emitting(event: str) -> Operation:
    """Return what the emits of an event have in common.

    Args:
        event: the event's name.
    """
    measured = _attributes("emit", event)
    attributes = {**measured, "messaging.operation.type": "send"}
    return Operation(name=f"emit {event}", attributes=attributes, measured=measured, measure=_count_emit, records=False)


def handling(handler: Handler) -> Operation:
    """Return what the runs of a handler have in common.

    Args:
        handler: the handler.
    """
    measured = _attributes_of(handler)
    file, _, line = handler.source.rpartition(":")
    attributes = {
        **measured,
        "messaging.operation.type": "process",
        "code.file.path": file,
        "code.line.number": int(line),
        HANDLER_ID: handler.id,
    }
    return Operation(
        name=f"handle {handler.event} / {measured['code.function.name']}",
        attributes=attributes,
        measured=measured,
        measure=_durations.record,
        records=True,
    )


def count_failure(handler: Handler, error: BaseException) -> None:
    """Count a failure, as the bus sees it.

    Args:
        handler: the handler that failed.
        error: what it raised.
    """
    _failures.add(1, {**_attributes_of(handler), ERROR_TYPE: _type_of(error)})


def _count_emit(_: float, attributes: Attributes) -> None:
    _emits.add(1, attributes)


def _attributes(operation: str, event: str) -> dict[str, str | int]:
    return {
        "messaging.system": "fastsoy_events",
        "messaging.operation.name": operation,
        "messaging.destination.name": event,
    }


def _attributes_of(handler: Handler) -> dict[str, str | int]:
    return _attributes("handle", handler.event) | {"code.function.name": f"{handler.module}.{handler.qualname}"}


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _mark(span: Span, error: BaseException, *, records: bool) -> None:
    """Mark a span as failed."""
    if not span.is_recording():
        return
    span.set_attribute(ERROR_TYPE, _type_of(error))
    span.set_status(StatusCode.ERROR, _text_of(error))
    # Emits nested too deep end in one error that passes hundreds of spans: none of them is to hold its traceback.
    if records and not isinstance(error, EmitDepthError):
        with suppress(Exception):  # an error that cannot be shown cannot be recorded either
            span.record_exception(error)


def _text_of(error: BaseException) -> str | None:
    with suppress(Exception):
        return str(error) or None
    return None
