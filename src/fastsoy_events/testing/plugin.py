"""The plugin of pytest: the fixtures `event_bus`, `captured_events` and `install_plugin`, and the marker `events`.

pytest imports this module at every start, also where no test uses it, so it imports nothing but pytest. The kit is
imported when a test is collected that uses one of the fixtures or the marker; until then nothing of it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from fastsoy_events import PluginBus
    from fastsoy_events.testing import CapturedEvents, InstallPlugin
    from fastsoy_events.testing._session import Session


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "events(*, plugins=None, mute=False): use the testing kit of fastsoy-events; narrow the default bus to named "
        "plugins, or let no handler run",
    )


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse what the marker does not take, where the tests are found that have it."""
    report = yield
    marked = [each for each in report.result or () if isinstance(each, pytest.Item) and _is_marked(each)]
    if not marked:
        return report
    from fastsoy_events.testing import _hooks

    return _hooks.checked(report, marked)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Get the tests ready that use the kit; by now a `conftest.py` has had its chance to mark some."""
    using = [item for item in items if _is_marked(item) or "_events_session" in getattr(item, "fixturenames", ())]
    if using:
        from fastsoy_events.testing import _hooks

        _hooks.get_ready(config, using)


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("events") is not None


@pytest.fixture
def _events_session(request: pytest.FixtureRequest) -> Generator[Session]:
    from fastsoy_events.testing import _hooks

    with _hooks.session_of(request) as session:
        yield session


@pytest.fixture
def _events_bus(_events_session: Session) -> PluginBus:
    return _events_session.narrow()


@pytest.fixture
def _events_captured(_events_session: Session) -> CapturedEvents:
    return _events_session.capture()


@pytest.fixture
def event_bus(_events_bus: PluginBus) -> PluginBus:
    """The default bus, emptied, or narrowed to the plugins of `@pytest.mark.events(plugins=[...])`; then restored."""
    return _events_bus


@pytest.fixture
def captured_events(_events_captured: CapturedEvents) -> CapturedEvents:
    """Everything that the test emits: `assert_emitted`, `assert_not_emitted`, `assert_order`, and a sequence."""
    return _events_captured


@pytest.fixture
def install_plugin(_events_bus: PluginBus) -> Generator[InstallPlugin]:
    """Make a temporary distribution with a plugin, and load it: `install_plugin(name=..., module=..., source=...)`."""
    from fastsoy_events.testing import temporary_plugins

    with temporary_plugins() as install:
        yield install
