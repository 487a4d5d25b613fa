"""What an expression of a source stands for, as far as it can be told without running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastsoy_events.inspection.source._records import Parameter


@dataclass(frozen=True, slots=True)
class Unknown:
    """What the source does not tell."""


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class Text:
    """A string that the source writes out."""

    text: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module."""

    name: str


@dataclass(frozen=True, slots=True)
class Named:
    """What a module calls by a name."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Starred:
    """What one of several modules calls by a name; the last that has it counts."""

    modules: tuple[str, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Builtin:
    """What Python itself calls by a name."""

    name: str


# The rest is compared by identity: one value may hold another many times over.


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """An attribute of something."""

    owner: Value
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Strings put together."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """A tuple or list that the source writes out."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Called:
    """What a call returns.

    Args:
        function: what is called.
        arguments: those given by position.
        keywords: those given by name.
        is_whole: whether these are all by position, and none stands for several (`*arguments`).
    """

    function: Value
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()
    is_whole: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Decorated:
    """What a decorator makes of a function or a class."""

    decorator: Value
    target: Value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Definition:
    """A function, as one execution of its definition makes it.

    Args:
        module: the module in which it stands.
        qualname: its qualified name.
        line: the line of its first decorator.
        key: its place in the source; the same for each execution.
        is_async: whether it is declared with `async`.
        parameters: those that a keyword reaches.
        first: how many of them a position reaches.
        takes_any: whether it has `**kwargs`.
        summary: the first paragraph of its docstring, on one line.
    """

    module: str
    qualname: str
    line: int
    key: tuple[int, int]
    is_async: bool = False
    parameters: tuple[Parameter, ...] = ()
    first: int = 0
    takes_any: bool = False
    summary: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ClassDefinition:
    """A class, as one execution of its definition makes it.

    Args:
        module: the module in which it stands.
        qualname: its qualified name.
        bases: its base classes.
        members: what its body binds.
    """

    module: str
    qualname: str
    bases: tuple[Value, ...] = ()
    members: Mapping[str, Value] = field(default_factory=dict[str, "Value"])


Value: TypeAlias = (
    Unknown
    | Text
    | Module
    | Named
    | Starred
    | Builtin
    | Attribute
    | Joined
    | Several
    | Called
    | Decorated
    | Definition
    | ClassDefinition
)

_LONGEST_TEXT = 1000  # characters; no event's name is longer
_MOST_PARTS = 20


def joined(parts: list[Value]) -> Value:
    """Return strings put together, as one string where all are known."""
    flat: list[Value] = []
    for part in parts:
        for each in part.parts if isinstance(part, Joined) else (part,):
            if isinstance(each, Text) and flat and isinstance(flat[-1], Text):
                flat[-1] = Text(flat[-1].text + each.text)
            else:
                flat.append(each)
    if any(isinstance(each, Unknown) for each in flat) or len(flat) > _MOST_PARTS:
        return UNKNOWN
    if sum(len(each.text) for each in flat if isinstance(each, Text)) > _LONGEST_TEXT:
        return UNKNOWN
    if not flat:
        return Text("")
    return flat[0] if len(flat) == 1 and isinstance(flat[0], Text) else Joined(tuple(flat))


def merged(first: Value, second: Value) -> Value:
    """Return what a name stands for when it may be either of two values.

    Where one of them is known and no string, it is that: a module that falls back to a stand-in means the real thing.
    """
    if first is second or (isinstance(first, Text | Named | Module) and first == second):
        return first
    if isinstance(first, Text | Joined | Several) or isinstance(second, Text | Joined | Several):
        return UNKNOWN
    if isinstance(first, Unknown | Definition | ClassDefinition):
        return first if isinstance(second, Unknown) else second
    return first if isinstance(second, Unknown | Definition | ClassDefinition) else UNKNOWN
