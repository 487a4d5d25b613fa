"""The walk through a module's statements, in the order in which an import would run them; none is run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events.inspection.source._expressions import as_value, imported
from fastsoy_events.inspection.source._flow import Flow
from fastsoy_events.inspection.source._scope import Scope
from fastsoy_events.inspection.source._values import (
    UNKNOWN,
    Attribute,
    Called,
    ClassDefinition,
    Decorated,
    Definition,
    Text,
)
from fastsoy_events.inspection.source._visit import bind, parameter_names

if TYPE_CHECKING:
    from fastsoy_events.inspection.source._draft import Draft
    from fastsoy_events.inspection.source._parse import Parsed
    from fastsoy_events.inspection.source._values import Value

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_MOST_CALLS_DEEP = 5


class Walk(Flow):
    """Walks through one module and fills its draft.

    Args:
        draft: what is filled.
        source: the module's syntax and text.
        is_package: whether the module is a package's `__init__`.
    """

    def __init__(self, draft: Draft, source: Parsed, *, is_package: bool) -> None:
        super().__init__(draft, source)
        self._is_package = is_package
        self._bodies: dict[Definition, tuple[_Function, Scope]] = {}
        self._through: set[tuple[int, int]] = set()
        self._running: list[tuple[int, int]] = []

    def module(self) -> None:
        """Walk through the module, then through the functions that it does not call itself."""
        package = self._draft.name if self._is_package else self._draft.name.rpartition(".")[0]
        scope = Scope(unsettled=self._bound_in_functions())
        scope.names.update({"__name__": Text(self._draft.name), "__package__": Text(package)})
        self._walk(self._source.tree.body, scope)
        done = 0
        while done < len(self._bodies):
            waiting = list(self._bodies)[done:]
            done += len(waiting)
            for definition in waiting:
                if definition.key not in self._through:
                    self._run(definition, {}, is_certain=False, is_deferred=True)
        self._draft.names, self._draft.stars = scope.names, scope.stars

    def _bound_in_functions(self) -> frozenset[str]:
        if not any(b"global " in line for line in self._source.lines):
            return frozenset()
        return frozenset(
            name for node in ast.walk(self._source.tree) if isinstance(node, ast.Global) for name in node.names
        )

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.Expr():
                self._visit(node.value, scope, is_used=False)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.ClassDef():
                self._class(node, scope)
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assignment(node, scope)
            case ast.Global():
                scope.outside.update(dict.fromkeys(node.names, scope.module))
            case ast.Nonlocal():
                scope.outside.update({name: scope.around.having(name) for name in node.names if scope.around})
            case _:
                super()._statement(node, scope)

    def _assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: Scope) -> None:
        self._visit(node.value, scope)
        if node.value is None:
            return
        value = UNKNOWN if isinstance(node, ast.AugAssign) else self._expressions.value(node.value, scope)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Name):
                self._visit(target, scope)
            bind(target, value, scope)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        taken: dict[str, list[str]] = {}
        for module, name, called in imported(node, self._draft.name, is_package=self._is_package):
            taken.setdefault(module, []).extend([name] if name else [])
            if name == "*":
                scope.stars = (*scope.stars, module)
            else:
                scope.set(*as_value(module, name, called))
        for module, names in taken.items():
            self._add_import(module, tuple(names), node.lineno, scope)

    # Definitions

    def _function(self, node: _Function, scope: Scope) -> None:
        decorators = self._decorators(node, scope)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            self._visit(default, scope)
        definition = self._expressions.definition(node, scope)
        self._bodies[definition] = (node, scope)
        scope.set(node.name, self._decorated(definition, decorators, scope))

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        decorators = self._decorators(node, scope)
        for each in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self._visit(each, scope)
        qualname = f"{scope.prefix}{node.name}"
        inner = scope.inside(prefix=f"{qualname}.", is_class=True)
        inner.names["__qualname__"] = Text(qualname)
        self._walk(node.body, inner)
        definition = ClassDefinition(
            module=self._draft.name,
            qualname=qualname,
            bases=tuple(self._expressions.value(each, scope) for each in node.bases[:_MOST_BASES]),
            members=inner.names,
        )
        scope.set(node.name, self._decorated(definition, decorators, scope))

    def _decorators(self, node: _Function | ast.ClassDef, scope: Scope) -> list[tuple[ast.expr, Value]]:
        for each in node.decorator_list:
            self._visit(each, scope)
        return [(each, self._expressions.value(each, scope)) for each in node.decorator_list]

    def _decorated(self, value: Value, decorators: list[tuple[ast.expr, Value]], scope: Scope) -> Value:
        for node, decorator in reversed(decorators[-_MOST_DECORATORS:]):
            value = Decorated(decorator, value)
            self._note_decorator(node, value, scope)
        return value

    # Calls of the module's own functions

    def _enter(self, call: Called, scope: Scope) -> None:
        if scope.is_deferred or self._for_types_only:
            return
        definition, bound = _called(call)
        if not isinstance(definition, Definition) or definition.is_async or definition.key in self._running:
            return
        if definition not in self._bodies:
            return
        if len(self._running) < _MOST_CALLS_DEEP and self._may_repeat():
            arguments = self._arguments(*self._bodies[definition], bound, call)
            self._run(definition, arguments, is_certain=scope.is_sure_to_run, is_deferred=False)

    def _arguments(self, node: _Function, scope: Scope, bound: tuple[Value, ...], call: Called) -> dict[str, Value]:
        if not call.is_whole:
            return {}
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        return (
            self._expressions.defaults(node.args, scope)
            | dict(zip(names, (*bound, *call.arguments), strict=False))
            | dict(call.keywords)
        )

    def _run(self, definition: Definition, arguments: dict[str, Value], *, is_certain: bool, is_deferred: bool) -> None:
        """Walk through the body of a function as one call of it would."""
        node, scope = self._bodies[definition]
        again = definition.key in self._through
        self._through.add(definition.key)
        names = parameter_names(node.args)
        inner = scope.seen_from_inside().inside(
            prefix=f"{definition.qualname}.<locals>.",
            function=definition.qualname,
            is_certain=is_certain,
            is_deferred=is_deferred,
            body=next(self._body_numbers),
            owner=definition.key,
            names={name: arguments.get(name, UNKNOWN) for name in names},
        )
        self._running.append(definition.key)
        self._again += again
        self._walk(node.body, inner)
        self._again -= again
        self._running.pop()


_MOST_BASES = 20
_MOST_DECORATORS = 100


def _called(call: Called) -> tuple[Value, tuple[Value, ...]]:
    """Return the function of the module that a call runs, as far as it can be told, with the object it is bound to."""
    match call.function:
        case Definition() as definition:
            return definition, ()
        case ClassDefinition() as made:
            return _member(made, "__init__"), (call,)
        case Attribute(Called(ClassDefinition() as made) as instance, name):
            return _member(made, name), (instance,)
        case _:
            return UNKNOWN, ()


def _member(made: ClassDefinition, name: str) -> Value:
    """Return what a class, or the first of its base classes in the same module, binds to a name."""
    for _ in range(_MOST_BASES):
        if name in made.members:
            return made.members[name]
        base = next((each for each in made.bases if isinstance(each, ClassDefinition)), None)
        if base is None:
            break
        made = base
    return UNKNOWN
