"""Redis Streams, through FastStream: one stream for all events, and one consumer group for each application."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from faststream import AckPolicy
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub
from faststream.redis.parser import MessageFormat
from redis.exceptions import RedisError, ResponseError

from fastsoy_events_relay._engine import cancelled, ended_within
from fastsoy_events_relay._errors import RelayError
from fastsoy_events_relay._redis_group import Group
from fastsoy_events_relay._report import logger, shown
from fastsoy_events_relay._subscribers import STOP_SECONDS, is_alive, stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis

    from fastsoy_events_relay._engine import Letter, Take
    from fastsoy_events_relay._settings import Settings

__all__ = ["RedisEngine"]

BODY = b"__data__"  # the field of an entry in which FastStream writes the message
POLL_MILLISECONDS = 500
SEND_TIMEOUT = 5.0  # seconds for the broker to acknowledge messages; redis-py tries again for much longer
SOCKET_TIMEOUT = 10.0  # seconds without an answer; more than the poll
TEND_SECONDS = 2.0  # between looks whether Redis and the group are still there
PATIENCE = 2.0  # seconds for what is to end by itself
DEAD_LETTERS = 100_000  # about how many are kept


class _Plain(MessageFormat):
    """The message as it is, so that any client can read it; FastStream's own format wraps it in another."""

    @classmethod
    async def encode(cls, *, message: Any, **_: Any) -> bytes:
        return bytes(message)

    @classmethod
    def parse(cls, data: bytes) -> tuple[bytes, dict[str, Any]]:
        return data, {}


async def _parsed(entry: Any, original: Callable[[Any], Awaitable[Any]]) -> Any:
    """Have an entry without the field count as one whose message is what it has: FastStream could not take it."""
    if not entry["data"].get(BODY):
        fields = {_text(name): _text(value) for name, value in entry["data"].items()}
        entry = {**entry, "data": {BODY: json.dumps(fields).encode()}}
    return await original(entry)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


async def _itself(message: RedisStreamMessage) -> RedisStreamMessage:
    """Decode nothing: FastStream would fail an entry that is no JSON, and never acknowledge it."""
    return message


class _RedisDelivery:
    """One entry of the stream."""

    def __init__(self, group: Group, message: RedisStreamMessage) -> None:
        self._group = group
        self._entry: bytes = message.raw_message["message_ids"][0]
        self.body: bytes = message.body
        group.note_delivered(self._entry)

    async def acknowledge(self) -> None:
        await self._group.acknowledge(self._entry)

    async def postpone(self, seconds: float) -> None:
        await self._group.postpone(self._entry, seconds)

    async def attempt(self) -> int:
        return await self._group.attempt(self._entry)


