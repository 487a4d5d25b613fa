"""Contracts: what an event's emits carry, declared as a signature, and what fits it."""

from __future__ import annotations

import dis
import inspect
import sys
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

from fastsoy_events._declare import declaring
from fastsoy_events._dispatch import Dispatcher, EmitsByContract, made_emit
from fastsoy_events._record import UNMADE, Execution
from fastsoy_events.errors import ContractError, RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import CodeType, FrameType

    from fastsoy_events._bus import EventBus
    from fastsoy_events._model import Plugin
    from fastsoy_events._record import Failures

P = ParamSpec("P")
R = TypeVar("R")

_ANY = inspect.Parameter.VAR_KEYWORD
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_TAKEN = (*_KEYWORDS, inspect.Parameter.POSITIONAL_ONLY)  # which `@on` refuses in words of its own
_RETURN_NONE = ("LOAD_CONST", "RETURN_CONST", "RETURN_VALUE")
_LONGEST_VALUE = 60  # characters


class Event(EmitsByContract, Generic[P]):
    """The declared contract of an event, made by `@event`: which keywords an emit carries, of which types.

    Example:
        >>> import asyncio
        >>> from fastsoy_events import EventBus
        >>> bus = EventBus()
        >>> @bus.event("employee.created")
        ... def employee_created(*, employee_id: int) -> None:
        ...     "HR has created an employee."
        >>> @employee_created.on
        ... async def greet(employee_id: int) -> None:
        ...     print("welcome", employee_id)
        >>> asyncio.run(employee_created.emit(employee_id=1))
        welcome 1
        ()
    """

    __slots__ = ("__weakref__", "_bus", "_function", "_module", "_name", "_signature", "emit")

    def __init__(self, bus: EventBus, name: str, function: FunctionType, module: str) -> None:
        self._bus = bus
        self._name = name
        self._function = function
        self._module = module
        self._signature: inspect.Signature | None = None
        self._plan = UNMADE
        self._emit_by_name = partial(Dispatcher.emit, bus)
        self._forget_emit()

    emit: Callable[P, Coroutine[Any, Any, Failures]]
    """Await each handler of the event in turn, as `emit(name, ...)` does, only faster and with checked types.

    Args:
        payload: the keywords of the contract; one with a default may be left out, and is then that default.

    Returns:
        The handlers' failures, in dispatch order; empty when all went well or nobody listens.

    Raises:
        TypeError: for a keyword too many or too few; with `bus.validation`, a `ContractError`, which is one.
    """

    @property
    def name(self) -> str:
        """Return the event's name."""
        return self._name

    @property
    def signature(self) -> inspect.Signature:
        """Return the declared signature; annotations are texts where they are written so."""
        if self._signature is None:
            signature = inspect.signature(self._function)
            parameters = [
                each.replace(annotation=_Unquoted(each.annotation)) if isinstance(each.annotation, str) else each
                for each in signature.parameters.values()
            ]
            self._signature = signature.replace(parameters=parameters, return_annotation=signature.empty)
        return self._signature

    @property
    def summary(self) -> str:
        """Return the first paragraph of the docstring, on one line; empty where there is none."""
        return " ".join((inspect.getdoc(self._function) or "").partition("\n\n")[0].split())

    @property
    def module(self) -> str:
        """Return the dotted name of the module that declares it."""
        return self._module

    @property
    def qualname(self) -> str:
        """Return its qualified name inside the module."""
        return self._function.__qualname__

    @property
    def source(self) -> str:
        """Return `file:line` of the declaration."""
        code = self._function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    @property
    def plugin(self) -> str:
        """Return the name of the plugin's entry point; empty where the host declares it."""
        owner = self._owner()
        return owner.name if owner else ""

    @property
    def distribution(self) -> str:
        """Return the canonical name of the plugin's distribution; empty where the host declares it."""
        owner = self._owner()
        return owner.distribution if owner else ""

    @property
    def version(self) -> str:
        """Return the version of the plugin's distribution; empty where the host declares it."""
        owner = self._owner()
        return owner.version if owner else ""

    def _forget_emit(self) -> None:
        first: Callable[..., Coroutine[Any, Any, Failures]] = self._first_emit
        self.emit = first

    def _first_emit(self, /, *positional: object, **payload: object) -> Coroutine[Any, Any, Failures]:
        """Make `emit`, and call it: most processes that import a contract never emit the event."""
        if self.emit == self._first_emit:
            with self._bus._lock:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the bus's other half
                emit = self._made_emit()
                checked: Callable[..., Coroutine[Any, Any, Failures]] = self._checked_emit
                self.emit = emit if self._bus.validation == "off" else checked  # as it is now, after the making
        emit_now: Callable[..., Coroutine[Any, Any, Failures]] = self.emit
        return emit_now(*positional, **payload)

    def _made_emit(self) -> Callable[..., Coroutine[Any, Any, Failures]]:
        return made_emit(self, tuple(self.signature.parameters), self._defaults(), self.qualname)

    async def _checked_emit(self, /, *positional: object, **payload: object) -> Failures:
        if positional:
            raise TypeError(f"{self.qualname}.emit() takes keywords only: {', '.join(self.signature.parameters)}")
        payload = self._defaults() | payload
        error = misfit_of_payload(self, payload)
        if error is not None and self._bus.validation == "raise":
            raise error  # also where another contract, or none, is in force
        return await self._emit_by_name(self._name, **payload)

    def _defaults(self) -> dict[str, object]:
        declared = {name: parameter.default for name, parameter in self.signature.parameters.items()}
        return {name: default for name, default in declared.items() if default is not inspect.Parameter.empty}

    def _owner(self) -> Plugin | None:
        return self._bus._owner(self._module)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the bus knows

    def on(self, function: Callable[P, R]) -> Callable[P, R]:
        """Register the decorated callable as a handler of the event, and return it unchanged.

        It is for the package that declares the contract, and for the host. Other packages write `@on` with the event's
        name, since business modules do not import each other.

        Args:
            function: it takes the contract's keywords, or any (`**kwargs`).

        Returns:
            The function.

        Raises:
            RegistrationError: as `@on` does, and for a handler that does not fit the contract.
        """
        misfit = misfit_of(function, self)
        if misfit:
            raise RegistrationError(f"@{self.qualname}.on cannot take {_name_of(function)}: {misfit}")
        caller = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - whose code applies it?
        self._bus._register(self._name, function, caller)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the bus's other half
        return function

    def __repr__(self) -> str:
        return f"<event {self._name} {shown_signature(self._function)}>"


