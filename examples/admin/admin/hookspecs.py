"""What a business module may offer to this application, besides event handlers.

The application adds these specifications to the bus; a module implements those it needs, under the same names, with
`fastsoy_events.hookimpl`. So neither imports the other: the names below are all that they share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events import hookspec

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["admin_models", "admin_routers"]


@hookspec
def admin_models() -> list[str]:  # type: ignore[empty-body]
    """Return the dotted names of the modules that hold the module's Tortoise models.

    The models of one top-level package become one Tortoise app, named after that package. So two packages may have a
    model of the same name. Relations name the related model's class.
    """


@hookspec
def admin_routers() -> list[APIRouter]:  # type: ignore[empty-body]
    """Return the routers to mount, each with its own path prefix."""
