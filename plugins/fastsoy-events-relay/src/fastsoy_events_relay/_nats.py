"""NATS JetStream, through FastStream: one stream for all events, and one durable pull consumer for each application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faststream import AckPolicy
from faststream.exceptions import StopConsume
from faststream.nats import JStream, NatsBroker, PullSub
from nats.errors import Error, MaxPayloadError, NoRespondersError
from nats.js.errors import APIError, ServiceUnavailableError

from fastsoy_events_relay._engine import Letter, cancelled, ended_within
from fastsoy_events_relay._envelope import CONTENT_TYPE
from fastsoy_events_relay._errors import RefusedError, RelayError
from fastsoy_events_relay._nats_streams import create_absent
from fastsoy_events_relay._report import logger, shown
from fastsoy_events_relay._subscribers import STOP_SECONDS, is_alive, stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faststream.nats.message import NatsBatchMessage
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from fastsoy_events_relay._engine import Take
    from fastsoy_events_relay._settings import Settings

__all__ = ["NatsEngine"]

SEND_TIMEOUT = 5.0  # seconds for the broker to acknowledge a message
FETCH_SECONDS = 0.2  # the longest that a message waits for others to fill the batch
TEND_SECONDS = 5.0  # between looks whether stream and consumer are still there
RECONNECT_SECONDS = 1
_TOO_LARGE = 10054  # JetStream's code for a message that is larger than the stream takes


class _NatsDelivery:
    """One message of a batch."""

    def __init__(self, message: Msg) -> None:
        self._message = message

    @property
    def body(self) -> bytes:
        return self._message.data

    async def acknowledge(self) -> None:
        await self._message.ack()

    async def postpone(self, seconds: float) -> None:
        await self._message.nak(delay=seconds)

    async def attempt(self) -> int:
        return self._message.metadata.num_delivered or 1


async def _itself(message: NatsBatchMessage) -> NatsBatchMessage:
    """Decode nothing: FastStream would fail a whole batch for one message that is no JSON, and never acknowledge it."""
    return message


class NatsEngine:
    """The way to a NATS server, or a cluster of them.

    Args:
        settings: the relay's.
        take: is given each message, one at a time.
    """

    def __init__(self, settings: Settings, take: Take) -> None:
        self._settings = settings
        self._take = take
        self._broker: NatsBroker | None = None
        self._client: Client | None = None
        self._subscriber: Any = None
        self._tending: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._is_stopping = False
        self._last_error: Exception | None = None

    @property
    def is_connected(self) -> bool:
        return self._broker is not None and self._client is not None and self._client.is_connected

    # Opening

    async def open(self) -> None:
        self._lost.clear()
        self._last_error = None
        broker = self._new_broker()
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                self._client = await broker.connect()
                await create_absent(self._client, self._settings, changes=True)
                if self._settings.receive and not self._is_stopping:
                    self._subscribe(broker)
                await broker.start()
        except BaseException as error:
            await self._leave(broker)
            if isinstance(error, Error | OSError | TimeoutError):
                raise RelayError(self._why_not(error)) from error
            raise
        self._broker = broker
        self._tending = asyncio.create_task(self._tend(), name="fastsoy-events-relay: tend")

    def _new_broker(self) -> NatsBroker:
        settings = self._settings
        options: dict[str, Any] = {
            "name": f"fastsoy-events-relay {settings.app}",
            "connect_timeout": max(1, round(settings.connect_timeout)),
            "reconnect_time_wait": RECONNECT_SECONDS,
            **settings.options,
        }
        return NatsBroker(
            settings.servers,
            max_reconnect_attempts=-1,  # with a limit, the client closes, and FastStream asks it again without a pause
            error_cb=self._note_error,
            disconnected_cb=self._note_disconnected,
            reconnected_cb=self._note_reconnected,
            closed_cb=self._note_closed,
            graceful_timeout=STOP_SECONDS,
            apply_types=False,
            logger=None,  # it would log a traceback at each attempt
            **options,
        )

    def _why_not(self, error: BaseException) -> str:
        place, seconds = self._settings.place, self._settings.connect_timeout
        if isinstance(error, ServiceUnavailableError | NoRespondersError):
            return f"NATS at {place} has no JetStream: start nats-server with -js, or enable it for the account"
        cause = self._last_error if isinstance(error, TimeoutError) and self._last_error else error
        words = shown(cause) or type(cause).__name__
        return (
            f"no NATS server at {place} within {seconds} s: {words}. Start it, correct the URL, or let the relay open "
            'without it: Relay(broker_absent="retry")'
        )

    def _subscribe(self, broker: NatsBroker) -> None:
        self._subscriber = broker.subscriber(
            f"{self._settings.stream}.>",
            durable=self._settings.app,
            stream=JStream(self._settings.stream, declare=False),  # or else FastStream overwrites an existing one
            pull_sub=PullSub(batch_size=self._settings.in_flight, timeout=FETCH_SECONDS, batch=True),
            ack_policy=AckPolicy.MANUAL,
            decoder=_itself,
            no_reply=True,
        )
        self._subscriber(self._take_batch)

    # Receiving

    async def _take_batch(self, batch: NatsBatchMessage) -> None:
        beating = asyncio.create_task(self._beat(batch), name="fastsoy-events-relay: keep a batch")
        try:
            for message in batch.raw_message:
                if self._is_stopping:
                    await message.nak()
                else:
                    await self._take(_NatsDelivery(message))
        finally:
            await cancelled(beating)
        if self._client is None or self._client.is_closed:
            raise StopConsume  # FastStream would ask a closed client again and again, and give nobody else a turn

    async def _beat(self, batch: NatsBatchMessage) -> None:
        """Have the server wait longer for what is not acknowledged yet."""
        while True:
            await asyncio.sleep(self._settings.acknowledge_within / 3)
            try:
                await batch.in_progress()
            except Error as error:
                logger.debug("A batch could not be kept: %s", shown(error))

    async def _tend(self) -> None:
        """Create stream and consumer anew where the server has lost them, such as one that keeps nothing on disk."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if not (self._subscriber is None or self._is_stopping or is_alive(self._subscriber)):
                self._lost.set()
            if self._client is None or not self.is_connected:
                continue
            try:
                await create_absent(self._client, self._settings, changes=False)
            except Exception as error:  # noqa: BLE001 - the server is away, or not itself yet: the next time will tell
                logger.debug("Stream and consumer could not be looked at: %s", shown(error))

    async def stop_receiving(self) -> None:
        self._is_stopping = True
        if self._subscriber is not None:
            await stopped(self._subscriber, self._settings.grace)

    # Sending

    async def send(self, letters: Sequence[Letter]) -> Sequence[Exception | None]:
        if self._broker is None or not self.is_connected:
            return [self._last_error or ConnectionError("not connected")] * len(letters)
        return await asyncio.gather(*(self._send(self._broker, letter) for letter in letters))

    async def _send(self, broker: NatsBroker, letter: Letter) -> Exception | None:
        stream = self._settings.stream
        try:
            await self._publish(broker, letter.body, f"{stream}.{letter.event}", stream, {"Nats-Msg-Id": letter.id})
        except MaxPayloadError:
            return RefusedError("it is larger than the server takes in one message")
        except APIError as error:
            is_final = error.err_code == _TOO_LARGE
            return RefusedError("it is larger than the stream takes in one message") if is_final else error
        except Exception as error:  # noqa: BLE001 - it is told, and sent again
            return error
        return None

    async def _publish(
        self, broker: NatsBroker, body: bytes, subject: str, stream: str, headers: dict[str, str]
    ) -> None:
        headers["content-type"] = CONTENT_TYPE
        await broker.publish(body, subject, headers=headers, stream=stream, timeout=SEND_TIMEOUT)

    async def bury(self, body: bytes) -> None:
        if self._broker is None:
            raise ConnectionError("not connected")
        stream = self._settings.dead_stream
        headers = {"content-type": "application/json"}
        await self._broker.publish(
            body, f"{stream}.{self._settings.app}", headers=headers, stream=stream, timeout=SEND_TIMEOUT
        )

    # The connection's life

    async def _note_error(self, error: Exception) -> None:
        self._last_error = error

    async def _note_disconnected(self) -> None:
        if self._broker is not None and not self._is_stopping:
            logger.warning("Disconnected from NATS at %s", self._settings.place)

    async def _note_reconnected(self) -> None:
        logger.warning("Connected to NATS at %s again", self._settings.place)

    async def _note_closed(self) -> None:
        self._lost.set()

    async def until_lost(self) -> None:
        await self._lost.wait()

    async def close(self) -> None:
        await cancelled(self._tending)
        broker, self._broker = self._broker, None
        if broker is not None:
            await self._leave(broker)

    async def _leave(self, broker: NatsBroker) -> None:
        """End the connection: in good order where the server is there, and anyway where it is not."""
        client, self._client = self._client, None
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            await stopped(subscriber, self._settings.grace)
        await ended_within(self._settings.grace, broker.stop())
        if client is not None and not client.is_closed:
            await ended_within(1.0, client.close())
