"""The events that this module listens to: each is recorded whole, with every keyword it carries."""

from __future__ import annotations

from fastsoy_audit import service
from fastsoy_events import on

__all__ = ["record_created", "record_status_changed"]


@on("employee.created")
async def record_created(**payload: object) -> None:
    """Record that an employee was created.

    Args:
        payload: everything that the event carries.
    """
    await service.record("employee.created", payload)


@on("employee.status_changed")
async def record_status_changed(**payload: object) -> None:
    """Record that an employee went from one state to another.

    Args:
        payload: everything that the event carries.
    """
    await service.record("employee.status_changed", payload)
