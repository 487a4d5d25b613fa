"""Chosen events of fastsoy-events to and from a message broker: NATS JetStream, or Redis Streams."""

from fastsoy_events_relay._errors import RelayError
from fastsoy_events_relay._origin import current_event_id
from fastsoy_events_relay._relay import Relay
from fastsoy_events_relay._tally import Counts

__all__ = ["Counts", "Relay", "RelayError", "current_event_id"]
