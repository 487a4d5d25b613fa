"""It applies on to what is no callable."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


on("order.placed")(3)
