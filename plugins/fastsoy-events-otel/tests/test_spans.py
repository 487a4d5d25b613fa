"""Spans: one for each emit, and below it one for each handler."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from fastsoy_events import EmitDepthError, HandlerTimeout, deferred, emit, emit_sync, event, on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from conftest import Spans
    from opentelemetry.sdk.trace import ReadableSpan

    from fastsoy_events import PluginBus

HERE = Path(__file__).resolve()
CANCELLED = "asyncio.exceptions.CancelledError"

pytestmark = pytest.mark.usefixtures("traced")


def names_below(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def current() -> SpanContext:
    return trace.get_current_span().get_span_context()


async def test_an_emit_is_a_span_and_each_of_its_handlers_one_below_it(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None: ...

    @on("employee.created")
    def count(**_: object) -> None: ...

    await emit("employee.created", employee_id=17)
    assert spans.tree() == [
        "emit employee.created",
        f"  handle employee.created / {names_below(greet)}",
        f"  handle employee.created / {names_below(count)}",
    ]
    assert spans.names()[-1] == "emit employee.created"
    for span in spans.ended():
        assert (span.kind, span.status.status_code, span.events) == (SpanKind.INTERNAL, StatusCode.UNSET, ())


async def test_names_and_attributes_are_those_of_the_semantic_conventions(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None: ...

    await emit("employee.created", employee_id=17)
    assert attributes(spans.named("emit ")) == {
        "messaging.system": "fastsoy_events",
        "messaging.operation.name": "emit",
        "messaging.operation.type": "send",
        "messaging.destination.name": "employee.created",
    }
    assert attributes(spans.named("handle ")) == {
        "messaging.system": "fastsoy_events",
        "messaging.operation.name": "handle",
        "messaging.operation.type": "process",
        "messaging.destination.name": "employee.created",
        "code.function.name": names_below(greet),
        "code.file.path": str(HERE),
        "code.line.number": greet.__code__.co_firstlineno,
        "fastsoy_events.handler.id": f"host:{__name__}:{greet.__qualname__}",
    }


async def test_spans_name_the_package_and_its_version(spans: Spans) -> None:
    import tomllib

    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    await emit("employee.left")
    scope = spans.named("emit ").instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("fastsoy_events_otel", project["version"])
    assert (scope.schema_url or "").startswith("https://opentelemetry.io/schemas/1.")


async def test_an_emit_that_nobody_handles_is_a_span_too(spans: Spans) -> None:
    assert not await emit("employee.left", employee_id=17)
    assert spans.tree() == ["emit employee.left"]


async def test_an_emit_by_event_object_is_a_span_as_one_by_name_is(spans: Spans) -> None:
    @event("employee.left")
    def employee_left(*, employee_id: int) -> None:
        """Somebody left."""

    await employee_left.emit(employee_id=17)
    assert spans.tree() == ["emit employee.left"]


async def test_any_keyword_reaches_the_handlers_unchanged() -> None:
    seen: list[dict[str, object]] = []

    @on("employee.created")
    async def note(**payload: object) -> None:
        seen.append(payload)

    payload = {"self": 1, "event": 2, "call": 3, "span": 4, "payload": 5, "not a name": 6}
    assert not await emit("employee.created", **payload)
    assert seen == [payload]


async def test_a_handler_that_is_added_later_has_spans(spans: Spans) -> None:
    @on("employee.created")
    async def first(**_: object) -> None: ...

    await emit("employee.created")

    @on("employee.created")
    async def second(**_: object) -> None: ...

    await emit("employee.created")
    assert [name.rpartition(".")[2] for name in spans.tree()] == ["created", "first", "created", "first", "second"]


# Kinds of handlers


async def test_what_a_handler_returns_is_awaited_in_its_span(spans: Spans) -> None:
    where: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0)
        where.append(current().span_id)

    @on("employee.created")
    def start(**_: object) -> Awaitable[None]:
        return work()

    assert not await emit("employee.created")
    context = spans.named("handle ").context
    assert context is not None
    assert where == [context.span_id]


async def test_a_handler_that_returns_a_generator_has_failed_as_without_the_plugin(spans: Spans) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def more_numbers() -> AsyncIterator[int]:
        yield 1

    on("employee.created")(lambda **_: numbers())
    on("employee.created")(lambda **_: more_numbers())
    failures = await emit("employee.created")
    assert [str(failure.error) for failure in failures] == [
        "the handler returned a generator, and nothing runs its body: let it return None or a coroutine"
    ] * 2
    assert [attributes(span).get("error.type") for span in spans.ended()] == ["TypeError", "TypeError", None]


async def test_a_handler_in_a_thread_runs_in_its_span(spans: Spans) -> None:
    where: list[tuple[int, int]] = []

    @on("employee.created", thread=True)
    def write(**_: object) -> None:
        where.append((threading.get_ident(), current().span_id))

    assert not await emit("employee.created")
    [(thread, span_id)] = where
    context = spans.named("handle ").context
    assert thread != threading.get_ident()
    assert context is not None
    assert span_id == context.span_id


# Context


async def test_spans_are_below_that_of_the_request_which_is_current_again_afterwards(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None:
        raise LookupError("no")

    with trace.get_tracer("http").start_as_current_span("POST /employees") as request:
        await emit("employee.created")
        assert trace.get_current_span() is request
    above = request.get_span_context()
    emitted, handled = spans.named("emit "), spans.named("handle ")
    assert (emitted.parent, handled.parent) == (above, emitted.context)
    assert {span.context.trace_id for span in (emitted, handled) if span.context} == {above.trace_id}


async def test_a_context_that_a_handler_leaves_behind_ends_with_its_span(spans: Spans) -> None:
    @on("employee.created")
    async def leave_behind(**_: object) -> None:
        attach(trace.set_span_in_context(trace.get_tracer("handler").start_span("left behind")))

    @on("employee.created")
    async def greet(**_: object) -> None: ...

    with trace.get_tracer("http").start_as_current_span("POST /employees") as request:
        await emit("employee.created")
        assert trace.get_current_span() is request
    assert spans.named(f"handle employee.created / {names_below(greet)}").parent == spans.named("emit ").context


async def test_what_a_handler_emits_is_below_its_span(spans: Spans) -> None:
    @on("order.placed")
    async def invoice(**_: object) -> None:
        await emit("invoice.made")

    @on("order.placed")
    async def pack(**_: object) -> None: ...

    @on("invoice.made")
    async def post(**_: object) -> None: ...

    await emit("order.placed")
    assert spans.tree() == [
        "emit order.placed",
        f"  handle order.placed / {names_below(invoice)}",
        "    emit invoice.made",
        f"      handle invoice.made / {names_below(post)}",
        f"  handle order.placed / {names_below(pack)}",
    ]


async def test_concurrent_requests_do_not_mix(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None:
        await asyncio.sleep(0)

    async def request(number: int) -> int:
        with trace.get_tracer("http").start_as_current_span(f"request {number}") as span:
            await emit("employee.created")
            return span.get_span_context().trace_id

    traces = await asyncio.gather(*(request(number) for number in range(20)))
    found = [span.context.trace_id for span in spans.ended() if span.context]
    assert len(set(traces)) == 20
    assert sorted(found) == sorted([*traces, *traces])


def test_an_emit_from_code_that_is_not_asynchronous_is_below_the_span_there(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None: ...

    with trace.get_tracer("script").start_as_current_span("import employees") as script:
        assert not emit_sync("employee.created")
    assert spans.named("emit ").parent == script.get_span_context()
    assert spans.named("handle ").parent == spans.named("emit ").context


def test_an_emit_in_a_thread_without_a_span_begins_a_trace(spans: Spans) -> None:
    with trace.get_tracer("script").start_as_current_span("elsewhere"):
        thread = threading.Thread(target=contextvars.Context().run, args=(emit_sync, "employee.created"))
        thread.start()
        thread.join()
    assert spans.named("emit ").parent is None


async def test_nothing_below_a_trace_that_is_not_sampled_is_recorded(spans: Spans) -> None:
    inside: list[SpanContext] = []

    @on("employee.created")
    async def fail(**_: object) -> None:
        inside.append(current())
        raise LookupError("no")

    remote = SpanContext(trace_id=1, span_id=2, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    with trace.use_span(NonRecordingSpan(remote)):
        assert len(await emit("employee.created")) == 1
    assert not spans.ended()
    assert (inside[0].trace_id, inside[0].trace_flags.sampled) == (1, False)


# Deferred emits


async def test_handlers_of_a_deferred_emit_are_below_its_span_which_has_ended(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None:
        await emit("message.sent")

    @on("message.sent")
    async def count(**_: object) -> None: ...

    tracer = trace.get_tracer("http")
    with tracer.start_as_current_span("POST /employees") as request:
        async with deferred() as scope:
            with tracer.start_as_current_span("transaction") as transaction:
                await emit("employee.created")
            assert spans.names() == ["emit employee.created"]
        assert trace.get_current_span() is request
    assert scope.failures == ()
    assert spans.tree() == [
        "emit employee.created",
        f"  handle employee.created / {names_below(greet)}",
        "    emit message.sent",
        f"      handle message.sent / {names_below(count)}",
    ]
    emitted, handled = spans.named("emit employee"), spans.named("handle employee")
    assert emitted.parent == transaction.get_span_context()
    assert handled.start_time is not None
    assert emitted.end_time is not None
    assert handled.start_time >= emitted.end_time


async def test_a_failure_of_a_deferred_emit_is_on_its_handlers_span_alone(spans: Spans) -> None:
    @on("employee.created")
    async def fail(**_: object) -> None:
        raise LookupError("no")

    async with deferred():
        await emit("employee.created")
    assert spans.named("handle ").status.status_code is StatusCode.ERROR
    assert spans.named("emit ").status.status_code is StatusCode.UNSET
    assert "fastsoy_events.failures" not in attributes(spans.named("emit "))


async def test_a_dropped_emit_has_a_span_and_its_handlers_none(spans: Spans) -> None:
    @on("employee.created")
    async def greet(**_: object) -> None: ...

    async def fail_to_commit() -> None:
        async with deferred():
            await emit("employee.created")
            raise LookupError("the transaction failed")

    with pytest.raises(LookupError):
        await fail_to_commit()
    assert spans.tree() == ["emit employee.created"]


async def test_a_cancellation_while_deferred_emits_run_ends_the_spans_in_their_own_context(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    hangs = asyncio.Event()
    current_afterwards: list[bool] = []

    @on("employee.created")
    async def hang(**_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    async def request() -> None:
        with trace.get_tracer("http").start_as_current_span("POST /employees") as span:
            try:
                async with deferred():
                    await emit("employee.created")
            finally:
                current_afterwards.append(trace.get_current_span() is span)

    requesting = asyncio.create_task(request())
    await hangs.wait()
    requesting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await requesting
    assert current_afterwards == [True]
    assert attributes(spans.named("handle "))["error.type"] == CANCELLED
    assert "error.type" not in attributes(spans.named("emit "))
    assert "Failed to detach context" not in caplog.text


# Failures


async def test_a_failure_is_recorded_on_the_handlers_span_and_the_next_one_is_well(spans: Spans) -> None:
    @on("employee.created")
    async def fail(**_: object) -> None:
        raise LookupError("no desk is free")

    @on("employee.created")
    async def greet(**_: object) -> None: ...

    assert len(await emit("employee.created")) == 1
    failed, well, emitted = spans.ended()
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "no desk is free")
    assert attributes(failed)["error.type"] == "LookupError"
    [recorded] = failed.events
    found = dict(recorded.attributes or {})
    assert (recorded.name, found["exception.type"]) == ("exception", "LookupError")
    assert found["exception.message"] == "no desk is free"
    assert f'File "{HERE}", line ' in str(found["exception.stacktrace"])
    assert (well.status.status_code, "error.type" in attributes(well)) == (StatusCode.UNSET, False)
    # The bus has taken care of it, so the emit itself went well.
    assert (emitted.status.status_code, emitted.events) == (StatusCode.UNSET, ())
    assert "error.type" not in attributes(emitted)
    assert attributes(emitted)["fastsoy_events.failures"] == 1


async def test_an_error_that_cannot_be_shown_is_still_the_handlers_failure(spans: Spans) -> None:
    class UnshowableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    @on("employee.created")
    async def fail(**_: object) -> None:
        raise UnshowableError

    [failure] = await emit("employee.created")
    assert isinstance(failure.error, UnshowableError)
    failed = spans.named("handle ")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert attributes(failed)["error.type"] == f"{__name__}.{UnshowableError.__qualname__}"


async def test_a_handler_over_its_time_has_failed_with_a_timeout(spans: Spans) -> None:
    @on("employee.created", timeout=0.001)
    async def hang(**_: object) -> None:
        await asyncio.Event().wait()

    [failure] = await emit("employee.created")
    assert isinstance(failure.error, HandlerTimeout)
    hung = spans.named("handle ")
    assert attributes(hung)["error.type"] == "fastsoy_events.errors.HandlerTimeout"
    assert (hung.status.status_code, hung.status.description) == (StatusCode.ERROR, "cancelled after 0.001 s")


async def test_a_cancelled_emit_ends_its_spans_and_says_so(spans: Spans) -> None:
    hangs = asyncio.Event()

    @on("employee.created")
    async def hang(**_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    @on("employee.created")
    async def never(**_: object) -> None: ...

    emitting = asyncio.create_task(emit("employee.created"))
    await hangs.wait()
    emitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await emitting
    handled, emitted = spans.ended()
    assert handled.name.endswith(names_below(hang))
    for span in (handled, emitted):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == CANCELLED
    assert not emitted.events


async def test_what_another_plugin_raises_to_the_emitter_marks_the_emit(
    spans: Spans, install: Callable[[str, str], None], load: Callable[[], PluginBus], traced: PluginBus
) -> None:
    source = """
