"""Everything that fastsoy-events-durable raises.

```text
EventsError                            of fastsoy_events
└── DurableError                       catches all of the below; what is wrong, where, and what to do
    └── PayloadError  (TypeError)      an emit whose payload cannot be kept as JSON, or lacks the key
```
"""

from __future__ import annotations

from fastsoy_events import EventsError

__all__ = ["DurableError", "PayloadError"]


class DurableError(EventsError):
    """Durable handlers cannot do what they were asked to do; the message says what to do about it."""


class PayloadError(DurableError, TypeError):
    """An emit's payload cannot be kept as JSON, or lacks the keyword that a handler has as its key.

    It is raised to the emitter, before anything is stored and any handler runs.
    """
