from fastsoy_events import on

from bad_registrations import more

__all__ = ["more"]


@on("order.placed")  # expect: FSE207
@on("order.placed")
async def twice(**_: object) -> None:
    """Run once."""


@on("order.refunded")
async def _(**_: object) -> None:
    """Share a name."""


@on("order.refunded")  # expect: FSE207
async def _(**_: object) -> None:
    """Share it."""
