"""The catalogue as a page of Markdown. Names and texts are not trusted: none of them can become markup of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastsoy_events import Handler
    from fastsoy_events.inspection._edges import Publication
    from fastsoy_events.inspection.catalog._catalog import CatalogEvent, Keyword

_LONGEST = 2000
_BAR = r"\|"
_CODE_SPAN = re.compile(r"(?<!`)`[^`]+`(?!`)")
_MARKUP = re.compile(r"[\\`*\[<~]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)|^[#>+-]|(?<=^\d)[.)]")


def as_markdown(events: Sequence[CatalogEvent], title: str) -> str:
    """Return the catalogue as Markdown.

    Args:
        events: by name.
        title: the heading of the page.

    Returns:
        The same text for the same catalogue, always: it holds no version, path, line or time.
    """
    blocks = [f"# {prose(title)}", "<!-- Written by `fastsoy-events catalog`: change the sources, not this page. -->"]
    for event in events:
        if event.publishers:
            blocks += _event(event)
    unpublished = [event for event in events if not event.publishers]
    if unpublished:
        blocks += ["## Handled, but published by nobody known", _unpublished(unpublished)]
    if not events:
        blocks.append("No event is published, and none is handled.")
    return "\n\n".join(blocks) + "\n"


def _event(event: CatalogEvent) -> Iterator[str]:
    yield f"## {code(event.name)}"
    if event.purpose:
        yield prose(event.purpose)
    contract = (
        f", by the contract {code(event.contract)}" if event.contract else ". No contract declares what it carries"
    )
    yield f"Published by {', '.join(map(_publisher, event.publishers))}{contract}."
    yield _keywords(event)
    if not event.handlers:
        yield "Nobody handles it."
        return
    yield "Handled in this order:"
    yield _handlers(event.handlers)


def _publisher(publisher: Publication) -> str:
    return _origin(publisher.plugin, publisher.distribution)


def _origin(plugin: str, distribution: str) -> str:
    return f"{code(plugin)} of {code(distribution)}" if distribution else "the host"


def _keywords(event: CatalogEvent) -> str:
    if event.keywords and event.contract:
        rows = [[code(each.name), code(each.type) if each.type else "", _default(each)] for each in event.keywords]
        return _table(["keyword", "type", "default"], rows)
    if event.keywords:
        return f"Its emits carry {', '.join(code(each.name) for each in event.keywords)}."
    return "It carries no keywords." if event.contract else "Nothing is known of what it carries."


def _default(keyword: Keyword) -> str:
    return "required" if keyword.is_required else code(keyword.default)


def _handlers(handlers: Sequence[Handler]) -> str:
    return "\n".join(
        f"{number}. {code(f'{each.module}.{each.qualname}')}, {_origin(each.plugin, each.distribution)}"
        for number, each in enumerate(handlers, 1)
    )


def _unpublished(events: Sequence[CatalogEvent]) -> str:
    rows = [
        [code(event.name), ", ".join(code(f"{each.module}.{each.qualname}") for each in event.handlers)]
        for event in events
    ]
    return _table(["event", "handlers, in order"], rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', _BAR) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Return a text as a code span on one line."""
    line = _one_line(text) or " "
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def prose(text: str) -> str:
    """Return a text as one line of prose, in which code spans stay, and nothing else is markup."""
    line = _one_line(text)
    parts: list[str] = []
    start = 0
    for span in _CODE_SPAN.finditer(line):
        parts += [_escaped(line[start : span.start()]), span.group()]
        start = span.end()
    return "".join([*parts, _escaped(line[start:])])


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text)


def _one_line(text: str) -> str:
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 2 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
