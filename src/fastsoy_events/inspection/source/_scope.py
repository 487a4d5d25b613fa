"""What names stand for while a source is walked through: scopes, and the branches that may or may not run."""

from __future__ import annotations

import builtins
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

from fastsoy_events.inspection.source._values import UNKNOWN, Builtin, Starred, Value, merged

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_BUILTINS = frozenset(dir(builtins))


class _Changes(TypedDict, total=False):
    prefix: str
    function: str
    is_class: bool
    is_comprehension: bool
    is_certain: bool
    is_deferred: bool
    body: int
    owner: tuple[int, int] | None
    names: dict[str, Value]


@dataclass(slots=True, kw_only=True, eq=False)
class Scope:
    """The names of a module, a class body, a function or a comprehension.

    Args:
        around: the scope in which it stands; None for a module.
        prefix: what the qualified name of a definition in it begins with.
        function: the qualified name of the function that it is, or stands in; empty in a module's own body.
        is_class: whether it is a class body, whose names its functions do not see.
        is_comprehension: whether it is a comprehension, which binds only what it goes through.
        is_certain: whether its code is sure to run.
        may_have_left: whether a `return` or its like stood above.
        is_deferred: whether it runs only when something calls it that the source does not tell of.
        body: a number for the body of statements that it runs in: a class body has that of the code around it.
        owner: the place of the function whose body it is part of; None for a module's.
        names: what each name stands for.
        stars: the modules from which it takes every name, the last of which counts.
        outside: names that are declared `global` or `nonlocal`, each with the scope that has it.
        unsettled: names of a module that its functions bind anew.
    """

    around: Scope | None = None
    prefix: str = ""
    function: str = ""
    is_class: bool = False
    is_comprehension: bool = False
    is_certain: bool = True
    may_have_left: bool = False
    is_deferred: bool = False
    body: int = 0
    owner: tuple[int, int] | None = None
    names: dict[str, Value] = field(default_factory=dict[str, Value])
    stars: tuple[str, ...] = ()
    outside: dict[str, Scope] = field(default_factory=dict[str, "Scope"])
    unsettled: frozenset[str] = frozenset()
    _changed: list[dict[str, Value | None]] = field(default_factory=list["dict[str, Value | None]"])

    @property
    def module(self) -> Scope:
        """Return the scope of the module."""
        scope = self
        while scope.around is not None:
            scope = scope.around
        return scope

    @property
    def is_sure_to_run(self) -> bool:
        """Tell whether what stands here next runs whenever the module is imported."""
        return self.is_certain and not self.may_have_left and not self.is_deferred

    def having(self, name: str) -> Scope:
        """Return the scope around a function that binds a name."""
        scope = self
        while name not in scope.names and scope.around is not None:
            scope = scope.around
        return scope

    @property
    def binding(self) -> Scope:
        """Return the scope in which `:=` binds."""
        scope = self
        while scope.is_comprehension and scope.around is not None:
            scope = scope.around
        return scope

    def inside(self, **changes: Unpack[_Changes]) -> Scope:
        """Return a new scope for code that runs where it stands in this one."""
        inherited: _Changes = {
            "prefix": self.prefix,
            "function": self.function,
            "is_certain": self.is_sure_to_run,
            "is_deferred": self.is_deferred,
            "body": self.body,
            "owner": self.owner,
        }
        return Scope(around=self, **(inherited | changes))

    def seen_from_inside(self) -> Scope:
        """Return the scope whose names a function in this one sees."""
        scope = self
        while scope.is_class and scope.around is not None:
            scope = scope.around
        return scope

    def get(self, name: str) -> Value:
        """Return what a name stands for."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            last, scope = scope, scope.around
            scope = scope.seen_from_inside() if scope is not None else None
            if scope is None and last.stars:
                return Starred(last.stars, name)
        return Builtin(name) if name in _BUILTINS else UNKNOWN

    def set(self, name: str, value: Value) -> None:
        """Bind a name."""
        scope = self.outside.get(name)
        if scope is not None:
            scope.names[name] = UNKNOWN
            return
        if self._changed:
            self._changed[-1].setdefault(name, self.names.get(name))
        self.names[name] = UNKNOWN if name in self.unsettled else value

    @contextmanager
    def branch(self) -> Generator[dict[str, Value]]:
        """Walk through code that may not run: afterwards the names are as before.

        Yields:
            What the code binds, once it is through.
        """
        before: dict[str, Value | None] = {}
        bound: dict[str, Value] = {}
        self._changed.append(before)
        was_certain, self.is_certain = self.is_certain, False
        try:
            yield bound
        finally:
            self._changed.pop()
            self.is_certain = was_certain
            for name, value in before.items():
                bound[name] = self.names[name]
                if value is None:
                    del self.names[name]
                else:
                    self.names[name] = value

    def join(self, branches: Iterable[dict[str, Value]], *, one_runs: bool) -> None:
        """Bind what branches bound, of which one runs, or none.

        Args:
            branches: what each bound.
            one_runs: whether one of them runs in any case.
        """
        alternatives: dict[str, list[Value]] = {}
        count = 0
        for bound in branches:
            count += 1
            for name, value in bound.items():
                alternatives.setdefault(name, []).append(value)
        for name, values in alternatives.items():
            if name in self.names and (len(values) < count or not one_runs):
                values.append(self.names[name])
            value = values[0]
            for other in values[1:]:
                value = merged(value, other)
            self.set(name, value)
