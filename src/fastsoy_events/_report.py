"""Report: everything that the bus logs, on the logger `fastsoy_events`."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from fastsoy_events._record import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events._model import Handler
    from fastsoy_events.errors import PluginError

logger = logging.getLogger("fastsoy_events")


def handler_failed(event: str, handler: Handler, error: BaseException) -> None:
    """Log a handler's failure, at the handler's place. The payload is not logged.

    The record is made here since `Logger.error` would search the stack for its caller, and finds the bus.
    """
    if not logger.isEnabledFor(logging.ERROR):
        return
    file, line, name = _place(handler.source, handler.module, handler.qualname, handler.stable_id)
    record = logging.getLogRecordFactory()(
        logger.name,
        logging.ERROR,
        file,
        line,
        "Event handler error: %s / %s",
        (event, name),
        (type(error), error, error.__traceback__),
        handler.qualname,
    )
    record.event = event
    record.handler = name
    record.plugin = handler.plugin
    record.distribution = handler.distribution
    try:
        logger.handle(record)
    except RecursionError:
        raise  # the stack is exhausted: an emit further out takes care of it
    except Exception:  # noqa: BLE001 - a filter of the host's may raise; that is to stop no handler
        logging.Handler().handleError(record)


@lru_cache(maxsize=1024)
def _place(source: str, module: str, qualname: str, stable_id: str) -> tuple[str, int, str]:
    file, _, line = source.rpartition(":")
    return file, int(line), label_of(module, qualname, stable_id)


def plugin_failed(error: PluginError) -> None:
    """Log why a plugin could not be loaded, with the traceback of its own error."""
    _log(logging.ERROR, "%s", error, error=error.__cause__)


def warning(text: str) -> None:
    """Log what deserves a look although nothing failed."""
    _log(logging.WARNING, "%s", text)


def dropped(events: Sequence[str], error: type[BaseException]) -> None:
    """Say, to whoever looks closely, which deferred events will not run since their block failed."""
    if events:
        words = "Deferred events dropped, since their block ended with %s: %s"
        _log(logging.DEBUG, words, error.__name__, ", ".join(events))


def work_failed(event: str, error: BaseException) -> None:
    """Log that what waited with an event for the end of its block raised."""
    _log(logging.ERROR, "What was deferred with the event has failed: %s", event, error=error)


def extension_failed(hook: str, plugin: str, error: BaseException) -> None:
    """Log that a plugin's extension of the bus raised; it is isolated as a handler is."""
    _log(logging.ERROR, "Event extension error: %s / %s", hook, plugin, error=error)


def _log(level: int, words: str, *values: object, error: BaseException | None = None) -> None:
    try:
        logger.log(level, words, *values, exc_info=error)
    except RecursionError:
        raise  # the stack is exhausted: an emit further out takes care of it
    except Exception:  # noqa: BLE001 - a filter of the host's may raise; that is to stop neither a load nor an emit
        record = logger.makeRecord(logger.name, level, __file__, 0, words, values, None)
        logging.Handler().handleError(record)
