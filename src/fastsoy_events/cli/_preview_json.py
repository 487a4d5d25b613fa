"""The JSON of `preview`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events._lock import one_line
from fastsoy_events.inspection.preview._state import lock_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastsoy_events import Plugin
    from fastsoy_events._compare import Difference
    from fastsoy_events._lock import Lock
    from fastsoy_events.inspection._static import StaticHandler
    from fastsoy_events.inspection.preview._preview import Preview
    from fastsoy_events.inspection.preview._state import State

SCHEMA = 1


def as_document(found: Preview, folder: str) -> dict[str, object]:
    """Return a preview as the JSON object that the command prints.

    Args:
        found: the preview.
        folder: places of findings are relative to it.
    """
    return {
        "schema": SCHEMA,
        "wheels": [
            {
                "file": arrival.wheel.file,
                "distribution": arrival.distribution,
                "version": arrival.version,
                "replaces": arrival.replaces,
                "remarks": list(remarks),
            }
            for arrival, remarks in zip(found.arrivals, found.remarks, strict=True)
        ],
        "plugins": _plugins(found),
        "contracts": _contracts(found),
        "handlers": _Handlers(found).as_dict(),
        "findings": [each.as_dict(folder) for each in found.findings],
    }


def _plugins(found: Preview) -> dict[str, list[dict[str, object]]]:
    before = {plugin.id: _plugin(plugin, found.before) for plugin in found.before.plugins}
    after = {plugin.id: _plugin(plugin, found.after) for plugin in found.after.plugins}
    return {
        "added": [row for name, row in after.items() if name not in before],
        "removed": [row for name, row in before.items() if name not in after],
        "changed": [{**row, "before": before[name]} for name, row in after.items() if before.get(name, row) != row],
    }


def _plugin(plugin: Plugin, state: State) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "status": plugin.status,
        "problem": state.problem_of(plugin) or None,
    }


def _contracts(found: Preview) -> dict[str, list[dict[str, object]]]:
    rows: dict[str, list[dict[str, object]]] = {"added": [], "removed": [], "changed": []}
    before, after = lock_of(found.before), lock_of(found.after)
    for name in sorted({*before.events, *after.events}):
        was, now = _contract(before, name), _contract(after, name)
        if was == now:
            continue
        if was is None or now is None:
            rows["added" if was is None else "removed"].append({"event": name, **(now or was or {})})
        else:
            rows["changed"].append({"event": name, **now, "before": was})
    return rows


def _contract(lock: Lock, event: str) -> dict[str, object] | None:
    contract = lock.events[event].contract if event in lock.events else None
    if contract is None:
        return None
    return {
        "distribution": contract.distribution,
        "plugin": contract.entry_point,
        "signature": contract.signature,
    }


class _Handlers:
    """The handlers in which a preview differs."""

    def __init__(self, found: Preview) -> None:
        self._differences = found.differences
        self._before = _by_key(found.before)
        self._after = _by_key(found.after)

    def as_dict(self) -> dict[str, list[dict[str, object]]]:
        """Return the rows, by what becomes of the handlers."""
        return {
            "added": self._rows("handler-added"),
            "removed": self._rows("handler-removed"),
            "moved": self._rows("handler-moved"),
            "changed": self._rows("handler-changed", "signature-changed"),
        }

    def _rows(self, *kinds: str) -> list[dict[str, object]]:
        return [self._row(each) for each in self._differences if each.kind in kinds]

    def _row(self, difference: Difference) -> dict[str, object]:
        key = difference.event, difference.handler
        before, after = self._before.get(key), self._after.get(key)
        row: dict[str, object] = dict((after or self._before[key]).as_dict())
        row["position"] = None if after is None else after.position
        row["position_before"] = None if before is None else before.position
        row["message"] = difference.message
        return row


def _by_key(state: State) -> Mapping[tuple[str, str], StaticHandler]:
    return {(one_line(each.event), one_line(each.id)): each for each in state.listed.handlers if each.distribution}
