"""The visit of expressions: which calls in them may concern events. It goes as deep as they do without recursion."""

from __future__ import annotations

import ast
import sys
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from fastsoy_events.inspection.source._blocking import blocking_name, full_name
from fastsoy_events.inspection.source._draft import Site
from fastsoy_events.inspection.source._expressions import Expressions
from fastsoy_events.inspection.source._records import Call, SourceImport
from fastsoy_events.inspection.source._values import (
    UNKNOWN,
    Attribute,
    Called,
    ClassDefinition,
    Decorated,
    Definition,
    Module,
    Named,
    Several,
    Starred,
    Text,
)

if TYPE_CHECKING:
    from fastsoy_events.inspection.source._draft import Draft
    from fastsoy_events.inspection.source._parse import Parsed
    from fastsoy_events.inspection.source._scope import Scope
    from fastsoy_events.inspection.source._values import Value

_IMPORTERS = {"importlib.import_module", "builtins.__import__"}
_HAVE_PARTS = (ast.expr, ast.keyword, ast.comprehension)
_MOST_SITES = 20_000


class _Step(NamedTuple):
    """One node to be visited; a second time once its children were, since arguments come before their call."""

    node: ast.AST
    scope: Scope
    is_used: bool = True
    is_left: bool = False


class Visitor:
    """Visits the expressions of one module, and notes down what may concern events.

    Args:
        draft: what is filled.
        source: the module's syntax and text.
    """

    def __init__(self, draft: Draft, source: Parsed) -> None:
        self._draft = draft
        self._source = source
        self._expressions = Expressions(draft.name, source)
        self._body_numbers = count(1)
        self._again: int = 0
        self._for_types_only = False

    def _visit(self, node: ast.expr | None, scope: Scope, *, is_used: bool = True) -> None:
        """Note down the calls in an expression.

        Args:
            node: the expression.
            scope: where it stands.
            is_used: whether something is done with its value.
        """
        steps = [] if node is None else [_Step(node, scope, is_used)]
        while steps:
            step = steps.pop()
            self._draft.repeated += bool(self._again)
            if step.is_left:
                self._leave(step)
            else:
                if isinstance(step.node, ast.Call | ast.NamedExpr):
                    steps.append(step._replace(is_left=True))
                steps += reversed(self._children(step))

    def _children(self, step: _Step) -> list[_Step]:
        node, scope, is_used, _ = step
        match node:
            case ast.Constant() | ast.Name():
                return []
            case ast.Lambda():
                defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
                return [*(_Step(each, scope) for each in defaults), _Step(node.body, self._in_lambda(node, scope))]
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                scope = scope.inside(is_comprehension=True, is_certain=False)
                for generator in node.generators:
                    bind(generator.target, UNKNOWN, scope)
                return [_Step(each, scope) for each in ast.iter_child_nodes(node)]
            case ast.IfExp():
                return [_Step(node.test, scope), _Step(node.body, scope, is_used), _Step(node.orelse, scope, is_used)]
            case ast.BoolOp() | ast.Tuple():
                return [_Step(each, scope, is_used) for each in ast.iter_child_nodes(node)]
            case _:
                return [_Step(each, scope) for each in ast.iter_child_nodes(node) if isinstance(each, _HAVE_PARTS)]

    def _in_lambda(self, node: ast.Lambda, scope: Scope) -> Scope:
        qualname = f"{scope.prefix}<lambda>"
        return scope.seen_from_inside().inside(
            prefix=f"{qualname}.<locals>.",
            function=qualname,
            is_deferred=True,
            is_certain=False,
            body=next(self._body_numbers),
            owner=(node.lineno, node.col_offset),
            names=dict.fromkeys(parameter_names(node.args), UNKNOWN),
        )

    def _leave(self, step: _Step) -> None:
        if isinstance(step.node, ast.NamedExpr):
            bind(step.node.target, self._expressions.value(step.node, step.scope), step.scope.binding)
        elif isinstance(step.node, ast.Call):
            self._call(step.node, step.scope, is_used=step.is_used)

    def _call(self, node: ast.Call, scope: Scope, *, is_used: bool) -> None:
        function = self._expressions.value(node.func, scope)
        if scope.owner is not None and (blocks := blocking_name(function)):
            self._draft.blocking.setdefault(scope.owner, {})[Call(name=blocks, line=node.lineno)] = None
        concerns_events = may_concern_events(function)
        imports = full_name(function) in _IMPORTERS
        if not (concerns_events or imports or isinstance(function, Definition | ClassDefinition | Attribute)):
            return
        call = self._expressions.value(node, scope)
        if not isinstance(call, Called):
            return
        if imports:
            self._import_by_call(call, node.lineno, scope)
        if concerns_events:
            self._note(call, node, scope, is_used=is_used)
        self._enter(call, scope)

    def _enter(self, call: Called, scope: Scope) -> None:
        """Go through the body of what is called, where that is a function of the module."""

    def _note(self, call: Called, node: ast.Call, scope: Scope, *, is_used: bool) -> None:
        if self._for_types_only or len(self._draft.sites) >= _MOST_SITES:
            return
        self._draft.sites.append(
            Site(
                call=call,
                written=self._event_written(node),
                maker_written=self._event_written(node.func),
                target_written=self._source.text(node.args[0]) if node.args else "",
                line=node.lineno,
                column=node.col_offset,
                function=scope.function,
                body=scope.body,
                is_certain=scope.is_sure_to_run,
                is_deferred=scope.is_deferred,
                is_used=is_used,
                has_more=any(each.arg is None for each in node.keywords),
            )
        )

    def _note_decorator(self, decorator: ast.expr, applied: Decorated, scope: Scope) -> None:
        if self._for_types_only or len(self._draft.sites) >= _MOST_SITES:
            return
        if may_concern_events(applied.decorator):
            self._draft.sites.append(
                Site(
                    call=Called(applied.decorator, (applied.target,)),
                    written="",
                    maker_written=self._event_written(decorator),
                    target_written="",
                    line=decorator.lineno,
                    column=decorator.col_offset,
                    function=scope.function,
                    body=scope.body,
                    is_certain=scope.is_sure_to_run,
                    is_deferred=scope.is_deferred,
                )
            )

    def _event_written(self, node: ast.expr) -> str:
        """Return what stands for the event in `on(...)`, `emit(...)`, `an_event.on` or `an_event.emit(...)`."""
        if isinstance(node, ast.Call):
            named = [each.value for each in node.keywords if each.arg == "event"]
            given = [*node.args[:1], *named]
            if given:
                return self._source.text(given[0])
            node = node.func
        return self._source.text(node.value if isinstance(node, ast.Attribute) else node)

    # Imports

    def _add_import(self, module: str, names: tuple[str, ...], line: int, scope: Scope) -> None:
        found = SourceImport(
            module=module,
            names=names,
            line=line,
            for_types_only=self._for_types_only,
            is_deferred=scope.is_deferred,
        )
        self._draft.imports[found] = None

    def _import_by_call(self, call: Called, line: int, scope: Scope) -> None:
        name = call.arguments[0] if call.arguments else dict(call.keywords).get("name")
        package = call.arguments[1] if len(call.arguments) > 1 else dict(call.keywords).get("package")
        match name, package:
            case Text(text), _ if not text.startswith("."):
                self._add_import(text, (), line, scope)
            case Text(text), Text(base) if parts := _absolute(text, base):
                self._add_import(parts, (), line, scope)
            case _:
                self._draft.imports_unknown |= not scope.is_deferred and not self._for_types_only


