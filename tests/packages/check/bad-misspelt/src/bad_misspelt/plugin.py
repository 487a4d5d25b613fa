from fastsoy_events import emit, on


@on("order.palced")  # expect: FSE102
async def pack(**_: object) -> None:
    """Never run: the event is order.placed."""


@on("orders.placed")  # expect: FSE102
async def ship(**_: object) -> None:
    """Never run either."""


async def refund() -> None:
    await emit("order.refundd", order_id=1, amount=2)  # expect: FSE102
