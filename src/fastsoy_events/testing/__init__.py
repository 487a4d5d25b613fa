"""The testing kit: plain context managers for any test runner; `plugin` has pytest's fixtures and the marker `events`.

Importing it imports none of its parts: pytest imports the plugin at every start, also where no test uses it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsoy_events._deferral import flush_deferred
    from fastsoy_events.testing._captured import CapturedEvents, Emitted, captured
    from fastsoy_events.testing._expected import expected_failures
    from fastsoy_events.testing._install import InstallPlugin, temporary_plugins
    from fastsoy_events.testing._narrowed import narrowed

__all__ = [
    "CapturedEvents",
    "Emitted",
    "InstallPlugin",
    "captured",
    "expected_failures",
    "flush_deferred",
    "narrowed",
    "temporary_plugins",
]

_PLACES = {
    "CapturedEvents": "testing._captured",
    "Emitted": "testing._captured",
    "InstallPlugin": "testing._install",
    "captured": "testing._captured",
    "expected_failures": "testing._expected",
    "flush_deferred": "_deferral",
    "narrowed": "testing._narrowed",
    "temporary_plugins": "testing._install",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"fastsoy_events.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
