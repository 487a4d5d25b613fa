"""The README is taken at its word: its program runs, and prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastsoy_events import bus

if TYPE_CHECKING:
    import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="output")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_program_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTSOY_EVENTS_DISABLED", raising=False)
    program, output = (match["text"] for match in BLOCK.finditer(README.read_text(encoding="utf-8")))
    with bus.isolated():
        exec(compile(program, README, "exec"), {"__name__": "shop"})  # noqa: S102 - that is the test
    assert capsys.readouterr().out == output
