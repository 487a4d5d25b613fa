"""Progress, told by the measuring process to the one that shows it: one line of JSON on its output for each step."""

from __future__ import annotations

import json
import sys


class Progress:
    """Tells what is measured and how far it is."""

    def begin(self, part: str, steps: int) -> None:
        """Begin a part of so many steps."""
        self._tell({"part": part, "steps": steps})

    def step(self) -> None:
        """Finish one step."""
        self._tell({"step": 1})

    def _tell(self, message: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
