"""How long to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The size of a run.

    Args:
        rounds: in one process, where each competitor is measured once a round.
        sample_seconds: how long one competitor's turn in such a round lasts, about.
        process_rounds: where each turn is a fresh process.
        sites: how many distributions the generated sites hold.
        handlers: how many handlers each bus gets whose memory is measured.
        handler_steps: the numbers of handlers of one event, for the growth.
        event_steps: the numbers of registered events, for the growth.
        registration_steps: the numbers of handlers to register, for the growth.
        plugin_steps: the numbers of plugins to load, for the growth.
        durable_rounds: where each turn stores or delivers many events.
        durable_events: how many events are stored in such a turn, about.
        table_sizes: how many rows the tables of durable handlers hold.
    """

    rounds: int
    sample_seconds: float
    process_rounds: int
    sites: tuple[int, ...]
    handlers: int
    handler_steps: tuple[int, ...]
    event_steps: tuple[int, ...]
    registration_steps: tuple[int, ...]
    plugin_steps: tuple[int, ...]
    durable_rounds: int
    durable_events: int
    table_sizes: tuple[int, ...]


FULL = Settings(
    rounds=61,
    sample_seconds=0.01,
    process_rounds=31,
    sites=(30, 300, 1000),
    handlers=100_000,
    handler_steps=(0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000),
    event_steps=(1, 10, 100, 1000, 10_000, 100_000),
    registration_steps=(1000, 10_000, 25_000, 50_000, 75_000, 100_000),
    plugin_steps=(10, 100, 300, 600, 1000),
    durable_rounds=5,
    durable_events=1000,
    table_sizes=(10, 1000, 100_000, 1_000_000),
)

QUICK = Settings(
    rounds=3,
    sample_seconds=0.001,
    process_rounds=2,
    sites=(30, 300),
    handlers=2000,
    handler_steps=(0, 1, 10, 100),
    event_steps=(1, 100, 1000),
    registration_steps=(500, 1000),
    plugin_steps=(10, 30),
    durable_rounds=2,
    durable_events=200,
    table_sizes=(10, 1000),
)
