"""The catalogue as an AsyncAPI 3.0 document: a channel for each event, whose message is the keywords of one emit.

A publisher is an operation that sends, and each handler one that receives, in dispatch order.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events.inspection.catalog._catalog import CatalogEvent
    from fastsoy_events.inspection.catalog._payload_schema import Schema

_DESCRIPTION = (
    "Events of an in-process bus. The message of a channel is the keywords of one emit; the operations that receive it "
    "are its handlers, which run one after the other, in the order of x-position."
)
_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_KEY = 100


def as_asyncapi(events: Sequence[CatalogEvent], title: str) -> str:
    """Return the catalogue as an AsyncAPI 3.0 document, in JSON.

    Args:
        events: by name.
        title: the title of the document.

    Returns:
        The text. Its `info.version` is a hash of all the rest, so it changes when anything else does.
    """
    keys = {event.name: key(event.name) for event in events}
    document: Schema = {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": "", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {keys[event.name]: _channel(event, keys[event.name]) for event in events},
        "operations": {name: each for event in events for name, each in _operations(event, keys[event.name])},
        "components": {"messages": {keys[event.name]: _message(event) for event in events}},
    }
    document["info"]["version"] = sha256(json.dumps(document).encode()).hexdigest()[:12]
    return json.dumps(document, indent=2) + "\n"


def key(name: str) -> str:
    """Return a key for a name, of the characters that AsyncAPI allows; what has no others stays as it is.

    Args:
        name: any text.
    """
    safe = _KEY.sub("_", name)[:_LONGEST_KEY]
    return safe if safe == name and safe else f"{safe}-{sha256(name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def _channel(event: CatalogEvent, name: str) -> Schema:
    summary = {"summary": event.purpose} if event.purpose else {}
    messages = {name: {"$ref": f"#/components/messages/{name}"}}
    return {"address": event.name, "title": event.name, **summary, "messages": messages}


def _message(event: CatalogEvent) -> Schema:
    summary = {"summary": event.purpose} if event.purpose else {}
    required = [keyword.name for keyword in event.keywords if keyword.is_required]
    payload = {
        "type": "object",
        "properties": {keyword.name: keyword.schema for keyword in event.keywords},
        **({"required": required} if required else {}),
        **({} if event.has_more else {"additionalProperties": False}),
    }
    contract = {"x-contract": event.contract} if event.contract else {}
    return {"name": event.name, "title": event.name, **summary, "payload": payload, **contract}


def _operations(event: CatalogEvent, name: str) -> Iterator[tuple[str, Schema]]:
    for publisher in event.publishers:
        operation = _operation("send", name, publisher.plugin, publisher.distribution)
        yield key(f"send.{event.name}.{_short(publisher.plugin, publisher.distribution)}"), operation
    for handler in event.handlers:
        operation = _operation("receive", name, handler.plugin, handler.distribution)
        handles = {"x-handler": f"{handler.module}.{handler.qualname}", "x-position": handler.position}
        place = f"{handler.position + 1}.{_short(handler.plugin, handler.distribution)}"
        yield key(f"receive.{event.name}.{place}"), {**operation, **handles}


def _operation(action: str, channel: str, plugin: str, distribution: str) -> Schema:
    owner = {"x-plugin": plugin, "x-distribution": distribution} if distribution else {}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{channel}"}],
        "tags": [{"name": distribution or "host"}],
        **owner,
    }


def _short(plugin: str, distribution: str) -> str:
    return f"{distribution}.{plugin}" if distribution else "host"
