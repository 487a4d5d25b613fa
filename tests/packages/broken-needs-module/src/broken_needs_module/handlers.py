"""Its import does not find a module that it needs."""

from fastsoy_events import on


@on("order.placed")
async def handle(order_id: int) -> None:
    """Be registered before the module breaks."""


import a_library_that_nobody_installed
