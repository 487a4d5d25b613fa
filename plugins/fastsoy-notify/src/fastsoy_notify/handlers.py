"""The events that this module listens to."""

from __future__ import annotations

from fastsoy_events import on
from fastsoy_notify import service

__all__ = ["send_welcome"]


@on("employee.created")
async def send_welcome(employee_id: int, **_: object) -> None:
    """Welcome a new employee.

    Args:
        employee_id: the employee's number. Further keywords of the event, also future ones, are left alone.
    """
    await service.welcome(employee_id)
