from fastsoy_events import event


@event("order.placed")
def order_placed(*, order_id: int, note: str = "") -> None:
    """A customer has placed an order."""


@event("order.refunded")
def order_refunded(*, order_id: int, amount: int) -> None:
    """A customer has got money back."""
