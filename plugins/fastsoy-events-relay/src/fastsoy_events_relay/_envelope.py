"""CloudEvents 1.0 in JSON, as plain dictionaries: an event becomes bytes, and bytes an event or an error.

Nothing that is read is trusted: its size is bounded, and what it says of itself is checked before anything is emitted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

from fastsoy_events_relay._errors import EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "Envelope", "now", "opened", "sealed", "source_of"]

SPECVERSION = "1.0"
CONTENT_TYPE = "application/cloudevents+json"

_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]+")
_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_JSON_TYPE = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json(?:\s*;.*)?", re.IGNORECASE)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE)
# What CloudEvents forbids in a text: control characters, lone surrogates, and code points that are no characters.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_REQUIRED = ("id", "source", "specversion", "type")
_MOST_DIGITS = 400  # of an integer; more take a time that grows with their square


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An event that was received.

    Args:
        event: the event's name.
        id: unique among the events of its source.
        source: who emitted it.
        payload: the keywords of the emit.
    """

    event: str
    id: str
    source: str
    payload: dict[str, Any]


def source_of(app: str) -> str:
    """Return what an application calls itself in the events that it forwards."""
    return f"urn:fastsoy-events:{app}"


def now() -> str:
    """Return the time, as an envelope has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sealed(*, event: str, event_id: str, source: str, payload: Mapping[str, object], time: str) -> bytes:
    """Return an event as it is sent.

    Args:
        event: the event's name.
        event_id: unique among the events of its source.
        source: who emitted it.
        payload: the keywords of the emit.
        time: when it was emitted.

    Raises:
        EnvelopeError: for a payload that is not JSON.
    """
    envelope = {
        "specversion": SPECVERSION,
        "id": event_id,
        "source": source,
        "type": event,
        "time": time,
        "datacontenttype": "application/json",
        "data": payload,
    }
    try:
        return json.dumps(envelope, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise EnvelopeError(f"the payload is not JSON: {_wrong(payload) or type(error).__name__}") from None


def _wrong(payload: Mapping[str, object]) -> str:
    """Name the first keyword that is not JSON, and its type, but not its value."""
    for keyword, value in payload.items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            return f"{keyword} is or holds what JSON cannot say, in a {type(value).__name__}"
    return ""


def opened(body: bytes, most: int) -> Envelope:
    """Return the event that a message carries.

    Args:
        body: the message.
        most: bytes; a longer message is not even looked into.

    Raises:
        EnvelopeError: where it is no CloudEvent 1.0 in JSON whose data is an object.
    """
    if len(body) > most:
        raise EnvelopeError(f"it has {len(body)} bytes, and {most} are allowed")
    attributes = _object(_parsed(body), "it is JSON, but not an object")
    _check(attributes)
    wanted = "its data is not a JSON object, whose members would be the keywords of an emit"
    payload = _object(attributes.get("data"), wanted)
    return Envelope(event=attributes["type"], id=attributes["id"], source=attributes["source"], payload=payload)


def _object(value: Any, otherwise: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EnvelopeError(otherwise)
    return cast("dict[str, Any]", value)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_int=_integer)
    except UnicodeDecodeError:
        raise EnvelopeError("it is not UTF-8") from None
    except RecursionError:
        raise EnvelopeError("it is nested too deep") from None
    except ValueError as error:
        raise EnvelopeError(f"it is not JSON: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    # A JSONDecodeError's text is Python's own and has a place; any other may quote what was read.
    return str(error) if isinstance(error, json.JSONDecodeError | _NumberError) else "a value cannot be read"


class _NumberError(ValueError):
    """A number that JSON has no word for, or that is too long."""


def _no_constant(word: str) -> NoReturn:
    raise _NumberError(f"{word} is no number in JSON")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _NumberError(f"an integer has more than {_MOST_DIGITS} digits")
    return int(digits)


def _check(attributes: dict[str, Any]) -> None:
    for name in _REQUIRED:
        if not _is_text(attributes.get(name)):
            raise EnvelopeError(f"the attribute {name} is missing, or is no text of printable characters")
    if attributes["specversion"] != SPECVERSION:
        raise EnvelopeError(f"its specversion is not {SPECVERSION}")
    if not _URI_CHARACTERS.fullmatch(attributes["source"]):
        raise EnvelopeError("its source is no URI reference")
    if "data_base64" in attributes:
        raise EnvelopeError("it has data_base64, which is no JSON object")
    for name, value in attributes.items():
        if name != "data" and value is not None:  # null is the same as absent
            _check_attribute(name, value)


def _check_attribute(name: str, value: object) -> None:
    if not _ATTRIBUTE_NAME.fullmatch(name):
        raise EnvelopeError("an attribute's name has other characters than lower case letters and digits")
    if name in ("datacontenttype", "dataschema", "subject", "time") and not _is_text(value):
        raise EnvelopeError(f"the attribute {name} is no text of printable characters")
    if not isinstance(value, str | int):  # a bool is an int
        raise EnvelopeError("an attribute is neither a text nor a whole number nor a truth value")
    if name == "datacontenttype" and not _JSON_TYPE.fullmatch(str(value)):
        raise EnvelopeError("its datacontenttype is not JSON")
    if name == "time" and not _TIME.fullmatch(str(value)):
        raise EnvelopeError("its time is not as RFC 3339 writes it")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != "" and not _FORBIDDEN.search(value)