def _absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], name[level:]]) if level <= len(parts) else ""


def may_concern_events(function: Value) -> bool:
    """Tell whether what is called may turn out to be the bus's, once the names of other modules are known."""
    while True:
        match function:
            case Attribute():
                function = function.owner
            case Called():
                function = function.function
            case Decorated():
                function = function.decorator
            case Named(module, _) | Module(module):
                top = module.partition(".")[0]
                return top == "functools" or top not in sys.stdlib_module_names
            case Starred():
                return True
            case _:
                return False


def parameter_names(arguments: ast.arguments) -> list[str]:
    """Return the names of all parameters of a function, in their order."""
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [each.arg for each in (*given, arguments.vararg, arguments.kwarg) if each is not None]


def bind(target: ast.expr, value: Value, scope: Scope) -> None:
    """Bind the names in the target of an assignment; what is no name is none of the module's own."""
    match target:
        case ast.Name():
            scope.set(target.id, value)
        case ast.Tuple() | ast.List():
            fits = isinstance(value, Several) and len(value.items) == len(target.elts)
            fits = fits and not any(isinstance(each, ast.Starred) for each in target.elts)
            items = value.items if isinstance(value, Several) and fits else (UNKNOWN,) * len(target.elts)
            for each, item in zip(target.elts, items, strict=True):
                bind(each, item, scope)
        case ast.Starred():
            bind(target.value, UNKNOWN, scope)
        case _:
            pass
