"""Errors: one tree, and messages that say what happened and what to do."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import TYPE_CHECKING

import pytest

import fastsoy_events
from fastsoy_events import (
    AlreadyLoadedError,
    EmitDepthError,
    EventNameWarning,
    EventsError,
    HandlerError,
    PluginError,
    PluginLoadError,
    RegistrationError,
    UnknownPluginError,
    errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def drawn() -> Iterator[tuple[str, int, str]]:
    """Read the tree in the docstring: each class with its depth, and the built-in class beside it."""
    assert errors.__doc__ is not None
    for line in errors.__doc__.partition("```text\n")[2].partition("```")[0].splitlines():
        found = re.match(r"([ │├└─]*)(\w+)(?:\s+\((\w+)\))?", line)
        assert found is not None
        yield found[2], len(found[1]) // 4, found[3] or ""


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    parents: list[type] = []
    seen: list[str] = []
    for name, depth, beside in drawn():
        here: type = getattr(errors, name, None) or __builtins__[name]  # type: ignore[index]
        del parents[depth:]
        if depth:
            assert issubclass(here, parents[-1])
            seen.append(name)
        if beside:
            assert beside in {each.__name__ for each in here.__mro__}
        parents.append(here)
    assert sorted(seen) == sorted(errors.__all__)


def test_every_error_can_be_imported_from_the_package_and_tells_what_it_is() -> None:
    own = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
    assert sorted(each.__name__ for each in own) == sorted(errors.__all__)
    for each in own:
        assert getattr(fastsoy_events, each.__name__) is each
        assert each.__doc__


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (RegistrationError("no"), TypeError),
        (AlreadyLoadedError("no"), RuntimeError),
        (UnknownPluginError("no", name="acme"), PluginError),
        (PluginLoadError("no", [PluginError("no", distribution="acme")]), ExceptionGroup),
        (EmitDepthError(("a.b", "a.b")), Exception),
        (HandlerError("no"), Exception),
    ],
)
def test_one_class_catches_every_error(error: Exception, base: type[Exception]) -> None:
    assert isinstance(error, EventsError)
    assert isinstance(error, base)


def test_the_warning_about_names_is_a_user_warning() -> None:
    assert issubclass(EventNameWarning, UserWarning)


def test_a_depth_error_names_its_cycle_and_what_to_do() -> None:
    error = EmitDepthError(("order.placed", "invoice.made", "order.placed"))
    assert error.cycle == ("order.placed", "invoice.made", "order.placed")
    assert "order.placed > invoice.made > order.placed" in str(error)
    assert "sys.setrecursionlimit()" in str(error)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copy), copy.cycle, str(copy)) == (EmitDepthError, error.cycle, str(error))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            PluginError("it is late", distribution="acme", version="1.0", entry_point="mail", module="acme.mail"),
            "Plugin failed: acme 1.0 / entry point mail / module acme.mail: it is late",
        ),
        (
            PluginError("it is late", distribution="acme", entry_point="mail"),
            "Plugin failed: acme / entry point mail: it is late",
        ),
        (PluginError("it is late", distribution="acme", version="1.0"), "Plugin failed: acme 1.0: it is late"),
        (
            UnknownPluginError("order names 'acme', which is not there", name="acme"),
            "order names 'acme', which is not there",
        ),
    ],
)
def test_a_plugins_error_says_which_one_and_why(error: PluginError, text: str) -> None:
    assert str(error) == text
    assert error.reason in text
    assert error.distribution == "acme"


def test_a_load_error_lists_every_plugin_and_can_be_caught_by_kind() -> None:
    problems = [PluginError("first", distribution="acme"), UnknownPluginError("second", name="zebra")]
    caught: list[Exception] = []
    try:
        raise PluginLoadError("plugins could not be loaded", problems)
    except* PluginError as group:
        caught += group.exceptions
    assert caught == problems


@pytest.mark.parametrize(
    "error",
    [
        PluginError("no such module", distribution="acme", version="1.0", entry_point="mail", module="acme.mail"),
        UnknownPluginError("order names 'mial', but nothing of that name was found", name="mial"),
    ],
)
def test_plugin_errors_pass_between_processes(error: PluginError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this process has just made
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
