"""What is noted down about a module before the names that it takes from others are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsoy_events.inspection.source._records import Call, SourceImport
    from fastsoy_events.inspection.source._values import Called, Definition, Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """One call, or one decorator above a definition, that may concern events.

    Args:
        call: what is called, and with what; a decorator is called with what it stands above.
        written: what stands for the event, where the call is an emit, as the source writes it.
        maker_written: what stands for the event, where the call applies `on(...)`, likewise.
        target_written: what is first given to the call, likewise.
        line: where, 1 first.
        column: likewise.
        function: the qualified name of the function around it; empty in the module's own body.
        body: the number of the body of statements that it stands in.
        is_certain: whether it is sure to run when the module is imported.
        is_deferred: whether it stands in a function that the import does not call, as far as the module tells.
        is_used: whether something is done with what the call returns.
        has_more: whether a `**mapping` is passed.
    """

    call: Called
    written: str
    maker_written: str
    target_written: str
    line: int
    column: int
    function: str
    body: int
    is_certain: bool
    is_deferred: bool
    is_used: bool = True
    has_more: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """What the source of one module says, its names not resolved yet.

    Args:
        name: the module's dotted name.
        file: where it was read from.
        problem: why it could not be read or understood.
        names: what the module's own names stand for once it is imported.
        stars: the modules from which it takes every name.
        sites: what may concern events, in the order in which it runs.
        imports: what it imports.
        imports_unknown: whether it imports what the source does not name.
        repeated: how many nodes were looked at once more, since a loop or a call repeats them.
        blocking: the blocking calls in each function's body, by the function's place.
    """

    name: str
    file: str
    problem: str = ""
    names: dict[str, Value] = field(default_factory=dict["str", "Value"])
    stars: tuple[str, ...] = ()
    sites: list[Site] = field(default_factory=list[Site])
    imports: dict[SourceImport, None] = field(default_factory=dict["SourceImport", None])
    imports_unknown: bool = False
    repeated: int = 0
    blocking: dict[tuple[int, int], dict[Call, None]] = field(
        default_factory=dict["tuple[int, int]", "dict[Call, None]"]
    )

    def blocking_in(self, definition: Definition) -> tuple[Call, ...]:
        """Return the blocking calls in a function's body."""
        return tuple(self.blocking.get(definition.key, ()))
