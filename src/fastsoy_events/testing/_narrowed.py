"""Narrowed: the default bus, emptied, or with named plugins and nothing else, for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeGuard, cast

from fastsoy_events import _discover, _order
from fastsoy_events import bus as default_bus
from fastsoy_events._claim import claims
from fastsoy_events._contract import Contract
from fastsoy_events._record import Roster
from fastsoy_events._select import Arguments
from fastsoy_events.errors import PluginLoadError, UnknownPluginError
from fastsoy_events.testing._block import Block

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager, ExitStack

    from fastsoy_events import LoadReport, PluginBus
    from fastsoy_events._model import Candidate
    from fastsoy_events.testing._watch import Watch

__tracebackhide__ = True

_NARROWING = ("FASTSOY_EVENTS_ALLOWED", "FASTSOY_EVENTS_DISABLED")


def narrowed(plugins: Collection[str] | None = None) -> AbstractContextManager[PluginBus]:
    """Narrow the default bus to named plugins in a block, or empty it; afterwards it is as it was.

    All hold the same bus, whoever imported `emit` and `on`, and under whatever name. Only the host's handlers do not
    take part; contracts that the host has declared are in force.

    Args:
        plugins: names of plugins or distributions to load. In the block, the application's own `load_plugins()` gives
            the report of these, whatever its arguments. None to load nothing, so that the application does.

    Returns:
        A context manager that gives the bus.

    Raises:
        UnknownPluginError: for a name that fits nothing installed.
        PluginLoadError: for a plugin that cannot be loaded.

    Example:
        >>> from fastsoy_events import handlers, on
        >>> with narrowed():
        ...     handler = on("employee.created")(print)
        ...     len(handlers())
        1
    """
    if plugins is not None and not are_names(plugins):
        raise TypeError(f"plugins takes the names of plugins: write plugins=['fastsoy-notify'], not {plugins!r}")
    return _Narrowing(plugins)


def are_names(plugins: object) -> TypeGuard[Collection[str]]:
    """Tell whether something is a collection of names; one name alone is none."""
    if isinstance(plugins, str) or not isinstance(plugins, Collection):
        return False
    return all(isinstance(each, str) for each in cast("Collection[object]", plugins))


class _Narrowing(Block["PluginBus"]):
    def __init__(self, plugins: Collection[str] | None) -> None:
        super().__init__(default_bus)
        self._plugins = plugins

    def _open(self, watch: Watch) -> PluginBus:  # noqa: ARG002 - it needs none
        return narrow(self._stack, self._plugins)


def narrow(stack: ExitStack, names: Collection[str] | None) -> PluginBus:
    """Narrow the default bus until a stack is closed."""
    candidates = _installed() if names is not None else ()
    chosen = [plugin for name in names or () for plugin in _called(name, candidates)]
    bus = stack.enter_context(default_bus.isolated())
    _keep_contracts(bus, candidates)
    if names is not None:
        try:
            load_only(bus, chosen, candidates, strict=True)
        except PluginLoadError as error:
            raise error.with_traceback(None)  # noqa: B904 - it is the same, without the frames of loading
    return bus


def _installed() -> Sequence[Candidate]:
    return _order.in_plugin_order(_discover.scan(None).candidates, ())


def _called(name: str, candidates: Sequence[Candidate]) -> list[str]:
    """Return the ids of the plugins that a name means."""
    found = [each.plugin.id for each in candidates if each.plugin.goes_by(name)]
    if not found:
        known = sorted({word for each in candidates for word in (each.plugin.name, each.plugin.distribution) if word})
        nearest = get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Found: {', '.join(known) or 'none'}."
        raise UnknownPluginError(
            f"plugins names {name!r}, but no plugin or distribution of that name is installed. {hint}", name=name
        )
    return found


def _keep_contracts(bus: PluginBus, candidates: Sequence[Candidate]) -> None:
    """Keep the host's contracts in force: they handle nothing, and emits are checked against them."""
    earlier = [
        (declared, watched.execution)
        for declared, watched in bus._earlier()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the kit and the bus are one package
        if isinstance(declared, Contract) and watched.is_in_force()
    ]
    roster = claims(candidates or _installed()).roster if earlier else Roster()
    with bus._lock:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
        for contract, execution in earlier:
            if _order.owner(contract.module, roster) == _order.HOST:
                bus._note(execution)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
                bus._add(contract)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise


def load_only(
    bus: PluginBus, chosen: Collection[str], candidates: Sequence[Candidate] = (), *, strict: bool = False
) -> LoadReport:
    """Load plugins into an emptied bus, and no other; what it has loaded before is left out unless it is among them.

    Args:
        bus: the bus.
        chosen: the ids of the plugins.
        candidates: what is installed, if that is known.
        strict: as `load_plugins` takes it.
    """
    others = [each.plugin.id for each in candidates or _installed() if each.plugin.id not in chosen]
    with bus._switching, _without_narrowing_variables():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as above
        state = bus._state  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - likewise
        state.report = state.load_error = None
        report = bus.load_plugins(disabled=others, strict=strict)
        state.arguments = _Whatever()
    return report


class _Whatever(Arguments):
    """The arguments of a load with which every later call agrees: the application under test loads as it always has."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arguments)

    __hash__ = None  # type: ignore[assignment]  # it stands for many


@contextmanager
def _without_narrowing_variables() -> Generator[None]:
    """Set aside what narrows the plugins of the person who runs the tests: the test names its own."""
    kept = {name: os.environ.pop(name) for name in _NARROWING if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