from fastsoy_events import hookimpl

@hookimpl
def fastsoy_events_wrap_emit(event, call):
    async def refuse(**payload):
        raise PermissionError(event)
    return refuse
"""
    install("acme", source)
    with traced.isolated():
        load()
        with pytest.raises(PermissionError):
            await emit("employee.created")
    emitted = spans.named("emit ")
    assert (emitted.status.status_code, emitted.status.description) == (StatusCode.ERROR, "employee.created")
    assert attributes(emitted)["error.type"] == "PermissionError"
    assert not emitted.events  # it is the emitter's to record


async def test_a_handler_of_a_plugin_has_the_plugin_in_its_id(
    spans: Spans, install: Callable[[str, str], None], load: Callable[[], PluginBus], traced: PluginBus
) -> None:
    install("acme", "from fastsoy_events import on\n@on('employee.created')\ndef greet(**_): ...\n")
    with traced.isolated():
        load()
        await emit("employee.created")
    handled = spans.named("handle ")
    assert handled.name == "handle employee.created / acme_events.greet"
    assert attributes(handled)["fastsoy_events.handler.id"] == "acme:acme:acme_events:greet"


async def test_a_plugin_around_this_one_sees_what_the_handler_returns(
    install: Callable[[str, str], None],
    load: Callable[[], PluginBus],
    traced: PluginBus,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = """
