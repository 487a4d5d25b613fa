from fastsoy_events import on


@on("weather.changed")  # expect: FSE104
async def dress(**_: object) -> None:
    """Never run."""
