"""Rules on what is installed: metadata folders that are left over from another version, or from an uninstall. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastsoy_events._discover import newness
from fastsoy_events.inspection.check._findings import Spot, finding, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events.inspection.check._facts import System
    from fastsoy_events.inspection.check._findings import Finding
    from fastsoy_events.inspection.check._installed import Metadata


def metadata(system: System) -> Iterator[Finding]:
    """Find stale folders of distributions with plugins, and empty folders of any: those may have had some."""
    beside: dict[tuple[str, str], list[Metadata]] = {}
    for each in system.installed:
        if each.is_empty:
            yield _empty(each, system)
        else:
            beside.setdefault((each.path_entry, each.distribution), []).append(each)
    with_plugins = {plugin.distribution for plugin in system.plugins}
    for (_, distribution), folders in beside.items():
        if len(folders) > 1 and (distribution in with_plugins or any(each.entry_points for each in folders)):
            yield from _stale(folders, system)


def _empty(each: Metadata, system: System) -> Finding:
    name = " ".join(filter(None, (each.distribution, each.version)))
    message = f"{name} has a .dist-info without METADATA, so no plugin in it can be found."
    spot = Spot(each.file("METADATA"), 1)
    folder = relative(each.folder, system.folder)
    return finding("FSE602", spot, message, folder=folder, distribution=each.distribution)


def _stale(folders: Sequence[Metadata], system: System) -> Iterator[Finding]:
    newest = max(folders, key=lambda each: newness(each.version))
    for each in folders:
        if each is not newest:
            message = (
                f"{each.distribution} is installed twice in one folder: version {newest.version or 'unknown'} "
                f"counts, and version {each.version or 'unknown'} is stale."
            )
            spot = Spot(each.file("METADATA"), 1)
            folder = relative(each.folder, system.folder)
            yield finding("FSE601", spot, message, folder=folder, distribution=each.distribution)
