"""Starlette and FastAPI: load the plugins when the application starts."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastsoy_events import bus, handlers, load_plugins

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Collection, Sequence

    from fastsoy_events import LoadReport

__all__ = ["events_lifespan"]

_logger = logging.getLogger("fastsoy_events")


def events_lifespan(
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    *,
    strict: bool = False,
    allowed: Collection[str] | None = None,
    disabled: Collection[str] = (),
    order: Sequence[str] = (),
    lock: str | os.PathLike[str] | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """Return a lifespan that loads the plugins, then enters the application's own, then starts the plugins.

    At the end the plugins are shut down in reverse order, and then the application's own lifespan ends. One line is
    logged at INFO: how many plugins and handlers, the fingerprint, and the milliseconds that loading took.

    Args:
        lifespan: the application's own; plugins may need what it opens, such as a database, when they start.
        strict: as `load_plugins` takes it.
        allowed: likewise.
        disabled: likewise.
        order: likewise.
        lock: likewise.

    Returns:
        What `FastAPI(lifespan=...)` and `Starlette(lifespan=...)` take. What the own lifespan yields is passed on.

    Example:
        >>> from contextlib import asynccontextmanager
        >>> import asyncio
        >>> @asynccontextmanager
        ... async def database(app):
        ...     print("opened")
        ...     yield
        ...     print("closed")
        >>> async def start_and_stop():
        ...     async with events_lifespan(database)(None):
        ...         print("serving")
        >>> asyncio.run(start_and_stop())
        opened
        serving
        closed
    """

    @asynccontextmanager
    async def whole(application: Any) -> AsyncGenerator[Any]:
        started = perf_counter()
        report = load_plugins(strict=strict, allowed=allowed, disabled=disabled, order=order, lock=lock)
        _log(report, perf_counter() - started)
        async with nullcontext() if lifespan is None else lifespan(application) as state:
            await bus.startup()
            try:
                yield state
            finally:
                await bus.shutdown()

    return whole


def _log(report: LoadReport, seconds: float) -> None:
    loaded = sum(plugin.status == "loaded" for plugin in report.plugins)
    _logger.info(
        "%d plugins, %d handlers, fingerprint %s, loaded in %.0f ms",
        loaded,
        len(handlers()),
        report.fingerprint,
        seconds * 1000,
    )
