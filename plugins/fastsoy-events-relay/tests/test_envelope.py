"""Envelopes: CloudEvents 1.0 as the SDK reads and writes them, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastsoy_events_relay._envelope import Envelope, now, opened, sealed, source_of
from fastsoy_events_relay._errors import EnvelopeError
from hypothesis import given
from hypothesis import strategies as st

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "urn:fastsoy-events:hr",
    "type": "employee.created",
    "time": "2026-01-02T03:04:05.678Z",
    "datacontenttype": "application/json",
    "data": {"employee_id": 1},
}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def opened_dict(attributes: object) -> Envelope:
    return opened(json.dumps(attributes).encode(), 10_000)


def test_the_sdk_reads_what_is_sent() -> None:
    time = now()
    body = sealed(event="employee.created", event_id="7", source=source_of("hr"), payload={"name": "Zoë"}, time=time)
    read = JSONFormat().read(CloudEvent, body)
    assert (read.get_specversion(), read.get_id(), read.get_source()) == ("1.0", "7", "urn:fastsoy-events:hr")
    assert (read.get_type(), read.get_datacontenttype()) == ("employee.created", "application/json")
    assert read.get_data() == {"name": "Zoë"}
    assert read.get_time().isoformat(timespec="milliseconds").replace("+00:00", "Z") == time


def test_what_the_sdk_writes_is_read() -> None:
    attributes = {each: GOOD[each] for each in ("id", "source", "type", "specversion", "datacontenttype")}
    event = CloudEvent(attributes={**attributes, "region": "north"}, data={"employee_id": 1})
    read = opened(JSONFormat().write(event), 10_000)
    assert read == Envelope(
        event="employee.created", id="7", source="urn:fastsoy-events:hr", payload={"employee_id": 1}
    )


@given(st.dictionaries(st.text(), json_values))
def test_what_is_sent_is_read_unchanged(payload: dict[str, Any]) -> None:
    try:
        body = sealed(event="a.b", event_id="1", source=source_of("hr"), payload=payload, time=now())
    except EnvelopeError:
        assert any("\ud800" <= character <= "\udfff" for character in repr(payload).encode().decode("unicode_escape"))
        return
    assert opened(body, len(body)).payload == payload


@pytest.mark.parametrize(
    "changes",
    [
        {"time": None},
        {"datacontenttype": None},
        {"datacontenttype": "application/vnd.acme+JSON; charset=utf-8"},
        {"time": "2026-01-02T03:04:05+01:00"},
        {
            "subject": "17",
            "dataschema": "https://example.org/schema",
            "traceid": "00-0af",
            "attempt": 3,
            "urgent": True,
        },
        {"source": "/relative/reference?x=%20"},
        {"data": {}},
    ],
)
def test_other_good_envelopes_are_read(changes: dict[str, Any]) -> None:
    assert opened_dict({**GOOD, **changes}).event == "employee.created"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"specversion": "0.3"}, "its specversion is not 1.0"),
        ({"specversion": 1.0}, "the attribute specversion is missing"),
        ({"id": ""}, "the attribute id is missing"),
        ({"id": 7}, "the attribute id is missing"),
        ({"type": None}, "the attribute type is missing"),
        ({"type": "a\nb"}, "the attribute type is missing"),
        ({"id": "\ud800"}, "the attribute id is missing"),
        ({"source": "two words"}, "its source is no URI reference"),
        ({"data": [1]}, "its data is not a JSON object"),
        ({"data": None}, "its data is not a JSON object"),
        ({"data": "text"}, "its data is not a JSON object"),
        ({"data_base64": "eA=="}, "data_base64"),
        ({"datacontenttype": "text/xml"}, "its datacontenttype is not JSON"),
        ({"time": "yesterday"}, "its time is not as RFC 3339 writes it"),
        ({"time": 5}, "the attribute time is no text"),
        ({"Upper": "x"}, "an attribute's name has other characters"),
        ({"nested": {}}, "an attribute is neither a text"),
    ],
)
def test_bad_envelopes_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        opened_dict({**GOOD, **changes})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"[]", "it is JSON, but not an object"),
        (b'"text"', "it is JSON, but not an object"),
        (b'{"data": NaN}', "NaN is no number in JSON"),
        (b"[" * 200_000, "nested too deep|it is not JSON"),
        (b'{"data": ' + b"9" * 5000 + b"}", "more than 400 digits"),
        (b" " * 300_000, "it has 300000 bytes, and 250000 are allowed"),
    ],
    ids=range(9),
)
def test_what_is_no_envelope_at_all_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        opened(body, 250_000)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_arrives_it_is_an_event_or_an_error(body: bytes) -> None:
    with suppress(EnvelopeError):
        assert isinstance(opened(body, 1000), Envelope)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), "\ud800", b"bytes"], ids=repr)
def test_a_payload_that_is_not_json_is_refused_without_its_value(value: object) -> None:
    with pytest.raises(EnvelopeError) as caught:
        sealed(event="a.b", event_id="1", source="x", payload={"fine": 1, "secret": value}, time=now())
    assert str(caught.value).startswith("the payload is not JSON: secret is or holds what JSON cannot say, in a ")
    assert "\ud800" not in str(caught.value)
