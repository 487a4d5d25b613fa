"""Which handlers of an event are known of and do not take part, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastsoy_events import _order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events import Plugin
    from fastsoy_events._record import Declaration
    from fastsoy_events._state import State
    from fastsoy_events.inspection.source._records import SourceTree


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A handler that does not take part.

    Args:
        module: the module that it belongs to.
        qualname: its qualified name there.
        plugin: the name of the plugin's entry point; empty for the host's.
        distribution: the canonical name of the plugin's distribution; empty for the host's.
        reason: why it does not take part.
    """

    module: str
    qualname: str
    plugin: str
    distribution: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        """Return it as one of `left_out` in `fastsoy-events why --json`."""
        return {
            "handler": f"{self.module}.{self.qualname}",
            "plugin": self.plugin,
            "distribution": self.distribution,
            "reason": self.reason,
        }


def left_out(
    event: str, state: State, placed: Sequence[Declaration], trees: Sequence[SourceTree]
) -> tuple[LeftOut, ...]:
    """Return the handlers of an event that do not take part, as far as anything is known of them.

    Args:
        event: the event's name.
        state: what the bus knows.
        placed: the declarations that take part.
        trees: the sources of the plugins, of which those that are not loaded are looked at.
    """
    found = [*_in_sources(event, state.roster.plugins, trees), *_declared(event, state, placed)]
    once = {(each.module, each.qualname): each for each in found}
    for declaration in placed:
        once.pop((declaration.module, declaration.qualname), None)  # of two plugins with one module, one may be loaded
    return tuple(sorted(once.values(), key=lambda each: (each.distribution, each.plugin, each.module, each.qualname)))


def _declared(event: str, state: State, placed: Sequence[Declaration]) -> Iterator[LeftOut]:
    taking_part = {declaration.identity for declaration in placed}
    for declaration in state.declarations.get(event, {}).values():
        if declaration.identity in taking_part:
            continue
        owner = _order.owning_plugin(declaration.module, state.roster)
        yield LeftOut(
            module=declaration.module,
            qualname=declaration.qualname,
            plugin=owner.name if owner else "",
            distribution=owner.distribution if owner else "",
            reason=_reason(declaration, owner, state),
        )


def _reason(declaration: Declaration, owner: Plugin | None, state: State) -> str:
    if declaration.declared_in in state.shadowed:
        names = next(names for names in state.files.values() if declaration.declared_in in names)
        counting = next(name for name in names if name not in state.shadowed)
        return f"its file is also imported as {counting}, and counts once, under that name"
    if owner is None or owner.status == "loaded":
        # Whose code declares a handler has to be loaded, too.
        owner = _order.owning_plugin(declaration.declared_in, state.roster)
    return _why_not_loaded(owner) if owner else "nothing is known of the reason"


def _why_not_loaded(plugin: Plugin) -> str:
    name = f"{plugin.name} ({plugin.distribution} {plugin.version})"
    if plugin.status == "disabled":
        return f"the plugin {name} is disabled"
    if plugin.status == "blocked":
        return f"the plugin {name} is blocked: it is not allowed, or not in the lock file"
    return f"the plugin {name} failed: {plugin.error.reason if plugin.error else 'see the log'}"


def _in_sources(event: str, plugins: Sequence[Plugin], trees: Sequence[SourceTree]) -> Iterator[LeftOut]:
    not_loaded = {(each.distribution, each.name): each for each in plugins if each.status != "loaded"}
    for tree in trees:
        plugin = not_loaded.get((tree.distribution, tree.plugin))
        if plugin is None:
            continue
        imported = (module for module in tree.modules if module.name in tree.reached)
        for handler in (handler for module in imported for handler in module.handlers):
            if handler.event == event and not handler.is_deferred:
                yield LeftOut(
                    module=handler.module,
                    qualname=handler.qualname,
                    plugin=plugin.name,
                    distribution=plugin.distribution,
                    reason=_why_not_loaded(plugin),
                )
