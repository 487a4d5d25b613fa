"""Its import recurses without end."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


def forever() -> None:
    forever()


forever()
