"""Gather what `check` looks at in a process that has loaded its plugins."""

from __future__ import annotations

import sys
from inspect import isroutine
from typing import TYPE_CHECKING

from fastsoy_events import events, handlers
from fastsoy_events._claim import claims
from fastsoy_events._model import Candidate
from fastsoy_events.inspection._edges import host_modules
from fastsoy_events.inspection.check._gather import gathered
from fastsoy_events.inspection.check._installed import metadata_on
from fastsoy_events.inspection.source._trees import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import LoadReport, Plugin
    from fastsoy_events.inspection.check._facts import System

_HOOK = "fastsoy_events_impl"


def loaded(report: LoadReport, *, path: Sequence[str] | None = None, app: str = "", folder: str = "") -> System:
    """Gather what registered, what the sources say, and what is installed.

    Args:
        report: of the load.
        path: the folders in which the plugins were looked for; None for `sys.path`.
        app: the dotted name of a module of the application; empty where none was imported.
        folder: places in messages are told relative to it.
    """
    candidates = [Candidate(plugin) for plugin in report.plugins]
    surveyed = survey(candidates, path)
    return gathered(
        report.plugins,
        surveyed.trees,
        handlers=handlers(),
        events=events(),
        host=host_modules(app, surveyed.roster) if app else (),
        has_host=bool(app),
        imported=frozenset(sys.modules),
        with_hooks=frozenset(plugin.id for plugin in report.plugins if _implements_hooks(plugin)),
        claims={each.plugin.id: frozenset(claims([each]).roster.claims) for each in candidates},
        installed=metadata_on(path),
        folder=folder,
    )


def _implements_hooks(plugin: Plugin) -> bool:
    module = sys.modules.get(plugin.module) if plugin.status == "loaded" else None
    return any(isroutine(each) and hasattr(each, _HOOK) for each in vars(module).values()) if module else False
