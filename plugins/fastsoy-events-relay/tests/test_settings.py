"""Settings: what cannot work is refused where the relay is made, and names fit as documented."""

from __future__ import annotations

from typing import Any

import pytest
from fastsoy_events_relay import Relay
from fastsoy_events_relay._settings import Patterns

GOOD: dict[str, Any] = {"url": "nats://127.0.0.1:4222", "app": "hr", "forward": ["employee.*"]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "amqp://127.0.0.1"}, "begins with one of nats://"),
        ({"url": "127.0.0.1:4222"}, "begins with one of nats://"),
        (
            {"url": "nats://hr:secret@[::1"},
            r"^Relay\(\) takes the URL of a broker, which begins with one of nats://[^[]*$",
        ),
        ({"url": "nats://127.0.0.1:4222, 127.0.0.1:4223"}, "begins with one of nats://"),
        ({"url": "nats://127.0.0.1:4222,redis://127.0.0.1:6379"}, "begins with one of nats://"),
        ({"app": "Human Resources"}, r"Relay\(app=...\) is lower case letters"),
        ({"stream": "a.b"}, r"Relay\(stream=...\) is letters"),
        ({"forward": []}, r"needs forward=\[...\] or receive=\[...\]"),
        ({"forward": "employee.*"}, r'write \["employee.\*"\]'),
        ({"when_full": "block"}, "is one of drop, wait"),
        ({"broker_absent": "ignore"}, "is one of raise, retry"),
        ({"unknown": "emit"}, "is one of dead-letter, ignore"),
        ({"connect_timeout": 0}, "a number of seconds, more than 0: not 0"),
        ({"grace": float("inf")}, "a number of seconds, more than 0"),
        ({"acknowledge_within": "30"}, "a number of seconds, more than 0: not '30'"),
        ({"queue_size": 0}, "a whole number, at least 1: not 0"),
        ({"in_flight": 1.5}, "a whole number, at least 1: not 1.5"),
        ({"redeliver": -1}, "a whole number, at least 0: not -1"),
        ({"redeliver": 1, "durable": object()}, "is not for durable"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Relay(**{**GOOD, **changes})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("nats://me:secret@one:4222, tls://me:secret@two:4222", "nats://one:4222,tls://two:4222"),
        ("redis://:pass,secret@localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pass/secret@localhost:6379/0", "redis://localhost:6379/0"),
        ("unix://me:pass,secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_password_is_nowhere_shown(url: str, place: str) -> None:
    relay = Relay(**{**GOOD, "url": url})
    assert repr(relay) == f"<Relay of hr at {place}>"
    assert "secret" not in repr(relay._settings)


@pytest.mark.parametrize(
    ("patterns", "fitting", "other"),
    [
        (["employee.created"], ["employee.created"], ["employee.created2", "x.employee.created", "Employee.created"]),
        (["employee.*"], ["employee.created", "employee.leave.ended"], ["employee", "order.placed"]),
        (["*.created", "order.?laced"], ["employee.created", "hr.employee.created", "order.placed"], ["order.laced"]),
        (["*"], ["anything", "at.all"], []),
        (["a.[xy]"], ["a.x", "a.y"], ["a.z"]),
        ([], [], ["employee.created"]),
    ],
)
def test_names_fit_as_in_fnmatch(patterns: list[str], fitting: list[str], other: list[str]) -> None:
    found = Patterns(patterns)
    assert all(map(found.fit, fitting))
    assert not any(map(found.fit, other))
