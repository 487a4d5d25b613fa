import asyncio

from fastsoy_events import emit, event


@event("stock.counted")  # expect: FSE105
def stock_counted(*, total: int, missing: int = 0) -> None:
    """Somebody has counted the stock."""


asyncio.run(emit("stock.counted", total=0))  # expect: FSE302


async def forgets() -> None:
    emit("stock.counted", total=1)  # expect: FSE301
    stock_counted.emit(total=1)  # expect: FSE301


async def carries_the_wrong_things() -> None:
    await emit("stock.counted", totl=1)  # expect: FSE303
    await stock_counted.emit()  # expect: FSE303


async def does_all_right(**more: int) -> None:
    await emit("stock.counted", total=1)
    await asyncio.gather(emit("stock.counted", total=1, missing=2), stock_counted.emit(**more))
