"""The application: `uvicorn admin.app:app`.

It imports no business module. What is installed beside it decides which handlers run and which routes exist.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from tortoise.context import TortoiseContext

# Imported for its `@on`: a module that nobody imports declares nothing.
from admin import handlers as host_handlers
from admin import hookspecs
from admin.optional import switched_on
from admin.settings import Settings
from fastsoy_events import bus, handlers
from fastsoy_events.contrib.starlette import events_lifespan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ["app", "create_app", "host_handlers"]

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
    bus.add_hookspecs(hookspecs)
    application = FastAPI(title="Admin", lifespan=events_lifespan(_lifespan))
    application.state.mounted = []
    application.state.optional = switched_on(Settings.from_environment())
    application.include_router(router)
    return application


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Mount the plugins' routes, and open the database: the plugins are loaded by now, and start with what is open."""
    settings = Settings.from_environment()
    _mount(application, chain.from_iterable(bus.hook.admin_routers()))
    modules = list(chain.from_iterable(bus.hook.admin_models()))
    if not modules:
        yield
        return
    async with _database(settings, modules), AsyncExitStack() as stack:
        for part in application.state.optional:
            await stack.enter_async_context(part())
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
    await settings.check_database()
    name, connection = settings.connection
    async with TortoiseContext() as context:
        await context.init(
            config={
                "connections": {name: connection},
                "apps": {each: {"models": models, "default_connection": name} for each, models in apps.items()},
            },
            # Requests run in other tasks than this one.
            _enable_global_fallback=True,
        )
        await context.generate_schemas()
        yield


app = create_app()