class Contract(NamedTuple):
    """What `@event` recorded.

    Args:
        event: the event's name.
        target: the event object.
        module: the module that it belongs to.
        declared_in: the module whose execution declared it.
    """

    event: str
    target: Event[...]
    module: str
    declared_in: str

    @property
    def key(self) -> Event[...]:
        """Return what makes the declaration the same one again."""
        return self.target

    def clash_with(self, earlier: Contract) -> str:
        """Say in words that another contract comes first."""
        return (
            f"{self.target.qualname} at {self.target.source} declares {self.event}, which {earlier.target.qualname} at "
            f"{earlier.target.source} declares already: one event has one contract. Remove one of the two"
        )


def declare(bus: EventBus, event: str, function: object, applied_in: FrameType) -> tuple[Contract, Execution]:
    """Check a contract and record it.

    Args:
        bus: whose event it is.
        event: the event's name.
        function: what `event(name)` was applied to.
        applied_in: the frame of the code that applied it.

    Returns:
        The contract, and the execution of the module that declared it.

    Raises:
        RegistrationError: with what to write instead.
    """
    checked = _checked(event, function)
    module, namespace = declaring(checked, applied_in)
    contract = Contract(event, Event(bus, event, checked, module), module, namespace.get("__name__", module))
    return contract, Execution(contract.declared_in, namespace)


def _checked(event: str, function: object) -> FunctionType:
    """Return a contract's function, or refuse it.

    Raises:
        RegistrationError: with what to write instead.
    """
    if not isinstance(function, FunctionType):
        raise RegistrationError(f'@event("{event}") must stand above a function with keyword-only parameters')
    name, code = function.__qualname__, function.__code__
    if code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        raise RegistrationError(
            f'@event("{event}") cannot take {name}: a contract only declares keywords, and its body never runs. '
            f'Write a plain def; what handles the event stands below @on("{event}")'
        )
    odd = [each for each in inspect.signature(function).parameters.values() if each.kind is not each.KEYWORD_ONLY]
    if odd:
        raise RegistrationError(
            f'@event("{event}") cannot take {name}: payloads are keywords that are known beforehand, and it takes '
            f"{', '.join(str(each.replace(annotation=each.empty, default=each.empty)) for each in odd)}. "
            f"Write def {function.__name__}(*, ...) with one keyword-only parameter for each"
        )
    if not _returns_none_at_once(code):
        raise RegistrationError(
            f'@event("{event}") cannot take {name}: the body of a contract never runs. Leave only a docstring in it'
        )
    return function


