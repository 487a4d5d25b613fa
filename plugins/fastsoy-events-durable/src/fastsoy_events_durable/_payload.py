"""Payloads: keywords become JSON that gives them back, or an error that says which of them cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from fastsoy_events_durable.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def encoded(event: str, payload: Mapping[str, object]) -> str:
    """Return a payload as JSON.

    Tuples become lists, and members of enumerations their values; nothing else may change on the way.

    Raises:
        PayloadError: naming the keyword that is no JSON, and the type of what is in it.
    """
    reason = ""
    try:
        text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
        if json.loads(text) == payload:
            return text
    except (TypeError, ValueError, RecursionError) as error:
        text, reason = "", str(error)
    for keyword, value in payload.items():
        misfit = _misfit(value, depth=0)
        if misfit:
            raise PayloadError(
                f'emit("{event}") cannot be kept for its durable handlers: {keyword} {misfit}. Emit what JSON has: '
                "text, numbers, true and false, null, lists, and dictionaries with text as keys; dates, decimals and "
                "ids as str()"
            )
    if not text:
        raise PayloadError(f'emit("{event}") cannot be kept for its durable handlers: {reason}')
    return text


def decoded(text: str) -> dict[str, Any]:
    """Return the keywords again."""
    payload: dict[str, Any] = json.loads(text)
    return payload


def key_of(event: str, keyword: str | None, payload: Mapping[str, object]) -> str | None:
    """Return what a publication is kept in order by; None for no order, as for a keyword that is null.

    Raises:
        PayloadError: where the payload lacks the keyword.
    """
    if keyword is None:
        return None
    if keyword not in payload:
        raise PayloadError(
            f'emit("{event}") lacks {keyword}, which a durable handler has as its key: emit it, or null where there is '
            "no order to keep"
        )
    value = payload[keyword]
    return None if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


_DEEPEST = 200  # far below where the interpreter's own limit would end it


def _misfit(value: object, depth: int) -> str:
    """Return what is wrong with a value; empty where nothing is."""
    if depth > _DEEPEST:
        return "is nested too deep, or contains itself"
    if value is None or isinstance(value, str | int):
        return ""
    if isinstance(value, float):
        return "" if value - value == 0 else f"has {value}, which JSON has no number for"
    if isinstance(value, dict):
        items = cast("Mapping[object, object]", value)
        odd = [type(key).__qualname__ for key in items if not isinstance(key, str)]
        return f"has a dictionary with a key of type {odd[0]}" if odd else _first_misfit(items.values(), depth)
    if isinstance(value, list | tuple):
        return _first_misfit(cast("Iterable[object]", value), depth)
    return f"has a {type(value).__module__}.{type(value).__qualname__}"


def _first_misfit(values: Iterable[object], depth: int) -> str:
    return next(filter(None, (_misfit(each, depth + 1) for each in values)), "")
