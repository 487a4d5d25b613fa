"""Its source is not UTF-8."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


GREETING = "Grüße"
