"""Rules on emits: that they run, and when they may. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events.inspection.check._findings import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastsoy_events.inspection.check._facts import EmitFact, System
    from fastsoy_events.inspection.check._findings import Finding


def emits(system: System) -> Iterator[Finding]:
    """Find emits that never run, and emits that run before anybody listens."""
    for emit in system.emits:
        if not emit.emit.is_used:
            message = f"{emit.name} calls emit for {_event(emit)} without awaiting it, so no handler ever runs."
            yield finding("FSE301", emit.spot, message)
        elif emit.emit.precedes_loading:
            message = f"{emit.name} emits {_event(emit)} before plugins are loaded, so no plugin's handler hears it."
            yield finding("FSE302", emit.spot, message)


def _event(emit: EmitFact) -> str:
    return emit.event or f"what {emit.emit.written or 'an expression'} says"
