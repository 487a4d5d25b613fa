"""What the module does, apart from events and HTTP."""

from __future__ import annotations

from fastsoy_audit.models import AuditEntry

__all__ = ["record"]


async def record(event: str, payload: dict[str, object]) -> AuditEntry:
    """Write one event to the audit table.

    Args:
        event: the event's name.
        payload: what it carries; values that JSON does not know are stored as their text.

    Returns:
        The stored entry.
    """
    return await AuditEntry.create(event=event, payload=payload)
