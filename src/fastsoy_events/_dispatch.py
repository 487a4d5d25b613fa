"""Dispatch: a plan and a payload become failures. Each handler runs in turn, and no failure stops the next one.

What makes an emit fast stands here, and only here: nobody listening costs one look-up; a few handlers run in the very
coroutine that `emit` is; more of them in a loop made for the payload's keywords, which spares each handler the copy of
a dictionary that `handler(**payload)` makes. An event object's `emit` is such a loop, made for its contract.
"""

from __future__ import annotations

import linecache
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from inspect import CO_ITERABLE_COROUTINE
from itertools import islice
from keyword import iskeyword
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fastsoy_events._record import UNMADE, UNUSED, Failures, Plan, WrappedPlan
from fastsoy_events.errors import EmitDepthError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from fastsoy_events._model import Handler, HandlerFailure

NO_FAILURES = Failures()


class EmitsByContract(ABC):
    """What emits one event, whose keywords are known beforehand."""

    # The event's plan, or UNMADE, which the bus takes back when the handlers change; and the bus's own emit, which
    # serves until the plan is there, and whenever each emit is to be looked at.
    __slots__ = ("_emit_by_name", "_plan")

    _plan: Plan

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the event's name."""

    _emit_by_name: Callable[..., Coroutine[Any, Any, Failures]]

    @abstractmethod
    def _forget_emit(self) -> None:
        """Have `emit` made anew when it is next needed, as the bus's validation has it then."""


def forget_emit(event: EmitsByContract) -> None:
    """Have an event object's `emit` made anew when it is next needed."""
    event._forget_emit()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - its users have no business with it


def give_plan(event: EmitsByContract, plan: Plan) -> None:
    """Have an event object emit by a plan."""
    event._plan = plan  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - its users have no business with it


class Plans(Protocol):
    """Where an emit finds its plan."""

    def get(self, event: str, /) -> Plan | None:
        """Return an event's plan, or UNMADE; None where nobody listens."""


class Dispatcher(ABC):
    """What emits: it finds the plan of an event and runs it."""

    # The events that have handlers, each with its plan, or UNMADE until that is needed.
    _plans: Plans

    @abstractmethod
    def _plan(self, event: str, payload: Mapping[str, object]) -> Plan:
        """Return what an emit is to run whose event's plan is UNMADE."""

    async def emit(self, event: str, /, **payload: object) -> Failures:
        """Await each handler of an event in turn, and isolate their failures.

        A handler's `Exception` is logged on the logger `fastsoy_events`, and the next handler runs. Handlers run in
        the emitter's task and context, and delay it for as long as they take.

        Args:
            event: the event's name.
            payload: passed to each handler as keywords, unchanged. Every name is allowed.

        Returns:
            The handlers' failures, in dispatch order; empty when all went well or nobody listens.

        Raises:
            TypeError: for a name that is no `str`.

        Example:
            >>> import asyncio
            >>> from fastsoy_events import EventBus
            >>> failures = asyncio.run(EventBus().emit("employee.created", employee_id=1))
            >>> failures.raise_if_any()
        """
        try:
            plan = self._plans.get(event)
        except TypeError:  # it cannot even be looked up
            raise _refusal(event) from None
        if plan is None:
            if event.__class__ is str or isinstance(event, str):  # pyright: ignore[reportUnnecessaryIsInstance] - not all are typed
                return NO_FAILURES
            raise _refusal(event)
        if not plan.runs_in_emit:
            if plan is UNMADE:
                plan = self._plan(event, payload)
            if not plan.runs_in_emit:
                keywords, loop = plan.usual
                if (*payload,) != keywords:
                    loop = _loop_of(plan, payload)
                return await loop(plan, **payload)
        failures: list[HandlerFailure] | None = None
        for function in plan.functions:
            try:
                await function(**payload)  # type: ignore[misc]  # as plan.is_async says
            except BaseException as error:
                if goes_through(error):
                    raise
                failures = noted(failures, plan, function, error)
        return NO_FAILURES if failures is None else await ended(plan, failures)


def _refusal(event: object) -> TypeError:
    return TypeError(f'emit() takes the name of the event: write emit("employee.created", ...), not emit({event!r})')


