"""Stock for placed orders."""

from fastsoy_events import on


@on("order.placed")
async def reserve(order_id: int) -> None:
    """Say which handler served which order."""
    print(f"reserve {order_id}")
