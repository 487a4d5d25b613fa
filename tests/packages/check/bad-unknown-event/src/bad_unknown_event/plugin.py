from fastsoy_events import on


@on("order.vanished")  # expect: FSE103
async def search(**_: object) -> None:
    """Never run."""
