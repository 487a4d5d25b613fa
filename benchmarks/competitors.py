"""What the bus is compared with. Each is used as its own documentation says, from one line of code that is timed."""

from __future__ import annotations

import importlib
import inspect
import logging
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Handler: TypeAlias = "Callable[..., Any]"
Namespace: TypeAlias = "dict[str, Any]"

EVENT = "employee.created"
KEYWORDS = {"employee_id": 1, "department_id": 2, "created_by": 3}
LIMIT_LOGGER = "benchmarks.limit"
DICTIONARY_LOGGER = "benchmarks.dictionary"
ERROR_LOGGER = "benchmarks.error_listener"


@dataclass(frozen=True, slots=True)
class Case:
    """One event: how many handlers it has, of which kind, and how many keywords an emit carries."""

    name: str
    handlers: int
    kind: Literal["async", "sync", "suspending", "raising"] = "async"
    keywords: int = 3

    @property
    def names(self) -> tuple[str, ...]:
        """The keywords' names."""
        return tuple(KEYWORDS)[: self.keywords]


class Competitor:
    """A way to call handlers.

    Class attributes:
        name: as the tables show it.
        distribution: whose version is named; empty for what is written here.
        module: must be importable.
        statement: the line that is timed; `{keywords}` becomes `employee_id=1, ...`, `{mapping}` the same as a `dict`.
        loggers: where it reports failures: silenced for all alike.
        remarks: what it does not do, or does besides, for the table.
        before, takes_keywords, after: the parameters of a handler, which get what this competitor passes.
        sync_only: it cannot call `async def` handlers, or not wait for them.
    """

    name: ClassVar[str]
    distribution: ClassVar[str] = ""
    module: ClassVar[str] = ""
    statement: ClassVar[str]
    loggers: ClassVar[tuple[str, ...]] = ()
    remarks: ClassVar[str] = ""
    before: ClassVar[tuple[str, ...]] = ()
    takes_keywords: ClassVar[bool] = True
    after: ClassVar[tuple[str, ...]] = ()
    sync_only: ClassVar[bool] = False

    def missing(self) -> str:
        """Return why it cannot take part on this interpreter, empty when it can."""
        try:
            if self.module:
                importlib.import_module(self.module)
        except Exception as error:  # noqa: BLE001 - a peer's import may raise anything; the report names it
            return f"{type(error).__name__}: {error}"
        return ""

    def version(self) -> str:
        """Return the version that is installed."""
        return version(self.distribution) if self.distribution else ""

    def parameters(self, case: Case) -> str:
        """Return the parameters of a handler, as source."""
        return ", ".join([*self.before, *(case.names if self.takes_keywords else ()), *self.after])

    def line(self, case: Case) -> str:
        """Return the line that is timed, as source."""
        keywords = ", ".join(f"{name}={KEYWORDS[name]}" for name in case.names)
        mapping = {name: KEYWORDS[name] for name in case.names}
        return self.statement.format(keywords=keywords, mapping=mapping)

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Register the handlers, and return the names that the line uses."""
        raise NotImplementedError

    async def tear_down(self, namespace: Namespace) -> None:
        """End what runs in the background."""


class Limit(Competitor):
    """Limit A: what a careful person writes by hand for one event whose handlers are known."""

    name = "limit A: a hand-written loop"
    statement = "await emit({keywords})"
    loggers = (LIMIT_LOGGER,)
    remarks = "no registry, no event name, no report of failures; a function for async handlers, another for plain ones"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Write the loop."""
        ready = tuple(handlers)
        log = logging.getLogger(LIMIT_LOGGER)

        async def emit_async(**kw: object) -> None:
            for h in ready:
                try:
                    await h(**kw)
                except Exception:
                    log.exception("Event handler error")

        async def emit_sync(**kw: object) -> None:
            for h in ready:
                try:
                    h(**kw)
                except Exception:
                    log.exception("Event handler error")

        return {"emit": emit_sync if case.kind == "sync" else emit_async}


