from fastsoy_events import emit

from acme_orders.events import order_placed, order_refunded


@order_refunded.on
async def tally(order_id: int, amount: int) -> None:
    """Take exactly what this package itself declares."""


async def place(order_id: int) -> None:
    await order_placed.emit(order_id=order_id)


async def refund(order_id: int) -> None:
    await emit("order.refunded", order_id=order_id, amount=1)
