"""A badge for each new employee, from a printer that may be off: it is printed all the same, also after a crash."""

from __future__ import annotations

import logging

from fastsoy_events_durable import Retry

from admin.durable import durable
from admin.settings import Settings

__all__ = ["print_badge"]

logger = logging.getLogger("admin")


@durable.on("employee.created", id="badge.print", retry=Retry(attempts=1000, first=0.2, longest=5.0))
def print_badge(employee_id: int, **_: object) -> None:
    """Print a badge, which is a line in a file. While the file's folder is missing, the printer is off.

    Args:
        employee_id: the employee's number.

    Raises:
        OSError: the printer is off. The handler is called again later.
    """
    printer = Settings.from_environment().badges
    if printer is not None:
        with printer.open("a", encoding="utf-8") as paper:
            paper.write(f"badge for employee {employee_id}\n")
        logger.info("a badge is printed")
