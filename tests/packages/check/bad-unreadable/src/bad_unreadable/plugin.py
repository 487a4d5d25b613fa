from fastsoy_events import on


@on("order.placed")
async def pack(**_: object) -> None:
    """Run."""
