import time

from fastsoy_events import on


@on("order.placed")
async def waits(**_: object) -> None:
    time.sleep(1)  # expect: FSE206


@on("order.refunded")  # expect: FSE203
async def takes_too_little(order_id: int) -> None:
    """Fail at every emit."""
