"""Declaring: what `Durable.on` checks and records, and what it registers on the bus in the handler's place."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from fastsoy_events import RegistrationError
from fastsoy_events_durable._context import Delivery, Emitted, running
from fastsoy_events_durable.errors import DurableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from fastsoy_events_durable._durable import Durable
    from fastsoy_events_durable._model import Retry

_ID = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_MARK = "__fastsoy_events_durable__"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subscription:
    """A durable handler.

    Args:
        durable: the `Durable` object that it was declared with.
        event: the event's name.
        id: its stable id.
        function: what it is to run.
        tx: whether it runs inside the transaction that completes its publication, and is given that.
        key: the payload's keyword that its publications are kept in order by.
        retry: how it is tried again.
        spec: the `__spec__` of the module that declares it: another one where the module has executed again.
    """

    durable: Durable
    event: str
    id: str
    function: Callable[..., Any]
    tx: bool
    key: str | None
    retry: Retry
    spec: object


def checked_id(handler_id: object) -> str:
    """Return a stable id, or refuse what is none.

    Raises:
        RegistrationError: with what to write instead.
    """
    if isinstance(handler_id, str) and _ID.fullmatch(handler_id):
        return handler_id
    raise RegistrationError(
        f"a durable handler needs an id in lower snake case, in parts with dots between, that stays the same when it "
        f'is renamed: write id="mail.send", not id={handler_id!r}'
    )


def refuse_impossible(event: str, function: object, applied_in: FrameType, *, tx: bool, thread: bool) -> None:
    """Refuse what could never be delivered.

    Raises:
        RegistrationError: with what to write instead.
    """
    if not callable(function):
        raise RegistrationError(f'on("{event}") must stand above a function or be given a callable, not {function!r}')
    name = qualname(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RegistrationError(
            f'on("{event}") cannot take the generator function {name}: calling it would run none of its body. Write a '
            "plain or async function without yield"
        )
    parameters = _parameters(function)
    in_class = isinstance(function, FunctionType) and "__qualname__" in applied_in.f_locals
    if in_class and parameters and parameters[0].name in ("self", "cls"):
        raise RegistrationError(
            f'on("{event}") cannot take the method {name}: nobody would pass its {parameters[0].name}. Apply it to '
            "the bound method once there is an object, or use a plain function"
        )
    if tx:
        _refuse_without_transaction(event, name, parameters[:1], thread=thread)
    by_position = [each.name for each in parameters[int(tx) :] if each.kind is each.POSITIONAL_ONLY]
    if by_position:
        raise RegistrationError(
            f'on("{event}") cannot take {name}: payloads are keywords, and it takes {", ".join(by_position)} by '
            "position only. Remove the / from its signature"
        )


def _refuse_without_transaction(event: str, name: str, first: list[inspect.Parameter], *, thread: bool) -> None:
    takes_one = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not first or first[0].kind not in (*takes_one, inspect.Parameter.VAR_POSITIONAL):
        raise RegistrationError(
            f'on("{event}", tx=True) gives {name} the transaction as its first argument, and it takes none by '
            "position: write (tx, ...) before its keywords"
        )
    if thread:
        raise RegistrationError(
            f'on("{event}", tx=True, thread=True) cannot take {name}: the transaction belongs to the event loop. '
            "Remove one of them"
        )


def qualname(function: object) -> str:
    """Return a callable's qualified name, that of what it is made of, or of its type."""
    while isinstance(function, functools.partial):
        function = cast("object", function.func)
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:  # many callables written in C tell no signature
        return [inspect.Parameter("payload", inspect.Parameter.VAR_KEYWORD)]


def stand_in(subscription: Subscription, module: str, wake: Callable[[], None]) -> Callable[..., Any]:
    """Return what is registered on the bus: in an emit it wakes the dispatcher, in a delivery it is the handler.

    Args:
        subscription: the handler.
        module: the module that a callable belongs to which is no function.
        wake: tells the dispatcher that there is something to deliver.
    """
    function = subscription.function
    called: object = function.func if isinstance(function, functools.partial) else function
    method = getattr(type(called), "__call__", None)  # noqa: B004 - the method itself is wanted
    if not inspect.iscoroutinefunction(called) and not inspect.iscoroutinefunction(method):

        def handle(**payload: object) -> Any:
            delivery = _delivery_of(subscription)
            return wake() if delivery is None else _call(subscription, delivery, payload)

        return _disguised(handle, subscription, module)

    async def handle_async(**payload: object) -> Any:
        delivery = _delivery_of(subscription)
        return wake() if delivery is None else await _call(subscription, delivery, payload)

    return _disguised(handle_async, subscription, module)


def subscription_of(function: object) -> Subscription | None:
    """Return the durable handler that a callable on the bus stands for; None where it is an ordinary one."""
    found: Subscription | None = getattr(function, "__dict__", {}).get(_MARK)
    return found


def _delivery_of(subscription: Subscription) -> Delivery | None:
    """Return the delivery that is to run the handler; None in an emit.

    Raises:
        DurableError: where nobody has stored the emit.
    """
    now = running.get()
    if isinstance(now, Delivery) and now.subscription is subscription:
        return now
    if isinstance(now, Emitted):
        return None
    raise DurableError(
        f"{subscription.event} was emitted, and nothing stored for the durable handler {subscription.id}: the plugin "
        "durable of fastsoy-events-durable is not loaded. Call load_plugins() before the first emit, and do not "
        "disable or block it"
    )


def _call(subscription: Subscription, delivery: Delivery, payload: dict[str, object]) -> Any:
    if subscription.tx:
        return subscription.function(delivery.tx, **payload)
    return subscription.function(**payload)


def _disguised(handle: Any, subscription: Subscription, module: str) -> Callable[..., Any]:
    """Have the stand-in be listed, ordered and logged as the handler: by its module, its name and its line."""
    function = subscription.function
    functools.update_wrapper(handle, function, updated=())
    handle.__module__ = function.__module__ if isinstance(function, FunctionType) else module
    handle.__qualname__ = qualname(function)
    if isinstance(function, MethodType):
        handle.__wrapped__ = function.__func__
    parameters = _parameters(function)
    if subscription.tx and parameters[0].kind is not parameters[0].VAR_POSITIONAL:
        parameters = parameters[1:]
    handle.__signature__ = inspect.Signature(parameters)
    setattr(handle, _MARK, subscription)
    stands_in: Callable[..., Any] = handle
    return stands_in
