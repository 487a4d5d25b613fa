"""Durable handlers for fastsoy-events: one row per event and handler in the application's own database.

Importing this package imports no database library: `Durable(...)` does.
"""

from fastsoy_events_durable._context import current_event_id
from fastsoy_events_durable._durable import Durable, durables
from fastsoy_events_durable._model import Count, Orphan, Retry, Stored
from fastsoy_events_durable.errors import DurableError, PayloadError

__all__ = [
    "Count",
    "Durable",
    "DurableError",
    "Orphan",
    "PayloadError",
    "Retry",
    "Stored",
    "current_event_id",
    "durables",
]
