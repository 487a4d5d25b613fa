"""Its import raises."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


raise RuntimeError("the mail server is not configured")
