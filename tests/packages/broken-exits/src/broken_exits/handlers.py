"""Its import exits."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


import sys

sys.exit("no licence key")
