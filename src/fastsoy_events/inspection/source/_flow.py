"""The walk through statements that branch: which of their blocks run, and what names stand for after them."""

from __future__ import annotations

import ast
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from fastsoy_events.inspection.source._blocking import full_name
from fastsoy_events.inspection.source._values import UNKNOWN
from fastsoy_events.inspection.source._visit import Visitor, bind

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from fastsoy_events.inspection.source._scope import Scope
    from fastsoy_events.inspection.source._values import Value

_For: TypeAlias = ast.For | ast.AsyncFor
_Block: TypeAlias = "Sequence[ast.stmt]"

_MOST_REPEATED = 20_000  # nodes; past them, no loop goes round again, and no function is called


class Flow(Visitor):
    """Walks through blocks of statements."""

    def _walk(self, block: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in block:
            self._draft.repeated += bool(self._again)
            self._statement(statement, scope)

    def _may_repeat(self) -> bool:
        return self._draft.repeated < _MOST_REPEATED

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.If():
                self._if(node, scope)
            case ast.For() | ast.AsyncFor():
                self._for(node, scope)
            case ast.While():
                self._visit(node.test, scope)
                with _in_loop(scope):
                    self._join([node.body], scope, one_runs=False)
                self._walk(node.orelse, scope)
            case ast.Try() | ast.TryStar():
                self._try(node, scope)
            case ast.With() | ast.AsyncWith():
                self._with(node, scope)
            case ast.Match():
                self._match(node, scope)
            case _:
                self._other(node, scope)

    def _other(self, node: ast.stmt, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                scope.set(child.id, UNKNOWN)  # `del name`, or `type name = ...`
            elif isinstance(child, ast.expr):
                self._visit(child, scope)
        if isinstance(node, ast.Return | ast.Continue | ast.Break):
            scope.may_have_left = True

    def _join(self, blocks: Iterable[_Block], scope: Scope, *, one_runs: bool) -> None:
        bound: list[dict[str, Value]] = []
        for block in blocks:
            with scope.branch() as names:
                self._walk(block, scope)
            bound.append(names)
        scope.join(bound, one_runs=one_runs)

    # Conditions

    def _if(self, node: ast.If, scope: Scope) -> None:
        """Walk through a chain of `elif`, which the tree holds one inside the other, without recursion."""
        blocks: list[_Block] = []
        rest: _Block = [node]
        while len(rest) == 1 and isinstance(each := rest[0], ast.If):
            self._visit(each.test, scope)
            runs = self._holds(each.test, scope)
            if runs is None:
                blocks.append(each.body)
            elif runs:
                rest = each.body
                break
            else:
                self._walk_for_types(each, scope)
            rest = each.orelse
        if blocks:
            self._join([*blocks, rest], scope, one_runs=True)
        else:
            self._walk(rest, scope)

    def _holds(self, test: ast.expr, scope: Scope) -> bool | None:
        """Tell whether a condition holds while the module is imported; None where the source does not tell."""
        match test:
            case ast.Constant():
                return bool(test.value)
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name() | ast.Attribute() | ast.Constant() as operand):
                holds = self._holds(operand, scope)
                return None if holds is None else not holds
            case ast.Name() | ast.Attribute():
                return False if full_name(self._expressions.value(test, scope)) in _FOR_TYPES else None
            case ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            ):
                return False
            case _:
                return None

    def _walk_for_types(self, node: ast.If, scope: Scope) -> None:
        """Walk through a block that an import does not run: one for type checkers, or one for a program."""
        before = self._for_types_only, scope.is_deferred
        if isinstance(node.test, ast.Compare):
            scope.is_deferred = True
        else:
            self._for_types_only = True
        with scope.branch():
            self._walk(node.body, scope)
        self._for_types_only, scope.is_deferred = before

    def _match(self, node: ast.Match, scope: Scope) -> None:
        self._visit(node.subject, scope)
        bound: list[dict[str, Value]] = []
        for case in node.cases:
            with scope.branch() as names:
                for pattern in ast.walk(case.pattern):
                    for name in (getattr(pattern, "name", None), getattr(pattern, "rest", None)):
                        if isinstance(name, str):
                            scope.set(name, UNKNOWN)
                self._visit(case.guard, scope)
                self._walk(case.body, scope)
            bound.append(names)
        scope.join(bound, one_runs=False)

    # Loops and contexts

    def _for(self, node: _For, scope: Scope) -> None:
        self._visit(node.iter, scope)
        is_told = isinstance(node, ast.For) and not scope.is_deferred
        items = self._expressions.items(node.iter, scope) if is_told else None
        with _in_loop(scope):
            if items is None:
                with scope.branch() as names:
                    bind(node.target, UNKNOWN, scope)
                    self._walk(node.body, scope)
                scope.join([names], one_runs=False)
            for index, item in enumerate(items or ()):
                if index and not self._may_repeat():
                    break
                bind(node.target, item, scope)
                self._again += bool(index)
                self._walk(node.body, scope)
                self._again -= bool(index)
        self._walk(node.orelse, scope)

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            self._visit(item.context_expr, scope)
            if item.optional_vars is not None:
                bind(item.optional_vars, UNKNOWN, scope)
        was_certain, scope.is_certain = scope.is_certain, False  # a context may swallow what its block raises
        self._walk(node.body, scope)
        scope.is_certain = was_certain

    def _try(self, node: ast.Try | ast.TryStar, scope: Scope) -> None:
        if not node.handlers:
            self._walk((*node.body, *node.orelse, *node.finalbody), scope)
            return
        bound: list[dict[str, Value]] = []
        with scope.branch() as names:
            self._walk((*node.body, *node.orelse), scope)
        bound.append(names)
        for handler in node.handlers:
            self._visit(handler.type, scope)
            with scope.branch() as names:
                if handler.name:
                    scope.set(handler.name, UNKNOWN)
                self._walk(handler.body, scope)
            bound.append(names)
        scope.join(bound, one_runs=True)
        self._walk(node.finalbody, scope)


@contextmanager
def _in_loop(scope: Scope) -> Generator[None]:
    """Walk through a loop: `continue` and `break` in it leave nothing that stands below it."""
    may_have_left = scope.may_have_left
    yield
    if not scope.function:
        scope.may_have_left = may_have_left


_FOR_TYPES = {"typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING"}
