"""Where spans go: to a file, if `ADMIN_TRACES` names one.

This is all that an application does to be traced. FastAPI makes spans of requests by itself, and fastsoy-events-otel,
where it is installed, of emits and handlers, as soon as somebody sets up OpenTelemetry's SDK.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from admin.settings import SettingsError

if TYPE_CHECKING:
    from admin.settings import Settings

__all__ = ["write_spans"]


def write_spans(settings: Settings) -> None:
    """Have every span that ends written to a file, one line of JSON each, until the program ends.

    Args:
        settings: which file; without one, nothing is written, and OpenTelemetry need not be installed.

    Raises:
        SettingsError: the file cannot be written, or OpenTelemetry's SDK is not installed.
    """
    if settings.traces is None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"ADMIN_TRACES is {str(settings.traces)!r}, which needs OpenTelemetry's SDK: install opentelemetry-sdk, "
            "or unset the variable"
        ) from error
    try:
        file = settings.traces.open("w", encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"ADMIN_TRACES is {str(settings.traces)!r}, which cannot be written: {error.strerror}. "
            "Write the path of a file in a folder that exists"
        ) from error
    atexit.register(file.close)  # after the provider below has ended: the last to register is the first to run
    provider = TracerProvider()
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