class FastsoyByName(Competitor):
    """This bus, by the event's name."""

    name = "fastsoy-events, by name"
    distribution = "fastsoy-events"
    module = "fastsoy_events"
    statement = f'await emit("{EVENT}", {{keywords}})'
    loggers = ("fastsoy_events",)

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Register on a bus of its own."""
        from fastsoy_events import EventBus

        bus = EventBus()
        for handler in handlers:
            bus.on(EVENT)(handler)
        return {"emit": bus.emit}


class FastsoyByContract(FastsoyByName):
    """This bus, by an event object."""

    name = "fastsoy-events, by event object"
    statement = "await event.emit({keywords})"
    remarks = "the event has a declared contract"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Declare the contract on a bus of its own, and register by name."""
        from fastsoy_events import EventBus

        bus = EventBus()
        source: Namespace = {}
        parameters = ", ".join(["*", *case.names]) if case.names else ""
        exec(f"def declared({parameters}): ...", source)  # noqa: S102 - from the names above
        event = bus.event(EVENT)(source["declared"])
        for handler in handlers:
            bus.on(EVENT)(handler)
        return {"event": event}


class DictionaryBus(Competitor):
    """The bus of thirty lines that many applications have."""

    name = "dictionary bus"
    statement = f'await emit("{EVENT}", {{keywords}})'
    loggers = (DICTIONARY_LOGGER,)
    remarks = "asks `inspect.iscoroutinefunction` at every call; does not await objects with `async __call__`"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Fill the dictionary."""
        registered: dict[str, list[Handler]] = {EVENT: list(handlers)} if handlers else {}
        log = logging.getLogger(DICTIONARY_LOGGER)

        async def emit(event: str, **kwargs: object) -> None:
            for handler in registered.get(event, []):
                try:
                    if inspect.iscoroutinefunction(handler):
                        await handler(**kwargs)
                    else:
                        handler(**kwargs)
                except Exception:
                    log.exception("Event handler error: %s", event)

        return {"emit": emit}


class BlinkerAsync(Competitor):
    """Blinker's signal, awaited; plain receivers through the wrapper that its documentation shows."""

    name = "blinker `send_async`"
    distribution = "blinker"
    module = "blinker"
    statement = "await signal.send_async(None, _sync_wrapper=wrapper, {keywords})"
    before = ("sender",)
    remarks = "returns the results; references are weak"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Connect the receivers."""
        from blinker import Signal

        signal = Signal()
        for handler in handlers:
            signal.connect(handler)

        def wrapper(function: Handler) -> Handler:
            async def inner(*args: object, **kwargs: object) -> object:
                return function(*args, **kwargs)

            return inner

        return {"signal": signal, "wrapper": wrapper, "kept": handlers}


class BlinkerSync(BlinkerAsync):
    """Blinker's signal, called."""

    name = "blinker `send`"
    statement = "signal.send(None, {keywords})"
    sync_only = True


class DjangoAsync(Competitor):
    """Django's signal, awaited."""

    name = "Django `asend_robust`"
    distribution = "django"
    module = "django.dispatch"
    statement = "await signal.asend_robust(None, {keywords})"
    loggers = ("django.dispatch", "django")
    after = ("**kwargs",)
    remarks = "a task for each async receiver; plain ones run before them, in a thread; references are weak"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Connect the receivers."""
        from django.conf import settings
        from django.dispatch import Signal

        if not settings.configured:
            settings.configure()
        signal = Signal()
        for handler in handlers:
            signal.connect(handler)
        return {"signal": signal, "kept": handlers}


class DjangoSync(DjangoAsync):
    """Django's signal, called."""

    name = "Django `send_robust`"
    statement = "signal.send_robust(None, {keywords})"
    sync_only = True
    remarks = "references are weak"


