"""What values come to once the names of other modules are known: the bus's own functions, events, functions, texts."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events.inspection.source._values import (
    UNKNOWN,
    Attribute,
    Builtin,
    Called,
    ClassDefinition,
    Decorated,
    Definition,
    Joined,
    Module,
    Named,
    Starred,
    Text,
    Unknown,
    Value,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastsoy_events.inspection.source._draft import Draft

CORE = "fastsoy_events"
_ON_THE_BUS = frozenset({"on", "emit", "event", "load_plugins"})
_BUILTINS = frozenset(dir(builtins))
_DURABLE = ("fastsoy_events_durable", "Durable")
_MAKES_DURABLE = frozenset({"tortoise"})  # besides the class itself
_MOST_STARS = 50
_DEEPEST = 60
_MOST_STEPS = 5_000  # of one value; values may hold each other many times over
_LEFT_ALONE = frozenset({"functools.lru_cache", "functools.cache", "fastsoy_events.hookimpl", "typing.no_type_check"})


@dataclass(frozen=True, slots=True, eq=False)
class Ours:
    """One of the bus's own functions, or the bus."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Maker:
    """What `on(event)` or `event(event)` returns, or `an_event.on`, or `partial(emit, event)`.

    Args:
        kind: `on`, `event` or `emit`.
        event: the value that stands for the event.
        id: the value that stands for the handler's stable id; None without.
        passes: how many arguments the handler is given before the keywords.
    """

    kind: str
    event: Value
    id: Value | None = None
    passes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Durable:
    """An object whose `on` registers as the bus's does; or its class."""

    is_object: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EventObject:
    """What `@event(...)` makes of a function."""

    event: Value
    definition: Definition | None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A method of an object, or of its class; `staticmethod` and the like where nothing is passed before the keywords.

    Args:
        definition: its function.
        passes: how many arguments are passed already.
    """

    definition: Definition
    passes: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Wrapped:
    """What a decorator that nobody knows made of a function."""

    definition: Definition


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """An object of a class."""

    made: ClassDefinition


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """A `functools.partial`."""

    target: Resolved
    arguments: int
    keywords: frozenset[str]


Resolved: TypeAlias = (
    Unknown
    | Text
    | Module
    | Named
    | Builtin
    | Definition
    | ClassDefinition
    | Ours
    | Maker
    | Durable
    | EventObject
    | Bound
    | Wrapped
    | Instance
    | Partial
)


class Resolver:
    """Resolves the values of many modules.

    Args:
        drafts: the modules, by dotted name.
    """

    def __init__(self, drafts: Mapping[str, Draft]) -> None:
        self._drafts = drafts
        self._members: dict[tuple[str, str], Resolved] = {}
        self._steps = 0

    def resolved(self, value: Value) -> Resolved:
        """Return what a value comes to."""
        self._steps = 0
        return self._resolved(value, 0)

    def text(self, value: Value) -> str | None:
        """Return the text that a value comes to; None where it is none, or nobody can tell."""
        found = self.resolved(value)
        return found.text if isinstance(found, Text) else None

    def _resolved(self, value: Value, depth: int) -> Resolved:
        self._steps += 1
        if depth > _DEEPEST or self._steps > _MOST_STEPS:
            return UNKNOWN
        depth += 1
        match value:
            case Unknown() | Text() | Builtin() | Definition() | ClassDefinition() | Module():
                return value
            case Named(module, name):
                return self._member(module, name, depth)
            case Starred(modules, name):
                return self._starred(modules, name, depth)
            case Attribute():
                return self._attribute(self._resolved(value.owner, depth), value.name, depth)
            case Joined():
                return self._joined(value, depth)
            case Called():
                return self._called(value, depth)
            case Decorated():
                return self._decorated(value, depth)
            case _:
                return UNKNOWN

    # Names of modules

    def _member(self, module: str, name: str, depth: int) -> Resolved:
        key = module, name
        if key not in self._members:
            self._members[key] = UNKNOWN  # what is imported in a circle stands for nothing
            self._members[key] = self._found(module, name, depth)
        return self._members[key]

    def _found(self, module: str, name: str, depth: int) -> Resolved:
        if (module, name) == _DURABLE:
            return Durable()
        if module == CORE:
            return Ours(name) if name in _ON_THE_BUS or name == "bus" else Named(module, name)
        draft = self._drafts.get(module)
        if draft is not None and name in draft.names:
            return self._resolved(draft.names[name], depth)
        if f"{module}.{name}" in self._drafts:
            return Module(f"{module}.{name}")
        if draft is not None and draft.stars:
            return self._starred(draft.stars, name, depth)
        return Named(module, name) if draft is None else UNKNOWN

    def _starred(self, modules: tuple[str, ...], name: str, depth: int) -> Resolved:
        for module in reversed(modules[-_MOST_STARS:]) if not name.startswith("_") else ():
            found = self._member(module, name, depth)
            is_found = module == CORE and not isinstance(found, Named)
            if is_found or not isinstance(found, Unknown | Named):
                return found
        return Builtin(name) if name in _BUILTINS else UNKNOWN

    # Attributes

    def _attribute(self, owner: Resolved, name: str, depth: int) -> Resolved:
        match owner:
            case Module(module):
                return self._member(module, name, depth)
            case Ours("bus") if name in _ON_THE_BUS:
                return Ours(name)
            case Durable(is_object):
                if is_object:
                    return Ours(name) if name == "on" else UNKNOWN
                return owner if name in _MAKES_DURABLE else UNKNOWN
            case EventObject(event, _):
                if name == "name":
                    return self._resolved(event, depth)
                return Maker(name, event) if name in ("on", "emit") else UNKNOWN
            case ClassDefinition():
                return self._of_class(owner, name, depth)
            case Instance(made):
                return self._of_instance(made, name, depth)
            case Text() if name == "value":
                return owner
            case _:
                return UNKNOWN

    def _lookup(self, made: ClassDefinition, name: str, depth: int) -> Value:
        self._steps += 1
        if name in made.members:
            return made.members[name]
        for base in made.bases if depth <= _DEEPEST and self._steps <= _MOST_STEPS else ():
            found = self._resolved(base, depth + 1)
            if isinstance(found, ClassDefinition):
                value = self._lookup(found, name, depth + 1)
                if not isinstance(value, Unknown):
                    return value
        return UNKNOWN

    def _of_class(self, made: ClassDefinition, name: str, depth: int) -> Resolved:
        found = self._resolved(self._lookup(made, name, depth), depth)
        return found.definition if isinstance(found, Bound) and not found.passes else found

    def _of_instance(self, made: ClassDefinition, name: str, depth: int) -> Resolved:
        found = self._resolved(self._lookup(made, name, depth), depth)
        if isinstance(found, Bound) and not found.passes:
            return found.definition
        return Bound(found) if isinstance(found, Definition) else found

    def method(self, made: ClassDefinition, name: str) -> Definition | None:
        """Return the function of a class's method; None where the source does not tell."""
        self._steps = 0
        found = self._resolved(self._lookup(made, name, 0), 0)
        return found if isinstance(found, Definition) else None

    # Calls

    def _joined(self, value: Joined, depth: int) -> Resolved:
        parts = [self._resolved(each, depth) for each in value.parts]
        texts: list[Value] = [each for each in parts if isinstance(each, Text)]
        whole = joined(texts) if len(texts) == len(parts) else UNKNOWN
        return whole if isinstance(whole, Text) else UNKNOWN

    def _called(self, value: Called, depth: int) -> Resolved:
        function = self._resolved(value.function, depth)
        match function:
            case Ours("on" | "event" as kind):
                given = dict(value.keywords)
                return Maker(kind, event_of(value), given.get("id"), passes=int("tx" in given))
            case Durable(is_object=False):
                return Durable(is_object=True)
            case Named("functools", "partial") if value.arguments:
                return self._partial(value, depth)
            case Maker("on") if len(value.arguments) == 1:
                return self._resolved(value.arguments[0], depth)
            case Maker("event", event) if len(value.arguments) == 1:
                return EventObject(event, self._definition(value.arguments[0], depth))
            case ClassDefinition():
                return Instance(function)
            case _:
                return UNKNOWN

    def _partial(self, value: Called, depth: int) -> Resolved:
        first, *given = value.arguments
        target = self._resolved(first, depth)
        if isinstance(target, Ours):
            return Maker(target.name, given[0]) if target.name == "emit" and given else UNKNOWN
        return Partial(target, len(given), frozenset(name for name, _ in value.keywords))

    def _decorated(self, value: Decorated, depth: int) -> Resolved:
        decorator = self._resolved(value.decorator, depth)
        target = self._resolved(value.target, depth)
        match decorator:
            case Maker("on"):
                return target
            case Maker("event", event):
                return EventObject(event, target if isinstance(target, Definition) else None)
            case Builtin("staticmethod") if isinstance(target, Definition):
                return Bound(target, 0)
            case Builtin("classmethod") if isinstance(target, Definition):
                return Bound(target)
            case Named(module, name) if f"{module}.{name}" in _LEFT_ALONE:
                return target
            case _:
                if self._is_left_alone(value.decorator, depth):
                    return target
                return Wrapped(target) if isinstance(target, Definition) else UNKNOWN

    def _is_left_alone(self, decorator: Value, depth: int) -> bool:
        if not isinstance(decorator, Called):
            return False
        made_by = self._resolved(decorator.function, depth)
        return isinstance(made_by, Named) and f"{made_by.module}.{made_by.name}" in _LEFT_ALONE

    def _definition(self, value: Value, depth: int) -> Definition | None:
        found = self._resolved(value, depth)
        return found if isinstance(found, Definition) else None


def event_of(call: Called) -> Value:
    """Return what stands for the event in `on(...)` or `event(...)`."""
    if not call.is_whole:
        return UNKNOWN
    return call.arguments[0] if call.arguments else dict(call.keywords).get("event", UNKNOWN)


def first_of(call: Called) -> Value:
    """Return what stands for the event in `emit(...)`."""
    return call.arguments[0] if call.is_whole and call.arguments else UNKNOWN