class RedisEngine:
    """The way to a Redis server.

    Args:
        settings: the relay's.
        take: is given each message, one at a time.
    """

    def __init__(self, settings: Settings, take: Take) -> None:
        self._settings = settings
        self._take = take
        self._broker: RedisBroker | None = None
        self._client: Redis | None = None
        self._group: Group | None = None
        self._subscribers: list[Any] = []
        self._tending: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._ending = asyncio.Event()
        self._is_stopping = False
        self.is_connected = False

    # Opening

    async def open(self) -> None:
        self._lost.clear()
        self._ending.clear()
        broker = self._new_broker()
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                self._client = client = await broker.connect()
                await _ping(client)
                if self._settings.receive and not self._is_stopping:
                    self._group = Group(self._settings, client)
                    await self._group.create()
                    await self._group.forget_consumers()
                    self._group.watch()
                    self._subscribe(broker, self._group)
                await broker.start()
        except BaseException as error:
            await self._leave(broker)
            if isinstance(error, RedisError | OSError | TimeoutError):
                raise RelayError(self._why_not(error)) from error
            raise
        self._broker = broker
        self.is_connected = True
        self._tending = asyncio.create_task(self._tend(client), name="fastsoy-events-relay: tend")

    def _new_broker(self) -> RedisBroker:
        options: dict[str, Any] = {
            "socket_connect_timeout": self._settings.connect_timeout,
            "socket_timeout": SOCKET_TIMEOUT,
            **self._settings.options,
        }
        return RedisBroker(
            self._settings.url,
            message_format=_Plain,
            graceful_timeout=STOP_SECONDS,
            apply_types=False,
            logger=None,  # type: ignore[arg-type]  # it takes none, and would log a traceback at each attempt
            **options,
        )

    def _why_not(self, error: BaseException) -> str:
        place, seconds = self._settings.place, self._settings.connect_timeout
        if isinstance(error, ResponseError):
            return f"Redis at {place} refuses what the relay needs, XGROUP and its like: {shown(error)}"
        words = shown(error) or type(error).__name__
        return (
            f"no Redis server at {place} within {seconds} s: {words}. Start it, correct the URL, or let the relay open "
            'without it: Relay(broker_absent="retry")'
        )

    def _subscribe(self, broker: RedisBroker, group: Group) -> None:
        """Subscribe to what is new, and, apart from that, to what others have left behind."""
        stream, name, consumer = self._settings.stream, self._settings.app, group.consumer
        new = StreamSub(
            stream,
            group=name,
            consumer=consumer,
            max_records=self._settings.in_flight,
            polling_interval=POLL_MILLISECONDS,
        )
        left_behind = StreamSub(
            stream,
            group=name,
            consumer=consumer,
            min_idle_time=group.idle,
            polling_interval=min(POLL_MILLISECONDS, max(1, group.idle // 4)),
        )
        self._subscribers = [
            broker.subscriber(stream=each, ack_policy=AckPolicy.MANUAL, parser=_parsed, decoder=_itself, no_reply=True)
            for each in (new, left_behind)
        ]
        for subscriber in self._subscribers:
            subscriber(self._receiver(group))

    def _receiver(self, group: Group) -> Callable[[RedisStreamMessage], Awaitable[None]]:
        """Return a function of its own for each subscriber: FastStream keeps what it knows of one at the function."""

        async def receive(message: RedisStreamMessage) -> None:
            if not self._is_stopping:
                await self._take(_RedisDelivery(group, message))

        return receive

    # Tending

    async def _tend(self, client: Redis) -> None:
        """See to it that messages in hand stay there, and that what Redis has lost is made anew."""
        pause = min(TEND_SECONDS, self._settings.acknowledge_within / 3)
        while not (self._lost.is_set() or await _came(self._ending, pause)):
            try:
                await _ping(client)
                if self._group is not None:
                    await self._look_after(self._group)
            except (RedisError, OSError, TimeoutError) as error:
                self._note(is_connected=False, error=error)
            else:
                self._note(is_connected=True)

    async def _look_after(self, group: Group) -> None:
        if await group.create():
            logger.warning("Redis had lost the group %s, which is there again", self._settings.app)
            self._lost.set()  # FastStream stops for good where it meets no group
        elif not (self._is_stopping or all(map(is_alive, self._subscribers))):
            self._lost.set()
        else:
            await group.keep()

    def _note(self, *, is_connected: bool, error: Exception | None = None) -> None:
        if is_connected is not self.is_connected:
            self.is_connected = is_connected
            if is_connected:
                logger.warning("Connected to Redis at %s again", self._settings.place)
            else:
                logger.warning("Redis at %s does not answer: %s", self._settings.place, shown(error))

    async def until_lost(self) -> None:
        await self._lost.wait()  # not for a lost connection: redis-py connects anew for each command

    # Sending

    async def send(self, letters: Sequence[Letter]) -> Sequence[Exception | None]:
        if self._broker is None or self._client is None:
            return [ConnectionError("not connected")] * len(letters)
        settings = self._settings
        try:
            async with asyncio.timeout(SEND_TIMEOUT), self._client.pipeline(transaction=False) as pipeline:
                for letter in letters:
                    await self._broker.publish(
                        letter.body, stream=settings.stream, maxlen=settings.stream_length, pipeline=pipeline
                    )
                results = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - it is told, and sent again
            return [error] * len(letters)
        return [each if isinstance(each, Exception) else None for each in results]

    async def bury(self, body: bytes) -> None:
        if self._broker is None:
            raise ConnectionError("not connected")
        await self._broker.publish(body, stream=self._settings.dead_stream, maxlen=DEAD_LETTERS)

    # Ending

    async def stop_receiving(self) -> None:
        self._is_stopping = True
        await asyncio.gather(*(stopped(each, self._settings.grace) for each in self._subscribers))
        await self._stop_tending()
        if self._group is not None:
            await ended_within(self._settings.grace, self._group.leave())

    async def close(self) -> None:
        self.is_connected = False
        await self._stop_tending()
        broker, self._broker = self._broker, None
        if broker is not None:
            await self._leave(broker)

    async def _stop_tending(self) -> None:
        """Let the task end by itself: a command of redis-py that is cancelled may leave its connection open."""
        self._ending.set()
        if self._tending is not None:
            await asyncio.wait([self._tending], timeout=PATIENCE)
            await cancelled(self._tending)

    async def _leave(self, broker: RedisBroker) -> None:
        group, self._group, self._client = self._group, None, None
        subscribers, self._subscribers = self._subscribers, []
        await asyncio.gather(*(stopped(each, self._settings.grace) for each in subscribers))
        if group is not None:
            await group.close()
        await ended_within(self._settings.grace, broker.stop())


async def _came(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def _ping(client: Redis) -> None:
    await client.ping()  # pyright: ignore[reportUnknownMemberType] - redis-py leaves its other arguments untyped