def can_be_awaited(result: object) -> bool:
    """Tell whether `await` takes what a handler returned.

    Raises:
        TypeError: for a generator, since nothing would ever run its body.
    """
    if type(result) is CoroutineType or isinstance(result, Awaitable):
        return True
    if isinstance(result, GeneratorType) and result.gi_code.co_flags & CO_ITERABLE_COROUTINE:
        return True
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            "the handler returned a generator, and nothing runs its body: let it return None or a coroutine"
        )
    return False


# The loops made for a payload's keywords

_TEMPLATE = """\
async def handlers_of({plan}, /{parameters}):
    {failures} = None
{loop}
    return {NO_FAILURES} if {failures} is None else await {ended}({plan}, {failures})
"""
_TEMPLATE_OF_EMIT = """\
async def emit({parameters}):
    {plan} = {event}._plan
    {failures} = None
    if {plan}.is_async:
{loop_of_async}
    else:
        if {plan} is {UNMADE}:
            return await {event}._emit_by_name({name!r}{by_name})
{loop}
    return {NO_FAILURES} if {failures} is None else await {ended}({plan}, {failures})
"""
_LOOP = """\
for {function} in {plan}.functions:
    try:
        {call}
    except {BaseException} as {error}:
        if {goes_through}({error}):
            raise
        {failures} = {noted}({failures}, {plan}, {function}, {error})
"""
_CALL_OF_COROUTINE_FUNCTION = "await {function}({arguments})"
_CALL_OF_ANY = """\
{result} = {function}({arguments})
        if {result} is not None and {can_be_awaited}({result}):
            await {result}"""
_MOST_LOOPS = 512  # an application has about as many sets of keywords as it has events; beyond, the plain loop serves

_Loop: TypeAlias = "Callable[..., Coroutine[Any, Any, Failures]]"
_loops: dict[tuple[bool | str, ...], _Loop] = {}


async def run(plan: Plan, payload: Mapping[str, object]) -> Failures:
    """Run the handlers of a plan, outside of any emit."""
    return await _loop_of(plan, payload)(plan, **payload)


def _loop_of(plan: Plan, payload: Mapping[str, object]) -> _Loop:
    """Return the loop for payloads of these keywords; a plan remembers that of its first, which most emits share."""
    loop = _loops.get((plan.is_async, *payload)) or _loop_for(plan, payload)
    if plan.usual is UNUSED:
        plan.usual = ((*payload,), loop)
    return loop


def _loop_for(plan: Plan, payload: Mapping[str, object]) -> _Loop:
    """Make the loop for payloads of these keywords and keep it, or return the plain one where none can be made."""
    if isinstance(plan, WrappedPlan):
        return _call_wrapped
    if len(_loops) >= _MOST_LOOPS or not all(map(_can_be_parameter, payload)):
        return _plain_loop
    return _loops.setdefault((plan.is_async, *payload), _made_loop(tuple(payload), are_async=bool(plan.is_async)))


async def _call_wrapped(plan: WrappedPlan, /, **payload: object) -> Failures:
    return await plan.call(**payload)


async def _plain_loop(plan: Plan, /, **payload: object) -> Failures:
    failures: list[HandlerFailure] | None = None
    for function in plan.functions:
        try:
            result: Any = function(**payload)
            if result is not None and can_be_awaited(result):
                await result
        except BaseException as error:
            if goes_through(error):
                raise
            failures = noted(failures, plan, function, error)
    return NO_FAILURES if failures is None else await ended(plan, failures)


def _can_be_parameter(keyword: str) -> bool:
    # Python would normalise a name beyond ASCII, and so rename the keyword.
    return keyword.isascii() and keyword.isidentifier() and not iskeyword(keyword) and keyword != "__debug__"


def _made_loop(keywords: tuple[str, ...], *, are_async: bool) -> _Loop:
    keywords = tuple(str.__str__(keyword) for keyword in keywords)  # a kind of text may have words of its own
    words = _words(keywords)
    source = _TEMPLATE.format(
        parameters="".join(f", {keyword}" for keyword in ("*", *keywords)) if keywords else "",
        loop=_loop(keywords, words, are_async=are_async, depth=1),
        **words,
    )
    file = f"<fastsoy_events {'async ' if are_async else ''}handlers_of({', '.join(keywords)})>"
    loop: _Loop = _made("handlers_of", source, file, words, {})
    return loop


