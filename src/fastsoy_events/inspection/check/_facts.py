"""What the rules of `check` look at: one form for what really registered, and for what only the source tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastsoy_events.inspection.check._findings import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastsoy_events import Plugin
    from fastsoy_events.inspection.check._findings import Spot
    from fastsoy_events.inspection.check._installed import Metadata
    from fastsoy_events.inspection.source._records import Call, SourceEmit, SourceTree

LOOKED_AT = ("loaded", "failed", "discovered")
"""The statuses of the plugins that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerFact:
    """A handler.

    Args:
        event: the event's name.
        name: `module.qualname`.
        spot: where it is defined.
        plugin: `distribution:entry-point` of its plugin; empty for the host's.
        distribution: that of its plugin; empty for the host's.
        is_async: whether it is declared with `async`; None where nobody can tell.
        required: the keywords that it requires.
        taken: the keywords that it takes, the required ones among them.
        takes_any: whether it takes any keyword.
        signature: its signature, for people.
        blocking: the calls in its body that are known to block.
        identifier: the handler's `id`; empty where it did not register.
    """

    event: str
    name: str
    spot: Spot
    plugin: str
    distribution: str
    is_async: bool | None
    required: tuple[str, ...]
    taken: frozenset[str]
    takes_any: bool
    signature: str
    blocking: tuple[Call, ...] = ()
    identifier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFact:
    """The contract of an event.

    Args:
        event: the event's name.
        name: `module.qualname` of the event object.
        spot: where it is declared.
        plugin: `distribution:entry-point` of the plugin that declares it; empty for the host.
        distribution: that of the plugin; empty for the host.
        required: the keywords that each emit carries.
        defaults: the other keywords, each with its default as it is written; empty where nobody can tell.
        signature: its signature, for people.
    """

    event: str
    name: str
    spot: Spot
    plugin: str
    distribution: str
    required: tuple[str, ...]
    defaults: Mapping[str, str]
    signature: str

    @property
    def sent(self) -> tuple[str, ...]:
        """Return all of its keywords."""
        return (*self.required, *self.defaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitFact:
    """A call of `emit` in a source.

    Args:
        emit: what the source says.
        spot: where.
        plugin: `distribution:entry-point` of the plugin; empty for the host.
        distribution: that of the plugin; empty for the host.
    """

    emit: SourceEmit
    spot: Spot
    plugin: str
    distribution: str

    @property
    def event(self) -> str:
        """Return the event's name; empty where the source does not tell."""
        return self.emit.event or ""

    @property
    def name(self) -> str:
        """Return what emits: `module.function`, or the module."""
        return ".".join(filter(None, (self.emit.module, self.emit.function)))


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that `check` looks at.

    Args:
        plugins: in plugin order.
        trees: the sources of the plugins that are looked at; not of disabled and blocked ones.
        handlers: those of the host and of the plugins that are looked at.
        contracts: those in force first, then what the sources of plugins that are not loaded declare.
        emits: those of the host and of the plugins that are looked at.
        unseen: the trees of disabled and blocked plugins, which may publish and hear events all the same.
        has_host: whether the application was looked at too.
        imported: the modules that are imported; None where nothing was.
        with_hooks: the ids of the plugins that implement a hook, as far as they are loaded.
        claims: the modules that each plugin would call its own if it were alone, by its id.
        installed: the metadata of what is installed.
        folder: places are told relative to it.
    """

    plugins: tuple[Plugin, ...]
    trees: tuple[SourceTree, ...] = ()
    handlers: tuple[HandlerFact, ...] = ()
    contracts: tuple[ContractFact, ...] = ()
    emits: tuple[EmitFact, ...] = ()
    unseen: tuple[SourceTree, ...] = ()
    has_host: bool = False
    imported: frozenset[str] | None = None
    with_hooks: frozenset[str] = field(default_factory=frozenset)
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict[str, "frozenset[str]"])
    installed: tuple[Metadata, ...] = ()
    folder: str = ""

    @property
    def looked_at(self) -> tuple[Plugin, ...]:
        """Return the plugins that are looked at."""
        return tuple(plugin for plugin in self.plugins if plugin.status in LOOKED_AT)

    @property
    def is_whole(self) -> bool:
        """Tell whether there is anybody who could hear or publish an event besides one distribution."""
        return self.has_host or len({plugin.distribution for plugin in self.looked_at}) > 1

    def place(self, spot: Spot) -> str:
        """Return a spot as a message shows it."""
        return f"{relative(spot.file, self.folder)}:{spot.line}"

    def contract_finder(self) -> Callable[[str, str], ContractFact | None]:
        """Return what finds the contract of an event for one distribution: its own, or else the first one."""
        first = {contract.event: contract for contract in reversed(self.contracts)}
        own = {(contract.event, contract.distribution): contract for contract in reversed(self.contracts)}
        return lambda event, distribution: own.get((event, distribution)) or first.get(event)
