"""A second module of the same plugin."""

from fastsoy_events import on


@on("order.placed")
def keep(order_id: int) -> None:
    """Say which handler served which order."""
    print(f"keep {order_id}")
