"""The entry point's module: it imports what else declares handlers."""

from acme_mail import archive as archive
from fastsoy_events import on


@on("order.placed")
async def confirm(order_id: int) -> None:
    """Say which handler served which order."""
    print(f"confirm {order_id}")
