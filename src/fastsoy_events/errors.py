"""Everything that fastsoy-events raises or warns with.

```text
Exception
└── EventsError                                  catches all of the below
    ├── RegistrationError      (TypeError)       @on or @event was given something it must refuse
    ├── ContractError          (TypeError)       an emit does not carry what the event's contract says
    ├── EmitDepthError                           emits nested until the interpreter's recursion limit
    ├── HandlerTimeout         (TimeoutError)    a handler took longer than its timeout, and was cancelled
    ├── HandlerError                             one handler's failure, inside the group of raise_if_any()
    ├── AlreadyLoadedError     (RuntimeError)    load_plugins() again, with other arguments, or from a plugin
    ├── PluginError                              one plugin that cannot be found or imported
    │   └── UnknownPluginError                   a name in order, allowed or disabled that fits nothing found
    ├── LockError                                what is installed is not what the lock file holds
    └── PluginLoadError        (ExceptionGroup)  every PluginError of one strict load
Warning
└── EventNameWarning               (UserWarning)     an event name that breaks the convention
```
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsoy_events._compare import Difference
    from fastsoy_events._model import LoadReport

__all__ = [
    "AlreadyLoadedError",
    "ContractError",
    "EmitDepthError",
    "EventNameWarning",
    "EventsError",
    "HandlerError",
    "HandlerTimeout",
    "LockError",
    "PluginError",
    "PluginLoadError",
    "RegistrationError",
    "UnknownPluginError",
]


class EventsError(Exception):
    """The base of every error that fastsoy-events raises."""


class RegistrationError(EventsError, TypeError):
    """`@on` or `@event` refused what it was given; the message says what to write instead."""


class ContractError(EventsError, TypeError):
    """An emit does not carry what the event's contract says; raised to the emitter before any handler runs.

    Args:
        message: what is wrong, and where the contract stands.
        event: the event's name.
        missing: the keywords that the contract requires and the emit lacks.
        unknown: the keywords that the contract does not know.

    Example:
        >>> ContractError("created_by is missing", event="employee.created", missing=("created_by",)).missing
        ('created_by',)
    """

    def __init__(
        self, message: str, *, event: str, missing: tuple[str, ...] = (), unknown: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.event = event
        self.missing = missing
        self.unknown = unknown

    def __reduce__(self) -> tuple[object, ...]:
        return partial(ContractError, event=self.event, missing=self.missing, unknown=self.unknown), self.args


class EmitDepthError(EventsError):
    """Emits nested until the interpreter's recursion limit: a cycle of events, or a recursion too deep.

    Args:
        cycle: the event names from one emit to the next one of the same name,
            such as `("order.placed", "invoice.made", "order.placed")`.

    Example:
        >>> EmitDepthError(("order.placed", "invoice.made", "order.placed")).cycle
        ('order.placed', 'invoice.made', 'order.placed')
    """

    def __init__(self, cycle: tuple[str, ...]) -> None:
        super().__init__(cycle)
        self.cycle = cycle

    def __str__(self) -> str:
        return (
            f"Emits are nested too deep, in the cycle {' > '.join(self.cycle)}. "
            "Break the cycle: let one of its handlers stop emitting, or raise sys.setrecursionlimit() "
            "if the nesting is meant to be this deep."
        )


class HandlerError(EventsError):
    """One handler's failure; its `__cause__` is what the handler raised."""


class HandlerTimeout(EventsError, TimeoutError):  # noqa: N818 - named as the built-in one is
    """A handler took longer than its timeout, and was cancelled.

    Args:
        seconds: the timeout.

    Example:
        >>> print(HandlerTimeout(2.0))
        cancelled after 2 s
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"cancelled after {self.seconds:g} s"


class AlreadyLoadedError(EventsError, RuntimeError):
    """`load_plugins()` was called again with other arguments, or by a plugin that is being loaded."""


class PluginError(EventsError):
    """One plugin, or one distribution's entry points, that cannot be loaded.

    Args:
        reason: what went wrong, and what to do about it.
        distribution: the canonical name of the distribution.
        version: its version; empty where the metadata names none.
        entry_point: the entry point's name; empty where none could be read.
        module: the module that the entry point names; empty where none could be read.

    Example:
        >>> print(PluginError("no such module", distribution="acme", version="1.0", entry_point="mail", module="acme"))
        Plugin failed: acme 1.0 / entry point mail / module acme: no such module
    """

    def __init__(
        self, reason: str, *, distribution: str, version: str = "", entry_point: str = "", module: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.distribution = distribution
        self.version = version
        self.entry_point = entry_point
        self.module = module

    def __reduce__(self) -> tuple[object, ...]:
        place = {
            "distribution": self.distribution,
            "version": self.version,
            "entry_point": self.entry_point,
            "module": self.module,
        }
        return partial(PluginError, **place), (self.reason,)

    def __str__(self) -> str:
        place = " ".join(filter(None, (self.distribution, self.version)))
        if self.entry_point:
            place += f" / entry point {self.entry_point}"
        if self.module:
            module = self.module if self.module.replace(".", "").isidentifier() else repr(self.module)
            place += f" / module {module}"
        return f"Plugin failed: {place}: {self.reason}"


class UnknownPluginError(PluginError):
    """A name in `order`, `allowed` or `disabled` fits no distribution and no plugin that was found.

    Args:
        reason: where the name stands, and the nearest name that was found.
        name: the name that fits nothing.
    """

    def __init__(self, reason: str, *, name: str) -> None:
        super().__init__(reason, distribution=name)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(UnknownPluginError, name=self.distribution), (self.reason,)

    def __str__(self) -> str:
        return self.reason


class LockError(EventsError):
    """What is installed is not what the lock file holds, or the file cannot be used; no plugin takes part.

    Args:
        reason: what happened, and what to do about it.
        differences: one for each fact in which they differ, with `kind`, `message`, `distribution`, `event` and
            `handler`; none where the file cannot be used.

    Example:
        >>> LockError("there is no lock file").differences
        ()
    """

    def __init__(self, reason: str, differences: tuple[Difference, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.differences = differences

    def __reduce__(self) -> tuple[object, ...]:
        return partial(LockError, differences=self.differences), (self.reason,)

    def __str__(self) -> str:
        return "\n  ".join([self.reason, *map(str, self.differences)])


class PluginLoadError(EventsError, ExceptionGroup[PluginError]):
    """Everything that went wrong in one `load_plugins(strict=True)`, after every plugin was tried.

    Attributes:
        report: the `LoadReport` that the same call without `strict` would have returned.
    """

    report: LoadReport


class EventNameWarning(UserWarning):
    """An event name is not of the form `<aggregate>.<past-tense verb>` in lower snake case."""
