"""What mutmut would change in a module, each change as the module's whole source."""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import libcst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, OuterFunctionProvider, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one module.

    Args:
        name: `module:function:number`, counted in the function.
        function: the dotted name of the function that is changed; empty for what runs on import.
        source: the whole module with the change.
        lines: the lines of the statement that is changed, in the module as it is.
        difference: the change, as lines of a unified diff.
    """

    name: str
    function: str
    source: str
    lines: range
    difference: str


def mutants_of(file: Path) -> list[Mutant]:
    """Return the mutants of a module: those that are Python, and compile to something else."""
    code = file.read_text(encoding="utf-8")
    wrapper = MetadataWrapper(libcst.parse_module(code))
    visitor = _Visitor(
        (*mutation_operators, (libcst.SimpleString, _in_template)), get_ignored_lines(file.name, code, wrapper)
    )
    module = wrapper.visit(visitor)
    numbers: dict[str, Iterator[int]] = {}
    found: list[Mutant] = []
    seen = {_meaning(code)}
    for (function, lines), mutation in zip(visitor.places, visitor.mutations, strict=True):
        source = deep_replace(module, mutation.original_node, mutation.mutated_node).code
        meaning = _meaning(source)
        if meaning and meaning not in seen:
            seen.add(meaning)
            number = next(numbers.setdefault(function, count(1)))
            name = f"{file.stem}:{function or '(import)'}:{number}"
            found.append(
                Mutant(name=name, function=function, source=source, lines=lines, difference=_difference(code, source))
            )
    return found


class _Visitor(MutationVisitor):
    """Mutmut's, without its exceptions for the sake of trampolines: there are none here, each mutant is a module."""

    METADATA_DEPENDENCIES = (PositionProvider, OuterFunctionProvider, ParentNodeProvider)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.places: list[tuple[str, range]] = []

    def _create_mutations(self, node: libcst.CSTNode) -> None:
        super()._create_mutations(node)
        place = self._place(node)
        self.places += [place] * (len(self.mutations) - len(self.places))

    def _skip_node_and_children(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.AnnAssign) and _is_alias(node):
            return True  # it is for type checkers alone
        is_decorated = isinstance(node, libcst.FunctionDef) and bool(node.decorators)
        return not is_decorated and super()._skip_node_and_children(node)

    def _place(self, node: libcst.CSTNode) -> tuple[str, range]:
        names: list[str] = []
        is_in_function = False
        inner: libcst.CSTNode = node
        position = self.get_metadata(PositionProvider, node)
        while not isinstance(inner, libcst.Module):
            if isinstance(inner, libcst.SimpleStatementLine):
                position = self.get_metadata(PositionProvider, inner)
            elif isinstance(inner, libcst.FunctionDef | libcst.ClassDef):
                names.insert(0, inner.name.value)
            outer = self.get_metadata(ParentNodeProvider, inner)
            # A default or a decorator runs when the function is made.
            is_in_function = is_in_function or (isinstance(outer, libcst.FunctionDef) and inner is outer.body)
            inner = outer
        return ".".join(names) if is_in_function else "", range(position.start.line, position.end.line + 1)


def _is_alias(node: libcst.AnnAssign) -> bool:
    return isinstance(node.annotation.annotation, libcst.Name) and node.annotation.annotation.value == "TypeAlias"


_SWAPS = (
    (" is None", " is not None"),
    (" is not None", " is None"),
    (" and ", " or "),
    ("await ", ""),
    ("return ", ""),
    (" is {UNMADE}", " is not {UNMADE}"),
    ("= None", "= ''"),
    ("if {plan}.is_async", "if not {plan}.is_async"),
    ("if {goes_through}", "if not {goes_through}"),
    ("raise", "pass"),
    (" /", ""),
    ("{failures} = {noted}", "{noted}"),
    ("({function}", "(None"),
    (", {error})", ", None)"),
    ("{by_name}", ""),
    ("({arguments})", "()"),
    ("{parameters}", ""),
)


def _in_template(node: libcst.SimpleString) -> Iterable[libcst.SimpleString]:
    """Mutate Python that is written in a text, which mutmut takes for documentation."""
    if re.search(r"\{\w+\}", node.value) and ("await" in node.value or " is " in node.value):
        for old, new in _SWAPS:
            for found in re.finditer(re.escape(old), node.value):
                yield node.with_changes(value=node.value[: found.start()] + new + node.value[found.end() :])


def _meaning(source: str) -> str:
    """Return what tells two modules apart; empty for what is no Python."""
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return ""
    return ast.dump(ast.parse(source))


def _difference(code: str, source: str) -> str:
    lines = difflib.unified_diff(code.splitlines(), source.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in list(lines)[2:])
