"""Declare: what `@on` checks and records. Whatever it can refuse, it refuses here rather than at an emit."""

from __future__ import annotations

import inspect
import re
import warnings
from functools import lru_cache, partial
from types import CodeType, FrameType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from fastsoy_events._record import Declaration, Execution
from fastsoy_events.errors import EventNameWarning, RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastsoy_events._record import Options

_WORD = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*"
_CACHED = type(lru_cache(lambda: None))  # it passes its arguments on as they are
_CONVENTION = re.compile(rf"{_WORD}(?:\.{_WORD})+")
_ID = re.compile(rf"{_WORD}(?:\.{_WORD})*")


def checked_name(event: object, decorator: str) -> str:
    """Return the event's name as a plain `str`, or refuse what is none.

    Args:
        event: what the decorator was given.
        decorator: `on` or `event`.

    Raises:
        RegistrationError: with what to write instead.
    """
    if isinstance(event, str):
        return str.__str__(event)
    right = f'@{decorator}("employee.created")'
    if callable(event):
        name = getattr(event, "__qualname__", type(event).__qualname__)
        raise RegistrationError(
            f"@{decorator} needs the name of the event: write {right} above {name}, not @{decorator} alone"
        )
    raise RegistrationError(f"@{decorator} takes the name of the event: write {right}, not @{decorator}({event!r})")


def checked_id(event: str, stable_id: object) -> str:
    """Return a handler's id as a plain `str`, or refuse what is none.

    Raises:
        RegistrationError: with what to write instead.
    """
    if isinstance(stable_id, str) and _ID.fullmatch(stable_id):
        return str.__str__(stable_id)
    raise RegistrationError(
        f'@on("{event}") takes an id in lower snake case, in parts with dots between: write id="mail.send", not '
        f"id={stable_id!r}"
    )


def warn_of_convention(event: str, stacklevel: int) -> None:
    """Warn, at the decorator's line, of a name that is not of the form that names have."""
    if not follows_convention(event):
        message = f"{event!r} is not of the form '<aggregate>.<past-tense verb>', such as 'employee.created'"
        warnings.warn(message, EventNameWarning, stacklevel=stacklevel)


def follows_convention(event: str) -> bool:
    """Tell whether a name has the form `<aggregate>.<past-tense verb>`; whether the verb is one, nobody checks."""
    return _CONVENTION.fullmatch(event) is not None


def declare(
    event: str, function: Callable[..., object], applied_in: FrameType, options: Options | None = None
) -> tuple[Declaration, Execution]:
    """Check a handler and record it.

    Args:
        event: the event's name.
        function: what `on(event)` was applied to.
        applied_in: the frame of the code that applied it.
        options: what else `on` was told of it.

    Returns:
        The declaration, and the execution of the module that declared it.

    Raises:
        RegistrationError: with what to write instead.
    """
    if not callable(function):
        raise RegistrationError(
            f'@on("{event}") must stand above a function or be given a callable, not {function!r}'
            + _hint_for_descriptors(function)
        )
    called = _called(function)
    code = _code(called)
    qualname = _qualname(function)
    _refuse_generators(event, qualname, code)
    _refuse_positional_only(event, qualname, function)
    _refuse_methods(event, function, applied_in)
    module, namespace = declaring(function, applied_in)
    declaration = Declaration(
        event=event,
        function=function,
        module=module,
        qualname=qualname,
        declared_in=namespace.get("__name__", module),
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called),
        location=_code(inspect.unwrap(cast("Any", called))) or f"{applied_in.f_code.co_filename}:{applied_in.f_lineno}",
        options=options,
    )
    return declaration, Execution(declaration.declared_in, namespace)


def _called(function: object) -> object:
    """Return the function that runs in the end: behind partials, bound methods and objects with `__call__`."""
    while True:
        if isinstance(function, partial):
            function = cast("object", function.func)
        elif isinstance(function, MethodType | staticmethod):
            function = cast("object", function.__func__)
        elif isinstance(function, _CACHED):
            function = cast("object", function.__wrapped__)
        else:
            break
    if isinstance(function, FunctionType | type):
        return cast("object", function)
    return getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is wanted, not a yes or no


def _code(function: object) -> CodeType | None:
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _qualname(function: object) -> str:
    while isinstance(function, partial):
        function = cast("object", function.func)
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _hint_for_descriptors(function: object) -> str:
    if isinstance(function, classmethod):
        return ": apply it to the bound method, on(...)(TheClass.method), after the class"
    return ""


def _refuse_generators(event: str, qualname: str, code: CodeType | None) -> None:
    flags = code.co_flags if code else 0
    if flags & inspect.CO_ITERABLE_COROUTINE:
        return
    if flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        raise RegistrationError(
            f'@on("{event}") cannot take the generator function {qualname}: calling it would run none of its body. '
            "Write a plain or async function without yield"
        )


def _refuse_positional_only(event: str, qualname: str, function: Callable[..., object]) -> None:
    if type(function) is FunctionType and not function.__code__.co_posonlyargcount:
        return
    try:
        parameters = inspect.signature(function, follow_wrapped=isinstance(function, _CACHED)).parameters.values()
    except (TypeError, ValueError):  # many callables written in C tell no signature
        return
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]
    if names:
        raise RegistrationError(
            f'@on("{event}") cannot take {qualname}: payloads are keywords, and it takes {", ".join(names)} by '
            "position only. Remove the / from its signature"
        )


def _refuse_methods(event: str, function: object, applied_in: FrameType) -> None:
    """Refuse a method in the body of its class, where there is no object yet that it could be called on."""
    if type(function) is not FunctionType or "__qualname__" not in applied_in.f_locals:
        return
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    if parameters[:1] in (("self",), ("cls",)) and len(function.__defaults__ or ()) < len(parameters):
        raise RegistrationError(
            f'@on("{event}") cannot take the method {function.__qualname__}: nobody would pass its {parameters[0]}. '
            f'Write on("{event}")(an_object.{function.__name__}) once there is an object, or use a plain function'
        )


def declaring(function: object, applied_in: FrameType) -> tuple[str, dict[str, Any]]:
    """Return the handler's module, and the globals of the module whose execution declares it.

    They differ where the function was made elsewhere, or a helper applied `on`: then the module whose body is being
    executed declares the handler, for its next execution declares another one. The program itself never executes again.
    """
    applied_by = applied_in.f_globals
    own = function.__module__ if type(function) is FunctionType else None
    module = own if isinstance(own, str) else applied_by.get("__name__", "__main__")
    frame: FrameType | None = applied_in
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") == "__main__":
        return module, applied_by
    return module, frame.f_globals