from fastsoy_events import hookimpl, on

@on("employee.created")
def plain(**_):
    return "plain"

@on("employee.created")
async def awaited(**_):
    return "awaited"

@hookimpl
def fastsoy_events_wrap_handler(call):
    async def show(**payload):
        print(await call(**payload))
    return show
"""
    install("zeta", source)
    with traced.isolated():
        load()
        assert not await emit("employee.created")
    assert capsys.readouterr().out == "plain\nawaited\n"


async def test_a_cycle_of_emits_is_one_failure_and_its_spans_are_small(spans: Spans) -> None:
    @on("order.placed")
    async def invoice(**_: object) -> None:
        await emit("invoice.made")

    @on("invoice.made")
    async def order(**_: object) -> None:
        await emit("order.placed")

    with trace.get_tracer("http").start_as_current_span("POST /orders") as request:
        [failure] = await emit("order.placed")
        assert trace.get_current_span() is request
    assert isinstance(failure.error, EmitDepthError)
    assert failure.error.cycle == ("order.placed", "invoice.made", "order.placed")
    handled, emitted = spans.ended()[-2:]
    assert attributes(handled)["error.type"] == "fastsoy_events.errors.EmitDepthError"
    assert attributes(emitted)["fastsoy_events.failures"] == 1
    assert max(len(span.to_json()) for span in spans.ended()[-100:]) < 3000


# Coroutines that nobody finishes


class Forever:
    def __await__(self) -> Iterator[None]:
        while True:
            yield


async def wait_forever(**_: object) -> None:
    await Forever()


def test_a_closed_emit_ends_its_spans_and_leaves_no_current_one(spans: Spans) -> None:
    on("employee.created")(wait_forever)
    emitting = emit("employee.created")
    emitting.send(None)
    assert current().is_valid
    emitting.close()
    assert not current().is_valid
    assert [attributes(span)["error.type"] for span in spans.ended()] == ["GeneratorExit", "GeneratorExit"]


def test_an_emit_that_is_closed_in_another_context_ends_its_spans_silently(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    on("employee.created")(wait_forever)
    emitting = emit("employee.created")
    contextvars.copy_context().run(emitting.send, None)
    emitting.close()
    assert len(spans.ended()) == 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
