"""What the module offers to a host; the entry point `hr` names this file.

It declares no handlers: employees are where the events come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events import hookimpl
from fastsoy_hr.router import router

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["admin_models", "admin_routers"]


# Optional: the events also work in a host that knows nothing of these hooks.
@hookimpl(optionalhook=True)
def admin_models() -> list[str]:
    """Return the names of the modules that hold this module's tables."""
    return ["fastsoy_hr.models"]


@hookimpl(optionalhook=True)
def admin_routers() -> list[APIRouter]:
    """Return the routes under `/hr`."""
    return [router]
