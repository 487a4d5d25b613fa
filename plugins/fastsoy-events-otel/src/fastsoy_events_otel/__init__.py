"""OpenTelemetry for fastsoy-events: a span for each emit and each handler, and metrics."""
