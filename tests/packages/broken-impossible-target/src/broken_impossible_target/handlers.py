"""Its entry point's target can be no module."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""
