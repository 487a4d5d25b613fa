"""From the annotation of a contract's keyword to JSON Schema (draft 7), by its text: no annotation is evaluated.

Names are looked up where the contract stands, so that aliases and enumerations are understood. A name that is imported
for type checkers alone is not there, so the well-known ones are understood by themselves.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import decimal
import inspect
import sys
import uuid
from enum import Enum, EnumMeta
from math import isfinite
from types import GenericAlias, ModuleType, UnionType
from typing import TYPE_CHECKING, Any, NewType, TypeAlias, cast

from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Schema: TypeAlias = dict[str, Any]  # any JSON

NOTHING = object()

_MOST_STEPS = 500  # aliases may stand for aliases, without end
_DEEPEST = 20
_LONGEST = 2000
_MOST_BITS = 64
_TYPES: dict[type, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "string", "format": "duration"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "string", "format": "decimal"},
    type(None): {"type": "null"},
    object: {},
}
_LISTS = {"list", "List", "Sequence", "MutableSequence", "Collection", "Iterable", "tuple", "Tuple"}
_SETS = {"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"}
_COLLECTIONS: dict[str, Schema] = {
    **{name: {"type": "array"} for name in _LISTS},
    **{name: {"type": "array", "uniqueItems": True} for name in _SETS},
    **{name: {"type": "object"} for name in ("dict", "Dict", "Mapping", "MutableMapping")},
}
_WELL_KNOWN: dict[str, Schema] = {
    **{each.__name__: schema for each, schema in _TYPES.items()},
    **_COLLECTIONS,
    "Any": {},
}
_JSON_TYPES: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def annotation_text(annotation: object) -> str:
    """Return an annotation as people write it, on one line; empty where there is none.

    Args:
        annotation: what `inspect.Parameter` has.
    """
    if annotation is inspect.Parameter.empty:
        return ""
    try:
        return shortened(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))
    except Exception:  # noqa: BLE001 - what stands in an annotation may be any object, with a __repr__ of its own
        return type(annotation).__name__


def json_value(value: object) -> object:
    """Return a value that JSON has just so, and that is short enough to show, or `NOTHING`."""
    match value:
        case None | bool():
            return value
        case float():
            return value if type(value) is float and isfinite(value) else NOTHING
        case int():
            return value if type(value) is int and value.bit_length() <= _MOST_BITS else NOTHING
        case str():
            return value if type(value) is str and len(value) <= _LONGEST else NOTHING
        case _:
            return NOTHING


def schema_of(annotation: object, module: str) -> Schema:
    """Return the JSON schema of a keyword's type; without constraint, and with `x-python-type`, where it is unknown.

    Args:
        annotation: what `inspect.Parameter` has.
        module: the dotted name of the module in which it stands.
    """
    if annotation is inspect.Parameter.empty:
        return {}
    found = sys.modules.get(module)
    try:
        return _Reader(vars(found) if found else {}).read(annotation)
    except Exception:  # noqa: BLE001 - classes in annotations may have a metaclass that refuses anything
        return _unknown(annotation_text(annotation))


def _unknown(text: str) -> Schema:
    return {"x-python-type": shortened(text)}


class _Reader:
    """Reads one annotation.

    Args:
        namespace: the globals of the module in which it stands.
    """

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._steps = 0
        self._depth = 0

    def read(self, annotation: object) -> Schema:
        """Return the schema of a type: a class, a text, or what `typing` makes of it."""
        if isinstance(annotation, type) and not isinstance(annotation, GenericAlias):
            return _of_class(annotation)
        text = annotation if isinstance(annotation, str) else annotation_text(annotation)
        self._depth += 1
        try:
            if len(text) <= _LONGEST and self._depth <= _DEEPEST:
                return self._schema(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # it is too odd to be understood
        finally:
            self._depth -= 1
        return _unknown(text)

    def _schema(self, node: ast.expr) -> Schema:
        self._steps += 1
        match node:
            case _ if self._steps > _MOST_STEPS:
                return {}
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str(text)):
                return self.read(text)
            case ast.BinOp(op=ast.BitOr()):
                return self._union(*_alternatives(node))
            case ast.Subscript(value=ast.Name() | ast.Attribute() as generic, slice=index):
                arguments = index.elts if isinstance(index, ast.Tuple) else [index]
                return self._generic(node, _parts(generic)[-1], arguments)
            case ast.Name() | ast.Attribute():
                return self._named(node)
            case _:
                return _unknown(ast.unparse(node))

    def _union(self, *alternatives: ast.expr) -> Schema:
        schemas: list[Schema] = []
        for each in map(self._schema, alternatives):
            schemas += [schema for schema in each.get("anyOf", [each]) if schema not in schemas]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _generic(self, node: ast.expr, name: str, arguments: Sequence[ast.expr]) -> Schema:
        match name:
            case "tuple" | "Tuple":
                return self._tuple(arguments)
            case _ if not arguments:
                return _unknown(ast.unparse(node))
            case "Annotated" | "Final":
                return self._schema(arguments[0])
            case "Optional":
                return self._union(arguments[0], ast.Constant(None))
            case "Union":
                return self._union(*arguments)
            case "Literal":
                values = [self._value(each) for each in arguments]
                return _unknown(ast.unparse(node)) if NOTHING in values else _enumeration(values)
            case _ if name in _COLLECTIONS:
                each = self._schema(arguments[-1])
                of_each = "additionalProperties" if _COLLECTIONS[name]["type"] == "object" else "items"
                return {**_COLLECTIONS[name], **({of_each: each} if each else {})}
            case _:
                return _unknown(ast.unparse(node))

    def _tuple(self, arguments: Sequence[ast.expr]) -> Schema:
        if not arguments:
            return {"type": "array", "maxItems": 0}
        if isinstance(arguments[-1], ast.Constant) and arguments[-1].value is ...:
            return {"type": "array", "items": self._schema(arguments[0])}
        items = [self._schema(each) for each in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}

    def _value(self, node: ast.expr) -> object:
        if isinstance(node, ast.Attribute):
            member = self._found(_parts(node))
            return json_value(member.value) if isinstance(member, Enum) else NOTHING
        try:
            return json_value(ast.literal_eval(node))
        except (ValueError, TypeError, RecursionError, MemoryError):
            return NOTHING

    def _named(self, node: ast.expr) -> Schema:
        parts = _parts(node)
        found = self._found(parts)
        if found is NOTHING or found is Any or (_is_of_typing(found) and parts[-1] in _WELL_KNOWN):
            return _WELL_KNOWN.get(parts[-1], _unknown(".".join(parts)))
        if isinstance(found, NewType):
            return self.read(cast("object", found.__supertype__))
        is_alias = isinstance(found, str | type | UnionType | GenericAlias) or _is_of_typing(found)
        return self.read(found) if is_alias else _unknown(".".join(parts))

    def _found(self, parts: Sequence[str]) -> object:
        """Return what a dotted name stands for, without running anything: no property, no module's `__getattr__`."""
        first, *others = parts
        if first in self._namespace:
            return _inside(self._namespace[first], others)
        for count in range(len(parts) - 1, 0, -1):
            if (module := sys.modules.get(".".join(parts[:count]))) is not None:
                return _inside(module, parts[count:])
        return _inside(builtins, parts)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """Return what stands between the bars of a union, which may be many."""
    found: list[ast.expr] = []
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.BinOp) and isinstance(each.op, ast.BitOr):
            waiting += [each.right, each.left]
        else:
            found.append(each)
    return found


def _parts(node: ast.expr) -> list[str]:
    return ast.unparse(node).split(".")


def _is_of_typing(found: object) -> bool:
    return type(found).__module__ == "typing"


def _inside(found: object, names: Sequence[str]) -> object:
    for name in names:
        if not isinstance(found, ModuleType | type):
            return NOTHING
        found = cast("Mapping[str, object]", vars(found)).get(name, NOTHING)
    return found


def _of_class(found: type) -> Schema:
    if isinstance(found, EnumMeta):
        values = [json_value(member.value) for member in cast("type[Enum]", found)]
        return _unknown(found.__qualname__) if NOTHING in values or not values else _enumeration(values)
    for known, schema in _TYPES.items():
        if found is known:
            return dict(schema)
    is_collection = found.__module__ in {"builtins", "collections.abc"} and found.__name__ in _COLLECTIONS
    return dict(_COLLECTIONS[found.__name__]) if is_collection else _unknown(f"{found.__module__}.{found.__qualname__}")


def _enumeration(values: Sequence[object]) -> Schema:
    types = list(dict.fromkeys(_JSON_TYPES[type(value)] for value in values))
    return {"type": types[0] if len(types) == 1 else types, "enum": list(values)}
