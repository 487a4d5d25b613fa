"""Session: what one test of pytest has of the kit, from before its own fixtures until after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events import bus as default_bus
from fastsoy_events.testing._block import Block
from fastsoy_events.testing._captured import capture
from fastsoy_events.testing._narrowed import narrow

if TYPE_CHECKING:
    from collections.abc import Collection

    from fastsoy_events import PluginBus
    from fastsoy_events.testing._captured import CapturedEvents
    from fastsoy_events.testing._watch import Watch

__tracebackhide__ = True


class Session(Block["Session"]):
    """The kit in one test.

    Args:
        plugins: what the marker says; None where it says nothing.
        mute: likewise.
    """

    def __init__(self, *, plugins: Collection[str] | None = None, mute: bool = False) -> None:
        super().__init__(default_bus)
        self._plugins = plugins
        self._mute = mute
        self._narrowed: PluginBus | None = None

    def _open(self, watch: Watch) -> Session:
        self._watch = watch
        if self._mute:
            self._stack.enter_context(watch.muting())
        if self._plugins is not None:
            self.narrow()
        return self

    def narrow(self) -> PluginBus:
        """Narrow the bus, unless it is already."""
        if self._narrowed is None:
            self._narrowed = narrow(self._stack, self._plugins)
        return self._narrowed

    def capture(self) -> CapturedEvents:
        """Capture what is emitted from now on."""
        return capture(self._stack, self._watch)
