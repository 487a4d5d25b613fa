"""Preview: what installing wheels would add, remove and reorder, and which findings it would bring."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastsoy_events._compare import difference
from fastsoy_events.inspection.check._check import check
from fastsoy_events.inspection.preview._arrivals import arrivals
from fastsoy_events.inspection.preview._remarks import remarks
from fastsoy_events.inspection.preview._state import lock_of, state_of
from fastsoy_events.inspection.source._files import read_file
from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastsoy_events._compare import Difference
    from fastsoy_events._model import Plugin
    from fastsoy_events._select import Arguments
    from fastsoy_events.inspection.check._findings import Finding
    from fastsoy_events.inspection.preview._arrivals import Arrival
    from fastsoy_events.inspection.preview._state import State
    from fastsoy_events.inspection.preview._wheels import Wheel

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What installing wheels would do.

    Args:
        arrivals: the wheels.
        remarks: what deserves a look in each wheel, whatever its plugins do; in the same order.
        before: what is.
        after: what would be.
        differences: from the one to the other, in words.
        findings: those that the wheels would bring.
    """

    arrivals: tuple[Arrival, ...]
    remarks: tuple[tuple[str, ...], ...]
    before: State
    after: State
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[tuple[Plugin, str], ...]:
        """Return the plugins that cannot be loaded, or of which nobody can tell all they do, where the wheels are why.

        Those of the wheels, and those of others that have the problem only with the wheels; each with its problem.
        """
        distributions = {each.distribution for each in self.arrivals}
        known = {(plugin.id, self.before.problem_of(plugin)) for plugin in self.before.plugins}
        problems = ((plugin, self.after.problem_of(plugin)) for plugin in self.after.plugins)
        return tuple(
            (plugin, problem)
            for plugin, problem in problems
            if problem and (plugin.distribution in distributions or (plugin.id, problem) not in known)
        )

    @property
    def is_good(self) -> bool:
        """Tell whether the wheels bring neither an error nor a plugin with a problem."""
        return not self.problems and all(each.severity != "error" for each in self.findings)


def preview(wheels: Sequence[Wheel], arguments: Arguments) -> Preview:
    """Tell what installing wheels would do. None of them is installed or imported.

    Args:
        wheels: those that would be installed, all of them.
        arguments: which plugins take part, and in which order.

    Raises:
        WheelError: where two wheels are of one distribution, or they have too many plugins.
    """
    coming = arrivals(wheels, arguments.path)
    before = state_of(coming.before, arguments)
    after = state_of(coming.after, arguments, coming.arrivals)
    known = {str(plugin.error) for plugin in before.plugins if plugin.error}
    failures = [plugin.error for plugin in after.plugins if plugin.error and str(plugin.error) not in known]
    return Preview(
        arrivals=coming.arrivals,
        remarks=tuple(tuple(_remarks(each, coming.arrivals, before.owners)) for each in coming.arrivals),
        before=before,
        after=after,
        differences=difference(lock_of(before), lock_of(after), failures),
        findings=tuple(_brought(before, after, wheels)),
    )


def _remarks(arrival: Arrival, all_arrivals: Sequence[Arrival], owners: Mapping[str, str]) -> Iterator[str]:
    yield from remarks(arrival.wheel, arrival.distribution, arrival.version)
    replaced = {each.distribution for each in all_arrivals}
    others = {module: owner for module, owner in owners.items() if owner not in replaced}
    others |= {module: each.distribution for each in all_arrivals if each is not arrival for module in each.modules}
    shared = [f"{module} of {others[module]}" for module in arrival.modules if module in others]
    if shared:
        more = f" and {len(shared) - _MOST_NAMED} more" if shared[_MOST_NAMED:] else ""
        yield shortened(f"it has modules that another distribution has, too: {', '.join(shared[:_MOST_NAMED])}{more}")


# Findings


def _brought(before: State, after: State, wheels: Sequence[Wheel]) -> Iterator[Finding]:
    """Yield the findings of one side that the other does not have, wherever it has them."""
    known = Counter((each.code, each.message) for each in check(before.system))
    for each in check(after.system, read=_reader(wheels)):
        known[each.code, each.message] -= 1
        if known[each.code, each.message] < 0:
            yield each


def _reader(wheels: Sequence[Wheel]) -> Callable[[str, int], bytes]:
    """Return what reads a source by the path that a finding has, which may lead into a wheel."""

    def read(file: str, limit: int) -> bytes:
        for wheel in wheels:
            name = file.removeprefix(f"{wheel.file}/")
            if name != file and name in wheel.members:
                return wheel.members.contents(name, limit)
        return read_file(file, limit)

    return read
