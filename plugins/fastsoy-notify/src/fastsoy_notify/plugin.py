"""What the module offers to a host; the entry point `notify` names this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events import hookimpl

# A module that nobody imports declares nothing, so the entry point's module imports the handlers.
from fastsoy_notify import handlers
from fastsoy_notify.router import router

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["admin_models", "admin_routers", "handlers"]


# Optional: the handlers also work in a host that knows nothing of these hooks.
@hookimpl(optionalhook=True)
def admin_models() -> list[str]:
    """Return the names of the modules that hold this module's tables."""
    return ["fastsoy_notify.models"]


@hookimpl(optionalhook=True)
def admin_routers() -> list[APIRouter]:
    """Return the routes under `/notify`."""
    return [router]
