from fastsoy_events import on


@on("order.placed")
async def confirm(order_id: int, **_: object) -> None:
    """Stand for any work."""


@on("order.refunded")
async def apologise(order_id: int, amount: int, **_: object) -> None:
    """Stand for any work."""
