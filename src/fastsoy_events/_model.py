"""The records that a host sees, and what loading hands on: frozen, slotted, and ignorant of every service.

They are imported when the first is made: an application that only declares and emits needs none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from fastsoy_events._record import canonical_name, label_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastsoy_events.errors import PluginError


Status: TypeAlias = Literal["discovered", "loaded", "failed", "disabled", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A callable registered for one event, as the bus lists it.

    Args:
        event: the event's name.
        position: where it stands in the event's dispatch order, 0 first.
        plugin: the name of the plugin's entry point; empty for the host's handlers.
        distribution: the canonical name of the plugin's distribution; empty for the host's handlers.
        version: the distribution's version; empty for the host's handlers.
        module: the dotted name of the module that the handler belongs to.
        qualname: the handler's qualified name inside that module.
        is_async: whether it is declared with `async`. Whatever a handler returns is awaited if it can be.
        source: `file:line` of its definition.
        id: `distribution:entry-point:module:qualname`, the host's `host:module:qualname`; with a stable id,
            `distribution:entry-point:stable-id`. A second handler of the same event with the same id ends in `#2`, a
            third in `#3`.
        stable_id: what `@on(..., id=...)` has it known by; empty without.
        function: the callable itself; two records of the same handler are equal without it.

    Example:
        >>> from fastsoy_events import EventBus
        >>> bus = EventBus()
        >>> @bus.on("employee.created")
        ... def greet(employee_id): ...
        >>> bus.handlers()[0].qualname
        'greet'
    """

    event: str
    position: int
    plugin: str
    distribution: str
    version: str
    module: str
    qualname: str
    is_async: bool
    source: str
    id: str
    stable_id: str = ""
    function: Callable[..., object] = field(repr=False, compare=False)

    @property
    def kind(self) -> Literal["async", "sync"]:
        """Return `async` or `sync`: how the handler is declared."""
        return "async" if self.is_async else "sync"

    @property
    def label(self) -> str:
        """Return what it is called where people read it: `module.qualname`, or `module.qualname [stable-id]`."""
        return label_of(self.module, self.qualname, self.stable_id)

    def as_dict(self, *, relative: bool = False) -> dict[str, str | int]:
        """Return the handler as one row of `fastsoy-events list --json`.

        Args:
            relative: cut `source` down to its path inside its package, so that no path of the server shows.

        Returns:
            The keys `event, position, id, stable_id, plugin, distribution, version, module, qualname, handler`
            (`module.qualname`)`, kind` (`async` or `sync`)` and source`.

        Example:
            >>> from fastsoy_events import handlers
            >>> rows = [handler.as_dict(relative=True) for handler in handlers()]
        """
        return {
            "event": self.event,
            "position": self.position,
            "id": self.id,
            "stable_id": self.stable_id,
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "module": self.module,
            "qualname": self.qualname,
            "handler": f"{self.module}.{self.qualname}",
            "kind": self.kind,
            "source": _inside_package(self.source, self.module) if relative else self.source,
        }


def _inside_package(source: str, module: str) -> str:
    parts = source.replace("\\", "/").split("/")
    name, _, line = parts[-1].rpartition(":")
    for ending in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"):
        depth = ending.count("/") + 1
        if "/".join([*parts[-depth:-1], name]) == ending:
            return f"{ending}:{line}"
    return parts[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One entry point of the group `fastsoy.event_handlers`, and what became of it.

    Args:
        name: the entry point's name.
        distribution: the canonical name (PEP 503) of the distribution that declares it.
        version: the distribution's version.
        module: the dotted name of the module that it names.
        status: `discovered` before loading, then `loaded`, `failed`, `disabled` or `blocked`.
        error: why it failed; None unless `status` is `failed`.
        import_seconds: how long importing the module took, in seconds.
        handlers: its handlers, by event and in dispatch order.

    Example:
        >>> Plugin(name="mail", distribution="acme", version="1.0", module="acme.mail").status
        'discovered'
    """

    name: str
    distribution: str
    version: str
    module: str
    status: Status = "discovered"
    error: PluginError | None = None
    import_seconds: float = 0.0
    handlers: tuple[Handler, ...] = ()

    @property
    def id(self) -> str:
        """Return `distribution:entry-point`."""
        return f"{self.distribution}:{self.name}"

    def goes_by(self, name: str) -> bool:
        """Tell whether a name means this plugin.

        Args:
            name: an entry point's name, a distribution's in any spelling, or `distribution:entry-point`.

        Example:
            >>> Plugin(name="mail", distribution="acme-mail", version="1.0", module="acme").goes_by("Acme_Mail")
            True
        """
        return name in (self.name, self.id) or canonical_name(name) == self.distribution

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return the plugin as one row of `fastsoy-events plugins --json`.

        Returns:
            The keys `name, distribution, version, module, status, error` (a text or None)`,
            import_seconds` and `handlers` (a count).

        Example:
            >>> from fastsoy_events import plugins
            >>> rows = [plugin.as_dict() for plugin in plugins()]
        """
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "module": self.module,
            "status": self.status,
            "error": None if self.error is None else str(self.error),
            "import_seconds": self.import_seconds,
            "handlers": len(self.handlers),
        }


class HandlerFailure(NamedTuple):
    """What one handler did wrong during one emit; a tuple, since a failing emit waits for its making.

    Args:
        event: the event's name.
        handler: the handler.
        error: what it raised.
    """

    event: str
    handler: Handler
    error: BaseException

    def __str__(self) -> str:
        from traceback import format_exception_only

        what = "".join(format_exception_only(self.error)).strip()  # unlike repr(), it bears errors that cannot be shown
        return f"{self.event} / {self.handler.label}: {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What `load_plugins()` found and did.

    Args:
        plugins: every plugin found, in plugin order, whatever its status.
        failures: why plugins, or whole distributions, could not be loaded, in plugin order.
        fingerprint: a short hash over the ordered ids of all plugins' handlers, event by event: two
            processes with the same fingerprint dispatch to plugins in the same order.
        warnings: what else deserves a look, as it was logged: blocked plugins, stale versions, unknown names.

    Example:
        >>> from fastsoy_events import load_plugins
        >>> report = load_plugins(path=[])
        >>> len(report.plugins), len(report.failures)
        (0, 0)
    """

    plugins: tuple[Plugin, ...]
    failures: tuple[PluginError, ...]
    fingerprint: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry point that discovery read: a plugin that may be loaded.

    Args:
        plugin: the plugin, with the status `discovered`, or `failed` where its metadata is broken.
        attribute: what follows the colon of the entry point; empty where nothing does.
        installed: the modules that its distribution installed, where the entry point is too broken to name one.
    """

    plugin: Plugin
    attribute: str = ""
    installed: tuple[str, ...] = ()