def made_emit(event: EmitsByContract, keywords: Sequence[str], defaults: Mapping[str, object], qualname: str) -> _Loop:
    """Make what an event object emits with: one coroutine function whose parameters are the contract's.

    Args:
        event: the event object.
        keywords: the contract's.
        defaults: of those keywords that have one.
        qualname: names the function in tracebacks, and in Python's own words for what does not fit.
    """
    words = _words(keywords)
    parameters = (f"{each}={words['defaults']}[{each!r}]" if each in defaults else each for each in keywords)
    source = _TEMPLATE_OF_EMIT.format(
        parameters=", ".join(["*", *parameters]) if keywords else "",
        loop_of_async=_loop(keywords, words, are_async=True, depth=2),
        loop=_loop(keywords, words, are_async=False, depth=2),
        name=event.name,
        by_name="".join(f", {each}={each}" for each in keywords),
        **words,
    )
    own = {"event": event, "defaults": defaults, "UNMADE": UNMADE}
    emit: _Loop = _made("emit", source, _file_of_emit(event.name, keywords, defaults), words, own)
    emit.__globals__[_EMITS] = event.name
    emit.__qualname__ = f"{qualname}.emit"
    return emit


def _file_of_emit(event: str, keywords: Iterable[str], defaults: Mapping[str, object]) -> str:
    """Return what stands for the file of an event object's `emit`: one of another source has another."""
    parameters = ", ".join(f"{each}=..." if each in defaults else each for each in keywords)
    return f"<fastsoy_events emit of {event if event.isprintable() else ascii(event)}({parameters})>"


def _words(keywords: Collection[str]) -> dict[str, str]:
    """Return the names that a made function uses, none of them a keyword of the payload."""
    prefix = "_"
    while any(keyword.startswith(prefix) for keyword in keywords):
        prefix += "_"
    return {name: prefix + name for name in (*_OWN_NAMES, *_NAMES_IN_LOOP)}


def _loop(keywords: Iterable[str], words: Mapping[str, str], *, are_async: bool, depth: int) -> str:
    call = (_CALL_OF_COROUTINE_FUNCTION if are_async else _CALL_OF_ANY).format(
        arguments=", ".join(f"{keyword}={keyword}" for keyword in keywords), **words
    )
    lines = _LOOP.format(call=call, **words).splitlines()
    return "\n".join("    " * depth + line for line in lines)


def _made(name: str, source: str, file: str, words: Mapping[str, str], own: Mapping[str, object]) -> Any:
    """Run the source of a function, as dataclasses do, and return the function; its source shows in tracebacks."""
    namespace: dict[str, Any] = {words[each]: value for each, value in {**_NAMES_IN_LOOP, **own}.items()}
    exec(compile(source, file, "exec"), namespace)  # noqa: S102 - from the template, and keywords that are plain names
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace[name]


# What happens to a handler's error


def _is_being_cancelled() -> bool:
    from asyncio import current_task  # here, since by now it is imported, and at the top it costs every start

    try:
        task = current_task()
    except RuntimeError:  # no event loop runs here: whoever drives this coroutine by hand threw it in
        return True
    return task is None or task.cancelling() > 0


def goes_through(error: BaseException) -> bool:
    """Tell whether an error goes through to the emitter: what is no `Exception`, and the emitting task's cancellation.

    A `CancelledError` that leaks out of a handler, while nobody cancels the emitting task, is that handler's failure.
    """
    if isinstance(error, Exception):
        return False
    from asyncio import CancelledError

    return not isinstance(error, CancelledError) or _is_being_cancelled()


def _overridden_cancellation(error: BaseException) -> BaseException | None:
    """Return the cancellation of the emitting task that a handler's clean-up hid behind an error of its own.

    A cancellation that the emitter itself is handling, in whose clean-up it emits, is none of the handler's.
    """
    if "asyncio" not in sys.modules:
        return None
    from asyncio import CancelledError

    hidden: BaseException | None = error.__context__
    seen = {id(error)}
    while hidden is not None and not isinstance(hidden, CancelledError) and id(hidden) not in seen:
        seen.add(id(hidden))
        hidden = hidden.__context__
    if not isinstance(hidden, CancelledError) or not _is_being_cancelled():
        return None
    caught_in = hidden.__traceback__ and hidden.__traceback__.tb_frame
    return None if any(frame is caught_in for frame in _frames_outwards()) else hidden


