"""What the module offers to a host; the entry point `audit` names this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

# A module that nobody imports declares nothing, so the entry point's module imports the handlers.
from fastsoy_audit import handlers
from fastsoy_audit.router import router
from fastsoy_events import hookimpl

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["admin_models", "admin_routers", "handlers"]


# Optional: the handlers also work in a host that knows nothing of these hooks.
@hookimpl(optionalhook=True)
def admin_models() -> list[str]:
    """Return the names of the modules that hold this module's tables."""
    return ["fastsoy_audit.models"]


@hookimpl(optionalhook=True)
def admin_routers() -> list[APIRouter]:
    """Return the routes under `/audit`."""
    return [router]
