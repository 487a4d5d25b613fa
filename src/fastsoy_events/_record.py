"""The records behind `on` and `emit`: tuples, since every start pays for making their classes."""

from __future__ import annotations

import sys
from inspect import CO_COROUTINE
from os.path import realpath
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fastsoy_events.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
    from types import CodeType

    from fastsoy_events._model import Handler, HandlerFailure, Plugin


def canonical_name(distribution: str) -> str:
    """Return a distribution's name in the one form that PEP 503 gives it."""
    name = distribution.lower().replace("_", "-").replace(".", "-")
    while "--" in name:
        name = name.replace("--", "-")
    return name


def label_of(module: str, qualname: str, stable_id: str) -> str:
    """Return what a handler is called where people read it."""
    return f"{module}.{qualname} [{stable_id}]" if stable_id else f"{module}.{qualname}"


class Options(NamedTuple):
    """What `@on` was told of a handler besides its event.

    Args:
        timeout: seconds after which it is cancelled; None for the bus's default.
        slow_after: seconds after which its time is logged; None for the bus's default.
        thread: whether it runs in a thread of its own.
        id: what it is known by, whatever becomes of its name; empty where that is its name.
    """

    timeout: float | None = None
    slow_after: float | None = None
    thread: bool = False
    id: str = ""


class Declaration(NamedTuple):
    """What `@on` recorded: one callable for one event.

    Args:
        event: the event's name.
        function: the callable.
        module: the module that the handler belongs to.
        qualname: its qualified name there.
        declared_in: the module whose execution declared it.
        is_async: whether calling it is known to return a coroutine.
        location: the code that it runs, or `file:line` of the `@on` where it has no code in Python.
        options: what else `@on` was told of it; None for a plain handler.
    """

    event: str
    function: Callable[..., object]
    module: str
    qualname: str
    declared_in: str
    is_async: bool
    location: CodeType | str
    options: Options | None = None

    @property
    def identity(self) -> Hashable:
        """Return what makes the callable the same one again; a bound method is a new object at each access."""
        function = self.function
        if isinstance(function, MethodType):
            return (id(function.__self__), id(function.__func__))
        return function if type(function) is FunctionType else id(function)

    @property
    def key(self) -> Hashable:
        """Return what makes the declaration the same one again: several modules may declare one callable."""
        if type(self.function) is FunctionType and self.declared_in == self.module:
            return self.function
        return (self.identity, self.module, self.declared_in)

    @property
    def source(self) -> str:
        """Return `file:line`."""
        if isinstance(self.location, str):
            return self.location
        return f"{self.location.co_filename}:{self.location.co_firstlineno}"


class Execution(NamedTuple):
    """One execution of a module that declares handlers.

    Args:
        module: the name under which it runs.
        namespace: its globals; held so that its `__spec__` lives until the module executes again.
    """

    module: str
    namespace: dict[str, Any]

    @property
    def spec(self) -> object:
        """Return the module's `__spec__`: a module that executes again gets a new one."""
        return self.namespace.get("__spec__")

    def is_in_force(self) -> bool:
        """Tell whether the module that Python now has under this name is this one."""
        return getattr(sys.modules.get(self.module), "__dict__", None) is self.namespace

    def file(self) -> str:
        """Return the real path of the file that the module was read from; empty where there is none."""
        file = self.namespace.get("__file__")
        return realpath(file) if isinstance(file, str) else ""


class Roster(NamedTuple):
    """The plugins of one bus, and which modules are theirs.

    Args:
        plugins: in plugin order; a plugin's index is its rank.
        claims: the dotted prefixes that are claimed, each with the rank of the plugin that has it.
    """

    plugins: tuple[Plugin, ...] = ()
    claims: Mapping[str, int] = {}


def _never(*_: object, **__: object) -> NoReturn:
    raise LookupError


UNUSED: tuple[tuple[str, ...] | None, Callable[..., Coroutine[Any, Any, Failures]]] = (None, _never)
"""What stands for the loop of a plan that has not been used yet."""

_FEW = 3  # up to here, making ready to call a loop made for the keywords costs more than it spares


class Plan:
    """The handlers of one event, frozen in dispatch order; no tuple, since every emit reads its attributes.

    Args:
        event: the event's name.
        functions: the handlers' callables.
        describe: makes the listing record of the handler with a callable; needed only when one fails.
        tell: is awaited for each failure, once all handlers have run; None where nobody wants to know.
    """

    __slots__ = ("describe", "event", "functions", "is_async", "runs_in_emit", "tell", "usual")

    is_async: bool | str

    def __init__(
        self,
        event: str,
        functions: tuple[Callable[..., object], ...],
        describe: Callable[[Callable[..., object]], Handler],
        tell: Callable[[HandlerFailure], Awaitable[None]] | None = None,
    ) -> None:
        self.event = event
        self.functions = functions
        self.describe = describe
        self.tell = tell
        # The keywords of the first emit, and the loop made for them; one tuple, since threads may emit side by side.
        self.usual = UNUSED
        self.is_async = all(map(_returns_a_coroutine, functions))
        self.runs_in_emit = self.is_async and len(functions) <= _FEW


class WrappedPlan(Plan):
    """What an emit runs in the place of a plan where something stands around it.

    Args:
        event: the event's name.
        call: takes the payload, and returns the failures.
    """

    __slots__ = ("call",)

    def __init__(self, event: str, call: Callable[..., Awaitable[Failures]]) -> None:
        super().__init__(event, (), _describe_nobody)
        self.call = call
        self.is_async = "wrapped"  # so that no loop made for keywords is taken for it
        self.runs_in_emit = False


def _returns_a_coroutine(function: Callable[..., object]) -> bool:
    return type(function) is FunctionType and bool(function.__code__.co_flags & CO_COROUTINE)


def _describe_nobody(function: object) -> Handler:
    raise LookupError(function)


UNMADE = Plan("", (print,), _describe_nobody)
"""What stands for a plan that has not been needed yet; it holds a plain function, and so never runs in an emit."""

NOBODY = Plan("", (), _describe_nobody)
"""The plan of an emit that runs no handler."""


class Failures(tuple["HandlerFailure", ...]):
    """The failures of one emit, in dispatch order; empty when all went well.

    Example:
        >>> Failures().raise_if_any()
    """

    __slots__ = ()

    def raise_if_any(self) -> None:
        """Raise the failures, if there are any.

        Raises:
            ExceptionGroup: of one `HandlerError` a failure, each with the handler's own error as its `__cause__`.

        Example:
            >>> import asyncio
            >>> from fastsoy_events import EventBus
            >>> asyncio.run(EventBus().emit("employee.created", employee_id=1)).raise_if_any()
        """
        if self:
            raise ExceptionGroup(f"handlers of {self[0].event} failed", [_as_error(failure) for failure in self])


def _as_error(failure: HandlerFailure) -> HandlerError:
    error = HandlerError(str(failure))
    error.__cause__ = failure.error
    return error
