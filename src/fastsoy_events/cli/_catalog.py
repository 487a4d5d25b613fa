"""The command `catalog`: the events that are published, as a page for people or for programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fastsoy_events import events, handlers
from fastsoy_events.cli._host import load, stop_if_any_failed
from fastsoy_events.cli._options import takes_options
from fastsoy_events.cli._output import Stop, open_console, write
from fastsoy_events.cli._pages import Page
from fastsoy_events.cli._sources import say_what_is_dynamic, who_publishes
from fastsoy_events.inspection.catalog._asyncapi import as_asyncapi
from fastsoy_events.inspection.catalog._catalog import as_json, catalogued
from fastsoy_events.inspection.catalog._markdown import as_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastsoy_events.cli._host import Options
    from fastsoy_events.inspection.catalog._catalog import CatalogEvent


class CatalogFormat(StrEnum):
    """What the catalogue is written as."""

    MARKDOWN = "markdown"
    JSON = "json"
    ASYNCAPI = "asyncapi"


_Format: TypeAlias = Annotated[
    CatalogFormat | None,
    typer.Option("--format", help="Markdown, JSON, or an AsyncAPI 3.0 document in JSON.", show_default="markdown"),
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
_Title: TypeAlias = Annotated[str, typer.Option(metavar="TEXT", help="The title of the page or document.")]
_Output: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write this file, not standard output.", show_default=False)
]
_Check: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write nothing; end with exit code 1, and a diff, where this file is not what would be written.",
        show_default=False,
    ),
]


@takes_options()
def write_catalog(
    options: Options,
    *,
    form: _Format = None,
    json: _Json = False,
    title: _Title = "Events",
    output: _Output = None,
    check: _Check = None,
) -> None:
    """Write the catalogue of events: who publishes each, what it carries, and who handles it in which order."""
    chosen = _chosen(form, json=json)
    if output is not None and check is not None:
        raise Stop("--output writes the file and --check compares it: give one of them")
    file = output if check is None else check
    page = None if file is None else Page(file)
    report = load(options)
    found = who_publishes(options, report)
    text = _text(catalogued(events(), found.published.known, handlers(), found.trees), chosen, title)
    if page is None:
        write(open_console(), text)
    elif check is None:
        page.write(text)
    say_what_is_dynamic(found)
    if page is not None and check is not None and (difference := page.difference(text)):
        write(open_console(), difference)
        raise Stop(f"{check} is stale: write it with --output {check}, and all else as it is here", exit_code=1)
    stop_if_any_failed(report)


def _chosen(form: CatalogFormat | None, *, json: bool) -> CatalogFormat:
    if json and form not in {None, CatalogFormat.JSON}:
        raise Stop(f"--json is --format json, and --format {form} was given too")
    return form or (CatalogFormat.JSON if json else CatalogFormat.MARKDOWN)


def _text(catalogue: Sequence[CatalogEvent], form: CatalogFormat, title: str) -> str:
    if form is CatalogFormat.JSON:
        return as_json(catalogue)
    return (as_markdown if form is CatalogFormat.MARKDOWN else as_asyncapi)(catalogue, title)
