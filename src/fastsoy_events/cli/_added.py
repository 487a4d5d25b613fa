"""The commands that other packages bring: entry points in the group `fastsoy_events.commands`, each a `typer.Typer`.

Nothing here is imported, and nothing is looked for, while one of the program's own commands runs.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import typer

from fastsoy_events._discover import scan
from fastsoy_events._load import imported, short
from fastsoy_events.cli._output import say

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fastsoy_events._model import Candidate

GROUP = "fastsoy_events.commands"


class _UnusableError(Exception):
    """Why what an entry point names is no group of commands, in words for the one who wrote it."""


def added(wanted: str | None, own: Collection[str]) -> Iterator[tuple[str, typer.Typer]]:
    """Yield the groups of commands that other packages bring, by name; warn of what cannot be used.

    Args:
        wanted: the only name that matters, so that no other package is imported; None for all.
        own: the names of the program's own commands, which no other package may take.
    """
    discovery = scan(None, GROUP)
    for warning in discovery.warnings:
        say("warning", warning)
    by_name: dict[str, list[Candidate]] = {}
    for candidate in sorted(discovery.candidates, key=lambda each: (each.plugin.name, each.plugin.distribution)):
        name, error = candidate.plugin.name, candidate.plugin.error
        if wanted is not None and name not in {wanted, ""}:  # whose name cannot be read may be the one
            continue
        if error is not None:
            _leave_out([candidate], error.reason)
        else:
            by_name.setdefault(name, []).append(candidate)
    for name, candidates in by_name.items():
        try:
            yield name, _commands(candidates, own)
        except _UnusableError as unusable:
            _leave_out(candidates, str(unusable))


def _leave_out(candidates: Sequence[Candidate], reason: str) -> None:
    plugins = [each.plugin for each in candidates]
    name = f" {plugins[0].name}" if plugins[0].name else ""
    distributions = " and ".join(f"{each.distribution} {each.version}".strip() for each in plugins)
    say("warning", f"the commands{name} of {distributions} are left out: {reason}")


def _commands(candidates: Sequence[Candidate], own: Collection[str]) -> typer.Typer:
    first = candidates[0]
    if first.plugin.name in own:
        raise _UnusableError(f"fastsoy-events has a command {first.plugin.name}. Rename the entry point")
    if len(candidates) > 1:
        raise _UnusableError("only one package may bring commands of that name. Uninstall all but one")
    plugin, module = imported(first)
    if plugin.error is not None:
        raise _UnusableError(plugin.error.reason)
    commands = reduce(getattr, filter(None, first.attribute.split(".")), module)
    if not isinstance(commands, typer.Typer):
        kind = type(commands).__name__
        raise _UnusableError(f"its entry point names a {kind}. Name a typer.Typer, as 'package.module:commands'")
    try:
        typer.main.get_command(commands)
    except Exception as error:  # what Typer raises depends on what it is given
        raise _UnusableError(f"Typer refuses them: {short(error)}") from error
    return commands
