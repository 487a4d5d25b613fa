"""`python -m fastsoy_events`: the same command as `fastsoy-events`."""

from __future__ import annotations

from fastsoy_events.cli import main

if __name__ == "__main__":
    main()
