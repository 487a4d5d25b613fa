"""The text of a new plugin package's files, laid out as ruff's formatter would."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH = 88  # what ruff takes where nobody tells it otherwise

_PYPROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.24"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "A business module for an application that uses fastsoy-events."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["$core"]

[project.entry-points."fastsoy.event_handlers"]
$entry_point = "$package.handlers"

[dependency-groups]
test = ["fastsoy-events[cli]", "pytest>=8.2", "pytest-asyncio>=0.24"]

[tool.hatch.build.targets.wheel]
packages = ["src/$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
""")

_README = Template("""\
# $name

A business module for an application that uses `fastsoy-events`. Install it beside the application, and its handlers
take part: it is the entry point `$entry_point` of the group `fastsoy.event_handlers`.

| event | what an emit carries |
|---|---|
$events

- `src/$package/events.py` declares these events. Other packages listen to them by name, and import nothing from here.
- `src/$package/handlers.py` holds the handlers. For an event of another package, write `@on("employee.created")`.

## How to work on it

`--group` needs pip 25.1 or newer.

```sh
python -m pip install --editable . --group test
python -m pytest
fastsoy-events check --strict
```
""")

_PACKAGE = Template('''\
"""A business module that talks to others through events alone."""
''')

_EVENTS = Template('''\
"""What the package tells others: its events, and the keywords that each carries.

Other packages listen by the event's name and import nothing from here.
"""

from fastsoy_events import event
$contracts''')

_CONTRACT = Template('''

@event("$event")
$definition
    """$summary; say here when that is so, and for whom it matters.

    Args:
        $keyword: its number.
    """
''')

_HANDLERS = Template('''\
"""What the package does when something happens; its entry point names this module."""

import logging

from $package import events

log = logging.getLogger(__name__)
$handlers''')

_HANDLER = Template('''

@events.$identifier.on
$definition
    """Note it; your own code goes here. Keywords that are added later go to `_`.

    Args:
        $keyword: its number.
    """
    log.info("noted %d", $keyword)
''')

_TESTS = Template('''\
"""Which events the package declares, and what it does when they happen."""

import logging
from collections.abc import Iterator

import pytest
from fastsoy_events import bus, handlers, load_plugins

from $package import events

PLUGIN = "$name"


@pytest.fixture(autouse=True)
def plugin_alone() -> Iterator[None]:
    """Empty the bus for each test, and load this plugin and no other."""
    with bus.isolated():
        load_plugins(allowed=[PLUGIN], strict=True)
        yield


def test_each_event_is_declared_and_heard() -> None:
    names = [
$names
    ]
    assert [contract.name for contract in bus.events()] == names
    assert [handler.event for handler in handlers()] == names
$tests''')

_TEST = Template("""

$definition
    caplog.set_level(logging.INFO)
$emit
    failures.raise_if_any()
    [record] = caplog.records
    assert record.args == (17,)
""")


def identifier(event: str) -> str:
    """Return what an event is called in a module."""
    return event.replace(".", "_")


def pyproject(names: Mapping[str, str]) -> str:
    """Return the text of `pyproject.toml`."""
    return _PYPROJECT.substitute(names)


def readme(names: Mapping[str, str], events: Sequence[str]) -> str:
    """Return the text of `README.md`."""
    rows = (f"| `{event}` | `{_keyword(event)}: int` |" for event in events)
    return _README.substitute(names, events="\n".join(rows))


def package(names: Mapping[str, str]) -> str:
    """Return the text of `__init__.py`."""
    return _PACKAGE.substitute(names)


def events(names: Mapping[str, str], events: Sequence[str]) -> str:
    """Return the text of `events.py`."""
    return _EVENTS.substitute(names, contracts="".join(map(_contract, events)))


def handlers(names: Mapping[str, str], events: Sequence[str]) -> str:
    """Return the text of `handlers.py`."""
    return _HANDLERS.substitute(names, handlers="".join(map(_handler, events)))


def tests(names: Mapping[str, str], events: Sequence[str]) -> str:
    """Return the text of the package's test."""
    lines = "\n".join(f'        "{event}",' for event in events)
    return _TESTS.substitute(names, names=lines, tests="".join(map(_test, events)))


def _contract(event: str) -> str:
    parameters = ["*", f"{_keyword(event)}: int"]
    return _CONTRACT.substitute(
        event=event,
        definition=_laid_out(f"def {identifier(event)}(", parameters, ") -> None:"),
        summary=event.replace(".", " ").replace("_", " ").capitalize(),
        keyword=_keyword(event),
    )


def _handler(event: str) -> str:
    parameters = ["*", f"{_keyword(event)}: int", "**_: object"]
    return _HANDLER.substitute(
        identifier=identifier(event),
        definition=_laid_out(f"async def note_{identifier(event)}(", parameters, ") -> None:"),
        keyword=_keyword(event),
    )


def _test(event: str) -> str:
    begin = f"async def test_{identifier(event)}_is_noted("
    emit = f"    failures = await events.{identifier(event)}.emit("
    return _TEST.substitute(
        definition=_laid_out(begin, ["caplog: pytest.LogCaptureFixture"], ") -> None:", comma=","),
        emit=_laid_out(emit, [f"{_keyword(event)}=17"], ")"),
    )


def _keyword(event: str) -> str:
    return f"{event.split('.')[-2]}_id"


def _laid_out(begin: str, parts: Sequence[str], end: str, *, comma: str = "") -> str:
    """Put what stands in parentheses on the same line, or else on a line of its own, which ends in a comma or not."""
    line = begin + ", ".join(parts) + end
    if len(line) <= _WIDTH:
        return line
    indent = " " * (len(begin) - len(begin.lstrip()))
    return f"{begin}\n{indent}    {', '.join(parts)}{comma}\n{indent}{end}"
