"""Hooks: what pytest calls once a test is collected that uses the kit. `plugin` registers this module then."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

import pytest

from fastsoy_events.errors import UnknownPluginError
from fastsoy_events.testing._narrowed import are_names
from fastsoy_events.testing._session import Session

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable

__tracebackhide__ = True

_FIXTURES = ("_events_session", "_events_bus", "_events_captured")
_OPTIONS = ("plugins", "mute")
_session = pytest.StashKey[Session]()


# When tests are collected


def checked(report: pytest.CollectReport, marked: Iterable[pytest.Item]) -> pytest.CollectReport:
    """Return the report of what was collected; it has failed where a marker has what it does not take."""
    problems = [f"{item.nodeid}: {problem}" for item in marked if (problem := _problem(item))]
    return pytest.CollectReport(report.nodeid, "failed", "\n".join(problems), []) if problems else report


def get_ready(config: pytest.Config, using: Iterable[pytest.Item]) -> None:
    """Have the kit begin before each test's own fixtures."""
    for item in using:
        names: list[str] = getattr(item, "fixturenames", [])
        if _FIXTURES[0] not in names:
            item.fixturenames = [*names, _FIXTURES[0]]  # type: ignore[attr-defined]  # all that have fixtures have it
    if not config.pluginmanager.has_plugin(__name__):
        config.pluginmanager.register(sys.modules[__name__], __name__)


def _problem(item: pytest.Item) -> str:
    """Say what is wrong with the markers of a test; empty where nothing is."""
    problems = (_problem_of(mark) for mark in item.iter_markers("events"))
    return next((f"@pytest.mark.events {problem}" for problem in problems if problem), "")


def _problem_of(mark: pytest.Mark) -> str:
    if mark.args:
        return f"takes keywords: write plugins=[...] or mute=True, not {', '.join(map(repr, mark.args))}"
    for name in mark.kwargs:
        if name not in _OPTIONS:
            nearest = get_close_matches(name, _OPTIONS, n=1)
            return f"does not take {name}: {f'did you mean {nearest[0]}?' if nearest else 'it takes plugins and mute'}"
    plugins, mute = mark.kwargs.get("plugins", ()), mark.kwargs.get("mute", False)
    if not are_names(plugins):
        return f"takes the names of plugins: write plugins=['fastsoy-notify'], not plugins={plugins!r}"
    return "" if isinstance(mute, bool) else f"takes mute=True or mute=False: not mute={mute!r}"


# While tests run


@contextmanager
def session_of(request: pytest.FixtureRequest) -> Generator[Session]:
    """Begin the session of a test, and end it."""
    item = cast("pytest.Item", request.node)
    problem = _problem(item)  # a marker may have come late
    if problem:
        pytest.fail(problem, pytrace=False)
    session = item.stash[_session] = Session(**_options(item))
    with ExitStack() as stack:
        try:
            stack.enter_context(session)
        except UnknownPluginError as error:
            raise pytest.fail.Exception(f"@pytest.mark.events: {error}", pytrace=False) from None
        yield session


def _options(item: pytest.Item) -> dict[str, Any]:
    """Return what the markers of a test say; of several, the closest one counts for each option."""
    options: dict[str, Any] = {}
    for mark in item.iter_markers("events"):
        options = {**mark.kwargs, **options}
    return options


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
    """Begin the kit before the first of a test's own fixtures: what that loads or emits belongs to the test, too."""
    if fixturedef.scope == "function" and fixturedef.argname not in _FIXTURES:
        used: Collection[str] = getattr(request.node, "fixturenames", ())
        for name in _FIXTURES:
            if name in used:
                request.getfixturevalue(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test in which a handler failed; what fails after it, when its fixtures end, is an error of theirs."""
    try:
        result = yield
    except BaseException as error:
        _judge(item, error)
        raise
    _judge(item, None)
    return result


def _judge(item: pytest.Item, error: BaseException | None) -> None:
    session = item.stash.get(_session, None)
    if session is not None:
        session.judge(error)
