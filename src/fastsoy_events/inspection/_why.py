"""Why the handlers of an event run in their order: the parts of each sort key, what decided, and what would move it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from fastsoy_events import _order
from fastsoy_events.inspection._left_out import left_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import Handler, Plugin, PluginBus
    from fastsoy_events._record import Declaration, Roster
    from fastsoy_events.inspection._left_out import LeftOut
    from fastsoy_events.inspection.source._records import SourceTree

Part: TypeAlias = Literal[
    "", "host", "order", "distribution", "entry_point", "entry_module", "module", "declaring_module", "declaration"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """The parts of a handler's sort key, the first of which that differs decides.

    Args:
        rank: the plugin's place in plugin order, 0 first; -1 for the host.
        plugins: how many plugins there are.
        order_place: the first name in `order` that means the plugin, 0 first; None where none does.
        order_name: that name; empty where there is none.
        entry_module: the module that the plugin's entry point names; empty for the host.
        module: the module that the handler belongs to.
        declared_in: the module that declared it, nearly always the same.
        declaration: which of the event's handlers it is that this module, or else the host, declared, 1 first.
        line: the line of its definition.
    """

    rank: int
    plugins: int
    order_place: int | None = None
    order_name: str = ""
    entry_module: str = ""
    module: str
    declared_in: str
    declaration: int
    line: int

    def as_dict(self) -> dict[str, str | int | bool | None]:
        """Return it as the `key` of a handler in `fastsoy-events why --json`."""
        is_host = self.rank == _order.HOST
        return {
            "is_host": is_host,
            "rank": None if is_host else self.rank,
            "order_place": self.order_place,
            "entry_module": self.entry_module,
            "is_entry_module": None if is_host else self.module == self.entry_module,
            "module": self.module,
            "declared_in": self.declared_in,
            "declaration": self.declaration,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One handler, and why it runs where it does.

    Args:
        handler: the handler.
        key: the parts of its sort key.
        decided_by: the part that put it behind the handler before it; empty for the first.
        reason: the same in words.
        move: what would put it before that handler; empty where there is none.
    """

    handler: Handler
    key: SortKey
    decided_by: Part = ""
    reason: str = ""
    move: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as one of the `handlers` in `fastsoy-events why --json`."""
        row = self.handler.as_dict()
        return {
            **{name: row[name] for name in ("position", "id", "handler", "plugin", "distribution", "source")},
            "key": self.key.as_dict(),
            "decided_by": self.decided_by or None,
            "reason": self.reason,
            "move": self.move,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the handlers of one event run in their order.

    Args:
        event: the event's name.
        order: what the plugins were loaded with as `order`.
        places: its handlers, in dispatch order.
        left_out: those known of that do not take part.
    """

    event: str
    order: tuple[str, ...]
    places: tuple[Place, ...]
    left_out: tuple[LeftOut, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as `fastsoy-events why --json` prints it."""
        return {
            "schema": 1,
            "event": self.event,
            "order": list(self.order),
            "handlers": [place.as_dict() for place in self.places],
            "left_out": [each.as_dict() for each in self.left_out],
        }


def explain(bus: PluginBus, event: str, trees: Sequence[SourceTree] = ()) -> Explanation:
    """Tell why the handlers of an event run in their order.

    Args:
        bus: a bus that has loaded its plugins.
        event: the event's name.
        trees: the sources of plugins that were not loaded, where their handlers shall be told of too.
    """
    # Only the bus itself knows the parts of the keys: no public record has them.
    with bus._lock:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        handlers = bus.handlers(event)
        state = bus._state  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        places = bus._placed(event)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        declarations = [declaration for _, declaration in places]
        ignored = left_out(event, state, declarations, trees)
    order = state.arguments.order if state.arguments else ()
    keys = _keys(handlers, declarations, state.roster, order)
    explained: list[Place] = []
    for handler, key in zip(handlers, keys, strict=True):
        explained.append(_place(handler, key, explained[-1] if explained else None, state.roster.plugins, order))
    return Explanation(event=event, order=order, places=tuple(explained), left_out=ignored)


def _keys(
    handlers: Sequence[Handler], declarations: Sequence[Declaration], roster: Roster, order: Sequence[str]
) -> list[SortKey]:
    keys: list[SortKey] = []
    counts: dict[tuple[int, str], int] = {}
    for handler, declaration in zip(handlers, declarations, strict=True):
        rank = _order.owner(declaration.module, roster)
        plugin = None if rank == _order.HOST else roster.plugins[rank]
        same = (rank, declaration.module if plugin else "")
        counts[same] = counts.get(same, 0) + 1
        order_place = None if plugin is None else _place_in(order, plugin)
        key = SortKey(
            rank=rank,
            plugins=len(roster.plugins),
            order_place=order_place,
            order_name="" if order_place is None else order[order_place],
            entry_module=plugin.module if plugin else "",
            module=declaration.module,
            declared_in=declaration.declared_in,
            declaration=counts[same],
            line=int(handler.source.rpartition(":")[2]),
        )
        keys.append(key)
    return keys


def _place_in(order: Sequence[str], plugin: Plugin) -> int | None:
    return next((place for place, name in enumerate(order) if plugin.goes_by(name)), None)


def _place(
    handler: Handler, key: SortKey, before: Place | None, plugins: Sequence[Plugin], order: Sequence[str]
) -> Place:
    if before is None:
        return Place(handler=handler, key=key)
    if key.rank != before.key.rank:
        decided_by, reason, move = _between_plugins(key, before.key, plugins, order)
    elif key.rank == _order.HOST:
        decided_by, reason, move = _within_host(key, before)
    elif key.module != before.key.module:
        decided_by, reason, move = _between_modules(key, before)
    else:
        decided_by, reason, move = _within_module(key, before)
    return Place(handler=handler, key=key, decided_by=decided_by, reason=reason, move=move)


def _between_plugins(
    key: SortKey, before: SortKey, plugins: Sequence[Plugin], order: Sequence[str]
) -> tuple[Part, str, str]:
    if before.rank == _order.HOST:
        return "host", "the host's handlers run before every plugin's", ""
    this, other = plugins[key.rank], plugins[before.rank]
    wanted = _order_with(this, other, plugins, order)
    options = " ".join(f"--order {shlex.quote(name)}" for name in wanted)
    argument = json.dumps(wanted, ensure_ascii=False)
    move = f"load_plugins(order={argument}), or {options} here, runs {this.name} before {other.name}"
    if key.order_place != before.order_place:
        behind = f"before {key.order_name}" if key.order_name else f"and not {this.name}"
        return "order", f"the order names {before.order_name} {behind}", move
    if this.distribution != other.distribution:
        return "distribution", f"the distribution {other.distribution} sorts before {this.distribution}", move
    first, second = f"{other.name} = {other.module}", f"{this.name} = {this.module}"
    return "entry_point", f"in {this.distribution}, the entry point {first} sorts before {second}", move


def _order_with(this: Plugin, other: Plugin, plugins: Sequence[Plugin], order: Sequence[str]) -> list[str]:
    """Return the order with as little changed as puts one plugin before another."""
    is_unique = sum(plugin.goes_by(this.name) for plugin in plugins) == 1
    wanted = [name for name in order if name not in {this.name, this.id}]
    place = _place_in(wanted, other)
    wanted.insert(len(wanted) if place is None else place, this.name if is_unique else this.id)
    return wanted


def _within_host(key: SortKey, before: Place) -> tuple[Part, str, str]:
    if key.declared_in == before.key.declared_in:
        return _within_module(key, before)
    reason = f"{before.key.declared_in} declared {before.handler.qualname} first, and the host's order is its imports'"
    return "declaration", reason, f"importing {key.declared_in} before {before.key.declared_in} runs it before that one"


def _between_modules(key: SortKey, before: Place) -> tuple[Part, str, str]:
    first = before.key.module
    if first == key.entry_module:
        move = f"declaring it in {first}, above {before.handler.qualname}, runs it before that one"
        return "entry_module", f"the entry point's own module, {first}, comes before the plugin's others", move
    move = f"declaring it in {key.entry_module}, or in a module that sorts before {first}, runs it before that one"
    return "module", f"the module {first} sorts before {key.module}", move


def _within_module(key: SortKey, before: Place) -> tuple[Part, str, str]:
    if key.declared_in != before.key.declared_in:
        reason = f"{before.key.declared_in}, which declares {before.handler.qualname}, comes before {key.declared_in}"
        return "declaring_module", reason, ""
    name = before.handler.qualname
    return "declaration", f"{key.declared_in} declares {name} first", f"moving it above {name} runs it before that one"
