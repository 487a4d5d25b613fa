from fastsoy_events import on


@on("order.placed")  # expect: FSE403
async def ship(**_: object) -> None:
    """Never run."""
