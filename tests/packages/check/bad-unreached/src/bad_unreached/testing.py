from fastsoy_events import on


def listen() -> None:
    """Register a handler when a test calls it: that is nobody's mistake."""

    @on("order.placed")
    async def record(**_: object) -> None:
        """Record."""
