"""The catalogue: which events there are, who publishes them, what they carry, and who handles them in which order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from inspect import Parameter
from typing import TYPE_CHECKING

from fastsoy_events.inspection.catalog._payload_schema import NOTHING, Schema, annotation_text, json_value, schema_of
from fastsoy_events.inspection.source._parse import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastsoy_events import Event, Handler
    from fastsoy_events.inspection._edges import Publication
    from fastsoy_events.inspection.source._records import SourceTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword:
    """One keyword that an event carries.

    Args:
        name: its name.
        type: its annotation, as the source writes it; empty where it has none.
        is_required: whether each emit has it, as far as is known.
        default: what it is where an emit leaves it out, as Python writes it; empty where it is required.
        schema: its type, and its default, as JSON Schema.
    """

    name: str
    type: str = ""
    is_required: bool = True
    default: str = ""
    schema: Schema = field(default_factory=dict[str, object])

    def as_dict(self) -> dict[str, object]:
        """Return it as one of the `keywords` in `fastsoy-events catalog --json`."""
        return {
            "name": self.name,
            "type": self.type,
            "required": self.is_required,
            "default": self.default or None,
            "schema": self.schema,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEvent:
    """One event.

    Args:
        name: its name.
        publishers: who publishes it, the one that declares it first; empty where nobody is known to.
        contract: the dotted name of the object that declares it; empty where nothing does.
        purpose: what the contract says that it means; empty where it says nothing.
        keywords: what it carries: by its contract, or else by the emits that were found.
        has_more: whether emits may carry other keywords as well.
        handlers: in dispatch order.
    """

    name: str
    publishers: tuple[Publication, ...]
    contract: str
    purpose: str
    keywords: tuple[Keyword, ...]
    has_more: bool
    handlers: tuple[Handler, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as one of the `events` in `fastsoy-events catalog --json`."""
        return {
            "event": self.name,
            "publishers": [
                {
                    "plugin": each.plugin,
                    "distribution": each.distribution,
                    "contract": each.has_contract,
                    "emits": bool(each.emits),
                }
                for each in self.publishers
            ],
            "contract": self.contract or None,
            "purpose": self.purpose,
            "keywords": [keyword.as_dict() for keyword in self.keywords],
            "has_more": self.has_more,
            "handlers": [_as_dict(handler) for handler in self.handlers],
        }


def _as_dict(handler: Handler) -> dict[str, object]:
    row = handler.as_dict()  # without versions, files and lines, which change more often than the catalogue
    return {name: row[name] for name in ("position", "id", "plugin", "distribution", "handler", "kind")}


def catalogued(
    contracts: Iterable[Event[...]],
    publications: Iterable[Publication],
    handlers: Iterable[Handler],
    trees: Iterable[SourceTree] = (),
) -> tuple[CatalogEvent, ...]:
    """Put the catalogue together.

    Args:
        contracts: those in force.
        publications: who publishes what.
        handlers: those that take part, by event and in dispatch order.
        trees: the sources of the plugins, for annotations as they are written.

    Returns:
        Every event that is published or handled, by name.
    """
    written = {
        (contract.module, contract.qualname, parameter.name): parameter.annotation
        for tree in trees
        for module in tree.modules
        for contract in module.contracts
        for parameter in contract.parameters
    }
    declared = {contract.name: contract for contract in contracts}
    published: dict[str, list[Publication]] = {}
    for publication in publications:
        published.setdefault(publication.event, []).append(publication)
    heard: dict[str, list[Handler]] = {}
    for handler in handlers:
        heard.setdefault(handler.event, []).append(handler)
    return tuple(
        _event(name, declared.get(name), published.get(name, ()), heard.get(name, ()), written)
        for name in sorted({*declared, *published, *heard})
    )


def _event(
    name: str,
    contract: Event[...] | None,
    publishers: Sequence[Publication],
    handlers: Sequence[Handler],
    written: dict[tuple[str, str, str], str],
) -> CatalogEvent:
    return CatalogEvent(
        name=name,
        publishers=tuple(publishers),
        contract=f"{contract.module}.{contract.qualname}" if contract else "",
        purpose=contract.summary if contract else "",
        keywords=_declared(contract, written) if contract else _emitted(publishers),
        has_more=contract is None,
        handlers=tuple(handlers),
    )


def _declared(contract: Event[...], written: dict[tuple[str, str, str], str]) -> tuple[Keyword, ...]:
    keywords: list[Keyword] = []
    for parameter in contract.signature.parameters.values():
        text = written.get((contract.module, contract.qualname, parameter.name), "")
        schema = schema_of(parameter.annotation, contract.module)
        is_required = parameter.default is Parameter.empty
        if not is_required and json_value(parameter.default) is not NOTHING:
            schema |= {"default": parameter.default}
        keyword = Keyword(
            name=parameter.name,
            type=_unquoted(text or annotation_text(parameter.annotation)),
            is_required=is_required,
            default="" if is_required else _default_text(parameter.default),
            schema=schema,
        )
        keywords.append(keyword)
    return tuple(keywords)


def _unquoted(annotation: str) -> str:
    is_quoted = (
        annotation[:1] in {"'", '"'} and annotation.count(annotation[0]) == 2 and annotation[-1] == annotation[0]
    )
    return annotation[1:-1] if is_quoted else annotation


def _default_text(default: object) -> str:
    """Return a default as Python writes it; dots for objects, whose text may differ from process to process."""
    if isinstance(default, Enum):
        return f"{type(default).__name__}.{default.name}"
    value = json_value(default)
    return "..." if value is NOTHING else shortened(repr(value))


def _emitted(publishers: Sequence[Publication]) -> tuple[Keyword, ...]:
    """Return the keywords of emits: required where every one has it, and no one passes a mapping in which it may be."""
    emits = [emit for publication in publishers for emit in publication.emits]
    names = dict.fromkeys(name for emit in emits for name in emit.keywords)
    return tuple(Keyword(name=name, is_required=all(name in emit.keywords for emit in emits)) for name in names)


def as_json(events: Sequence[CatalogEvent]) -> str:
    """Return the catalogue as the text of `fastsoy-events catalog --json`."""
    return json.dumps({"schema": 1, "events": [event.as_dict() for event in events]}, indent=2) + "\n"
