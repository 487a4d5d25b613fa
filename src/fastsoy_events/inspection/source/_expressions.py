"""What the expressions of a source stand for: from syntax to values. Nothing is run, and no depth is unbounded."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events.inspection.source._records import Parameter
from fastsoy_events.inspection.source._values import (
    UNKNOWN,
    Attribute,
    Called,
    Definition,
    Module,
    Named,
    Several,
    Text,
    Unknown,
    joined,
)

if TYPE_CHECKING:
    from fastsoy_events.inspection.source._parse import Parsed
    from fastsoy_events.inspection.source._scope import Scope
    from fastsoy_events.inspection.source._values import Value

AnyFunction: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_DEEPEST = 30  # expressions inside each other
_MOST_ITEMS = 200
_LONGEST_DOCSTRING = 10_000  # characters


class Expressions:
    """Tells what the expressions of one module stand for.

    Args:
        module: the module's dotted name.
        source: its syntax and its text.
    """

    def __init__(self, module: str, source: Parsed) -> None:
        self._module = module
        self._source = source

    def value(self, node: ast.expr, scope: Scope, depth: int = 0) -> Value:
        """Return what an expression stands for, where it stands."""
        if depth > _DEEPEST:
            return UNKNOWN
        depth += 1
        match node:
            case ast.Constant(value=str(text)):
                return Text(text)
            case ast.Name():
                return scope.get(node.id)
            case ast.Attribute():
                owner = self.value(node.value, scope, depth)
                return owner if isinstance(owner, Unknown) else Attribute(owner, node.attr)
            case ast.Call():
                return self._called(node, scope, depth)
            case ast.JoinedStr():
                return joined([self._formatted(each, scope, depth) for each in node.values[:_MOST_ITEMS]])
            case ast.BinOp(op=ast.Add()):
                return joined([self.value(node.left, scope, depth), self.value(node.right, scope, depth)])
            case ast.Tuple() if len(node.elts) <= _MOST_ITEMS:
                return Several(tuple(self.value(each, scope, depth) for each in node.elts))
            case ast.Lambda():
                return self.definition(node, scope)
            case ast.NamedExpr():
                return self.value(node.value, scope, depth)
            case _:
                return UNKNOWN

    def items(self, node: ast.expr, scope: Scope) -> tuple[Value, ...] | None:
        """Return what a loop over an expression goes through; None where the source does not tell."""
        if isinstance(node, ast.List) and len(node.elts) <= _MOST_ITEMS:
            return tuple(self.value(each, scope) for each in node.elts)
        value = self.value(node, scope)
        has_all = isinstance(value, Several) and not (
            isinstance(node, ast.Tuple) and any(isinstance(each, ast.Starred) for each in node.elts)
        )
        return value.items if isinstance(value, Several) and has_all else None

    def _called(self, node: ast.Call, scope: Scope, depth: int) -> Value:
        function = self.value(node.func, scope, depth)
        if isinstance(function, Unknown) or len(node.args) > _MOST_ITEMS:
            return UNKNOWN
        given = [each for each in node.args if not isinstance(each, ast.Starred)]
        named = [(each.arg, each.value) for each in node.keywords[:_MOST_ITEMS] if each.arg is not None]
        return Called(
            function,
            tuple(self.value(each, scope, depth) for each in given),
            tuple((name, self.value(value, scope, depth)) for name, value in named),
            len(given) == len(node.args),
        )

    def _formatted(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        if not isinstance(node, ast.FormattedValue):
            return self.value(node, scope, depth)
        is_plain = node.format_spec is None and node.conversion in (-1, ord("s"))
        return self.value(node.value, scope, depth) if is_plain else UNKNOWN

    def definition(self, node: AnyFunction, scope: Scope) -> Definition:
        """Return a function as its definition makes it."""
        is_lambda = isinstance(node, ast.Lambda)
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        docstring = "" if isinstance(node, ast.Lambda) else _docstring(node)
        return Definition(
            module=self._module,
            qualname=scope.prefix + ("<lambda>" if isinstance(node, ast.Lambda) else node.name),
            line=decorators[0].lineno if decorators else node.lineno,
            key=(node.lineno, node.col_offset),
            is_async=not is_lambda and isinstance(node, ast.AsyncFunctionDef),
            parameters=tuple(self._parameters(node.args)),
            first=len(node.args.args),
            takes_any=node.args.kwarg is not None,
            summary=" ".join(inspect.cleandoc(docstring[:_LONGEST_DOCSTRING]).partition("\n\n")[0].split()),
        )

    def defaults(self, arguments: ast.arguments, scope: Scope) -> dict[str, Value]:
        """Return what the parameters of a function stand for where a call leaves them out."""
        by_position = [*arguments.posonlyargs, *arguments.args]
        first = len(by_position) - len(arguments.defaults)
        pairs = [
            *zip(by_position[first:], arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        return {each.arg: self.value(default, scope) for each, default in pairs if default is not None}

    def _parameters(self, arguments: ast.arguments) -> list[Parameter]:
        without_default = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
        required = [True] * max(0, without_default - len(arguments.posonlyargs))
        required += [False] * (len(arguments.args) - len(required))
        required += [default is None for default in arguments.kw_defaults]
        return [
            Parameter(
                name=each.arg,
                annotation="" if each.annotation is None else self._source.text(each.annotation),
                is_required=is_required,
            )
            for each, is_required in zip([*arguments.args, *arguments.kwonlyargs], required, strict=True)
        ]


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str(text))), *_]:
            return text
        case _:
            return ""


def imported(node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool) -> list[tuple[str, str, str]]:
    """Return what an import statement imports: the module, the name that is taken from it, and what it is called here.

    The name is empty for a plain `import`. What is relative to nothing is left out: the import would fail.
    """
    if isinstance(node, ast.Import):
        return [(each.name, "", each.asname or "") for each in node.names]
    package = module.split(".")[: None if is_package else -1]
    if node.level:
        package = package[: len(package) - node.level + 1] if node.level <= len(package) else []
        if not package:
            return []
        source = ".".join([*package, *([node.module] if node.module else [])])
    else:
        source = node.module or ""
    return [(source, each.name, each.asname or each.name) for each in node.names]


def as_value(module: str, name: str, called: str) -> tuple[str, Value]:
    """Return the name that an import binds, and what it stands for."""
    if name:
        return called, Named(module, name)
    first = module.partition(".")[0]
    return (called, Module(module)) if called else (first, Module(first))