class Pyee(Competitor):
    """Pyee's emitter for asyncio; its handlers are tasks, so it is only done once they are complete."""

    name = "pyee `AsyncIOEventEmitter`"
    distribution = "pyee"
    module = "pyee.asyncio"
    statement = f'emitter.emit("{EVENT}", {{keywords}}); await emitter.wait_for_complete()'
    loggers = (ERROR_LOGGER,)
    remarks = "a task for each async handler; a failure is a second event, whose listener logs it here"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Add the listeners, and one for errors."""
        from pyee.asyncio import AsyncIOEventEmitter

        emitter = AsyncIOEventEmitter()
        log = logging.getLogger(ERROR_LOGGER)

        def log_error(error: Exception) -> None:
            log.error("Event handler error", exc_info=error)

        emitter.add_listener("error", log_error)
        for handler in handlers:
            emitter.add_listener(EVENT, handler)
        return {"emitter": emitter}


class Aiosignal(Competitor):
    """The signal of aiohttp."""

    name = "aiosignal"
    distribution = "aiosignal"
    module = "aiosignal"
    statement = "await signal.send({keywords})"
    remarks = "a frozen list with one loop: no names; async receivers only"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Fill the signal and freeze it."""
        from aiosignal import Signal

        signal: Any = Signal(owner=None)
        signal.extend(handlers)
        signal.freeze()
        return {"signal": signal}


class Pluggy(Competitor):
    """The plugin manager of pytest."""

    name = "pluggy"
    distribution = "pluggy"
    module = "pluggy"
    statement = "manager.hook.employee_created({keywords})"
    sync_only = True
    remarks = "plain functions only; collects the results"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Register one plugin for each handler."""
        import pluggy

        names: Namespace = {"specification": pluggy.HookspecMarker("benchmark")}
        exec(f"@specification\ndef employee_created({', '.join(case.names)}): ...", names)  # noqa: S102 - source made here
        specification: Any = type("Specification", (), {"employee_created": staticmethod(names["employee_created"])})
        manager = pluggy.PluginManager("benchmark")
        manager.add_hookspecs(specification)
        implementation = pluggy.HookimplMarker("benchmark")
        for place, handler in enumerate(handlers):
            plugin = type("Plugin", (), {"employee_created": staticmethod(implementation(handler))})
            manager.register(plugin, name=f"plugin_{place}")
        return {"manager": manager}


class NitroAsync(Competitor):
    """The hooks of nitro-dispatch, awaited."""

    name = "nitro-dispatch `trigger_async`"
    distribution = "nitro-dispatch"
    module = "nitro_dispatch"
    statement = f'await manager.trigger_async("{EVENT}", {{mapping}})'
    loggers = ("nitro_dispatch",)
    before = ("data",)
    takes_keywords = False
    remarks = "one argument, which hooks may replace; a thread for each plain hook; logs no traceback; wildcards"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Register the hooks."""
        from nitro_dispatch import PluginManager

        manager = PluginManager()
        for handler in handlers:
            manager.register_hook(EVENT, handler)
        return {"manager": manager}


class NitroSync(NitroAsync):
    """The hooks of nitro-dispatch, called."""

    name = "nitro-dispatch `trigger`"
    statement = f'manager.trigger("{EVENT}", {{mapping}})'
    sync_only = True
    remarks = "one argument, which hooks may replace; logs no traceback; wildcards"


