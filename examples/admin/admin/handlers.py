"""The application's own handlers: the host's run before those of every plugin."""

from __future__ import annotations

import logging

from admin.settings import Settings
from fastsoy_events import on

__all__ = ["reserve_desk"]

logger = logging.getLogger("admin")


@on("employee.created")
def reserve_desk(department_id: int, **_: object) -> None:
    """Reserve a desk for a new employee.

    Args:
        department_id: the employee's department.

    Raises:
        LookupError: the department has no free desk. The handlers after this one run all the same.
    """
    if department_id in Settings.from_environment().full_departments:
        raise LookupError("no desk is free in this department")
    logger.info("a desk is reserved")
