"""Draw a trace from the file that `ADMIN_TRACES` names: `python trace_tree.py FILE` shows the first with a failure."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    Span: TypeAlias = dict[str, Any]


def failed_trace(file: Path) -> list[str]:
    """Return the first trace in which a span is marked as failed.

    Args:
        file: one span a line, as JSON.

    Returns:
        One line a span, below the one that it is part of; none where nothing failed.
    """
    spans: list[Span] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    failed = (span["context"]["trace_id"] for span in spans if span["status"]["status_code"] == "ERROR")
    trace = next(failed, None)
    of_trace = [span for span in spans if span["context"]["trace_id"] == trace]
    return list(_drawn(sorted(of_trace, key=lambda span: str(span["start_time"])), below=None, depth=1))


def _drawn(spans: list[Span], *, below: str | None, depth: int) -> Iterator[str]:
    for span in spans:
        if span["parent_id"] == below:
            took = datetime.fromisoformat(span["end_time"]) - datetime.fromisoformat(span["start_time"])
            error = span["attributes"].get("error.type", "")
            yield f"{'  ' * depth}{span['name']}  {took.total_seconds() * 1000:.1f} ms  {error}".rstrip()
            yield from _drawn(spans, below=span["context"]["span_id"], depth=depth + 1)


if __name__ == "__main__":
    print(*failed_trace(Path(sys.argv[1])), sep="\n")