def _returns_none_at_once(code: CodeType) -> bool:
    steps = [each for each in dis.get_instructions(code) if each.opname not in ("RESUME", "NOP")]
    loads_none = [each.argval is None for each in steps if each.opname in ("LOAD_CONST", "RETURN_CONST")]
    return loads_none == [True] and all(each.opname in _RETURN_NONE for each in steps)


class _Unquoted(str):
    """A text that a signature shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shown_signature(function: Callable[..., object]) -> str:
    """Return the signature that a call of the function itself meets, on one line, as it reads in the source.

    Whatever a default or an annotation does when it is shown, this does not raise.
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
        parameters = [_shown_parameter(each) for each in signature.parameters.values()]
        return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    except Exception:  # noqa: BLE001 - many callables written in C tell no signature, and objects may raise anything
        return "(...)"


def _shown_parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    empty, annotation, default = parameter.empty, parameter.annotation, parameter.default
    if annotation is not empty:
        text = annotation if isinstance(annotation, str) else _shown(inspect.formatannotation, annotation)
        parameter = parameter.replace(annotation=_Unquoted(text))
    return parameter if default is empty else parameter.replace(default=_Unquoted(_shown(repr, default)))


def _shown(show: Callable[[Any], str], value: object) -> str:
    try:
        text = show(value)
    except Exception:  # noqa: BLE001 - an object may raise anything
        return "..."
    return text if len(text) <= _LONGEST_VALUE and text.isprintable() else "..."


def _name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else repr(function)


def misfit_of(function: Callable[..., object], contract: Event[...]) -> str:
    """Tell in words why a handler cannot take what a contract sends; empty where it can.

    Args:
        function: the handler's callable.
        contract: the event's contract.
    """
    required, taken, takes_any = keywords_of(function)
    sent = contract.signature.parameters
    problems = [f"it requires {each}, which the contract never sends" for each in required if each not in sent]
    problems += [] if takes_any else [f"it does not take {each}" for each in sent if each not in taken]
    if not problems:
        return ""
    declared = shown_signature(contract._function)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
    signatures = f"{_name_of(function)}{shown_signature(function)} against {contract.qualname}{declared}"
    return f"{'; '.join(problems)} ({signatures}, declared at {contract.source})"


class Keywords(NamedTuple):
    """Which keywords a callable takes.

    Args:
        required: those that it requires.
        taken: those that it names, the required ones among them.
        takes_any: whether it takes any other.
    """

    required: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()
    takes_any: bool = True


def keywords_of(function: Callable[..., object]) -> Keywords:
    """Return which keywords a callable takes; any, where it does not tell.

    Args:
        function: a handler's callable.
    """
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except Exception:  # noqa: BLE001 - many callables written in C tell no signature, and objects may raise anything
        return Keywords()
    named = [each for each in parameters if each.kind in _TAKEN]
    required = tuple(each.name for each in named if each.default is each.empty and each.kind in _KEYWORDS)
    return Keywords(required, frozenset(each.name for each in named), any(each.kind is _ANY for each in parameters))


def misfit_of_payload(contract: Event[...], payload: Mapping[str, object]) -> ContractError | None:
    """Return what is wrong with the keywords of an emit; None where nothing is."""
    declared = contract.signature.parameters
    missing = tuple(name for name, each in declared.items() if each.default is each.empty and name not in payload)
    unknown = tuple(name for name in payload if name not in declared)
    if not missing and not unknown:
        return None
    from difflib import get_close_matches

    problems = [f"{name} is missing" for name in missing]
    for name in unknown:
        nearest = get_close_matches(name, list(declared), n=1)
        problems.append(f"{name} is unknown" + "".join(f", did you mean {match}?" for match in nearest))
    place = f"{contract.qualname}{shown_signature(contract._function)} at {contract.source}"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
    message = f"An emit of {contract.name} does not fit its contract {place}: {'; '.join(problems)}"
    return ContractError(message, event=contract.name, missing=missing, unknown=unknown)


def emitter() -> str:
    """Return `file:line` of the code outside of this package that emits just now."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - who emits?
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("fastsoy_events."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "an unknown place"
