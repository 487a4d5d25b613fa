"""Signatures as texts that are the same in every process: no address, no path, no value of the plugin's own."""

from __future__ import annotations

import inspect
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Annotated, ForwardRef, Literal, Union, cast, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = (str, bytes, int, bool, type(None))


class _Verbatim:
    """What a signature shows as it is, in the place of an annotation or a default."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def signature_text(ask: Callable[[], inspect.Signature]) -> str:
    """Return a signature as a text: names, kinds and annotations; each default is `...`, as in a stub file.

    Args:
        ask: gives the signature; its return annotation is not shown.

    Returns:
        The text; `(...)` where asking raises, for a callable may raise anything when it is asked.
    """
    try:
        signature = ask()
        parameters = [_plain(each) for each in signature.parameters.values()]
        return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    except Exception:  # noqa: BLE001 - see above
        return "(...)"


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    annotation, default, nothing = parameter.annotation, parameter.default, inspect.Parameter.empty
    return parameter.replace(
        annotation=nothing if annotation is nothing else _Verbatim(_shown(annotation)),
        default=nothing if default is nothing else _Verbatim("..."),
    )


def _shown(annotation: object) -> str:
    """Return an annotation as it could stand in source; without modules, which differ from one Python to another."""
    origin, arguments = cast("object", get_origin(annotation)), get_args(annotation)
    if isinstance(annotation, str):
        return annotation
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{', '.join(map(_shown, cast('list[object]', annotation)))}]"
    if origin is Union or origin is UnionType:
        return " | ".join(map(_shown, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(_value, arguments))}]"
    if origin is Annotated:
        return f"Annotated[{', '.join([_shown(arguments[0]), *map(_value, arguments[1:])])}]"
    if origin is not None:
        return f"{_name(origin)}[{', '.join(map(_shown, arguments))}]" if arguments else _name(origin)
    return _name(annotation)


def _value(value: object) -> str:
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    return f"{type(value).__qualname__}(...)"


def _name(value: object) -> str:
    if isinstance(value, ForwardRef):
        return value.__forward_arg__
    names = (getattr(value, attribute, None) for attribute in ("__qualname__", "__name__", "_name"))
    return next((name for name in names if isinstance(name, str)), f"{type(value).__qualname__}(...)")
