"""The relay, as its users see it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from fastsoy_events import bus
from fastsoy_events_relay import _forwarding
from fastsoy_events_relay._durable import Endless, handler_id_of
from fastsoy_events_relay._engine import Delivery, Engine, cancelled, engine_for
from fastsoy_events_relay._envelope import now
from fastsoy_events_relay._errors import EnvelopeError, RefusedError, RelayError
from fastsoy_events_relay._inbound import Inbound
from fastsoy_events_relay._outbound import Outbound, letter_of
from fastsoy_events_relay._report import logger
from fastsoy_events_relay._settings import Patterns, Settings
from fastsoy_events_relay._stored import Stored
from fastsoy_events_relay._tally import Counts, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from fastsoy_events_relay._durable import Durable
    from fastsoy_events_relay._settings import Absent, Full, Unknown

__all__ = ["Relay"]

PLUGIN = "fastsoy_events_relay.plugin"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between attempts to open


class Relay:
    """Forwards chosen events to a message broker, and emits here what other applications have forwarded.

    It belongs in the application's lifespan, after `load_plugins()`: `async with relay: ...`. What was received is not
    forwarded again; what its handlers emit is. All applications that use one stream of one broker hear each other; the
    processes of one application, which have the same name, share what it receives.

    Args:
        url: the broker: `nats://`, `tls://` (NATS), `redis://`, `rediss://` or `unix://` (Redis); several NATS servers
            with commas between them.
        app: the application's name, in lower case letters, digits, `_` and `-`: the source of what it forwards, and
            the consumer group that it receives with.
        forward: names of events that go out, with wildcards as in `fnmatch`: `employee.*`; `*` spans dots.
        receive: names of events that come in. Whoever may write to the broker can emit them here.
        durable: a `fastsoy_events_durable.Durable`: events wait in its database until the broker has acknowledged them,
            and it remembers which were received. None for a queue and a memory in this process.
        broker_absent: `raise` a `RelayError` at the start when the broker cannot be reached within `connect_timeout`,
            or `retry` in the background; local emits do not notice.
        connect_timeout: seconds.
        when_full: what happens to an event when `queue_size` others wait for the broker: `drop` it, which is logged
            and counted, or have its emit `wait`. Not with `durable`, which keeps them all.
        queue_size: how many events wait at most.
        in_flight: how many messages a process takes from the broker at once; it handles them one after the other. So
            many may come twice when it is killed.
        acknowledge_within: seconds after which the broker gives a message to another process, once the one that had it
            shows no more sign of life; also the pause before a message comes again whose handlers failed.
        redeliver: how often a message is delivered again when a handler failed; all its handlers run again. Then it
            goes to the dead letters. Not with `durable`: its handlers are tried again one by one.
        unknown: what becomes of events that fit `receive` and that nothing here handles: to the `dead-letter` stream
            with them, or `ignore` them.
        remember: how many events that were received are remembered, to tell what comes twice.
        largest: bytes of a message that is sent or received.
        grace: seconds that the end of the block waits for the message that is being handled, and as many again for
            what is to be sent.
        stream: the stream's name on the broker, and what its NATS subjects begin with. The dead letters are in
            `<stream>_dead`.
        stream_length: about how many messages a Redis stream keeps; the oldest go, whether or not they were received.
        options: more keyword arguments for FastStream's broker, such as TLS and passwords.

    Raises:
        ValueError: for what cannot work; the message says what may stand there.

    Example:
        >>> relay = Relay("nats://127.0.0.1:4222", app="hr", forward=["employee.*"], receive=["payroll.*"])
        >>> relay.counts.forwarded
        0
    """

    def __init__(
        self,
        url: str,
        *,
        app: str,
        forward: Sequence[str] = (),
        receive: Sequence[str] = (),
        durable: Durable | None = None,
        broker_absent: Absent = "raise",
        connect_timeout: float = 5.0,
        when_full: Full = "drop",
        queue_size: int = 10_000,
        in_flight: int = 100,
        acknowledge_within: float = 30.0,
        redeliver: int = 0,
        unknown: Unknown = "dead-letter",
        remember: int = 100_000,
        largest: int = 256 * 1024,
        grace: float = 10.0,
        stream: str = "fastsoy_events",
        stream_length: int = 1_000_000,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        for name, patterns in (("forward", forward), ("receive", receive)):
            if isinstance(patterns, str):
                raise ValueError(f'Relay({name}=...) is a list of names: write ["{patterns}"]')  # noqa: TRY004 - the value is wrong, as elsewhere
        if durable is not None and redeliver:
            raise ValueError(
                "Relay(redeliver=...) is not for durable=...: there, an event's handlers run after it was recorded as "
                "received. Make those that may fail durable: they are tried again one by one"
            )
        self._settings = Settings(
            url=url,
            app=app,
            forward=Patterns(forward),
            receive=Patterns(receive),
            broker_absent=broker_absent,
            connect_timeout=connect_timeout,
            when_full=when_full,
            queue_size=queue_size,
            in_flight=in_flight,
            acknowledge_within=acknowledge_within,
            redeliver=redeliver,
            unknown=unknown,
            remember=remember,
            largest=largest,
            grace=grace,
            stream=stream,
            stream_length=stream_length,
            options=dict(options or {}),
        )
        self._tally = Tally()
        self._durable = durable
        self._handler_id = handler_id_of(app)
        self._engine: Engine | None = None
        self._outbound: Outbound | None = None
        self._stored: Stored | None = None
        self._tasks: list[asyncio.Task[None]] = []
        if durable is not None and forward:
            durable.receiver(self._handler_id, retry=Endless())(self._send_stored)

    def __repr__(self) -> str:
        return f"<Relay of {self._settings.app} at {self._settings.place}>"

    @property
    def counts(self) -> Counts:
        """Return what the relay has done so far."""
        return self._tally.snapshot()

    @property
    def waiting(self) -> int:
        """Return how many events wait in memory for the broker."""
        return 0 if self._outbound is None else len(self._outbound)

    @property
    def is_connected(self) -> bool:
        """Tell whether the broker can be reached, as far as is known; for a health check."""
        return self._engine is not None and self._engine.is_connected

    # The block

    async def __aenter__(self) -> Self:
        """Open the relay.

        Raises:
            RelayError: when the broker cannot be reached, unless `broker_absent` is `retry`; when it is not set up as
                the relay needs it; when the plugin is not loaded; when the relay is open already.
        """
        if self._engine is not None:
            raise RelayError(f"{self!r} is open already: open each relay once, in the application's lifespan")
        _require_plugin()
        self._tally = Tally()
        engine = engine_for(self._settings, self._take)
        self._inbound = Inbound(self._settings, engine.bury, self._tally, self._durable)
        outbound = Outbound(self._settings, engine.send, self._tally)
        is_open = self._settings.broker_absent == "raise"
        if is_open:
            await engine.open()
        self._engine, self._outbound = engine, outbound
        self._stored = Stored(self._settings, engine.send, self._tally)
        self._tasks = [
            asyncio.create_task(self._keep_open(engine, is_open=is_open), name="fastsoy-events-relay: stay connected"),
            asyncio.create_task(outbound.run(), name="fastsoy-events-relay: send"),
        ]
        if self._settings.forward:
            _forwarding.open_for(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the relay: finish the message that is being handled, and send what waits, within the time for it."""
        engine, outbound, stored = self._engine, self._outbound, self._stored
        if engine is None or outbound is None or stored is None:
            return
        try:
            await engine.stop_receiving()
            _forwarding.close(self)
            await outbound.finish(self._settings.grace)
        finally:
            _forwarding.close(self)
            await cancelled(*self._tasks)
            outbound.abandon()
            self._engine = self._outbound = self._stored = None
            await stored.close()
            await engine.close()

    async def _keep_open(self, engine: Engine, *, is_open: bool) -> None:
        """Open the engine until that succeeds, and again whenever its connection has ended for good."""
        while True:
            if not is_open:
                await self._open_patiently(engine)
            await engine.until_lost()
            logger.error("What the relay had at %s has ended; it will be opened anew", self._settings.place)
            await engine.close()
            is_open = False

    async def _open_patiently(self, engine: Engine) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await engine.open()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over by the next time
                if pause == FIRST_PAUSE:
                    logger.warning("The relay has no broker yet, and will try again: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                logger.warning("The relay has connected to %s", self._settings.place)
                return

    # Events that go out

    def forwards(self, event: str) -> bool:
        """Tell whether an event goes out.

        Args:
            event: its name.

        Example:
            >>> Relay("nats://127.0.0.1", app="hr", forward=["employee.*"]).forwards("employee.created")
            True
        """
        return self._settings.forward.fit(event)

    async def forward(self, event: str, event_id: str, payload: Mapping[str, object]) -> None:
        """Forward an event, as its emit does; inside `deferred()`, when that has ended well.

        Args:
            event: its name.
            event_id: unique among the events of this application; the same again is dropped by those who receive it.
            payload: the keywords of the emit. What cannot be sent, such as what is not JSON, is logged and counted.

        Raises:
            EventsError: with `durable`, for what cannot be sent, and for what its database does not take.
        """
        outbound = self._outbound
        if outbound is None:
            return
        try:
            letter = letter_of(self._settings, event, event_id, payload, now())
        except (EnvelopeError, RefusedError) as error:
            if self._durable is not None:
                raise
            outbound.refuse(event, error)
            return
        if self._durable is None:
            await bus.defer(event, partial(outbound.put, letter))
        else:
            stored = {"time": now(), "data": payload}
            await self._durable.publish(self._handler_id, event, stored, event_id=event_id)

    async def _send_stored(self, event: str, event_id: str, stored: Mapping[str, Any]) -> None:
        if self._stored is None:
            raise RelayError(f"{self!r} is not open")
        await self._stored.send(event, event_id, stored)

    async def _take(self, delivery: Delivery) -> None:
        await self._inbound.take(delivery)


def _require_plugin() -> None:
    if not any(plugin.module == PLUGIN and plugin.status == "loaded" for plugin in bus.plugins()):
        raise RelayError(
            "the plugin of fastsoy-events-relay is not loaded, without which nothing is forwarded: call load_plugins() "
            "before the relay is opened, and neither disable nor block fastsoy-events-relay"
        )
