"""The application: `uvicorn admin.app:app`.

It imports no business module. What is installed beside it decides which handlers run and which routes exist.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from tortoise.context import TortoiseContext

# Imported for its `@on`: a module that nobody imports declares nothing.
from admin import handlers as host_handlers
from admin import hookspecs
from admin.settings import Settings
from fastsoy_events import bus, handlers, load_plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["app", "create_app", "host_handlers"]

logger = logging.getLogger("admin")
router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Say that the application is up."""
    return {"status": "ok"}


@router.get("/events/handlers")
async def list_handlers() -> list[dict[str, str | int]]:
    """List all handlers in dispatch order, without any path of the server."""
    return [handler.as_dict(relative=True) for handler in handlers()]


def create_app() -> FastAPI:
    """Make the application; its plugins are loaded when it starts.

    Returns:
        The application. It may be started and stopped more than once.
    """
    application = FastAPI(title="Admin", lifespan=_lifespan)
    application.state.mounted = []
    application.include_router(router)
    return application


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    bus.add_hookspecs(hookspecs)
    settings = Settings.from_environment()
    report = load_plugins()
    _mount(application, chain.from_iterable(bus.hook.admin_routers()))
    async with _database(settings, chain.from_iterable(bus.hook.admin_models())):
        loaded = sum(plugin.status == "loaded" for plugin in report.plugins)
        logger.info(
            "fastsoy-events: %d plugins, %d handlers, fingerprint %s", loaded, len(handlers()), report.fingerprint
        )
        yield


def _mount(application: FastAPI, routers: Iterable[APIRouter]) -> None:
    mounted: list[APIRouter] = application.state.mounted
    for plugin_router in routers:
        if plugin_router not in mounted:
            application.include_router(plugin_router)
            mounted.append(plugin_router)


@asynccontextmanager
async def _database(settings: Settings, modules: Iterable[str]) -> AsyncIterator[None]:
    apps: dict[str, list[str]] = {}
    for module in modules:
        apps.setdefault(module.partition(".")[0], []).append(module)
    if not apps:
        yield
        return
    settings.check_database()
    async with TortoiseContext() as context:
        await context.init(
            config={
                "connections": {
                    "default": {
                        "engine": "tortoise.backends.sqlite",
                        "credentials": {"file_path": str(settings.database)},
                    }
                },
                "apps": {name: {"models": models} for name, models in apps.items()},
            },
            # Requests run in other tasks than this one.
            _enable_global_fallback=True,
        )
        await context.generate_schemas()
        yield


app = create_app()
