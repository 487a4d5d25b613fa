from fastsoy_events import event


@event("order.placed")  # expect: FSE106
def order_placed(*, number: int) -> None:
    """Compete with acme-orders, which comes first."""