class Pymitter(Competitor):
    """The port of EventEmitter 2."""

    name = "pymitter `emit_async`"
    distribution = "pymitter"
    module = "pymitter"
    statement = f'await emitter.emit_async("{EVENT}", {{keywords}})'
    remarks = "gathers the async handlers; can match wildcards"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Add the listeners."""
        from pymitter import EventEmitter

        emitter = EventEmitter()
        for handler in handlers:
            emitter.on(EVENT, handler)
        return {"emitter": emitter}


class FastapiEvents(Competitor):
    """fastapi-events, whose events are handled at the end of the request that dispatches them."""

    name = "fastapi-events, a request"
    distribution = "fastapi-events"
    module = "fastapi_events.middleware"
    statement = "await middleware(scope, None, None)"
    before = ("event",)
    takes_keywords = False
    remarks = "one argument; handled after the response; inspects signatures at every call; threads for plain handlers"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Wrap an application that dispatches one event for each request."""
        from fastapi_events.dispatcher import dispatch
        from fastapi_events.handlers.local import LocalHandler
        from fastapi_events.middleware import EventHandlerASGIMiddleware

        local = LocalHandler()
        for handler in handlers:
            local.register(handler, event_name=EVENT)

        async def application(scope: object, receive: object, send: object) -> None:  # noqa: ARG001 - what ASGI passes
            dispatch(EVENT, {name: KEYWORDS[name] for name in case.names})

        return {"middleware": EventHandlerASGIMiddleware(application, [local]), "scope": {"type": "http"}}


class Bubus(Competitor):
    """Browser-use's bus."""

    name = "bubus"
    distribution = "bubus"
    module = "bubus"
    statement = "await bus.dispatch(EmployeeCreated({keywords}))"
    loggers = ("bubus",)
    before = ("event",)
    takes_keywords = False
    remarks = "a queue, a history, a pydantic model for each event, a time limit for each handler"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Define the event and register the handlers."""
        from bubus import BaseEvent, EventBus

        annotations = dict.fromkeys(case.names, int)
        event = type("EmployeeCreated", (BaseEvent,), {"__annotations__": annotations, "__module__": __name__})
        bus = EventBus()
        for handler in handlers:
            bus.on(event, handler)
        return {"bus": bus, "EmployeeCreated": event}

    async def tear_down(self, namespace: Namespace) -> None:
        """Stop the bus's own task."""
        await namespace["bus"].stop(clear=True)


class PyDispatcher(Competitor):
    """The ancestor of Django's signals."""

    name = "PyDispatcher `sendRobust`"
    distribution = "PyDispatcher"
    module = "pydispatch.robust"
    statement = "send(signal, {keywords})"
    sync_only = True
    remarks = "plain functions only; logs nothing; passes each receiver only what it takes; references are weak"

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:  # noqa: ARG002 - one way for all cases
        """Connect the receivers."""
        from pydispatch import dispatcher
        from pydispatch.robust import sendRobust

        signal = object()
        for handler in handlers:
            dispatcher.connect(handler, signal=signal)
        return {"send": sendRobust, "signal": signal, "kept": handlers}


class Psygnal(Competitor):
    """Qt's signals in compiled Python."""

    name = "psygnal"
    distribution = "psygnal"
    module = "psygnal"
    statement = "signal.emit({values})"
    sync_only = True
    remarks = "compiled; positional arguments; async slots are queued and not waited for, so plain functions only"

    def line(self, case: Case) -> str:
        """Return the line, with positional arguments."""
        return self.statement.format(values=", ".join(str(KEYWORDS[name]) for name in case.names))

    def set_up(self, handlers: Sequence[Handler], case: Case) -> Namespace:
        """Connect the slots."""
        from psygnal import SignalInstance

        signal = SignalInstance(tuple(int for _ in case.names))
        for handler in handlers:
            signal.connect(handler)
        return {"signal": signal, "kept": handlers}


LIMIT = Limit()
BUS = FastsoyByName()
BUS_BY_OBJECT = FastsoyByContract()
DICTIONARY_BUS = DictionaryBus()

COMPETITORS: tuple[Competitor, ...] = (
    LIMIT,
    BUS,
    BUS_BY_OBJECT,
    DICTIONARY_BUS,
    NitroAsync(),
    NitroSync(),
    BlinkerAsync(),
    BlinkerSync(),
    DjangoAsync(),
    DjangoSync(),
    Pyee(),
    Aiosignal(),
    Pluggy(),
    Pymitter(),
    PyDispatcher(),
    Psygnal(),
    FastapiEvents(),
    Bubus(),
)
