"""What the relay needs on a NATS server: two streams, and a consumer for each application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from fastsoy_events_relay._errors import RelayError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from fastsoy_events_relay._settings import Settings

__all__ = ["create_absent"]

ANSWER_SECONDS = 5.0
KEEP_SECONDS = 7 * 24 * 3600.0  # how long a stream made here keeps messages


async def create_absent(client: Client, settings: Settings, *, changes: bool) -> None:
    """Create what is absent. What exists is left as its owner has set it up.

    Args:
        client: the connection.
        settings: the relay's.
        changes: have the consumer wait for acknowledgements as the settings say now. Only when a process starts: while
            they are replaced one by one, old and new ones would undo each other's change again and again.

    Raises:
        RelayError: where what exists does not fit.
    """
    jetstream: Any = client.jetstream(timeout=ANSWER_SECONDS)  # pyright: ignore[reportUnknownMemberType] - and so on below
    await _create_stream(jetstream, settings.stream, settings.place)
    if settings.receive:
        await _create_stream(jetstream, settings.dead_stream, settings.place)
        await _create_consumer(jetstream, settings, changes=changes)


async def _create_stream(jetstream: Any, name: str, place: str) -> None:
    subjects = f"{name}.>"
    try:
        found = await _subjects(jetstream, name)
    except NotFoundError:
        try:
            await jetstream.add_stream(StreamConfig(name=name, subjects=[subjects], max_age=KEEP_SECONDS))
        except BadRequestError:  # another process was quicker, or a stream of another name has these subjects
            found = await _subjects(jetstream, name)
        else:
            return
    if subjects not in found:
        raise RelayError(
            f"the stream {name} at {place} does not hold the subjects {subjects}: add them to it, or name another: "
            "Relay(stream=...)"
        )


async def _subjects(jetstream: Any, name: str) -> list[str]:
    return list((await jetstream.stream_info(name)).config.subjects or ())


async def _create_consumer(jetstream: Any, settings: Settings, *, changes: bool) -> None:
    """Create the application's consumer.

    It is given all of the stream, whatever is received: changing a consumer's filter while its processes are replaced
    one by one would take from some what the others need, and NATS 2.9 goes on with the old filter.
    """
    stream, name = settings.stream, settings.app
    wanted = ConsumerConfig(
        durable_name=name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=settings.acknowledge_within,
        max_ack_pending=max(1000, 10 * settings.in_flight),
    )
    try:
        found = (await jetstream.consumer_info(stream, name)).config
    except NotFoundError:
        await jetstream.add_consumer(stream, wanted)
        return
    if found.deliver_subject or found.ack_policy != AckPolicy.EXPLICIT:
        raise RelayError(
            f"the consumer {name} of the stream {stream} at {settings.place} is not one of the relay's, which pulls "
            "and acknowledges each message: delete it, or name the application otherwise: Relay(app=...)"
        )
    if changes and found.ack_wait != settings.acknowledge_within:
        await jetstream.add_consumer(stream, wanted)
