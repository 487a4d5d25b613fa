"""How a relay is set up, checked where it is made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from fastsoy_events_relay._envelope import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Absent", "Full", "Patterns", "Settings", "Unknown"]

Absent: TypeAlias = Literal["raise", "retry"]
Full: TypeAlias = Literal["drop", "wait"]
Unknown: TypeAlias = Literal["dead-letter", "ignore"]

_APP = re.compile(r"[a-z][a-z0-9_-]*")
_STREAM = re.compile(r"[A-Za-z0-9_-]+")
SCHEMES = {"nats": "nats", "tls": "nats", "redis": "redis", "rediss": "redis", "unix": "redis"}


class Patterns:
    """Names of events, with the wildcards of `fnmatch`: `*` stands for any characters, dots as well.

    Args:
        patterns: such as `employee.*`.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._fits = re.compile("|".join(map(translate, patterns))).match if patterns else None

    def __bool__(self) -> bool:
        return self._fits is not None

    def fit(self, event: str) -> bool:
        """Tell whether any of them fits an event's name, upper and lower case told apart."""
        return self._fits is not None and self._fits(event) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that `Relay` takes, checked; its docstring says what each means."""

    url: str = field(repr=False)  # it may hold a password
    app: str
    forward: Patterns
    receive: Patterns
    broker_absent: Absent
    connect_timeout: float
    when_full: Full
    queue_size: int
    in_flight: int
    acknowledge_within: float
    redeliver: int
    unknown: Unknown
    remember: int
    largest: int
    grace: float
    stream: str
    stream_length: int
    options: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: says which argument, and what it may be.
        """
        self._check_names()
        for name, choices in (("broker_absent", Absent), ("when_full", Full), ("unknown", Unknown)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"Relay({name}=...) is one of {', '.join(get_args(choices))}")
        for name in ("connect_timeout", "acknowledge_within", "grace"):
            if not (isinstance(seconds := getattr(self, name), int | float) and 0 < seconds < math.inf):
                raise ValueError(f"Relay({name}=...) is a number of seconds, more than 0: not {seconds!r}")
        for name, least in (
            ("queue_size", 1), ("in_flight", 1), ("redeliver", 0), ("remember", 0), ("largest", 1), ("stream_length", 1)
        ):  # fmt: skip
            if not (isinstance(number := getattr(self, name), int) and number >= least):
                raise ValueError(f"Relay({name}=...) is a whole number, at least {least}: not {number!r}")

    def _check_names(self) -> None:
        if self.scheme not in SCHEMES or any(SCHEMES.get(_scheme(each)) != self.engine for each in self.servers):
            wanted = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise ValueError(f"Relay() takes the URL of a broker, which begins with one of {wanted}")
        if not _APP.fullmatch(self.app):
            raise ValueError(f'Relay(app=...) is lower case letters, digits, _ and -, such as "hr": not {self.app!r}')
        if not _STREAM.fullmatch(self.stream):
            raise ValueError(f"Relay(stream=...) is letters, digits, _ and -: not {self.stream!r}")
        if not (self.forward or self.receive):
            raise ValueError('Relay() needs forward=[...] or receive=[...], such as forward=["employee.*"]')

    @property
    def scheme(self) -> str:
        """Return the URL's scheme."""
        return self.url.strip().partition("://")[0].lower()

    @property
    def engine(self) -> str:
        """Return which engine the URL is for: `nats` or `redis`."""
        return SCHEMES[self.scheme]

    @property
    def servers(self) -> list[str]:
        """Return each server's URL. NATS alone has several: in another URL, a comma may be part of a password."""
        return [each.strip() for each in self.url.split(",")] if self.engine == "nats" else [self.url.strip()]

    @property
    def place(self) -> str:
        """Return the broker's address without user and password, as it may stand in a log."""
        servers = map(urlsplit, self.servers)
        return ",".join(f"{each.scheme}://{f'{each.netloc}{each.path}'.rpartition('@')[2]}" for each in servers)

    @property
    def source(self) -> str:
        """Return what the application calls itself in events that it forwards."""
        return source_of(self.app)

    @property
    def dead_stream(self) -> str:
        """Return the name of the stream of dead letters."""
        return f"{self.stream}_dead"


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # it would quote the URL, and so its password
        return ""
