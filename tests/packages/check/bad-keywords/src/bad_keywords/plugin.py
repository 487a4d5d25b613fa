from fastsoy_events import on


@on("order.placed")  # expect: FSE201
async def without_kwargs(order_id: int, note: str = "") -> None:
    """Fail once the event carries more."""


@on("order.placed")  # expect: FSE202
async def requires_too_much(order_id: int, customer_id: int, **_: object) -> None:
    """Fail at every emit."""


@on("order.refunded")  # expect: FSE203
async def takes_too_little(order_id: int) -> None:
    """Fail at every emit."""


@on("order.placed")  # expect: FSE204
async def requires_what_may_be_missing(order_id: int, note: str, **_: object) -> None:
    """Fail at an emit by name without a note."""
