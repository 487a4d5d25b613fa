"""What the source of a module says about events, as records; `_analyse` makes them without running anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

DYNAMIC = None
"""Stands for an event's name that the source does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a handler or of a contract.

    Args:
        name: its name.
        annotation: its type as the source writes it; empty where it has none.
        is_required: whether it has no default.
    """

    name: str
    annotation: str = ""
    is_required: bool = True

    def __str__(self) -> str:
        annotation = f": {self.annotation}" if self.annotation else ""
        return f"{self.name}{annotation}{'' if self.is_required else ' = ...'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that a function's body makes.

    Args:
        name: what is called, with the import resolved, such as `time.sleep`.
        line: where, 1 first.
    """

    name: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHandler:
    """One `@on(...)`, or one `on(...)(function)`.

    Args:
        event: the event's name; None where the source does not tell (`dynamic`).
        written: the expression that stands for the event, as the source writes it.
        module: the module that the handler belongs to.
        qualname: its qualified name there, as Python would make it; for a callable whose definition is not
            found in the module, as the source writes it.
        line: the line that `Handler.source` would have, 1 first.
        is_async: whether it is declared with `async`; None where its definition is not found.
        parameters: the keywords it takes, without `self` of methods.
        takes_any: whether it has `**kwargs`.
        blocking: calls in its body that are known to block.
        declared_in: the module whose code applies `on`; it differs from `module` where that is given another
            module's function.
        file: where `line` is.
        is_certain: whether importing `declared_in` is sure to register it just so; not where it stands under a
            condition, below a decorator that nobody knows, or in a function.
        is_deferred: whether it stands in a function that the import does not call, as far as the source tells; or
            below `if __name__ == "__main__":`.
        function: the qualified name of the function around the `on`; empty in the module's own body.
        stable_id: what `@on(..., id=...)` has it known by; empty without, or where the source does not tell.
        identity: equal for two registrations of one and the same callable.
    """

    event: str | None
    written: str
    module: str
    qualname: str
    line: int
    is_async: bool | None
    parameters: tuple[Parameter, ...] = ()
    takes_any: bool = True
    blocking: tuple[Call, ...] = ()
    declared_in: str = ""
    file: str = ""
    is_certain: bool = True
    is_deferred: bool = False
    function: str = ""
    stable_id: str = ""
    identity: Hashable = field(default=None, repr=False, compare=False)

    @property
    def signature(self) -> str:
        """Return what it takes, for people."""
        more = ["**kwargs"] if self.takes_any else []
        return f"({', '.join([*map(str, self.parameters), *more])})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContract:
    """One `@event(...)`.

    Args:
        event: the event's name; None where the source does not tell.
        written: the expression that stands for it.
        module: the module that declares it.
        qualname: the name of the event object there.
        line: the line of the first decorator, 1 first.
        parameters: the keywords that an emit carries.
        summary: the first paragraph of the docstring, on one line; empty where there is none.
    """

    event: str | None
    written: str
    module: str
    qualname: str
    line: int
    parameters: tuple[Parameter, ...] = ()
    summary: str = ""

    @property
    def signature(self) -> str:
        """Return what an emit carries, for people."""
        star = ["*"] if self.parameters else []
        return f"({', '.join([*star, *map(str, self.parameters)])})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEmit:
    """One call of `emit`, by name or on an event object.

    Args:
        event: the event's name; None where the source does not tell.
        written: the expression that stands for it.
        module: the module that emits.
        function: the qualified name of the function around the call; empty in the module's own body.
        line: the line of the call, 1 first.
        is_used: whether the coroutine is awaited, or given to something else that may await it
            (assigned, returned, passed to a call).
        precedes_loading: whether it runs before plugins are loaded: while its module is imported, or above a
            `load_plugins()` in the same body.
        keywords: the keywords that stand in the call.
        has_more: whether it passes a `**mapping` besides.
    """

    event: str | None
    written: str
    module: str
    function: str
    line: int
    is_used: bool = True
    precedes_loading: bool = False
    keywords: tuple[str, ...] = ()
    has_more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImport:
    """One module that a module imports.

    Args:
        module: its absolute dotted name; for `from package import name`, the package, with `names`.
        names: the names that are taken from it; empty for a plain `import`.
        line: where, 1 first.
        for_types_only: whether it stands under `if TYPE_CHECKING:`.
        is_deferred: whether it stands in a function that importing the module does not call, as far as the source
            tells.
    """

    module: str
    names: tuple[str, ...] = ()
    line: int
    for_types_only: bool = False
    is_deferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModule:
    """What the source of one module says.

    Args:
        name: its dotted name.
        file: where it was read from, for people.
        problem: why it could not be read or understood; empty where it could.
        handlers: in the order of the file.
        contracts: likewise.
        emits: likewise.
        imports: likewise.
        imports_unknown: whether it imports modules that the source does not name, while it is itself imported.
    """

    name: str
    file: str
    problem: str = ""
    handlers: tuple[SourceHandler, ...] = ()
    contracts: tuple[SourceContract, ...] = ()
    emits: tuple[SourceEmit, ...] = ()
    imports: tuple[SourceImport, ...] = ()
    imports_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """The source of everything that one plugin may call its own.

    Args:
        distribution: the canonical name of the plugin's distribution.
        plugin: the entry point's name.
        entry_module: the module that the entry point names.
        modules: by dotted name, in the order in which the bus would sort their handlers: the entry module first.
        reached: the names of the modules that importing the entry module imports, directly or not, as far as the
            source tells; always with the packages around them.
        problem: why modules are missing; empty where none are.
    """

    distribution: str
    plugin: str
    entry_module: str
    modules: tuple[SourceModule, ...] = ()
    reached: frozenset[str] = field(default_factory=frozenset)
    problem: str = ""

    @property
    def id(self) -> str:
        """Return `distribution:entry-point`, as the plugin's own `id` is."""
        return f"{self.distribution}:{self.plugin}"
