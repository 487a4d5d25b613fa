"""What commands that have loaded the plugins read from sources besides: who publishes which event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastsoy_events import bus, events
from fastsoy_events._model import Candidate
from fastsoy_events.cli._output import say
from fastsoy_events.inspection._edges import Publications, host_modules, publications
from fastsoy_events.inspection.source._trees import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events import LoadReport
    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.source._records import SourceModule, SourceTree
    from fastsoy_events.inspection.source._trees import Survey

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the sources say, besides what registered.

    Args:
        trees: the sources of all plugins.
        host: the sources of the application.
        published: who publishes which event.
    """

    trees: tuple[SourceTree, ...]
    host: tuple[SourceModule, ...]
    published: Publications


def surveyed(report: LoadReport) -> Survey:
    """Read the sources of the plugins that were found.

    Args:
        report: of the load.
    """
    arguments = bus._state.arguments  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the application may have loaded by its own
    candidates = [Candidate(plugin) for plugin in report.plugins]
    return survey(candidates, None if arguments is None else arguments.path)


def who_publishes(options: Options, report: LoadReport) -> Found:
    """Tell who publishes which event, from contracts and from sources.

    Args:
        options: what was loaded.
        report: of the load.
    """
    survey = surveyed(report)
    host = () if options.app is None else host_modules(options.app.partition(":")[0], survey.roster)
    published = publications(events(), report.plugins, survey.trees, host)
    return Found(trees=survey.trees, host=host, published=published)


def say_what_is_dynamic(found: Found) -> None:
    """Say which emits are missing in what was shown.

    Args:
        found: what the sources say.
    """
    emits: Sequence[str] = [f"{emit.module} line {emit.line}" for emit in found.published.dynamic]
    if emits:
        places = ", ".join(emits[:_MOST_NAMED]) + (
            f", and {len(emits) - _MOST_NAMED} more" if emits[_MOST_NAMED:] else ""
        )
        say("note", f"emits whose source does not tell the event are left out: {places}")
