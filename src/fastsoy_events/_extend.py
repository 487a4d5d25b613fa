"""Extend: the plugins' implementations of the bus's own hooks, called one by one in plugin order."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from fastsoy_events import _report
from fastsoy_events._dispatch import goes_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pluggy

    from fastsoy_events._model import Handler

_PREFIX = "fastsoy_events_"


class Extension(NamedTuple):
    """One plugin's implementation of one hook.

    Args:
        hook: the hook's name.
        plugin: the plugin's id.
        function: the implementation.
        parameters: which of the hook's arguments it takes.
    """

    hook: str
    plugin: str
    function: Callable[..., Any]
    parameters: tuple[str, ...]

    def __call__(self, **arguments: object) -> Any:
        """Call the implementation with those arguments that it takes."""
        return self.function(*(arguments[name] for name in self.parameters))


def extensions_of(manager: pluggy.PluginManager) -> dict[str, tuple[Extension, ...]]:
    """Return the implementations of the bus's own hooks, by the hook's name without its prefix, in plugin order."""
    found: dict[str, tuple[Extension, ...]] = {}
    for name, caller in vars(manager.hook).items():
        if name.startswith(_PREFIX) and caller.has_spec():
            in_plugin_order = reversed(caller.get_hookimpls())  # pluggy would call the last of them first
            implementations = [each for each in in_plugin_order if not (each.hookwrapper or each.wrapper)]
            if implementations:
                found[name.removeprefix(_PREFIX)] = tuple(
                    Extension(name, each.plugin_name, each.function, tuple(each.argnames)) for each in implementations
                )
    return found


def tell(extensions: Iterable[Extension], **arguments: object) -> None:
    """Call implementations from code that cannot await."""
    for extension in extensions:
        try:
            result = extension(**arguments)
            if isawaitable(result):
                getattr(result, "close", lambda: None)()
                raise TypeError(  # noqa: TRY301 - reported like what the extension raises itself
                    f"{extension.hook} is called where nothing can be awaited: write a plain def"
                )
        except Exception as error:  # noqa: BLE001 - isolation: whatever one plugin raises, the next one is called
            _report.extension_failed(extension.hook, extension.plugin, error)


async def tell_and_await(extensions: Iterable[Extension], **arguments: object) -> None:
    """Call implementations, and await what can be awaited."""
    for extension in extensions:
        try:
            result = extension(**arguments)
            if isawaitable(result):
                await result
        except BaseException as error:
            if goes_through(error):
                raise
            _report.extension_failed(extension.hook, extension.plugin, error)


def wrapped_handler(extensions: Iterable[Extension], handler: Handler, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what plugins have put around a handler."""
    for extension in extensions:
        try:
            call = _checked(extension, extension(handler=handler, call=call), call)
        except Exception as error:  # noqa: BLE001 - isolation, as above
            _report.extension_failed(extension.hook, extension.plugin, error)
    return call


def wrapped_emit(extensions: Iterable[Extension], event: str, call: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return what plugins have put around an event's emits; None where that is nothing."""
    wrapped = call
    for extension in extensions:
        wrapped = _checked(extension, extension(event=event, call=wrapped), wrapped)
    return None if wrapped is call else wrapped


def _checked(extension: Extension, result: object, call: Callable[..., Any]) -> Callable[..., Any]:
    if result is None:
        return call
    if not callable(result):
        raise TypeError(f"{extension.hook} returns something to be called, or None: not {result!r}")
    return result