def noted(
    failures: list[HandlerFailure] | None, plan: Plan, function: Callable[..., object], error: BaseException
) -> list[HandlerFailure]:
    """Log one handler's failure, and add it to those of the emit."""
    if isinstance(error, _STACK_EXHAUSTED):
        error = _settled(error)
    make_failure, report = _failing or _prepare_for_failures()
    handler = plan.describe(function)
    report(plan.event, handler, error)
    if error.__context__ is not None:
        cancellation = _overridden_cancellation(error)
        if cancellation is not None:
            raise cancellation
    failures = [] if failures is None else failures
    failures.append(make_failure(plan.event, handler, error))
    return failures


async def ended(plan: Plan, failures: list[HandlerFailure]) -> Failures:
    """Return the failures of an emit whose handlers have all run, once those who want to know of them do."""
    if plan.tell is not None:
        for failure in failures:
            await plan.tell(failure)
    return Failures(failures)


_STACK_EXHAUSTED = (RecursionError, EmitDepthError)
_failing: tuple[type[HandlerFailure], Callable[[str, Handler, BaseException], None]] | None = None


def _prepare_for_failures() -> tuple[type[HandlerFailure], Callable[[str, Handler, BaseException], None]]:
    """Import what the first failure needs: logging takes longer to import than all of the bus."""
    global _failing
    from fastsoy_events._model import HandlerFailure
    from fastsoy_events._report import handler_failed

    _failing = (HandlerFailure, handler_failed)
    return _failing


_OWN_NAMES = ("plan", "failures", "function", "result", "error", "event", "defaults", "UNMADE")
_NAMES_IN_LOOP: dict[str, object] = {
    "BaseException": BaseException,
    "can_be_awaited": can_be_awaited,
    "goes_through": goes_through,
    "noted": noted,
    "NO_FAILURES": NO_FAILURES,
    "ended": ended,
}


# Nested emits are not counted: that would cost every emit something. They are read from the stack, once it has run out.


def _settled(error: RecursionError | EmitDepthError) -> Exception:
    """Return what to record for an exhausted stack; while an outer emit is there to do so, raise to unwind to it."""
    if isinstance(error, RecursionError):
        cycle = _cycle_on_stack(list(_frames_outwards()), error)
        if not cycle:
            return error
        error = EmitDepthError(cycle)
    if next(islice(filter(_is_emit, _frames_outwards()), 1, None), None) is not None:  # a second one: see no further
        raise error from None
    return _shortened(error)


def _frames_outwards() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the only record of nested emits
    while frame is not None:
        yield frame
        frame = frame.f_back


_EMITS = "the event that functions with these globals emit"  # no name that a module could have


def _is_emit(frame: FrameType) -> bool:
    """Tell whether a frame is an emit's; one that an event object makes by name counts once, as the object's."""
    return _is_emit_in(frame, frame.f_back)


def _is_emit_in(frame: FrameType, outer: FrameType | None) -> bool:
    if _EMITS in frame.f_globals:
        return True
    return frame.f_code is Dispatcher.emit.__code__ and not (outer is not None and _EMITS in outer.f_globals)


def _emitted(frame: FrameType) -> str:
    name: str = frame.f_globals[_EMITS] if _EMITS in frame.f_globals else frame.f_locals["event"]
    return name


def _cycle_on_stack(outwards: list[FrameType], error: RecursionError) -> tuple[str, ...]:
    """Return the events from one emit to its first repetition, if it is nested emits that exhausted the stack.

    A handler that exhausts the stack by itself, or in code written in C, below a few nested emits is an ordinary
    failure: then most of the stack lies below the last of them, or the stack is not even deep.
    """
    frames = outwards[::-1]
    seen = set(map(id, frames))
    traceback = error.__traceback__
    while traceback is not None:
        if id(traceback.tb_frame) not in seen:
            frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    # Of frames that have ended, none tells the one around it any more: here, that is the one before it.
    emits = [place for place, frame in enumerate(frames) if _is_emit_in(frame, frames[place - 1] if place else None)]
    below = len(frames) - emits[-1]
    if emits[-1] - emits[0] < below or len(frames) * 2 < sys.getrecursionlimit():
        return ()
    events: list[str] = [_emitted(frames[place]) for place in emits]
    for start, event in enumerate(events):
        if event in events[start + 1 :]:
            return tuple(events[start : events.index(event, start + 1) + 1])
    return ()


def _shortened(error: EmitDepthError) -> EmitDepthError:
    """Cut the traceback off where the second emit begins: the rest repeats hundreds of times."""
    error.__context__ = None
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        if _is_emit(traceback.tb_next.tb_frame):
            traceback.tb_next = None
        traceback = traceback.tb_next
    return error
