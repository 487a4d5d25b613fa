"""What users may import, and what importing it does: nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys

import importlib_metadata

import fastsoy_events
from fastsoy_events import bus

NAMES = {
    "AlreadyLoadedError",
    "ContractError",
    "EmitDepthError",
    "Event",
    "EventBus",
    "EventNameWarning",
    "EventsError",
    "Failures",
    "Handler",
    "HandlerError",
    "HandlerFailure",
    "HandlerTimeout",
    "LoadReport",
    "LockError",
    "Plugin",
    "PluginBus",
    "PluginError",
    "PluginLoadError",
    "RegistrationError",
    "Scope",
    "UnknownPluginError",
    "bus",
    "deferred",
    "discover",
    "emit",
    "emit_sync",
    "event",
    "events",
    "handlers",
    "hookimpl",
    "hookspec",
    "load_plugins",
    "on",
    "plugins",
}


def test_the_public_names_are_exactly_these() -> None:
    assert set(fastsoy_events.__all__) == NAMES
    assert len(fastsoy_events.__all__) == len(NAMES)


def test_every_public_name_exists_and_is_documented() -> None:
    for name in NAMES:
        assert inspect.getdoc(getattr(fastsoy_events, name)), name


def test_every_public_method_is_documented() -> None:
    for name in NAMES:
        value = getattr(fastsoy_events, name)
        if inspect.isclass(value) and value.__module__.startswith("fastsoy_events"):
            for attribute, member in vars(value).items():
                if not attribute.startswith("_") and (callable(member) or isinstance(member, property)):
                    assert inspect.getdoc(member), f"{name}.{attribute}"


def test_the_module_level_functions_are_those_of_the_default_bus() -> None:
    for name in ("on", "emit", "event", "events", "handlers", "load_plugins", "plugins"):
        assert getattr(fastsoy_events, name) == getattr(bus, name)


def test_no_name_of_a_private_module_leaks() -> None:
    modules = {name for name, value in vars(fastsoy_events).items() if inspect.ismodule(value)}
    public = {name for name in vars(fastsoy_events) if not name.startswith("_")}
    assert public - modules - NAMES == {"TYPE_CHECKING"}


def test_importing_it_scans_and_loads_nothing_and_no_library() -> None:
    code = "import fastsoy_events, sys; print(fastsoy_events.plugins(), *sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    empty, *modules = result.stdout.split()
    assert empty == "()"
    assert [name for name in modules if name.startswith("fastsoy_")] == [
        "fastsoy_events",
        "fastsoy_events._bus",
        "fastsoy_events._declare",
        "fastsoy_events._dispatch",
        "fastsoy_events._order",
        "fastsoy_events._plugin_bus",
        "fastsoy_events._record",
        "fastsoy_events._registry",
        "fastsoy_events._state",
        "fastsoy_events.errors",
    ]
    assert not {"asyncio", "importlib_metadata", "logging", "packaging", "pluggy", "rich", "typer"} & set(modules)


def test_the_core_needs_three_libraries_and_no_other() -> None:
    requirements = importlib_metadata.requires("fastsoy-events") or []
    needed = {line.split(">")[0] for line in requirements if "extra ==" not in line}
    assert needed == {"importlib-metadata", "packaging", "pluggy"}
