"""Watch: while a block of the kit is open, its bus shows each emit and each failure, and enforces contracts.

What the kit takes hold of in a bus, it takes hold of here and in `_narrowed`, and nowhere else.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from fastsoy_events import EventBus, HandlerFailure
    from fastsoy_events.testing._block import Block

    Record: TypeAlias = "Callable[[str, Mapping[str, object]], None]"


class Watch:
    """What looks at one bus; there is one while any block of the kit is open on it.

    Args:
        bus: the bus.
    """

    def __init__(self, bus: EventBus) -> None:
        self.blocks: list[Block[Any]] = []
        self._bus = bus
        self._recorders: list[Record] = []
        self._mutes = 0

    # What the bus calls

    def sees(self, event: str, payload: Mapping[str, object]) -> bool:
        """Record an emit, and tell whether it ends there."""
        for record in tuple(self._recorders):
            record(event, payload)
        return self._mutes > 0

    def learns_of(self, failure: HandlerFailure) -> None:
        """Give a failure to the innermost block that expects it, else to the innermost block."""
        blocks = self.blocks[::-1]
        block = next((each for each in blocks if each.expects(failure)), blocks[0] if blocks else None)
        if block is not None:
            block.take(failure)

    # What blocks call

    @contextmanager
    def recording(self, record: Record) -> Generator[None]:
        """Have each emit recorded."""
        self._recorders.append(record)
        try:
            yield
        finally:
            self._recorders.remove(record)

    @contextmanager
    def muting(self) -> Generator[None]:
        """Have each emit end before any handler runs."""
        self._mutes += 1
        try:
            yield
        finally:
            self._mutes -= 1

    def start(self) -> None:
        """Take hold of the bus."""
        bus = self._bus
        bus._watch((*bus._watchers, self.sees), (*bus._failure_watchers, self.learns_of))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the kit and the bus are one package

    def stop(self) -> None:
        """Let go of the bus."""
        bus = self._bus
        watchers = (each for each in bus._watchers if each != self.sees)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
        of_failures = (each for each in bus._failure_watchers if each != self.learns_of)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
        bus._watch(tuple(watchers), tuple(of_failures))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise


_watches: dict[EventBus, Watch] = {}
_starting = RLock()


@contextmanager
def watching(bus: EventBus, block: Block[Any]) -> Generator[Watch]:
    """Watch a bus for the length of a block; its settings are afterwards as they were.

    Args:
        bus: the bus. The first block of several has its contracts enforced; inside, a test may decide otherwise.
        block: takes the failures.
    """
    settings = bus.validation, bus.handler_timeout, bus.slow_after
    with _starting:
        watch = _watches.get(bus)
        if watch is None:
            watch = _watches[bus] = Watch(bus)
            watch.start()
            bus.validation = "raise"
        watch.blocks.append(block)
    try:
        yield watch
    finally:
        with _starting:
            watch.blocks.remove(block)
            if not watch.blocks:
                del _watches[bus]
                watch.stop()
            bus.validation, bus.handler_timeout, bus.slow_after = settings
